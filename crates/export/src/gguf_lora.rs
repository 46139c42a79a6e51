//! A GGUF LoRA adapter, as llama.cpp, Ollama and LM Studio read it.
//!
//! The form is that of llama.cpp's `convert_lora_to_gguf.py`: tensors `<base tensor>.lora_a [r, in]` and `.lora_b [out, r]`, and one alpha. llama.cpp
//! multiplies by `alpha / r`, where `r` is the rank of each tensor. What that leaves out (rsLoRA, `alpha_pattern`) is folded into `B`.

use std::io::Write;

use lorelei_formats::{
    AdapterPart, ModelConfig,
    config::Role,
    gguf::{GgmlType, GgufTensorSpec, GgufValue, GgufWriter, gguf_name},
};
use lorelei_recipe::{Message, message};

use crate::{
    AdaptedModule, ExportError, PeftAdapter,
    adapter::{is_end, listed, scaled, transposed},
    llama_cpp::{
        Architecture, QUANTIZATION_VERSION, architecture, interleaved, interleaved_heads, refuse_overflow,
    },
};

/// Returns the name of the form in errors.
fn form() -> Message {
    message!("a GGUF adapter")
}

/// Returns the way out that serves every adapter.
fn merged() -> Message {
    message!("export it merged into its base (`gguf`, or `merged` for llama.cpp's own convert_hf_to_gguf.py)")
}

/// Options of a GGUF adapter.
#[derive(Debug, Clone)]
pub struct GgufLoraOptions {
    /// Storage format of the tensors: F32, F16, BF16 or Q8_0.
    pub ggml_type: GgmlType,
    /// Name of the adapter (`general.name`).
    pub name: String,
}

impl GgufLoraOptions {
    /// Formats that can be written, by the names that llama.cpp's converter gives them.
    pub const TYPES: [(&str, GgmlType); 4] =
        [("f32", GgmlType::F32), ("f16", GgmlType::F16), ("bf16", GgmlType::BF16), ("q8_0", GgmlType::Q8_0)];
}

/// A tensor pair of the file.
struct Pair<'a> {
    module: &'a AdaptedModule,
    /// Name of the base's tensor.
    name: String,
    /// Number of heads whose rows of `B` are interleaved.
    heads: Option<usize>,
    /// Formats of `A` and `B`.
    types: [GgmlType; 2],
}

impl Pair<'_> {
    fn specs(&self) -> [GgufTensorSpec; 2] {
        let AdaptedModule { rank, size_in, size_out, is_embedding, .. } = *self.module;
        // llama.cpp reads rows of the embedding's A.
        let a = if is_embedding { vec![size_in, rank] } else { vec![rank, size_in] };
        let [type_a, type_b] = self.types;
        [
            GgufTensorSpec { name: format!("{}.lora_a", self.name), shape: a, ggml_type: type_a },
            GgufTensorSpec {
                name: format!("{}.lora_b", self.name),
                shape: vec![size_out, rank],
                ggml_type: type_b,
            },
        ]
    }
}

/// Writes an adapter as a GGUF file for a base of configuration `base`, one tensor at a time. Returns the output, and notices for the user.
///
/// # Errors
/// If llama.cpp cannot apply the adapter (each error says how the user gets there otherwise), it does not fit the base, or writing fails.
pub fn write_gguf_lora<W: Write>(
    adapter: &PeftAdapter,
    base: &ModelConfig,
    options: &GgufLoraOptions,
    out: W,
) -> Result<(W, Vec<Message>), ExportError> {
    let architecture = refuse(adapter, base)?;
    let mut notices: Vec<Message> = adapter.without_base_copies(&base.modules())?.into_iter().collect();
    let alpha = adapter.lora.lora_alpha as f32;
    let pairs = pairs(adapter, base, &architecture, options.ggml_type, &mut notices)?;
    let metadata = [
        ("general.architecture", GgufValue::String(architecture.name.to_owned())),
        ("general.type", GgufValue::String("adapter".to_owned())),
        ("adapter.type", GgufValue::String("lora".to_owned())),
        ("general.name", GgufValue::String(options.name.clone())),
        ("adapter.lora.alpha", GgufValue::F32(alpha)),
        ("general.quantization_version", GgufValue::U32(QUANTIZATION_VERSION)),
    ];
    let specs: Vec<_> = pairs.iter().flat_map(Pair::specs).collect();
    let mut writer = GgufWriter::new(out, &metadata, &specs)?;
    let mut folded = false;
    for pair in &pairs {
        let module = pair.module;
        let [spec_a, spec_b] = pair.specs();
        let (a, b) = adapter.matrices(module)?;
        let factor = adapter.fold(module, f64::from(alpha) / module.rank as f64);
        folded |= factor != 1.0;
        let a = if module.is_embedding { transposed(&a, module.size_in) } else { a };
        let b = scaled(b, factor);
        let b = match pair.heads {
            None => b,
            Some(heads) => interleaved(&b, module.rank, heads),
        };
        for (spec, values) in [(spec_a, a), (spec_b, b)] {
            refuse_overflow(form(), &spec, &values)?;
            writer.write_f32(&spec.name, &values)?;
        }
    }
    if folded {
        notices.push(message!(
            "the scales that a GGUF adapter has no key for (rsLoRA, alpha_pattern) are folded into B"
        ));
    }
    Ok((writer.finish()?, notices))
}

/// Refuses what [`write_gguf_lora`] would refuse, as far as names, shapes and settings tell it.
pub(crate) fn check_gguf_lora(adapter: &PeftAdapter, base: &ModelConfig) -> Result<(), ExportError> {
    let architecture = refuse(adapter, base)?;
    adapter.without_base_copies(&base.modules())?;
    pairs(adapter, base, &architecture, GgmlType::F32, &mut Vec::new()).map(drop)
}

/// Refuses what llama.cpp would refuse, or would silently leave out.
fn refuse(adapter: &PeftAdapter, base: &ModelConfig) -> Result<Architecture, ExportError> {
    let no = |problem: Message, help: Message| Err(ExportError::inexpressible(form(), problem, help));
    let Some(architecture) = architecture(base.model_type) else {
        let problem = message!(
            "llama.cpp applies no adapters to models of type {model_type}",
            model_type = base.model_type
        );
        return no(problem, message!("use it with PEFT (`peft`), or merged into its base (`merged`)"));
    };
    if adapter.classifies(base) {
        let problem = message!("it was trained to classify, and a GGUF adapter has no classifier's head");
        return no(problem, message!("use it with PEFT (`peft`), or merged into its base (`merged`)"));
    }
    refuse_parts(adapter)?;
    Ok(architecture)
}

/// Refuses the parts of an adapter that the file has no place for, whatever the base is.
pub(crate) fn refuse_parts(adapter: &PeftAdapter) -> Result<(), ExportError> {
    let no = |problem: Message, help: Message| Err(ExportError::inexpressible(form(), problem, help));
    adapter.refuse_unconverted(form())?;
    let with = |part| adapter.modules().iter().find(|module| module.has(part)).map(|module| &module.path);
    if let Some(path) = with(AdapterPart::MagnitudeVector) {
        return no(message!("it is DoRA, and {path} has magnitudes", path), merged());
    }
    if let Some(path) = with(AdapterPart::LoraBBias) {
        return no(message!("B of {path} has a bias (lora_bias)", path), merged());
    }
    let beside = adapter.trained_beside();
    if !beside.is_empty() {
        let names = listed(&beside);
        return no(message!("parameters of the base were trained beside it ({names})", names), merged());
    }
    Ok(())
}

/// Finds the base's tensor of each module, and the formats of the pair.
fn pairs<'a>(
    adapter: &'a PeftAdapter,
    base: &ModelConfig,
    architecture: &Architecture,
    ggml_type: GgmlType,
    notices: &mut Vec<Message>,
) -> Result<Vec<Pair<'a>>, ExportError> {
    let modules = base.modules();
    let mut pairs = Vec::new();
    let mut unquantized = 0;
    for module in adapter.modules() {
        let in_base = adapter.base_module(module, &modules)?;
        if is_end(in_base) && (base.tie_word_embeddings || architecture.ties) {
            let problem = message!(
                "{path} has an adapter, and embedding and head of this model are one tensor, to which llama.cpp applies none",
                path = &module.path
            );
            return Err(ExportError::inexpressible(form(), problem, merged()));
        }
        if module.is_embedding && in_base.role != Role::Embedding {
            let problem = message!(
                "{path} is an embedding of no tokens, of which llama.cpp reads no adapter",
                path = &module.path
            );
            return Err(ExportError::inexpressible(form(), problem, merged()));
        }
        let name = gguf_name(in_base).ok_or_else(|| {
            let problem = message!("llama.cpp has no name for {path}", path = &module.path);
            ExportError::inexpressible(form(), problem, merged())
        })?;
        let heads = interleaved_heads(base, in_base.role);
        let row_of_a = if module.is_embedding { module.rank } else { module.size_in };
        let types = [row_of_a, module.rank].map(|row| match row % ggml_type.block().0 {
            0 => ggml_type,
            // As llama.cpp's converter does it.
            _ => GgmlType::F16,
        });
        unquantized += types.iter().filter(|kind| **kind != ggml_type).count();
        pairs.push(Pair { module, name: format!("{name}.weight"), heads, types });
    }
    if unquantized > 0 {
        let of_block = ggml_type.block().0;
        notices.push(message!(
            "{count} tensors are F16, not {ggml_type}: their rows are no multiple of {of_block} values (the rank of B)",
            count = unquantized,
            ggml_type = ggml_type.to_string(),
            of_block
        ));
    }
    Ok(pairs)
}
