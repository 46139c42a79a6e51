//! PEFT's `adapter_model.safetensors`. Its keys are in [`crate::peft`].

use std::collections::BTreeMap;

use crate::{Dtype, FormatError, Place, SafetensorsFile, TensorData, TensorSource, TensorSpec, to_bytes};

/// One tensor of an adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterTensor {
    /// Row-major: `[r, in]` for A, `[out, r]` for B.
    pub shape: Vec<usize>,
    /// The values.
    pub values: Vec<f32>,
}

/// An adapter's tensors by PEFT's keys.
pub type Adapter = BTreeMap<String, AdapterTensor>;

/// Reads every tensor of an adapter file.
///
/// # Errors
/// When one cannot be read as floats.
pub fn read_adapter(source: &(impl TensorSource + ?Sized)) -> Result<Adapter, FormatError> {
    source
        .infos()
        .iter()
        .map(|info| {
            let values = source.read_f32(&info.name)?;
            Ok((info.name.clone(), AdapterTensor { shape: info.shape.clone(), values }))
        })
        .collect()
}

/// Reads the bytes of an `adapter_model.safetensors`, which errors call `file_name`.
///
/// # Errors
/// When they are no valid safetensors file of floats.
pub fn read_adapter_bytes(bytes: &[u8], file_name: &str) -> Result<Adapter, FormatError> {
    read_adapter(&SafetensorsFile::open(bytes, file_name)?)
}

/// The bytes of an `adapter_model.safetensors` in f32, the very ones that PEFT would write.
///
/// # Errors
/// When a tensor's values are not as many as its shape says, or one is not finite: such an adapter is of no use to anyone.
pub fn write_adapter(adapter: &Adapter) -> Result<Vec<u8>, FormatError> {
    let mut tensors = Vec::with_capacity(adapter.len());
    for (key, tensor) in adapter {
        if let Some(odd) = tensor.values.iter().find(|value| !value.is_finite()) {
            return Err(FormatError::misuse(
                "adapter",
                Place::Tensor(key.clone()),
                format!("it holds {odd}"),
                "train again from the last good checkpoint, with a lower learning rate",
            ));
        }
        let spec = TensorSpec::new(key, Dtype::F32, tensor.shape.as_slice());
        tensors.push((spec, TensorData::F32(&tensor.values)));
    }
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    to_bytes(&tensors, &metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_is_not_saved() {
        let tensor = AdapterTensor { shape: vec![1], values: vec![f32::NAN] };
        let error = write_adapter(&Adapter::from([("a".to_owned(), tensor)])).unwrap_err();
        assert!(error.to_string().contains("NaN"), "{error}");
    }
}
