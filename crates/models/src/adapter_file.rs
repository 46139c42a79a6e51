//! A PEFT adapter file, read as values for [`crate::Model::set_adapter`].

use lorelei_formats::{parameter_name, read_adapter_bytes};

use crate::{AdapterValues, ModelError};

/// Reads the bytes of an `adapter_model.safetensors`. Errors use `file_name` as the name of the file.
///
/// # Errors
///
/// If the file is broken, or contains tensors without PEFT's prefix.
pub fn read_adapter(bytes: &[u8], file_name: &str) -> Result<AdapterValues, ModelError> {
    let named = |(key, tensor): (String, lorelei_formats::AdapterTensor)| {
        let name = parameter_name(&key).ok_or_else(|| {
            ModelError::Unsupported(format!("{file_name}: tensor {key} is not an adapter's"))
        })?;
        Ok((name, (tensor.shape, tensor.values)))
    };
    read_adapter_bytes(bytes, file_name)?.into_iter().map(named).collect()
}
