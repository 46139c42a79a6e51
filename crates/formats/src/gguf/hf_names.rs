//! GGUF's tensor names to Hugging Face's.

/// What Hugging Face's Llama and Qwen2 call the tensor `name`; `None` if they have no such tensor.
pub(super) fn hf_name(name: &str) -> Option<String> {
    let whole = match name {
        "token_embd.weight" => "model.embed_tokens.weight",
        "output_norm.weight" => "model.norm.weight",
        "output.weight" => "lm_head.weight",
        _ => return hf_layer_name(name),
    };
    Some(whole.to_owned())
}

fn hf_layer_name(name: &str) -> Option<String> {
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    // Only the number as it is always written, so that no two names become one.
    if layer.parse::<u32>().ok()?.to_string() != layer {
        return None;
    }
    let (module, kind) = rest.rsplit_once('.')?;
    let (module, may_have_bias) = match module {
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
    };
    let known = kind == "weight" || kind == "bias" && may_have_bias;
    known.then(|| format!("model.layers.{layer}.{module}.{kind}"))
}

#[cfg(test)]
mod tests {
    use super::hf_name;

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
            assert_eq!(hf_name(gguf).as_deref(), Some(hf));
        }
        for odd in [
            "rope_freqs.weight",
            "blk.01.attn_q.weight",
            "blk.+1.attn_q.weight",
            "blk.0.attn_norm.bias",
            "blk.0.ffn_gate_exps.weight",
            "blk.0.attn_q",
            "blk.x.attn_q.weight",
        ] {
            assert_eq!(hf_name(odd), None, "{odd}");
        }
    }
}
