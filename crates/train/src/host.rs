//! What the trainer needs of the place it runs in: a clock, an ear and a place for files.

use std::future::Future;

use crate::{Event, SaveError};

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

    /// Asked before every optimizer step: true ends the run, and what has been learnt is saved.
    fn stop_requested(&self) -> bool {
        false
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
}
