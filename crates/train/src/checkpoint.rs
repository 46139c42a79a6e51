//! Where a run was when it saved: what it needs to go on to the same numbers, beside the adapter itself.

use lorelei_formats::{SafetensorsFile, TensorSource};

use crate::{LossScale, Moments, TrainError};

/// A checkpoint's optimizer and step. Data order and dropout follow from the recipe's seed and the step.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Optimizer steps taken.
    pub step: usize,
    /// By parameter.
    pub moments: Moments,
    /// Of a run in fp16.
    pub loss_scale: Option<LossScale>,
}

impl Checkpoint {
    /// Reads the files `optimizer.safetensors` and `trainer_state.json` of a checkpoint.
    ///
    /// # Errors
    ///
    /// If they are not what the trainer writes.
    pub fn read(optimizer: Vec<u8>, trainer_state: &str) -> Result<Self, TrainError> {
        let state: serde_json::Value = serde_json::from_str(trainer_state)
            .map_err(|error| TrainError::Checkpoint(format!("trainer_state.json: {error}")))?;
        let step = state["global_step"]
            .as_u64()
            .ok_or_else(|| TrainError::Checkpoint("trainer_state.json has no global_step".into()))?;
        let file = SafetensorsFile::open(optimizer, "optimizer.safetensors")?;
        let mut moments = Moments::new();
        for info in file.infos() {
            if let Some(name) = info.name.strip_prefix("exp_avg.") {
                let square = file.read_f32(&format!("exp_avg_sq.{name}"))?;
                moments.push((name.to_owned(), file.read_f32(&info.name)?, square));
            }
        }
        let loss_scale = serde_json::from_value(state["loss_scale"].clone()).ok();
        Ok(Self { step: usize::try_from(step).unwrap_or(usize::MAX), moments, loss_scale })
    }
}
