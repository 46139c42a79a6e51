//! DistilBERT: BERT without segments, with its own names.

use super::super::decoder::{MOST_HEADS, MOST_LAYERS, MOST_TOKENS, MOST_VOCABULARY, MOST_WIDE, MOST_WIDTH};
use super::super::design::{HeadNames, Names, Squash, SublayerNames};
use super::super::{ModelConfig, fields::Fields};
use super::bert;
use crate::FormatError;

const NAMES: Names = Names {
    prefix: "distilbert.",
    token_types: None,
    layers: "transformer.layer",
    attention: SublayerNames {
        input: &["attention.q_lin", "attention.k_lin", "attention.v_lin"],
        output: "attention.out_lin",
        norm_residual: Some("sa_layer_norm"),
        ..bert::NAMES.attention
    },
    mlp: SublayerNames {
        input: &["ffn.lin1"],
        output: "ffn.lin2",
        norm_residual: Some("output_layer_norm"),
        ..bert::NAMES.mlp
    },
    sequence_head: HeadNames {
        dense: Some(("pre_classifier", Squash::Relu)),
        output: "classifier",
        bias: true,
    },
    ..bert::NAMES
};

pub fn read(fields: &Fields<'_>) -> Result<ModelConfig, FormatError> {
    let size = |key: &str, most: u64, usual: usize| -> Result<usize, FormatError> {
        Ok(fields.optional_size(key, most)?.unwrap_or(usual))
    };
    let (dim, heads) = (size("dim", MOST_WIDTH, 768)?, size("n_heads", MOST_HEADS, 12)?);
    let layers = size("n_layers", MOST_LAYERS, 6)?;
    bert::encoder(
        fields,
        ModelConfig {
            model_type: "distilbert",
            vocab_size: size("vocab_size", MOST_VOCABULARY, 30_522)?,
            intermediate_size: size("hidden_dim", MOST_WIDE, 4 * dim)?,
            max_position_embeddings: size("max_position_embeddings", MOST_TOKENS, 512)?,
            ..bert::blank(fields, NAMES, ("dim", dim), heads, layers)?
        },
    )
}
