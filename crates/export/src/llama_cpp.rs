//! What llama.cpp's architectures have in common for every file that is written for it.

use lorelei_formats::{
    ModelConfig,
    config::{AttentionPart, Module, ModuleShape, NormKind, Role},
    gguf::{GgmlType, GgufTensorSpec},
};

use lorelei_recipe::Message;

use crate::{
    ExportError,
    adapter::{refuse_large, transposed},
};

/// Version of ggml's quantised formats, as gguf-py writes it.
pub(crate) const QUANTIZATION_VERSION: u32 = 2;

/// An architecture as llama.cpp knows it.
pub(crate) struct Architecture {
    /// Value of `general.architecture`.
    pub name: &'static str,
    /// Whether llama.cpp rotates neighbouring pairs of values, so that its converter interleaves the rows of queries and keys.
    pub interleaved: bool,
    /// Whether llama.cpp takes the embedding for the head, whatever the checkpoint has.
    pub ties: bool,
}

/// Returns llama.cpp's architecture for a `model_type`, or `None` if it has none that takes adapters.
pub(crate) fn architecture(model_type: &str) -> Option<Architecture> {
    let (name, interleaved) = match model_type {
        "llama" | "mistral" => ("llama", true),
        "smollm3" => ("smollm3", true),
        "granite" => ("granite", true),
        "qwen2" => ("qwen2", false),
        "qwen3" => ("qwen3", false),
        "gemma" => ("gemma", false),
        "gemma2" => ("gemma2", false),
        "gemma3_text" => ("gemma3", false),
        "phi3" => ("phi3", false),
        // Their pairs are neighbours in the checkpoint and in llama.cpp.
        "glm" | "chatglm" => ("chatglm", false),
        "glm4" => ("glm4", false),
        "gpt2" => ("gpt2", false),
        _ => return None,
    };
    Some(Architecture { name, interleaved, ties: matches!(name, "gemma" | "gemma2") })
}

/// Returns the number of heads whose rows of a module llama.cpp has interleaved, if it has.
pub(crate) fn interleaved_heads(base: &ModelConfig, role: Role) -> Option<usize> {
    architecture(base.model_type).filter(|architecture| architecture.interleaved)?;
    match role {
        Role::Attention(AttentionPart::Query) => Some(base.num_attention_heads),
        Role::Attention(AttentionPart::Key) => Some(base.num_key_value_heads),
        _ => None,
    }
}

/// Interleaves the rows of a matrix as llama.cpp's converter does: row `j` and row `j + half` of a head become neighbours. A bias has rows of one.
pub(crate) fn interleaved(values: &[f32], columns: usize, heads: usize) -> Vec<f32> {
    let columns = columns.max(1);
    let head_rows = values.len() / columns / heads.max(1);
    let mut turned = Vec::with_capacity(values.len());
    for head in values.chunks(head_rows.max(1) * columns) {
        let (first, second) = head.split_at(head.len() / 2 / columns * columns);
        for (upper, lower) in first.chunks(columns).zip(second.chunks(columns)) {
            turned.extend_from_slice(upper);
            turned.extend_from_slice(lower);
        }
    }
    turned
}

/// Brings a tensor of a checkpoint into llama.cpp's layout: `[out, in]`, interleaved where it rotates neighbours, and Gemma's norms with their one.
pub(crate) fn laid_out(base: &ModelConfig, module: &Module, is_weight: bool, values: Vec<f32>) -> Vec<f32> {
    let mut values = match module.shape {
        ModuleShape::Linear { size_out, in_out: true, .. } if is_weight => transposed(&values, size_out),
        _ => values,
    };
    if matches!(module.shape, ModuleShape::Norm { .. }) && base.norm == NormKind::RmsPlusOne && is_weight {
        values.iter_mut().for_each(|value| *value += 1.0);
    }
    match (interleaved_heads(base, module.role), module.shape) {
        (Some(heads), ModuleShape::Linear { size_in, .. }) => {
            interleaved(&values, if is_weight { size_in } else { 1 }, heads)
        }
        _ => values,
    }
}

/// Returns the shape in llama.cpp's layout, `[out, in]`.
pub(crate) fn shape_of(module: &Module, is_weight: bool) -> Vec<usize> {
    match (module.shape, is_weight) {
        (ModuleShape::Linear { size_out, size_in, .. }, true) => vec![size_out, size_in],
        (shape, true) => shape.weight(),
        (shape, false) => shape.bias().into_iter().collect(),
    }
}

/// Refuses values that would become infinite in a tensor's format.
pub(crate) fn refuse_overflow(
    form: impl Into<Message>,
    spec: &GgufTensorSpec,
    values: &[f32],
) -> Result<(), ExportError> {
    const HALF: f32 = 65504.0;
    let most = match spec.ggml_type {
        // A block's step, or its least value, is a half float.
        GgmlType::F16 | GgmlType::Q4_1 | GgmlType::Q5_1 => HALF,
        GgmlType::Q4_0 => HALF * 8.0,
        GgmlType::Q5_0 => HALF * 16.0,
        GgmlType::Q8_0 => HALF * 127.0,
        _ => f32::MAX,
    };
    refuse_large(form, &spec.name, &spec.ggml_type, most, values)
}
