//! Converts rows to batches: rows of JSONL, JSON, CSV, text, Parquet or Arrow, the model's tokenizer and chat template, tokens with a loss mask,
//! packed batches.
//!
//! Data flows in one direction: [`read_rows`] reads rows, an [`Encoder`] turns each into token ids and labels (rendering conversations with the
//! model's chat template), [`pack`] places several short ones in a row, [`sampling_order`] orders an epoch and [`collate`] pads rows to a rectangle.
//! The crate depends on no tensor library, file system or browser: bytes come in through [`std::io::BufRead`], plain vectors go out.

mod assistant_spans;
mod batch;
mod chat;
mod clock;
mod digest;
mod encode;
mod end_tokens;
mod error;
mod example;
mod held_rows;
mod json_value;
mod labels;
mod loader;
mod panics;
mod preview;
mod python_json;
mod random;
mod readers;
mod row_set;
mod rows;
mod sampler;
mod split;
mod statistics;
mod template_changes;
mod template_guard;
mod template_marks;
mod template_source;
mod template_values;
mod tokenizer;
mod tokenizer_check;
mod tokenizer_config;
mod train_tokenizer;

pub use batch::{Batch, Padding, SequenceRow, Targets, collate, one_per_row, pack};
pub use chat::{Conversation, Message};
pub use digest::{ExamplesDigest, ExamplesHasher, sha256};
pub use encode::Encoder;
pub use error::{DataError, DataErrorKind};
pub use example::{Example, IGNORE_INDEX, Target};
pub use held_rows::HeldRows;
pub use labels::{ClassNames, LABELS_FILE, Labels, Question};
pub use loader::{Encoded, Loader, Place, encode_rows};
pub use preview::{ShownToken, shown};
pub use readers::{COMPRESSED, EXTENSIONS, Rows, is_known, is_parquet, read_jsonl, read_parquet, read_rows};
pub use row_set::{ExampleStore, Extent, RowSet, training_rows};
pub use rows::Row;
pub use sampler::{epoch_order, micro_batches, sampling_order};
pub use split::{split, split_by};
pub use statistics::{Bar, Statistics};
pub use template_changes::TemplateChanges;
pub use tokenizer::{Tokenizer, TokenizerFiles};
pub use train_tokenizer::train_byte_level_bpe;
