//! ChatGLM2 and 3, and GLM-4, with the names of their own code (`modeling_chatglm.py`), which the adapter keeps.

use super::super::decoder::{
    MOST_HEADS, MOST_LAYERS, MOST_TOKENS, MOST_VOCABULARY, MOST_WIDE, MOST_WIDTH, cut_into_heads, labels,
    shared_heads, task,
};
use super::super::design::{
    Activation, Biases, HeadNames, Names, NormKind, Residual, Scalars, SublayerNames, Task,
};
use super::super::fields::{EPSILON, Fields, GROWTH};
use super::super::rope::{Rope, RopeScaling};
use super::super::{Mixer, ModelConfig};
use crate::FormatError;

const NAMES: Names = Names {
    prefix: "transformer.",
    embedding: "embedding.word_embeddings",
    positions: None,
    token_types: None,
    embedding_norm: None,
    layers: "encoder.layers",
    attention: SublayerNames::pre_normed(
        &["self_attention.query_key_value"],
        "self_attention.dense",
        "input_layernorm",
    ),
    mlp: SublayerNames::pre_normed(&["mlp.dense_h_to_4h"], "mlp.dense_4h_to_h", "post_attention_layernorm"),
    query_norm: None,
    key_norm: None,
    final_norm: Some("encoder.final_layernorm"),
    head: "transformer.output_layer",
    sequence_head: HeadNames { dense: None, output: "classifier_head", bias: true },
    token_head: HeadNames { dense: None, output: "score", bias: true },
};

pub fn read(fields: &Fields<'_>) -> Result<ModelConfig, FormatError> {
    let refused = |key: &str, problem: &str| {
        fields.unsupported(key, problem.to_owned(), "use ChatGLM2, ChatGLM3 or GLM-4 as they were published")
    };
    if !fields.flag("multi_query_attention")? {
        return Err(refused("multi_query_attention", "every query head has keys of its own, woven together"));
    }
    if fields.flag("apply_residual_connection_post_layernorm")? {
        let problem = "the residual stream would begin behind the norm";
        return Err(refused("apply_residual_connection_post_layernorm", problem));
    }
    if fields.get("pre_seq_len").is_some() {
        return Err(refused("pre_seq_len", "the checkpoint is a P-tuning of another model"));
    }
    let hidden_size = fields.size("hidden_size", MOST_WIDTH)?;
    let heads = fields.size("num_attention_heads", MOST_HEADS)?;
    let head_dim = match fields.optional_size("kv_channels", MOST_HEADS)? {
        Some(channels) => channels,
        None => cut_into_heads(fields, "hidden_size", hidden_size, heads)?,
    };
    let groups = fields.optional_size("multi_query_group_num", MOST_HEADS)?.unwrap_or(1);
    shared_heads(fields, "multi_query_group_num", heads, groups)?;
    if head_dim % 4 != 0 {
        let problem = format!("half of a head's {head_dim} values make no pairs");
        return Err(fields.wrong("kv_channels", problem));
    }
    let layers = fields.size("num_layers", MOST_LAYERS)?;
    let with_bias = fields.flag("add_bias_linear")?;
    let final_norm = fields.optional_flag("post_layer_norm")?.unwrap_or(true);
    let ratio = fields.optional_number("rope_ratio", &GROWTH)?.unwrap_or(1.0);
    Ok(ModelConfig {
        model_type: "chatglm",
        vocab_size: fields.size("padded_vocab_size", MOST_VOCABULARY)?,
        hidden_size,
        intermediate_size: fields.size("ffn_hidden_size", MOST_WIDE)?,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: groups,
        head_dim,
        max_position_embeddings: fields.optional_size("seq_length", MOST_TOKENS)?.unwrap_or(2048),
        tie_word_embeddings: fields.flag("tie_word_embeddings")?,
        bos_token_id: fields.token("bos_token_id", None)?,
        eos_token_id: fields.tokens("eos_token_id", &[2])?,
        pad_token_id: fields.token("pad_token_id", None)?,
        names: Names { final_norm: NAMES.final_norm.filter(|_| final_norm), ..NAMES },
        norm: match fields.optional_flag("rmsnorm")?.unwrap_or(true) {
            true => NormKind::Rms,
            false => NormKind::Layer,
        },
        norm_eps: fields.optional_number("layernorm_epsilon", &EPSILON)?.unwrap_or(1e-5),
        activation: Activation::Silu,
        gated: true,
        biases: Biases {
            attention_input: with_bias || fields.flag("add_qkv_bias")?,
            attention_output: with_bias,
            mlp: with_bias,
        },
        stored_in_out: false,
        scalars: Scalars::for_head_dim(head_dim),
        residual: Residual::Sequential,
        causal: true,
        position_offset: 0,
        token_types: 0,
        task: task(fields, Task::CausalLm)?,
        num_labels: labels(fields)?,
        ropes: vec![Rope {
            theta: 10_000.0 * ratio,
            dim: head_dim / 2,
            interleaved: true,
            scaling: RopeScaling::Default,
        }],
        layers: vec![Mixer::attention(Some(0)); layers],
    })
}
