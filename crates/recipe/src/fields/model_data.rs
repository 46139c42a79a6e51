//! `[model]` and `[data]`: the settings that are not PEFT's or Transformers' own.

use super::State::*;
use super::{Field, rows};
use crate::kind::Kind::*;
use crate::kind::PERCENTAGE;

pub(super) const MODEL: &[Field] = rows! { Model;
    model_name_or_path: Text => "\"builtin:tiny\"" theirs "—", Supported, "A folder, a GGUF file, a hub id, or builtin:NAME.";
    adapter_name_or_path: Text => "null" theirs "—", Supported, "An adapter to go on from.";
    dtype: Choice { takes: &["auto", "float32", "float16", "bfloat16"], later: &[] } => "\"auto\"", Supported,
        "How the frozen weights are kept on the device.";
    torch_dtype: Any => "\"auto\"" theirs "—", Renamed("dtype"), "The name of dtype before Transformers 5.";
};

pub(super) const DATA: &[Field] = rows! { Data;
    train_file: Text => "null", Supported, "Examples: JSONL, JSON, CSV, TSV or text.";
    validation_file: Text => "null", Supported, "Examples for evaluation.";
    validation_split_percentage: Number(PERCENTAGE) => "null" theirs "5", Supported,
        "Percentage of the examples set aside for evaluation when there is no validation_file.";
    max_length: Int { min: 2, max: 1 << 20 } => "1024", Supported, "Longest sequence, in tokens.";
    shuffle: Bool => "true" theirs "—", Supported, "Whether each epoch takes the examples in a new order.";
    packing: Bool => "false", Supported, "Whether several short examples share a sequence.";
};
