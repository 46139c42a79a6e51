//! Snapshots of the messages that people meet, whole. `INSTA_UPDATE=always cargo test --test messages` writes them anew; read the difference.

mod common;

use std::fs;

use common::{Run, Said, fixture, lorelei};

/// Compares what the program said with the snapshot `name`, without the names of folders.
fn same(name: &str, run: &Run, said: &Said) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("messages");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let folder = run.folder.path().display().to_string();
    let fixtures = fixture("").display().to_string();
    let (out, err) = (plain(&said.out, &folder, &fixtures), plain(&said.err, &folder, &fixtures));
    let code = said.code.map_or_else(|| "none".to_owned(), |code| code.to_string());
    settings.bind(|| {
        insta::assert_snapshot!(name, format!("exit code {code}\n--- stdout\n{out}\n--- stderr\n{err}"))
    });
}

fn plain(text: &str, folder: &str, fixtures: &str) -> String {
    text.replace(folder, "[folder]").replace(fixtures, "[fixtures]/").trim_end().to_owned()
}

#[test]
fn mistakes_in_a_recipe() {
    for (name, line) in [
        ("unknown_setting", "lora_aplha = 8"),
        ("out_of_range", "lora_dropout = 1.5"),
        ("wrong_type", "use_rslora = \"maybe\""),
        ("not_supported", "init_lora_weights = \"corda\""),
        ("bad_regex", "target_modules = \"(q_proj\""),
        ("no_such_module", "target_modules = [\"query\"]"),
        ("contradiction", "target_modules = \".*q_proj\"\nlayers_to_transform = [0]"),
    ] {
        let run = Run::new();
        let text = fs::read_to_string(run.path("recipe.toml")).unwrap();
        fs::write(run.path("recipe.toml"), text.replace("r = 4", &format!("r = 4\n{line}"))).unwrap();
        same(&format!("recipe_{name}"), &run, &run.train(&[]));
    }
}

#[test]
fn mistakes_in_rows() {
    for (name, row) in [
        ("not_json", "{\"text\": \"a"),
        ("no_known_field", "{\"words\": \"a ship\"}"),
        ("no_content", "{\"messages\": [{\"role\": \"user\"}]}"),
        ("unknown_token", "{\"input_ids\": [1, 9999], \"labels\": [1, 2]}"),
        ("empty_text", "{\"text\": \"\"}"),
    ] {
        let run = Run::new();
        run.data(&format!("{{\"text\": \"a ship\"}}\n{row}\n"));
        same(&format!("rows_{name}"), &run, &run.train(&[]));
    }
}

#[test]
fn what_is_missing() {
    let run = Run::new();
    for (name, assignment) in [
        ("data", "data.train_file=nowhere.jsonl"),
        ("builtin_data", "data.train_file=builtin:french"),
        ("model", "model.model_name_or_path=./nowhere"),
        ("builtin_model", "model.model_name_or_path=builtin:huge"),
        ("adapter", "model.adapter_name_or_path=./nowhere"),
        ("setting", "lora.rank=8"),
    ] {
        same(&format!("missing_{name}"), &run, &run.train(&[assignment]));
    }
    same("missing_recipe", &run, &lorelei(&["train", "missing.toml"]));
}

#[test]
fn an_import_says_what_it_left_out() {
    let run = Run::new();
    let script = "\
from peft import LoraConfig
from transformers import TrainingArguments
config = LoraConfig(r=16, lora_aplha=32, target_modules=['q_proj'])
args = TrainingArguments('out', learning_rate=pick(), deepspeed='ds.json', num_train_epochs=2)
";
    fs::write(run.path("train.py"), script).unwrap();
    let path = run.path("train.py").display().to_string();
    same("import", &run, &lorelei(&["import", &path]));
}
