//! Tests of a real model: ten steps of LoRA on SmolLM2-135M, compared with PEFT's, on the CPU and on wgpu. `cargo xtask test --full` runs these.

use std::{fs::File, path::PathBuf};

use burn::tensor::{Device, DeviceKind};
use half::bf16;
use lorelei_data::{Encoder, Tokenizer, encode_rows, one_per_row, read_jsonl};
use lorelei_formats::{
    FormatError, GgufModel, ModelConfig, SafetensorsFile, TensorInfo, TensorSource, parse_adapter_key,
};
use lorelei_models::{Model, Storage};
use lorelei_recipe::{LoraConfig, TrainingArguments};
use lorelei_tests::{Recorder, examples, fixture, open};
use lorelei_train::{Job, RunIdentity, base_dtype, objective, train};

/// The tokens of the reference runs.
const TOKENS: &str = "smollm2/tokens_128.safetensors";

fn gguf() -> GgufModel<File> {
    let path = std::env::var_os("LORELEI_SMOLLM2").map(PathBuf::from);
    let path = path.expect("LORELEI_SMOLLM2 names SmolLM2-135M-Instruct.Q4_1.gguf");
    GgufModel::open(File::open(&path).unwrap(), path.display().to_string()).unwrap()
}

/// The base of the reference runs: the GGUF's values rounded to bfloat16, as `lorelei convert` writes them.
struct Rounded(GgufModel<File>);

impl TensorSource for Rounded {
    fn infos(&self) -> &[TensorInfo] {
        self.0.infos()
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.0.info(name)
    }

    fn read_i64(&self, name: &str) -> Result<Vec<i64>, FormatError> {
        self.0.read_i64(name)
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>, FormatError> {
        let values = self.0.read_f32(name)?;
        Ok(values.into_iter().map(|value| bf16::from_f32(value).to_f32()).collect())
    }
}

/// Sets `A` of the adapter in `model` to the initial one; `B` is zero.
fn start_from(model: &mut Model, path: &str, device: &Device) {
    let file = open(&fixture(path));
    let mut started = 0;
    for info in file.infos() {
        let (module, part) = parse_adapter_key(&info.name).unwrap();
        let values = file.read_f32(&info.name).unwrap();
        model.visit_parameters(&mut |name, mut parameter| {
            if name == format!("{module}.{part}") {
                parameter.assign_host(values.clone(), device);
                started += 1;
            }
        });
    }
    assert_eq!(started, file.infos().len());
}

fn relative(got: f64, want: f64) -> f64 {
    (got - want).abs() / want.abs()
}

/// Returns the norm of the difference, relative to the norm of `want`.
fn distance(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let square = |sum: f64, value: f64| sum + value * value;
    let difference = got.iter().zip(want).map(|(g, w)| f64::from(*g) - f64::from(*w)).fold(0.0, square);
    (difference / want.iter().map(|w| f64::from(*w)).fold(0.0, square)).sqrt()
}

/// Runs ten steps and compares the results with PEFT's: all of them in single floats, only the losses (to 1 %) in mixed precision.
fn ten_steps(device_name: &str, device: &Device, run: &str, fp16: bool) {
    let source = Rounded(gguf());
    let config = ModelConfig::from_json(&source.0.hf_config().unwrap().to_string(), "config.json").unwrap();
    let mut model = Model::load(config, &source, device, Storage::SINGLE, &mut |_| {}).unwrap();
    let log: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(fixture(&format!("smollm2/{run}/log.json"))).unwrap())
            .unwrap();
    let lora: LoraConfig = serde_json::from_value(serde_json::json!({
        "r": 8, "lora_alpha": 32, "target_modules": log["settings"]["target_modules"]
    }))
    .unwrap();
    let target_modules = model.inject_lora(&lora, 0).unwrap();
    start_from(&mut model, &format!("smollm2/{run}/init_lora_A.safetensors"), device);
    let arguments: TrainingArguments = serde_json::from_value(serde_json::json!({
        "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "max_steps": 10,
        "learning_rate": 5e-4, "lr_scheduler_type": "linear", "warmup_ratio": 0.1, "logging_steps": 1.0,
        "save_strategy": "no", "fp16": fp16
    }))
    .unwrap();
    let (dtype, warning) = pollster::block_on(base_dtype(&arguments, device)).unwrap();
    assert_eq!(warning, None);
    let mut job = Job {
        model: model.in_dtype(dtype),
        lora: Some(lora),
        target_modules,
        base_model: "smollm2".into(),
        arguments,
        objective: objective(None),
        train: one_per_row(examples(&fixture(TOKENS))).into(),
        validation: Vec::new().into(),
        shuffle: false,
        padding: 2.into(),
        checkpoint: None,
        sample: None,
        companions: Vec::new(),
        identity: RunIdentity::default(),
    };
    let mut host = Recorder::default();
    pollster::block_on(train(&mut job, &mut host)).unwrap();

    let steps = log["steps"].as_array().unwrap();
    assert_eq!((host.log.len(), steps.len()), (10, 10));
    let (mut worst_loss, mut worst_norm) = (0f64, 0f64);
    for (got, want) in host.log.iter().zip(steps) {
        let number = |key: &str| want[key].as_f64().unwrap();
        assert!(fp16 || got.learning_rate == number("lr"), "step {}", got.step);
        worst_loss = worst_loss.max(relative(got.loss, number("loss")));
        worst_norm = worst_norm.max(relative(got.grad_norm, number("grad_norm")));
        let bound = if fp16 { 1e-2 } else { 1e-4 };
        assert!(relative(got.loss, number("loss")) < bound, "{device_name} {run}: {got:?} {want}");
        assert!(
            fp16 || relative(got.grad_norm, number("grad_norm")) < 1e-3,
            "{device_name} {run}: {got:?} {want}"
        );
    }
    let (_, files) = host.saved.last().unwrap();
    let bytes = files.iter().find(|(name, _)| name == "adapter_model.safetensors").unwrap().1.clone();
    let saved = SafetensorsFile::open(bytes, "adapter_model.safetensors").unwrap();
    let wanted = open(&fixture(&format!("smollm2/{run}/final.safetensors")));
    let mut worst = 0f64;
    for info in wanted.infos() {
        let got = saved.read_f32(&info.name).unwrap();
        let apart = distance(&got, &wanted.read_f32(&info.name).unwrap());
        assert!(fp16 || apart < 1e-3, "{device_name} {run}: {} is {apart:e} apart", info.name);
        worst = worst.max(apart);
    }
    println!(
        "{device_name} {run}, fp16 {fp16}: loss {worst_loss:.1e}, grad_norm {worst_norm:.1e}, worst tensor {worst:.1e}"
    );
}

#[test]
#[ignore = "needs SmolLM2-135M: cargo xtask test --full"]
fn ten_steps_on_the_cpu() {
    for run in ["qv", "all"] {
        ten_steps("cpu", &Device::flex(), run, false);
    }
}

/// Returns a wgpu device set up as the program sets up a software driver, which takes twice as long with WGSL. LORELEI_KERNELS=wgsl tests WGSL.
fn wgpu() -> Device {
    let device = Device::wgpu(DeviceKind::DefaultDevice);
    assert_eq!(pollster::block_on(lorelei_kernels::gpu::set_up(&device, true)), None);
    device
}

#[test]
#[ignore = "needs SmolLM2-135M: cargo xtask test --full"]
fn ten_steps_on_wgpu() {
    for run in ["qv", "all"] {
        ten_steps("wgpu", &wgpu(), run, false);
    }
}

#[test]
#[ignore = "needs SmolLM2-135M: cargo xtask test --full"]
fn ten_steps_in_half_floats() {
    ten_steps("wgpu", &wgpu(), "all", true);
}

#[test]
#[ignore = "needs SmolLM2-135M: cargo xtask test --full"]
fn conversations_become_the_tokens_and_masks_of_transformers() {
    let (tokenizer, config) = gguf().hf_tokenizer().unwrap();
    let (tokenizer, config) = (tokenizer.to_string(), config.to_string());
    let tokenizer = Tokenizer::from_files(tokenizer.as_bytes(), Some(&config), None).unwrap();
    let bytes = std::fs::read(fixture("smollm2/train_messages.jsonl")).unwrap();
    let rows = read_jsonl(&bytes[..], "train_messages.jsonl");
    let encoded = encode_rows(rows, "train_messages.jsonl", &Encoder::new(&tokenizer, 128)).unwrap();
    assert_eq!((encoded.truncated, encoded.skipped.len()), (0, 0));
    assert_eq!(encoded.examples, examples(&fixture(TOKENS)));
}
