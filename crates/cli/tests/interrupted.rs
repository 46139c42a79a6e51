//! Tests of runs that a signal interrupts: each saves a checkpoint, says how it is resumed, and is resumed to the numbers of one that was not.
#![cfg(unix)]

mod common;

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use common::{Run, Said, names};

/// A run that evaluates after every step and accumulates, so that signals come within both, and that saves nothing by itself.
const SETTINGS: &[&str] = &[
    "training.max_steps=60",
    "training.save_strategy=no",
    "training.logging_steps=7",
    "training.gradient_accumulation_steps=2",
    "training.per_device_train_batch_size=1",
    "training.per_device_eval_batch_size=1",
    "training.eval_strategy=steps",
    "training.eval_steps=2",
    "training.early_stopping_patience=50",
    "data.validation_split_percentage=50",
    "lora.lora_dropout=0.1",
];

fn rows(run: &Run) {
    let rows = (0..24).map(|row| format!("{{\"text\": \"a ship {row} at sea in the year {row}\"}}\n"));
    run.data(&rows.collect::<String>());
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn start(run: &Run, resumes: bool) -> Child {
    let mut command = run.command("train", SETTINGS);
    if resumes {
        command.arg("--resume-from-checkpoint");
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn log(run: &Run) -> Vec<(u64, Option<f64>, Option<f64>)> {
    let log = fs::read_to_string(run.output().join("trainer_log.jsonl")).unwrap();
    let line = |line: &str| -> serde_json::Value { serde_json::from_str(line).unwrap() };
    let numbers = |line: serde_json::Value| {
        (line["step"].as_u64().unwrap(), line["loss"].as_f64(), line["eval_loss"].as_f64())
    };
    log.lines().map(line).map(numbers).collect()
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_numbers() {
    let (whole, cut) = (Run::new(), Run::new());
    rows(&whole);
    rows(&cut);
    let began = Instant::now();
    whole.train(SETTINGS).ok();
    let takes = began.elapsed();
    let mut seed = 2026u64;
    println!("seed {seed}");
    let (mut interrupted, mut has_checkpoint) = (0, false);
    for round in 0.. {
        assert!(round < 200, "{interrupted} runs were interrupted");
        let child = start(&cut, has_checkpoint);
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let share = (seed >> 40) as f64 / (1u64 << 24) as f64;
        sleep(takes.mul_f64(0.5 * share));
        let name = ["INT", "TERM", "HUP"][round % 3];
        signal(&child, name);
        let asked = Instant::now();
        let said = Said::of(child.wait_with_output().unwrap());
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
        match said.code {
            // It had not begun to listen, and ended at once, or it was over already.
            None => continue,
            Some(0) => {
                fs::remove_dir_all(cut.output()).unwrap();
                has_checkpoint = false;
                continue;
            }
            Some(code) => assert_eq!(code, [130, 143, 129][round % 3], "{}\n{}", said.out, said.err),
        }
        assert!(said.err.contains("interrupted: saving a checkpoint"), "{}", said.err);
        let checkpoints: Vec<String> =
            names(&cut.output()).into_iter().filter(|name| name.starts_with("checkpoint-")).collect();
        has_checkpoint = !checkpoints.is_empty();
        if has_checkpoint {
            interrupted += 1;
            assert!(
                said.out.contains("Go on with\n    lorelei train ")
                    && said.out.contains("--resume-from-checkpoint"),
                "{}",
                said.out
            );
            assert!(!cut.output().join("adapter_model.safetensors").exists());
        }
        if interrupted == 10 {
            break;
        }
    }
    cut.resume(SETTINGS).ok();
    let adapter = |run: &Run| fs::read(run.output().join("adapter_model.safetensors")).unwrap();
    assert_eq!(adapter(&whole), adapter(&cut));
    assert_eq!(log(&whole), log(&cut));
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    let run = Run::new();
    rows(&run);
    let mut child = run
        .command("train", &["training.max_steps=100000", "training.logging_steps=1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let log = run.output().join("trainer_log.jsonl");
    while !fs::read_to_string(&log).is_ok_and(|text| text.lines().count() > 2) {
        sleep(Duration::from_millis(20));
    }
    signal(&child, "STOP");
    signal(&child, "INT");
    signal(&child, "TERM");
    signal(&child, "CONT");
    let code = child.wait().unwrap().code();
    assert!(code == Some(130) || code == Some(143), "{code:?}");
    // Whether or not the first signal's checkpoint was begun, none is half-written.
    assert!(names(&run.output()).iter().all(|name| !name.contains("tmp")), "{:?}", names(&run.output()));
}

#[test]
fn what_is_ignored_stays_ignored() {
    let run = Run::new();
    rows(&run);
    // As `nohup` does.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_lorelei"), "train"]);
    command.arg(run.path("recipe.toml")).args(["--device", "cpu", "--set", "training.max_steps=200"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !run.output().join("trainer_log.jsonl").exists() {
        sleep(Duration::from_millis(5));
    }
    signal(&child, "HUP");
    Said::of(child.wait_with_output().unwrap()).ok();
    assert!(run.output().join("adapter_model.safetensors").exists());
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_with_a_message() {
    let run = Run::new();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 8; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_lorelei"), "train"]);
    command.arg(run.path("recipe.toml")).args(["--device", "cpu"]);
    let said = Said::of(command.output().unwrap());
    said.refused(&["adapter_model.safetensors", "File too large"]);
}
