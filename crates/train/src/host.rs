//! Interface of the trainer to the place that it runs in: a clock, a receiver of events and a place for files.

use std::future::Future;

use lorelei_protocol::Event;

use crate::SaveError;

/// Answer of a host before a step: whether the run continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The run continues with the next step.
    Continue,
    /// The run ends here, and its result is saved.
    Stop,
    /// The run is interrupted: a checkpoint is saved, from which it is resumed to the same numbers, and no result.
    Interrupt,
}

/// The place that a run takes place in: a process with a file system, or a browser's worker.
pub trait Host {
    /// Receives an event of the run.
    fn event(&mut self, event: &Event);

    /// Returns the seconds since some fixed moment.
    fn seconds(&self) -> f64;

    /// Returns the peak memory of the process, or of the device, in bytes. Returns 0 if it is not known.
    fn memory_bytes(&self) -> u64 {
        0
    }

    /// Waits before every optimizer step, and returns whether the run continues. A host may delay its answer to pause the run, or handle messages
    /// meanwhile.
    fn next_step(&mut self) -> impl Future<Output = Signal> {
        async { Signal::Continue }
    }

    /// Whether the run is to be interrupted ([`Signal::Interrupt`]). Asked between the micro-batches of a step and of an evaluation, which are given
    /// up then.
    fn is_interrupted(&self) -> bool {
        false
    }

    /// Writes files into `directory` inside `output_dir`, or into `output_dir` itself if `directory` is empty. Writes all files or, if one
    /// fails, none; the files that were there before then stay unchanged.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    fn save(
        &mut self,
        directory: &str,
        files: Vec<(String, Vec<u8>)>,
    ) -> impl Future<Output = Result<(), SaveError>>;

    /// Removes the oldest checkpoints until `keep` are left, but never the one called `best`. A host that stores only one checkpoint has nothing
    /// to do.
    fn rotate(&mut self, keep: usize, best: Option<&str>) -> impl Future<Output = ()> {
        let _ = (keep, best);
        async {}
    }
}
