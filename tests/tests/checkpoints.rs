//! Tests of checkpoints that do not fit their `config.json`: the differing names are reported before any tensor is read.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use burn::tensor::Device;
use lorelei_formats::{FormatError, ModelConfig, TensorInfo, TensorSource};
use lorelei_models::{Model, Storage};
use lorelei_tests::{fixture, open};

/// A checkpoint with renamed tensors, which counts the tensors that are read.
struct Renamed {
    infos: Vec<TensorInfo>,
    reads: AtomicUsize,
}

impl Renamed {
    fn new(arch: &str, names: &BTreeMap<&str, &str>) -> Self {
        let mut infos = open(&fixture(&format!("{arch}/model.safetensors"))).infos().to_vec();
        for (from, to) in names {
            let info = infos.iter_mut().find(|info| info.name == *from);
            info.unwrap_or_else(|| panic!("{arch} has no {from}")).name = (*to).to_owned();
        }
        Self { infos, reads: AtomicUsize::new(0) }
    }
}

impl TensorSource for Renamed {
    fn infos(&self) -> &[TensorInfo] {
        &self.infos
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.infos.iter().find(|info| info.name == name)
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>, FormatError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let count = self.info(name).map_or(0, |info| info.shape.iter().product());
        Ok(vec![0.5; count])
    }

    fn read_i64(&self, _name: &str) -> Result<Vec<i64>, FormatError> {
        Ok(Vec::new())
    }
}

fn config(arch: &str, change: impl Fn(&mut serde_json::Value)) -> ModelConfig {
    let text = std::fs::read_to_string(fixture(&format!("{arch}/config.json"))).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    change(&mut json);
    ModelConfig::from_json(&json.to_string(), "config.json").unwrap()
}

fn load(config: ModelConfig, source: &Renamed) -> String {
    let loaded = Model::load(config, source, &Device::flex(), Storage::SINGLE, &mut |_| {});
    loaded.map(|_| String::new()).unwrap_or_else(|error| error.to_string())
}

#[test]
fn what_is_missing_and_what_is_there_instead_is_named() {
    let names = BTreeMap::from([
        ("model.layers.1.self_attn.q_proj.weight", "model.layers.1.self_attn.query.weight"),
        ("model.norm.weight", "model.final_norm.weight"),
    ]);
    let source = Renamed::new("llama", &names);
    let said = load(config("llama", |_| ()), &source);
    for (missing, found) in &names {
        assert!(said.contains(missing) && said.contains(found), "{said}");
    }
    assert_eq!(source.reads.load(Ordering::Relaxed), 0);
    assert_eq!(load(config("llama", |_| ()), &Renamed::new("llama", &BTreeMap::new())), "");
}

#[test]
fn a_config_that_lies_about_its_shapes_is_caught_before_a_tensor_is_read() {
    for (arch, key, value) in [
        ("llama", "intermediate_size", 96),
        ("llama", "vocab_size", 95),
        ("qwen3", "head_dim", 8),
        ("gpt2", "n_positions", 64),
        ("bert", "type_vocab_size", 3),
    ] {
        let source = Renamed::new(arch, &BTreeMap::new());
        let said = load(config(arch, |json| json[key] = value.into()), &source);
        assert!(
            said.contains(" in the checkpoint, [") && said.contains("by config.json"),
            "{arch}: {said:?}"
        );
        assert_eq!(source.reads.load(Ordering::Relaxed), 0);
    }
}
