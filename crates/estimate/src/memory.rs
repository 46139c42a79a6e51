//! The memory that a run needs on its device.
//!
//! The estimate adds up the tensors that operations keep for the backward pass (`crates/kernels/src/autodiff.rs`) and those that they hold while they
//! run. Each term is explained where it is added.

use std::collections::BTreeSet;

use lorelei_formats::config::{Input, MlpPart, Module, ModuleShape, Role, Task};
use lorelei_recipe::{FinetuningType, Recipe, RecipeError};
use lorelei_shaders::limits::logit_rows;

use crate::{ModelShape, ModuleTraining, ParameterShape, Trainable, optimizer_state};

/// Share of temporary memory that the allocator holds in addition.
const SLACK_SHARE: f64 = 0.5;
/// Maximum of this slack in bytes.
const MOST_SLACK: f64 = 96.0 * 1024.0 * 1024.0;
/// Bytes of an `f32`.
const F32: f64 = 4.0;

/// Rows of a micro-batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowShape {
    /// Number of rows.
    pub rows: usize,
    /// Tokens of the longest row, to which the others are padded.
    pub length: usize,
}

impl RowShape {
    /// Returns the largest rows that a recipe allows.
    pub fn largest(recipe: &Recipe, model: &ModelShape) -> Self {
        Self {
            rows: recipe.training.per_device_train_batch_size,
            length: recipe.data.max_length.min(model.longest_text.max(1)),
        }
    }
}

/// Memory on the device in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Memory {
    /// The model's own weights, in the form in which they are stored.
    pub weights: f64,
    /// Additional tensors of training: adapters and a flat copy of them, gradients of this step and the one before, the optimizer's state, and the
    /// initial factors that PiSSA and OLoRA keep.
    pub learning: f64,
    /// Activations of a micro-batch that the backward pass needs.
    pub activations: f64,
    /// Largest temporary memory of one layer's backward pass, or of a piece of the cross entropy.
    pub scratch: f64,
    /// Overhead of the allocator, which takes memory in pages that are not full. It is measured, not derived: see `docs/benchmarks.md`.
    pub slack: f64,
    /// The largest single tensor.
    pub largest: f64,
}

impl Memory {
    /// Returns the sum of all parts.
    pub fn total(&self) -> f64 {
        self.weights + self.learning + self.activations + self.scratch + self.slack
    }
}

/// Estimates the memory of a run with micro-batches of `shape`.
///
/// # Errors
/// The same as those of [`Trainable::of_recipe`].
pub fn memory(recipe: &Recipe, model: &ModelShape, shape: RowShape) -> Result<Memory, RecipeError> {
    let run = Run::new(recipe, model, shape)?;
    let (learning, activations, scratch) = (run.learning(), run.activations(), run.scratch());
    Ok(Memory {
        weights: run.weights(),
        learning,
        activations,
        scratch,
        slack: (SLACK_SHARE * (learning + activations + scratch)).min(MOST_SLACK),
        largest: run.largest(),
    })
}

/// A recipe's run on a model, and the numbers that several of its sums need.
struct Run<'r> {
    recipe: &'r Recipe,
    model: &'r ModelShape,
    task: Task,
    modules: Vec<Module>,
    trainable: Trainable,
    /// Bytes of a number of the frozen weights and of the activations between layers.
    float: f64,
    /// Number of tokens of a micro-batch.
    tokens: f64,
    /// Number of scores of a layer's attention; 0 where they are not in memory.
    scores: f64,
}

impl<'r> Run<'r> {
    fn new(recipe: &'r Recipe, model: &'r ModelShape, shape: RowShape) -> Result<Self, RecipeError> {
        let task = model.task(recipe);
        let modules = model.modules(task);
        let trainable = Trainable::of_recipe(recipe, model, &modules)?;
        let full = recipe.training.finetuning_type == FinetuningType::Full;
        let half = !full && (recipe.training.fp16 || recipe.training.bf16);
        let (batch, length) = (shape.rows as f64, shape.length as f64);
        let scores = batch * model.num_attention_heads as f64 * length * length;
        Ok(Self {
            recipe,
            model,
            task,
            modules,
            trainable,
            float: if half { 2.0 } else { F32 },
            tokens: batch * length,
            scores: if model.composed_attention { scores } else { 0.0 },
        })
    }

    fn hidden(&self) -> f64 {
        self.model.hidden_size as f64
    }

    fn each(&self) -> impl Iterator<Item = (&Module, &ModuleTraining)> {
        self.modules.iter().zip(&self.trainable.modules)
    }

    fn training_of(&self, role: Role) -> ModuleTraining {
        let found = self.each().find(|(module, _)| module.role == role);
        found.map(|(_, training)| *training).unwrap_or_default()
    }

    /// Returns the bytes of the model's own weights: frozen ones as they were loaded, those that train in single precision.
    fn weights(&self) -> f64 {
        self.each().map(|(module, training)| self.weight(module, training)).sum()
    }

    fn weight(&self, module: &Module, training: &ModuleTraining) -> f64 {
        let weight = module.shape.weight_elements() as f64;
        let bias = module.shape.bias().unwrap_or(0) as f64;
        // PiSSA and OLoRA subtract a part from the weight, so its blocks become numbers.
        let is_changed = training.adapter.is_some() && self.keeps_factors();
        let weight = match (module.role, self.model.packed_bytes(module)) {
            // A tied tensor becomes two where only one of head and embedding trains.
            (Role::LmHead, _)
                if module.tied && !training.whole && !self.training_of(Role::Embedding).whole =>
            {
                0.0
            }
            (Role::LmHead, _) if module.tied && self.trainable.lora().is_none() => 0.0,
            // A classifying head is in single precision.
            (Role::Pooler | Role::Classifier, _) => weight * F32,
            (_, Some(_)) if training.whole || is_changed => weight * F32,
            (_, Some(bytes)) => bytes as f64,
            (_, None) if training.whole => weight * F32,
            (_, None) => weight * self.float,
        };
        weight + bias * if training.whole || training.bias { F32 } else { self.float }
    }

    /// Whether adapters keep their initial values, because these were subtracted from the base weights.
    fn keeps_factors(&self) -> bool {
        self.trainable.lora().is_some_and(|lora| lora.init_lora_weights.changes_the_base())
    }

    fn learning(&self) -> f64 {
        let optimizer = self.recipe.training.optim;
        let parameter = |parameter: &ParameterShape| {
            let values = parameter.elements() as f64;
            let state: usize =
                optimizer_state(optimizer, &parameter.shape).iter().map(|(_, count)| count).sum();
            // The copies are gradients of this step and of the one before, and for parameters that are added to the model their values and the flat
            // copy.
            let copies = if parameter.is_added { 4.0 } else { 2.0 };
            let kept = if parameter.is_added && self.keeps_factors() { 1.0 } else { 0.0 };
            F32 * (values * (copies + kept) + state as f64)
        };
        self.trainable.parameters(&self.modules).iter().map(parameter).sum()
    }

    /// Returns the bytes of the activations of a micro-batch that the backward pass needs.
    fn activations(&self) -> f64 {
        let layers = self.kept_of_layers();
        let scores = 2.0 * F32 * self.scores;
        match self.recipe.training.gradient_checkpointing {
            // The input of every layer is kept, and all activations of one layer.
            true => {
                let of_layer = layers.iter().copied().fold(0.0, f64::max) * self.tokens + scores;
                self.model.num_hidden_layers as f64 * self.hidden() * F32 * self.tokens + of_layer
            }
            false => layers.iter().sum::<f64>() * self.tokens + layers.len() as f64 * scores,
        }
    }

    /// Returns the bytes per token that each layer keeps, for the layers through which gradients flow. These begin with the first layer that has a
    /// trainable part, or with the first of all if something before the layers trains.
    fn kept_of_layers(&self) -> Vec<f64> {
        let trains = |(_, training): &(&Module, &ModuleTraining)| training.any();
        let before = self.each().filter(|(module, _)| module.role.is_before_layers()).any(|it| trains(&it));
        let first = match before || !self.trainable.tokens.is_empty() {
            true => Some(0),
            false => self.each().filter(trains).filter_map(|(module, _)| module.layer).min(),
        };
        let layers = first.map_or(0..0, |first| first..self.model.num_hidden_layers);
        layers.map(|layer| self.kept_of_layer(layer)).collect()
    }

    fn kept_of_layer(&self, layer: usize) -> f64 {
        let modules = || self.each().filter(|(module, _)| module.layer == Some(layer));
        // Inputs of adapters and of weights that train are needed for their gradients. Queries, keys and values have the same input.
        let mut inputs = BTreeSet::new();
        let read: f64 = modules()
            .filter(|(_, training)| training.adapter.is_some() || training.whole)
            .filter(|(module, _)| module.role.input().is_some_and(|input| inputs.insert(input)))
            .map(|(module, _)| linear_sizes(module).0 * self.float)
            .sum();
        // DoRA keeps the outputs that it scales.
        let dora = self.trainable.lora().is_some_and(|lora| lora.use_dora);
        let scaled = modules().filter(|(_, training)| dora && training.adapter.is_some());
        let scaled: f64 = scaled.map(|(module, _)| linear_sizes(module).1 * self.float).sum();
        let of_modules: f64 = modules()
            .map(|(module, _)| match (module.role, module.role.input()) {
                (_, Some(Input::Attention)) => linear_sizes(module).1 * self.float,
                // The MLP keeps gate and up. Activations other than SwiGLU consist of several operations.
                (_, Some(Input::MlpOutput)) => {
                    linear_sizes(module).0 * self.float * if self.model.swiglu { 2.0 } else { 5.0 }
                }
                (_, Some(Input::AttentionOutput | Input::Mlp)) => 0.0,
                (role, None) => self.kept_of_norm(role, module),
            })
            .sum();
        read + scaled + of_modules
    }

    /// Returns the bytes per token that a norm keeps: its input. LayerNorm consists of several operations, and keeps more.
    fn kept_of_norm(&self, role: Role, module: &Module) -> f64 {
        match module.shape {
            ModuleShape::Norm { size, bias } if matches!(role, Role::Norm(..)) => {
                size as f64 * F32 * if bias { 3.0 } else { 1.0 }
            }
            ModuleShape::Norm { .. } | ModuleShape::Linear { .. } | ModuleShape::Embedding { .. } => 0.0,
        }
    }

    /// Returns the number of logits of a token.
    fn logits(&self) -> f64 {
        let head = self.modules.iter().find(|module| matches!(module.role, Role::LmHead | Role::Classifier));
        match head.map(|module| module.shape) {
            Some(ModuleShape::Linear { size_out, .. }) => size_out as f64,
            Some(ModuleShape::Embedding { .. } | ModuleShape::Norm { .. }) | None => 0.0,
        }
    }

    /// Returns the number of tokens whose logits exist at once.
    fn logit_rows(&self) -> f64 {
        match self.has_whole_logits() {
            true => self.tokens,
            false => (logit_rows(self.logits() as usize) as f64).min(self.tokens),
        }
    }

    /// Whether the logits of a batch exist as a whole: capped ones, and those of a head with an adapter.
    fn has_whole_logits(&self) -> bool {
        self.task == Task::CausalLm
            && (self.model.capped_logits || self.training_of(Role::LmHead).adapter.is_some())
    }

    /// Returns the largest inner width of the MLPs.
    fn inner(&self) -> f64 {
        let outputs = self.modules.iter().filter(|module| module.role == Role::Mlp(MlpPart::Output));
        outputs.map(|module| linear_sizes(module).0).fold(0.0, f64::max)
    }

    fn scratch(&self) -> f64 {
        let (hidden, float, tokens) = (self.hidden(), self.float, self.tokens);
        // The gradient of the logits overwrites them, unless they exist as a whole: then their logarithms and their gradient are stored in addition.
        let copies = if self.has_whole_logits() { 3.0 } else { 1.0 };
        let logits = self.logit_rows() * self.logits() * F32 * copies;
        // The head holds the residual stream, the normed rows and their gradient, and the logits.
        let head = tokens * hidden * (2.0 * F32 + float) + logits;
        // An MLP's backward pass holds the gradients of its product and of the two factors, and three tensors of the residual stream's width.
        let way_back = tokens * (3.0 * self.inner() * float + 3.0 * hidden * F32) + 3.0 * F32 * self.scores;
        head.max(way_back)
    }

    fn largest(&self) -> f64 {
        let embedding = self.float * self.model.vocab_size as f64 * self.hidden();
        let logits = F32 * self.logit_rows() * self.logits();
        [F32 * self.scores, logits, embedding, self.float * self.tokens * self.inner()]
            .into_iter()
            .fold(0.0, f64::max)
    }
}

/// Returns `(in, out)` of a linear layer, or zeros for other modules.
fn linear_sizes(module: &Module) -> (f64, f64) {
    match module.shape {
        ModuleShape::Linear { size_out, size_in, .. } => (size_in as f64, size_out as f64),
        ModuleShape::Embedding { .. } | ModuleShape::Norm { .. } => (0.0, 0.0),
    }
}

#[cfg(test)]
mod tests;
