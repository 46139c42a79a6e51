//! Settings shared by the decoders since Llama: an architecture starts from here and sets its differences.

use super::design::{Activation, Biases, HeadNames, Names, NormKind, Residual, Scalars, Task};
use super::fields::{EPSILON, Fields};
use super::read_rope::{RopeDefaults, read_rope};
use super::{Mixer, ModelConfig, SublayerNames};
use crate::FormatError;

/// Largest size; no model has larger ones.
pub(super) const MOST_WIDTH: u64 = 1 << 20;
pub(super) const MOST_HEADS: u64 = 1 << 16;
pub(super) const MOST_WIDE: u64 = 1 << 22;
pub(super) const MOST_LAYERS: u64 = 1 << 12;
pub(super) const MOST_TOKENS: u64 = 1 << 31;
pub(super) const MOST_VOCABULARY: u64 = 1 << 26;

/// Names of Llama and the architectures derived from it.
pub(super) const LLAMA: Names = Names {
    prefix: "model.",
    embedding: "embed_tokens",
    positions: None,
    token_types: None,
    embedding_norm: None,
    layers: "layers",
    attention: SublayerNames::pre_normed(
        &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        "self_attn.o_proj",
        "input_layernorm",
    ),
    mlp: SublayerNames::pre_normed(
        &["mlp.gate_proj", "mlp.up_proj"],
        "mlp.down_proj",
        "post_attention_layernorm",
    ),
    query_norm: None,
    key_norm: None,
    final_norm: Some("norm"),
    head: "lm_head",
    sequence_head: HeadNames { dense: None, output: "score", bias: false },
    token_head: HeadNames { dense: None, output: "score", bias: true },
};

/// Values of an architecture for keys that its `config.json` lacks.
pub(super) struct Defaults {
    pub max_position_embeddings: usize,
    pub num_key_value_heads: Option<usize>,
    pub head_dim: Option<usize>,
    pub rms_norm_eps: f64,
    pub tie_word_embeddings: bool,
    pub activation_key: &'static str,
    pub activation: &'static str,
    pub bos: Option<u32>,
    pub eos: &'static [u32],
    pub pad: Option<u32>,
    pub rope: RopeDefaults,
}

/// Llama's defaults.
pub(super) const DEFAULTS: Defaults = Defaults {
    max_position_embeddings: 2048,
    num_key_value_heads: None,
    head_dim: None,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: false,
    activation_key: "hidden_act",
    activation: "silu",
    bos: Some(1),
    eos: &[2],
    pad: None,
    rope: RopeDefaults { theta: 10_000.0, partial: None, interleaved: false },
};

/// Reads a decoder under `names`: RMSNorm, gated MLP, one rotary embedding in every layer, no biases and no windows.
pub(super) fn read(
    fields: &Fields<'_>,
    model_type: &'static str,
    names: Names,
    defaults: Defaults,
) -> Result<ModelConfig, FormatError> {
    let hidden_size = fields.size("hidden_size", MOST_WIDTH)?;
    let num_attention_heads = fields.size("num_attention_heads", MOST_HEADS)?;
    let num_key_value_heads = fields
        .optional_size("num_key_value_heads", MOST_HEADS)?
        .or(defaults.num_key_value_heads)
        .unwrap_or(num_attention_heads);
    shared_heads(fields, "num_key_value_heads", num_attention_heads, num_key_value_heads)?;
    let head_dim = match fields.optional_size("head_dim", MOST_HEADS)?.or(defaults.head_dim) {
        Some(head_dim) => head_dim,
        None => cut_into_heads(fields, "hidden_size", hidden_size, num_attention_heads)?,
    };
    if head_dim % 2 != 0 {
        return Err(fields.wrong("head_dim", format!("heads of {head_dim} values have no two halves")));
    }
    let max_position_embeddings = fields
        .optional_size("max_position_embeddings", MOST_TOKENS)?
        .unwrap_or(defaults.max_position_embeddings);
    let num_hidden_layers = fields.size("num_hidden_layers", MOST_LAYERS)?;
    Ok(ModelConfig {
        model_type,
        vocab_size: fields.size("vocab_size", MOST_VOCABULARY)?,
        hidden_size,
        intermediate_size: fields.size("intermediate_size", MOST_WIDE)?,
        num_hidden_layers,
        num_attention_heads,
        num_key_value_heads,
        head_dim,
        max_position_embeddings,
        tie_word_embeddings: fields
            .optional_flag("tie_word_embeddings")?
            .unwrap_or(defaults.tie_word_embeddings),
        bos_token_id: fields.token("bos_token_id", defaults.bos)?,
        eos_token_id: fields.tokens("eos_token_id", defaults.eos)?,
        pad_token_id: fields.token("pad_token_id", defaults.pad)?,
        names,
        norm: NormKind::Rms,
        norm_eps: fields.optional_number("rms_norm_eps", &EPSILON)?.unwrap_or(defaults.rms_norm_eps),
        activation: activation(fields, defaults.activation_key, defaults.activation)?,
        gated: true,
        biases: Biases::default(),
        stored_in_out: false,
        scalars: Scalars::for_head_dim(head_dim),
        residual: Residual::Sequential,
        causal: true,
        position_offset: 0,
        token_types: 0,
        task: task(fields, Task::CausalLm)?,
        num_labels: labels(fields)?,
        ropes: vec![read_rope(fields, head_dim, max_position_embeddings, &defaults.rope)?],
        layers: vec![Mixer::attention(Some(0)); num_hidden_layers],
    })
}

/// Returns the width of one of `heads` heads that together have `size` values.
pub(super) fn cut_into_heads(
    fields: &Fields<'_>,
    key: &str,
    size: usize,
    heads: usize,
) -> Result<usize, FormatError> {
    match size % heads {
        0 => Ok(size / heads),
        _ => Err(fields.wrong(key, format!("{size} cannot be cut into {heads} heads"))),
    }
}

/// Refuses query heads that cannot share key heads evenly.
pub(super) fn shared_heads(
    fields: &Fields<'_>,
    key: &str,
    heads: usize,
    shared: usize,
) -> Result<(), FormatError> {
    match heads % shared {
        0 => Ok(()),
        _ => Err(fields.wrong(key, format!("{heads} attention heads cannot share {shared}"))),
    }
}

/// Reads the activation that `key` names.
pub(super) fn activation(
    fields: &Fields<'_>,
    key: &str,
    default: &'static str,
) -> Result<Activation, FormatError> {
    match fields.text(key)?.unwrap_or(default) {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        other => {
            let problem = format!(
                "activation {:?} is not supported (supported: silu, gelu, gelu_new, gelu_pytorch_tanh, relu)",
                crate::error::Shortened(other)
            );
            Err(fields.unsupported(key, problem, "use a model with a supported activation"))
        }
    }
}

/// Sets the window of the layers that have it, by `layer_types`, or by `sliding` if that key is absent.
pub(super) fn set_windows(
    config: &mut ModelConfig,
    fields: &Fields<'_>,
    window: Option<usize>,
    sliding: impl Fn(usize) -> bool,
) -> Result<(), FormatError> {
    const KEY: &str = "layer_types";
    let types = fields.texts(KEY)?;
    if let Some(types) = &types
        && types.len() != config.layers.len()
    {
        let problem = format!("{} types for {} layers", types.len(), config.layers.len());
        return Err(fields.wrong(KEY, problem));
    }
    for (index, layer) in config.layers.iter_mut().map(Mixer::as_attention_mut).enumerate() {
        let slides = match types.as_ref().map(|types| types[index]) {
            None => sliding(index),
            Some("full_attention") => false,
            Some("sliding_attention") => true,
            Some(other) => {
                let problem = format!(
                    "layers of type {:?} are not supported (supported: full_attention, sliding_attention)",
                    crate::error::Shortened(other)
                );
                return Err(fields.unsupported(KEY, problem, "use a model with supported layers"));
            }
        };
        if let Some(attention) = layer {
            attention.window = if slides { window } else { None };
        }
    }
    Ok(())
}

/// Returns the task of the model by `architectures`, or else `usual`.
pub(super) fn task(fields: &Fields<'_>, usual: Task) -> Result<Task, FormatError> {
    let names = fields.texts("architectures")?.unwrap_or_default();
    Ok(match names.first() {
        Some(name) if name.ends_with("ForSequenceClassification") => Task::SequenceClassification,
        Some(name) if name.ends_with("ForTokenClassification") => Task::TokenClassification,
        _ => usual,
    })
}

/// Returns the number of classes of a classification head: Transformers writes their names, and uses two classes if there are none.
pub(super) fn labels(fields: &Fields<'_>) -> Result<usize, FormatError> {
    match fields.object("id2label")? {
        Some(names) => Ok(names.len()),
        None => Ok(fields.optional_size("num_labels", MOST_WIDTH)?.unwrap_or(2)),
    }
}
