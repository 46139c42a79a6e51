//! The architectures that can be read, each in one file.

mod bert;
mod chatglm;
mod distilbert;
mod gemma;
mod gemma2;
mod gemma3_text;
mod glm;
mod glm4;
mod gpt2;
mod granite;
mod llama;
mod mistral;
mod phi3;
mod qwen2;
mod qwen3;
mod roberta;
mod smollm3;

use super::fields::{DEVIATION, Fields};
use super::{ModelConfig, model_type};
use crate::FormatError;

type Read = fn(&Fields<'_>) -> Result<ModelConfig, FormatError>;

/// Transformers' `model_type` of each architecture, and the function that reads it.
const KNOWN: [(&str, Read); 18] = [
    ("llama", llama::read),
    ("mistral", mistral::read),
    ("qwen2", qwen2::read),
    ("qwen3", qwen3::read),
    ("smollm3", smollm3::read),
    ("gemma", gemma::read),
    ("gemma2", gemma2::read),
    ("gemma3_text", gemma3_text::read),
    ("phi3", phi3::read),
    ("granite", granite::read),
    ("glm", glm::read),
    ("glm4", glm4::read),
    ("chatglm", chatglm::read),
    ("gpt2", gpt2::read),
    ("bert", bert::read),
    ("roberta", roberta::read),
    ("xlm-roberta", roberta::read_xlm),
    ("distilbert", distilbert::read),
];

pub(super) fn read(fields: &Fields<'_>) -> Result<ModelConfig, FormatError> {
    let known = KNOWN.map(|(name, _)| name).join(", ");
    let given = model_type(fields, &known)?;
    match KNOWN.iter().find(|(name, _)| *name == given) {
        Some((_, read)) => {
            // Models and heads that are begun at random are drawn with it.
            fields.optional_number("initializer_range", &DEVIATION)?;
            read(fields)
        }
        None => {
            let given = crate::error::Shortened(given);
            let problem = format!("models of type {given:?} are not supported (supported: {known})");
            Err(fields.unsupported("model_type", problem, "use a model of a supported type"))
        }
    }
}
