//! Import of recipes from Python, PEFT's JSON, and the YAML of LLaMA-Factory and mlx-lm; export to Python.

use lorelei_recipe::{ImportFormat, Imported, IntervalStrategy, LrSchedulerType, Recipe, TargetModules};

fn import(text: &str, name: &str) -> Imported {
    let imported = Imported::from_text(text, name).unwrap();
    assert!(imported.recipe.validate().is_ok());
    imported
}

fn left_out(imported: &Imported) -> Vec<&str> {
    imported.left_out.iter().map(|warning| warning.key.as_str()).collect()
}

const SNIPPET: &str = r#"
import torch
from peft import LoraConfig, TaskType, get_peft_model

lr = 5e-4  # tried 1e-3, too hot
model = AutoModelForCausalLM.from_pretrained("HuggingFaceTB/SmolLM2-135M-Instruct", torch_dtype=torch.float32, device_map="auto")
tokenizer = AutoTokenizer.from_pretrained("other")
dataset = load_dataset("json", data_files={"train": "train.jsonl", "test": 'held "out".jsonl'})

class LoraConfigs(Base): pass

config = LoraConfig(
    r=8, lora_alpha=32,
    target_modules=[
        "q_proj",
        "v_proj",  # the smallest that works
    ],
    lora_dropout=0.05, bias="none", task_type=TaskType.CAUSAL_LM,
    lora_aplha=16,
    use_rslora=(False),
    layer_replication=[[0, 4]],
)
args = TrainingArguments(
    "out" "put",
    per_device_train_batch_size=4,
    gradient_accumulation_steps=8,
    learning_rate=lr,
    num_train_epochs=3,
    warmup_ratio=.1,
    logging_steps=1_0,
    save_strategy="epoch",
    evaluation_strategy=IntervalStrategy.EPOCH,
    lr_scheduler_type="cosine",
    max_grad_norm=2 * 0.25,
    run_name=f"run-{lr}-{date()}",
    **extra,
)
trainer = Trainer(model=model, args=args)
other = TrainingArguments(learning_rate=1.0)
"#;

#[test]
fn python_becomes_the_recipe_that_it_means() {
    let imported = import(SNIPPET, "train.py");
    assert_eq!(imported.format, ImportFormat::Python);
    let Recipe { model, data, lora, training } = &imported.recipe;
    assert_eq!(model.model_name_or_path.as_deref(), Some("HuggingFaceTB/SmolLM2-135M-Instruct"));
    assert_eq!(data.train_file.as_deref(), Some("train.jsonl"));
    assert_eq!(data.validation_file.as_deref(), Some("held \"out\".jsonl"));
    assert_eq!((lora.r, lora.lora_alpha, lora.lora_dropout), (8, 32.0, 0.05));
    assert_eq!(lora.target_modules, Some(TargetModules::List(vec!["q_proj".into(), "v_proj".into()])));
    assert_eq!(training.output_dir, "output");
    assert_eq!((training.learning_rate, training.warmup_ratio, training.logging_steps), (5e-4, 0.1, 10.0));
    assert_eq!((training.per_device_train_batch_size, training.gradient_accumulation_steps), (4, 8));
    assert_eq!(training.save_strategy, IntervalStrategy::Epoch);
    assert_eq!(training.eval_strategy, IntervalStrategy::Epoch);
    assert_eq!(training.lr_scheduler_type, LrSchedulerType::Cosine);
    // Values that are not literals, and unknown or refused settings, are listed with their place and the reason.
    assert_eq!(training.max_grad_norm, 0.5);
    let left = left_out(&imported);
    let want = ["lora_aplha", "layer_replication", "run_name", "**extra", "TrainingArguments"];
    assert_eq!(left.iter().map(|name| name.replace(' ', "")).collect::<Vec<_>>(), want);
    let all: Vec<String> = imported.left_out.iter().map(ToString::to_string).collect();
    for (at, words) in [
        (0, "train.py:19:5: lora_aplha was left out: there is no such setting; is \"lora_alpha\" meant?"),
        (1, "stacking copies of layers"),
        (2, "f\"run-{lr}-{date()}\" has no value that is certain, and nothing is executed"),
        (4, "another one is that of the run"),
    ] {
        assert!(all[at].contains(words), "{}", all[at]);
    }
}

#[test]
fn sft_config_has_trl_s_defaults() {
    let imported = import("SFTConfig(max_length=512, packing=True, dataset_text_field=\"text\")", "paste");
    assert_eq!((imported.recipe.data.max_length, imported.recipe.data.packing), (512, true));
    let training = &imported.recipe.training;
    assert_eq!(
        (training.learning_rate, training.logging_steps, training.gradient_checkpointing),
        (2e-5, 10.0, true)
    );
    assert_eq!(left_out(&imported), [""; 0]);
}

#[test]
fn adapter_config_and_arguments_as_json() {
    let imported = import(include_str!("fixtures/adapter_config_patterns.json"), "adapter_config.json");
    assert_eq!(imported.format, ImportFormat::Json);
    assert!(!imported.recipe.lora.rank_pattern.is_empty());
    let imported =
        import(r#"{"peft_type": "LORA", "r": 4, "use_dorra": true, "learning_rate": 1e-3}"#, "a.json");
    assert_eq!((imported.recipe.lora.r, imported.recipe.training.learning_rate), (4, 1e-3));
    assert_eq!(left_out(&imported), ["use_dorra"]);
}

#[test]
fn llama_factory_s_yaml() {
    let text = "\
### model
model_name_or_path: meta-llama/Llama-3.2-1B-Instruct
trust_remote_code: true
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_target: q_proj,v_proj
dataset: identity,alpaca_en_demo
template: llama3
cutoff_len: 512
val_size: 0.1
output_dir: saves/llama3
logging_steps: 10
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
eval_strategy: no
overwrite_output_dir: true
ddp_timeout: 180000000
quantization_bit: 4
";
    let imported = import(text, "llama3_lora_sft.yaml");
    assert_eq!(imported.format, ImportFormat::LlamaFactory);
    let Recipe { model, data, lora, training } = &imported.recipe;
    assert_eq!(model.model_name_or_path.as_deref(), Some("meta-llama/Llama-3.2-1B-Instruct"));
    assert_eq!((data.max_length, data.validation_split_percentage), (512, Some(10.0)));
    // LLaMA-Factory's alpha is twice the rank if it is not given.
    assert_eq!((lora.r, lora.lora_alpha), (16, 32.0));
    assert_eq!(lora.target_modules, Some(TargetModules::List(vec!["q_proj".into(), "v_proj".into()])));
    assert_eq!((training.learning_rate, training.warmup_ratio), (1e-4, 0.1));
    assert_eq!(training.eval_strategy, IntervalStrategy::No);
    for name in ["dataset", "template", "quantization_bit", "trust_remote_code"] {
        assert!(left_out(&imported).contains(&name), "{name} of {:?}", left_out(&imported));
    }
    let all = import("stage: sft\nlora_target: all\noutput_dir: x\n", "f.yaml");
    assert!(all.recipe.lora.target_modules.unwrap().is_all_linear());
}

#[test]
fn mlx_lm_s_yaml() {
    let text = "\
model: \"mlx-community/Llama-3.2-1B-Instruct\"
train: true
fine_tune_type: lora
optimizer: adamw
optimizer_config:
  adamw:
    betas: [0.9, 0.98]
    weight_decay: 0.01
data: \"data/my\"
seed: 0
num_layers: 16
batch_size: 4
iters: 1000
grad_accumulation_steps: 3
val_batches: 25
learning_rate: 1e-5
steps_per_report: 10
steps_per_eval: 200
adapter_path: \"adapters\"
save_every: 100
max_seq_length: 2048
grad_checkpoint: false
lora_parameters:
  keys: [\"self_attn.q_proj\", \"self_attn.v_proj\"]
  rank: 8
  scale: 20.0
  dropout: 0.0
lr_schedule:
  name: cosine_decay
  warmup: 100
  arguments: [1e-5, 1000, 1e-7]
";
    let imported = import(text, "lora_config.yaml");
    assert_eq!(imported.format, ImportFormat::MlxLm);
    let Recipe { data, lora, training, .. } = &imported.recipe;
    assert_eq!((lora.r, lora.lora_alpha), (8, 160.0));
    // The last iteration makes no step.
    assert_eq!((training.max_steps, training.gradient_accumulation_steps), (333, 3));
    assert_eq!((training.adam_beta2, training.weight_decay, training.max_grad_norm), (0.98, 0.01, 0.0));
    // The fall takes 1000 steps of the optimizer, of which the run has 333.
    assert_eq!((training.learning_rate, training.warmup_steps), (1e-5, 100.0));
    assert_eq!(training.lr_scheduler_type, LrSchedulerType::WarmupStableDecay);
    assert_eq!(
        (training.lr_scheduler_kwargs.num_decay_steps, training.lr_scheduler_kwargs.min_lr_ratio),
        (Some(1000), Some(0.01))
    );
    assert_eq!(lora.layers_to_transform, Some((-16..0).collect()));
    assert_eq!(data.train_file.as_deref(), Some("data/my/train.jsonl"));
    assert_eq!(left_out(&imported), ["val_batches"]);
}

#[test]
fn what_is_no_run_is_an_error_that_says_what_can_be_read() {
    for (text, name) in
        [("", "f"), ("print(1)", "f.py"), ("hello: world\n", "f.yaml"), ("{}", "f.json"), ("[1", "f")]
    {
        let error = Imported::from_text(text, name).unwrap_err().to_string();
        assert!(error.starts_with(name), "{error}");
    }
    let long = " ".repeat((1 << 20) + 1);
    assert!(Imported::from_text(&long, "f").unwrap_err().to_string().contains("at most"));
}

#[test]
fn a_setting_that_contradicts_another_is_left_out() {
    let imported = import("LoraConfig(r=4, target_modules='.*q_proj', layers_to_transform=[0])", "f");
    assert_eq!(left_out(&imported), ["layers_to_transform"]);
    assert_eq!(imported.recipe.lora.r, 4);
}

#[test]
fn python_comes_back_as_it_went_out() {
    let mut recipe = import(SNIPPET, "train.py").recipe;
    recipe.lora.rank_pattern.insert("layers.0.q_proj".into(), 2);
    recipe.training.warmup_ratio = 0.0;
    recipe.training.warmup_steps = 0.1;
    let python = recipe.to_peft_python();
    let back = import(&python, "f.py");
    assert_eq!(left_out(&back), [""; 0], "{python}");
    assert_eq!((&back.recipe.lora, &back.recipe.training), (&recipe.lora, &recipe.training), "{python}");
    for line in ["    r=4", "peft_config = LoraConfig(", "    lora_alpha=32,", "    output_dir=\"output\","] {
        let expected = line != "    r=4";
        assert_eq!(python.contains(line), expected, "{line} in\n{python}");
    }
    let default = Recipe::default().to_peft_python();
    assert!(default.contains("TrainingArguments(\n    output_dir=\"trainer_output\",\n)"), "{default}");
}
