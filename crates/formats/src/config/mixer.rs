//! Mixer of a layer's tokens. Another mixer than attention is a variant here, with its modules, and a module of its own in `lorelei-models`.

use super::{AttentionPart, ModelConfig, ModuleShape, Role};

/// Half of a layer that mixes tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mixer {
    /// Attention.
    Attention(AttentionKind),
}

/// Positions and window of a layer's attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionKind {
    /// Index of the rotary embedding that rotates queries and keys; `None` leaves them unchanged.
    pub rope: Option<usize>,
    /// Number of keys that a query sees, including its own; `None` for all.
    pub window: Option<usize>,
}

impl Mixer {
    /// Returns attention with the rotary embedding `rope`, over all keys.
    pub fn attention(rope: Option<usize>) -> Self {
        Self::Attention(AttentionKind { rope, window: None })
    }

    /// Returns the attention, if it is one.
    pub fn as_attention(&self) -> Option<&AttentionKind> {
        match self {
            Self::Attention(attention) => Some(attention),
        }
    }

    /// Like [`Self::as_attention`], but mutable.
    pub fn as_attention_mut(&mut self) -> Option<&mut AttentionKind> {
        match self {
            Self::Attention(attention) => Some(attention),
        }
    }
}

/// Modules of a mixer, with their names inside the layer.
pub(super) struct LayerModules {
    pub(super) linears: Vec<(Role, &'static str, ModuleShape)>,
    pub(super) norms: Vec<(Role, &'static str, ModuleShape)>,
}

/// Returns the modules of attention: input and output projections, and the norms of queries and keys.
pub(super) fn attention_modules(config: &ModelConfig) -> LayerModules {
    let (names, hidden, biases) = (config.names, config.hidden_size, config.biases);
    // A hostile file's sizes may overflow a 32-bit machine's `usize`; such a model is refused by its total size.
    let queries = config.num_attention_heads.saturating_mul(config.head_dim);
    let keys = config.num_key_value_heads.saturating_mul(config.head_dim);
    let inputs = match names.attention.input.len() {
        1 => vec![(
            Role::Attention(AttentionPart::QueryKeyValue),
            queries.saturating_add(keys.saturating_mul(2)),
        )],
        _ => vec![
            (Role::Attention(AttentionPart::Query), queries),
            (Role::Attention(AttentionPart::Key), keys),
            (Role::Attention(AttentionPart::Value), keys),
        ],
    };
    let linear = |size_out, size_in, bias| config.linear_shape(size_out, size_in, bias);
    let inputs = names.attention.input.iter().zip(inputs);
    let linears = inputs
        .map(|(name, (role, size))| (role, *name, linear(size, hidden, biases.attention_input)))
        .chain([(
            Role::Attention(AttentionPart::Output),
            names.attention.output,
            linear(hidden, queries, biases.attention_output),
        )])
        .collect();
    let norms = [
        (Role::Attention(AttentionPart::QueryNorm), names.query_norm),
        (Role::Attention(AttentionPart::KeyNorm), names.key_norm),
    ]
    .into_iter();
    let norms = norms.filter_map(|(role, name)| Some((role, name?, config.norm_shape(config.head_dim))));
    LayerModules { linears, norms: norms.collect() }
}
