//! A PEFT adapter that is read tensor by tensor.

use std::collections::BTreeMap;

use lorelei_formats::{
    AdapterPart, FormatError, ModelConfig, TensorInfo, TensorSource,
    config::{Module, ModuleShape, Role},
    parameter_name, parse_adapter_key,
    peft::base_weights,
};
use lorelei_recipe::{HubId, LoraConfig, Message, PeftConfig, TaskType, Warning, message};
use serde_json::{Map, Value};

use crate::ExportError;

/// A PEFT adapter: its configuration and its tensors, none of which is in memory.
pub struct PeftAdapter {
    /// Configuration of the adapter.
    pub lora: LoraConfig,
    /// The base model that the configuration names.
    pub base_model: Option<String>,
    /// Warnings about keys of the configuration that are unknown here.
    pub warnings: Vec<Warning>,
    config: String,
    tensors: Box<dyn TensorSource>,
    file: String,
    modules: Vec<AdaptedModule>,
    others: Vec<String>,
}

/// A module that has an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdaptedModule {
    /// Hugging Face's name: `model.layers.0.self_attn.q_proj`.
    pub path: String,
    /// Rank of the adapter.
    pub rank: usize,
    /// Number of input values; of an embedding, its number of tokens.
    pub size_in: usize,
    /// Number of output values.
    pub size_out: usize,
    /// Whether the module is an embedding.
    pub is_embedding: bool,
    keys: BTreeMap<AdapterPart, String>,
}

impl AdaptedModule {
    /// Whether the adapter has this part.
    pub fn has(&self, part: AdapterPart) -> bool {
        self.keys.contains_key(&part)
    }
}

impl PeftAdapter {
    /// Reads `adapter_config.json` and the names and shapes of the tensors. Errors call the files `config_file` and `tensors_file`.
    ///
    /// # Errors
    /// If the configuration is not LoRA's, or the tensors are not those of an adapter: a half is missing, or the shapes do not fit each other or the
    /// configured rank.
    pub fn open(
        config: &str,
        config_file: &str,
        tensors: Box<dyn TensorSource>,
        tensors_file: &str,
    ) -> Result<Self, ExportError> {
        let PeftConfig { lora, base_model, warnings } = LoraConfig::from_peft_json(config, config_file)?;
        let mut parts: Vec<(String, BTreeMap<AdapterPart, String>)> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut others = Vec::new();
        for info in tensors.infos() {
            let Some((path, part)) = parse_adapter_key(&info.name) else {
                others.push(info.name.clone());
                continue;
            };
            let place = *places.entry(path.to_owned()).or_insert_with(|| {
                parts.push((path.to_owned(), BTreeMap::new()));
                parts.len() - 1
            });
            if let Some((_, keys)) = parts.get_mut(place)
                && let Some(twice) = keys.insert(part, info.name.clone())
            {
                let problem = format!("{twice} and {} are both the {part} of {path}", info.name);
                return Err(ExportError::adapter(tensors_file, problem, "save the adapter again with PEFT"));
            }
        }
        let mut adapter = Self {
            lora,
            base_model,
            warnings,
            config: config.to_owned(),
            tensors,
            file: tensors_file.to_owned(),
            modules: Vec::new(),
            others,
        };
        adapter.modules =
            parts.into_iter().map(|(path, keys)| adapter.module(path, keys)).collect::<Result<_, _>>()?;
        if adapter.modules.is_empty() && adapter.others.is_empty() {
            let help = "is it a PEFT adapter's adapter_model.safetensors?";
            return Err(ExportError::adapter(tensors_file, "it holds no tensors", help));
        }
        adapter.refuse_missing()?;
        Ok(adapter)
    }

    /// Creates the adapter of a whole model, which changes nothing: a model is exported as the base of it.
    pub fn none() -> Self {
        Self {
            lora: LoraConfig::default(),
            base_model: None,
            warnings: Vec::new(),
            config: "{}".to_owned(),
            tensors: Box::new(NoTensors),
            file: String::new(),
            modules: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Refuses an adapter without the tensors that its configuration promises.
    fn refuse_missing(&self) -> Result<(), ExportError> {
        let missing = |what: String| {
            let help = "use the adapter_config.json and adapter_model.safetensors that were saved together";
            Err(ExportError::adapter(&self.file, what, help))
        };
        let has_no_magnitude =
            |module: &&AdaptedModule| !module.is_embedding && !module.has(AdapterPart::MagnitudeVector);
        if self.lora.use_dora
            && let Some(module) = self.modules.iter().find(has_no_magnitude)
        {
            return missing(format!(
                "{} has no {}, and use_dora is true",
                module.path,
                AdapterPart::MagnitudeVector
            ));
        }
        let has = |name: &str| self.others.iter().any(|key| key.split('.').any(|part| part == name));
        // A classifier's configuration names every head that there may be.
        if let Some(names) = self.lora.modules_to_save.as_ref().filter(|names| !names.is_empty())
            && !names.iter().any(|name| name.rsplit('.').next().is_some_and(has))
        {
            return missing(format!("it has no tensor of modules_to_save ({})", names.join(", ")));
        }
        if self.lora.trainable_token_indices.is_some()
            && !self.others.iter().any(|key| key.contains("trainable_tokens"))
        {
            return missing("it has no rows of trainable_token_indices".to_owned());
        }
        Ok(())
    }

    /// Checks the shapes of a module's matrices against each other and the configured rank.
    fn module(
        &self,
        path: String,
        keys: BTreeMap<AdapterPart, String>,
    ) -> Result<AdaptedModule, ExportError> {
        let wrong = |problem: String| {
            let help = "use the adapter_config.json and adapter_model.safetensors that were saved together";
            ExportError::adapter(&self.file, problem, help)
        };
        let is_embedding = keys.contains_key(&AdapterPart::LoraEmbeddingA);
        let (a, b) = match is_embedding {
            true => (AdapterPart::LoraEmbeddingA, AdapterPart::LoraEmbeddingB),
            false => (AdapterPart::LoraA, AdapterPart::LoraB),
        };
        let shape = |part: AdapterPart| {
            let key = keys.get(&part).ok_or_else(|| wrong(format!("{path} has no {part}")))?;
            let shape = self.tensors.info(key).map(|info| info.shape.clone()).unwrap_or_default();
            match shape[..] {
                [rows, columns] => Ok((rows, columns)),
                _ => Err(wrong(format!("{key} has shape {shape:?}, which is no matrix"))),
            }
        };
        let ((rank, size_in), (size_out, columns)) = (shape(a)?, shape(b)?);
        if rank != columns || rank == 0 {
            return Err(wrong(format!("{a} of {path} has {rank} rows, and {b} {columns} columns")));
        }
        let configured = self.lora.rank(&path);
        if rank != configured {
            return Err(wrong(format!(
                "the rank of {path} is {rank} here, and {configured} by the configuration"
            )));
        }
        let vectors = [AdapterPart::MagnitudeVector, AdapterPart::LoraBBias];
        for key in vectors.iter().filter_map(|part| keys.get(part)) {
            let shape = self.tensors.info(key).map(|info| info.shape.clone()).unwrap_or_default();
            // Old versions of PEFT save the magnitudes as a matrix of one row.
            if shape.iter().product::<usize>() != size_out {
                return Err(wrong(format!("{key} has shape {shape:?}, and {size_out} outputs")));
            }
        }
        Ok(AdaptedModule { path, rank, size_in, size_out, is_embedding, keys })
    }

    /// Returns the modules that have an adapter, in the order of the file.
    pub fn modules(&self) -> &[AdaptedModule] {
        &self.modules
    }

    /// Returns the keys of the tensors that belong to no adapter: biases, `modules_to_save`, trained rows of the embedding.
    pub fn others(&self) -> &[String] {
        &self.others
    }

    /// Returns the keys of the base's own weights that PEFT saves beside an adapter of embedding or head (`….base_layer.weight`). They are copies, unless
    /// the base was changed before the training.
    pub(crate) fn base_copies(&self) -> Vec<&String> {
        self.others.iter().filter(|key| self.is_base_copy(key)).collect()
    }

    /// Returns the keys of what was trained of the base, beside the adapters of its modules.
    pub(crate) fn trained_beside(&self) -> Vec<&String> {
        self.others.iter().filter(|key| !self.is_base_copy(key)).collect()
    }

    fn is_base_copy(&self, key: &str) -> bool {
        self.modules.iter().any(|module| {
            let [beside, _] = base_weights(&module.path);
            parameter_name(key).as_deref() == Some(&*beside) && !self.trains_module(&module.path)
        })
    }

    /// Returns true for the path of one of `modules_to_save`, or of a part of one, by PEFT's rule: a name is the end of a path.
    pub(crate) fn trains_module(&self, path: &str) -> bool {
        let mut ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
        let names = self.lora.modules_to_save.as_deref().unwrap_or_default();
        ends.any(|end| {
            path.get(..end).is_some_and(|path| names.iter().any(|name| path.ends_with(name.as_str())))
        })
    }

    /// Leaves out the copies of the base's own weights, for a form that has no place for them. Returns a notice if there are any.
    ///
    /// # Errors
    /// If one has another shape than the base's: its vocabulary was resized.
    pub(crate) fn without_base_copies(&self, base: &[Module]) -> Result<Option<Message>, ExportError> {
        let copies = self.base_copies();
        for key in &copies {
            let shape = self.tensors.info(key).map(|info| info.shape.clone()).unwrap_or_default();
            let name = parameter_name(key).unwrap_or_default();
            let module = base.iter().find(|module| base_weights(&module.path)[0] == name);
            if module.is_some_and(|module| module.shape.weight() != shape) {
                let problem = message!(
                    "{key} has another shape than in the base model: its vocabulary was resized",
                    key = *key
                );
                let help =
                    message!("give the base model that the adapter was trained for, as it was trained on");
                return Err(ExportError::adapter(&self.file, problem, help));
            }
        }
        Ok((!copies.is_empty()).then(|| {
            message!(
                "{names}: the base's own weights, which PEFT saves beside an adapter of them, are left out; use the very base that it was trained on",
                names = listed(&copies)
            )
        }))
    }

    /// Returns the text of `adapter_config.json`.
    pub fn config(&self) -> &str {
        &self.config
    }

    /// Returns the base model that the configuration names, as `owner/name@revision` where it names a revision too.
    pub fn base_name(&self) -> Option<String> {
        let name = self.base_model.clone().filter(|name| !name.is_empty())?;
        let config = self.config_json().unwrap_or_default();
        // A path has no revisions.
        let revision =
            config.get("revision").and_then(Value::as_str).filter(|_| HubId::parse(&name).is_some());
        match revision.filter(|revision| !revision.is_empty()) {
            Some(revision) => Some(format!("{name}@{revision}")),
            None => Some(name),
        }
    }

    /// Returns `adapter_config.json` as an object, with what is unknown here.
    pub(crate) fn config_json(&self) -> Result<Map<String, Value>, ExportError> {
        serde_json::from_str(&self.config).map_err(|error| {
            ExportError::adapter(
                "adapter_config.json",
                format!("no JSON object: {error}"),
                "save the adapter again",
            )
        })
    }

    /// Whether the adapter was trained to classify, by its own task or its base's.
    pub(crate) fn classifies(&self, base: &ModelConfig) -> bool {
        let own =
            self.lora.task_type.is_some_and(|task| matches!(task, TaskType::SeqCls | TaskType::TokenCls));
        own || base.task.classifies()
    }

    /// Whether embedding and head of a tied base have the same adapter (`ensure_weight_tying`): the head's is the embedding's, transposed.
    ///
    /// # Errors
    /// If the matrices cannot be read.
    pub(crate) fn keeps_tied(&self, modules: &[Module]) -> Result<bool, ExportError> {
        let of = |role| {
            let path = modules.iter().find(|module| module.role == role).map(|module| &module.path);
            self.modules.iter().find(|module| Some(&module.path) == path)
        };
        let (Some(embedding), Some(head)) = (of(Role::Embedding), of(Role::LmHead)) else { return Ok(false) };
        self.has_one_adapter(embedding, head)
    }

    /// Compares the adapters of an embedding and a head. Returns whether they are the same, one the other's transpose.
    ///
    /// # Errors
    /// If the matrices cannot be read.
    pub(crate) fn has_one_adapter(
        &self,
        embedding: &AdaptedModule,
        head: &AdaptedModule,
    ) -> Result<bool, ExportError> {
        if self.scaling(embedding) != self.scaling(head) || embedding.rank != head.rank {
            return Ok(false);
        }
        let ((a, b), (head_a, head_b)) = (self.matrices(embedding)?, self.matrices(head)?);
        Ok(transposed(&a, embedding.size_in) == head_b && transposed(&b, embedding.rank) == head_a)
    }

    /// Returns the file of the tensors.
    pub fn tensors(&self) -> &dyn TensorSource {
        &*self.tensors
    }

    /// Returns the name of the file of the tensors in errors.
    pub fn file_name(&self) -> &str {
        &self.file
    }

    /// Returns the factor of `B A` for a module.
    pub fn scaling(&self, module: &AdaptedModule) -> f64 {
        self.lora.scaling(&module.path)
    }

    /// Reads a part of a module's adapter, row-major: `A [r, in]`, `B [out, r]`.
    ///
    /// # Errors
    /// If it cannot be read, or a value is not finite: no program can use such an adapter.
    pub fn read(&self, module: &AdaptedModule, part: AdapterPart) -> Result<Vec<f32>, ExportError> {
        let key = module.keys.get(&part).ok_or_else(|| {
            ExportError::adapter(
                &self.file,
                format!("{} has no {part}", module.path),
                "save the adapter again",
            )
        })?;
        self.read_key(key)
    }

    /// Reads the tensor of a key.
    ///
    /// # Errors
    /// The errors of [`Self::read`].
    pub fn read_key(&self, key: &str) -> Result<Vec<f32>, ExportError> {
        let values = self.tensors.read_f32(key)?;
        match values.iter().find(|value| !value.is_finite()) {
            None => Ok(values),
            Some(odd) => {
                let problem = message!("{key} holds {value}", key, value = odd.to_string());
                let help = message!("train again from the last good checkpoint, with a lower learning rate");
                Err(ExportError::adapter(&self.file, problem, help))
            }
        }
    }

    /// Reads the matrices `A [r, in]` and `B [out, r]` of a module; of an embedding, `A [r, vocab]` and `B [hidden, r]`.
    ///
    /// # Errors
    /// The errors of [`Self::read`].
    pub fn matrices(&self, module: &AdaptedModule) -> Result<(Vec<f32>, Vec<f32>), ExportError> {
        let (a, b) = match module.is_embedding {
            true => (AdapterPart::LoraEmbeddingA, AdapterPart::LoraEmbeddingB),
            false => (AdapterPart::LoraA, AdapterPart::LoraB),
        };
        Ok((self.read(module, a)?, self.read(module, b)?))
    }

    /// Finds a module of the base, and checks that the adapter fits it.
    ///
    /// # Errors
    /// If the base has no such module, or one of another size.
    pub fn base_module<'m>(
        &self,
        module: &AdaptedModule,
        base: &'m [Module],
    ) -> Result<&'m Module, ExportError> {
        let help = || message!("give the base model that the adapter was trained for");
        let found = base.iter().find(|candidate| candidate.path == module.path).ok_or_else(|| {
            let problem = message!("the base model has no module {path}", path = &module.path);
            ExportError::adapter(&self.file, problem, help())
        })?;
        let sizes = match found.shape {
            ModuleShape::Linear { size_out, size_in, .. } if !module.is_embedding => {
                Some((size_in, size_out))
            }
            ModuleShape::Embedding { rows, columns } if module.is_embedding => Some((rows, columns)),
            _ => None,
        };
        match sizes {
            Some(sizes) if sizes == (module.size_in, module.size_out) => Ok(found),
            Some((size_in, size_out)) => {
                let problem = message!(
                    "the adapter of {path} maps {from} values to {to}, and the base's module {size_in} to {size_out}",
                    path = &module.path,
                    from = module.size_in,
                    to = module.size_out,
                    size_in,
                    size_out
                );
                Err(ExportError::adapter(&self.file, problem, help()))
            }
            None => {
                let problem =
                    message!("{path} is another kind of module in the base model", path = &module.path);
                Err(ExportError::adapter(&self.file, problem, help()))
            }
        }
    }

    /// Refuses an adapter whose values only fit a base that its initialisation has changed.
    pub(crate) fn refuse_unconverted(&self, form: Message) -> Result<(), ExportError> {
        if !self.lora.init_lora_weights.changes_the_base() {
            return Ok(());
        }
        let problem = message!(
            "it was saved as PiSSA or OLoRA trained it, and fits only a base without what they took from it"
        );
        let help = message!(
            "convert it to a plain adapter first: Lorelei saves it so, and PEFT does with save_pretrained(…, path_initial_model_for_weight_conversion=…)"
        );
        Err(ExportError::inexpressible(form, problem, help))
    }

    /// Returns the factor that makes `B` right for a reader that multiplies `B A` by `scale`; exactly 1 where nothing changes.
    pub(crate) fn fold(&self, module: &AdaptedModule, scale: f64) -> f32 {
        let factor = (self.scaling(module) / scale) as f32;
        // A scale that went through a file's f32 is the same one.
        if (factor - 1.0).abs() <= f32::EPSILON { 1.0 } else { factor }
    }
}

/// The tensors of no adapter.
struct NoTensors;

impl TensorSource for NoTensors {
    fn infos(&self) -> &[TensorInfo] {
        &[]
    }

    fn info(&self, _name: &str) -> Option<&TensorInfo> {
        None
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>, FormatError> {
        Err(FormatError::no_such_tensor("no adapter", name))
    }

    fn read_i64(&self, name: &str) -> Result<Vec<i64>, FormatError> {
        Err(FormatError::no_such_tensor("no adapter", name))
    }
}

/// Whether a role is that of a token embedding or a head, which some forms treat apart.
pub(crate) fn is_end(module: &Module) -> bool {
    matches!(module.role, Role::Embedding | Role::LmHead)
}

/// Formats a list of names for an error: at most three of them.
pub(crate) fn listed<S: AsRef<str>>(names: &[S]) -> Message {
    let shown = names.iter().take(3).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(3) {
        0 => shown.into(),
        more => message!("{shown} and {more} more", shown, more),
    }
}

/// Refuses values that are not finite, or beyond `most`, the largest of a storage format.
///
/// # Errors
/// If there is one.
pub(crate) fn refuse_large(
    form: impl Into<Message>,
    tensor: &str,
    format: &dyn std::fmt::Display,
    most: f32,
    values: &[f32],
) -> Result<(), ExportError> {
    let (problem, help) = match values.iter().find(|value| !value.is_finite() || value.abs() > most) {
        None => return Ok(()),
        Some(odd) if odd.is_nan() => (
            message!("{tensor} holds NaN", tensor),
            message!(
                "look for a row of zeros in the weight that DoRA's magnitudes are of, and for a broken base"
            ),
        ),
        Some(large) => (
            message!(
                "{value} in {tensor} is too large for {format}",
                value = large.to_string(),
                tensor,
                format = format.to_string()
            ),
            message!("export it as float32 or bfloat16"),
        ),
    };
    Err(ExportError::inexpressible(form, problem, help))
}

/// Multiplies values by a factor; by 1, they stay as they are.
pub(crate) fn scaled(mut values: Vec<f32>, factor: f32) -> Vec<f32> {
    if factor != 1.0 {
        values.iter_mut().for_each(|value| *value *= factor);
    }
    values
}

/// Returns the transpose of a row-major matrix with so many `columns`.
pub(crate) fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    let rows = values.len().checked_div(columns).unwrap_or(0);
    let mut turned = Vec::with_capacity(values.len());
    for column in 0..columns {
        turned.extend(values.iter().skip(column).step_by(columns).take(rows));
    }
    turned
}
