//! `cargo xtask`: set-up, tests, benchmarks, the page and the making of `builtin:tiny`.

mod bench;
mod bench_data;
mod bench_kernels;
mod bundle;
mod command;
mod deny;
mod download;
mod features;
mod fuzz;
mod lint;
mod setup;
mod tiny;
mod web;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::command::run;

#[derive(Parser)]
#[command(about = "Set-up and tests of Lorelei")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Installs what the tests need: a software Vulkan driver; with --full, SmolLM2 too.
    Setup {
        /// Also download SmolLM2-135M (93 MB).
        #[arg(long)]
        full: bool,
    },
    /// Sets up, then checks the format, lints and runs every test.
    Test {
        /// Also run the tests on SmolLM2-135M; downloads it where it is not in the cache.
        #[arg(long)]
        full: bool,
        /// Leave out the page and its tests in Chromium.
        #[arg(long)]
        no_web: bool,
    },
    /// Builds the page into dist, and serves it.
    Web {
        /// Only build it.
        #[arg(long)]
        build_only: bool,
    },
    /// Measures LoRA on SmolLM2-135M beside PEFT (where --python has it) and burn's own apply_lora; with --web, the page.
    Bench(bench::Arguments),
    /// Fuzzes every reader of what comes from outside, or the targets that are named.
    Fuzz(fuzz::Arguments),
    /// Trains builtin:tiny from random weights (the better part of an hour on two cores) and puts it into crates/builtin.
    TrainTiny {
        /// A folder for what is made on the way.
        #[arg(long, default_value = "target/tiny")]
        work: PathBuf,
    },
}

fn main() -> Result<ExitCode> {
    if let Some(code) = lint::called_as_rustc() {
        return Ok(code);
    }
    perform(Arguments::parse().task).map(|()| ExitCode::SUCCESS)
}

fn perform(task: Task) -> Result<()> {
    match task {
        Task::Setup { full } => setup::setup(full),
        Task::Test { full, no_web } => test(full, !no_web),
        Task::Web { build_only } => {
            web::build(&root(), false)?;
            match build_only {
                true => Ok(()),
                false => run(Command::new(program()?).args(["serve", "--dir", "dist"]).current_dir(root())),
            }
        }
        Task::Bench(arguments) => {
            let program = program()?;
            cargo(&["build", "--release", "--workspace", "--examples", "--features", ALL], &[])?;
            match arguments.web {
                true => {
                    setup::chromium()?;
                    web::build(&root(), false)?;
                    let bench = program.with_file_name("examples").join("bench_web");
                    run(Command::new(bench).env("XDG_RUNTIME_DIR", "/tmp").current_dir(root()))
                }
                false if arguments.data => bench_data::bench(&arguments, &root(), &program),
                false if arguments.kernels => bench_kernels::bench(&arguments, &program),
                false => bench::bench(&arguments, &root(), &program),
            }
        }
        Task::Fuzz(arguments) => fuzz::fuzz(&arguments, &root(), &beside("fuzz")),
        Task::TrainTiny { work } => tiny::train(&program()?, &root(), &root().join(work)),
    }
}

/// Features of the tests in Chromium and of the benchmarks' rival.
const ALL: &str = "lorelei-tests/browser,lorelei-tests/rival";

/// Returns the project's root.
fn root() -> PathBuf {
    // The root is that of the clone that cargo runs in: clones that share a target folder share this program.
    let xtask = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&xtask).parent().expect("xtask lies in the project").to_owned()
}

/// Builds `lorelei` and returns its path.
fn program() -> Result<PathBuf> {
    cargo(&["build", "--release"], &[])?;
    Ok(target_dir().join("release/lorelei"))
}

/// Returns the folder that cargo builds in.
fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Returns the folder beside [`target_dir`] for builds that have nothing in common with it.
fn beside(name: &str) -> PathBuf {
    PathBuf::from(format!("{}-{name}", target_dir().display()))
}

fn test(full: bool, web: bool) -> Result<()> {
    setup::setup(full)?;
    println!("xtask: format");
    cargo(&["fmt", "--all", "--check"], &[])?;
    features::same(&root())?;
    fuzz::check_lock(&root())?;
    deny::check(&root())?;
    println!("xtask: lints, documentation and tests");
    let mut environment = lint::environment("clippy-driver")?;
    environment.extend([("VK_DRIVER_FILES", setup::driver()), ("XDG_RUNTIME_DIR", "/tmp".to_owned())]);
    let mut selected = vec!["test", "--release", "--workspace"];
    if web {
        selected.extend(["--features", ALL]);
    }
    cargo(&selected, &environment)?;
    if web {
        setup::chromium()?;
        web::build(&root(), true)?;
        println!("xtask: tests in Chromium, on WebGPU in software (some minutes)");
        let tests = ["browser", "browser_faults", "browser_models", "browser_wllama"];
        let tests: Vec<&str> = tests.into_iter().flat_map(|name| ["--test", name]).collect();
        let wllama = download::WLLAMA.folder()?.display().to_string();
        let environment = [&environment[..], &[("LORELEI_WLLAMA", wllama)]].concat();
        // The tests run one at a time: each has a browser that computes on every core.
        cargo(&[&selected[..], &tests[..], &["--", "--ignored", "--test-threads=1"]].concat(), &environment)?;
    }
    match setup::smollm2(full)? {
        Some(model) => {
            println!("xtask: tests on SmolLM2-135M (some minutes)");
            let environment =
                [&environment[..], &[("LORELEI_SMOLLM2", model.display().to_string())]].concat();
            cargo(
                &[&selected[..], &["--test", "smollm2", "--", "--ignored", "--nocapture"]].concat(),
                &environment,
            )?;
        }
        None => println!(
            "xtask: SmolLM2-135M is not in the cache: `cargo xtask test --full` fetches and tests it"
        ),
    }
    if full {
        println!("xtask: a run that signals end two hundred times (some minutes)");
        cargo(&[&selected[..], &["--test", "killed", "--", "--ignored"]].concat(), &environment)?;
        println!(
            "xtask: the program with CUDA and with burn's own shaders, types only (ten minutes the first time)"
        );
        // With DOCS_RS set, the build script that would download LLVM does not: code is checked and not generated.
        cargo(
            &["check", "--workspace", "--features", "lorelei/cuda,lorelei/native-matmul"],
            &[("DOCS_RS", "1".to_owned()), ("CARGO_TARGET_DIR", beside("features").display().to_string())],
        )?;
        fuzz::fuzz(&fuzz::Arguments::all(60), &root(), &beside("fuzz"))?;
    }
    Ok(())
}

/// Runs cargo in the project's root.
fn cargo(arguments: &[&str], environment: &[(&str, String)]) -> Result<()> {
    run(command::cargo().args(arguments).envs(environment.iter().cloned()).current_dir(root()))
}
