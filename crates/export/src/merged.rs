//! An adapter merged into its base, as a Hugging Face folder.
//!
//! Each tensor of the base is read as f32, changed, and written before the next is read. The sums are those of PEFT's `merge_and_unload`: `W + s·B·A`,
//! and what DoRA, trained embeddings, biases and fully trained modules make of them. Where an embedding or a tied head has something of its own, they
//! become two tensors, so that the merged model computes what base and adapter did.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

use lorelei_formats::{
    AdapterPart, Dtype, FormatError, ModelConfig, ModelSource, SafetensorsWriter, StoredDtype, TensorSource,
    TensorSpec,
    config::{Module, ModuleShape, Role, Task},
    parameter_name,
    peft::{adapter_num_labels, base_layer_bias, base_weights, trainable_tokens},
};
use lorelei_recipe::{Message, TaskType, TokenIndices, message};
use serde_json::{Map, json};

use crate::{
    AdaptedModule, ExportError, PeftAdapter,
    adapter::{listed, too_large, transposed},
    companion_files::merged_companions,
    export::{created, put},
    product::LowRank,
};

/// Returns the name of the form in errors.
fn form() -> Message {
    message!("a merged model")
}

/// Options of a merged model.
#[derive(Debug, Clone)]
pub struct MergeOptions<'a> {
    /// Storage format of the weights: F32, F16 or BF16.
    pub dtype: Dtype,
    /// Number of bytes of tensors that a file holds at most, unless one tensor has more.
    pub max_shard_bytes: u64,
    /// Text of a classifier's `labels.json`, if the run saved one: Transformers' `problem_type` and `id2label`.
    pub labels: Option<&'a str>,
}

impl MergeOptions<'_> {
    /// Size of a shard where nothing else is asked for, in bytes.
    pub const SHARD_BYTES: u64 = 5_000_000_000;
    /// Formats that can be written, by Transformers' names.
    pub const DTYPES: [(&'static str, Dtype); 3] =
        [("float32", Dtype::F32), ("float16", Dtype::F16), ("bfloat16", Dtype::BF16)];

    /// Returns Transformers' name of the format.
    pub(crate) fn dtype_name(&self) -> &'static str {
        Self::DTYPES.iter().find(|(_, dtype)| *dtype == self.dtype).map_or("float32", |(name, _)| name)
    }
}

/// Creates a file of an export by its name in the folder. The files are created one after the other, and each is written whole.
pub type CreateFile<'a> = dyn FnMut(&str) -> std::io::Result<Box<dyn Write>> + 'a;

/// A module of the merged model, and what changes it.
pub(crate) struct Merge<'a> {
    pub module: &'a Module,
    lora: Option<&'a AdaptedModule>,
    /// Key of the weight that replaces the base's.
    weight: Option<String>,
    /// Key of the bias that replaces the base's.
    bias: Option<String>,
    /// Key of the trained rows, and their tokens.
    rows: Option<(String, Vec<usize>)>,
    /// Whether the weight is the embedding's in the base, and a tensor of its own in the merged model.
    pub untied: bool,
}

/// Writes the merged model: its weights in shards, and `config.json`, tokenizer, templates and generation settings. Returns notices for the user.
///
/// # Errors
/// If the adapter does not fit the base or holds something that the base has no place for, a tensor cannot be read, or writing fails.
pub fn write_merged(
    adapter: &PeftAdapter,
    base: &ModelSource,
    options: &MergeOptions<'_>,
    create: &mut CreateFile<'_>,
) -> Result<Vec<Message>, ExportError> {
    adapter.refuse_unconverted(form())?;
    let config = purposed(adapter, base.model_config()?)?;
    let modules = config.modules();
    let plan = Plan::new(adapter, base, &config, &modules)?;
    let shards = plan.shards(options);
    write_shards(&plan, &shards, create)?;
    let untied = plan.merges.iter().any(|merge| merge.untied);
    for (name, bytes) in merged_companions(base, &config, options, untied)? {
        put(create, &name, &bytes)?;
    }
    Ok(notices(base, untied))
}

/// Refuses what [`write_merged`] would refuse, as far as names and shapes tell it.
pub(crate) fn check_merged(adapter: &PeftAdapter, base: &ModelSource) -> Result<(), ExportError> {
    adapter.refuse_unconverted(form())?;
    let config = purposed(adapter, base.model_config()?)?;
    Plan::new(adapter, base, &config, &config.modules()).map(drop)
}

fn notices(base: &ModelSource, untied: bool) -> Vec<Message> {
    untied.then(untied_ends).into_iter().chain(rounded_base(base)).collect()
}

/// Returns the notice of an embedding and a head that the base has as one tensor, and the merged model as two.
pub(crate) fn untied_ends() -> Message {
    message!(
        "embedding and head of the base are one tensor, and two in the merged model: only one of them has the adapter's changes, or they have different ones"
    )
}

/// Returns the notice of a base in blocks, whose merged weights are its rounded ones.
pub(crate) fn rounded_base(base: &ModelSource) -> Option<Message> {
    let blocks = base.tensors.infos().iter().filter_map(|info| match info.dtype {
        StoredDtype::Blocks(ggml_type) => Some(ggml_type.to_string()),
        StoredDtype::Plain(_) => None,
    });
    let blocks: BTreeSet<String> = blocks.collect();
    let kinds = blocks.into_iter().collect::<Vec<_>>().join(", ");
    (!kinds.is_empty()).then(|| {
        message!(
            "the base is quantised ({kinds}): the merged weights are its rounded ones; merge into the original model to lose nothing",
            kinds
        )
    })
}

/// Returns the base's configuration for what the adapter was trained for.
pub(crate) fn purposed(adapter: &PeftAdapter, config: ModelConfig) -> Result<ModelConfig, ExportError> {
    let labels = adapter_num_labels(adapter.tensors());
    let task = match adapter.lora.task_type {
        Some(TaskType::SeqCls) => Task::SequenceClassification,
        Some(TaskType::TokenCls) => Task::TokenClassification,
        Some(TaskType::FeatureExtraction) => Task::FeatureExtraction,
        Some(TaskType::CausalLm) => Task::CausalLm,
        None => return Ok(config),
    };
    Ok(config.clone().for_task(task, labels.unwrap_or(config.num_labels))?)
}

/// All modules of the merged model.
pub(crate) struct Plan<'a> {
    adapter: &'a PeftAdapter,
    base: &'a ModelSource,
    config: &'a ModelConfig,
    pub merges: Vec<Merge<'a>>,
    /// Path of the embedding.
    embedding: String,
}

impl<'a> Plan<'a> {
    pub fn new(
        adapter: &'a PeftAdapter,
        base: &'a ModelSource,
        config: &'a ModelConfig,
        modules: &'a [Module],
    ) -> Result<Self, ExportError> {
        let mut unused: BTreeSet<&str> = adapter.others().iter().map(String::as_str).collect();
        let mut take = |name: &str| {
            let key = adapter.others().iter().find(|key| parameter_name(key).as_deref() == Some(name))?;
            unused.remove(key.as_str());
            Some(key.clone())
        };
        for module in adapter.modules() {
            adapter.base_module(module, modules)?;
        }
        let mut merges = Vec::new();
        for module in modules {
            let [beside, own] = base_weights(&module.path);
            let weight = take(&beside).or_else(|| take(&own));
            let bias =
                take(&base_layer_bias(&module.path)).or_else(|| take(&format!("{}.bias", module.path)));
            let rows = match take(&trainable_tokens(&module.path)) {
                Some(key) => Some((key, token_indices(adapter, module)?)),
                None => None,
            };
            let lora = adapter.modules().iter().find(|adapted| adapted.path == module.path);
            merges.push(Merge { module, lora, weight, bias, rows, untied: false });
        }
        if !unused.is_empty() {
            let names = listed(&Vec::from_iter(unused));
            let problem = message!("{names} has no place in the base model", names);
            let help = message!("give the base model that the adapter was trained for");
            return Err(ExportError::adapter(adapter.file_name(), problem, help));
        }
        let embedding = modules.iter().find(|module| module.role == Role::Embedding);
        let embedding = embedding.map(|module| module.path.clone()).unwrap_or_default();
        let mut plan = Self { adapter, base, config, merges, embedding };
        plan.untie(modules)?;
        plan.check()?;
        Ok(plan)
    }

    /// Separates a tied head from the embedding where one of them has something of its own.
    fn untie(&mut self, modules: &[Module]) -> Result<(), ExportError> {
        let same = self.adapter.keeps_tied(modules)?;
        let place = |role| self.merges.iter().position(|merge| merge.module.role == role);
        let (Some(embedding), Some(head)) = (place(Role::Embedding), place(Role::LmHead)) else {
            return Ok(());
        };
        let (Some(of_embedding), Some(of_head)) = (self.merges.get(embedding), self.merges.get(head)) else {
            return Ok(());
        };
        if !of_head.module.tied {
            return Ok(());
        }
        // Equal whole weights are one that both share. A base's own weight, saved beside an adapter, is that of both.
        let equal_weights = match (&of_embedding.weight, &of_head.weight) {
            (Some(a), Some(b)) => self.adapter.read_key(a)? == self.adapter.read_key(b)?,
            (None, None) => true,
            (Some(_), None) => !self.is_trained(of_embedding),
            (None, Some(_)) => !self.is_trained(of_head),
        };
        let adapted = of_embedding.lora.is_some() || of_head.lora.is_some();
        let untied = !equal_weights || (adapted && !same);
        if let Some(head) = self.merges.get_mut(head) {
            head.untied = untied;
        }
        Ok(())
    }

    /// Refuses replacements of another shape, and biases where the base has none.
    fn check(&self) -> Result<(), ExportError> {
        let adapter = self.adapter;
        let wrong = |key: &str, wanted: &[usize]| {
            let shape = adapter.tensors().info(key).map(|info| info.shape.clone()).unwrap_or_default();
            if shape == wanted {
                return Ok(());
            }
            let problem = format!("{key} has shape {shape:?}, and the base's {wanted:?}");
            let help = "give the base model that the adapter was trained for (was its vocabulary resized?)";
            Err(ExportError::adapter(adapter.file_name(), problem, help))
        };
        for merge in &self.merges {
            let shape = merge.module.shape;
            if let Some(key) = &merge.weight {
                wrong(key, &shape.weight())?;
            }
            if let Some(key) = &merge.bias {
                wrong(key, &[shape.bias().unwrap_or(0)])?;
            }
            if let (Some((key, tokens)), ModuleShape::Embedding { rows, columns }) = (&merge.rows, shape) {
                wrong(key, &[tokens.len(), columns])?;
                if let Some(token) = tokens.iter().find(|token| **token >= rows) {
                    let problem = format!("token {token} is trained, and the base has {rows}");
                    return Err(ExportError::adapter(
                        adapter.file_name(),
                        problem,
                        "give its own base model",
                    ));
                }
            }
            let with_bias = merge.lora.is_some_and(|lora| lora.has(AdapterPart::LoraBBias));
            if with_bias && shape.bias().is_none() {
                let problem = message!(
                    "B of {path} has a bias, and the base's layer has none to add it to",
                    path = &merge.module.path
                );
                return Err(ExportError::inexpressible(
                    form(),
                    problem,
                    message!("use it with PEFT (`peft`)"),
                ));
            }
        }
        Ok(())
    }

    /// Returns the tensors of each file.
    fn shards(&self, options: &MergeOptions<'_>) -> Vec<Vec<TensorSpec>> {
        let mut shards: Vec<Vec<TensorSpec>> = Vec::new();
        let mut size = 0u64;
        for (name, shape) in self.merges.iter().flat_map(Merge::tensors) {
            let bytes =
                shape.iter().fold(options.dtype.size() as u64, |size, &dim| size.saturating_mul(dim as u64));
            if shards.is_empty() || size.saturating_add(bytes) > options.max_shard_bytes {
                shards.push(Vec::new());
                size = 0;
            }
            size = size.saturating_add(bytes);
            if let Some(shard) = shards.last_mut() {
                shard.push(TensorSpec::new(name, options.dtype, shape));
            }
        }
        shards.retain(|shard| !shard.is_empty());
        shards
    }

    /// Returns the configuration of the base, for what the adapter was trained for.
    pub fn config(&self) -> &'a ModelConfig {
        self.config
    }

    /// Whether the adapter may change a module: the merged model has other values there than the base.
    pub fn changes(&self, merge: &Merge<'_>) -> bool {
        let head = || self.merges.iter().find(|merge| merge.module.role == Role::LmHead && merge.module.tied);
        let of_head =
            || head().is_some_and(|head| head.is_changed() && (!head.untied || head.weight.is_some()));
        merge.untied || merge.is_changed() || (merge.module.role == Role::Embedding && of_head())
    }

    /// Computes a tensor of the merged model by its name.
    pub fn merged(&self, name: &str) -> Result<Vec<f32>, ExportError> {
        let (path, kind) = name.rsplit_once('.').unwrap_or((name, ""));
        let merge = self.merges.iter().find(|merge| merge.module.path == path);
        let merge = merge.ok_or_else(|| self.missing(name))?;
        match kind {
            "bias" => self.merged_bias(merge),
            _ => self.merged_weight(merge),
        }
    }

    fn missing(&self, name: &str) -> ExportError {
        let help = "give the base model that the adapter was trained for, whole";
        ExportError::adapter("the base model", format!("it has no tensor {name}"), help)
    }

    /// Reads a tensor of the base.
    fn read(&self, name: &str) -> Result<Vec<f32>, ExportError> {
        let place = self.config.find(&*self.base.tensors, name).ok_or_else(|| self.missing(name))?;
        Ok(self.base.tensors.read_f32(&place)?)
    }

    /// Reads the weight that a module's adapter changes.
    fn start(&self, merge: &Merge<'_>) -> Result<Vec<f32>, ExportError> {
        if let Some(key) = &merge.weight {
            return self.adapter.read_key(key);
        }
        let other = match merge.module.role {
            Role::Embedding => {
                self.merges.iter().find(|merge| merge.module.role == Role::LmHead && merge.module.tied)
            }
            Role::LmHead if merge.module.tied => {
                self.merges.iter().find(|merge| merge.module.role == Role::Embedding)
            }
            _ => None,
        };
        // A base's own weight that is saved beside an adapter on one end is that of both; a trained one is not.
        if let Some((other, key)) = other.and_then(|other| Some((other, other.weight.as_ref()?)))
            && !self.is_trained(other)
        {
            return self.adapter.read_key(key);
        }
        match merge.module.tied {
            true => self.read(&format!("{}.weight", self.embedding)),
            false => self.read(&format!("{}.weight", merge.module.path)),
        }
    }

    /// Whether a module is one of `modules_to_save`, or a part of one, by PEFT's rule: a name is the end of a path.
    fn is_trained(&self, merge: &Merge<'_>) -> bool {
        let path = &merge.module.path;
        let mut ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
        let names = self.adapter.lora.modules_to_save.as_deref().unwrap_or_default();
        ends.any(|end| {
            path.get(..end).is_some_and(|path| names.iter().any(|name| path.ends_with(name.as_str())))
        })
    }

    fn merged_weight(&self, merge: &Merge<'_>) -> Result<Vec<f32>, ExportError> {
        let mut weight = self.start(merge)?;
        let expected: usize = merge.module.shape.weight().iter().product();
        if weight.len() != expected {
            let problem = format!(
                "{} has {} values, and {expected} by its config.json",
                merge.module.path,
                weight.len()
            );
            return Err(ExportError::adapter("the base model", problem, "use the config.json of the model"));
        }
        if let Some(lora) = merge.lora {
            weight = self.with_lora(merge.module, lora, weight)?;
        }
        let rows = match merge.module.tied {
            // The rows are those of both.
            true => self
                .merges
                .iter()
                .find(|other| other.module.role == Role::Embedding)
                .and_then(|other| other.rows.as_ref()),
            false => merge.rows.as_ref(),
        };
        if let Some((key, tokens)) = rows {
            let rows = self.adapter.read_key(key)?;
            let width = rows.len().checked_div(tokens.len()).unwrap_or(0).max(1);
            for (token, row) in tokens.iter().zip(rows.chunks(width)) {
                if let Some(place) = weight.get_mut(token * width..(token + 1) * width) {
                    place.copy_from_slice(row);
                }
            }
        }
        Ok(weight)
    }

    /// Adds a module's adapter to its weight.
    fn with_lora(
        &self,
        module: &Module,
        lora: &AdaptedModule,
        mut weight: Vec<f32>,
    ) -> Result<Vec<f32>, ExportError> {
        let scale = self.adapter.scaling(lora) as f32;
        let (a, b) = self.adapter.matrices(lora)?;
        if lora.is_embedding {
            // The embedding is [vocab, hidden], and the change `(B A)ᵀ`.
            let (turned_a, turned_b) = (transposed(&a, lora.size_in), transposed(&b, lora.rank));
            let change =
                LowRank { a: &turned_b, b: &turned_a, rank: lora.rank, size_in: lora.size_out, scale };
            change.add_to(&mut weight, None);
            return Ok(weight);
        }
        let magnitudes = match lora.has(AdapterPart::MagnitudeVector) {
            true => Some(self.adapter.read(lora, AdapterPart::MagnitudeVector)?),
            false => None,
        };
        let change = LowRank { a: &a, b: &b, rank: lora.rank, size_in: lora.size_in, scale };
        let in_out = matches!(module.shape, ModuleShape::Linear { in_out: true, .. });
        if in_out {
            weight = transposed(&weight, lora.size_out);
        }
        change.add_to(&mut weight, magnitudes.as_deref());
        Ok(if in_out { transposed(&weight, lora.size_in) } else { weight })
    }

    fn merged_bias(&self, merge: &Merge<'_>) -> Result<Vec<f32>, ExportError> {
        let mut bias = match &merge.bias {
            Some(key) => self.adapter.read_key(key)?,
            None => self.read(&format!("{}.bias", merge.module.path))?,
        };
        if let Some(lora) = merge.lora.filter(|lora| lora.has(AdapterPart::LoraBBias)) {
            let scale = self.adapter.scaling(lora) as f32;
            let change = self.adapter.read(lora, AdapterPart::LoraBBias)?;
            bias.iter_mut().zip(change).for_each(|(bias, change)| *bias += scale * change);
        }
        Ok(bias)
    }
}

impl Merge<'_> {
    /// Whether the adapter has something of the module's own.
    fn is_changed(&self) -> bool {
        self.lora.is_some() || self.weight.is_some() || self.bias.is_some() || self.rows.is_some()
    }

    /// Returns the names and shapes of the module's tensors in the merged model.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let mut tensors = self.module.tensors();
        if self.untied {
            tensors.push((format!("{}.weight", self.module.path), self.module.shape.weight()));
        }
        tensors
    }
}

/// Returns the tokens whose rows of a module are trained, in the order of the file's rows.
fn token_indices(adapter: &PeftAdapter, module: &Module) -> Result<Vec<usize>, ExportError> {
    let indices =
        adapter.lora.trainable_token_indices.as_ref().map(TokenIndices::by_module).unwrap_or_default();
    let of_module = |name: &Option<&str>| match name {
        None => module.role == Role::Embedding,
        Some(name) => *name == module.last_name() || *name == module.path,
    };
    let found = indices.into_iter().find(|(name, _)| of_module(name));
    found.map(|(_, tokens)| tokens.to_vec()).ok_or_else(|| {
        let problem = format!(
            "{} has trained rows, and trainable_token_indices does not say of which tokens",
            module.path
        );
        let help = "use the adapter_config.json that was saved with it";
        ExportError::adapter(adapter.file_name(), problem, help)
    })
}

/// Writes the files of weights, and their index if there are several.
fn write_shards(
    plan: &Plan<'_>,
    shards: &[Vec<TensorSpec>],
    create: &mut CreateFile<'_>,
) -> Result<(), ExportError> {
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let (mut places, mut total) = (Map::new(), 0u64);
    for (index, specs) in shards.iter().enumerate() {
        let file = match shards.len() {
            1 => ModelSource::WEIGHTS.to_owned(),
            count => format!("model-{:05}-of-{count:05}.safetensors", index + 1),
        };
        let out = created(create, &file)?;
        let mut writer = SafetensorsWriter::new(out, specs, &metadata)?;
        for spec in writer.order().to_vec() {
            let values = plan.merged(&spec.name)?;
            refuse_overflow(&spec, &values)?;
            writer.write_f32(&spec.name, &values).map_err(|error| of_file(error, &file))?;
            let bytes = spec.shape.iter().fold(spec.dtype.size() as u64, |size, &dim| size * dim as u64);
            total += bytes;
            places.insert(spec.name, json!(file));
        }
        writer.finish().map_err(|error| of_file(error, &file))?;
    }
    if shards.len() > 1 {
        places.sort_keys();
        let index = json!({ "metadata": { "total_size": total }, "weight_map": places });
        put(create, ModelSource::INDEX, format!("{index:#}\n").as_bytes())?;
    }
    Ok(())
}

fn of_file(mut error: FormatError, file: &str) -> ExportError {
    file.clone_into(&mut error.file);
    error.into()
}

/// Refuses values that would become infinite in f16.
fn refuse_overflow(spec: &TensorSpec, values: &[f32]) -> Result<(), ExportError> {
    if spec.dtype != Dtype::F16 {
        return Ok(());
    }
    match values.iter().find(|value| value.abs() > 65504.0) {
        None => Ok(()),
        Some(large) => {
            let problem = too_large(*large, &spec.name, &spec.dtype);
            Err(ExportError::inexpressible(form(), problem, message!("export it as float32 or bfloat16")))
        }
    }
}
