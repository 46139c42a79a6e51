//! An adapter merged into its base, as a GGUF model for llama.cpp, Ollama and LM Studio.
//!
//! From a GGUF base, every key is carried over, and a tensor that the adapter leaves alone keeps its bytes unless another format is asked for. From a
//! folder, keys and tokenizer are written as llama.cpp's `convert_hf_to_gguf.py` would. The sums are those of [`merged`](crate::merged), in f32; they
//! are rounded once, into the format of the file.

use std::{collections::BTreeSet, io::Write};

use lorelei_formats::{
    Dtype, ModelConfig, ModelSource, StoredDtype,
    config::Module,
    gguf::{
        GgmlType, GgufContents, GgufTensor, GgufTensorSpec, GgufValue, GgufWriter, dequantize, gguf_name,
        quantize,
    },
};
use lorelei_recipe::{Message, message};

use crate::{
    ExportError, PeftAdapter,
    adapter::listed,
    gguf_keys::{Keys, elsewhere, form, keys, rope_divisors},
    llama_cpp::{QUANTIZATION_VERSION, architecture, laid_out, refuse_overflow, shape_of},
    merge_plan::{Plan, purposed},
    merged::{left_out, rounded_base, untied_ends},
};

/// Llama 3's divisors of rotary frequencies.
const ROPE_FREQS: &str = "rope_freqs.weight";
/// The head, and the embedding, which is the head of a file without one.
const OUTPUT: &str = "output.weight";
const EMBEDDING: &str = "token_embd.weight";
/// Number of bytes that are copied at a time, rounded to whole rows.
const PIECE: usize = 1 << 20;

/// Options of a merged GGUF model.
#[derive(Debug, Clone)]
pub struct MergedGgufOptions {
    /// Storage format of the weights. `None` is that of each tensor in a GGUF base, and the 16 bits of a folder's.
    pub ggml_type: Option<GgmlType>,
    /// Name of the model (`general.name`), where its base has none.
    pub name: String,
}

impl MergedGgufOptions {
    /// Formats that can be written, by the names that llama.cpp gives them, with its number of a file of them (`general.file_type`).
    pub const TYPES: [(&'static str, GgmlType, u32); 8] = [
        ("f32", GgmlType::F32, 0),
        ("f16", GgmlType::F16, 1),
        ("bf16", GgmlType::BF16, 32),
        ("q8_0", GgmlType::Q8_0, 7),
        ("q4_0", GgmlType::Q4_0, 2),
        ("q4_1", GgmlType::Q4_1, 3),
        ("q5_0", GgmlType::Q5_0, 8),
        ("q5_1", GgmlType::Q5_1, 9),
    ];

    fn file_type(ggml_type: GgmlType) -> Option<u32> {
        Self::TYPES.iter().find(|(_, kind, _)| *kind == ggml_type).map(|(.., number)| *number)
    }
}

/// Where the values of a tensor come from.
enum Origin<'a> {
    /// A tensor of the merged model: its module, and whether it is the weight.
    Merged(&'a Module, bool),
    /// A tensor of a GGUF base, which the adapter leaves alone.
    Base(&'a GgufTensor),
    /// Values of the file's own.
    Own(Vec<f32>),
}

/// A tensor of the file.
struct Tensor<'a> {
    spec: GgufTensorSpec,
    origin: Origin<'a>,
}

/// What a merge into quantised blocks rounds off.
#[derive(Default)]
struct Rounding {
    change: f64,
    error: f64,
    tensors: usize,
}

/// Writes the merged model, one tensor at a time. Returns the output, and notices for the user.
///
/// # Errors
/// If the adapter does not fit the base, llama.cpp cannot express the model (each error says how the user gets there otherwise), a tensor cannot be
/// read, or writing fails.
pub fn write_merged_gguf<W: Write>(
    adapter: &PeftAdapter,
    base: &ModelSource,
    options: &MergedGgufOptions,
    out: W,
) -> Result<(W, Vec<Message>), ExportError> {
    let config = checked(adapter, base)?;
    let modules = config.modules();
    let plan = planned(adapter, base, &config, &modules)?;
    let mut notices = Vec::new();
    let (metadata, tensors) = match base.tensors.gguf_contents() {
        Some(file) => from_gguf(&plan, file, options, &mut notices)?,
        None => {
            notices.extend(left_out(base, &config));
            from_folder(&plan, base, options, &mut notices)?
        }
    };
    plan.check_base()?;
    let keys: Vec<(&str, GgufValue)> =
        metadata.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    let specs: Vec<GgufTensorSpec> = tensors.iter().map(|tensor| tensor.spec.clone()).collect();
    let mut writer = GgufWriter::new(out, &keys, &specs)?;
    let mut rounding = Rounding::default();
    for tensor in &tensors {
        write(&plan, base, tensor, &mut rounding, &mut writer)?;
    }
    notices.extend(rounding.notice());
    let changes = plan.merges.iter().any(|merge| plan.changes(merge));
    notices.extend(rounded_base(base).filter(|_| changes));
    Ok((writer.finish()?, notices))
}

/// Refuses what [`write_merged_gguf`] would refuse, without reading a weight.
///
/// # Errors
/// The errors of [`write_merged_gguf`], as far as names, shapes and settings tell them.
pub(crate) fn check_merged_gguf(adapter: &PeftAdapter, base: &ModelSource) -> Result<(), ExportError> {
    let config = checked(adapter, base)?;
    let modules = config.modules();
    let plan = planned(adapter, base, &config, &modules)?;
    let options = MergedGgufOptions { ggml_type: None, name: String::new() };
    match base.tensors.gguf_contents() {
        Some(file) => from_gguf(&plan, file, &options, &mut Vec::new()).map(drop)?,
        None => from_folder(&plan, base, &options, &mut Vec::new()).map(drop)?,
    }
    plan.check_base()
}

/// Returns the configuration of the merged model. Refuses adapters that no GGUF model can hold.
fn checked(adapter: &PeftAdapter, base: &ModelSource) -> Result<ModelConfig, ExportError> {
    adapter.refuse_unconverted(form())?;
    let config = purposed(adapter, base.model_config()?)?;
    match adapter.classifies(&config) {
        false => Ok(config),
        true => Err(ExportError::inexpressible(
            form(),
            message!("it was trained to classify, and llama.cpp has no place for its head"),
            message!("export it merged (`merged`), for Transformers"),
        )),
    }
}

/// Returns what becomes of each tensor. Refuses ends that llama.cpp has as one.
fn planned<'a>(
    adapter: &'a PeftAdapter,
    base: &'a ModelSource,
    config: &'a ModelConfig,
    modules: &'a [Module],
) -> Result<Plan<'a>, ExportError> {
    let plan = Plan::new(adapter, base, config, modules)?;
    let ties = architecture(config.model_type).is_some_and(|architecture| architecture.ties);
    match ties && (!config.tie_word_embeddings || plan.merges.iter().any(|merge| merge.untied)) {
        false => Ok(plan),
        true => Err(ExportError::inexpressible(
            form(),
            message!("embedding and head are two tensors, and one in llama.cpp"),
            message!("export it merged (`merged`), for Transformers"),
        )),
    }
}

/// Returns keys and tensors of a file for a GGUF base.
fn from_gguf<'a>(
    plan: &Plan<'a>,
    file: &'a dyn GgufContents,
    options: &MergedGgufOptions,
    notices: &mut Vec<Message>,
) -> Result<(Keys, Vec<Tensor<'a>>), ExportError> {
    // The changed tensors, by their names in the file.
    let mut changed: Vec<(String, String, Origin<'a>)> = Vec::new();
    for merge in plan.merges.iter().filter(|merge| plan.changes(merge)) {
        let module = merge.module;
        let name = named(module)?;
        for (hf, _) in merge.tensors() {
            let kind = hf.rsplit_once('.').map_or("weight", |(_, kind)| kind);
            changed.push((format!("{name}.{kind}"), hf.clone(), Origin::Merged(module, kind == "weight")));
        }
    }
    let untied = plan.merges.iter().any(|merge| merge.untied);
    let has_output = untied || file.tensors().iter().any(|tensor| tensor.name == OUTPUT);
    let (mut tensors, mut exchanged) = (Vec::new(), BTreeSet::new());
    let mut rows = 0;
    for stored in file.tensors() {
        let origin = match changed.iter().position(|(name, ..)| *name == stored.name) {
            Some(place) => changed.swap_remove(place).2,
            None => Origin::Base(stored),
        };
        let wanted = match (options.ggml_type, &origin) {
            (Some(asked), _) if file.hf_name(&stored.name).is_some() => {
                stored_type(&stored.name, &stored.shape, asked, has_output, &mut rows)
            }
            (_, Origin::Merged(..)) if MergedGgufOptions::file_type(stored.ggml_type).is_none() => {
                exchanged.insert(stored.ggml_type.to_string());
                GgmlType::Q8_0
            }
            _ => stored.ggml_type,
        };
        let spec =
            GgufTensorSpec { name: stored.name.clone(), shape: stored.shape.clone(), ggml_type: wanted };
        tensors.push(Tensor { spec, origin });
    }
    if untied && let Some(place) = changed.iter().position(|(name, ..)| name == OUTPUT) {
        let (name, _, origin) = changed.swap_remove(place);
        let embedding = tensors.iter().find(|tensor| tensor.spec.name == EMBEDDING);
        if let Some(spec) = embedding.map(|tensor| GgufTensorSpec { name, ..tensor.spec.clone() }) {
            notices.push(untied_ends());
            tensors.push(Tensor { spec, origin });
        }
    }
    if !changed.is_empty() {
        let names: Vec<&String> = changed.iter().map(|(_, hf, _)| hf).collect();
        let problem = message!("the base has no tensor {names}", names = listed(&names));
        let help = message!("give the base model that the adapter was trained for, whole");
        return Err(ExportError::adapter(file.file_name(), problem, help));
    }
    if !exchanged.is_empty() {
        notices.push(message!(
            "changed tensors that the base stores as {kinds} are Q8_0: K-quants are not written here (`dtype` names one format for all, and llama-quantize makes K-quants of an F16 file)",
            kinds = exchanged.into_iter().collect::<Vec<_>>().join(", ")
        ));
    }
    notices.extend(uneven(rows, options.ggml_type));
    let mut metadata: Keys = file
        .metadata()
        .iter()
        // The alignment is this writer's.
        .filter(|(key, _)| *key != "general.alignment")
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let mut set = |key: &str, value: GgufValue, replace: bool| match metadata
        .iter_mut()
        .find(|(other, _)| other == key)
    {
        Some((_, old)) if replace => *old = value,
        Some(_) => {}
        None => metadata.push((key.to_owned(), value)),
    };
    if let Some(number) = options.ggml_type.and_then(MergedGgufOptions::file_type) {
        set("general.file_type", GgufValue::U32(number), true);
    }
    set("general.quantization_version", GgufValue::U32(QUANTIZATION_VERSION), false);
    set("general.name", GgufValue::String(options.name.clone()), false);
    Ok((metadata, tensors))
}

/// Returns keys and tensors of a file for a Hugging Face folder.
fn from_folder<'a>(
    plan: &Plan<'a>,
    base: &ModelSource,
    options: &MergedGgufOptions,
    notices: &mut Vec<Message>,
) -> Result<(Keys, Vec<Tensor<'a>>), ExportError> {
    let config = plan.config();
    let (architecture, own, more) = keys(config)?;
    notices.extend(more);
    let half = |info: &lorelei_formats::TensorInfo| info.dtype == StoredDtype::Plain(Dtype::F16);
    let ggml_type = options.ggml_type.unwrap_or(match base.tensors.infos().iter().any(half) {
        true => GgmlType::F16,
        false => GgmlType::BF16,
    });
    let mut metadata: Keys = vec![
        ("general.architecture".to_owned(), GgufValue::String(architecture.to_owned())),
        ("general.type".to_owned(), GgufValue::String("model".to_owned())),
        ("general.name".to_owned(), GgufValue::String(options.name.clone())),
    ];
    metadata.extend(own);
    if let Some(number) = MergedGgufOptions::file_type(ggml_type) {
        metadata.push(("general.file_type".to_owned(), GgufValue::U32(number)));
    }
    metadata.push(("general.quantization_version".to_owned(), GgufValue::U32(QUANTIZATION_VERSION)));
    metadata.extend(base.gguf_tokenizer(config.vocab_size)?);

    let mut tensors = Vec::new();
    if let Some(divisors) = rope_divisors(config) {
        let spec = GgufTensorSpec {
            name: ROPE_FREQS.to_owned(),
            shape: vec![divisors.len()],
            ggml_type: GgmlType::F32,
        };
        tensors.push(Tensor { spec, origin: Origin::Own(divisors) });
    }
    let mut named_tensors = Vec::new();
    for merge in &plan.merges {
        for (hf, _) in merge.tensors() {
            let kind = hf.rsplit_once('.').map_or("weight", |(_, kind)| kind);
            let is_weight = kind == "weight";
            named_tensors.push((format!("{}.{kind}", named(merge.module)?), merge.module, is_weight));
        }
    }
    let has_output = named_tensors.iter().any(|(name, ..)| name == OUTPUT);
    let mut rows = 0;
    for (name, module, is_weight) in named_tensors {
        let shape = shape_of(module, is_weight);
        let ggml_type = stored_type(&name, &shape, ggml_type, has_output, &mut rows);
        let spec = GgufTensorSpec { name, shape, ggml_type };
        tensors.push(Tensor { spec, origin: Origin::Merged(module, is_weight) });
    }
    notices.extend(uneven(rows, Some(ggml_type)));
    if plan.merges.iter().any(|merge| merge.untied) {
        notices.push(untied_ends());
    }
    Ok((metadata, tensors))
}

fn named(module: &Module) -> Result<String, ExportError> {
    gguf_name(module).ok_or_else(|| {
        let problem = message!("llama.cpp has no name for {path}", path = &module.path);
        ExportError::inexpressible(form(), problem, elsewhere())
    })
}

/// Returns the format of a tensor in a file of `asked`, by the rules of llama.cpp's converter: vectors, norms and embeddings of positions are F32, and
/// rows of no whole blocks F16. In a file of four or five bits the head (or the embedding, if it is the head) is Q8_0, where llama-quantize has Q6_K.
/// Counts the rows of no whole blocks.
fn stored_type(
    name: &str,
    shape: &[usize],
    asked: GgmlType,
    has_output: bool,
    uneven: &mut usize,
) -> GgmlType {
    let small = shape.len() < 2 || !name.ends_with(".weight") || name.ends_with("_norm.weight");
    if small || ["position_embd.weight", "token_types.weight"].contains(&name) {
        return GgmlType::F32;
    }
    let is_head = name == OUTPUT || (name == EMBEDDING && !has_output);
    let few_bits = matches!(asked, GgmlType::Q4_0 | GgmlType::Q4_1 | GgmlType::Q5_0 | GgmlType::Q5_1);
    let asked = if is_head && few_bits { GgmlType::Q8_0 } else { asked };
    match shape.last().is_some_and(|row| row.is_multiple_of(asked.block().0)) {
        true => asked,
        false => {
            *uneven += 1;
            GgmlType::F16
        }
    }
}

fn uneven(count: usize, asked: Option<GgmlType>) -> Option<Message> {
    let asked = asked.filter(|_| count > 0)?;
    Some(message!(
        "{count} tensors are F16, not {ggml_type}: their rows are no multiple of {of_block} values",
        count,
        ggml_type = asked.to_string(),
        of_block = asked.block().0
    ))
}

/// Writes a tensor: its bytes in the base where they stay, or its values.
fn write<W: Write>(
    plan: &Plan<'_>,
    base: &ModelSource,
    tensor: &Tensor<'_>,
    rounding: &mut Rounding,
    writer: &mut GgufWriter<W>,
) -> Result<(), ExportError> {
    let spec = &tensor.spec;
    let file = base.tensors.gguf_contents();
    let values = match &tensor.origin {
        Origin::Own(values) => values.clone(),
        Origin::Base(stored) => {
            let Some(file) = file else { return Ok(()) };
            if stored.ggml_type == spec.ggml_type {
                return copy(file, stored, writer);
            }
            file.read_f32(&stored.name)?
        }
        Origin::Merged(module, is_weight) => {
            let kind = if *is_weight { "weight" } else { "bias" };
            let merged = plan.merged(&format!("{}.{kind}", module.path))?;
            let values = laid_out(plan.config(), module, *is_weight, merged);
            if spec.ggml_type.plain().is_none()
                && let Some(stored) =
                    file.filter(|file| file.tensors().iter().any(|own| own.name == spec.name))
            {
                rounding.add(spec.ggml_type, &values, &stored.read_f32(&spec.name)?);
            }
            values
        }
    };
    refuse_overflow(form(), spec, &values)?;
    Ok(writer.write_f32(&spec.name, &values)?)
}

fn copy<W: Write>(
    file: &dyn GgufContents,
    stored: &GgufTensor,
    writer: &mut GgufWriter<W>,
) -> Result<(), ExportError> {
    let (of_block, block) = stored.ggml_type.block();
    let row = stored.shape.last().copied().unwrap_or(1) / of_block.max(1) * block;
    // Whole rows at a time.
    let piece = ((PIECE / row.max(1)).max(1) * row.max(1)) as u64;
    let mut offset = 0;
    while offset < stored.byte_len {
        let length = piece.min(stored.byte_len - offset);
        let mut bytes = vec![0; length as usize];
        file.read_stored(stored, offset, &mut bytes)?;
        writer.write_stored(&stored.name, &bytes)?;
        offset += length;
    }
    Ok(())
}

impl Rounding {
    /// Compares the change of a tensor with what its blocks round off.
    fn add(&mut self, ggml_type: GgmlType, merged: &[f32], base: &[f32]) {
        let (mut bytes, mut rounded) = (Vec::new(), Vec::new());
        if quantize(ggml_type, merged, &mut bytes).is_none()
            || dequantize(ggml_type, &bytes, &mut rounded).is_none()
        {
            return;
        }
        let apart =
            |other: &[f32]| merged.iter().zip(other).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        self.change += apart(base);
        self.error += apart(&rounded);
        self.tensors += 1;
    }

    /// Says what was lost, as a share of the change.
    fn notice(&self) -> Option<Message> {
        if self.tensors == 0 || self.change == 0.0 {
            return None;
        }
        let share = 100.0 * (self.error / self.change).sqrt();
        Some(message!(
            "{count} quantised tensors were changed and rounded again, and the rounding is {share} % of the adapter's change: the base with the adapter beside it (`gguf-lora`) loses nothing, and `dtype` float16 less",
            count = self.tensors,
            share = format!("{share:.0}")
        ))
    }
}
