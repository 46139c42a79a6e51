//! PEFT's `adapter_model.safetensors`. [`crate::peft`] has its keys.

use std::collections::BTreeMap;

use crate::{Dtype, FormatError, Place, SafetensorsFile, TensorData, TensorSource, TensorSpec, to_bytes};

/// A tensor of an adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterTensor {
    /// Row-major shape: `[r, in]` for A, `[out, r]` for B.
    pub shape: Vec<usize>,
    /// Values of the tensor.
    pub values: Vec<f32>,
}

/// Tensors of an adapter by PEFT's keys.
pub type Adapter = BTreeMap<String, AdapterTensor>;

/// Reads every tensor of an adapter file.
///
/// # Errors
/// When a tensor cannot be read as floats.
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

/// Reads the bytes of an `adapter_model.safetensors`. Errors use `file_name` as the name of the file.
///
/// # Errors
/// When the bytes are not a valid safetensors file of floats.
pub fn read_adapter_bytes(bytes: &[u8], file_name: &str) -> Result<Adapter, FormatError> {
    read_adapter(&SafetensorsFile::open(bytes, file_name)?)
}

/// Returns the bytes of an `adapter_model.safetensors` in f32, identical to those that PEFT would write.
///
/// # Errors
/// When a tensor has another number of values than its shape, or a value is not finite: such an adapter is of no use to anyone.
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
