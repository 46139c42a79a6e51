//! Import of other trainers' YAML and JSON: their lists, defaults and units, what is refused, and their published examples.

use lorelei_recipe::{
    FinetuningType, ImportFormat, Imported, InitLoraWeights, IntervalStrategy, LoraConfig, LrSchedulerType,
    Recipe, SamplingStrategy, Schedule, TargetModules,
};

fn import(text: &str, name: &str) -> Imported {
    let imported = Imported::from_text(text, name).unwrap();
    assert!(imported.recipe.validate().is_ok());
    imported
}

fn refusal(text: &str) -> String {
    Imported::from_text(text, "f.yaml").unwrap_err().to_string()
}

fn left_out(imported: &Imported) -> Vec<&str> {
    imported.left_out.iter().map(|warning| warning.key.as_str()).collect()
}

fn list(names: &[&str]) -> Option<TargetModules> {
    Some(TargetModules::List(names.iter().map(|name| name.to_string()).collect()))
}

#[test]
fn mlx_lm_counts_micro_batches() {
    let imported = import(include_str!("fixtures/yaml/mlx_accumulation.yaml"), "lora.yaml");
    let Recipe { data, lora, training, .. } = &imported.recipe;
    assert_eq!((training.max_steps, training.logging_steps, training.eval_steps), (100, 2.0, Some(20.0)));
    assert_eq!((training.save_steps, training.gradient_accumulation_steps), (10.0, 8));
    assert_eq!((training.per_device_train_batch_size, training.per_device_eval_batch_size), (2, 2));
    assert_eq!((lora.r, lora.lora_alpha, lora.lora_dropout), (16, 32.0, 0.05));
    assert_eq!(lora.layers_to_transform, Some((-16..0).collect()));
    assert!(lora.target_modules.as_ref().unwrap().is_all_linear());
    assert!(!data.assistant_only_loss && !data.completion_only_loss);
    assert_eq!(data.validation_file.as_deref(), Some("data/valid.jsonl"));
    assert_eq!((training.learning_rate, training.seed, training.weight_decay), (1e-4, 0, 0.0));
    assert!(left_out(&imported).is_empty());
}

#[test]
fn mlx_lm_s_defaults_hold_where_nothing_is_said() {
    let imported = import("mask_prompt: false\niters: 10\nmodel: m\n", "mask.yaml");
    let Recipe { data, lora, training, .. } = &imported.recipe;
    assert_eq!((lora.r, lora.lora_alpha, lora.lora_dropout), (8, 160.0, 0.0));
    assert_eq!(lora.layers_to_transform, Some((-16..0).collect()));
    assert!(!data.assistant_only_loss && !data.completion_only_loss);
    assert_eq!((data.max_length, training.learning_rate, training.max_steps), (2048, 1e-5, 10));
    assert_eq!((training.per_device_train_batch_size, training.max_grad_norm), (4, 0.0));
    assert_eq!(training.lr_scheduler_type, LrSchedulerType::Constant);
    let masked = import("mask_prompt: yes\niters: 10\n", "f.yaml");
    assert!(masked.recipe.data.assistant_only_loss && masked.recipe.data.completion_only_loss);
    let null = import("mask_prompt: null\niters: null\nlora_parameters: ~\nmodel: m\n", "f.yaml");
    assert_eq!((null.recipe.training.max_steps, null.recipe.lora.r), (1000, 8));
    // AdamW decays by a hundredth where mlx's Adam does not.
    let adamw = import("optimizer: adamw\niters: 10\n", "f.yaml");
    assert_eq!(adamw.recipe.training.weight_decay, 0.01);
}

#[test]
fn mlx_lm_s_layers_are_the_last_ones() {
    let layers = |text: &str| import(text, "f.yaml").recipe.lora;
    assert_eq!(layers("model: m\niters: 10\nnum_layers: 8\n").layers_to_transform, Some((-8..0).collect()));
    for all in ["-1", "0"] {
        assert_eq!(layers(&format!("iters: 10\nnum_layers: {all}\n")).layers_to_transform, None);
    }
    let counted = layers("iters: 10\nnum_layers: 2\n").with_layers_counted(5).unwrap();
    assert_eq!(counted.layers_to_transform, Some(vec![3, 4]));
    let selected =
        |layer: usize, name: &str| counted.selects(&format!("model.layers.{layer}.{name}"), false, None);
    assert!(
        selected(3, "mlp.up_proj") && selected(4, "self_attn.q_proj") && !selected(2, "self_attn.q_proj")
    );
    let error = layers("iters: 10\nnum_layers: 6\n").with_layers_counted(5).unwrap_err().to_string();
    assert!(error.contains("-6") && error.contains("5 layers"), "{error}");
}

#[test]
fn layers_count_from_either_end() {
    let lora =
        |layers: &[i64]| LoraConfig { layers_to_transform: Some(layers.to_vec()), ..Default::default() };
    let counted =
        |layers: &[i64], of| lora(layers).with_layers_counted(of).map(|lora| lora.layers_to_transform);
    assert_eq!(counted(&[-1, 0, 3], 4).unwrap(), Some(vec![0, 3]));
    assert_eq!(counted(&[], 4).unwrap(), Some(vec![]));
    // What is beyond the last layer selects nothing, as in PEFT, and is warned of.
    assert_eq!(counted(&[4], 4).unwrap(), Some(vec![4]));
    assert!(counted(&[0, -5], 4).unwrap_err().to_string().contains("-5"));
    let mut recipe = Recipe::default();
    recipe.set("lora.layers_to_transform=-2,-1").unwrap();
    recipe.set("lora.target_modules=all-linear").unwrap();
    assert_eq!(recipe.lora.layers_to_transform, Some(vec![-2, -1]));
    assert!(recipe.validate().unwrap().is_empty());
    assert_eq!(Recipe::from_toml(&recipe.to_toml(), "r").unwrap().0, recipe);
    assert!(recipe.to_peft_python().contains("# PEFT takes layers_to_transform with a list"));
}

/// mlx's learning rate at an optimizer step: `cosine_decay` after a `linear_schedule` for the warm-up that begins at the same rate, joined
/// after `warmup + 1` steps.
fn mlx_cosine(step: u64, warmup: u64, from: f64, length: u64, to: f64) -> f64 {
    if warmup > 0 && step <= warmup {
        return to + (from - to) * step as f64 / warmup as f64;
    }
    let since = if warmup > 0 { step - warmup - 1 } else { step };
    let share = since.min(length) as f64 / length as f64;
    to + 0.5 * (1.0 + (std::f64::consts::PI * share).cos()) * (from - to)
}

#[test]
fn mlx_s_schedules_have_their_own_length() {
    for (warmup, length, end) in
        [(10_u64, 40_u64, 1e-6), (0, 40, 0.0), (0, 100, 1e-6), (0, 100, 0.0), (5, 95, 0.0)]
    {
        let text = format!(
            "iters: 100\nlr_schedule:\n  name: cosine_decay\n  warmup: {warmup}\n  warmup_init: {end:e}\n  arguments: [1e-4, {length}, {end:e}]\n"
        );
        let training = import(&text, "f.yaml").recipe.training;
        let schedule = Schedule {
            kind: training.lr_scheduler_type,
            kwargs: training.lr_scheduler_kwargs,
            base_lr: training.learning_rate,
            warmup_steps: training.warmup_steps as u64,
            total_steps: training.max_steps as u64,
        };
        for step in 0..100 {
            let (got, want) = (schedule.learning_rate(step), mlx_cosine(step, warmup, 1e-4, length, end));
            assert!((got - want).abs() < 1e-15, "step {step} of {text}: {got} for {want}");
        }
    }
    let other = import(
        "iters: 9\nlr_schedule: {name: step_decay, warmup: 3, arguments: [1e-3, 0.9, 10]}\n",
        "f.yaml",
    );
    assert_eq!(other.recipe.training.lr_scheduler_type, LrSchedulerType::ConstantWithWarmup);
    assert_eq!((other.recipe.training.learning_rate, left_out(&other)), (1e-3, vec!["lr_schedule"]));
}

#[test]
fn mlx_lm_says_what_does_not_divide() {
    let imported =
        import("iters: 100\ngrad_accumulation_steps: 8\nsteps_per_report: 10\nsave_every: 3\n", "f.yaml");
    let training = &imported.recipe.training;
    assert_eq!((training.max_steps, training.logging_steps, training.save_steps), (12, 1.0, 1.0));
    for name in ["iters = 100", "steps_per_report = 10", "save_every = 3"] {
        assert!(imported.warnings.iter().any(|warning| warning.message.contains(name)), "{name}");
    }
    let error = refusal("iters: 3\ngrad_accumulation_steps: 8\n");
    assert!(error.starts_with("f.yaml:1:1: iters = 3") && error.contains("no step"), "{error}");
}

#[test]
fn llama_factory_s_lists_are_lists() {
    let imported = import(include_str!("fixtures/yaml/llama_factory_lists.yaml"), "a.yaml");
    let Recipe { data, lora, training, .. } = &imported.recipe;
    assert_eq!(lora.target_modules, list(&["q_proj", "v_proj"]));
    assert_eq!((lora.r, lora.lora_alpha, data.max_length), (16, 32.0, 512));
    assert!(!data.assistant_only_loss && !data.completion_only_loss && !data.packing);
    assert_eq!((training.eval_strategy, training.eval_steps), (IntervalStrategy::Steps, Some(500.0)));
    assert!(training.bf16 && training.gradient_checkpointing);
    for name in ["dataset", "template", "max_samples", "val_size"] {
        assert!(left_out(&imported).contains(&name), "{name}");
    }
    let val_size = imported.left_out.iter().find(|warning| warning.key == "val_size").unwrap();
    assert!(val_size.to_string().contains("100 * 200 / rows"), "{val_size}");
    let inline = import("stage: sft\nlora_target: [q_proj, v_proj]\nmodel_name_or_path: m\n", "f.yaml");
    assert_eq!(inline.recipe.lora.target_modules, list(&["q_proj", "v_proj"]));
    let all = import("stage: sft\nlora_target: [all]\nadditional_target: [lm_head]\n", "f.yaml").recipe.lora;
    assert!(all.target_modules.unwrap().is_all_linear());
    assert_eq!(all.modules_to_save, Some(vec!["lm_head".into()]));
}

#[test]
fn llama_factory_s_pretraining_packs_and_learns_everything() {
    let imported = import(include_str!("fixtures/yaml/llama_factory_pretraining.yaml"), "b-pt.yaml");
    let data = &imported.recipe.data;
    assert!(data.packing && !data.assistant_only_loss && !data.completion_only_loss);
    assert_eq!((data.max_length, imported.recipe.training.num_train_epochs), (1024, 1.0));
    assert!(!import("stage: pt\npacking: false\n", "f.yaml").recipe.data.packing);
}

#[test]
fn llama_factory_s_other_ways() {
    let imported = import(include_str!("fixtures/yaml/llama_factory_pissa.yaml"), "c.yaml");
    let Recipe { data, lora, training, .. } = &imported.recipe;
    assert_eq!(lora.init_lora_weights, InitLoraWeights::Pissa(None));
    assert_eq!(lora.modules_to_save, Some(vec!["embed_tokens".into(), "lm_head".into()]));
    assert!(lora.use_rslora && data.packing && data.assistant_only_loss);
    assert_eq!(training.lr_scheduler_kwargs.min_lr_rate, Some(0.1));
    for name in
        ["mask_history", "optim", "enable_liger_kernel", "compute_accuracy", "eval_dataset", "dataset"]
    {
        assert!(left_out(&imported).contains(&name), "{name} of {:?}", left_out(&imported));
    }
    let lf = import(
        r#"{"stage": "sft", "model_name_or_path": "m", "finetuning_type": "lora", "lora_target": "q_proj,v_proj",
            "lora_rank": 4, "cutoff_len": 512, "learning_rate": "1e-4", "num_train_epochs": 2.0, "output_dir": "o"}"#,
        "lf.json",
    );
    assert_eq!(
        (lf.format, lf.recipe.lora.r, lf.recipe.data.max_length),
        (ImportFormat::LlamaFactory, 4, 512)
    );
    assert_eq!((lf.recipe.lora.lora_alpha, lf.recipe.training.learning_rate), (8.0, 1e-4));
    assert!(left_out(&lf).is_empty());
    // Generation's max_length is no length of a row, and a dataset's file is.
    let file = import(
        "stage: sft\ndataset: rows.jsonl\nval_size: 0.1\nmax_length: 77\nearly_stopping_steps: 3\neval_strategy: steps\n",
        "f.yaml",
    );
    assert_eq!(
        (file.recipe.data.train_file.as_deref(), file.recipe.data.max_length),
        (Some("rows.jsonl"), 2048)
    );
    assert_eq!(file.recipe.training.early_stopping_patience, Some(3));
    assert_eq!(left_out(&file), ["max_length"]);
    let full =
        import("stage: sft\nfinetuning_type: full\nmodel_name_or_path: a/b\nmodel_revision: v1\n", "f.yaml");
    assert_eq!(full.recipe.training.finetuning_type, FinetuningType::Full);
    assert_eq!(full.recipe.model.model_name_or_path.as_deref(), Some("a/b@v1"));
}

#[test]
fn axolotl_s_lora() {
    let imported = import(include_str!("fixtures/yaml/axolotl_lora.yml"), "axolotl.yml");
    assert_eq!(imported.format, ImportFormat::Axolotl);
    let Recipe { model, data, lora, training } = &imported.recipe;
    assert_eq!(model.model_name_or_path.as_deref(), Some("HuggingFaceTB/SmolLM2-135M"));
    assert_eq!((lora.r, lora.lora_alpha, lora.lora_dropout), (32, 16.0, 0.05));
    assert!(lora.target_modules.as_ref().unwrap().is_all_linear());
    assert_eq!(
        (data.train_file.as_deref(), data.validation_split_percentage),
        (Some("rows.jsonl"), Some(5.0))
    );
    assert!(data.packing && data.assistant_only_loss && data.completion_only_loss);
    assert_eq!((data.max_length, training.num_train_epochs), (512, 2.0));
    assert_eq!((training.per_device_train_batch_size, training.gradient_accumulation_steps), (2, 4));
    assert_eq!((training.learning_rate, training.warmup_steps), (2e-4, 10.0));
    assert_eq!(training.lr_scheduler_type, LrSchedulerType::Cosine);
    assert_eq!((training.save_strategy, training.save_total_limit), (IntervalStrategy::Epoch, Some(4)));
    assert!(left_out(&imported).is_empty(), "{:?}", imported.left_out);
    for words in ["longer than sequence_len", "bf16 = true", "without Alpaca's words"] {
        assert!(imported.warnings.iter().any(|warning| warning.message.contains(words)), "{words}");
    }
    let full = import(
        "base_model: m\ndatasets: [{path: ./r.jsonl, type: completion, field: body}]\nadapter:\nlora_r: 8\ntrain_on_inputs: on\n",
        "f.yml",
    );
    assert_eq!(full.recipe.training.finetuning_type, FinetuningType::Full);
    assert_eq!((full.recipe.data.columns["text"].as_str(), left_out(&full)), ("body", vec!["lora_r"]));
    assert!(!full.recipe.data.assistant_only_loss);
    let epochs = import(
        "base_model: m\nadapter: lora\nnum_epochs: 4\nsaves_per_epoch: 1\nevals_per_epoch: 2\nval_set_size: 0.1\ncosine_min_lr_ratio: 0.1\ngroup_by_length: true\nbatch_size: 8\nmicro_batch_size: 2\n",
        "f.yml",
    );
    let training = &epochs.recipe.training;
    assert_eq!((training.save_steps, training.eval_steps), (0.25, Some(0.125)));
    assert_eq!(
        (training.save_strategy, training.eval_strategy),
        (IntervalStrategy::Steps, IntervalStrategy::Steps)
    );
    assert_eq!(training.lr_scheduler_kwargs.min_lr_rate, Some(0.1));
    assert_eq!(training.train_sampling_strategy, SamplingStrategy::GroupByLength);
    assert_eq!(training.gradient_accumulation_steps, 4);
}

#[test]
fn trl_s_sft() {
    let imported = import(include_str!("fixtures/yaml/trl_sft.yml"), "trl.yml");
    assert_eq!(imported.format, ImportFormat::Trl);
    let Recipe { data, lora, training, .. } = &imported.recipe;
    assert_eq!((lora.r, lora.lora_alpha, lora.lora_dropout), (32, 16.0, 0.05));
    assert_eq!(lora.target_modules, list(&["q_proj", "v_proj"]));
    assert!(!data.assistant_only_loss && data.completion_only_loss && !data.packing);
    assert_eq!((data.max_length, training.learning_rate, training.warmup_ratio), (512, 2e-4, 0.1));
    assert_eq!(left_out(&imported), ["torch_dtype", "dataset_name", "report_to"]);
    let bare = import(
        "model_name_or_path: m\ndataset_name: ./rows\nuse_peft: true\nlearning_rate: 1e-4\nmax_length: null\n",
        "f.yaml",
    );
    let Recipe { data, lora, training, .. } = &bare.recipe;
    assert_eq!((lora.r, lora.lora_alpha, lora.lora_dropout), (16, 32.0, 0.05));
    assert_eq!((training.logging_steps, training.gradient_checkpointing), (10.0, true));
    assert_eq!((data.train_file.as_deref(), data.max_length), (Some("./rows"), 1024));
    assert_eq!(left_out(&bare), ["max_length"]);
    let full = import("model_name_or_path: m\ndataset_name: ./rows\nlora_r: 4\n", "f.yaml");
    assert_eq!(full.recipe.training.finetuning_type, FinetuningType::Full);
    assert_eq!((full.recipe.training.learning_rate, left_out(&full)), (2e-5, vec!["lora_r"]));
}

#[test]
fn what_is_not_trained_here_is_refused_whole_and_by_name() {
    for (text, words) in [
        ("stage: dpo\nmodel_name_or_path: m\n", "f.yaml:1:1: stage: dpo"),
        ("stage: rm\n", "reward model"),
        ("stage: sft\nfinetuning_type: freeze\n", "f.yaml:2:1: finetuning_type: freeze"),
        ("model: m\nmodel_class: llm\ntemplate: qwen3\n", "model_class"),
        ("base_model: m\nadapter: qlora\nlora_r: 8\n", "adapter: qlora"),
        ("base_model: m\nadapter: lora\nrelora: true\n", "ReLoRA"),
        ("base_model: m\nadapter: lora\nrl: dpo\n", "rl: dpo"),
        ("base_model: m\nreward_model: true\n", "reward_model"),
        ("model_name_or_path: m\ndataset_name: d\nbeta: 0.1\n", "trl dpo"),
        ("model_name_or_path: m\ndataset_name: d\nnum_generations: 8\n", "trl grpo"),
        ("model: {_component_: torchtune.models.llama2.qlora_llama2_7b}\n", "QLoRA"),
        ("model: {_component_: torchtune.models.phi3.lora_phi3_mini}\n", "phi3"),
        (
            "model: {_component_: torchtune.models.llama3.lora_llama3_8b}\nloss: {_component_: torchtune.rlhf.loss.DPOLoss}\n",
            "DPOLoss",
        ),
        ("fine_tune_type: prefix\niters: 3\n", "fine_tune_type = prefix"),
        ("hello: world\n", "axolotl"),
        (
            "compute_environment: LOCAL\ndebug: false\nfsdp_config: {x: 1}\nuse_cpu: false\n",
            "no setting in it that is known",
        ),
    ] {
        let error = refusal(text);
        assert!(error.starts_with("f.yaml") && error.contains(words), "{text}: {error}");
    }
}

#[test]
fn a_file_with_marks_of_two_trainers_says_which_it_was_read_as() {
    let mixed = import("base_model: m\nadapter: lora\nlora_r: 8\nlora_alpha: 8\nstage: sft\n", "f.yaml");
    assert_eq!(mixed.format, ImportFormat::Axolotl);
    assert!(
        mixed.warnings[0].message.contains("axolotl")
            && mixed.warnings[0].message.contains("LLaMA-Factory too: stage")
    );
    assert_eq!(left_out(&mixed), ["stage"]);
}

#[test]
fn yaml_as_pyyaml_reads_it() {
    let text = "\
defaults: &adapter
  lora_rank: 4
stage: sft
<<: *adapter
template: null
learning_rate: 1e-4
lora_rank: \"16\"
eval_strategy: no
packing: Yes
num_train_epochs: 1_0
output_dir: ${HOME}/out
seed: 1
seed: 2
";
    let imported = import(text, "f.yaml");
    let Recipe { data, lora, training, .. } = &imported.recipe;
    assert_eq!((lora.r, training.learning_rate, training.num_train_epochs), (16, 1e-4, 10.0));
    assert!(data.packing && training.eval_strategy == IntervalStrategy::No);
    assert_eq!((training.seed, training.output_dir.as_str()), (2, "trainer_output"));
    assert_eq!(left_out(&imported), ["output_dir", "seed", "defaults"]);
}

/// What a run is, on one line.
fn facts(recipe: &Recipe) -> String {
    let Recipe { model, data, lora, training } = recipe;
    let targets = match &lora.target_modules {
        None => "default".into(),
        Some(TargetModules::List(names)) => names.join(" "),
        Some(TargetModules::Pattern(pattern)) => pattern.clone(),
    };
    let adapter = match training.finetuning_type {
        FinetuningType::Full => "full".into(),
        FinetuningType::Lora => {
            format!("r {} alpha {} drop {} on {targets}", lora.r, lora.lora_alpha, lora.lora_dropout)
        }
    };
    let learnt = if data.assistant_only_loss { "answers" } else { "all" };
    let length = if training.max_steps > 0 {
        format!("{} steps", training.max_steps)
    } else {
        format!("{} epochs", training.num_train_epochs)
    };
    format!(
        "{} | {adapter} | {} x {} rows, {length}, lr {:e} {} warm {} | {} tokens{}, {learnt}",
        model.model_name_or_path.as_deref().unwrap_or("-"),
        training.per_device_train_batch_size,
        training.gradient_accumulation_steps,
        training.learning_rate,
        training.lr_scheduler_type.name(),
        if training.warmup_steps > 0.0 { training.warmup_steps } else { training.warmup_ratio },
        data.max_length,
        if data.packing { " packed" } else { "" },
    )
}

#[test]
fn published_examples() {
    let examples = include_str!("fixtures/yaml/examples.txt");
    let mut count = 0;
    for example in examples.split("=== ").skip(1) {
        let (head, text) = example.split_once('\n').unwrap();
        let (want, text) = text.split_once('\n').unwrap();
        let got = match Imported::from_text(text, "f.yaml") {
            Ok(imported) => {
                assert!(imported.recipe.validate().is_ok());
                facts(&imported.recipe)
            }
            Err(error) => format!("refused: {}", error.key),
        };
        assert_eq!(got, want, "{head}");
        count += 1;
    }
    assert!(count >= 20, "{count}");
}

#[test]
fn many_unknown_keys_are_counted_and_take_no_time() {
    let keys: String = (0..20_000).map(|number| format!("key_that_nobody_knows_{number}: 1\n")).collect();
    let start = std::time::Instant::now();
    let imported = import(&format!("model: m\ndata: d\niters: 10\n{keys}"), "f.yaml");
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    let unknown: Vec<_> =
        imported.left_out.iter().filter(|warning| warning.key.starts_with("key_that")).collect();
    assert_eq!(unknown.len(), 51);
    assert_eq!(unknown[50].line, 54);
    assert!(unknown[50].message.contains("19950 keys"), "{}", unknown[50]);
}

#[test]
fn mlx_lm_schedules_of_odd_arguments_are_listed() {
    for (kind, arguments) in [
        ("cosine_decay", "[1e-5, 1e30, 1e-7]"),
        ("cosine_decay", "[0, 50]"),
        ("cosine_decay", "[1e-5, 0]"),
        ("cosine_decay", "[1e-5, 10.5]"),
        ("cosine_decay", "[1e-5, 10, 1e-4]"),
        ("cosine_decay", "[1e-5, 10, -1e-6]"),
        ("cosine_decay", "[.nan, 10]"),
        ("linear_schedule", "[.inf, 1e-5, 10]"),
        ("linear_schedule", "[1e-5, 0, -10]"),
        ("linear_schedule", "[0, 1e-5, 1e300]"),
    ] {
        for warmup in [0, 3, i64::MAX] {
            let text = format!(
                "model: m\niters: 9\nlr_schedule: {{name: {kind}, warmup: {warmup}, arguments: {arguments}}}\n"
            );
            let other = import(&text, "f.yaml");
            assert!(left_out(&other).contains(&"lr_schedule"), "{text}: {:?}", other.left_out);
            assert_eq!(other.recipe.training.max_steps, 9, "{text}");
        }
    }
    let long = "model: m\niters: 9\nlr_schedule: {name: cosine_decay, warmup: 9223372036854775807, arguments: [1e-5, 10, 1e-6]}\n";
    assert!(import(long, "f.yaml").recipe.validate().is_ok());
}

#[test]
fn yaml_and_python_agree_on_optimizers_and_on_trl_s_settings() {
    for (key, value) in [
        ("optim", "paged_adamw_32bit"),
        ("optim", "paged_adamw"),
        ("optim", "paged_adamw_8bit"),
        ("optim", "adamw_hf"),
        ("optim", "adamw_anyprecision"),
        ("optim", "adamw_bnb_8bit"),
        ("optim", "adamw_torch_4bit"),
        ("optim", "galore_adamw_8bit"),
        ("optim", "paged_lion_32bit"),
        ("optim", "lion_8bit"),
        ("optim", "sgd"),
        ("truncation_mode", "keep_end"),
        ("truncation_mode", "keep_start"),
        ("truncation_mode", "keep_all"),
        ("packing_strategy", "bfd"),
        ("packing_strategy", "ffd"),
        ("packing_strategy", "wrapped"),
        ("pad_to_multiple_of", "auto"),
        ("pad_to_multiple_of", "8"),
    ] {
        let yaml = format!(
            "model_name_or_path: o/m\ndataset_name: o/d\nuse_peft: true\nassistant_only_loss: true\n{key}: {value}\n"
        );
        let quoted = if value == "8" { value.to_owned() } else { format!("'{value}'") };
        let python = format!("LoraConfig()\nSFTConfig({key}={quoted})\n");
        let (yaml, python) = (import(&yaml, "f.yaml"), import(&python, "f.py"));
        let of = |imported: &Imported| {
            let recipe = &imported.recipe;
            let (data, training) = (&recipe.data, &recipe.training);
            let listed = left_out(imported).contains(&key);
            (training.optim, data.truncation_side, data.pad_to_multiple_of, listed)
        };
        assert_eq!(of(&yaml), of(&python), "{key} = {value}: {:?} {:?}", yaml.left_out, python.left_out);
    }
    let same =
        import("base_model: m\nsequence_len: 9\nadapter: lora\noptimizer: paged_adamw_32bit\n", "f.yaml");
    assert!(!left_out(&same).contains(&"optimizer"), "{:?}", same.left_out);
    assert!(same.warnings.iter().any(|warning| warning.message.contains("same mathematics")));
}

#[test]
fn trl_s_arguments_are_listed_where_they_ask_for_something() {
    for (key, yaml, python, is_listed) in [
        ("eval_packing", "false", "False", false),
        ("eval_packing", "true", "True", true),
        ("eval_packing", "true, packing: true", "True, packing=True", false),
        ("eval_packing", "false, packing: true", "False, packing=True", true),
        ("router_aux_loss_coef", "0.0", "0.0", false),
        ("router_aux_loss_coef", "0.001", "0.001", true),
        ("dataset_kwargs", "{}", "{}", false),
        ("dataset_kwargs", "{skip_prepare_dataset: true}", "{'skip_prepare_dataset': True}", true),
        ("infinite", "false", "False", false),
        ("infinite", "true", "True", true),
        ("dataset_num_proc", "null", "None", false),
        ("dataset_num_proc", "4", "4", true),
        ("loss_type", "nll", "'nll'", false),
        ("loss_type", "dft", "'dft'", true),
        ("use_liger", "false", "False", false),
        ("activation_offloading", "true", "True", true),
        ("shuffle_dataset", "false", "False", false),
        ("eos_token", "<|end|>", "'<|end|>'", true),
    ] {
        let yaml = yaml.replace(", packing", "\npacking");
        let yaml =
            format!("model_name_or_path: o/m\nuse_peft: true\nassistant_only_loss: true\n{key}: {yaml}\n");
        let python = format!("LoraConfig()\nSFTConfig({key}={python})\n");
        for (text, name) in [(&yaml, "f.yaml"), (&python, "f.py")] {
            let imported = import(text, name);
            let expected: &[&str] = if is_listed { &[key] } else { &[] };
            assert_eq!(left_out(&imported), expected, "{text}");
        }
    }
}

/// `ModelConfig` makes a list of one target its only text, which PEFT reads as a regex, or as `all-linear`.
#[test]
fn trl_s_targets_are_those_that_peft_gets() {
    let pattern = |text: &str| Some(TargetModules::Pattern(text.into()));
    let list = |names: &[&str]| Some(TargetModules::List(names.iter().map(|name| (*name).into()).collect()));
    for (yaml, python, targets) in [
        ("[all-linear]", "['all-linear']", pattern("all-linear")),
        ("all-linear", "'all-linear'", pattern("all-linear")),
        ("['.*\\.(q|v)_proj']", "['.*\\\\.(q|v)_proj']", pattern(r".*\.(q|v)_proj")),
        ("[q_proj]", "['q_proj']", list(&["q_proj"])),
        ("[self_attn.q_proj]", "['self_attn.q_proj']", list(&["self_attn.q_proj"])),
        ("[q_proj, v_proj]", "['q_proj', 'v_proj']", list(&["q_proj", "v_proj"])),
    ] {
        let yaml = format!(
            "model_name_or_path: o/m\nuse_peft: true\nassistant_only_loss: true\nlora_target_modules: {yaml}\n"
        );
        let python = format!(
            "args = ModelConfig(use_peft=True, lora_target_modules={python})\nSFTTrainer('o/m', SFTConfig('x'), peft_config=get_peft_config(args))\n"
        );
        for (text, name) in [(&yaml, "f.yaml"), (&python, "f.py")] {
            assert_eq!(import(text, name).recipe.lora.target_modules, targets, "{text}");
        }
    }
}

#[test]
fn nothing_of_trl_s_model_config_is_lost() {
    let script = "args = ModelConfig(lora_r=4, load_in_4bit=True, use_bnb_nested_quant=False, lora_rank=3, dtype='bfloat16')\n\
                  SFTTrainer('o/m', SFTConfig('x'), peft_config=get_peft_config(args))\n";
    let imported = import(script, "f.py");
    assert_eq!(imported.recipe.lora.r, 4);
    assert_eq!(left_out(&imported), ["load_in_4bit", "lora_rank", "dtype"]);
    let is_noted =
        imported.warnings.iter().any(|warning| warning.key == "use_peft" && warning.message.contains("full"));
    assert!(is_noted, "{:?}", imported.warnings);
    let with = import(&script.replace("lora_r", "use_peft=True, lora_r"), "f.py");
    assert!(with.warnings.iter().all(|warning| warning.key != "use_peft"), "{:?}", with.warnings);
}

#[test]
fn only_a_hub_s_id_gets_a_revision() {
    for (name, has) in
        [("o/m", true), ("./m", false), ("~/m", false), ("C:/m", false), ("o/m/n", false), ("gpt2", false)]
    {
        let yaml = format!(
            "model_name_or_path: {name}\nmodel_revision: v1\nuse_peft: true\nassistant_only_loss: true\n"
        );
        let python = format!("LoraConfig()\nAutoModelForCausalLM.from_pretrained('{name}', revision='v1')\n");
        for (text, file, key) in [(&yaml, "f.yaml", "model_revision"), (&python, "f.py", "revision")] {
            let imported = import(text, file);
            let expected = if has { format!("{name}@v1") } else { name.to_owned() };
            assert_eq!(imported.recipe.model.model_name_or_path, Some(expected), "{text}");
            assert_eq!(left_out(&imported).contains(&key), !has, "{text}: {:?}", imported.left_out);
        }
    }
}

#[test]
fn a_data_set_is_a_path_or_a_name_on_the_hub() {
    for (name, is_path) in [
        ("imdb", false),
        ("owner/rows", false),
        ("./rows", true),
        ("~/rows", true),
        ("/rows", true),
        ("rows/", true),
        ("a/b/rows", true),
        ("C:/rows", true),
        ("C:\\rows", true),
        ("my rows/here", true),
        ("owner/rows.jsonl", true),
        ("https://example.com/rows", false),
    ] {
        let yaml = format!(
            "model_name_or_path: o/m\nuse_peft: true\nassistant_only_loss: true\ndataset_name: {name}\n"
        );
        let imported = import(&yaml, "f.yaml");
        assert_eq!(imported.recipe.data.train_file.as_deref(), is_path.then_some(name), "{name}");
        assert_eq!(left_out(&imported), if is_path { &[][..] } else { &["dataset_name"] }, "{name}");
    }
}

#[test]
fn every_ending_of_a_data_file_is_one() {
    for ending in lorelei_recipe::DATA_FILE_ENDINGS {
        for name in [format!("rows.{ending}"), format!("rows.{ending}.gz"), format!("rows.{ending}.zstd")] {
            let text = format!(
                "model_name_or_path: o/m\nuse_peft: true\nassistant_only_loss: true\ndataset_name: {name}\n"
            );
            assert_eq!(import(&text, "f.yaml").recipe.data.train_file.as_deref(), Some(&*name));
        }
    }
}

#[test]
fn a_setting_that_needs_a_missing_one_is_left_out() {
    for kind in ["warmup_stable_decay", "cosine_with_min_lr"] {
        let keys = format!("lr_scheduler_type: {kind}\nlearning_rate: 3e-4\nmax_steps: 7\n");
        let text = format!("model_name_or_path: o/m\nuse_peft: true\nassistant_only_loss: true\n{keys}");
        let imported = import(&text, "f.yaml");
        assert_eq!(left_out(&imported), ["lr_scheduler_type"], "{kind}");
        assert_eq!(imported.left_out[0].line, 4);
        assert_eq!((imported.recipe.training.learning_rate, imported.recipe.training.max_steps), (3e-4, 7));
        let script =
            format!("LoraConfig()\nTrainingArguments('o', lr_scheduler_type='{kind}', max_steps=7)\n");
        assert_eq!(left_out(&import(&script, "f.py")), ["lr_scheduler_type"], "{kind}");
    }
}
