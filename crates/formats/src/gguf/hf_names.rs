//! Conversion of GGUF's tensor names to Hugging Face's.

use super::model::Architecture;

/// Returns the name of the tensor `name` in Hugging Face's model of this architecture, or `None` if it has no such tensor.
pub(super) fn hf_name(architecture: Architecture, name: &str) -> Option<String> {
    if architecture == Architecture::Bert {
        return bert_name(name);
    }
    let whole = match name {
        "token_embd.weight" => architecture.embedding(),
        "output_norm.weight" => "model.norm.weight",
        "output.weight" => "lm_head.weight",
        _ => return hf_layer_name(architecture, name),
    };
    Some(whole.to_owned())
}

/// Splits `blk.LAYER.MODULE.KIND` into its parts.
fn layer_parts(name: &str) -> Option<(&str, &str, &str)> {
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    // Only the usual spelling of the number, so that no two names become one.
    if layer.parse::<u32>().ok()?.to_string() != layer {
        return None;
    }
    let (module, kind) = rest.rsplit_once('.')?;
    Some((layer, module, kind))
}

/// Returns the names of BERT, which has biases everywhere but in the embeddings, and its norms after the parts that they belong to.
fn bert_name(name: &str) -> Option<String> {
    let embedding = match name {
        "token_embd.weight" => Architecture::Bert.embedding(),
        "position_embd.weight" => "embeddings.position_embeddings.weight",
        "token_types.weight" => "embeddings.token_type_embeddings.weight",
        "token_embd_norm.weight" => "embeddings.LayerNorm.weight",
        "token_embd_norm.bias" => "embeddings.LayerNorm.bias",
        "cls.output.weight" => "classifier.weight",
        "cls.output.bias" => "classifier.bias",
        _ => "",
    };
    if !embedding.is_empty() {
        return Some(embedding.to_owned());
    }
    let (layer, module, kind) = layer_parts(name)?;
    let module = match module {
        "attn_q" => "attention.self.query",
        "attn_k" => "attention.self.key",
        "attn_v" => "attention.self.value",
        "attn_output" => "attention.output.dense",
        "attn_output_norm" => "attention.output.LayerNorm",
        "ffn_up" => "intermediate.dense",
        "ffn_down" => "output.dense",
        "layer_output_norm" => "output.LayerNorm",
        _ => return None,
    };
    matches!(kind, "weight" | "bias").then(|| format!("encoder.layer.{layer}.{module}.{kind}"))
}

fn hf_layer_name(architecture: Architecture, name: &str) -> Option<String> {
    let (layer, module, kind) = layer_parts(name)?;
    use Architecture::{Bert, Gemma3, Llama, Phi3, Qwen2, Qwen3};
    let (module, may_have_bias) = match (architecture, module) {
        (Qwen3 | Gemma3, "attn_q_norm") => ("self_attn.q_norm", false),
        (Qwen3 | Gemma3, "attn_k_norm") => ("self_attn.k_norm", false),
        (Gemma3, "post_attention_norm") => ("post_attention_layernorm", false),
        (Gemma3, "ffn_norm") => ("pre_feedforward_layernorm", false),
        (Gemma3, "post_ffw_norm") => ("post_feedforward_layernorm", false),
        // One layer for queries, keys and values; and the one called up is gate and up in one.
        (Phi3, "attn_qkv") => ("self_attn.qkv_proj", false),
        (Phi3, "ffn_up") => ("mlp.gate_up_proj", false),
        (Phi3, "attn_q" | "attn_k" | "attn_v" | "ffn_gate") => return None,
        (Llama | Qwen2 | Qwen3 | Gemma3 | Phi3 | Bert, module) => hf_module(module)?,
    };
    let known = kind == "weight" || kind == "bias" && may_have_bias;
    known.then(|| format!("model.layers.{layer}.{module}.{kind}"))
}

/// Returns the names that all architectures share, and whether there may be a bias.
fn hf_module(module: &str) -> Option<(&'static str, bool)> {
    Some(match module {
        "attn_norm" => ("input_layernorm", false),
        "attn_q" => ("self_attn.q_proj", true),
        "attn_k" => ("self_attn.k_proj", true),
        "attn_v" => ("self_attn.v_proj", true),
        "attn_output" => ("self_attn.o_proj", true),
        "ffn_norm" => ("post_attention_layernorm", false),
        "ffn_gate" => ("mlp.gate_proj", true),
        "ffn_up" => ("mlp.up_proj", true),
        "ffn_down" => ("mlp.down_proj", true),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Architecture, hf_name};

    #[test]
    fn every_name_has_its_counterpart_and_others_none() {
        for (gguf, hf) in [
            ("token_embd.weight", "model.embed_tokens.weight"),
            ("output.weight", "lm_head.weight"),
            ("output_norm.weight", "model.norm.weight"),
            ("blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight"),
            ("blk.12.attn_k.bias", "model.layers.12.self_attn.k_proj.bias"),
            ("blk.3.attn_output.weight", "model.layers.3.self_attn.o_proj.weight"),
            ("blk.3.ffn_norm.weight", "model.layers.3.post_attention_layernorm.weight"),
            ("blk.3.ffn_down.weight", "model.layers.3.mlp.down_proj.weight"),
        ] {
            assert_eq!(hf_name(Architecture::Llama, gguf).as_deref(), Some(hf));
        }
        for (gguf, hf) in [
            ("token_embd_norm.bias", "embeddings.LayerNorm.bias"),
            ("blk.5.attn_output_norm.weight", "encoder.layer.5.attention.output.LayerNorm.weight"),
            ("blk.0.ffn_up.bias", "encoder.layer.0.intermediate.dense.bias"),
        ] {
            assert_eq!(hf_name(Architecture::Bert, gguf).as_deref(), Some(hf));
        }
        assert_eq!(hf_name(Architecture::Bert, "blk.0.ffn_gate.weight"), None);
        for odd in [
            "rope_freqs.weight",
            "blk.01.attn_q.weight",
            "blk.+1.attn_q.weight",
            "blk.0.attn_norm.bias",
            "blk.0.attn_q_norm.weight",
            "blk.0.attn_qkv.weight",
            "blk.0.ffn_gate_exps.weight",
            "blk.0.attn_q",
            "blk.x.attn_q.weight",
        ] {
            assert_eq!(hf_name(Architecture::Llama, odd), None, "{odd}");
        }
    }
}
