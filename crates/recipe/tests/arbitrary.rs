//! Any text gives a recipe or an error, never a panic.

use lorelei_recipe::{Imported, LoraConfig, PeftConfig, Recipe, StepPlan, decode_link, encode_link};
use proptest::prelude::*;

const RECIPE: &str = r#"[model]
model_name_or_path = "a/b"
[data]
train_file = "é.jsonl"
[lora]
r = 4
lora_alpha = 8
target_modules = ["q_proj", "v_proj"]
layers_to_transform = [0, 1]
rank_pattern = { q_proj = 2 }
[training]
learning_rate = 5e-4
logging_steps = 0.1
max_steps = 10
"#;

const PYTHON: &str = r#"model = AutoModel.from_pretrained("a/b", dtype=torch.float32)
config = LoraConfig(r=4, lora_alpha=8, target_modules={"q_proj", 'v_proj'}, rank_pattern={"q_proj": 2})
args = SFTConfig("out", learning_rate=5e-4, packing=True, max_steps=-1, run_name=f"{x}", **other)
"#;

const YAML: &str = "stage: sft\nmodel: a/b\nlora_rank: 8\nlora_target: q_proj,v_proj\nval_size: 0.1\nlearning_rate: 1.0e-4\niters: 10
lora_parameters: {keys: [q_proj], rank: 8, scale: 20.0}\nlr_schedule:\n  name: cosine_decay\n  arguments: [1e-5, 1000, 1e-7]\n";

const PIECES: &[&str] = &[
    "LoraConfig(",
    "r=",
    "\"\"\"",
    "**",
    "f\"",
    "&a",
    "*a",
    ": ",
    "- ",
    "\t",
    "0",
    "-1",
    "9e999",
    "nan",
    "-inf",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "\n",
    "\\",
    "\u{feff}",
    "é",
    "true",
    "null",
    "1979-05-27",
    "(",
    "(?x)",
    "{1000000}",
    "[[",
    "0x",
    "_",
    "r",
    "lora",
    "#",
    ":",
    "99999999999999999999",
];

/// Calls every function that reads text, and every function of the recipes that they return.
fn read(text: &str) {
    for result in [Recipe::from_toml(text, "f"), Recipe::from_json(text, "f")] {
        match result {
            Ok((recipe, _)) => {
                assert!(recipe.validate().is_ok());
                let (again, _) = Recipe::from_toml(&recipe.to_toml(), "f").unwrap();
                assert_eq!(again, recipe);
                let (again, _) = Recipe::from_json(&recipe.to_json(), "f").unwrap();
                assert_eq!(again, recipe);
                let _ = StepPlan::new(100, &recipe.training).map(|plan| plan.epoch_at(plan.total_steps));
                recipe.lora.selects("model.layers.0.self_attn.q_proj", false, Some(0));
            }
            Err(error) => {
                assert!(error.line <= text.matches('\n').count() + 1, "{error:?}");
                assert!(!error.to_string().contains('\n'), "{error:?}");
            }
        }
    }
    if let Ok(PeftConfig { lora: config, .. }) = LoraConfig::from_peft_json(text, "f") {
        config.to_peft_json("base", &[]);
    }
    for name in ["f", "f.py", "f.json", "f.yaml"] {
        match Imported::from_text(text, name) {
            Ok(imported) => {
                assert!(imported.recipe.validate().is_ok());
                // The imported recipe can be written as Python too.
                let python = imported.recipe.to_peft_python();
                let back = Imported::from_text(&python, "f.py").unwrap();
                assert_eq!(
                    back.recipe.training.learning_rate, imported.recipe.training.learning_rate,
                    "{python}"
                );
                assert_eq!(decode_link(&encode_link(&imported.recipe)), Ok(imported.recipe));
            }
            Err(error) => assert!(!error.to_string().contains('\n'), "{error:?}"),
        }
    }
    let _ = decode_link(text);
    let _ = Recipe::default().set(text);
    let _ = Recipe::default().set(&format!("lora.target_modules={text}"));
}

fn mutate(text: &str, changes: &[(usize, usize, usize)]) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for (at, remove, piece) in changes {
        let at = at % (characters.len() + 1);
        let end = (at + remove).min(characters.len());
        characters.splice(at..end, PIECES[piece % PIECES.len()].chars());
    }
    characters.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn any_text(text in any::<String>()) {
        read(&text);
    }

    #[test]
    fn any_pieces(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        read(&pieces.concat());
    }

    #[test]
    fn changed_recipes(changes in prop::collection::vec((0..4000usize, 0..6usize, 0..100usize), 1..4)) {
        read(&mutate(RECIPE, &changes));
        let (recipe, _) = Recipe::from_toml(RECIPE, "f").unwrap();
        read(&mutate(&recipe.to_json(), &changes));
        let adapter = recipe.lora.to_peft_json("base", &["q_proj".into()]);
        read(&mutate(&adapter, &changes));
        read(&mutate(PYTHON, &changes));
        read(&mutate(YAML, &changes));
        read(&mutate(&encode_link(&recipe), &changes));
    }
}

#[test]
fn deep_nesting_is_an_error() {
    for text in [
        "[".repeat(100_000),
        format!("{{\"lora\": {}", "[".repeat(100_000)),
        format!("a = {}", "[".repeat(100_000)),
        format!("a: {}", "[".repeat(100_000)),
        format!("LoraConfig(r={}", "[".repeat(100_000)),
        format!("LoraConfig(r={}", "-".repeat(100_000)),
        "LoraConfig(".repeat(50_000),
        "a: ".repeat(50_000),
    ] {
        read(&text);
    }
}
