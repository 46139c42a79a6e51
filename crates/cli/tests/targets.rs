//! Tests of the program with names and patterns of modules, and with adapters that other programs wrote.

mod common;

use std::{fs, path::Path};

use common::{Run, Said, fixture, lorelei};
use lorelei_formats::{Dtype, SafetensorsFile, TensorData, TensorSource, TensorSpec, to_bytes};

#[test]
fn names_that_match_no_module_are_warned_of_by_every_command() {
    let run = Run::new();
    let set = ["lora.rank_pattern={q_porj=32}", "lora.target_modules=[\"q_proj\", \"query\"]"];
    let commands =
        ["train", "fit", "params"].map(|command| Said::of(run.command(command, &set).output().unwrap()).ok());
    for said in commands {
        for words in [
            "lora.rank_pattern: \"q_porj\" matches no module that gets an adapter; is \"q_proj\" meant?",
            "lora.target_modules: \"query\" matches no module of this model",
        ] {
            assert_eq!(said.err.matches(words).count(), 1, "{words} in {}", said.err);
        }
    }
    let said = run.train(&["lora.rank_pattern={\".*q_proj\"=2}", "lora.target_modules=[\"q_proj\"]"]).ok();
    assert!(!said.err.contains("matches no module"), "{}", said.err);
}

#[test]
fn a_rank_above_the_singular_values_is_refused_by_every_command() {
    let run = Run::new();
    for command in ["train", "fit", "params"] {
        let set = ["lora.init_lora_weights=pissa", "lora.r=4000", "lora.target_modules=[\"q_proj\"]"];
        Said::of(run.command(command, &set).output().unwrap()).refused(&[
            "lora.r",
            "singular values",
            "rank_pattern",
        ]);
    }
}

/// Returns the logits of eight tokens by the tiny Llama with `adapter`, and what the program said.
fn forward(folder: &Path, adapter: &Path) -> (Vec<f32>, String) {
    let (input, output) = (folder.join("in.safetensors"), folder.join("out.safetensors"));
    let ids: Vec<i64> = (3..11).collect();
    let spec = TensorSpec::new("input_ids", Dtype::I64, [1, 8].as_slice());
    fs::write(&input, to_bytes(&[(spec, TensorData::I64(&ids))], &Default::default()).unwrap()).unwrap();
    let text = |path: &Path| path.display().to_string();
    let said = lorelei(&[
        "forward",
        "--device",
        "cpu",
        "--model",
        &text(&fixture("llama")),
        "--adapter",
        &text(adapter),
        "--input",
        &text(&input),
        "--output",
        &text(&output),
    ])
    .ok();
    let file = SafetensorsFile::open(fs::read(&output).unwrap(), "out").unwrap();
    (file.read_f32("logits").unwrap(), said.err)
}

#[test]
fn an_adapter_of_a_newer_peft_is_used_and_its_settings_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, _) = forward(folder.path(), &fixture("llama/adapter"));
    let newer = folder.path().join("newer");
    fs::create_dir(&newer).unwrap();
    fs::copy(fixture("llama/adapter/adapter_model.safetensors"), newer.join("adapter_model.safetensors"))
        .unwrap();
    let config = fs::read_to_string(fixture("llama/adapter/adapter_config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["use_hyperlora"] = true.into();
    config["a_later_default"] = serde_json::Value::Null;
    fs::write(newer.join("adapter_config.json"), config.to_string()).unwrap();
    let (logits, said) = forward(folder.path(), &newer);
    assert_eq!(logits, plain);
    assert!(said.contains("use_hyperlora is unknown here") && !said.contains("a_later_default"), "{said}");
}

#[test]
fn an_adapter_by_a_regex_with_look_around_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, _) = forward(folder.path(), &fixture("llama/adapter"));
    let regex = folder.path().join("regex");
    fs::create_dir(&regex).unwrap();
    fs::copy(fixture("llama/adapter/adapter_model.safetensors"), regex.join("adapter_model.safetensors"))
        .unwrap();
    let config = fs::read_to_string(fixture("llama/adapter/adapter_config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let names: Vec<String> = config["target_modules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    config["target_modules"] =
        format!(r"^(?!.*(lm_head|embed))model\.layers(?=\.).*\.({})$", names.join("|")).into();
    fs::write(regex.join("adapter_config.json"), config.to_string()).unwrap();
    assert_eq!(forward(folder.path(), &regex).0, plain);
}

#[test]
fn layers_are_counted_from_the_last_one_and_saved_as_peft_knows_them() {
    let run = Run::new();
    let set = ["lora.target_modules=[\"q_proj\"]", "lora.layers_to_transform=[-1, 0]"];
    run.train(&set).ok();
    let config = fs::read_to_string(run.output().join("adapter_config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let numbers: Vec<usize> = serde_json::from_value(config["layers_to_transform"].clone()).unwrap();
    let [0, last] = numbers[..] else { panic!("{numbers:?}") };
    let params = Said::of(run.command("params", &set).output().unwrap()).ok().out;
    for (layer, count) in [(0, 2), (1, 0), (last, 2)] {
        assert_eq!(
            params.matches(&format!("layers.{layer}.self_attn.q_proj.lora_")).count(),
            count,
            "{params}"
        );
    }
    run.train(&["lora.layers_to_transform=[-99]"]).refused(&["lora.layers_to_transform", "-99"]);
    let beyond = Run::new();
    let said = beyond.train(&["lora.layers_to_transform=[0, 99]"]).ok();
    assert!(said.err.contains("lora.layers_to_transform: \"99\" matches none of"), "{}", said.err);
}
