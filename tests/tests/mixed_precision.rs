//! Tests of mixed precision against single precision: the same model, adapter and batches, with the base in half floats on wgpu.

use std::path::Path;

use burn::tensor::{Device, DeviceKind, FloatDType};
use lorelei_data::one_per_row;
use lorelei_formats::{FormatError, ModelConfig, SafetensorsFile, TensorInfo, TensorSource};
use lorelei_models::{ForwardMode, Model, Storage, read_adapter};
use lorelei_recipe::{Bias, LoraConfig, TargetModules, TrainingArguments};
use lorelei_tests::{Recorder, examples, fixture, open};
use lorelei_train::{Job, TrainError, base_dtype, tokens, train};

const HALF: Storage = Storage { dtype: FloatDType::F16, ..Storage::SINGLE };

fn wgpu() -> Device {
    Device::wgpu(DeviceKind::DefaultDevice)
}

/// A checkpoint with one tensor's values changed.
struct Changed {
    file: SafetensorsFile<Vec<u8>>,
    name: &'static str,
    change: fn(f32) -> f32,
}

impl TensorSource for Changed {
    fn infos(&self) -> &[TensorInfo] {
        self.file.infos()
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.file.info(name)
    }

    fn read_i64(&self, name: &str) -> Result<Vec<i64>, FormatError> {
        self.file.read_i64(name)
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>, FormatError> {
        let mut values = self.file.read_f32(name)?;
        if name == self.name {
            values.iter_mut().for_each(|value| *value = (self.change)(*value));
        }
        Ok(values)
    }
}

fn with_adapter(
    arch: &str,
    name: &str,
    change: fn(f32) -> f32,
    device: &Device,
    storage: Storage,
) -> (Model, LoraConfig) {
    let folder = fixture(arch);
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let config = ModelConfig::from_json(&read(&folder.join("config.json")), "config.json").unwrap();
    let source = Changed { file: open(&folder.join("model.safetensors")), name: "model.norm.weight", change };
    let mut model = Model::load(config, &source, device, storage, &mut |_| {}).unwrap();
    let adapter = folder.join(name);
    let lora = read(&adapter.join("adapter_config.json"));
    let lora = LoraConfig::from_peft_json(&lora, "adapter_config.json").unwrap().lora;
    model.inject_lora(&lora, 1).unwrap();
    let values = std::fs::read(adapter.join("adapter_model.safetensors")).unwrap();
    model.set_adapter(&read_adapter(&values, "adapter_model.safetensors").unwrap()).unwrap();
    (model, lora)
}

/// Returns the loss and the concatenated gradients of a fixture's own rows. The loss is multiplied by `scale` for the backward pass.
fn loss_and_gradients(model: &mut Model, arch: &str, scale: f32, checkpointing: bool) -> (f32, Vec<f32>) {
    let rows = one_per_row(examples(&fixture(arch).join("ref.safetensors")));
    let batch = lorelei_data::collate(&rows.iter().collect::<Vec<_>>(), 0);
    let (positions, targets) = batch.next_tokens();
    let divisor = targets.len() as f32 / scale;
    let mode = ForwardMode::Training { dropout_seed: 0 };
    let (loss, mut gradients) = model
        .loss_and_gradients(&tokens(&batch), mode, &positions, &targets, divisor, checkpointing)
        .unwrap();
    let mut all = Vec::new();
    model.visit_parameters(&mut |name, parameter| {
        let gradient = gradients.take(&parameter).expect(name);
        all.extend(
            gradient.into_data().try_into_vec::<f32>().unwrap().into_iter().map(|value| value / scale),
        );
    });
    (loss.into_scalar::<f32>() / scale, all)
}

#[test]
fn losses_and_gradients_are_those_of_single_precision() {
    let cases = [
        ("llama", "adapter_all_linear", false),
        ("llama", "adapter_all_linear", true),
        ("qwen2", "adapter", false),
        ("qwen3", "adapter", false),
        ("gemma3_text", "adapter", false),
        ("glm", "adapter", false),
        ("chatglm", "adapter", false),
        ("phi3", "adapter", false),
        ("gpt2", "adapter", false),
    ];
    for (arch, name, checkpointing) in cases {
        let (mut single, _) = with_adapter(arch, name, |v| v, &Device::flex(), Storage::SINGLE);
        let (mut half, _) = with_adapter(arch, name, |v| v, &wgpu(), HALF);
        assert_eq!(half.dtype(), FloatDType::F16);
        let (want, gradients) = loss_and_gradients(&mut single, arch, 1.0, checkpointing);
        let (got, half_gradients) = loss_and_gradients(&mut half, arch, 1024.0, checkpointing);
        assert!((got - want).abs() <= 1e-2 * want, "{arch}: loss {got} is not {want}");
        assert!(got != want, "{arch}: a base in half floats rounds");
        let length =
            |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let apart = length(&mut gradients.iter().zip(&half_gradients).map(|(a, b)| a - b));
        let whole = length(&mut gradients.iter().copied());
        assert!(apart <= 1e-2 * whole, "{arch}: gradients of length {whole} differ by {apart}");
    }
}

fn job(change: fn(f32) -> f32, device: &Device, storage: Storage, max_steps: usize) -> Job {
    let (model, lora) = with_adapter("llama", "adapter", change, device, storage);
    let arguments: TrainingArguments = serde_json::from_value(serde_json::json!({
        "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "max_steps": max_steps, "fp16": true,
        "learning_rate": 0.002, "weight_decay": 0.01, "logging_steps": 1.0, "save_steps": 3.0
    }))
    .unwrap();
    lorelei_tests::job(
        model,
        lora,
        arguments,
        one_per_row(examples(&fixture("llama/trainer_run/data.safetensors"))),
    )
}

#[test]
fn ten_steps_stay_within_a_hundredth() {
    let runs = [(Device::flex(), Storage::SINGLE), (wgpu(), HALF)].map(|(device, storage)| {
        let mut host = Recorder::default();
        pollster::block_on(train(&mut job(|v| v, &device, storage, 10), &mut host)).unwrap();
        host
    });
    let [single, half] = runs;
    assert_eq!((single.log.len(), half.log.len()), (10, 10));
    for (single, half) in single.log.iter().zip(&half.log) {
        assert!((half.loss - single.loss).abs() <= 1e-2 * single.loss, "{half:?} is not {single:?}");
        assert!(
            (half.grad_norm - single.grad_norm).abs() <= 2e-2 * single.grad_norm,
            "{half:?} is not {single:?}"
        );
        assert_eq!(half.learning_rate, single.learning_rate);
        assert_eq!((half.loss_scale, single.loss_scale), (Some(65536.0), None));
    }
    // The saved state is in single floats and includes the scale.
    let (directory, files) = &half.saved[0];
    assert_eq!(directory, "checkpoint-3");
    let file = |name: &str| files.iter().find(|(known, _)| known == name).unwrap().1.clone();
    let checkpoint = lorelei_train::Checkpoint::read(
        file("optimizer.safetensors"),
        std::str::from_utf8(&file("trainer_state.json")).unwrap(),
    );
    let scale = checkpoint.unwrap().state.loss_scale.unwrap();
    assert_eq!((scale.scale, scale.growth_tracker, scale.skipped_steps), (65536.0, 3, 0));
}

#[test]
fn a_gradient_beyond_half_floats_is_skipped_and_the_scale_falls() {
    let mut host = Recorder::default();
    let mut job = job(|v| v * 3000.0, &wgpu(), HALF, 12);
    let before = values(&mut job.model);
    pollster::block_on(train(&mut job, &mut host)).unwrap();
    let first = &host.log[0];
    assert_eq!((first.skipped_steps, first.loss_scale), (Some(1), Some(32768.0)), "{first:?}");
    let last = host.log.last().unwrap();
    let skipped = last.skipped_steps.unwrap();
    assert!(skipped < 12 && last.grad_norm.is_finite(), "{last:?}");
    // The schedule begins with the first step that is not skipped.
    let taken = &host.log[skipped as usize];
    assert_eq!((taken.learning_rate, taken.skipped_steps), (first.learning_rate, Some(skipped)), "{taken:?}");
    let after = values(&mut job.model);
    assert!(after != before && after.iter().all(|value| value.is_finite()));
}

fn values(model: &mut Model) -> Vec<f32> {
    let mut all = Vec::new();
    model.visit_parameters(&mut |_, p| all.extend(p.flat().into_data().try_into_vec::<f32>().unwrap()));
    all
}

#[test]
fn a_run_that_is_no_number_stops_and_names_the_tensor() {
    for (device, storage) in [(Device::flex(), Storage::SINGLE), (wgpu(), Storage::SINGLE), (wgpu(), HALF)] {
        let mut host = Recorder::default();
        // The products with such a norm overflow.
        let mut job = job(|_| f32::MAX, &device, storage, 40);
        let before = values(&mut job.model);
        let error = pollster::block_on(train(&mut job, &mut host)).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, TrainError::Diverged { .. }), "{text}");
        assert!(text.starts_with("the gradient of model.layers.0.self_attn.q_proj.lora_A is NaN"), "{text}");
        assert_eq!(values(&mut job.model), before, "nothing is learnt of it");
        // In fp16, a scale that is too high is lowered first. The adapter that is saved meanwhile is the initial one.
        for (directory, files) in &host.saved {
            let adapter = &files.iter().find(|(name, _)| name == "adapter_model.safetensors").unwrap().1;
            let saved = read_adapter(adapter, "adapter_model.safetensors").unwrap();
            assert!(saved.values().all(|(_, values)| values.iter().all(|v| v.is_finite())), "{directory}");
        }
    }
}

#[test]
fn what_learns_beside_an_adapter_is_in_single_floats() {
    let lora = LoraConfig {
        target_modules: Some(TargetModules::List(vec!["q_proj".into(), "down_proj".into()])),
        modules_to_save: Some(vec![
            "norm".into(),
            "gate_proj".into(),
            "o_proj".into(),
            "embed_tokens".into(),
        ]),
        bias: Bias::All,
        ..LoraConfig::default()
    };
    for arch in ["qwen3", "llama_bias"] {
        let folder = fixture(arch);
        let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
        let config = ModelConfig::from_json(&config, "config.json").unwrap();
        let weights = open(&folder.join("model.safetensors"));
        let loss = |storage: Storage| {
            let mut model = Model::load(config.clone(), &weights, &wgpu(), storage, &mut |_| {}).unwrap();
            model.inject_lora(&lora, 1).unwrap();
            let rows = one_per_row(examples(&folder.join("ref.safetensors")));
            let batch = lorelei_data::collate(&rows.iter().collect::<Vec<_>>(), 0);
            let (rows, targets) = batch.next_tokens();
            let mode = ForwardMode::Training { dropout_seed: 0 };
            let (loss, mut gradients) =
                model.loss_and_gradients(&tokens(&batch), mode, &rows, &targets, 1.0, false).unwrap();
            model.visit_parameters(&mut |name, parameter| {
                assert_eq!(FloatDType::from(parameter.flat().dtype()), FloatDType::F32, "{name}");
                assert!(gradients.take(&parameter).is_some(), "{name}");
            });
            f64::from(loss.into_scalar::<f32>())
        };
        let (half, single) = (loss(HALF), loss(Storage::SINGLE));
        assert!((half - single).abs() < 0.01 * single, "{arch}: {half} is not {single}");
    }
}

#[test]
fn where_there_are_no_half_floats() {
    let wants = |fp16: bool| TrainingArguments { fp16, bf16: !fp16, ..TrainingArguments::default() };
    let on = |fp16, device: &Device| {
        pollster::block_on(base_dtype(&wants(fp16), device)).map_err(|error| error.to_string())
    };
    let (dtype, warning) = on(true, &Device::flex()).unwrap();
    assert_eq!(dtype, FloatDType::F32);
    assert!(warning.unwrap().contains("on a CPU"));
    assert!(on(false, &Device::flex()).unwrap_err().contains("the CPU does not compute in bfloat16"));
    // A software Vulkan driver has float16 and not bfloat16.
    assert_eq!(on(true, &wgpu()).unwrap(), (FloatDType::F16, None));
    let error = on(false, &wgpu()).unwrap_err();
    assert!(error.contains("does not compute in bfloat16; say fp16 = true"), "{error}");
}
