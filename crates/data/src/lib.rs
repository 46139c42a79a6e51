//! From rows to batches: rows of JSONL, JSON, CSV or text, the model's tokenizer and chat template, tokens with a loss mask, packed batches.
//!
//! One direction: [`read_rows`] reads rows, an [`Encoder`] turns each into token ids and labels (rendering
//! conversations with the model's chat template), [`pack`] lays several short ones in a row, [`epoch_order`] orders an
//! epoch and [`collate`] pads rows to a rectangle. Nothing here knows a tensor, a file system or a browser: bytes come
//! in through [`std::io::BufRead`], plain vectors go out.

mod batch;
mod chat;
mod clock;
mod encode;
mod error;
mod python_json;
mod random;
mod readers;
mod rows;
mod sampler;
mod split;
mod tokenizer;
mod tokenizer_config;
mod train_tokenizer;

pub use batch::{Batch, SequenceRow, collate, one_per_row, pack, sequences};
pub use chat::Message;
pub use encode::{Encoded, Encoder, Example, IGNORE_INDEX, encode_rows, survey_rows};
pub use error::{DataError, DataErrorKind};
pub use readers::{EXTENSIONS, read_jsonl, read_rows};
pub use rows::Row;
pub use sampler::{epoch_order, micro_batches};
pub use split::{hold_out, split};
pub use tokenizer::Tokenizer;
pub use train_tokenizer::train_byte_level_bpe;
