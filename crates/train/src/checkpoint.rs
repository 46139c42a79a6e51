//! Where a run was when it saved: what it needs to go on to the same numbers, beside the adapter itself.

use lorelei_formats::{SafetensorsFile, TensorSource};

use crate::{OptimizerState, TrainError, TrainerState};

/// A checkpoint's optimizer and step. Data order and dropout follow from the recipe's seed and the step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Checkpoint {
    /// Optimizer steps taken.
    pub step: usize,
    /// What the optimizer keeps.
    pub optimizer: OptimizerState,
    /// What was logged, and the best evaluation.
    pub state: TrainerState,
    /// The values of the best checkpoint by parameter, where `load_best_model_at_end` will want them.
    pub best: Vec<(String, Vec<f32>)>,
}

/// What stands before the names of the best values in `optimizer.safetensors`.
pub(crate) const BEST: &str = "best.";

impl Checkpoint {
    /// Reads the files `optimizer.safetensors` and `trainer_state.json` of a checkpoint.
    ///
    /// # Errors
    ///
    /// If they are not what the trainer writes.
    pub fn read(optimizer: Vec<u8>, trainer_state: &str) -> Result<Self, TrainError> {
        let (step, state) = TrainerState::read(trainer_state)?;
        let file = SafetensorsFile::open(optimizer, "optimizer.safetensors")?;
        let (mut optimizer, mut best) = (OptimizerState::new(), Vec::new());
        for info in file.infos() {
            let values = file.read_f32(&info.name)?;
            match info.name.strip_prefix(BEST) {
                Some(name) => best.push((name.to_owned(), values)),
                None => {
                    optimizer.insert(info.name.clone(), values);
                }
            }
        }
        Ok(Self { step, optimizer, state, best })
    }
}
