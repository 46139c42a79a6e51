//! `cargo xtask bench`: LoRA on SmolLM2-135M, beside PEFT's and burn's, in one run on one machine.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{command::run, download::cache, setup};

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// A Python with torch, transformers and peft: the rival. Without it only ours and burn's are measured.
    #[arg(long)]
    pub python: Option<PathBuf>,
    /// Devices.
    #[arg(long, value_delimiter = ',', default_values = ["cpu", "wgpu"])]
    devices: Vec<String>,
    /// Modules with an adapter: qv (q_proj and v_proj) or all (every linear layer).
    #[arg(long, value_delimiter = ',', default_values = ["qv", "all"])]
    targets: Vec<String>,
    /// Tokens in the batch's one row.
    #[arg(long, value_delimiter = ',', default_values = ["128", "512"])]
    pub lengths: Vec<usize>,
    /// Times that every contender runs, in turn.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Measured steps of a run, after one that is not.
    #[arg(long, default_value_t = 5)]
    pub steps: usize,
    /// Compare the kernels of a GPU instead: burn's apply_lora, burn's operations, and WGSL in its variants.
    #[arg(long)]
    pub kernels: bool,
    /// With --kernels: only the ways whose names have one of these words in them; speed and memory are held against the first.
    #[arg(long, value_delimiter = ',')]
    pub ways: Vec<String>,
    /// Measure from text to packed tokens instead: MB a second and memory, beside Python's datasets and tokenizers.
    #[arg(long)]
    pub data: bool,
    /// Measure the page in Chromium instead: speed beside the program's, memory, and the modules' sizes.
    #[arg(long)]
    pub web: bool,
}

/// One run's result.
#[derive(Clone, Copy)]
struct Measured {
    tokens_per_second: f64,
    memory_bytes: f64,
}

/// A program that is measured, and its runs.
struct Contender {
    name: &'static str,
    runs: Vec<Measured>,
}

/// Prints a table for each case, and all of them as Markdown at the end.
pub fn bench(arguments: &Arguments, root: &Path, lorelei: &Path) -> Result<()> {
    let (_, model, work) = prepared(lorelei)?;
    let mut table = String::from(
        "| device | adapters on | tokens | | tokens/s | peak memory MiB | ours is |\n|---|---|---|---|---|---|---|\n",
    );
    for device in &arguments.devices {
        for targets in &arguments.targets {
            for length in &arguments.lengths {
                let rows = rows(&work, *length)?;
                let case = Case {
                    root,
                    lorelei,
                    model: &model,
                    work: &work,
                    rows: &rows,
                    device,
                    targets,
                    length: *length,
                };
                table += &case.measure(arguments)?;
            }
        }
    }
    println!("\n{table}");
    Ok(())
}

/// Returns the paths of SmolLM2's GGUF, of its folder in Hugging Face's form, and of a folder for intermediate files.
pub fn prepared(lorelei: &Path) -> Result<(PathBuf, PathBuf, PathBuf)> {
    let gguf = setup::smollm2(true)?.context("SmolLM2 is not in the cache")?;
    let model = cache()?.join("models/smollm2-135m-bfloat16");
    if !model.join("model.safetensors").exists() {
        run(Command::new(lorelei).arg("convert").arg(&gguf).arg(&model).args(["--dtype", "bfloat16"]))?;
    }
    let work = cache()?.join("bench");
    fs::create_dir_all(&work)?;
    Ok((gguf, model, work))
}

/// Writes rows of pseudo-random tokens: a step takes the same time with any tokens.
pub fn rows(work: &Path, length: usize) -> Result<PathBuf> {
    let path = work.join(format!("rows-{length}.jsonl"));
    let mut file = fs::File::create(&path)?;
    for row in 0..8usize {
        let ids: Vec<usize> = (0..length).map(|i| 3 + (i * 7919 + row * 104_729) % 49_000).collect();
        writeln!(file, "{}", serde_json::json!({ "input_ids": ids }))?;
    }
    Ok(path)
}

struct Case<'a> {
    root: &'a Path,
    lorelei: &'a Path,
    model: &'a Path,
    work: &'a Path,
    rows: &'a Path,
    device: &'a str,
    targets: &'a str,
    length: usize,
}

impl Case<'_> {
    /// Runs every contender in turn, round after round, and returns the rows of the table.
    fn measure(&self, arguments: &Arguments) -> Result<String> {
        let python = arguments.python.as_deref().filter(|_| self.device == "cpu");
        let names = ["Lorelei", "PEFT", "burn apply_lora"];
        let mut contenders = names.map(|name| Contender { name, runs: Vec::new() });
        // A software GPU takes minutes where a CPU takes seconds.
        let steps = if self.device == "cpu" { arguments.steps } else { arguments.steps.div_ceil(3) };
        let rounds = if self.device == "cpu" { arguments.rounds } else { 1 };
        for round in 1..=rounds {
            println!("xtask: {} {} {}: round {round} of {rounds}", self.device, self.targets, self.length);
            contenders[0].runs.push(self.ours(steps)?);
            if let Some(python) = python {
                contenders[1].runs.push(self.peft(python, steps)?);
            }
            contenders[2].runs.push(self.apply_lora(steps)?);
        }
        let ours = contenders[0].median();
        let mut rows = String::new();
        for contender in contenders.iter().filter(|contender| !contender.runs.is_empty()) {
            let Measured { tokens_per_second, memory_bytes } = contender.median();
            let compared = match contender.name {
                "Lorelei" => String::new(),
                _ => format!(
                    "{:.2} x as fast in {:.2} x the memory",
                    ours.tokens_per_second / tokens_per_second,
                    ours.memory_bytes / memory_bytes
                ),
            };
            rows += &format!(
                "| {} | {} | {} | {} | {tokens_per_second:.0} | {:.0} | {compared} |\n",
                self.device,
                self.targets,
                self.length,
                contender.name,
                memory_bytes / f64::from(1 << 20)
            );
        }
        print!("{rows}");
        Ok(rows)
    }

    /// Measures `lorelei train` by its own log.
    fn ours(&self, steps: usize) -> Result<Measured> {
        let recipe = self.work.join("recipe.toml");
        let output = self.work.join("out");
        let modules = match self.targets {
            "qv" => "[\"q_proj\", \"v_proj\"]",
            "all" => "\"all-linear\"",
            other => bail!("unknown targets {other:?}: write qv or all"),
        };
        fs::write(
            &recipe,
            format!(
                "[model]\nmodel_name_or_path = {:?}\n[data]\ntrain_file = {:?}\nshuffle = false\n[lora]\nr = 8\n\
                 lora_alpha = 32\ntarget_modules = {modules}\n[training]\noutput_dir = {:?}\nmax_steps = {}\n\
                 per_device_train_batch_size = 1\nlearning_rate = 1e-4\nlogging_steps = 1\nsave_strategy = \"no\"\n",
                self.model,
                self.rows,
                output,
                steps + 1
            ),
        )?;
        let mut command = Command::new(self.lorelei);
        command.arg("train").arg(&recipe).args(["--device", self.device]).stdout(std::process::Stdio::null());
        run(&mut command)?;
        let log = fs::read_to_string(output.join("trainer_log.jsonl"))?;
        let lines: Vec<Value> = log.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let number =
            |line: &Value, key: &str| line[key].as_f64().with_context(|| format!("no {key} in the log"));
        let speeds = lines.iter().skip(1).map(|line| number(line, "tokens_per_second"));
        let last = lines.last().context("the log is empty")?;
        Ok(Measured {
            tokens_per_second: median(speeds.collect::<Result<_>>()?),
            memory_bytes: number(last, "memory_bytes")?,
        })
    }

    fn peft(&self, python: &Path, steps: usize) -> Result<Measured> {
        let script = self.root.join("tests/reference/timing.py");
        let mut command = Command::new(python);
        command.arg(script).arg(self.model).arg(self.targets).arg(self.rows).arg(steps.to_string());
        said(&mut command)
    }

    fn apply_lora(&self, steps: usize) -> Result<Measured> {
        let example = self.lorelei.with_file_name("examples").join("apply_lora");
        let mut command = Command::new(example);
        command.args([self.device, self.targets, &self.length.to_string(), &steps.to_string(), "8"]);
        said(&mut command)
    }
}

/// Runs a command and parses its last line, which is JSON.
fn said(command: &mut Command) -> Result<Measured> {
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("{command:?} ended with {}", output.status);
    }
    let text = String::from_utf8(output.stdout)?;
    let value: Value = serde_json::from_str(text.lines().last().unwrap_or_default())?;
    let number = |key: &str| value[key].as_f64().with_context(|| format!("no {key} in {text}"));
    Ok(Measured { tokens_per_second: number("tokens_per_second")?, memory_bytes: number("memory_bytes")? })
}

impl Contender {
    fn median(&self) -> Measured {
        Measured {
            tokens_per_second: median(self.runs.iter().map(|run| run.tokens_per_second).collect()),
            memory_bytes: median(self.runs.iter().map(|run| run.memory_bytes).collect()),
        }
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[half],
        _ => (values[half - 1] + values[half]) / 2.0,
    }
}
