//! A PEFT adapter file as values for [`crate::Model::set_adapter`].

use lorelei_formats::{parse_adapter_key, read_adapter_bytes};

use crate::{AdapterValues, ModelError};

/// Reads the bytes of an `adapter_model.safetensors`, which errors call `file_name`.
///
/// # Errors
///
/// If it is broken, or holds anything but LoRA matrices.
pub fn read_adapter(bytes: &[u8], file_name: &str) -> Result<AdapterValues, ModelError> {
    let named = |(key, tensor): (String, lorelei_formats::AdapterTensor)| {
        let (module, part) = parse_adapter_key(&key).ok_or_else(|| {
            ModelError::Unsupported(format!("{file_name}: tensor {key} is not a LoRA matrix"))
        })?;
        Ok((format!("{module}.{part}"), (tensor.shape, tensor.values)))
    };
    read_adapter_bytes(bytes, file_name)?.into_iter().map(named).collect()
}
