//! Where a run was when it saved: what it needs to go on to the same numbers, beside the adapter itself.

use lorelei_formats::{SafetensorsFile, TensorSource};

use crate::{Moments, TrainError, TrainerState};

/// A checkpoint's optimizer and step. Data order and dropout follow from the recipe's seed and the step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Checkpoint {
    /// Optimizer steps taken.
    pub step: usize,
    /// By parameter.
    pub moments: Moments,
    /// What was logged, and the best evaluation.
    pub state: TrainerState,
    /// The values of the best checkpoint by parameter, where `load_best_model_at_end` will want them.
    pub best: Vec<(String, Vec<f32>)>,
}

impl Checkpoint {
    /// Reads the files `optimizer.safetensors` and `trainer_state.json` of a checkpoint.
    ///
    /// # Errors
    ///
    /// If they are not what the trainer writes.
    pub fn read(optimizer: Vec<u8>, trainer_state: &str) -> Result<Self, TrainError> {
        let (step, state) = TrainerState::read(trainer_state)?;
        let file = SafetensorsFile::open(optimizer, "optimizer.safetensors")?;
        let (mut moments, mut best) = (Moments::new(), Vec::new());
        for info in file.infos() {
            if let Some(name) = info.name.strip_prefix("best.") {
                best.push((name.to_owned(), file.read_f32(&info.name)?));
            } else if let Some(name) = info.name.strip_prefix("exp_avg.") {
                let square = format!("exp_avg_sq.{name}");
                let square = if file.info(&square).is_some() { file.read_f32(&square)? } else { Vec::new() };
                moments.push((name.to_owned(), file.read_f32(&info.name)?, square));
            }
        }
        Ok(Self { step, moments, state, best })
    }
}
