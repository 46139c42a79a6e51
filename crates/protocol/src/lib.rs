//! What a trainer says while it works ([`Event`]), and what a page and the worker that trains for it say to each other
//! ([`Request`], [`Reply`]). Plain data, without burn, so that a page can know it.
//!
//! Between page and worker a message is a JavaScript object: `{ json, files }` to the worker, where `json` is a [`Request`] and
//! `files` an array of `File`s that it speaks of, in its order; `{ json, bytes }` back, where `json` is a [`Reply`] and `bytes` a
//! `Uint8Array` where the reply says so.

mod event;
mod notice;
mod reply;
mod request;
mod verdict;

pub use event::{Evaluation, Event, Finished, LogLine, Metrics, Sampled, Saved, Started, StepLog};
pub use notice::{Failure, Notice};
pub use reply::{
    AdapterInfo, BadRow, CachedModel, Capabilities, DataInfo, InterruptedRun, LengthBar, ModelInfo,
    PreviewRow, PreviewToken, Reply,
};
pub use request::{DataChoice, DeviceChoice, GenerationConfig, ModelChoice, Request, SamplePrompt};
pub use verdict::{LabelScore, TaggedWord, Verdict};
