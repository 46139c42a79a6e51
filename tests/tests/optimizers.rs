//! Tests of the optimizers other than AdamW, of LoRA+ and of label smoothing: losses, gradient norms and the adapter after four steps, compared with
//! torch's, Transformers' and PEFT's (`tests/reference/optimizers.py`), on the CPU and on wgpu.

use std::path::PathBuf;

use burn::tensor::{Device, DeviceKind};
use lorelei_data::one_per_row;
use lorelei_formats::ModelConfig;
use lorelei_models::{Model, Storage, read_adapter};
use lorelei_recipe::{LoraConfig, OptimizerNames, TrainingArguments};
use lorelei_tests::{Files, Recorder, assert_close, examples, fixture, open};
use lorelei_train::{Checkpoint, Job, train};
use serde_json::Value as Json;

fn text(path: PathBuf) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn job(arguments: TrainingArguments, device: &Device) -> Job {
    job_with("adapter", arguments, device)
}

/// Creates a job on the tiny Llama with the adapter of the folder `adapter`.
fn job_with(adapter: &str, arguments: TrainingArguments, device: &Device) -> Job {
    let folder = fixture("llama");
    let config = ModelConfig::from_json(&text(folder.join("config.json")), "config.json").unwrap();
    let weights = open(&folder.join("model.safetensors"));
    let mut model = Model::load(config, &weights, device, Storage::SINGLE, &mut |_| {}).unwrap();
    let adapter = folder.join(adapter);
    let lora = LoraConfig::from_peft_json(&text(adapter.join("adapter_config.json")), "a").unwrap().lora;
    model.inject_lora(&lora, 1).unwrap();
    let adapter = std::fs::read(adapter.join("adapter_model.safetensors")).unwrap();
    model.set_adapter(&read_adapter(&adapter, "adapter").unwrap()).unwrap();
    lorelei_tests::job(model, lora, arguments, one_per_row(examples(&folder.join("ref.safetensors"))))
}

/// Returns a run's arguments with a constant schedule. The caller sets the rate of each step and makes it a run of its own, resumed from the one
/// before, so that all states pass through a checkpoint as well.
fn arguments(given: &Json, rows: usize) -> TrainingArguments {
    let mut arguments: TrainingArguments = serde_json::from_value(given.clone()).unwrap();
    arguments.per_device_train_batch_size = rows;
    arguments.lr_scheduler_type = serde_json::from_value("constant".into()).unwrap();
    (arguments.logging_steps, arguments.save_steps) = (1.0, 1.0);
    arguments
}

/// Returns the largest allowed differences of loss, gradient norm and adapter from the tables. torch's Muon iterates in bfloat16, which moves them by
/// up to 7e-5, 3e-4 and 1e-3 from the same in float64 (`tests/reference/README.md`).
fn tolerances(arguments: &TrainingArguments) -> [f64; 3] {
    match arguments.optim {
        OptimizerNames::Muon => [2e-4, 5e-4, 2e-3],
        OptimizerNames::AdamwTorch
        | OptimizerNames::AdamwTorchFused
        | OptimizerNames::Adafactor
        | OptimizerNames::Lion
        | OptimizerNames::Lion32bit
        | OptimizerNames::Sgd => [1e-5, 2e-4, 1e-3],
    }
}

#[test]
fn optimizers_lora_plus_and_label_smoothing() {
    let folder = fixture("llama/optimizers");
    let log: Json = serde_json::from_str(&text(folder.join("log.json"))).unwrap();
    for (device_name, device) in [("cpu", Device::flex()), ("wgpu", Device::wgpu(DeviceKind::DefaultDevice))]
    {
        for (name, run) in log.as_object().unwrap() {
            let rows = examples(&fixture("llama/ref.safetensors")).len();
            let mut arguments = arguments(&run["arguments"], rows);
            let folder_of_adapter = run["adapter"].as_str().unwrap_or("adapter");
            let [of_loss, of_norm, of_adapter] = tolerances(&arguments);
            let (mut checkpoint, mut adapter) = (None, None::<Vec<u8>>);
            let mut last = Vec::new();
            for (index, step) in run["steps"].as_array().unwrap().iter().enumerate() {
                arguments.max_steps = index as i64 + 1;
                arguments.learning_rate = step["lr"].as_f64().unwrap();
                let mut job = job_with(folder_of_adapter, arguments.clone(), &device);
                if let Some(adapter) = &adapter {
                    job.model.set_adapter(&read_adapter(adapter, "adapter").unwrap()).unwrap();
                }
                job.checkpoint = checkpoint.take();
                let mut host = Recorder::default();
                pollster::block_on(train(&mut job, &mut host)).unwrap();
                let what = format!("{name} on {device_name}, step {}", index + 1);
                let got = &host.log[0];
                for (key, got, tolerance) in
                    [("loss", got.loss, of_loss), ("grad_norm", got.grad_norm, of_norm)]
                {
                    let want = step[key].as_f64().unwrap();
                    assert!((got - want).abs() <= tolerance * want, "{what}: {key} {got} is not {want}");
                }
                let files = &host.saved[0].1;
                let file = |name: &str| files.iter().find(|(known, _)| known == name).unwrap().1.clone();
                let state = String::from_utf8(file("trainer_state.json")).unwrap();
                checkpoint = Some(Checkpoint::read(file("optimizer.safetensors"), &state).unwrap());
                last = file("adapter_model.safetensors");
                adapter = Some(last.clone());
            }
            let want =
                read_adapter(&std::fs::read(folder.join(format!("{name}.safetensors"))).unwrap(), name)
                    .unwrap();
            let got = read_adapter(&last, "adapter").unwrap();
            assert_eq!(got.len(), want.len());
            for (key, (_, values)) in &got {
                assert_close(
                    &format!("{name} on {device_name}: {key}"),
                    values,
                    &want[key].1,
                    of_adapter as f32,
                );
            }
        }
    }
}

#[test]
fn neftune_s_noise_is_new_in_each_step_and_small() {
    let device = Device::flex();
    let losses = |alpha: Option<f64>| {
        let arguments = TrainingArguments {
            neftune_noise_alpha: alpha,
            max_steps: 2,
            learning_rate: 0.0,
            logging_steps: 1.0,
            ..TrainingArguments::default()
        };
        let mut host = Recorder::default();
        pollster::block_on(train(&mut job(arguments, &device), &mut host)).unwrap();
        host.log.iter().map(|line| line.loss).collect::<Vec<_>>()
    };
    let (without, with, again) = (losses(None), losses(Some(5.0)), losses(Some(5.0)));
    assert_eq!(without[0], without[1]);
    assert_ne!(with[0], with[1]);
    assert_eq!(with, again);
    assert!((with[0] - without[0]).abs() < 0.5 && with[0] != without[0], "{with:?} {without:?}");
}

#[test]
fn the_best_checkpoint_comes_back_and_early_stopping_stops() {
    let device = Device::flex();
    // Training does not improve the loss on the other data for ever: sooner or later it rises.
    let mut arguments: TrainingArguments = serde_json::from_value(serde_json::json!({
        "max_steps": 30, "learning_rate": 0.02, "lr_scheduler_type": "constant", "logging_steps": 1.0,
        "eval_strategy": "steps", "eval_steps": 1.0, "save_steps": 1.0, "load_best_model_at_end": true,
        "early_stopping_patience": 2, "save_total_limit": 1, "eval_on_start": true
    }))
    .unwrap();
    let run = |arguments: &TrainingArguments, checkpoint: Option<(&Files, Checkpoint)>| {
        let mut job = job(arguments.clone(), &device);
        job.validation = one_per_row(examples(&fixture("llama/trainer_run/data.safetensors"))).into();
        if let Some((files, checkpoint)) = checkpoint {
            let adapter = &files.iter().find(|(name, _)| name == "adapter_model.safetensors").unwrap().1;
            job.model.set_adapter(&read_adapter(adapter, "adapter").unwrap()).unwrap();
            job.checkpoint = Some(checkpoint);
        }
        let mut host = Recorder::default();
        let finished = pollster::block_on(train(&mut job, &mut host)).unwrap();
        (finished, host)
    };
    let file = |files: &[(String, Vec<u8>)], name: &str| {
        files.iter().find(|(known, _)| known == name).unwrap().1.clone()
    };
    let (finished, host) = run(&arguments, None);
    let states: Vec<Json> = host
        .saved
        .iter()
        .filter(|(directory, _)| !directory.is_empty())
        .map(|(_, files)| serde_json::from_slice(&file(files, "trainer_state.json")).unwrap())
        .collect();
    let last = states.last().unwrap();
    let best = last["best_global_step"].as_u64().unwrap() as usize;
    assert_eq!(finished.steps, best + 2, "two evaluations that were no better: {last:#}");
    assert_eq!(
        last["stateful_callbacks"]["EarlyStoppingCallback"]["attributes"]["early_stopping_patience_counter"],
        2
    );
    // One line for each step, one for each evaluation, and one for the evaluation before the first step.
    assert_eq!(last["log_history"].as_array().unwrap().len(), 2 * finished.steps + 1);
    let folder = format!("trainer_output/checkpoint-{best}");
    assert_eq!(last["best_model_checkpoint"], Json::from(folder));
    let learnt = file(&host.saved.last().unwrap().1, "adapter_model.safetensors");
    assert_eq!(learnt, file(&host.saved[best - 1].1, "adapter_model.safetensors"));
    assert_ne!(learnt, file(&host.saved[best].1, "adapter_model.safetensors"));
    assert_eq!(host.rotations[0], (1, Some("checkpoint-1".to_owned())));
    assert_eq!(host.rotations.last(), Some(&(2, Some(format!("checkpoint-{best}")))));

    // A run that is resumed from the checkpoint after the best one ends the same.
    let (directory, files) = &host.saved[best];
    assert_eq!(*directory, format!("checkpoint-{}", best + 1));
    let state = String::from_utf8(file(files, "trainer_state.json")).unwrap();
    let checkpoint = Checkpoint::read(file(files, "optimizer.safetensors"), &state).unwrap();
    let (again, rest) = run(&arguments, Some((files, checkpoint)));
    assert_eq!((again.steps, again.train_loss), (finished.steps, finished.train_loss));
    assert_eq!(file(&rest.saved.last().unwrap().1, "adapter_model.safetensors"), learnt);

    arguments.greater_is_better = Some(true);
    let (_, host) = run(&arguments, None);
    let last: Json =
        serde_json::from_slice(&file(&host.saved[host.saved.len() - 2].1, "trainer_state.json")).unwrap();
    let history = last["log_history"].as_array().unwrap().iter();
    let losses = history.filter(|line| line["step"] != 0).filter_map(|line| line["eval_loss"].as_f64());
    assert_eq!(last["best_metric"].as_f64(), losses.reduce(f64::max));
}

#[test]
fn losses_between_two_log_lines_survive_a_checkpoint() {
    let device = Device::flex();
    let arguments: TrainingArguments = serde_json::from_value(serde_json::json!({
        "max_steps": 6, "learning_rate": 0.01, "logging_steps": 4.0, "save_steps": 3.0, "per_device_train_batch_size": 1
    }))
    .unwrap();
    let mut host = Recorder::default();
    let whole = pollster::block_on(train(&mut job(arguments.clone(), &device), &mut host)).unwrap();
    let files = &host.saved[0].1;
    let file = |name: &str| files.iter().find(|(known, _)| known == name).unwrap().1.clone();
    let state = String::from_utf8(file("trainer_state.json")).unwrap();
    let mut resumed = job(arguments, &device);
    resumed.model.set_adapter(&read_adapter(&file("adapter_model.safetensors"), "adapter").unwrap()).unwrap();
    resumed.checkpoint = Some(Checkpoint::read(file("optimizer.safetensors"), &state).unwrap());
    let mut rest = Recorder::default();
    let finished = pollster::block_on(train(&mut resumed, &mut rest)).unwrap();
    assert_eq!(rest.log.len(), 1);
    assert_eq!((rest.log[0].step, rest.log[0].loss), (host.log[0].step, host.log[0].loss));
    assert_eq!(finished.train_loss, whole.train_loss);
}
