//! Numbers that are read from a device.

use burn::tensor::{Device, Tensor};

use crate::TrainError;

/// Reads a number from the device. Returns 0 for `None`.
///
/// # Errors
///
/// The backend's message, if the number cannot be read.
pub(crate) async fn read_number(tensor: Option<Tensor<1>>) -> Result<f64, String> {
    let Some(tensor) = tensor else { return Ok(0.0) };
    let value = tensor.into_scalar_async::<f32>().await.map_err(|error| format!("{error:?}"))?;
    Ok(f64::from(value))
}

/// Reads a number that must be finite, like [`read_number`].
///
/// # Errors
///
/// If the device fails, or the number is not finite.
pub(crate) async fn read_finite(
    what: &str,
    tensor: Option<Tensor<1>>,
    step: usize,
) -> Result<f64, TrainError> {
    let value = read_number(tensor).await.map_err(|reason| TrainError::Device { step, reason })?;
    match value.is_finite() {
        true => Ok(value),
        false => Err(TrainError::Diverged { what: what.into(), value, step }),
    }
}

/// Returns the bytes that a device's allocator has reserved.
pub(crate) fn reserved_bytes(device: &Device) -> u64 {
    device.memory_pool_usage().map_or(0, |usage| usage.bytes_reserved)
}
