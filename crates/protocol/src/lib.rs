//! Events that a trainer reports while it works ([`Event`]), and messages between a page and the worker that trains for it ([`Request`], [`Reply`]).
//! They are plain data without burn, so that a page can use them.
//!
//! A message between page and worker is a JavaScript object. To the worker it is `{ json, files }`, where `json` is a [`Request`] and `files` an
//! array of the `File`s that the request refers to, in its order. To the page it is `{ json, bytes, file }`, where `json` is a [`Reply`], and `bytes` a
//! `Uint8Array` and `file` a `File` for the replies whose documentation mentions them.

mod download;
mod event;
mod notice;
mod reply;
mod request;
mod verdict;

pub use download::{DownloadKind, DownloadOffer};
pub use event::{Evaluation, Event, Finished, LogLine, Metrics, Sampled, Saved, Started, StepLog};
pub use notice::{Failure, LONGEST_VALUE, Notice};
pub use reply::{
    AdapterInfo, BadRow, CachedModel, Capabilities, DataInfo, InterruptedRun, LengthBar, ModelInfo,
    PreviewRow, PreviewToken, Reply,
};
pub use request::{DataChoice, DeviceChoice, GenerationConfig, ModelChoice, Request, SamplePrompt};
pub use verdict::{LabelScore, TaggedWord, Verdict};
