//! What the trainer needs of the place it runs in: a clock, an ear and a place for files.

use std::future::Future;

use lorelei_protocol::Event;

use crate::SaveError;

/// Whether a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// With the next step.
    Continue,
    /// It ends here, and what has been learnt is saved.
    Stop,
}

/// A process with a file system, or a browser's worker.
pub trait Host {
    /// Hears what happens.
    fn event(&mut self, event: &Event);

    /// Seconds since some fixed moment.
    fn seconds(&self) -> f64;

    /// Peak memory of the process, or of the device; 0 where it cannot be known.
    fn memory_bytes(&self) -> u64 {
        0
    }

    /// Awaited before every optimizer step. A host may take its time (a run that is held), or look for messages meanwhile.
    fn next_step(&mut self) -> impl Future<Output = Signal> {
        async { Signal::Continue }
    }

    /// Writes files into `directory` inside `output_dir` (empty: `output_dir` itself): all of them or, if it fails, none, and what
    /// stood there before stays.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    fn save(
        &mut self,
        directory: &str,
        files: Vec<(String, Vec<u8>)>,
    ) -> impl Future<Output = Result<(), SaveError>>;

    /// Removes the oldest checkpoints but the newest `keep`, and never the one called `best`. A host that keeps one only has nothing to do.
    fn rotate(&mut self, keep: usize, best: Option<&str>) -> impl Future<Output = ()> {
        let _ = (keep, best);
        async {}
    }
}
