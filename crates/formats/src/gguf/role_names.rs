//! GGUF's name of a module by its role: `hf_names` backwards, for every architecture.

use crate::config::{AttentionPart, MlpPart, Module, NormPlace, Role, Sublayer};

/// Returns llama.cpp's name of a module, to which `.weight` or `.bias` is added, or `None` if it has none.
pub fn gguf_name(module: &Module) -> Option<String> {
    let part = match module.role {
        Role::Embedding => return Some("token_embd".to_owned()),
        Role::PositionEmbedding => return Some("position_embd".to_owned()),
        Role::TokenTypeEmbedding => return Some("token_types".to_owned()),
        Role::EmbeddingNorm => return Some("token_embd_norm".to_owned()),
        Role::FinalNorm => return Some("output_norm".to_owned()),
        Role::LmHead => return Some("output".to_owned()),
        Role::Attention(part) => match part {
            AttentionPart::Query => "attn_q",
            AttentionPart::Key => "attn_k",
            AttentionPart::Value => "attn_v",
            AttentionPart::QueryKeyValue => "attn_qkv",
            AttentionPart::Output => "attn_output",
            AttentionPart::QueryNorm => "attn_q_norm",
            AttentionPart::KeyNorm => "attn_k_norm",
        },
        Role::Mlp(part) => match part {
            MlpPart::Gate => "ffn_gate",
            // Where gate and up are one, llama.cpp calls both up.
            MlpPart::Up | MlpPart::GateUp | MlpPart::Input => "ffn_up",
            MlpPart::Output => "ffn_down",
        },
        Role::Norm(half, place) => match (half, place) {
            (Sublayer::Mixer, NormPlace::Before) => "attn_norm",
            (Sublayer::Mixer, NormPlace::After) => "post_attention_norm",
            (Sublayer::Mixer, NormPlace::Residual) => "attn_output_norm",
            (Sublayer::Mlp, NormPlace::Before) => "ffn_norm",
            (Sublayer::Mlp, NormPlace::After) => "post_ffw_norm",
            (Sublayer::Mlp, NormPlace::Residual) => "layer_output_norm",
        },
        Role::Pooler | Role::Classifier => return None,
    };
    Some(format!("blk.{}.{part}", module.layer?))
}

#[cfg(test)]
mod tests {
    use super::gguf_name;
    use crate::ModelConfig;
    use crate::gguf::hf_names::hf_name;
    use crate::gguf::model::Architecture;

    /// Returns a small model's configuration.
    fn config(model_type: &str) -> ModelConfig {
        let text = format!(
            r#"{{"model_type":"{model_type}","hidden_size":8,"intermediate_size":16,"num_attention_heads":2,"num_hidden_layers":2,
                "num_key_value_heads":2,"vocab_size":32,"head_dim":4,"max_position_embeddings":16,"type_vocab_size":2,"pad_token_id":0,
                "tie_word_embeddings":false,"query_pre_attn_scalar":4,"sliding_window":8,"architectures":["BertModel"]}}"#
        );
        ModelConfig::from_json(&text, "config.json").unwrap()
    }

    #[test]
    fn both_maps_agree() {
        for architecture in Architecture::ALL {
            let model_type = match architecture {
                Architecture::Gemma3 => "gemma3_text",
                other => other.name(),
            };
            let modules = config(model_type).modules();
            let mut named = 0;
            for module in &modules {
                let Some(name) = gguf_name(module) else { continue };
                for (hf, _) in module.tensors() {
                    let (_, kind) = hf.rsplit_once('.').unwrap();
                    let back = hf_name(architecture, &format!("{name}.{kind}"));
                    assert_eq!(back.as_deref(), Some(&*hf), "{model_type} {name}");
                    named += 1;
                }
            }
            assert!(named >= 15, "{model_type} {named}");
        }
    }
}
