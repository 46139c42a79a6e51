//! What a run will be, before it begins: parameters, steps, memory.

use lorelei_protocol::ModelInfo;
use lorelei_recipe::{FinetuningType, Recipe, RecipeError, StepPlan};

/// Logits that exist at once, at most: as `lorelei-kernels` cuts the cross entropy.
const MAX_LOGITS: f64 = (1 << 24) as f64;
/// Rows of such a piece, at most.
const MAX_LOGIT_ROWS: f64 = 1024.0;
/// Width of an attention head, which a model's description does not tell: nearly all have this or more.
const HEAD: f64 = 64.0;
/// Bytes of an `f32`.
const F32: f64 = 4.0;

/// Parameters that learn, and all of them, as PEFT counts: the adapter is part of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Those that learn.
    pub trainable: u64,
    /// All.
    pub all: u64,
}

/// Memory on the device in bytes, all in `f32`. Rough: what a driver adds and what the allocator keeps is not in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Memory {
    /// The model: 4 bytes a parameter.
    pub weights: f64,
    /// The adapter, its gradient and AdamW's two moments: 16 bytes a parameter. For a whole model, the last three: 12.
    pub learning: f64,
    /// What the backward pass needs of a micro-batch, if its rows are as long as `max_length` lets them be.
    pub activations: f64,
    /// What one layer's attention and one piece of the cross entropy need while they are computed.
    pub scratch: f64,
    /// The largest single tensor.
    pub largest: f64,
}

impl Memory {
    /// Everything together.
    pub fn total(&self) -> f64 {
        self.weights + self.learning + self.activations + self.scratch
    }
}

/// Which parameters learn: `r * (in + out)` of every module that is meant.
///
/// # Errors
/// When `target_modules` is absent and the architecture has no default.
pub fn parameters(recipe: &Recipe, model: &ModelInfo) -> Result<Parameters, RecipeError> {
    if recipe.training.finetuning_type == FinetuningType::Full {
        return Ok(Parameters { trainable: model.parameters, all: model.parameters });
    }
    let lora = recipe.lora.with_default_targets(&model.model_type)?;
    let meant = model.modules.iter().filter(|module| lora.selects(&module.path, false, Some(module.layer)));
    let trainable = meant
        .map(|module| {
            let matrices = lora.rank(&module.path) * (module.size_in + module.size_out);
            // DoRA's magnitudes, or the bias of B.
            let vectors = usize::from(lora.use_dora) + usize::from(lora.lora_bias);
            (matrices + vectors * module.size_out) as u64
        })
        .sum();
    Ok(Parameters { trainable, all: model.parameters + trainable })
}

/// Optimizer steps of `rows` sequences.
///
/// # Errors
/// As [`StepPlan::new`].
pub fn steps(recipe: &Recipe, rows: usize) -> Result<StepPlan, RecipeError> {
    StepPlan::new(rows, &recipe.training)
}

/// Sequences that an optimizer step sees.
pub fn effective_batch(recipe: &Recipe) -> u64 {
    let training = &recipe.training;
    (training.per_device_train_batch_size as u64).saturating_mul(training.gradient_accumulation_steps as u64)
}

/// What a run needs.
pub fn memory(recipe: &Recipe, model: &ModelInfo, parameters: Parameters) -> Memory {
    let full = recipe.training.finetuning_type == FinetuningType::Full;
    let batch = recipe.training.per_device_train_batch_size as f64;
    let length = recipe.data.max_length.min(model.max_position_embeddings.max(1)) as f64;
    let (hidden, inner) = (model.hidden_size as f64, model.intermediate_size as f64);
    let (layers, vocab) = (model.num_hidden_layers as f64, model.vocab_size as f64);
    let tokens = batch * length;
    let scores = batch * (hidden / HEAD).ceil() * length * length;
    let logits = (MAX_LOGITS / vocab.max(1.0)).floor().clamp(1.0, MAX_LOGIT_ROWS).min(tokens) * vocab;
    // Checkpointing keeps the input of every layer, and all of one.
    let kept = match recipe.training.gradient_checkpointing {
        true => layers * hidden + 8.0 * hidden + 3.0 * inner,
        false => layers * (8.0 * hidden + 3.0 * inner),
    };
    Memory {
        weights: model.parameters as f64 * F32,
        learning: parameters.trainable as f64 * F32 * if full { 3.0 } else { 4.0 },
        activations: tokens * kept * F32,
        // Scores, probabilities and their gradient; logits, probabilities and their gradient.
        scratch: 3.0 * F32 * scores.max(logits),
        largest: F32 * [scores, logits, vocab * hidden, tokens * inner].into_iter().fold(0.0, f64::max),
    }
}

#[cfg(test)]
mod tests {
    use lorelei_protocol::ModuleInfo;

    use super::*;

    fn model() -> ModelInfo {
        let module = |layer: usize, name: &str, size_out| ModuleInfo {
            path: format!("model.layers.{layer}.self_attn.{name}"),
            layer,
            size_in: 192,
            size_out,
        };
        ModelInfo {
            name: "builtin:tiny".into(),
            model_type: "llama".into(),
            device: "CPU".into(),
            parameters: 1_000_000,
            vocab_size: 2048,
            hidden_size: 192,
            intermediate_size: 448,
            num_hidden_layers: 2,
            max_position_embeddings: 512,
            has_chat_template: true,
            modules: (0..2)
                .flat_map(|layer| {
                    [module(layer, "q_proj", 192), module(layer, "k_proj", 64), module(layer, "v_proj", 64)]
                })
                .collect(),
        }
    }

    fn recipe(assignments: &[&str]) -> Recipe {
        let mut recipe = Recipe::default();
        for assignment in assignments {
            recipe.set(assignment).unwrap_or_else(|error| panic!("{error}"));
        }
        recipe
    }

    #[test]
    fn parameters_are_counted_as_peft_counts() {
        let trainable =
            |assignments: &[&str]| parameters(&recipe(assignments), &model()).expect("parameters").trainable;
        // PEFT's default for llama is q_proj and v_proj.
        assert_eq!(trainable(&[]), 2 * 8 * ((192 + 192) + (192 + 64)));
        assert_eq!(trainable(&["lora.target_modules=all-linear", "lora.r=1"]), 2 * (384 + 256 + 256));
        assert_eq!(trainable(&["lora.layers_to_transform=1"]), 8 * (384 + 256));
        assert_eq!(trainable(&["lora.rank_pattern={ q_proj = 2 }"]), 2 * (2 * 384 + 8 * 256));
        assert_eq!(trainable(&["lora.target_modules=nothing"]), 0);
        assert_eq!(trainable(&["training.finetuning_type=full"]), 1_000_000);
    }

    #[test]
    fn memory_grows_with_the_batch_and_is_never_infinite() {
        let memory = |assignments: &[&str]| {
            let recipe = recipe(assignments);
            memory(&recipe, &model(), parameters(&recipe, &model()).expect("parameters"))
        };
        let (small, large) = (memory(&["training.per_device_train_batch_size=1"]), memory(&[]));
        assert_eq!(small.weights, 4e6);
        assert_eq!(large.activations, 8.0 * small.activations);
        let checkpointed =
            memory(&["training.per_device_train_batch_size=1", "training.gradient_checkpointing=true"]);
        assert!(checkpointed.activations < small.activations);
        // No row is longer than the model's context.
        assert_eq!(small.activations, 512.0 * 2.0 * (8.0 * 192.0 + 3.0 * 448.0) * 4.0);
        let huge = memory(&["training.per_device_train_batch_size=1048576", "data.max_length=1048576"]);
        assert!(huge.total().is_finite() && huge.largest.is_finite());
        assert_eq!(effective_batch(&recipe(&["training.gradient_accumulation_steps=4"])), 32);
    }
}
