//! Recipes from Python and back, by the program.

mod common;

use std::fs;

use common::lorelei;

#[test]
fn a_snippet_becomes_a_recipe_that_becomes_the_snippet() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(
        path("train.py"),
        "config = LoraConfig(r=8, lora_alpha=32, lora_dropout=0.05)\nargs = TrainingArguments(\n    \"out\", learning_rate=5e-4, \
         warmup_ratio=0.1, deepspeed=\"x.json\")\n",
    )
    .unwrap();
    let said = lorelei(&["import", &path("train.py"), "--output", &path("recipe.toml")]).ok();
    assert!(said.err.contains("read as Python"), "{}", said.err);
    assert!(said.err.contains("train.py:3:50: deepspeed was left out: "), "{}", said.err);
    let printed = lorelei(&["import", &path("train.py")]).ok();
    assert_eq!(printed.out, fs::read_to_string(path("recipe.toml")).unwrap());
    let python = lorelei(&["export-config", &path("recipe.toml"), "--to", "peft"]).ok();
    for line in
        ["    lora_alpha=32,", "    lora_dropout=0.05,", "    learning_rate=0.0005,", "    warmup_steps=0.1,"]
    {
        assert!(python.out.lines().any(|known| known == line), "no {line} in\n{}", python.out);
    }
    lorelei(&["import", &path("none.py")]).refused(&["cannot read", "none.py"]);
    fs::write(path("other.py"), "print(1)\n").unwrap();
    lorelei(&["import", &path("other.py")]).refused(&["other.py", "LoraConfig(...)"]);
}

#[test]
fn curves_of_two_runs_and_tensorboard_s_files() {
    let run = common::Run::new();
    let said = run
        .train(&["training.report_to=tensorboard", "training.run_name=first", "training.logging_steps=1"])
        .ok();
    assert!(
        said.err.contains("hint: training.save_steps: save_steps = 500 never comes in 3 steps"),
        "{}",
        said.err
    );
    let folder = run.output().join("runs/first");
    let files = common::names(&folder);
    assert!(files.len() == 1 && files[0].starts_with("events.out.tfevents."), "{files:?}");
    let events = fs::read(folder.join(&files[0])).unwrap();
    for tag in ["brain.Event:2", "train/loss", "train/learning_rate", "train/train_loss"] {
        assert!(events.windows(tag.len()).any(|window| window == tag.as_bytes()), "no {tag}");
    }
    let (out, svg) = (run.output().display().to_string(), run.path("plot.svg").display().to_string());
    let log = run.output().join("trainer_log.jsonl").display().to_string();
    lorelei(&["plot", &out, &log, "--output", &svg]).ok();
    let picture = fs::read_to_string(&svg).unwrap();
    assert!(picture.starts_with("<svg") && picture.matches("<polyline").count() >= 2, "{picture}");
    assert!(picture.contains("trainer_log.jsonl") && picture.contains("loss"));
    // The same curves as a PNG, by the name's ending.
    let png = run.path("plot.png").display().to_string();
    lorelei(&["plot", &out, "--output", &png]).ok();
    let bytes = fs::read(&png).unwrap();
    assert!(bytes.starts_with(b"\x89PNG\r\n") && bytes.len() > 5000, "{} bytes", bytes.len());
    lorelei(&["plot", &out, "--metric", "nothing", "--output", &svg]).refused(&["no line with nothing"]);
    lorelei(&["plot", "/nowhere"]).refused(&["cannot read", "output_dir of a run"]);
}
