//! Checkpoints of a run: the state, beside the adapter itself, from which a resumed run computes the same numbers.

use lorelei_formats::{SafetensorsFile, TensorSource};

use crate::{OptimizerState, TrainError, TrainerState};

/// A checkpoint's optimizer and step. Data order and dropout follow from the recipe's seed and the step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Checkpoint {
    /// Number of optimizer steps taken.
    pub step: usize,
    /// The state of the optimizer.
    pub optimizer: OptimizerState,
    /// The log history and the best evaluation.
    pub state: TrainerState,
    /// The values of the best checkpoint by parameter, if `load_best_model_at_end` needs them.
    pub best: Vec<(String, Vec<f32>)>,
}

/// Prefix of the names of the best values in `optimizer.safetensors`.
pub(crate) const BEST: &str = "best.";

impl Checkpoint {
    /// Reads the files `optimizer.safetensors` and `trainer_state.json` of a checkpoint.
    ///
    /// # Errors
    ///
    /// If they do not have the trainer's format.
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
