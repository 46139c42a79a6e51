//! Import of Python and notebooks: whole scripts for PEFT, Transformers, TRL and Unsloth with the recipe that those tools would run, and what makes
//! a value certain or not.

use lorelei_recipe::{ImportFormat, Imported, Recipe};

fn import(text: &str) -> Imported {
    Imported::from_text(text, "f.py").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Settings of a recipe that are not the default, as `section.name = value`.
fn changed(recipe: &Recipe) -> Vec<String> {
    let own = serde_json::to_value(recipe).unwrap();
    let defaults = serde_json::to_value(Recipe::default()).unwrap();
    let mut all = Vec::new();
    for (table, settings) in own.as_object().unwrap() {
        for (name, value) in settings.as_object().unwrap() {
            if defaults[table].get(name) != Some(value) {
                all.push(format!("{table}.{name} = {value}"));
            }
        }
    }
    all
}

/// What was left out, as line and name.
fn left_out(imported: &Imported) -> Vec<(usize, &str)> {
    imported.left_out.iter().map(|warning| (warning.line, warning.key.as_str())).collect()
}

/// A script in `fixtures/python`.
struct Case {
    file: &'static str,
    /// The settings that are not Lorelei's defaults.
    recipe: &'static [&'static str],
    left_out: &'static [(usize, &'static str)],
}

/// Scripts as people write them, and as the documentation of TRL, PEFT, Unsloth and Hugging Face's courses has them, by their facts. The defaults
/// of the tools are in their recipes: TRL 1.16's (`SFTConfig`), Unsloth 2026.10's (`get_peft_model`, `rl.py`), Transformers 5.23's.
const CASES: &[Case] = &[
    Case {
        file: "sft_defaults.py",
        recipe: &[
            "model.model_name_or_path = \"builtin:tiny\"",
            "data.train_file = \"chat.jsonl\"",
            "data.max_length = 256",
            "data.assistant_only_loss = false",
            "lora.task_type = \"CAUSAL_LM\"",
            "lora.r = 4",
            "lora.target_modules = [\"q_proj\",\"v_proj\"]",
            "training.output_dir = \"out\"",
            "training.learning_rate = 0.00002",
            "training.max_steps = 2",
            "training.per_device_train_batch_size = 2",
            "training.gradient_checkpointing = true",
            "training.logging_steps = 10",
        ],
        left_out: &[],
    },
    Case {
        file: "sft_loss.py",
        recipe: &[
            "data.train_file = \"rows.jsonl\"",
            "data.packing = true",
            "data.columns = {\"text\":\"body\"}",
            "data.completion_only_loss = false",
            "data.pad_to_multiple_of = 8",
            "lora.task_type = \"CAUSAL_LM\"",
            "lora.r = 4",
            "lora.target_modules = \"all-linear\"",
            "training.output_dir = \"out\"",
            "training.learning_rate = 0.00002",
            "training.max_steps = 2",
            "training.gradient_checkpointing = true",
            "training.logging_steps = 10",
            "training.report_to = \"tensorboard\"",
        ],
        left_out: &[(13, "shuffle_dataset"), (14, "max_length"), (16, "eval_packing")],
    },
    Case {
        file: "unsloth.py",
        recipe: &[
            "model.model_name_or_path = \"unsloth/SmolLM2-135M-Instruct\"",
            "data.train_file = \"rows.jsonl\"",
            "data.max_length = 512",
            "data.packing = true",
            "data.assistant_only_loss = false",
            "lora.r = 32",
            "lora.lora_alpha = 64",
            "lora.lora_dropout = 0.1",
            "lora.target_modules = [\"q_proj\",\"k_proj\",\"v_proj\",\"o_proj\",\"gate_proj\",\"up_proj\",\"down_proj\"]",
            "lora.use_rslora = true",
            "training.output_dir = \"outputs\"",
            "training.learning_rate = 0.0002",
            "training.max_steps = 60",
            "training.per_device_train_batch_size = 2",
            "training.gradient_accumulation_steps = 4",
            "training.warmup_steps = 5",
            "training.weight_decay = 0.01",
            "training.gradient_checkpointing = true",
            "training.logging_steps = 1",
            "training.seed = 3407",
        ],
        left_out: &[(11, "load_in_4bit"), (21, "random_state"), (39, "fp16"), (40, "bf16"), (42, "optim")],
    },
    Case {
        file: "finetune.ipynb",
        recipe: &[
            "lora.task_type = \"CAUSAL_LM\"",
            "lora.r = 16",
            "lora.lora_alpha = 32",
            "lora.lora_dropout = 0.05",
            "lora.target_modules = [\"q_proj\",\"v_proj\"]",
            "training.output_dir = \"out\"",
            "training.learning_rate = 0.0003",
            "training.num_train_epochs = 2.0",
            "training.per_device_train_batch_size = 4",
        ],
        left_out: &[],
    },
    Case {
        file: "colab.py",
        recipe: &[
            "lora.task_type = \"CAUSAL_LM\"",
            "lora.r = 16",
            "lora.lora_alpha = 32",
            "lora.target_modules = [\"q_proj\",\"v_proj\"]",
            "training.output_dir = \"out\"",
            "training.learning_rate = 0.0003",
            "training.num_train_epochs = 2.0",
        ],
        left_out: &[],
    },
    Case {
        file: "old_trl.py",
        recipe: &[
            "model.model_name_or_path = \"HuggingFaceTB/SmolLM2-135M\"",
            "data.train_file = \"rows.jsonl\"",
            "data.max_length = 384",
            "data.packing = true",
            "data.columns = {\"text\":\"story\"}",
            "data.assistant_only_loss = false",
            "lora.task_type = \"CAUSAL_LM\"",
            "lora.r = 64",
            "lora.lora_alpha = 16",
            "lora.lora_dropout = 0.1",
            "training.output_dir = \"./results\"",
            "training.learning_rate = 0.0002",
            "training.num_train_epochs = 1.0",
            "training.per_device_train_batch_size = 4",
            "training.lr_scheduler_type = \"cosine\"",
            "training.warmup_ratio = 0.03",
            "training.optim = \"adamw_torch\"",
            "training.weight_decay = 0.001",
            "training.max_grad_norm = 0.3",
            "training.logging_steps = 25",
            "training.report_to = \"tensorboard\"",
            "training.eval_strategy = \"steps\"",
            "training.eval_steps = 0.2",
            "training.save_steps = 25",
            "training.train_sampling_strategy = \"group_by_length\"",
        ],
        left_out: &[(10, "BitsAndBytesConfig"), (11, "quantization_config")],
    },
    Case {
        file: "in_branch.py",
        recipe: &[
            "model.model_name_or_path = \"HuggingFaceTB/SmolLM2-135M\"",
            "lora.task_type = \"CAUSAL_LM\"",
            "lora.r = 16",
            "lora.lora_alpha = 32",
            "lora.lora_dropout = 0.05",
            "lora.target_modules = \".*\\\\.(q|v)_proj\"",
            "training.per_device_train_batch_size = 2",
            "training.warmup_steps = 10",
            "training.logging_dir = \"./logs\"",
            "training.seed = 1234",
        ],
        left_out: &[
            (3, "load_in_8bit"),
            (10, "output_dir"),
            (11, "learning_rate"),
            (12, "lr_scheduler_type"),
            (14, "save_strategy"),
            (16, "deepspeed"),
            (16, "dataloader_num_workers"),
            (16, "torch_compile"),
            (16, "label_names"),
        ],
    },
    Case {
        file: "callbacks.py",
        recipe: &[
            "model.model_name_or_path = \"Qwen/Qwen2.5-0.5B-Instruct\"",
            "data.max_length = 256",
            "data.assistant_only_loss = false",
            "data.truncation_side = \"left\"",
            "lora.lora_alpha = 16",
            "lora.target_modules = \"all-linear\"",
            "training.output_dir = \"o\"",
            "training.learning_rate = 0.0001",
            "training.num_train_epochs = 1.0",
            "training.neftune_noise_alpha = 5",
            "training.fp16 = true",
            "training.gradient_checkpointing = true",
            "training.logging_steps = 10",
            "training.eval_strategy = \"steps\"",
            "training.eval_steps = 50",
            "training.save_steps = 100",
            "training.load_best_model_at_end = true",
            "training.metric_for_best_model = \"eval_loss\"",
            "training.early_stopping_patience = 3",
        ],
        left_out: &[
            (5, "dtype"),
            (5, "dataset_kwargs"),
            (5, "chat_template_path"),
            (5, "eos_token"),
            (5, "use_liger_kernel"),
            (5, "loss_type"),
        ],
    },
    Case {
        file: "set_again.py",
        recipe: &[
            "lora.lora_alpha = 64",
            "lora.target_modules = [\"q_proj\"]",
            "training.output_dir = \"out\"",
        ],
        left_out: &[(14, "r"), (15, "learning_rate"), (15, "max_steps"), (15, "per_device_train_batch_size")],
    },
    Case {
        file: "nested.py",
        recipe: &[
            "model.model_name_or_path = \"HuggingFaceTB/SmolLM2-135M-Instruct\"",
            "data.train_file = \"rows.jsonl\"",
            "data.assistant_only_loss = false",
            "lora.r = 16",
            "lora.lora_alpha = 32",
            "lora.target_modules = [\"q_proj\"]",
            "training.output_dir = \"out\"",
            "training.learning_rate = 0.00002",
            "training.max_steps = 10",
            "training.gradient_checkpointing = true",
            "training.logging_steps = 10",
        ],
        left_out: &[(8, "split")],
    },
    Case {
        file: "dictionary.py",
        recipe: &[
            "lora.task_type = \"CAUSAL_LM\"",
            "lora.r = 16",
            "lora.lora_alpha = 32",
            "lora.lora_dropout = 0.05",
            "lora.target_modules = [\"q_proj\",\"v_proj\"]",
            "training.output_dir = \"out\"",
            "training.learning_rate = 0.0003",
            "training.num_train_epochs = 2.0",
            "training.per_device_train_batch_size = 4",
            "training.gradient_accumulation_steps = 8",
            "training.warmup_steps = 100",
            "training.optim = \"adamw_torch\"",
            "training.fp16 = true",
            "training.save_total_limit = 3",
            "training.train_sampling_strategy = \"group_by_length\"",
        ],
        left_out: &[],
    },
    Case {
        file: "arguments.py",
        recipe: &[
            "lora.r = 16",
            "lora.lora_alpha = 64",
            "lora.target_modules = [\"q_proj\"]",
            "training.output_dir = \"out\"",
            "training.learning_rate = 0.0002",
            "training.num_train_epochs = 1.0",
        ],
        left_out: &[],
    },
    Case {
        file: "trl_quick_start.py",
        recipe: &[
            "model.model_name_or_path = \"Qwen/Qwen3-0.6B\"",
            "data.assistant_only_loss = false",
            "training.output_dir = \"Qwen3-0.6B-SFT\"",
            "training.finetuning_type = \"full\"",
            "training.learning_rate = 0.00002",
            "training.gradient_checkpointing = true",
            "training.logging_steps = 10",
        ],
        left_out: &[(6, "load_dataset")],
    },
    Case {
        file: "trl_sft_script.py",
        recipe: &[
            "data.assistant_only_loss = false",
            "lora.task_type = \"CAUSAL_LM\"",
            "lora.r = 16",
            "lora.lora_alpha = 32",
            "lora.lora_dropout = 0.05",
            "training.learning_rate = 0.00002",
            "training.gradient_checkpointing = true",
            "training.logging_steps = 10",
        ],
        left_out: &[
            (9, "revision"),
            (10, "pretrained_model_name_or_path"),
            (13, "load_dataset"),
            (18, "eval_dataset"),
        ],
    },
    Case {
        file: "peft_int8.py",
        recipe: &[
            "model.model_name_or_path = \"facebook/opt-350m\"",
            "data.assistant_only_loss = false",
            "data.completion_only_loss = false",
            "lora.task_type = \"CAUSAL_LM\"",
            "lora.r = 16",
            "lora.lora_alpha = 32",
            "lora.lora_dropout = 0.05",
            "lora.target_modules = [\"q_proj\",\"v_proj\"]",
            "training.output_dir = \"outputs\"",
            "training.learning_rate = 0.0002",
            "training.max_steps = 200",
            "training.per_device_train_batch_size = 4",
            "training.gradient_accumulation_steps = 4",
            "training.warmup_steps = 100",
            "training.fp16 = true",
            "training.logging_steps = 1",
        ],
        left_out: &[(8, "quantization_config"), (8, "BitsAndBytesConfig"), (15, "load_dataset"), (16, "map")],
    },
    Case {
        file: "alpaca_lora.py",
        recipe: &[
            "lora.task_type = \"CAUSAL_LM\"",
            "lora.lora_alpha = 16",
            "lora.lora_dropout = 0.05",
            "lora.target_modules = [\"q_proj\",\"v_proj\"]",
            "training.output_dir = \"./lora-alpaca\"",
            "training.learning_rate = 0.0003",
            "training.per_device_train_batch_size = 4",
            "training.warmup_steps = 100",
            "training.optim = \"adamw_torch\"",
            "training.fp16 = true",
            "training.logging_steps = 10",
            "training.eval_strategy = \"steps\"",
            "training.eval_steps = 200",
            "training.save_steps = 200",
            "training.save_total_limit = 3",
            "training.load_best_model_at_end = true",
        ],
        left_out: &[
            (30, "model_name_or_path"),
            (30, "load_in_8bit"),
            (42, "load_dataset"),
            (44, "load_dataset"),
            (54, "train_dataset"),
            (55, "eval_dataset"),
            (58, "gradient_accumulation_steps"),
            (72, "ddp_find_unused_parameters"),
            (75, "data_collator"),
        ],
    },
    Case {
        file: "hf_argument_parser.py",
        recipe: &[
            "model.model_name_or_path = \"roberta-base\"",
            "data.train_file = \"a.csv\"",
            "data.validation_file = \"b.csv\"",
            "lora.task_type = \"SEQ_CLS\"",
            "lora.r = 16",
            "lora.lora_alpha = 32",
            "lora.target_modules = [\"query\",\"value\"]",
            "training.learning_rate = 0.001",
            "training.num_train_epochs = 5.0",
            "training.optim = \"adamw_torch\"",
        ],
        left_out: &[(27, "num_labels")],
    },
    Case {
        file: "class_settings.py",
        recipe: &[
            "model.model_name_or_path = \"HuggingFaceTB/SmolLM2-360M\"",
            "data.assistant_only_loss = false",
            "lora.r = 12",
            "lora.lora_alpha = 24",
            "lora.lora_dropout = 0.1",
            "lora.target_modules = [\"q_proj\",\"v_proj\"]",
            "training.output_dir = \"runs/SmolLM2-360M-12\"",
            "training.learning_rate = 0.00009",
            "training.max_steps = 30",
            "training.bf16 = true",
            "training.gradient_checkpointing = true",
            "training.logging_steps = 10",
            "training.eval_strategy = \"steps\"",
            "training.load_best_model_at_end = true",
            "training.early_stopping_patience = 2",
            "training.seed = 7",
        ],
        left_out: &[(40, "train_dataset"), (42, "OwnCallback()")],
    },
    Case {
        file: "two_configs.py",
        recipe: &[
            "model.model_name_or_path = \"owner/base\"",
            "data.train_file = \"rows.jsonl\"",
            "data.validation_split_percentage = 10",
            "data.assistant_only_loss = false",
            "training.output_dir = \"real\"",
            "training.learning_rate = 0.00002",
            "training.max_steps = 500",
            "training.fp16 = true",
            "training.gradient_checkpointing = true",
            "training.logging_steps = 10",
        ],
        left_out: &[(5, "r"), (7, "SFTConfig")],
    },
    Case {
        file: "unsloth_fast_model.py",
        recipe: &[
            "model.model_name_or_path = \"unsloth/gemma-3-270m-it\"",
            "data.train_file = \"chess.jsonl\"",
            "data.max_length = 2048",
            "lora.r = 128",
            "lora.lora_alpha = 128",
            "lora.target_modules = [\"q_proj\",\"k_proj\",\"v_proj\",\"o_proj\",\"gate_proj\",\"up_proj\",\"down_proj\"]",
            "training.output_dir = \"outputs\"",
            "training.max_steps = 100",
            "training.per_device_eval_batch_size = 4",
            "training.warmup_steps = 5",
            "training.weight_decay = 0.01",
            "training.gradient_checkpointing = true",
            "training.logging_steps = 1",
            "training.seed = 3407",
        ],
        left_out: &[
            (21, "random_state"),
            (25, "get_chat_template"),
            (26, "split"),
            (27, "map"),
            (41, "optim"),
        ],
    },
    Case {
        file: "unsloth_defaults.py",
        recipe: &[
            "model.model_name_or_path = \"unsloth/Qwen3-0.6B\"",
            "data.train_file = \"rows.jsonl\"",
            "data.max_length = 2048",
            "data.assistant_only_loss = false",
            "lora.r = 16",
            "lora.lora_alpha = 16",
            "lora.target_modules = [\"q_proj\",\"k_proj\",\"v_proj\",\"o_proj\",\"gate_proj\",\"up_proj\",\"down_proj\"]",
            "training.output_dir = \"o\"",
            "training.per_device_train_batch_size = 4",
            "training.gradient_accumulation_steps = 2",
            "training.per_device_eval_batch_size = 4",
            "training.warmup_steps = 0.1",
            "training.weight_decay = 0.001",
            "training.gradient_checkpointing = true",
            "training.logging_steps = 1",
            "training.seed = 3407",
        ],
        left_out: &[],
    },
    Case {
        file: "hf_course_classifier.py",
        recipe: &[
            "model.model_name_or_path = \"bert-base-uncased\"",
            "lora.task_type = \"SEQ_CLS\"",
            "training.output_dir = \"test-trainer\"",
            "training.finetuning_type = \"full\"",
            "training.eval_strategy = \"epoch\"",
        ],
        left_out: &[(4, "load_dataset"), (4, "load_dataset"), (7, "map"), (9, "num_labels")],
    },
    Case {
        file: "hf_course_sft.py",
        recipe: &[
            "model.model_name_or_path = \"HuggingFaceTB/SmolLM2-135M\"",
            "data.train_file = \"train.jsonl\"",
            "data.validation_file = \"test.jsonl\"",
            "data.max_length = 1512",
            "data.packing = true",
            "data.assistant_only_loss = false",
            "lora.task_type = \"CAUSAL_LM\"",
            "lora.r = 6",
            "lora.lora_dropout = 0.05",
            "lora.target_modules = \"all-linear\"",
            "training.output_dir = \"SmolLM2-FT-MyDataset\"",
            "training.learning_rate = 0.0002",
            "training.num_train_epochs = 1.0",
            "training.per_device_train_batch_size = 2",
            "training.gradient_accumulation_steps = 2",
            "training.lr_scheduler_type = \"constant\"",
            "training.warmup_ratio = 0.03",
            "training.max_grad_norm = 0.3",
            "training.bf16 = true",
            "training.gradient_checkpointing = true",
            "training.logging_steps = 10",
            "training.eval_strategy = \"epoch\"",
            "training.save_strategy = \"epoch\"",
        ],
        left_out: &[(11, "setup_chat_format"), (52, "processing_class"), (53, "dataset_kwargs")],
    },
    Case {
        file: "completion_collator.py",
        recipe: &[
            "model.model_name_or_path = \"facebook/opt-350m@refs/pr/1\"",
            "data.train_file = \"code.jsonl\"",
            "data.validation_split_percentage = 20",
            "lora.r = 4",
            "training.output_dir = \"/tmp\"",
            "training.learning_rate = 0.00002",
            "training.fp16 = true",
            "training.gradient_checkpointing = true",
            "training.logging_steps = 10",
        ],
        left_out: &[(19, "formatting_func")],
    },
    Case {
        file: "functions.py",
        recipe: &[
            "model.model_name_or_path = \"bert-base-cased\"",
            "data.train_file = \"bionlp.jsonl\"",
            "lora.task_type = \"TOKEN_CLS\"",
            "lora.r = 16",
            "lora.lora_alpha = 16",
            "lora.lora_dropout = 0.1",
            "lora.bias = \"all\"",
            "training.learning_rate = 0.001",
            "training.num_train_epochs = 10.0",
            "training.per_device_train_batch_size = 16",
            "training.weight_decay = 0.01",
            "training.save_strategy = \"epoch\"",
        ],
        left_out: &[(26, "num_labels"), (33, "output_dir")],
    },
];

#[test]
fn a_script_becomes_the_run_that_its_tools_would_do() {
    for case in CASES {
        let path = format!("{}/tests/fixtures/python/{}", env!("CARGO_MANIFEST_DIR"), case.file);
        let text = std::fs::read_to_string(path).unwrap();
        let imported = Imported::from_text(&text, case.file).unwrap();
        assert_eq!(imported.format, ImportFormat::Python);
        assert!(imported.recipe.validate().is_ok());
        assert_eq!(changed(&imported.recipe), case.recipe, "{}", case.file);
        if case.file.ends_with(".py") {
            assert_eq!(left_out(&imported), case.left_out, "{}", case.file);
        }
        // Windows' line ends and a byte order mark change nothing.
        let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        let other = Imported::from_text(&windows, case.file).unwrap();
        assert_eq!(other.recipe, imported.recipe, "{}", case.file);
        assert_eq!(left_out(&other), left_out(&imported), "{}", case.file);
    }
}

#[test]
fn the_magics_of_a_notebook_are_passed_over_and_places_are_cells() {
    let code = |source: &str| {
        format!(
            "{{\"cell_type\": \"code\", \"outputs\": [{{\"data\": \"{{}}\"}}], \"source\": {}}}",
            serde_json::json!(source)
        )
    };
    let cells = [
        code("!pip install peft\n%env A=b\nimport os\n"),
        "{\"cell_type\": \"markdown\", \"source\": \"LoraConfig(r=99)\"}".into(),
        code("%%time\nargs = TrainingArguments(\n  'o', learning_rate=rate(), seed=7)"),
        code("%%bash\npython -c 'LoraConfig(r=98)'"),
        code("x = ("),
        code("config = LoraConfig(r=3, lora_alpha=é)\n?config\nconfig?\n"),
    ];
    let text = format!("{{\"nbformat\": 4, \"cells\": [{}]}}", cells.join(", "));
    for name in ["a.ipynb", "paste"] {
        let imported = Imported::from_text(&text, name).unwrap();
        assert_eq!((imported.recipe.lora.r, imported.recipe.training.seed), (3, 7));
        let all: Vec<String> =
            imported.left_out.iter().chain(&imported.warnings).map(ToString::to_string).collect();
        for words in [
            format!(
                "{name}, cell 3, line 3: learning_rate was left out: rate() has no value that is certain"
            ),
            format!("{name}, cell 6, line 1: lora_alpha was left out: é has no value"),
            format!("{name}, cell 5, line 1: this is not valid Python"),
            "cell 4 begins with %%bash".into(),
        ] {
            assert!(all.iter().any(|line| line.contains(&words)), "{words} in {all:#?}");
        }
    }
    for (text, words) in [
        ("{\"nbformat\": 3, \"worksheets\": []}", "no notebook that can be read"),
        ("{\"nbformat\": 4, \"cells\": []}", "in its code cells"),
        ("{", "no notebook that can be read"),
    ] {
        let error = Imported::from_text(text, "a.ipynb").unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// Checks what `learning_rate=VALUE` gives behind some lines: a number if it is certain.
#[track_caller]
fn rate(before: &str, value: &str, wanted: Option<f64>) {
    let text = format!("{before}\nargs = TrainingArguments('o', learning_rate={value}, seed=1)\n");
    let imported = import(&text);
    let is_left = imported.left_out.iter().any(|warning| warning.key == "learning_rate");
    assert_eq!((!is_left).then_some(imported.recipe.training.learning_rate), wanted, "{text}");
}

#[test]
fn a_value_is_taken_only_where_it_is_certain() {
    for (before, value, wanted) in [
        ("lr = 1e-3", "lr", Some(1e-3)),
        ("lr: float = 1e-3", "lr", Some(1e-3)),
        ("a = b = 1e-3", "b", Some(1e-3)),
        ("lr, n = 1e-3, 5", "lr", Some(1e-3)),
        ("(lr, [n]) = 1e-3, [5]", "lr", Some(1e-3)),
        ("lr, *n = 1e-3, 5", "lr", None),
        ("lr, n = f()", "lr", None),
        ("lr = f()", "lr", None),
        ("import os\nlr = os.environ['LR']", "lr", None),
        ("lr = 1e-3\nlr = 1e-4", "lr", None),
        ("lr = 1e-3\nif x: lr = 1e-4", "lr", None),
        ("if x: lr = 1e-3\nelse: lr = 1e-4", "lr", None),
        ("if True: lr = 1e-3", "lr", None),
        ("lr = 1e-3\nlr *= 2", "lr", None),
        ("lr = 1e-3\ndel lr", "lr", None),
        ("lr = 1e-3\nfor lr in x: pass", "lr", None),
        ("with open('x') as lr: pass", "lr", None),
        ("with open('x') as f: lr = 1e-3", "lr", Some(1e-3)),
        ("try: lr = 1e-3\nexcept E: pass", "lr", None),
        ("try: pass\nexcept E as lr: pass", "lr", None),
        ("print(lr := 1e-3)", "lr", None),
        ("while x: lr = 1e-3", "lr", None),
        ("match x:\n  case lr: pass", "lr", None),
        ("lr = 1e-3\ndef f():\n  global lr\n  lr = 1", "lr", None),
        ("lr = 1e-3\ndef f():\n  lr = 1\nf()", "lr", Some(1e-3)),
        ("lr = 1e-3\nclass A:\n  lr = 1", "lr", Some(1e-3)),
        ("lr = 1e-3\n[lr for lr in x]", "lr", Some(1e-3)),
        ("lr = 1e-3\nimport lr", "lr", None),
        ("lr = 1e-3\nfrom settings import *", "lr", None),
        ("lr = 1e-3\nfrom transformers import *", "lr", Some(1e-3)),
        ("lr = 1e-3\nexec(open('c.py').read())", "lr", None),
        ("lr = 1e-3\nglobals()['lr'] = 5", "lr", None),
        ("lr = 1e-3\n%run settings.py", "lr", None),
        ("if __name__ == '__main__':\n  lr = 1e-3", "lr", Some(1e-3)),
        ("d = {'lr': 1e-3}", "d['lr']", Some(1e-3)),
        ("d = {'lr': 1e-3}", "d.get('lr')", Some(1e-3)),
        ("d = {'lr': 1e-3}", "d.get('rate', 2e-3)", Some(2e-3)),
        ("d = {'lr': 1e-3}\nd['lr'] = 5", "d['lr']", None),
        ("d = {'lr': 1e-3}\nd.update(lr=5)", "d['lr']", None),
        ("d = {'lr': 1e-3}\ne = d\ne['lr'] = 5", "d['lr']", None),
        ("d = {'lr': 1e-3}\ndef f(e): e['lr'] = 5\nf(d)", "d['lr']", None),
        ("d = {'a': {'lr': 1e-3}}\nd['a']['lr'] = 5", "d['a']['lr']", None),
        ("d = [{'lr': 1e-3}]\nfor e in d: e['lr'] = 5", "d[0]['lr']", None),
        ("d = {'lr': 1e-3, **x}", "d['lr']", None),
        ("d = {**x, 'lr': 1e-3}", "d['lr']", Some(1e-3)),
        ("class C: lr = 1e-3", "C.lr", Some(1e-3)),
        ("class C: lr = 1e-3\nC.lr = 2e-3", "C.lr", Some(2e-3)),
        ("class C: lr = 1e-3\nif x: C.lr = 2e-3", "C.lr", None),
        ("class C: lr = 1e-3\nc = C()\nc.lr = 2e-3\nc.lr = 3e-3", "c.lr", None),
        ("class C: lr = 1e-3\nc = C()\nsetattr(c, 'lr', 2e-3)", "c.lr", Some(2e-3)),
        ("class C: lr = 1e-3\nc = C()\nsetattr(c, name, 2e-3)", "c.lr", None),
        (
            "from dataclasses import dataclass\n@dataclass\nclass C:\n  n: int\n  lr: float = 1e-3\nc = C(5)",
            "c.lr",
            Some(1e-3),
        ),
        ("@dataclass\nclass C:\n  n: int\n  lr: float = 1e-3\nc = C(5, 2e-3)", "c.lr", Some(2e-3)),
        ("@dataclass\nclass C:\n  n: int\n  lr: float = 1e-3\nc = C(5, **x)", "c.lr", None),
        (
            "@dataclass\nclass C:\n  lr: float = 1e-3\n  def __post_init__(self):\n    self.lr = 2e-3\nc = C()",
            "c.lr",
            Some(2e-3),
        ),
        (
            "@dataclass\nclass C:\n  lr: float = 1e-3\n  def __post_init__(self):\n    self.lr *= 2\nc = C()",
            "c.lr",
            None,
        ),
        ("class C(BaseSettings):\n  lr: float = 1e-3\nc = C()", "c.lr", None),
        (
            "p = ArgumentParser()\np.add_argument('--lr', default=1e-3)\na = p.parse_args()",
            "a.lr",
            Some(1e-3),
        ),
        (
            "p = ArgumentParser()\np.add_argument('--lr', default=1e-3)\na = p.parse_args([])",
            "a.lr",
            Some(1e-3),
        ),
        (
            "p = ArgumentParser()\np.add_argument('--lr', default=1e-3)\na = p.parse_args(['--lr', '5'])",
            "a.lr",
            None,
        ),
        ("p = ArgumentParser()\np.add_argument('--lr')\na = p.parse_args()", "a.lr", None),
        (
            "p = ArgumentParser()\np.add_argument('--lr', default=1e-3)\na, b = p.parse_known_args()\na.lr = 2e-3",
            "a.lr",
            Some(2e-3),
        ),
        ("def f(lr): pass", "lr", None),
        ("n = 8", "1e-3 * n / 2", Some(4e-3)),
        ("", "1e-3 if 3 > 2 else 1", Some(1e-3)),
        ("", "1e-3 if x else 1e-3", Some(1e-3)),
        ("", "1e-3 if x else 2e-3", None),
        ("", "float('1e-3')", Some(1e-3)),
        ("def float(x): return 5", "float('1e-3')", None),
        ("def f():\n  if x: return 1e-3", "f()", None),
        ("", "10 ** -3", Some(1e-3)),
        ("", "1e-3 or f()", Some(1e-3)),
        ("", "f() or 1e-3", None),
        ("", "undefined", None),
    ] {
        rate(before, value, wanted);
    }
}

#[test]
fn a_function_is_read_where_it_is_called() {
    let call = "TrainingArguments('o', learning_rate=lr, seed=1)";
    for (text, wanted) in [
        (format!("def f(lr): {call}\nf(1e-3)"), Some(1e-3)),
        (format!("def f(n, lr=1e-3): {call}\nf(5)"), Some(1e-3)),
        (format!("def f(lr): {call}\nf(1e-3)\nf(2e-3)"), None),
        (format!("def f(lr=1e-3): {call}"), None),
        (format!("def f(lr): {call}\nf(lr=rate())"), None),
        (format!("lr = 1e-3\ndef f(): {call}\nf()"), Some(1e-3)),
        (format!("def f(): {call}\nf()\nlr = 1e-3"), None),
        (format!("lr = 1e-3\ndef f():\n  {call}\n  lr = 5\nf()"), None),
        (format!("def g(lr): f(lr)\ndef f(lr): {call}\ng(1e-3)"), Some(1e-3)),
        (format!("@cached\ndef f(lr=1e-3): {call}\nf()"), None),
        (format!("class A:\n  def f(self, lr): {call}\nA().f(1e-3)"), Some(1e-3)),
        (format!("def f(lr):\n  f(lr / 2)\n  {call}\nf(1e-3)"), None),
        (format!("lr = 1e-3\nasync def f(): {call}"), Some(1e-3)),
        (format!("lr = 1e-3\ng = lambda: {call}"), Some(1e-3)),
    ] {
        let imported = import(&text);
        let is_left = imported.left_out.iter().any(|warning| warning.key == "learning_rate");
        assert_eq!((!is_left).then_some(imported.recipe.training.learning_rate), wanted, "{text}");
    }
}

#[test]
fn names_are_found_under_their_aliases() {
    for text in [
        "from peft import LoraConfig as LC\nLC(r=3)",
        "import peft\npeft.LoraConfig(r=3)",
        "import peft.tuners.lora as p\np.LoraConfig(r=3)",
        "try:\n  from peft import LoraConfig\nexcept ImportError:\n  LoraConfig = None\nLoraConfig(r=3)",
        "make = LoraConfig\nmake(r=3)",
        "run(a, [b, {'c': (LoraConfig(r=3), 1)}])",
        "x = LoraConfig(r=3) if peft else None",
    ] {
        assert_eq!(import(text).recipe.lora.r, 3, "{text}");
    }
    // A class of the script's own is none of PEFT's.
    let own = "class LoraConfig: pass\nLoraConfig(r=3)\nTrainingArguments('o')";
    assert_eq!(import(own).recipe.lora.r, 8);
}

#[test]
fn what_is_set_afterwards_counts_or_is_not_certain() {
    for (after, wanted) in [
        ("args.learning_rate = 2e-3", Some(2e-3)),
        ("if x: args.learning_rate = 2e-3", None),
        ("args.learning_rate = 2e-3\nargs.learning_rate = 3e-3", None),
        ("args.learning_rate *= 2", None),
        ("setattr(args, 'learning_rate', 2e-3)", Some(2e-3)),
        ("for name in x: setattr(args, name, 1)", None),
        ("args.seed = 4", Some(1e-3)),
        ("args.set_training(learning_rate=5)", None),
    ] {
        let text = format!("args = TrainingArguments('o', learning_rate=1e-3)\n{after}\nLoraConfig(r=3)\n");
        let imported = import(&text);
        let is_left = imported.left_out.iter().any(|warning| warning.key == "learning_rate");
        assert_eq!((!is_left).then_some(imported.recipe.training.learning_rate), wanted, "{text}");
    }
    // PEFT reads its configuration when the model is wrapped.
    let late = import("c = LoraConfig(r=3)\nm = get_peft_model(b, c)\nc.r = 5\nTrainer(model=m)\n");
    assert_eq!((late.recipe.lora.r, left_out(&late)), (8, vec![(3, "r"), (4, "model")]));
}

#[test]
fn what_the_trainer_is_given_counts() {
    let text = "\
a = LoraConfig(r=3)
b = LoraConfig(r=5)
one = TrainingArguments('one')
two = TrainingArguments('two')
x = load_dataset('json', data_files='x.jsonl', split='train')
y = load_dataset('json', data_files='y.jsonl', split='train')
y = y.map(f)
m = AutoModelForCausalLM.from_pretrained('m')
n = AutoModelForCausalLM.from_pretrained('n')
Trainer(get_peft_model(n.to('cuda'), b), two, train_dataset=y)
";
    let imported = import(text);
    let Recipe { model, data, lora, training } = &imported.recipe;
    assert_eq!(
        (model.model_name_or_path.as_deref(), data.train_file.as_deref()),
        (Some("n"), Some("y.jsonl"))
    );
    assert_eq!((lora.r, training.output_dir.as_str()), (5, "two"));
    let left = left_out(&imported);
    for part in [(1, "LoraConfig"), (3, "TrainingArguments"), (5, "load_dataset"), (7, "map")] {
        assert!(left.contains(&part), "{part:?} in {left:?}");
    }
}

#[test]
fn without_an_adapter_every_weight_is_trained_where_the_model_is_known() {
    for (model, kind) in [
        ("'m'", "full"),
        ("AutoModelForCausalLM.from_pretrained('m')", "full"),
        ("PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained('m'), 'a')", "lora"),
        ("get_peft_model(m, config)", "lora"),
        ("model", "lora"),
        ("build()", "lora"),
    ] {
        let imported = import(&format!("SFTTrainer(model={model}, args=SFTConfig('o', max_steps=3))"));
        assert_eq!(imported.recipe.training.finetuning_type.name(), kind, "{model}");
    }
}

#[test]
fn a_method_that_is_not_there_is_refused_by_name_and_never_half_taken() {
    for (text, name) in [
        ("DPOTrainer(model='m', args=DPOConfig('o'), peft_config=LoraConfig(r=4))", "DPOConfig"),
        ("from trl import GRPOTrainer\nGRPOTrainer(model='m', reward_funcs=f)", "GRPOTrainer"),
        ("args = ORPOConfig('o', beta=0.1)", "ORPOConfig"),
        ("KTOTrainer(model='m')", "KTOTrainer"),
        ("RewardTrainer(model='m', args=TrainingArguments('o'))", "RewardTrainer"),
        ("get_peft_model(m, AdaLoraConfig(r=4))\nTrainer(model=m)", "AdaLoraConfig"),
        ("PrefixTuningConfig(num_virtual_tokens=20)", "PrefixTuningConfig"),
    ] {
        let error = Imported::from_text(text, "f.py").unwrap_err().to_string();
        assert!(
            error.contains(&format!("{name} cannot be imported")) && error.starts_with("f.py:"),
            "{error}"
        );
    }
    let both = import("SFTTrainer(model='m', peft_config=LoraConfig(r=4))\nDPOTrainer(model='o')\n");
    assert_eq!(both.recipe.lora.r, 4);
    assert!(left_out(&both).contains(&(2, "DPOTrainer")));
}

#[test]
fn what_is_not_valid_python_is_warned_of_and_the_rest_is_read() {
    let text = "    config = LoraConfig(r=3)\n    args = TrainingArguments(\n        'o',\n        seed=7,\n";
    let imported = import(text);
    assert_eq!((imported.recipe.lora.r, imported.recipe.training.seed), (3, 7));
    let all: Vec<String> = imported.warnings.iter().map(ToString::to_string).collect();
    assert!(all.len() == 1 && all[0].contains("f.py:5:1: this is not valid Python"), "{all:?}");
    let old = import("print 'two'\nLoraConfig(r=3 lora_alpha=4)\nTrainingArguments('o', seed=7)\n");
    assert_eq!(old.recipe.training.seed, 7);
    assert!(old.warnings.iter().any(|warning| warning.line == 2), "{:?}", old.warnings);
}

#[test]
fn values_of_all_kinds_have_their_place_and_text() {
    let text = "# ö\nLoraConfig(\n  r=None, lora_dropout=\"\"\"0.1\"\"\", target_modules={\"q_proj\",\n  'v' '_proj'}, bias=('none'), ü=1,\n  *more, **unknown)\n";
    let imported = import(text);
    assert_eq!(imported.recipe.lora.r, 8);
    let all: Vec<String> = imported.left_out.iter().map(ToString::to_string).collect();
    for (at, words) in [
        (0, "f.py:3:11: lora_dropout was left out"),
        (1, "f.py:4:32: ü was left out: there is no such setting here"),
        (2, "f.py:5:3: *more was left out"),
        (3, "f.py:5:10: **unknown was left out: what it adds is not certain"),
    ] {
        assert!(all[at].contains(words), "{all:#?}");
    }
    assert_eq!(changed(&imported.recipe), ["lora.target_modules = [\"q_proj\",\"v_proj\"]"]);
}

#[test]
fn a_config_of_get_peft_model_that_is_not_certain_is_said() {
    let script = |config: &str| {
        format!(
            "cfg = LoraConfig(r=8)\nmodel = get_peft_model(model, {config})\nTrainer(model, TrainingArguments('o'))\n"
        )
    };
    for config in ["dataclasses.replace(cfg, r=32)", "partial(LoraConfig, r=32)()", "settings.LORA"] {
        let imported = import(&script(config));
        let said: Vec<_> = imported.warnings.iter().filter(|warning| warning.key == "peft_config").collect();
        assert!(
            matches!(said.as_slice(), [one] if one.line == 2 && one.message.contains(config)),
            "{config}: {said:?}"
        );
        // Without another one, nothing is known of the adapter.
        let imported = import(&script(config).replace("cfg = LoraConfig(r=8)\n", "\n"));
        assert!(left_out(&imported).contains(&(2, "peft_config")), "{config}: {:?}", imported.left_out);
    }
    for added in ["model.add_adapter(settings.LORA)", "model.add_adapter('mine', settings.LORA)"] {
        let text = format!("from peft import LoraConfig\n{added}\nTrainer(model, TrainingArguments('o'))\n");
        assert!(left_out(&import(&text)).contains(&(2, "peft_config")), "{added}");
    }
    let imported = import(&script("cfg"));
    assert_eq!(imported.recipe.lora.r, 8);
    assert!(imported.warnings.iter().all(|warning| warning.key != "peft_config"), "{:?}", imported.warnings);
}

#[test]
fn what_an_init_gives_to_its_base_class_is_the_run_s() {
    let class = |init: &str, made: &str| {
        import(&format!(
            "class MyArgs(TrainingArguments):\n    def __init__(self, scale=2, **kw):\n{init}\nargs = {made}\nLoraConfig(r=4)\n"
        ))
    };
    let sup = "        super().__init__(learning_rate=1e-3, **kw)";
    let imported = class(sup, "MyArgs(output_dir='o', max_steps=7)");
    let training = &imported.recipe.training;
    assert_eq!((training.learning_rate, training.max_steps), (1e-3, 7));
    assert_eq!((training.output_dir.as_str(), left_out(&imported)), ("o", vec![]));
    // By the base's name, with a parameter, and an attribute set afterwards.
    let init =
        "        TrainingArguments.__init__(self, max_steps=scale, **kw)\n        self.learning_rate = 2e-3";
    let imported = class(init, "MyArgs(5, output_dir='o')");
    assert_eq!((imported.recipe.training.learning_rate, imported.recipe.training.max_steps), (2e-3, 5));
    assert_eq!(left_out(&imported), []);
    // Not certain: what is given is listed.
    for init in [
        "        super().__init__(learning_rate=rate(), **kw)",
        "        if scale:\n            super().__init__(learning_rate=1e-3, **kw)",
        "        kw.update(learning_rate=1e-3)\n        super().__init__(**kw)",
        "        configure(self, kw)",
    ] {
        let imported = class(init, "MyArgs(output_dir='o', max_steps=7)");
        assert!(!imported.left_out.is_empty(), "{init}");
    }
    // A trainer that passes on what it is given.
    let imported = import(
        "class T(SFTTrainer):\n    def __init__(self, *args, weight=None, **kwargs):\n        super().__init__(*args, **kwargs)\n        self.weight = weight\n\
         T('org/model', SFTConfig('o', max_steps=3), peft_config=LoraConfig(r=4), weight=2)\n",
    );
    assert_eq!((imported.recipe.training.max_steps, imported.recipe.lora.r), (3, 4));
    assert_eq!(imported.recipe.model.model_name_or_path.as_deref(), Some("org/model"));
}
