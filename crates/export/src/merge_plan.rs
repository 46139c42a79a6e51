//! Tensors of the model that an adapter and its base make together: PEFT's `merge_and_unload`.

use std::collections::BTreeSet;

use lorelei_formats::{
    AdapterPart, ModelConfig, ModelSource, TensorSource,
    config::{Module, ModuleShape, Role, Task},
    parameter_name,
    peft::{adapter_num_labels, base_layer_bias, base_weights, trainable_tokens},
};
use lorelei_recipe::{TaskType, TokenIndices, message};

use crate::{
    AdaptedModule, ExportError, PeftAdapter,
    adapter::{listed, transposed},
    merged::form,
    product::LowRank,
};

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
    /// Set if the weight is the embedding's in the base, and a tensor of its own in the merged model.
    pub untied: bool,
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
            (Some(_), None) => !self.adapter.trains_module(&of_embedding.module.path),
            (None, Some(_)) => !self.adapter.trains_module(&of_head.module.path),
        };
        let adapted = of_embedding.lora.is_some() || of_head.lora.is_some();
        let untied = !equal_weights || (adapted && !same);
        if let Some(head) = self.merges.get_mut(head) {
            head.untied = untied;
        }
        Ok(())
    }

    /// Refuses a base that lacks tensors, or has them in other shapes than its configuration says.
    ///
    /// # Errors
    /// If it is one.
    pub fn check_base(&self) -> Result<(), ExportError> {
        for (name, shape) in self.config.expected_tensors() {
            let place = self.config.find(&*self.base.tensors, &name).ok_or_else(|| self.missing(&name))?;
            let found = self.base.tensors.info(&place).map(|info| info.shape.clone()).unwrap_or_default();
            if found != shape {
                let problem = format!("{name} has shape {found:?}, and {shape:?} by its config.json");
                let help = "use the config.json of the model";
                return Err(ExportError::adapter("the base model", problem, help));
            }
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

    /// Returns the configuration of the base, for what the adapter was trained for.
    pub fn config(&self) -> &'a ModelConfig {
        self.config
    }

    /// Returns true if the adapter may change a module, so that the merged model has other values there than the base.
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
            && !self.adapter.trains_module(&other.module.path)
        {
            return self.adapter.read_key(key);
        }
        match merge.module.tied {
            true => self.read(&format!("{}.weight", self.embedding)),
            false => self.read(&format!("{}.weight", merge.module.path)),
        }
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
        // A tied head's adapter is on top of the rows that it shares.
        match merge.lora {
            Some(lora) => self.with_lora(merge.module, lora, weight),
            None => Ok(weight),
        }
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
        let magnitudes = match lora.has(AdapterPart::MagnitudeVector) {
            true => Some(self.adapter.read(lora, AdapterPart::MagnitudeVector)?),
            false => None,
        };
        let change = LowRank { a: &a, b: &b, rank: lora.rank, size_in: lora.size_in, scale };
        // An embedding is [vocab, hidden], and its `B A` and magnitudes are those of [hidden, vocab].
        let in_out = lora.is_embedding || matches!(module.shape, ModuleShape::Linear { in_out: true, .. });
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
    /// Returns true if the adapter has something of the module's own.
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
