//! Tests of checkpoints that are not what a run can be resumed from: altered files, other settings, other rows, and a folder that is removed.

mod common;

use std::{
    fs,
    path::Path,
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use common::{Run, Said};

const SETTINGS: &[&str] = &["training.max_steps=6", "training.save_steps=2", "lora.lora_dropout=0.1"];

/// Returns a run with checkpoints at its steps 2 and 4, as one has them that was killed in its fifth step.
fn cut_off() -> Run {
    let run = Run::new();
    run.train(SETTINGS).ok();
    fs::remove_dir_all(run.output().join("checkpoint-6")).unwrap();
    run
}

fn resume(run: &Run, set: &[&str], options: &[&str]) -> Said {
    let mut command = run.command("train", &[SETTINGS, set].concat());
    Said::of(command.arg("--resume-from-checkpoint").args(options).output().unwrap())
}

fn log(path: &Path) -> Vec<serde_json::Value> {
    let log = fs::read_to_string(path).unwrap();
    log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_checkpoint_with_a_changed_byte_is_refused_by_name_and_passed_over_in_a_search() {
    let run = cut_off();
    let newest = run.output().join("checkpoint-4");
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(newest.join("manifest.json")).unwrap()).unwrap();
    let files: Vec<&String> = manifest["files"].as_object().unwrap().keys().collect();
    assert_eq!(
        files,
        ["adapter_config.json", "adapter_model.safetensors", "optimizer.safetensors", "trainer_state.json"]
    );
    for file in files {
        let path = newest.join(file);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        let last = bytes.len() - 2;
        bytes[last] ^= 1;
        fs::write(&path, bytes).unwrap();
        let mut named = run.command("train", SETTINGS);
        let named = named.args(["--resume-from-checkpoint", &newest.display().to_string()]).output().unwrap();
        Said::of(named).refused(&["checkpoint-4", file, "is not as it was saved"]);
        fs::write(&path, whole).unwrap();
    }
    // The optimizer of another step is whole, and another's.
    let optimizer = |step: u32| run.output().join(format!("checkpoint-{step}/optimizer.safetensors"));
    fs::copy(optimizer(2), optimizer(4)).unwrap();
    let said = resume(&run, &[], &[]).ok();
    assert!(said.err.contains("checkpoint-4 is passed over"), "{}", said.err);
    assert!(said.err.contains("optimizer.safetensors is not as it was saved"), "{}", said.err);
}

#[test]
fn other_settings_and_other_rows_are_named_and_refused_unless_they_are_allowed() {
    let run = cut_off();
    let before = fs::read(run.output().join("checkpoint-4/manifest.json")).unwrap();
    for (set, what) in [
        ("training.seed=7", "training.seed was 42 and is 7"),
        ("training.max_steps=8", "training.max_steps was 6 and is 8"),
        ("training.learning_rate=0.5", "training.learning_rate was 0.001 and is 0.5"),
        ("training.per_device_train_batch_size=1", "training.per_device_train_batch_size was 8 and is 1"),
        ("training.neftune_noise_alpha=5", "training.neftune_noise_alpha was not set and is 5"),
        ("lora.lora_dropout=0.2", "lora.lora_dropout was 0.1 and is 0.2"),
        ("data.packing=true", "data.packing was false and is true"),
    ] {
        resume(&run, &[set], &[]).refused(&["checkpoint-4", what, "--allow-changes"]);
    }
    let rows = fs::read_to_string(run.path("train.jsonl")).unwrap();
    run.data(&rows.replace("whale", "squid"));
    resume(&run, &[], &[]).refused(&["the set of rows to train on was 2 (SHA-256 "]);
    run.data(&rows);
    let validated = format!("data.validation_file={}", run.path("train.jsonl").display());
    resume(&run, &[&validated], &[]).refused(&["the set of rows to validate on was none and is 2"]);
    assert_eq!(fs::read(run.output().join("checkpoint-4/manifest.json")).unwrap(), before);

    // Settings that change no number of the training need no permission, nor does another name of the same file.
    fs::rename(run.path("train.jsonl"), run.path("moved.jsonl")).unwrap();
    let moved = format!("data.train_file={}", run.path("moved.jsonl").display());
    let free =
        ["training.save_steps=3", "training.logging_steps=2", "training.gradient_checkpointing=true", &moved];
    let said = resume(&run, &free, &[]).ok();
    assert!(said.out.contains("saved checkpoint-6"), "{}", said.out);

    let said = resume(&run, &[&moved, "training.max_steps=8", "training.seed=7"], &["--allow-changes"]).ok();
    for words in
        ["checkpoint-6: training.max_steps was 6 and is 8", "checkpoint-6: training.seed was 42 and is 7"]
    {
        assert!(said.err.contains(words), "no {words:?} in\n{}", said.err);
    }
    assert!(run.output().join("checkpoint-8").exists());
    let mut without = run.command("train", SETTINGS);
    let said = Said::of(without.arg("--allow-changes").output().unwrap());
    assert!(said.code == Some(2) && said.err.contains("--resume-from-checkpoint"), "{}", said.err);
}

#[test]
fn a_checkpoint_of_the_other_kind_of_training_is_refused_as_such() {
    let whole = ["training.finetuning_type=full"];
    let adapter = cut_off();
    resume(&adapter, &whole, &[]).refused(&["checkpoint-4 holds an adapter", "resume with \"lora\""]);
    let run = Run::new();
    run.train(&[SETTINGS, &whole].concat()).ok();
    fs::remove_dir_all(run.output().join("checkpoint-6")).unwrap();
    resume(&run, &[], &[]).refused(&["checkpoint-4 holds a whole model", "resume with \"full\""]);
}

#[test]
fn a_base_model_whose_files_were_replaced_is_named_and_refused() {
    // The same model, trained whole for a step of two sizes.
    let [base, further] = ["1e-3", "2e-3"].map(|rate| {
        let base = Run::new();
        base.train(&[
            "training.finetuning_type=full",
            "training.max_steps=1",
            &format!("training.learning_rate={rate}"),
        ])
        .ok();
        base
    });
    let run = Run::new();
    let name = format!("model.model_name_or_path={}", base.output().display());
    run.train(&[SETTINGS, &[&name]].concat()).ok();
    fs::remove_dir_all(run.output().join("checkpoint-6")).unwrap();

    let weights = |base: &Run| base.output().join("model.safetensors");
    fs::copy(weights(&further), weights(&base)).unwrap();
    resume(&run, &[&name], &[]).refused(&["the base model was SHA-256 ", "--allow-changes"]);
    let said = resume(&run, &[&name], &["--allow-changes"]).ok();
    assert!(said.err.contains("the base model was SHA-256 "), "{}", said.err);
}

#[test]
fn a_checkpoint_without_a_manifest_is_taken_with_a_warning() {
    let run = cut_off();
    fs::remove_file(run.output().join("checkpoint-4/manifest.json")).unwrap();
    let said = resume(&run, &[], &[]).ok();
    assert!(said.err.contains("checkpoint-4 has no manifest.json"), "{}", said.err);
    fs::write(run.output().join("checkpoint-4/manifest.json"), "{").unwrap();
    let checkpoint = run.output().join("checkpoint-4").display().to_string();
    let mut named = run.command("train", SETTINGS);
    let named = named.args(["--resume-from-checkpoint", &checkpoint]).output().unwrap();
    Said::of(named).refused(&["checkpoint-4", "manifest.json is broken"]);
}

#[test]
#[cfg(unix)]
fn the_log_of_a_run_whose_folder_is_removed_is_whole() {
    let run = Run::new();
    let mut command = run.command("train", &["training.max_steps=120", "training.report_to=tensorboard"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let path = run.output().join("trainer_log.jsonl");
    let began = Instant::now();
    while fs::read_to_string(&path).map_or(0, |log| log.lines().count()) < 3 {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before its folder was removed");
        assert!(began.elapsed() < Duration::from_secs(300), "the run does not begin");
        sleep(Duration::from_millis(5));
    }
    fs::rename(run.output(), run.path("aside")).unwrap();
    fs::remove_dir_all(run.path("aside")).unwrap();
    let said = Said::of(child.wait_with_output().unwrap()).ok();
    assert!(said.out.contains("was removed during the run"), "{}\n{}", said.out, said.err);
    let steps: Vec<_> = log(&path).iter().filter_map(|line| line["step"].as_u64()).collect();
    assert_eq!(steps, (1..=120).collect::<Vec<_>>());
    assert!(run.output().join("adapter_model.safetensors").exists());
    assert!(fs::read_dir(run.output().join("runs/run")).unwrap().count() == 1);
}
