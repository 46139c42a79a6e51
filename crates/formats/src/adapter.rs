//! PEFT's `adapter_model.safetensors`: which key belongs to which module, and the file itself.
//!
//! Keys are PEFT's (`get_peft_model_state_dict`): `base_model.model.`, the module's path, the part, `.weight`. Embedding
//! adapters and DoRA's magnitudes are bare parameters and lack the `.weight`. A module trained whole
//! (`modules_to_save`) has its own key behind the prefix.

use std::collections::BTreeMap;

use crate::{Dtype, FormatError, Place, SafetensorsFile, TensorData, TensorSource, TensorSpec, to_bytes};

/// What every key of an adapter begins with.
pub const KEY_PREFIX: &str = "base_model.model.";

/// The parts whose parameters are modules' weights, and so end in `.weight`.
const WEIGHTS: [&str; 2] = ["lora_A", "lora_B"];
/// The parts that are parameters themselves.
const PARAMETERS: [&str; 3] = ["lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector"];
const BIAS: &str = "lora_B.bias";

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

/// PEFT's key for a part of the module at `module_path` (`model.layers.0.self_attn.q_proj`).
///
/// Parts are `lora_A`, `lora_B`, `lora_B.bias`, `lora_embedding_A`, `lora_embedding_B` and `lora_magnitude_vector`.
pub fn adapter_key(module_path: &str, part: &str) -> String {
    let end = if WEIGHTS.contains(&part) { ".weight" } else { "" };
    format!("{KEY_PREFIX}{module_path}.{part}{end}")
}

/// PEFT's key for what learns: a part of an adapter (`<module>.lora_A`), or a tensor of a module trained whole by its name in the
/// checkpoint.
pub fn parameter_key(name: &str) -> String {
    match name.rfind(".lora_") {
        Some(at) => adapter_key(&name[..at], &name[at + 1..]),
        None => format!("{KEY_PREFIX}{name}"),
    }
}

/// The inverse of [`parameter_key`]; `None` for keys without PEFT's prefix.
pub fn parameter_name(key: &str) -> Option<String> {
    match parse_adapter_key(key) {
        Some((module, part)) => Some(format!("{module}.{part}")),
        None => key.strip_prefix(KEY_PREFIX).map(str::to_owned),
    }
}

/// The module's path and the part (as [`adapter_key`] takes them) of a key.
///
/// Keys of a model in memory, which name the adapter (`lora_A.default.weight`), are understood too. `None` for keys that
/// belong to no adapted module, such as a module trained whole.
pub fn parse_adapter_key(key: &str) -> Option<(&str, &str)> {
    let path = key.strip_prefix(KEY_PREFIX)?;
    let parts = WEIGHTS.into_iter().chain(PARAMETERS);
    parts.into_iter().find_map(|part| {
        let (module, rest) = path.rsplit_once(&format!(".{part}"))?;
        // "", ".weight", ".default", ".default.weight": an adapter's name has no dots.
        let rest: Vec<&str> = match rest {
            "" => Vec::new(),
            rest => rest.strip_prefix('.')?.split('.').collect(),
        };
        if module.is_empty() {
            return None;
        }
        match (WEIGHTS.contains(&part), &rest[..]) {
            (true, ["weight"] | [_, "weight"]) => Some((module, part)),
            (true, ["bias"] | [_, "bias"]) if part == "lora_B" => Some((module, BIAS)),
            (false, [] | [_] | [_, "weight"]) => Some((module, part)),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_there_and_back() {
        let module = "model.layers.0.self_attn.q_proj";
        for part in [
            "lora_A",
            "lora_B",
            "lora_B.bias",
            "lora_embedding_A",
            "lora_embedding_B",
            "lora_magnitude_vector",
        ] {
            assert_eq!(parse_adapter_key(&adapter_key(module, part)), Some((module, part)));
        }
        assert_eq!(
            adapter_key(module, "lora_A"),
            "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
        );
    }

    #[test]
    fn names_go_there_and_back() {
        for name in ["model.layers.0.self_attn.q_proj.lora_B.bias", "lm_head.weight", "a.base_layer.bias"] {
            assert_eq!(parameter_name(&parameter_key(name)).as_deref(), Some(name));
        }
        assert_eq!(parameter_key("lm_head.weight"), "base_model.model.lm_head.weight");
        assert_eq!(parameter_name("lm_head.weight"), None);
    }

    #[test]
    fn keys_of_a_model_in_memory_and_foreign_ones() {
        for (key, parsed) in [
            ("base_model.model.a.b.lora_A.default.weight", Some(("a.b", "lora_A"))),
            ("base_model.model.a.lora_B.default.bias", Some(("a", "lora_B.bias"))),
            ("base_model.model.a.lora_embedding_A.default", Some(("a", "lora_embedding_A"))),
            ("base_model.model.a.lora_magnitude_vector.default.weight", Some(("a", "lora_magnitude_vector"))),
            ("base_model.model.lm_head.weight", None),
            ("base_model.model.a.lora_A", None),
            ("base_model.model.a.lora_A.x.y.weight", None),
            ("base_model.model.lora_A.weight", None),
            ("a.lora_A.weight", None),
        ] {
            assert_eq!(parse_adapter_key(key), parsed, "{key}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_not_saved() {
        let tensor = AdapterTensor { shape: vec![1], values: vec![f32::NAN] };
        let error = write_adapter(&Adapter::from([("a".to_owned(), tensor)])).unwrap_err();
        assert!(error.to_string().contains("NaN"), "{error}");
    }
}
