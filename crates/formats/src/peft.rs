//! PEFT's names: the key of each module in an adapter file, and the names of trainable parameters.
//!
//! Keys are PEFT's (`get_peft_model_state_dict`): `base_model.model.`, the module's path, the part, `.weight`. Embedding adapters and DoRA's
//! magnitudes are bare parameters and lack the `.weight`. A fully trained module (`modules_to_save`) has its own key after the prefix.

use std::fmt;

use crate::TensorSource;

/// Prefix of every key of an adapter.
pub const KEY_PREFIX: &str = "base_model.model.";

/// PEFT's name for an adapted module's own layer, whose bias may train beside the adapter.
const BASE_LAYER: &str = "base_layer";

/// PEFT's name for the trainable rows of an embedding (`trainable_token_indices`).
const TRAINABLE_TOKENS: &str = "token_adapter.trainable_tokens_delta";

/// Classification heads that PEFT trains fully for a classification task, whatever the recipe names.
pub const CLASSIFIER_HEADS: [&str; 2] = ["classifier", "score"];

/// Linear layers that compute the logits of the classes, by their names in an adapter.
const CLASSIFIER_OUTPUTS: [&str; 4] = ["classifier", "score", "classifier.out_proj", "classifier_head"];

/// Tensor of an adapter on one module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdapterPart {
    /// LoRA's `A [r, in]`.
    LoraA,
    /// LoRA's `B [out, r]`.
    LoraB,
    /// Bias `[out]` of `B`.
    LoraBBias,
    /// `A [r, vocab]` of an embedding.
    LoraEmbeddingA,
    /// `B [hidden, r]` of an embedding.
    LoraEmbeddingB,
    /// DoRA's magnitudes `[out]`.
    MagnitudeVector,
}

impl AdapterPart {
    const ALL: [Self; 6] = [
        Self::LoraA,
        Self::LoraB,
        Self::LoraBBias,
        Self::LoraEmbeddingA,
        Self::LoraEmbeddingB,
        Self::MagnitudeVector,
    ];

    /// The matrices of an adapter on a linear layer.
    pub const MATRICES: [Self; 2] = [Self::LoraA, Self::LoraB];

    /// Returns PEFT's name of the attribute, such as `lora_A`.
    pub fn name(self) -> &'static str {
        match self {
            Self::LoraA => "lora_A",
            Self::LoraB => "lora_B",
            Self::LoraBBias => "lora_B.bias",
            Self::LoraEmbeddingA => "lora_embedding_A",
            Self::LoraEmbeddingB => "lora_embedding_B",
            Self::MagnitudeVector => "lora_magnitude_vector",
        }
    }

    /// Returns the name of this parameter of the module at `module_path`.
    pub fn parameter(self, module_path: &str) -> String {
        format!("{module_path}.{}", self.name())
    }

    /// Returns the key of this part of the module at `module_path` in an adapter file.
    pub fn key(self, module_path: &str) -> String {
        let end = if self.is_weight() { ".weight" } else { "" };
        format!("{KEY_PREFIX}{module_path}.{}{end}", self.name())
    }

    /// Whether the part is the weight of a module of its own, so that its key ends in `.weight`.
    fn is_weight(self) -> bool {
        match self {
            Self::LoraA | Self::LoraB => true,
            Self::LoraBBias | Self::LoraEmbeddingA | Self::LoraEmbeddingB | Self::MagnitudeVector => false,
        }
    }

    /// Splits a parameter's name into the module's path and the part.
    fn of_parameter(name: &str) -> Option<(&str, Self)> {
        Self::ALL.into_iter().find_map(|part| {
            let module = name.strip_suffix(part.name())?.strip_suffix('.')?;
            Some((module, part)).filter(|_| !module.is_empty())
        })
    }
}

impl fmt::Display for AdapterPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Returns the name of the bias of a module that has an adapter.
pub fn base_layer_bias(module_path: &str) -> String {
    format!("{module_path}.{BASE_LAYER}.bias")
}

/// Returns the names that the base's own weight of a module has in an adapter file: beside an adapter, and without one.
pub fn base_weights(module_path: &str) -> [String; 2] {
    [format!("{module_path}.{BASE_LAYER}.weight"), format!("{module_path}.weight")]
}

/// Returns the name of the trainable rows of the embedding at `module_path`.
pub fn trainable_tokens(module_path: &str) -> String {
    format!("{module_path}.{TRAINABLE_TOKENS}")
}

/// Whether the module at `path` is, or is a part of, a classification head that PEFT trains fully. PEFT compares the end of a name, which includes
/// DistilBERT's `pre_classifier` too.
pub fn is_classifier_head(path: &str) -> bool {
    path.split('.').any(|part| CLASSIFIER_HEADS.iter().any(|head| part.ends_with(head)))
}

/// Returns the number of classes of the classification head in an adapter file, or `None` if it has no such head.
pub fn adapter_num_labels(adapter: &dyn TensorSource) -> Option<usize> {
    CLASSIFIER_OUTPUTS.iter().find_map(|output| {
        let info = adapter.info(&format!("{KEY_PREFIX}{output}.weight"))?;
        // The number is one that the file has bytes for: it becomes the size of a layer.
        info.shape.first().copied().filter(|_| info.element_count() > 0)
    })
}

/// Returns the key of a parameter in an adapter file. The parameter is a part of an adapter (`<module>.lora_A`), or a tensor of a fully trained
/// module, by its name in the checkpoint.
pub fn parameter_key(name: &str) -> String {
    match AdapterPart::of_parameter(name) {
        Some((module, part)) => part.key(module),
        None => format!("{KEY_PREFIX}{name}"),
    }
}

/// Inverts [`parameter_key`]; returns `None` for keys without PEFT's prefix.
pub fn parameter_name(key: &str) -> Option<String> {
    match parse_adapter_key(key) {
        Some((module, part)) => Some(part.parameter(module)),
        None => key.strip_prefix(KEY_PREFIX).map(str::to_owned),
    }
}

/// Splits a key into the module's path and the part.
///
/// Keys of a model in memory, which include the adapter's name (`lora_A.default.weight`), are understood too. Returns `None` for keys that belong to
/// no adapted module, such as those of a fully trained module.
pub fn parse_adapter_key(key: &str) -> Option<(&str, AdapterPart)> {
    let path = key.strip_prefix(KEY_PREFIX)?;
    // The bias of `B` is found by the name of `B`.
    let parts = AdapterPart::ALL.into_iter().filter(|part| *part != AdapterPart::LoraBBias);
    parts.into_iter().find_map(|part| {
        let (module, rest) = path.rsplit_once(&format!(".{}", part.name()))?;
        // "", ".weight", ".default", ".default.weight": an adapter's name has no dots.
        let rest: Vec<&str> = match rest {
            "" => Vec::new(),
            rest => rest.strip_prefix('.')?.split('.').collect(),
        };
        if module.is_empty() {
            return None;
        }
        match (part.is_weight(), &rest[..]) {
            (true, ["weight"] | [_, "weight"]) => Some((module, part)),
            (true, ["bias"] | [_, "bias"]) if part == AdapterPart::LoraB => {
                Some((module, AdapterPart::LoraBBias))
            }
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
        for (part, name) in [
            (AdapterPart::LoraA, "lora_A"),
            (AdapterPart::LoraB, "lora_B"),
            (AdapterPart::LoraBBias, "lora_B.bias"),
            (AdapterPart::LoraEmbeddingA, "lora_embedding_A"),
            (AdapterPart::LoraEmbeddingB, "lora_embedding_B"),
            (AdapterPart::MagnitudeVector, "lora_magnitude_vector"),
        ] {
            assert_eq!(part.name(), name);
            assert_eq!(parse_adapter_key(&part.key(module)), Some((module, part)));
            let parameter = part.parameter(module);
            assert_eq!(parameter_name(&parameter_key(&parameter)).as_deref(), Some(&parameter[..]));
        }
        assert_eq!(
            AdapterPart::LoraA.key(module),
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
            let found = parse_adapter_key(key).map(|(module, part)| (module, part.name()));
            assert_eq!(found, parsed, "{key}");
        }
    }
}
