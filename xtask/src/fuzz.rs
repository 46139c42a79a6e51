//! Fuzzing: libFuzzer's programs of `fuzz`, built with coverage by the toolchain that builds everything else, without cargo-fuzz.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};

use crate::command::{cargo, run};

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Targets, by the names of the files in fuzz/fuzz_targets; all if there is none.
    targets: Vec<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Seed of the first target, which the others follow; from the clock if there is none.
    #[arg(long)]
    seed: Option<u32>,
    /// Targets that are run side by side; as many as there are processors if there is none.
    #[arg(long)]
    jobs: Option<usize>,
    /// Only read this file, once, with the one target that is given.
    #[arg(long)]
    input: Option<PathBuf>,
}

impl Arguments {
    /// Returns the options for every target, so many seconds each.
    pub fn all(seconds: u64) -> Self {
        Self { targets: Vec::new(), seconds, seed: None, jobs: None, input: None }
    }
}

/// Coverage of every branch and comparison, and the checks of a build for development, in a build that is optimised.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Cdebug-assertions -Coverflow-checks";

/// Limits of one input: memory in MB, seconds, length in bytes.
const LIMITS: [&str; 3] = ["-rss_limit_mb=2048", "-timeout=20", "-max_len=8192"];

/// Builds the targets into `folder`, and runs them. Inputs that reach something new are kept there for the next run.
///
/// # Errors
///
/// If a target finds an input that its reader fails on, or cannot be built.
pub fn fuzz(arguments: &Arguments, root: &Path, folder: &Path) -> Result<()> {
    let known = targets(root)?;
    if let Some(unknown) = arguments.targets.iter().find(|name| !known.contains(name)) {
        bail!("there is no target {unknown} (there are {})", known.join(", "));
    }
    let chosen = if arguments.targets.is_empty() { known } else { arguments.targets.clone() };
    let programs = build(root, folder, &chosen)?;
    if let Some(input) = &arguments.input {
        let [name] = &chosen[..] else { bail!("--input is for one target: name it") };
        return run(Command::new(programs.join(name)).args(LIMITS).arg(input));
    }
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.subsec_nanos());
    let seed = arguments.seed.unwrap_or_else(clock).max(1);
    println!("xtask: fuzzing, {} s for each of {} targets, seed {seed}", arguments.seconds, chosen.len());
    let fuzzed = Fuzzed { root, folder, programs: &programs, seconds: arguments.seconds };
    let jobs =
        arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    let (next, results) = (Mutex::new(0..chosen.len()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(index) = next.lock().ok().and_then(|mut next| next.next()) {
                    // libFuzzer takes 0 for the clock.
                    let seed = seed.wrapping_add(index as u32).max(1);
                    let result = fuzzed.target(&chosen[index], seed);
                    if let Ok(mut results) = results.lock() {
                        results.push(result);
                    }
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_default();
    let runs: u64 = results.iter().flatten().map(|(runs, _)| runs).sum();
    println!("xtask: {runs} executions in all");
    let found: Vec<String> = results
        .into_iter()
        .filter_map(|result| match result {
            Ok((_, found)) => found,
            Err(error) => Some(format!("{error:#}")),
        })
        .collect();
    match found.is_empty() {
        true => Ok(()),
        false => bail!("{}", found.join("\n")),
    }
}

/// Fails if the targets' lock file lags behind the dependencies of the workspace's crates: they would not build.
///
/// # Errors
///
/// If it does, or cargo cannot tell.
pub fn check_lock(root: &Path) -> Result<()> {
    let mut update = cargo();
    update.args(["update", "--quiet", "--workspace", "--locked", "--manifest-path", "fuzz/Cargo.toml"]);
    let help = "fuzz/Cargo.lock is not as the crates ask for: cargo update --workspace --manifest-path fuzz/Cargo.toml";
    run(update.current_dir(root)).context(help)
}

/// Returns the names of the targets.
fn targets(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Builds the programs of the targets, and returns their folder.
fn build(root: &Path, folder: &Path, targets: &[String]) -> Result<PathBuf> {
    println!("xtask: the targets of fuzz, with coverage (some minutes the first time)");
    // With a target of its own, cargo does not pass the flags to build scripts and macros.
    let host = host()?;
    let mut build = cargo();
    build.args(["build", "--release", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--target", &host]);
    build.args(targets.iter().flat_map(|name| ["--bin", name]));
    for variable in ["RUSTC_WORKSPACE_WRAPPER", "RUSTC_WRAPPER", "CARGO_ENCODED_RUSTFLAGS"] {
        build.env_remove(variable);
    }
    run(build.env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", folder).current_dir(root))?;
    Ok(folder.join(host).join("release"))
}

/// Returns the compiler's own platform.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot run rustc")?;
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not name its host")
}

/// A run of some targets.
struct Fuzzed<'a> {
    root: &'a Path,
    folder: &'a Path,
    programs: &'a Path,
    seconds: u64,
}

impl Fuzzed<'_> {
    /// Fuzzes one target. Returns the number of its executions, and what it found.
    fn target(&self, name: &str, seed: u32) -> Result<(u64, Option<String>)> {
        let kept = self.folder.join("corpus").join(name);
        let artifacts = self.folder.join("artifacts").join(name);
        for folder in [&kept, &artifacts] {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let mut command = Command::new(self.programs.join(name));
        command.args(LIMITS).args(["-print_final_stats=1", "-reload=0"]);
        command.arg(format!("-seed={seed}")).arg(format!("-max_total_time={}", self.seconds));
        command.arg(format!("-artifact_prefix={}/", artifacts.display()));
        // What is found is added to the first folder.
        command.arg(&kept).arg(self.root.join("fuzz/corpus").join(name));
        let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        let of = |key: &str| log.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        let runs = of("stat::number_of_executed_units:").and_then(|runs| runs.parse().ok()).unwrap_or(0);
        println!("xtask: {name}: {runs} executions, seed {seed}");
        if output.status.success() {
            return Ok((runs, None));
        }
        let written = log.lines().find_map(|line| line.split_once("Test unit written to "));
        let found = match written {
            Some((_, file)) => {
                let why: Vec<&str> = log.lines().filter(|line| is_reason(line)).take(4).collect();
                format!(
                    "{name} fails on {file}:\n  {}\n  again: cargo xtask fuzz {name} --input {file}\n  keep it in fuzz/corpus/{name} with its mend",
                    why.join("\n  ")
                )
            }
            None => {
                let last: Vec<&str> = log.lines().rev().take(20).collect();
                let last: Vec<&str> = last.into_iter().rev().collect();
                format!("{name} ended with {}:\n{}", output.status, last.join("\n"))
            }
        };
        Ok((runs, Some(found)))
    }
}

/// Whether a line of libFuzzer's log says why it stopped.
fn is_reason(line: &str) -> bool {
    line.contains("panicked at") || line.contains("ERROR: libFuzzer") || line.contains("assertion")
}
