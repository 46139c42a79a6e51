//! A model as plain data.

use std::collections::BTreeMap;

use lorelei_formats::{
    ModelConfig, TensorSource,
    config::{Activation, Mixer, Module, ModuleShape, Role, Task},
};
use lorelei_recipe::{Recipe, TaskType};
use serde::{Deserialize, Serialize};

/// The modules of a model, and the other properties that an estimate needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelShape {
    /// Name of the architecture in Transformers.
    pub model_type: String,
    /// Task in the model's own configuration.
    pub task: Task,
    /// The modules of the body, with the names that they have in a model with a head.
    pub body: Vec<Module>,
    /// Prefix of these names, which a model without a head lacks.
    pub prefix: String,
    /// The modules of the heads that the model may have.
    pub heads: Vec<(Task, Vec<Module>)>,
    /// Bytes of the weights that are stored in the blocks of their GGUF file, by module.
    pub packed: BTreeMap<String, u64>,
    /// The modules of the heads that the checkpoint lacks.
    pub missing: Vec<String>,
    /// Number of rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of query heads.
    pub num_attention_heads: usize,
    /// Number of tokens of the longest text.
    pub longest_text: usize,
    /// Whether the MLP is SwiGLU, which has a kernel of its own.
    pub swiglu: bool,
    /// Whether attention consists of several operations, with scores in memory: windows, soft caps, encoders.
    pub composed_attention: bool,
    /// Whether logits are capped, so that those of a batch exist as a whole.
    pub capped_logits: bool,
}

impl ModelShape {
    /// Describes the model of `config` and its checkpoint, without reading a weight. `packed_bytes` returns the bytes of a linear layer's weight
    /// `[size_out, size_in]`, by its name in the checkpoint, if the weight stays in the blocks of its file.
    pub fn new(
        config: &ModelConfig,
        source: &dyn TensorSource,
        packed_bytes: impl Fn(&str, [usize; 2]) -> Option<u64>,
    ) -> Self {
        // The body's names are those of a model with a head.
        let with_head = ModelConfig { task: Task::SequenceClassification, ..config.clone() };
        let body = with_head.body();
        let bytes = |module: &Module| match module.shape {
            ModuleShape::Linear { size_out, size_in, in_out: false, .. } => {
                let name = format!("{}.weight", module.path);
                let name = config.find(source, &name).unwrap_or(name);
                packed_bytes(&name, [size_out, size_in])
            }
            ModuleShape::Linear { in_out: true, .. }
            | ModuleShape::Embedding { .. }
            | ModuleShape::Norm { .. } => None,
        };
        let packed = body.iter().filter_map(|module| Some((module.path.clone(), bytes(module)?))).collect();
        let tasks = [Task::CausalLm, Task::SequenceClassification, Task::TokenClassification];
        let tasks = tasks.into_iter().filter(|task| *task != Task::CausalLm || config.has_lm_head());
        let heads: Vec<(Task, Vec<Module>)> = tasks.map(|task| (task, config.head(task))).collect();
        let in_heads = heads.iter().flat_map(|(_, modules)| modules);
        let lacks = |module: &&Module| module.optional && !config.has_module(source, module);
        let mut missing: Vec<String> = in_heads.filter(lacks).map(|module| module.path.clone()).collect();
        missing.dedup();
        Self {
            model_type: config.model_type.to_owned(),
            task: config.task,
            body,
            prefix: config.names.prefix.to_owned(),
            heads,
            packed,
            missing,
            vocab_size: config.vocab_size,
            hidden_size: config.hidden_size,
            num_hidden_layers: config.num_hidden_layers,
            num_attention_heads: config.num_attention_heads,
            longest_text: config.longest_text(),
            swiglu: config.gated && config.activation == Activation::Silu,
            composed_attention: !config.causal
                || config.scalars.attention_softcap.is_some()
                || config.layers.iter().filter_map(Mixer::as_attention).any(|it| it.window.is_some()),
            capped_logits: config.scalars.logits_softcap.is_some(),
        }
    }

    /// Returns every module of the model for `task`, in the order of its parameters.
    pub fn modules(&self, task: Task) -> Vec<Module> {
        let mut modules = self.body.clone();
        if task == Task::FeatureExtraction {
            for module in &mut modules {
                module.path = self.without_head(&module.path).to_owned();
            }
        }
        let head = self.heads.iter().find(|(known, _)| *known == task);
        modules.extend(head.into_iter().flat_map(|(_, modules)| modules.clone()));
        modules
    }

    /// Returns the bytes of a module's weight, if it is packed.
    pub(crate) fn packed_bytes(&self, module: &Module) -> Option<u64> {
        let with_head = || self.packed.get(&format!("{}{}", self.prefix, module.path));
        self.packed.get(&module.path).or_else(with_head).copied()
    }

    /// Number of parameters of the model for the task in its own configuration.
    pub fn parameters(&self) -> u64 {
        let modules = self.modules(self.task);
        modules.iter().filter(|module| !module.optional).map(own_elements).sum()
    }

    /// Number of these parameters that are stored as numbers, and not in the blocks of a GGUF file.
    pub fn dense_parameters(&self) -> u64 {
        let packed = self.body.iter().filter(|module| self.packed.contains_key(&module.path));
        self.parameters() - packed.map(|module| module.shape.weight_elements()).sum::<u64>()
    }

    /// Gives the classifying heads `num_labels` classes.
    pub fn set_num_labels(&mut self, num_labels: usize) {
        let modules = self.heads.iter_mut().flat_map(|(_, modules)| modules);
        for module in modules.filter(|module| module.role == Role::Classifier) {
            if let ModuleShape::Linear { size_out, .. } = &mut module.shape {
                *size_out = num_labels;
            }
        }
    }

    /// Returns the task of a recipe's run on this model.
    pub fn task(&self, recipe: &Recipe) -> Task {
        recipe.lora.task_type.map_or(self.task, task_of)
    }

    fn without_head<'p>(&self, path: &'p str) -> &'p str {
        path.strip_prefix(&self.prefix).unwrap_or(path)
    }
}

/// Number of elements that a module does not share with another.
pub(crate) fn own_elements(module: &Module) -> u64 {
    match module.tied {
        true => module.shape.bias().unwrap_or(0) as u64,
        false => module.shape.elements(),
    }
}

/// Returns the task that PEFT calls `task_type`.
pub fn task_of(task_type: TaskType) -> Task {
    match task_type {
        TaskType::CausalLm => Task::CausalLm,
        TaskType::SeqCls => Task::SequenceClassification,
        TaskType::TokenCls => Task::TokenClassification,
        TaskType::FeatureExtraction => Task::FeatureExtraction,
    }
}

/// Returns PEFT's name of a task.
pub fn task_type_of(task: Task) -> TaskType {
    match task {
        Task::CausalLm => TaskType::CausalLm,
        Task::SequenceClassification => TaskType::SeqCls,
        Task::TokenClassification => TaskType::TokenCls,
        Task::FeatureExtraction => TaskType::FeatureExtraction,
    }
}
