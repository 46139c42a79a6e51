//! Tests of killed runs: a run that is killed at any moment is resumed to the numbers of one that was not.

mod common;

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use common::{Run, names};

const SETTINGS: &[&str] = &[
    "training.max_steps=40",
    "training.save_steps=1",
    "training.logging_steps=3",
    "training.save_total_limit=3",
    "training.eval_strategy=steps",
    "training.eval_steps=1",
    "training.load_best_model_at_end=true",
    "data.validation_split_percentage=50",
    "lora.lora_dropout=0.1",
];

fn losses(run: &Run) -> Vec<(u64, f64)> {
    let log = fs::read_to_string(run.output().join("trainer_log.jsonl")).unwrap();
    let line = |line: &str| -> serde_json::Value { serde_json::from_str(line).unwrap() };
    let steps = log.lines().map(line).filter(|line| !line["loss"].is_null());
    steps.map(|l| (l["step"].as_u64().unwrap(), l["loss"].as_f64().unwrap())).collect()
}

/// Sends a process a signal.
fn end(child: &mut Child, signal: &str) {
    match signal {
        "KILL" => child.kill().unwrap(),
        // It may be over by now.
        other => {
            let _ = Command::new("kill").args([&format!("-{other}"), &child.id().to_string()]).status();
        }
    }
}

fn has_checkpoint(run: &Run) -> bool {
    run.output().exists() && names(&run.output()).iter().any(|name| name.starts_with("checkpoint-"))
}

#[test]
fn killed_fifty_times_and_still_the_same() {
    killed(50, &["KILL"]);
}

/// Takes some minutes.
#[test]
#[ignore = "cargo xtask test --full runs it"]
#[cfg(unix)]
fn killed_two_hundred_times_by_any_signal_and_still_the_same() {
    killed(200, &["KILL", "TERM", "INT", "HUP"]);
}

/// Ends a run `times` times by `signals` in turn, resuming it each time, and compares it with one that was not ended.
fn killed(times: usize, signals: &[&str]) {
    let (whole, cut) = (Run::new(), Run::new());
    let began = Instant::now();
    whole.train(SETTINGS).ok();
    let takes = began.elapsed();
    // Moments spread over a run: a linear congruence is random enough, and the same each time.
    let mut seed = 12345u64;
    println!("seed {seed}");
    let mut kills = 0;
    while kills < times {
        let mut command = cut.command("train", SETTINGS);
        if has_checkpoint(&cut) {
            command.arg("--resume-from-checkpoint");
        }
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let share = (seed >> 40) as f64 / (1u64 << 24) as f64;
        sleep(Duration::from_secs_f64(takes.as_secs_f64() * 0.6 * share));
        let signal = signals[kills % signals.len()];
        if child.try_wait().unwrap().is_none() {
            end(&mut child, signal);
            kills += 1;
        }
        let status = child.wait().unwrap();
        // A signal ends it, or is answered by a checkpoint and 128 more than its number.
        let is_answer = matches!(status.code(), None | Some(129 | 130 | 143));
        assert!(status.success() || is_answer, "it ended by itself, with {status}");
        if status.success() {
            // The run ended between two kills: its last part is run again.
            for name in names(&cut.output()).iter().filter(|name| name.starts_with("checkpoint-")).skip(1) {
                fs::remove_dir_all(cut.output().join(name)).unwrap();
            }
        }
    }
    match has_checkpoint(&cut) {
        true => cut.resume(SETTINGS).ok(),
        false => cut.train(SETTINGS).ok(),
    };
    let adapter = |run: &Run| fs::read(run.output().join("adapter_model.safetensors")).unwrap();
    assert_eq!(adapter(&whole), adapter(&cut));
    assert_eq!(losses(&whole), losses(&cut));
    let ours = |run: &Run| -> Vec<String> {
        names(&run.output()).into_iter().filter(|name| !name.starts_with("checkpoint-")).collect()
    };
    assert_eq!(ours(&whole), ours(&cut), "nothing is left lying about");
    assert_eq!(names(&whole.output()).iter().filter(|name| name.starts_with("checkpoint-")).count(), 3);
}

#[test]
fn one_run_at_a_time_in_a_folder() {
    let run = Run::new();
    let mut first = run.command("train", &["training.max_steps=100000", "training.save_strategy=no"]);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let log = run.output().join("trainer_log.jsonl");
    let began = Instant::now();
    while !fs::metadata(&log).is_ok_and(|log| log.len() > 0) && began.elapsed() < Duration::from_secs(60) {
        sleep(Duration::from_millis(20));
    }
    let said = run.train(&[]);
    first.kill().unwrap();
    first.wait().unwrap();
    said.refused(&["another run is writing into", "training.output_dir"]);
    // The lock was released with its process.
    run.train(&[]).ok();
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_says_so_and_leaves_what_was_saved() {
    let run = Run::new();
    run.train(&["training.save_steps=2"]).ok();
    let before = fs::read(run.output().join("checkpoint-2/adapter_model.safetensors")).unwrap();
    // A program sees a limit on the size of files as it sees a full disk.
    let recipe = run.path("recipe.toml").display().to_string();
    let program = env!("CARGO_BIN_EXE_lorelei");
    let line = format!(
        "trap '' XFSZ; ulimit -f 8; exec {program} train {recipe} --device cpu --set training.max_steps=3 --set lora.r=16"
    );
    let output = std::process::Command::new("bash").args(["-c", &line]).output().unwrap();
    common::Said::of(output).refused(&["cannot save", "free some space", "untouched"]);
    assert_eq!(before, fs::read(run.output().join("checkpoint-2/adapter_model.safetensors")).unwrap());
    assert!(names(&run.output()).iter().all(|name| !name.ends_with(".tmp")), "{:?}", names(&run.output()));
}
