use lorelei_formats::{FormatError, ModelConfig, TensorInfo, TensorSource};

use super::*;
use crate::{parameters, savings};

/// A checkpoint without tensors.
struct Empty;

impl TensorSource for Empty {
    fn infos(&self) -> &[TensorInfo] {
        &[]
    }

    fn info(&self, _name: &str) -> Option<&TensorInfo> {
        None
    }

    fn read_f32(&self, _name: &str) -> Result<Vec<f32>, FormatError> {
        Ok(Vec::new())
    }

    fn read_i64(&self, _name: &str) -> Result<Vec<i64>, FormatError> {
        Ok(Vec::new())
    }
}

fn model() -> ModelShape {
    let config = serde_json::json!({
        "model_type": "llama", "vocab_size": 2048, "hidden_size": 192, "intermediate_size": 448,
        "num_hidden_layers": 2, "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 64,
        "max_position_embeddings": 512, "tie_word_embeddings": true,
    });
    let config = ModelConfig::from_json(&config.to_string(), "config.json").expect("a configuration");
    ModelShape::new(&config, &Empty, |_, _| None)
}

fn recipe(assignments: &[&str]) -> Recipe {
    let mut recipe = Recipe::default();
    for assignment in assignments {
        recipe.set(assignment).unwrap_or_else(|error| panic!("{error}"));
    }
    recipe
}

/// A layer has the modules q, k and v of 192, 64 and 64 outputs, o, and an MLP of 448.
#[test]
fn parameters_are_counted_as_peft_counts() {
    let counted = |assignments: &[&str]| parameters(&recipe(assignments), &model()).expect("parameters");
    let trainable = |assignments: &[&str]| counted(assignments).trainable;
    // PEFT's default for llama is q_proj and v_proj.
    assert_eq!(trainable(&[]), 2 * 8 * ((192 + 192) + (192 + 64)));
    let qkv = "lora.target_modules=[\"q_proj\",\"k_proj\",\"v_proj\"]";
    assert_eq!(trainable(&[qkv, "lora.r=1"]), 2 * (384 + 256 + 256));
    let rest = 384 + 3 * (192 + 448);
    assert_eq!(trainable(&["lora.target_modules=all-linear", "lora.r=1"]), 2 * (384 + 256 + 256 + rest));
    assert_eq!(trainable(&["lora.layers_to_transform=1"]), 8 * (384 + 256));
    assert_eq!(trainable(&["lora.rank_pattern={ q_proj = 2 }"]), 2 * (2 * 384 + 8 * 256));
    assert_eq!(trainable(&["lora.target_modules=nothing"]), 0);
    let all = model().parameters();
    assert_eq!(all, 2048 * 192 + 192 + 2 * (2 * 192 + 2 * 192 * 192 + 2 * 192 * 64 + 3 * 192 * 448));
    assert_eq!(counted(&["training.finetuning_type=full"]), crate::ParameterCounts { trainable: all, all });
    // A classifier's head trains whole, and PEFT keeps a copy of it.
    assert_eq!(trainable(&["lora.task_type=SEQ_CLS"]), trainable(&[]) + 2 * 192);
    assert_eq!(counted(&["lora.task_type=SEQ_CLS"]).all, all + 2 * 192 + trainable(&[]) + 2 * 192);
    // PEFT also keeps a copy of a head that was the embedding.
    let head = counted(&["lora.modules_to_save=lm_head"]);
    assert_eq!((head.trainable, head.all), (trainable(&[]) + 2048 * 192, all + trainable(&[]) + 2048 * 192));
}

#[test]
fn a_setting_that_takes_every_target_away_is_named() {
    let model = model();
    let cause = |assignments: &[&str]| {
        let recipe = recipe(assignments);
        let modules = model.modules(model.task(&recipe));
        let trainable = crate::Trainable::of_recipe(&recipe, &model, &modules).expect("a selection");
        assert!(trainable.target_modules(&modules).is_empty(), "{assignments:?}");
        crate::Trainable::deselected(trainable.lora().expect("adapters"), &modules).map(|error| error.key)
    };
    let head = "lora.target_modules=[\"lm_head\"]";
    assert_eq!(cause(&[head, "lora.modules_to_save=lm_head"]).as_deref(), Some("lora.modules_to_save"));
    for saved in ["lora.modules_to_save=layers", "lora.modules_to_save=self_attn"] {
        assert_eq!(cause(&[saved]).as_deref(), Some("lora.modules_to_save"), "{saved}");
    }
    let none = ["lora.target_modules=[\"q_proj\"]", "lora.exclude_modules=[\"q_proj\"]"];
    assert_eq!(cause(&none).as_deref(), Some("lora.exclude_modules"));
    assert_eq!(cause(&["lora.layers_to_transform=7"]).as_deref(), Some("lora.layers_to_transform"));
    let pattern = ["lora.layers_to_transform=1", "lora.layers_pattern=blocks"];
    assert_eq!(cause(&pattern).as_deref(), Some("lora.layers_pattern"));
    // Of target_modules that select nothing by themselves, they are the cause.
    assert_eq!(cause(&["lora.target_modules=nothing", "lora.modules_to_save=lm_head"]), None);
}

fn needed(assignments: &[&str]) -> Memory {
    let (recipe, model) = (recipe(assignments), model());
    memory(&recipe, &model, RowShape::largest(&recipe, &model)).expect("memory")
}

#[test]
fn memory_grows_with_the_batch_and_is_never_infinite() {
    let one = "training.per_device_train_batch_size=1";
    let (small, large) = (needed(&[one]), needed(&[]));
    assert_eq!(small.weights, 4.0 * model().parameters() as f64);
    assert_eq!(large.activations, 8.0 * small.activations);
    let checkpointed = needed(&[one, "training.gradient_checkpointing=true"]);
    assert!(checkpointed.activations < small.activations);
    // No row is longer than the model's context. A layer keeps the norms' inputs, the input of q and v, queries, keys and values, gate and up.
    let of_token = 4.0 * (2.0 * 192.0 + 192.0 + 192.0 + 2.0 * 64.0 + 2.0 * 448.0);
    assert_eq!(small.activations, 512.0 * 2.0 * of_token);
    // Layers before the first adapter keep nothing.
    assert_eq!(needed(&[one, "lora.layers_to_transform=1"]).activations, 512.0 * of_token);
    let huge = needed(&["training.per_device_train_batch_size=1048576", "data.max_length=1048576"]);
    assert!(huge.total().is_finite() && huge.largest.is_finite());
}

#[test]
fn memory_knows_what_trains_and_its_optimizer() {
    let trainable = |assignments: &[&str]| {
        parameters(&recipe(assignments), &model()).expect("parameters").trainable as f64
    };
    let values = 4.0 * trainable(&[]);
    // The terms are values, a flat copy, two gradients, and the optimizer's state.
    assert_eq!(needed(&[]).learning, 6.0 * values);
    assert_eq!(needed(&["training.optim=lion"]).learning, 5.0 * values);
    assert_eq!(needed(&["training.optim=sgd"]).learning, 4.0 * values);
    let adafactor = needed(&["training.optim=adafactor"]).learning;
    assert!(4.0 * values < adafactor && adafactor < 5.0 * values);
    // PiSSA keeps its factors.
    assert_eq!(needed(&["lora.init_lora_weights=pissa"]).learning, 7.0 * values);
    // An embedding that trains adds a tensor in single precision, and its gradients and moments; the head becomes a tensor of its own.
    let half = ["training.fp16=true", "lora.modules_to_save=embed_tokens"];
    let (frozen, saved) = (needed(&half[..1]), needed(&half));
    let embedding = 2048.0 * 192.0;
    assert_eq!(saved.weights - frozen.weights, embedding * (2.0 + 2.0));
    assert_eq!(saved.learning - frozen.learning, embedding * 4.0 * 4.0);
    // A gradient that reaches the embedding goes through every layer.
    let last = "lora.layers_to_transform=1";
    let through = needed(&[last, "lora.trainable_token_indices=[5]"]).activations;
    assert!(through > 1.5 * needed(&[last]).activations);
    // The logits of a batch are never computed in pieces if the head has an adapter.
    let head = needed(&["lora.target_modules=[\"q_proj\", \"v_proj\", \"lm_head\"]"]);
    assert!(head.scratch > 8.0 * 512.0 * 2048.0 * 4.0);
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
