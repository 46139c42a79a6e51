//! GPT-2: learnt positions, LayerNorm, an MLP without a gate, and linear layers that are stored as `[in, out]`.

use super::super::decoder::{
    MOST_HEADS, MOST_LAYERS, MOST_TOKENS, MOST_VOCABULARY, MOST_WIDE, MOST_WIDTH, activation, cut_into_heads,
    labels, task,
};
use super::super::design::{Biases, HeadNames, Names, NormKind, Residual, Scalars, SublayerNames, Task};
use super::super::fields::{EPSILON, Fields};
use super::super::{Mixer, ModelConfig};
use crate::FormatError;

const NAMES: Names = Names {
    prefix: "transformer.",
    embedding: "wte",
    positions: Some("wpe"),
    token_types: None,
    embedding_norm: None,
    layers: "h",
    attention: SublayerNames::pre_normed(&["attn.c_attn"], "attn.c_proj", "ln_1"),
    mlp: SublayerNames::pre_normed(&["mlp.c_fc"], "mlp.c_proj", "ln_2"),
    query_norm: None,
    key_norm: None,
    final_norm: Some("ln_f"),
    head: "lm_head",
    sequence_head: HeadNames { dense: None, output: "score", bias: false },
    token_head: HeadNames { dense: None, output: "classifier", bias: true },
};

pub fn read(fields: &Fields<'_>) -> Result<ModelConfig, FormatError> {
    for key in ["scale_attn_by_inverse_layer_idx", "add_cross_attention"] {
        if fields.flag(key)? {
            let problem = "it is not supported".to_owned();
            return Err(fields.unsupported(key, problem, "use GPT-2 as it was published"));
        }
    }
    let hidden_size = fields.optional_size("n_embd", MOST_WIDTH)?.unwrap_or(768);
    let heads = fields.optional_size("n_head", MOST_HEADS)?.unwrap_or(12);
    let head_dim = cut_into_heads(fields, "n_embd", hidden_size, heads)?;
    let layers = fields.optional_size("n_layer", MOST_LAYERS)?.unwrap_or(12);
    let scaled = fields.optional_flag("scale_attn_weights")?.unwrap_or(true);
    let scalars = Scalars::for_head_dim(head_dim);
    Ok(ModelConfig {
        model_type: "gpt2",
        vocab_size: fields.optional_size("vocab_size", MOST_VOCABULARY)?.unwrap_or(50_257),
        hidden_size,
        intermediate_size: fields.optional_size("n_inner", MOST_WIDE)?.unwrap_or(4 * hidden_size),
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: heads,
        head_dim,
        max_position_embeddings: fields.optional_size("n_positions", MOST_TOKENS)?.unwrap_or(1024),
        tie_word_embeddings: fields.optional_flag("tie_word_embeddings")?.unwrap_or(true),
        bos_token_id: fields.token("bos_token_id", Some(50_256))?,
        eos_token_id: fields.tokens("eos_token_id", &[50_256])?,
        pad_token_id: fields.token("pad_token_id", None)?,
        names: NAMES,
        norm: NormKind::Layer,
        norm_eps: fields.optional_number("layer_norm_epsilon", &EPSILON)?.unwrap_or(1e-5),
        activation: activation(fields, "activation_function", "gelu_new")?,
        gated: false,
        biases: Biases { attention_input: true, attention_output: true, mlp: true },
        stored_in_out: true,
        scalars: if scaled { scalars } else { Scalars { attention_scale: 1.0, ..scalars } },
        residual: Residual::Sequential,
        causal: true,
        position_offset: 0,
        token_types: 0,
        task: task(fields, Task::CausalLm)?,
        num_labels: labels(fields)?,
        ropes: Vec::new(),
        layers: vec![Mixer::attention(None); layers],
    })
}
