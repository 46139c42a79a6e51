//! RoBERTa and XLM-RoBERTa: BERT with its own head, whose positions begin after the padding's position.

use super::super::design::{HeadNames, Names, Squash};
use super::super::{ModelConfig, fields::Fields};
use super::bert;
use crate::FormatError;

const NAMES: Names = Names {
    prefix: "roberta.",
    sequence_head: HeadNames {
        dense: Some(("classifier.dense", Squash::Tanh)),
        output: "classifier.out_proj",
        bias: true,
    },
    ..bert::NAMES
};

pub fn read(fields: &Fields<'_>) -> Result<ModelConfig, FormatError> {
    family(fields, "roberta")
}

pub fn read_xlm(fields: &Fields<'_>) -> Result<ModelConfig, FormatError> {
    family(fields, "xlm-roberta")
}

fn family(fields: &Fields<'_>, model_type: &'static str) -> Result<ModelConfig, FormatError> {
    let mut config = bert::family(fields, model_type, NAMES)?;
    config.bos_token_id = fields.token("bos_token_id", Some(0))?;
    config.eos_token_id = fields.tokens("eos_token_id", &[2])?;
    config.pad_token_id = fields.token("pad_token_id", Some(1))?;
    config.position_offset = (config.pad_token_id.unwrap_or(1) as usize).saturating_add(1);
    bert::encoder(fields, config)
}
