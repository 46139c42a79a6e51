//! Every key that another trainer has, with a value that is not its default, does something: it changes the recipe, is listed or warned
//! of, or refuses the file.

use lorelei_recipe::Imported;

/// Keys of a file to which the key is added, without that key itself.
fn with_key(base: &str, line: &str) -> String {
    let name = name_of(line);
    let rest = base.lines().filter(|other| name_of(other) != name).map(|other| format!("{other}\n"));
    format!("{}{line}\n", rest.collect::<String>())
}

fn name_of(line: &str) -> &str {
    line.split(':').next().unwrap_or_default()
}

/// Whether an import says or does something about a key.
fn is_heard(before: &Imported, after: &Imported, name: &str) -> bool {
    let says =
        |warning: &lorelei_recipe::Warning| warning.key.contains(name) || warning.message.contains(name);
    before.recipe != after.recipe || after.left_out.iter().any(says) || after.warnings.iter().any(says)
}

fn check(base: &str, keys: &str) {
    let mut silent = Vec::new();
    let before = Imported::from_text(base, "f.yaml").unwrap();
    let lines: Vec<&str> = keys.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    for line in &lines {
        let name = name_of(line);
        match Imported::from_text(&with_key(base, line), "f.yaml") {
            Err(error) => assert!(error.to_string().contains(name), "{line}: {error}"),
            Ok(after) => {
                assert!(after.recipe.validate().is_ok(), "{line}");
                if !is_heard(&before, &after, name) {
                    silent.push(*line);
                }
                for warning in after.left_out.iter().filter(|warning| warning.key == name) {
                    assert!(!warning.message.contains("no such key"), "{warning}");
                }
            }
        }
    }
    assert!(lines.len() > 20);
    assert_eq!(silent, [""; 0], "these keys were dropped silently");
}

const MLX_LM: &str = "\
model: owner/name
iters: 100
data: ./rows
learning_rate: 1e-4
";

#[test]
fn every_key_of_mlx_lm() {
    check(MLX_LM, include_str!("fixtures/keys/mlx_lm.yaml"));
}

const LLAMA_FACTORY: &str = "\
model_name_or_path: owner/name
stage: sft
adapter_name_or_path: folder
lora_rank: 4
pissa_init: true
learning_rate: 1e-4
val_size: 0.2
eval_strategy: steps
eval_steps: 500
save_steps: 500
";

#[test]
fn every_key_of_llama_factory() {
    check(LLAMA_FACTORY, include_str!("fixtures/keys/llama_factory.yaml"));
    check(LLAMA_FACTORY, include_str!("fixtures/keys/transformers.yaml"));
}

const AXOLOTL: &str = "\
base_model: owner/name
adapter: lora
lora_r: 4
lora_alpha: 8
lora_target_linear: true
datasets: [{path: rows.jsonl, type: chat_template}]
sequence_len: 128
learning_rate: 1e-4
val_set_size: 0.05
eval_steps: 100
save_steps: 100
peft_layers_to_transform: [0]
num_epochs: 2
lr_scheduler: cosine
";

#[test]
fn every_key_of_axolotl() {
    check(AXOLOTL, include_str!("fixtures/keys/axolotl.yaml"));
}

const TRL: &str = "\
model_name_or_path: owner/name
dataset_name: owner/rows
use_peft: true
learning_rate: 1e-4
max_length: 128
lr_scheduler_type: cosine
eval_strategy: steps
eval_steps: 500
save_steps: 500
";

#[test]
fn every_key_of_trl() {
    check(TRL, include_str!("fixtures/keys/trl.yaml"));
    check(TRL, include_str!("fixtures/keys/transformers.yaml"));
}

const TORCHTUNE: &str = "\
model: {_component_: torchtune.models.llama3_2.lora_llama3_2_1b, lora_attn_modules: [q_proj], lora_rank: 8, lora_alpha: 16}
tokenizer: {_component_: torchtune.models.llama3.llama3_tokenizer, path: tokenizer.model, max_seq_len: 128}
checkpointer: {_component_: torchtune.training.FullModelHFCheckpointer, checkpoint_dir: folder}
optimizer: {_component_: torch.optim.AdamW, lr: 1e-4}
";

#[test]
fn every_key_of_torchtune() {
    check(TORCHTUNE, include_str!("fixtures/keys/torchtune.yaml"));
}

/// Values that few keys take: whatever a file says, the import ends in a recipe that is valid, or in an error with a place.
const ODD: &[&str] = &[
    "",
    "[]",
    "{}",
    "''",
    "-1",
    "0",
    "1e400",
    ".nan",
    "99999999999999999999",
    "yes",
    "é",
    "[[x], {y: 1}]",
    "{x: {y: [~]}}",
    "[1, x]",
    "{_component_: 7, name: cosine_decay, arguments: [0, 0, 0], warmup: -3, rank: 0, scale: .inf}",
];

#[test]
fn odd_values_are_errors_or_listed() {
    let mut silent = Vec::new();
    for (base, keys) in [
        (MLX_LM, include_str!("fixtures/keys/mlx_lm.yaml")),
        (LLAMA_FACTORY, include_str!("fixtures/keys/llama_factory.yaml")),
        (AXOLOTL, include_str!("fixtures/keys/axolotl.yaml")),
        (TRL, include_str!("fixtures/keys/trl.yaml")),
        (TORCHTUNE, include_str!("fixtures/keys/torchtune.yaml")),
    ] {
        let before = Imported::from_text(base, "f.yaml").unwrap();
        for name in keys.lines().filter(|line| !line.starts_with('#')).map(name_of) {
            for value in ODD {
                let text = with_key(base, &format!("{name}: {value}"));
                match Imported::from_text(&text, "f.yaml") {
                    Ok(imported) => {
                        assert!(imported.recipe.validate().is_ok(), "{name}: {value}");
                        if (value == &"é" || value.starts_with("[[")) && !is_heard(&before, &imported, name)
                        {
                            silent.push(format!("{name}: {value}"));
                        }
                    }
                    Err(error) => {
                        assert!(error.to_string().starts_with("f.yaml"), "{name}: {value}: {error}")
                    }
                }
            }
        }
    }
    assert_eq!(silent, [""; 0], "these were dropped silently");
}
