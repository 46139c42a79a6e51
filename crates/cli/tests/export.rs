//! `lorelei export` and `lorelei check` as a process, on adapters that PEFT made; `crates/export` has the numbers.

mod common;

use std::{fs, path::Path};

use common::{Run, fixture, lorelei, names};
use lorelei_formats::{GgufModel, SafetensorsFile, TensorSource};

/// Copies the adapter of a fixture into a new folder, as a run leaves it. Returns the folder, the run's path and the base's.
fn run(case: &str) -> (tempfile::TempDir, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    fs::create_dir(&run).unwrap();
    let (config, tensors) = ("adapter_config.json", "adapter_model.safetensors");
    // No hub is asked for the base that the fixtures name.
    let text = fs::read_to_string(fixture(case).join(config)).unwrap().replace("tiny/llama", "/nowhere/base");
    fs::write(run.join(config), text).unwrap();
    fs::copy(fixture(case).join(tensors), run.join(tensors)).unwrap();
    let (base, _) = case.split_once('/').unwrap();
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    (folder, text(&run), text(&fixture(base)))
}

#[test]
fn every_kind_is_written_beside_the_run() {
    let (folder, run, base) = run("llama/rank_alpha_pattern");
    for (kind, files) in [
        ("gguf-lora", &["run-lora.gguf"][..]),
        ("peft", &["run-peft/adapter_config.json", "run-peft/adapter_model.safetensors"]),
        ("mlx", &["run-mlx/adapter_config.json", "run-mlx/adapters.safetensors"]),
        ("merged", &["run-merged/config.json", "run-merged/model.safetensors"]),
    ] {
        let export = ["export", &run, "--to", kind, "--base", &base];
        let said = lorelei(&export).ok();
        assert!(said.out.starts_with("wrote "), "{}", said.out);
        for file in files {
            assert!(folder.path().join(file).is_file(), "{file}");
        }
        lorelei(&export).refused(&["there already", "--overwrite"]);
        lorelei(&[&export[..], &["--overwrite"]].concat()).ok();
    }
    let back = folder.path().join("back");
    let mlx = folder.path().join("run-mlx");
    lorelei(&["convert", mlx.to_str().unwrap(), back.to_str().unwrap(), "--base", &base]).ok();
    assert!(back.join("adapter_model.safetensors").is_file());
    let (back, gguf) = (folder.path().join("back-gguf"), folder.path().join("run-lora.gguf"));
    let convert = ["convert", gguf.to_str().unwrap(), back.to_str().unwrap()];
    lorelei(&convert).refused(&["does not name its base model", "--base"]);
    lorelei(&[&convert[..], &["--base", &base]].concat()).ok();
    assert!(back.join("adapter_model.safetensors").is_file());
    lorelei(&["export", &run, "--to", "gguf", "--base", &base]).refused(&["tokenizer.json"]);
    let both = folder.path().join("both");
    let merge = [
        "merge-adapters",
        &run,
        back.to_str().unwrap(),
        "--weights",
        "0.5,-0.5",
        "--output",
        both.to_str().unwrap(),
    ];
    let svd = lorelei(&[&merge[..], &["--combination-type", "svd"]].concat());
    assert!(svd.code == Some(2) && svd.err.contains("singular values"), "{}", svd.err);
    lorelei(&merge).ok();
    assert!(both.join("adapter_config.json").is_file());
    lorelei(&merge).refused(&["there already"]);
}

#[test]
fn a_merged_run_has_a_card_of_a_whole_model() {
    let run = Run::new();
    run.train(&["training.save_strategy=no"]).ok();
    let (output, merged) = (run.output().display().to_string(), run.path("out-merged"));
    // Its own files do not stand in the way of another export.
    for more in [&[][..], &["--overwrite"]] {
        lorelei(&[&["export", &output, "--to", "merged"][..], more].concat()).ok();
        let files = names(&merged);
        for file in ["README.md", "config.json", "model.safetensors", "recipe.toml", "tokenizer.json"] {
            assert!(files.iter().any(|name| name == file), "no {file} in {files:?}");
        }
    }
    let card = fs::read_to_string(merged.join("README.md")).unwrap();
    for said in [
        "library_name: transformers\n",
        "# A LoRA adapter, merged into its base model\n",
        "from_pretrained(\"out-merged\")",
        "| Step | Epoch | Training loss |\n",
        "- Trained on `train.jsonl`\n",
    ] {
        assert!(card.contains(said), "no {said:?} in {card}");
    }
    fs::write(run.path("out/recipe.toml"), "no recipe").unwrap();
    let said = lorelei(&["export", &output, "--to", "merged", "--overwrite"]).ok();
    assert!(
        said.err.contains("has no card") && !names(&merged).contains(&"README.md".to_owned()),
        "{}",
        said.err
    );
}

#[test]
fn what_cannot_be_exported_has_a_reason_and_leaves_nothing() {
    let (folder, run, base) = run("llama/dora");
    lorelei(&["export", &run, "--to", "gguf-lora", "--base", &base]).refused(&["DoRA", "`merged`"]);
    lorelei(&["export", &run, "--to", "mlx"]).refused(&["/nowhere/base", "--base"]);
    lorelei(&["export", &run, "--to", "mlx", "--base", &base, "--dtype", "q8_0"]).refused(&["write float32"]);
    lorelei(&["export", &run, "--to", "mlx", "--base", &base, "--fold"]).refused(&["--to peft"]);
    let nowhere = folder.path().join("nowhere");
    lorelei(&["export", nowhere.to_str().unwrap(), "--to", "mlx"]).refused(&["has no adapter_config.json"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_model_that_was_trained_whole_is_written_in_other_formats() {
    let run = Run::new();
    run.train(&["training.finetuning_type=full", "training.max_steps=1"]).ok();
    let (model, out) = (run.output(), |name: &str| run.path(name).display().to_string());
    let name = model.display().to_string();
    let weights = |path: &Path, tensor: &str| {
        let bytes = fs::read(path.join("model.safetensors")).unwrap();
        SafetensorsFile::open(bytes, "model").unwrap().read_f32(tensor).unwrap()
    };
    let tensor = "model.layers.0.mlp.up_proj.weight";
    lorelei(&["export", &name, "--to", "merged", "--dtype", "float32", "--output", &out("merged")]).ok();
    assert_eq!(weights(&model, tensor), weights(&run.path("merged"), tensor));

    lorelei(&["export", &name, "--to", "gguf", "--dtype", "f32", "--output", &out("whole.gguf")]).ok();
    let gguf = GgufModel::open(fs::File::open(run.path("whole.gguf")).unwrap(), "whole.gguf").unwrap();
    assert_eq!(gguf.read_f32(tensor).unwrap(), weights(&model, tensor));
    // A GGUF is a whole model, too.
    let again =
        ["export", &out("whole.gguf"), "--to", "gguf", "--dtype", "q8_0", "--output", &out("q8.gguf")];
    lorelei(&again).ok();
    assert!(run.path("q8.gguf").exists());

    lorelei(&["export", &name, "--to", "mlx"]).refused(&["is a whole model", "--to gguf"]);
    lorelei(&["export", &name, "--to", "gguf", "--base", &name]).refused(&["leave out --base"]);
}

#[test]
fn a_check_says_what_is_refused_and_what_to_do() {
    let (_folder, run, base) = run("llama/dora");
    let check = |reader| lorelei(&["check", &run, "--for", reader, "--base", &base]);
    assert!(check("vllm").refused(&["as it is"]).out.contains("refused: DoRA"));
    assert!(check("mlx").ok().out.contains("do: write mlx-lm's files"));
}
