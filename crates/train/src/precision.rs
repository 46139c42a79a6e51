//! Mixed precision as in Transformers: the dtype of the frozen base, and the loss scale that keeps small gradients in a half float's range.

use burn::tensor::{Device, FloatDType};
use lorelei_kernels::gpu::{self, Halves};
use lorelei_recipe::{Message, TrainingArguments, message};
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// Returns the dtype of the base's weights on `device`, and a warning if it is not the one that the recipe asks for. With `fp16`, a device
/// without half floats trains in float32, which can represent whatever half floats can.
///
/// # Errors
///
/// If `bf16` is asked for and the device does not have it.
pub async fn base_dtype(
    arguments: &TrainingArguments,
    device: &Device,
) -> Result<(FloatDType, Option<Message>), TrainError> {
    let single = |reason: Message| {
        let message = message!("fp16 has no effect: {reason}; the run computes in float32", reason);
        Ok((FloatDType::F32, Some(message)))
    };
    if arguments.fp16 {
        return match gpu::halves(device, FloatDType::F16) {
            Halves::Cpu => single(message!("half floats save nothing on a CPU")),
            Halves::Missing => single(message!("this GPU, or its driver, has no half floats (shader-f16)")),
            Halves::Held if gpu::halves_are_right(device, FloatDType::F16).await => {
                Ok((FloatDType::F16, None))
            }
            Halves::Held => single(message!("this GPU's driver gives wrong numbers for half floats")),
        };
    }
    if arguments.bf16 {
        return match gpu::halves(device, FloatDType::BF16) {
            Halves::Held if gpu::halves_are_right(device, FloatDType::BF16).await => {
                Ok((FloatDType::BF16, None))
            }
            _ => Err(TrainError::NoBfloat16 { device: name(device) }),
        };
    }
    Ok((FloatDType::F32, None))
}

fn name(device: &Device) -> Message {
    match gpu::halves(device, FloatDType::F32) {
        Halves::Cpu => message!("the CPU"),
        _ => format!("{device:?}").into(),
    }
}

/// The factor of the loss in `fp16`, with the constants of `torch.amp.GradScaler`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// The factor that the loss is multiplied by.
    pub scale: f64,
    /// Number of consecutive steps with a finite gradient since the scale last changed.
    pub growth_tracker: u32,
    /// Number of steps that were skipped because their gradient was not finite.
    pub skipped_steps: u64,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { scale: 65536.0, growth_tracker: 0, skipped_steps: 0 }
    }
}

impl LossScale {
    const GROWTH_FACTOR: f64 = 2.0;
    const BACKOFF_FACTOR: f64 = 0.5;
    const GROWTH_INTERVAL: u32 = 2000;
    /// Lowest scale. A lower one brings nothing of a gradient into a half float's range that is not in it without a scale.
    const LOWEST: f64 = 1.0 / 16384.0;

    /// Updates the scale after a step: doubles it after 2000 steps with a finite gradient, and halves it after one whose gradient is not finite.
    pub fn update(&mut self, is_finite: bool) {
        if !is_finite {
            self.scale *= Self::BACKOFF_FACTOR;
            self.growth_tracker = 0;
            self.skipped_steps += 1;
            return;
        }
        self.growth_tracker += 1;
        if self.growth_tracker == Self::GROWTH_INTERVAL {
            self.scale *= Self::GROWTH_FACTOR;
            self.growth_tracker = 0;
        }
    }

    /// Whether halving the scale further is useless, because the gradient is not finite for another reason than its scale.
    pub fn is_lost(&self) -> bool {
        self.scale < Self::LOWEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.amp.GradScaler(device="cpu")` over the same steps: 3 overflows, 2000 good steps, an overflow after 1999 more.
    #[test]
    fn the_scale_goes_as_torchs() {
        let mut scale = LossScale::default();
        assert_eq!(scale.scale, 65536.0);
        (0..3).for_each(|_| scale.update(false));
        assert_eq!((scale.scale, scale.skipped_steps), (8192.0, 3));
        (0..1999).for_each(|_| scale.update(true));
        assert_eq!(scale.scale, 8192.0);
        scale.update(true);
        assert_eq!((scale.scale, scale.growth_tracker), (16384.0, 0));
        (0..1999).for_each(|_| scale.update(true));
        scale.update(false);
        assert_eq!((scale.scale, scale.growth_tracker, scale.skipped_steps), (8192.0, 0, 4));
    }

    #[test]
    fn a_scale_that_only_falls_is_lost() {
        let mut scale = LossScale::default();
        let falls = (0..100).take_while(|_| {
            scale.update(false);
            !scale.is_lost()
        });
        assert_eq!(falls.count(), 30);
    }
}
