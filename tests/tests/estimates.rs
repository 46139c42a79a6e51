//! Tests of the estimates before a run, compared with the model that it trains and with PEFT's counts.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use lorelei_estimate::{ModelShape, ParameterCounts, ParameterShape, Trainable, parameters, task_type_of};
use lorelei_formats::{ModelConfig, SafetensorsFile};
use lorelei_models::{Model, Purpose, Storage, model_shape};
use lorelei_recipe::{LoraConfig, Recipe, TaskType};
use lorelei_tests::{fixture, open};

type Checkpoint = SafetensorsFile<Vec<u8>>;

fn read(arch: &str) -> (ModelConfig, Checkpoint) {
    let folder = fixture(arch);
    let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
    (ModelConfig::from_json(&config, "config.json").unwrap(), open(&folder.join("model.safetensors")))
}

/// Returns the model that a recipe trains, with its trainable parameters prepared.
fn trained(arch: &str, recipe: &Recipe) -> Model {
    let (config, checkpoint) = read(arch);
    let config = Purpose::of(recipe).config(config).unwrap();
    let mut model = Model::load(config, &checkpoint, &Device::flex(), Storage::SINGLE, &mut |_| {}).unwrap();
    if recipe.training.finetuning_type == lorelei_recipe::FinetuningType::Full {
        model.finetune_all();
        return model;
    }
    model.inject_lora(&recipe.lora, 1).unwrap();
    pollster::block_on(model.begin_from_weights(&recipe.lora, 1)).unwrap();
    model
}

/// Compares counts, names, shapes and order. Returns the number of trainable parameters.
fn agree(what: &str, arch: &str, recipe: &Recipe) -> u64 {
    let (config, checkpoint) = read(arch);
    let shape = model_shape(&config, &checkpoint, false);
    let mut model = trained(arch, recipe);
    let (trainable, all) = model.parameter_counts();
    let counted = parameters(recipe, &shape).unwrap();
    assert_eq!(counted, ParameterCounts { trainable: trainable as u64, all: all as u64 }, "{what}");
    let modules = shape.modules(shape.task(recipe));
    assert_eq!(modules, model.modules(), "{what}");
    let names: Vec<(String, Vec<usize>)> = Trainable::of_recipe(recipe, &shape, &modules)
        .unwrap()
        .parameters(&modules)
        .into_iter()
        .map(|ParameterShape { name, shape, .. }| (name, shape))
        .collect();
    assert_eq!(names, model.parameter_names(), "{what}");
    counted.trainable
}

/// Returns every folder of the fixtures with an adapter and PEFT's table of it, as architecture and adapter.
fn adapters() -> Vec<(String, PathBuf)> {
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    };
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let has_table =
        |path: &PathBuf| path.join("ref.json").exists() && path.join("adapter_config.json").exists();
    let archs = folders(&fixture("")).into_iter().filter(|arch| arch.join("model.safetensors").exists());
    archs
        .flat_map(|arch| folders(&arch).into_iter().filter(has_table).map(move |path| (name(&arch), path)))
        .collect()
}

#[test]
fn every_adapter_has_as_many_parameters_as_peft_counts() {
    let mut compared = 0;
    for (arch, folder) in adapters() {
        let what = folder.display().to_string();
        let config = std::fs::read_to_string(folder.join("adapter_config.json")).unwrap();
        let lora = LoraConfig::from_peft_json(&config, &what).unwrap().lora;
        let mut recipe = Recipe { lora, ..Recipe::default() };
        let (config, _) = read(&arch);
        recipe.lora.task_type = Some(task_type_of(config.task));
        let table: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(folder.join("ref.json")).unwrap()).unwrap();
        let trainable = agree(&what, &arch, &recipe);
        if let Some(theirs) = table["n_trainable"].as_u64() {
            assert_eq!(trainable, theirs, "{what}");
            compared += 1;
        }
    }
    assert!(compared > 30, "{compared} tables");
}

#[test]
fn estimates_and_models_agree_on_every_kind_of_run() {
    for (arch, assignments) in [
        ("llama", vec![]),
        ("llama", vec!["lora.target_modules=all-linear", "lora.use_dora=true", "lora.lora_bias=true"]),
        ("llama", vec!["lora.init_lora_weights=pissa", "lora.r=4"]),
        ("llama", vec!["lora.init_lora_weights=olora", "lora.r=4"]),
        ("llama", vec!["lora.modules_to_save=[\"embed_tokens\", \"lm_head\", \"mlp\"]"]),
        ("llama", vec!["lora.trainable_token_indices=[1, 5]", "lora.modules_to_save=norm"]),
        ("llama", vec!["lora.target_modules=[\"embed_tokens\", \"lm_head\", \"q_proj\"]"]),
        ("llama", vec!["lora.target_modules=[\"lm_head\", \"q_proj\"]", "lora.use_dora=true"]),
        ("llama", vec!["training.finetuning_type=full"]),
        ("llama", vec!["lora.task_type=SEQ_CLS"]),
        ("llama", vec!["lora.task_type=TOKEN_CLS", "lora.bias=all"]),
        ("qwen2", vec!["lora.bias=all"]),
        ("qwen2", vec!["lora.bias=lora_only", "lora.modules_to_save=k_proj"]),
        ("qwen2", vec!["lora.modules_to_save=lm_head"]),
        ("qwen2", vec!["lora.modules_to_save=embed_tokens"]),
        ("qwen2", vec!["training.finetuning_type=full"]),
        ("gpt2", vec!["lora.bias=all", "lora.modules_to_save=[\"ln_f\", \"c_fc\"]"]),
        ("gpt2", vec!["training.finetuning_type=full"]),
        ("gemma3_text", vec!["lora.modules_to_save=norm"]),
        ("phi3", vec!["lora.target_modules=all-linear"]),
        ("bert", vec!["lora.task_type=SEQ_CLS", "lora.bias=all", "lora.trainable_token_indices=[3]"]),
        (
            "bert",
            vec!["lora.task_type=SEQ_CLS", "lora.modules_to_save=pooler", "lora.trainable_token_indices=[3]"],
        ),
        ("bert", vec!["lora.task_type=TOKEN_CLS", "lora.target_modules=all-linear"]),
        ("bert_features", vec!["lora.task_type=SEQ_CLS", "lora.target_modules=all-linear"]),
        ("roberta", vec!["lora.task_type=SEQ_CLS", "lora.target_modules=all-linear"]),
        ("distilbert", vec!["lora.task_type=SEQ_CLS", "lora.target_modules=[\"q_lin\", \"pre_classifier\"]"]),
        (
            "distilbert",
            vec!["lora.task_type=SEQ_CLS", "lora.target_modules=q_lin", "training.finetuning_type=full"],
        ),
    ] {
        let mut recipe = Recipe::default();
        for assignment in &assignments {
            recipe.set(assignment).unwrap();
        }
        agree(&format!("{arch} {assignments:?}"), arch, &recipe);
    }
}

#[test]
fn classes_count_by_the_labels_of_the_data() {
    let (config, checkpoint) = read("bert");
    let mut recipe = Recipe::default();
    recipe.lora.task_type = Some(TaskType::SeqCls);
    let counted = |labels: usize| {
        let mut shape: ModelShape = model_shape(&config, &checkpoint, false);
        shape.set_num_labels(labels);
        // The shape is the one that the page receives.
        let shape: ModelShape = serde_json::from_str(&serde_json::to_string(&shape).unwrap()).unwrap();
        parameters(&recipe, &shape).unwrap().trainable
    };
    let of_class = config.hidden_size as u64 + 1;
    assert_eq!(counted(7) - counted(2), 5 * of_class);
}

#[test]
fn what_has_no_adapter_is_refused_by_its_name() {
    let (config, checkpoint) = read("gpt2");
    let shape = model_shape(&config, &checkpoint, false);
    for (assignment, words) in [
        ("lora.target_modules=[\"c_attn\", \"wpe\"]", ["target_modules", "transformer.wpe"]),
        ("lora.target_modules=[\"c_attn\", \"ln_f\"]", ["target_modules", "transformer.ln_f"]),
        ("lora.modules_to_save=ears", ["modules_to_save", "ears"]),
        ("lora.trainable_token_indices=[5, 5]", ["trainable_token_indices", "twice"]),
        ("lora.trainable_token_indices=[100000]", ["trainable_token_indices", "100000"]),
    ] {
        let mut recipe = Recipe::default();
        recipe.set(assignment).unwrap();
        let error = parameters(&recipe, &shape).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
    }
}
