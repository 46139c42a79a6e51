//! The training loop.

use crate::{Finished, Host, Job, Run, TrainError};

/// Trains to the end, or until the host asks to stop, and saves the result into `output_dir`. If the host interrupts the run, saves a checkpoint
/// instead.
///
/// # Errors
///
/// If the data have no targets, a number is not finite, the device fails or a save fails. Files that were saved before are unchanged.
pub async fn train(job: &mut Job, host: &mut impl Host) -> Result<Finished, TrainError> {
    let mut run = Run::begin(job, host).await?;
    while run.goes_on().await {
        run.step().await?;
        if run.is_logging_step() {
            run.log().await?;
        }
        if run.is_eval_step() {
            run.evaluate().await?;
        }
        if run.is_sample_step() {
            run.sample().await?;
        }
        if run.is_save_step() {
            run.save().await?;
        }
    }
    match run.is_interrupted() {
        true => run.interrupt().await,
        false => run.finish().await,
    }
}
