//! mlx-lm's adapters: `adapters.safetensors` and its `adapter_config.json`, written and read.
//!
//! A module has `lora_a [in, r]` and `lora_b [r, out]`, the transposes of PEFT's, and with DoRA the magnitudes `m [out]`. One rank and one scale
//! hold for all modules. `keys` are full names of modules, so that exactly those get an adapter.

use std::{collections::BTreeMap, io::Write};

use lorelei_formats::{
    AdapterPart, Dtype, ModelConfig, SafetensorsWriter, TensorSource, TensorSpec,
    config::{Module, ModuleShape, Role},
};
use lorelei_recipe::{LoraConfig, Message, TargetModules, message};
use serde_json::{Value, json};

use crate::{
    AdaptedModule, ExportError, PeftAdapter,
    adapter::{is_end, listed, refuse_large, transposed},
    uniform::{Changes, Uniform},
};

/// Name of the file of the tensors.
pub const MLX_TENSORS: &str = "adapters.safetensors";

/// Returns the name of the form in errors.
fn form() -> Message {
    message!("an MLX adapter")
}

/// Returns the way out that serves every adapter.
fn merged() -> Message {
    message!("export it merged into its base (`merged`), which mlx-lm loads as a model")
}

/// Returns mlx-lm's name of the module `path` of a `model_type`, or `None` if mlx-lm has no such model.
fn mlx_path(model_type: &str, path: &str) -> Option<String> {
    match model_type {
        "llama" | "mistral" | "smollm3" | "granite" | "qwen2" | "qwen3" | "gemma" | "gemma2"
        | "gemma3_text" | "phi3" | "glm" | "glm4" => Some(path.to_owned()),
        "gpt2" => Some(
            path.strip_prefix("transformer.").map_or_else(|| path.to_owned(), |rest| format!("model.{rest}")),
        ),
        _ => None,
    }
}

/// A tensor of the file: its module and part.
type Tensors<'a> = BTreeMap<String, (&'a AdaptedModule, Part)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    A,
    B,
    Magnitude,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::A => "lora_a",
            Self::B => "lora_b",
            Self::Magnitude => "m",
        }
    }
}

/// Writes `adapters.safetensors` in `dtype`, one tensor at a time, for a base of configuration `base`. Returns the output, the text of its
/// `adapter_config.json`, and notices for the user.
///
/// # Errors
/// If mlx-lm cannot apply the adapter (each error says how the user gets there otherwise), it does not fit the base, or writing fails.
pub fn write_mlx<W: Write>(
    adapter: &PeftAdapter,
    base: &ModelConfig,
    dtype: Dtype,
    out: W,
) -> Result<(W, String, Vec<Message>), ExportError> {
    let notice = refuse(adapter, base)?;
    let uniform = Uniform::of(adapter);
    let (tensors, keys) = tensors(adapter, base)?;
    let specs: Vec<TensorSpec> = tensors
        .iter()
        .map(|(name, (module, part))| {
            let shape = match part {
                Part::A => vec![module.size_in, uniform.rank],
                Part::B => vec![uniform.rank, module.size_out],
                Part::Magnitude => vec![module.size_out],
            };
            TensorSpec::new(name.clone(), dtype, shape)
        })
        .collect();
    let mut changes = Changes::default();
    let metadata = BTreeMap::from([("format".to_owned(), "mlx".to_owned())]);
    let mut writer = SafetensorsWriter::new(out, &specs, &metadata)?;
    for spec in writer.order().to_vec() {
        let Some((module, part)) = tensors.get(&spec.name) else { continue };
        let values = match part {
            Part::A => transposed(&uniform.matrices(adapter, module, &mut changes)?.0, module.size_in),
            Part::B => transposed(&uniform.matrices(adapter, module, &mut changes)?.1, uniform.rank),
            Part::Magnitude => adapter.read(module, AdapterPart::MagnitudeVector)?,
        };
        refuse_overflow(&spec, &values)?;
        writer.write_f32(&spec.name, &values)?;
    }
    let config = json!({
        "fine_tune_type": if adapter.lora.use_dora { "dora" } else { "lora" },
        "lora_parameters": {
            "rank": uniform.rank,
            "scale": uniform.scale,
            "dropout": adapter.lora.lora_dropout,
            "keys": keys,
        },
        "model": adapter.base_model,
        "num_layers": base.num_hidden_layers,
    });
    let notices = notice.into_iter().chain(changes.notice()).collect();
    Ok((writer.finish()?, format!("{config:#}\n"), notices))
}

fn refuse_overflow(spec: &TensorSpec, values: &[f32]) -> Result<(), ExportError> {
    let most = if spec.dtype == Dtype::F16 { 65504.0 } else { f32::MAX };
    refuse_large(form(), &spec.name, &spec.dtype, most, values)
}

/// Refuses what [`write_mlx`] would refuse, as far as names, shapes and settings tell it.
pub(crate) fn check_mlx(adapter: &PeftAdapter, base: &ModelConfig) -> Result<(), ExportError> {
    refuse(adapter, base)?;
    tensors(adapter, base).map(drop)
}

/// Refuses what mlx-lm would refuse, or would silently leave out. Returns a notice of what is left out.
fn refuse(adapter: &PeftAdapter, base: &ModelConfig) -> Result<Option<Message>, ExportError> {
    let no = |problem: Message, help: Message| Err(ExportError::inexpressible(form(), problem, help));
    if mlx_path(base.model_type, "").is_none() {
        let problem = message!("mlx-lm has no models of type {model_type}", model_type = base.model_type);
        return no(problem, message!("use it with PEFT (`peft`), or merged into its base (`merged`)"));
    }
    if adapter.classifies(base) {
        let problem = message!("it was trained to classify, and mlx-lm only writes text");
        return no(problem, message!("use it with PEFT (`peft`), or merged into its base (`merged`)"));
    }
    refuse_parts(adapter)?;
    adapter.without_base_copies(&base.modules())
}

/// Refuses the parts of an adapter that the files have no place for, whatever the base is.
pub(crate) fn refuse_parts(adapter: &PeftAdapter) -> Result<(), ExportError> {
    let no = |problem: Message, help: Message| Err(ExportError::inexpressible(form(), problem, help));
    adapter.refuse_unconverted(form())?;
    let with = |part| adapter.modules().iter().find(|module| module.has(part)).map(|module| &module.path);
    if let Some(path) = with(AdapterPart::LoraBBias) {
        return no(message!("B of {path} has a bias (lora_bias)", path), merged());
    }
    let beside = adapter.trained_beside();
    if !beside.is_empty() {
        let names = listed(&beside);
        return no(message!("parameters of the base were trained beside it ({names})", names), merged());
    }
    let has_lengths =
        |module: &&AdaptedModule| module.is_embedding && module.has(AdapterPart::MagnitudeVector);
    if let Some(module) = adapter.modules().iter().find(has_lengths) {
        let path = &module.path;
        return no(
            message!("{path} is an embedding with DoRA's magnitudes, which mlx-lm has by token", path),
            merged(),
        );
    }
    let is_partly =
        |module: &AdaptedModule| module.has(AdapterPart::MagnitudeVector) != adapter.lora.use_dora;
    if let Some(module) = adapter.modules().iter().find(|module| is_partly(module)) {
        let path = &module.path;
        let problem = match module.is_embedding {
            true => message!("{path} is an embedding beside modules with DoRA's magnitudes", path),
            false => {
                message!("{path} has DoRA's magnitudes and use_dora says otherwise, or has none", path)
            }
        };
        return no(problem, merged());
    }
    Ok(())
}

/// Returns the tensors of the file by their names, and the names of the modules.
fn tensors<'a>(
    adapter: &'a PeftAdapter,
    base: &ModelConfig,
) -> Result<(Tensors<'a>, Vec<String>), ExportError> {
    let modules = base.modules();
    let (mut tensors, mut keys) = (Tensors::new(), Vec::new());
    // In mlx-lm a tied model has no head, and an adapter of its embedding acts on the head too.
    let tied = base.tie_word_embeddings;
    let keeps_tied = adapter.keeps_tied(&modules)?;
    for module in adapter.modules() {
        let in_base = adapter.base_module(module, &modules)?;
        if tied && is_end(in_base) && !keeps_tied {
            let problem = message!(
                "{path} has an adapter of its own, and in mlx-lm embedding and head of this model have one for both",
                path = &module.path
            );
            return Err(ExportError::inexpressible(form(), problem, merged()));
        }
        if tied && in_base.role == Role::LmHead {
            continue;
        }
        let name = mlx_path(base.model_type, &module.path).unwrap_or_else(|| module.path.clone());
        let magnitude = module.has(AdapterPart::MagnitudeVector).then_some(Part::Magnitude);
        for part in [Part::A, Part::B].into_iter().chain(magnitude) {
            tensors.insert(format!("{name}.{}", part.name()), (module, part));
        }
        keys.push(name);
    }
    Ok((tensors, keys))
}

/// Files of a PEFT adapter that was another program's.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedAdapter {
    /// Text of `adapter_config.json`.
    pub config: String,
    /// Tensors by PEFT's keys, for [`lorelei_formats::write_adapter`].
    pub tensors: lorelei_formats::Adapter,
}

/// Settings of mlx-lm's `adapter_config.json`.
struct MlxConfig {
    is_dora: bool,
    rank: Option<usize>,
    scale: f64,
    dropout: f64,
    model: Option<String>,
}

/// Defaults of mlx-lm's `lora_parameters`.
const DEFAULT_SCALE: f64 = 20.0;

fn read_config(config: &str, file: &str) -> Result<MlxConfig, ExportError> {
    let wrong = |problem: String, help: &str| ExportError::adapter(file, problem, help);
    let is_mlx = "use the adapter_config.json that mlx-lm wrote beside adapters.safetensors";
    let config: Value =
        serde_json::from_str(config).map_err(|error| wrong(format!("not valid JSON: {error}"), is_mlx))?;
    let parameters = &config["lora_parameters"];
    let is_dora = match config["fine_tune_type"].as_str().unwrap_or("lora") {
        "lora" => false,
        "dora" => true,
        "full" => {
            let help = "use it as a model: `mlx_lm.fuse` writes one";
            return Err(wrong("it is a whole model's (fine_tune_type is \"full\")".to_owned(), help));
        }
        other => return Err(wrong(format!("fine_tune_type {other:?} is not lora or dora"), is_mlx)),
    };
    if !parameters.is_object() {
        return Err(wrong("it has no lora_parameters".to_owned(), is_mlx));
    }
    let number = |key: &str, default: f64| match &parameters[key] {
        Value::Null => Ok(default),
        value => value.as_f64().filter(|number| number.is_finite() && *number >= 0.0).ok_or_else(|| {
            wrong(format!("lora_parameters.{key} is {value}, which is no such number"), is_mlx)
        }),
    };
    Ok(MlxConfig {
        is_dora,
        rank: parameters["rank"].as_u64().and_then(|rank| rank.try_into().ok()),
        scale: number("scale", DEFAULT_SCALE)?,
        dropout: number("dropout", 0.0)?,
        model: config["model"].as_str().map(str::to_owned),
    })
}

/// Reads an adapter of mlx-lm as PEFT's. `base` is the configuration of the base model, whose name is `base_name`, or that of the file if absent.
/// Errors call the files `config_file` and `tensors_file`.
///
/// # Errors
/// If the files are not an adapter's of mlx-lm, or do not fit the base.
pub fn read_mlx(
    config: &str,
    config_file: &str,
    tensors: &dyn TensorSource,
    tensors_file: &str,
    base: &ModelConfig,
    base_name: Option<&str>,
) -> Result<ImportedAdapter, ExportError> {
    let config = read_config(config, config_file)?;
    let wrong = |problem: String, help: &str| ExportError::adapter(tensors_file, problem, help);
    let modules = base.modules();
    let names: BTreeMap<String, &Module> = modules
        .iter()
        .filter_map(|module| Some((mlx_path(base.model_type, &module.path)?, module)))
        .collect();
    let mut adapter = lorelei_formats::Adapter::new();
    let mut ranks: BTreeMap<&str, usize> = BTreeMap::new();
    for info in tensors.infos() {
        let (name, part) = info.name.rsplit_once('.').unwrap_or(("", &info.name));
        let module = names.get(name).ok_or_else(|| {
            let help = "give the base model that the adapter was trained for";
            wrong(format!("{} belongs to no module of the base model", info.name), help)
        })?;
        let (peft, shape) = peft_part(module, part, &info.shape).ok_or_else(|| {
            let problem =
                format!("{} with shape {:?} does not fit the base's {}", info.name, info.shape, module.path);
            wrong(problem, "give the base model that the adapter was trained for")
        })?;
        let mut values = tensors.read_f32(&info.name)?;
        if let [_, columns] = info.shape[..] {
            values = transposed(&values, columns);
        }
        if part == "lora_a" {
            ranks.insert(&module.path, shape.first().copied().unwrap_or(0));
        }
        adapter.insert(peft.key(&module.path), lorelei_formats::AdapterTensor { shape, values });
    }
    refuse_torn(&adapter, &ranks, config.is_dora, tensors_file)?;
    let is_scale = config.scale.is_finite() && config.scale != 0.0;
    if !is_scale || !(0.0..1.0).contains(&config.dropout) {
        let problem = format!("lora_parameters has scale {} and dropout {}", config.scale, config.dropout);
        let help = "a scale is a number other than 0, and a dropout at least 0 and below 1";
        return Err(ExportError::adapter(config_file, problem, help));
    }
    let rank = uniform_rank(&ranks, config.rank, tensors_file)?;
    let mut lora = LoraConfig {
        r: rank,
        lora_alpha: config.scale * rank as f64,
        lora_dropout: config.dropout,
        use_dora: config.is_dora,
        fan_in_fan_out: base.stored_in_out,
        task_type: Some(lorelei_recipe::TaskType::CausalLm),
        ..LoraConfig::default()
    };
    lora.target_modules = Some(TargetModules::List(targets(&ranks, &modules)));
    if base.tie_word_embeddings {
        lora.ensure_weight_tying = tie_head(&mut adapter, &modules);
    }
    let name = base_name.map(str::to_owned).or(config.model).unwrap_or_default();
    Ok(ImportedAdapter { config: lora.to_peft_json(&name, &[]), tensors: adapter })
}

/// Returns PEFT's part and its shape for a part of mlx-lm's adapter, if its shape fits the module.
fn peft_part(module: &Module, part: &str, shape: &[usize]) -> Option<(AdapterPart, Vec<usize>)> {
    let (size_in, size_out, is_embedding) = match module.shape {
        ModuleShape::Linear { size_out, size_in, .. } => (size_in, size_out, false),
        ModuleShape::Embedding { rows, columns } => (rows, columns, true),
        ModuleShape::Norm { .. } => return None,
    };
    let (a, b) = match is_embedding {
        true => (AdapterPart::LoraEmbeddingA, AdapterPart::LoraEmbeddingB),
        false => (AdapterPart::LoraA, AdapterPart::LoraB),
    };
    match (part, shape) {
        ("lora_a", [rows, rank]) if *rows == size_in && *rank > 0 => Some((a, vec![*rank, *rows])),
        ("lora_b", [rank, columns]) if *columns == size_out && *rank > 0 => Some((b, vec![*columns, *rank])),
        ("m", [size]) if *size == size_out && !is_embedding => {
            Some((AdapterPart::MagnitudeVector, vec![*size]))
        }
        _ => None,
    }
}

/// Refuses modules that lack a half, or DoRA's magnitudes.
fn refuse_torn(
    adapter: &lorelei_formats::Adapter,
    ranks: &BTreeMap<&str, usize>,
    is_dora: bool,
    file: &str,
) -> Result<(), ExportError> {
    let lacks = |path: &str, part: &str| {
        let help = "train it again: the file is not whole";
        Err(ExportError::adapter(file, format!("{path} has no {part}"), help))
    };
    for (path, rank) in ranks {
        let b = [AdapterPart::LoraB, AdapterPart::LoraEmbeddingB].map(|part| adapter.get(&part.key(path)));
        match b.into_iter().flatten().next() {
            Some(b) if b.shape.get(1) == Some(rank) => {}
            Some(_) => return lacks(path, "lora_b of the rank of its lora_a"),
            None => return lacks(path, "lora_b"),
        }
        if is_dora != adapter.contains_key(&AdapterPart::MagnitudeVector.key(path)) {
            return lacks(
                path,
                if is_dora {
                    "m, and fine_tune_type is dora"
                } else {
                    "use for its m: fine_tune_type is lora"
                },
            );
        }
    }
    let halves =
        adapter.keys().filter(|key| key.contains("lora_B") || key.contains("lora_embedding_B")).count();
    if ranks.is_empty() || halves != ranks.len() {
        let help = "is it mlx-lm's adapters.safetensors?";
        return Err(ExportError::adapter(file, "it has not as many lora_a as lora_b, or none", help));
    }
    Ok(())
}

fn uniform_rank(
    ranks: &BTreeMap<&str, usize>,
    configured: Option<usize>,
    file: &str,
) -> Result<usize, ExportError> {
    let rank = configured.or_else(|| ranks.values().next().copied()).unwrap_or(0);
    match ranks.iter().find(|(_, own)| **own != rank) {
        None => Ok(rank),
        Some((path, own)) => {
            let help = "use the adapter_config.json that mlx-lm wrote beside it";
            Err(ExportError::adapter(
                file,
                format!("the rank of {path} is {own}, and the configuration says {rank}"),
                help,
            ))
        }
    }
}

/// Returns the shortest names that select exactly the adapted modules: last names, or else full ones.
pub(crate) fn targets(adapted: &BTreeMap<&str, usize>, modules: &[Module]) -> Vec<String> {
    let mut last: Vec<String> = modules
        .iter()
        .filter(|module| adapted.contains_key(&*module.path))
        .map(|module| module.last_name().to_owned())
        .collect();
    last.sort();
    last.dedup();
    let selected = |module: &Module| last.iter().any(|name| name == module.last_name());
    match modules.iter().all(|module| selected(module) == adapted.contains_key(&*module.path)) {
        true => last,
        false => adapted.keys().map(|path| (*path).to_owned()).collect(),
    }
}

/// Gives the tied head the embedding's adapter too, as PEFT saves it. Returns whether there is one.
pub(crate) fn tie_head(adapter: &mut lorelei_formats::Adapter, modules: &[Module]) -> bool {
    let path = |role| modules.iter().find(|module| module.role == role).map(|module| module.path.clone());
    let (Some(embedding), Some(head)) = (path(Role::Embedding), path(Role::LmHead)) else { return false };
    let mut found = false;
    for (from, to) in
        [(AdapterPart::LoraEmbeddingB, AdapterPart::LoraA), (AdapterPart::LoraEmbeddingA, AdapterPart::LoraB)]
    {
        let Some(matrix) = adapter.get(&from.key(&embedding)) else { continue };
        let [rows, columns] = matrix.shape[..] else { continue };
        let values = transposed(&matrix.values, columns);
        let turned = lorelei_formats::AdapterTensor { shape: vec![columns, rows], values };
        adapter.insert(to.key(&head), turned);
        found = true;
    }
    found
}
