//! `[model]` and `[data]`: the settings that are not PEFT's or Transformers' own.

use super::State::*;
use super::{Field, rows};
use crate::kind::Kind::*;
use crate::kind::PERCENTAGE;

pub(super) const MODEL: &[Field] = rows! { Model;
    model_name_or_path: Text => "\"builtin:tiny\"" theirs "—", Supported, "A folder, a GGUF file, a hub id (owner/name, or owner/name@revision), or builtin:NAME.";
    adapter_name_or_path: Text => "null" theirs "—", Supported, "An adapter to go on from.";
    dtype: Choice { takes: &["auto", "float32", "float16", "bfloat16"], later: &[] } => "\"auto\"", Supported,
        "How the frozen weights are kept on the device.";
    torch_dtype: Any => "\"auto\"" theirs "—", Renamed("dtype"), "The name of dtype before Transformers 5.";
};

pub(super) const DATA: &[Field] = rows! { Data;
    train_file: Text => "null", Supported,
        "Examples: JSONL, JSON, CSV, TSV, text, Parquet or Arrow; natively also a folder or a glob of them.";
    validation_file: Text => "null", Supported, "Examples for evaluation.";
    validation_split_percentage: Number(PERCENTAGE) => "null" theirs "5", Supported,
        "Percentage of the examples set aside for evaluation when there is no validation_file.";
    columns: Columns => "{}" theirs "—", Supported, "Which column of the file each field of a row is.";
    on_bad_row: Choice { takes: &["error", "skip"], later: &[] } => "\"error\"" theirs "—", Supported,
        "What a row that cannot be used does: it stops the run, or is left out and counted.";
    sample_by: Choice { takes: &["line", "paragraph", "document"], later: &[] } => "\"line\"", Supported,
        "What a row of a text file is: a line, what stands between blank lines, or max_length tokens of the whole.";
    assistant_only_loss: Bool => "true" theirs "false", Supported,
        "Whether only the assistant's turns of a conversation are learnt.";
    completion_only_loss: Bool => "true" theirs "null", Supported,
        "Whether of a prompt and its completion only the second is learnt.";
    deduplicate: Bool => "false" theirs "—", Supported, "Whether of rows with the same tokens only the first is kept.";
    max_length: Int { min: 2, max: 1 << 20 } => "1024", Supported, "Longest sequence, in tokens.";
    truncation_side: Choice { takes: &["left", "right"], later: &[] } => "\"right\"", Supported,
        "The side on which longer rows are cut.";
    pad_to_multiple_of: Int { min: 1, max: 1 << 20 } => "null", Supported,
        "Batches are padded to a multiple of so many tokens.";
    shuffle: Bool => "true" theirs "—", Supported, "Whether each epoch takes the examples in a new order.";
    packing: Bool => "false", Supported, "Whether several short examples share a sequence.";
};
