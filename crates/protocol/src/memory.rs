//! What a run needs of its device, before it begins: parameters and memory.
//!
//! The sums are of what the operations keep for the way back (`crates/kernels/src/autodiff.rs`) and of what they hold while they run; the
//! terms are written where they are added up.

use lorelei_recipe::{FinetuningType, Recipe, RecipeError};

use crate::{ClassifierInfo, Input, ModelInfo};

/// Logits that exist at once, at most: as `lorelei-kernels` cuts the cross entropy.
const MAX_LOGITS: f64 = (1 << 24) as f64;
/// Rows of such a piece, at most.
const MAX_LOGIT_ROWS: f64 = 1024.0;
/// Share of what comes and goes that the allocator holds beside.
const SLACK_SHARE: f64 = 0.5;
/// And the most of that.
const MOST_SLACK: f64 = 96.0 * 1024.0 * 1024.0;
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

/// Rows of a micro-batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowShape {
    /// How many.
    pub rows: usize,
    /// Tokens of the longest, to which the others are filled up.
    pub length: usize,
}

impl RowShape {
    /// As large as a recipe lets them be.
    pub fn largest(recipe: &Recipe, model: &ModelInfo) -> Self {
        Self {
            rows: recipe.training.per_device_train_batch_size,
            length: recipe.data.max_length.min(model.max_position_embeddings.max(1)),
        }
    }
}

/// Memory on the device in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Memory {
    /// The frozen model, as it lies.
    pub weights: f64,
    /// What learns: values, a flat copy, gradients of this step and the one before, and the optimizer's moments.
    pub learning: f64,
    /// What the backward pass needs of a micro-batch.
    pub activations: f64,
    /// The most that one layer's way back, or a piece of the cross entropy, needs while it is computed.
    pub scratch: f64,
    /// What the allocator holds beside: it takes memory in pages that are not full. Measured, not derived: see `docs/benchmarks.md`.
    pub slack: f64,
    /// The largest single tensor.
    pub largest: f64,
}

impl Memory {
    /// Everything together.
    pub fn total(&self) -> f64 {
        self.weights + self.learning + self.activations + self.scratch + self.slack
    }
}

/// A setting that makes a run smaller.
#[derive(Debug, Clone, PartialEq)]
pub struct Saving {
    /// As `--set` takes them.
    pub assignments: Vec<String>,
    /// What it costs.
    pub cost: &'static str,
    /// What is needed with it.
    pub total: f64,
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
        .sum::<u64>()
        + head_parameters(recipe, model);
    Ok(Parameters { trainable, all: model.parameters + trainable })
}

/// Parameters of the head that a recipe's task trains whole.
fn head_parameters(recipe: &Recipe, model: &ModelInfo) -> u64 {
    head(recipe, model).map_or(0, |head| (head.before + model.num_labels * head.of_class) as u64)
}

/// The head that a recipe trains, where it trains a classifier.
fn head<'m>(recipe: &Recipe, model: &'m ModelInfo) -> Option<&'m ClassifierInfo> {
    let task = recipe.lora.task_type.unwrap_or(model.task_type);
    model.classifiers.iter().find(|head| head.task_type == task)
}

/// What a run needs with micro-batches of `shape`.
///
/// # Errors
/// As [`parameters`].
pub fn memory(recipe: &Recipe, model: &ModelInfo, shape: RowShape) -> Result<Memory, RecipeError> {
    let trainable = parameters(recipe, model)?.trainable as f64;
    let full = recipe.training.finetuning_type == FinetuningType::Full;
    let half = !full && (recipe.training.fp16 || recipe.training.bf16);
    let float = if half { 2.0 } else { F32 };
    let (batch, length) = (shape.rows as f64, shape.length as f64);
    let tokens = batch * length;
    let (hidden, inner, vocab) =
        (model.hidden_size as f64, model.intermediate_size as f64, model.vocab_size as f64);
    let scores = if model.composed { batch * model.heads as f64 * length * length } else { 0.0 };
    let layers = kept_of_layers(recipe, model, float, full)?;
    let of_layer = layers.iter().copied().fold(0.0, f64::max) * tokens + 2.0 * F32 * scores;
    let activations = match recipe.training.gradient_checkpointing {
        // The input of every layer, and all of one.
        true => model.num_hidden_layers as f64 * hidden * F32 * tokens + of_layer,
        false => layers.iter().sum::<f64>() * tokens + layers.len() as f64 * 2.0 * F32 * scores,
    };
    // A classifier has a few logits in place of a vocabulary.
    let vocab_logits = head(recipe, model).map_or(vocab, |_| model.num_labels as f64);
    let chunk = (MAX_LOGITS / vocab_logits.max(1.0)).floor().clamp(1.0, MAX_LOGIT_ROWS).min(tokens);
    // The residual stream, the normed rows and their gradient; the logits, which become their gradient in place.
    let head = tokens * hidden * (2.0 * F32 + float) + chunk * vocab_logits * F32;
    // Of an MLP: the gradients of what it put together and of its two halves; and three of the residual stream's width.
    let way_back = tokens * (3.0 * inner * float + 3.0 * hidden * F32) + 3.0 * F32 * scores;
    let learning = trainable * F32 * if full { 4.0 } else { 6.0 };
    let scratch = head.max(way_back);
    Ok(Memory {
        weights: model.dense_parameters as f64 * float + model.packed_bytes as f64,
        learning,
        activations,
        scratch,
        slack: (SLACK_SHARE * (learning + activations + scratch)).min(MOST_SLACK),
        largest: [F32 * scores, F32 * chunk * vocab_logits, float * vocab * hidden, float * tokens * inner]
            .into_iter()
            .fold(0.0, f64::max),
    })
}

/// Bytes a token that each layer keeps, of those through which gradients flow.
fn kept_of_layers(
    recipe: &Recipe,
    model: &ModelInfo,
    float: f64,
    full: bool,
) -> Result<Vec<f64>, RecipeError> {
    let lora = if full { None } else { Some(recipe.lora.with_default_targets(&model.model_type)?) };
    let is_meant =
        |path: &str, layer| lora.as_ref().is_none_or(|lora| lora.selects(path, false, Some(layer)));
    let (hidden, inner) = (model.hidden_size as f64, model.intermediate_size as f64);
    let queries = (model.heads * model.head_dim) as f64;
    let keys = (model.kv_heads * model.head_dim) as f64;
    let mut first = None;
    let mut layers = Vec::new();
    for layer in 0..model.num_hidden_layers {
        let meant: Vec<Input> = model
            .modules
            .iter()
            .filter(|module| module.layer == layer && is_meant(&module.path, layer))
            .map(|module| module.input)
            .collect();
        if meant.is_empty() && first.is_none() {
            continue;
        }
        first.get_or_insert(layer);
        // What an adapter reads: its gradient needs it.
        let read = [
            (Input::Attention, hidden * float),
            (Input::AttentionOutput, queries * float),
            (Input::Mlp, hidden * float),
            (Input::MlpOutput, inner * float),
        ];
        let read: f64 = read.iter().filter(|(input, _)| meant.contains(input)).map(|(_, bytes)| bytes).sum();
        // The two norms' inputs; LayerNorm is of several operations, and keeps more.
        let norms = if model.layer_norms { 6.0 } else { 2.0 } * hidden * F32;
        let attention = (queries + 2.0 * keys) * float;
        // Gate and up; activations other than SwiGLU are of several operations.
        let mlp = inner * float * if model.swiglu { 2.0 } else { 5.0 };
        layers.push(read + norms + attention + mlp);
    }
    Ok(layers)
}

/// Settings that need less than the recipe does, the mildest first, each alone, and then all together.
///
/// # Errors
/// As [`parameters`].
pub fn savings(recipe: &Recipe, model: &ModelInfo, shape: RowShape) -> Result<Vec<Saving>, RecipeError> {
    let training = &recipe.training;
    let (batch, accumulation) = (shape.rows, training.gradient_accumulation_steps);
    let mut found: Vec<(Vec<String>, &'static str, RowShape)> = Vec::new();
    if batch > 1 {
        let rows = batch.div_ceil(2);
        let half = if batch % 2 == 0 { rows } else { 1 };
        let more = accumulation * batch / half;
        found.push((
            vec![
                format!("training.per_device_train_batch_size={half}"),
                format!("training.gradient_accumulation_steps={more}"),
            ],
            "learns the same",
            RowShape { rows: half, ..shape },
        ));
    }
    if !training.gradient_checkpointing {
        found.push((
            vec!["training.gradient_checkpointing=true".into()],
            "learns the same, a third more time",
            shape,
        ));
    }
    if !training.fp16 && !training.bf16 && training.finetuning_type == FinetuningType::Lora {
        found.push((vec!["training.fp16=true".into()], "half floats, on a GPU that has them", shape));
    }
    if shape.length > 256 {
        let length = shape.length.div_ceil(2);
        found.push((
            vec![format!("data.max_length={length}")],
            "longer rows are cut",
            RowShape { length, ..shape },
        ));
    }
    let everything: (Vec<String>, RowShape) =
        found.iter().fold((Vec::new(), shape), |(mut all, so_far), (one, _, shape)| {
            all.extend(one.iter().cloned());
            (all, RowShape { rows: so_far.rows.min(shape.rows), length: so_far.length.min(shape.length) })
        });
    if found.len() > 1 {
        found.push((everything.0, "all of these", everything.1));
    }
    let now = memory(recipe, model, shape)?.total();
    let mut savings = Vec::new();
    for (assignments, cost, shape) in found {
        let mut changed = recipe.clone();
        for assignment in &assignments {
            changed.set(assignment)?;
        }
        let total = memory(&changed, model, shape)?.total();
        if total < now {
            savings.push(Saving { assignments, cost, total });
        }
    }
    Ok(savings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lorelei_recipe::TaskType;

    use crate::ModuleInfo;

    fn model() -> ModelInfo {
        let module = |layer: usize, name: &str, size_out, input| ModuleInfo {
            path: format!("model.layers.{layer}.self_attn.{name}"),
            layer,
            size_in: 192,
            size_out,
            input,
        };
        ModelInfo {
            name: "builtin:tiny".into(),
            model_type: "llama".into(),
            writes_text: true,
            task_type: TaskType::CausalLm,
            classifiers: vec![ClassifierInfo { task_type: TaskType::SeqCls, of_class: 192, before: 0 }],
            num_labels: 2,
            device: "CPU".into(),
            parameters: 1_000_000,
            dense_parameters: 1_000_000,
            packed_bytes: 0,
            vocab_size: 2048,
            hidden_size: 192,
            intermediate_size: 448,
            num_hidden_layers: 2,
            heads: 3,
            kv_heads: 1,
            head_dim: 64,
            swiglu: true,
            layer_norms: false,
            composed: false,
            max_position_embeddings: 512,
            has_chat_template: true,
            modules: (0..2)
                .flat_map(|layer| {
                    [
                        module(layer, "q_proj", 192, Input::Attention),
                        module(layer, "k_proj", 64, Input::Attention),
                        module(layer, "v_proj", 64, Input::Attention),
                    ]
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
        // A classifier's head learns whole.
        assert_eq!(trainable(&["lora.task_type=SEQ_CLS"]), trainable(&[]) + 2 * 192);
    }

    fn needed(assignments: &[&str]) -> Memory {
        let (recipe, model) = (recipe(assignments), model());
        memory(&recipe, &model, RowShape::largest(&recipe, &model)).expect("memory")
    }

    #[test]
    fn memory_grows_with_the_batch_and_is_never_infinite() {
        let one = "training.per_device_train_batch_size=1";
        let (small, large) = (needed(&[one]), needed(&[]));
        assert_eq!(small.weights, 4e6);
        assert_eq!(large.activations, 8.0 * small.activations);
        let checkpointed = needed(&[one, "training.gradient_checkpointing=true"]);
        assert!(checkpointed.activations < small.activations);
        // No row is longer than the model's context. Norms' inputs, what q and v read, queries, keys and values, gate and up.
        let of_token = 4.0 * (2.0 * 192.0 + 192.0 + 192.0 + 2.0 * 64.0 + 2.0 * 448.0);
        assert_eq!(small.activations, 512.0 * 2.0 * of_token);
        // What stands before the first adapter keeps nothing.
        assert_eq!(needed(&[one, "lora.layers_to_transform=1"]).activations, 512.0 * of_token);
        let huge = needed(&["training.per_device_train_batch_size=1048576", "data.max_length=1048576"]);
        assert!(huge.total().is_finite() && huge.largest.is_finite());
    }

    #[test]
    fn every_saving_saves() {
        let (recipe, model) = (recipe(&[]), model());
        let shape = RowShape::largest(&recipe, &model);
        let now = memory(&recipe, &model, shape).expect("memory").total();
        let savings = savings(&recipe, &model, shape).expect("savings");
        let all: Vec<String> = savings.iter().map(|saving| saving.assignments.join(" ")).collect();
        assert_eq!(
            all[..4],
            [
                "training.per_device_train_batch_size=4 training.gradient_accumulation_steps=2",
                "training.gradient_checkpointing=true",
                "training.fp16=true",
                "data.max_length=256"
            ]
        );
        assert!(savings.iter().all(|saving| saving.total < now));
        let least = savings.iter().map(|saving| saving.total).fold(now, f64::min);
        assert_eq!(savings.last().map(|saving| saving.total), Some(least), "all of them together");
    }
}
