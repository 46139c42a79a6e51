//! `cargo xtask bench --kernels`: the ways to compute a step on one device, with the kernels that each launches and the bytes that it moves.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    bench::{Arguments, median, prepared, rows},
    command::run,
};

/// Rank of the adapters, which are on all linear layers.
const RANK: &str = "16";

/// A way to train.
struct Way {
    name: &'static str,
    /// The value of `LORELEI_KERNELS`; `None` for burn's `apply_lora`.
    kernels: Option<&'static str>,
    fp16: bool,
    packed: bool,
}

const WAYS: [Way; 5] = [
    Way { name: "burn apply_lora", kernels: None, fp16: false, packed: false },
    Way { name: "composed", kernels: Some("composed"), fp16: false, packed: false },
    Way { name: "WGSL", kernels: Some("wgsl"), fp16: false, packed: false },
    Way { name: "WGSL, fp16", kernels: Some("wgsl"), fp16: true, packed: false },
    Way { name: "WGSL, Q4_1, checkpointing", kernels: Some("wgsl"), fp16: false, packed: true },
];

/// The result of a run of some steps.
struct Run {
    seconds: f64,
    /// Number of kernels that were launched in the whole run, including the loading.
    launches: usize,
    flops: Option<f64>,
    bytes: Option<f64>,
    device_memory: f64,
}

/// Prints a table of every way at every length.
pub fn bench(arguments: &Arguments, lorelei: &Path) -> Result<()> {
    let (gguf, model, work) = prepared(lorelei)?;
    let mut table = String::from(
        "| tokens | | s a step | launches a step | GFLOP a step | GB moved a step | device memory MiB | speed | memory |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for length in &arguments.lengths {
        let bench = Bench {
            lorelei,
            gguf: &gguf,
            model: &model,
            work: &work,
            rows: &rows(&work, *length)?,
            length: *length,
        };
        let mut rival: Option<(f64, f64)> = None;
        let wanted = |way: &&Way| {
            arguments.ways.is_empty() || arguments.ways.iter().any(|word| way.name.contains(word.as_str()))
        };
        for way in WAYS.iter().filter(wanted) {
            println!("xtask: {length} tokens, {}", way.name);
            // The launches of a step are computed from the difference of two runs. The first one has only the unmeasured first step. The longer one
            // is measured.
            let (short, long) = (bench.run(way, 0)?, bench.run(way, arguments.steps)?);
            let launches = (long.launches - short.launches) / arguments.steps;
            let (seconds, memory) = *rival.get_or_insert((long.seconds, long.device_memory));
            let giga = |value: Option<f64>| value.map_or("".into(), |value| format!("{:.1}", value / 1e9));
            let row = format!(
                "| {length} | {} | {:.2} | {launches} | {} | {} | {:.0} | {:.2} | {:.2} |\n",
                way.name,
                long.seconds,
                giga(long.flops),
                giga(long.bytes),
                long.device_memory / f64::from(1 << 20),
                seconds / long.seconds,
                long.device_memory / memory,
            );
            print!("{row}");
            table += &row;
        }
    }
    println!("\n{table}");
    Ok(())
}

struct Bench<'a> {
    lorelei: &'a Path,
    gguf: &'a Path,
    model: &'a Path,
    work: &'a Path,
    rows: &'a PathBuf,
    length: usize,
}

impl Bench<'_> {
    /// Runs `steps` steps and one before them, which is not measured.
    fn run(&self, way: &Way, steps: usize) -> Result<Run> {
        let log = self.work.join("launches.log");
        let _ = fs::remove_file(&log);
        // cubecl's level "minimal" logs every kernel's name when it is launched.
        let config = format!("[profiling.logger]\nlevel = \"minimal\"\nfile = {log:?}\n");
        fs::write(self.work.join("cubecl.toml"), config)?;
        let mut run = match way.kernels {
            None => self.apply_lora(steps)?,
            Some(kernels) => self.train(way, kernels, steps)?,
        };
        run.launches = fs::read_to_string(&log).context("cubecl has written no log")?.lines().count();
        Ok(run)
    }

    fn train(&self, way: &Way, kernels: &str, steps: usize) -> Result<Run> {
        let (recipe, output) = (self.work.join("recipe.toml"), self.work.join("out"));
        let model = if way.packed { self.gguf } else { self.model };
        fs::write(
            &recipe,
            format!(
                "[model]\nmodel_name_or_path = {model:?}\n[data]\ntrain_file = {:?}\nshuffle = false\n[lora]\nr = {RANK}\n\
                 lora_alpha = 32\ntarget_modules = \"all-linear\"\n[training]\noutput_dir = {output:?}\nmax_steps = {}\n\
                 per_device_train_batch_size = 1\nlearning_rate = 1e-4\nlogging_steps = 1\nsave_strategy = \"no\"\n\
                 fp16 = {}\ngradient_checkpointing = {}\n",
                self.rows,
                steps + 1,
                way.fp16,
                way.packed,
            ),
        )?;
        let mut command = Command::new(self.lorelei);
        command.arg("train").arg(&recipe).args(["--device", "wgpu"]).env("LORELEI_KERNELS", kernels);
        run(command.current_dir(self.work).stdout(std::process::Stdio::null()))?;
        let text = fs::read_to_string(output.join("trainer_log.jsonl"))?;
        let lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let of =
            |key: &str| -> Vec<f64> { lines.iter().skip(1).filter_map(|line| line[key].as_f64()).collect() };
        let speeds = of("tokens_per_second");
        if speeds.len() != steps {
            bail!("{} has {} lines of {steps}", output.display(), speeds.len());
        }
        let counted = |key: &str| Some(median(of(key))).filter(|value| *value > 0.0);
        Ok(Run {
            seconds: self.length as f64 / median(speeds),
            launches: 0,
            flops: counted("kernel_flops"),
            bytes: counted("kernel_bytes"),
            device_memory: of("device_memory_bytes").into_iter().fold(0.0, f64::max),
        })
    }

    fn apply_lora(&self, steps: usize) -> Result<Run> {
        let example = self.lorelei.with_file_name("examples").join("apply_lora");
        let mut command = Command::new(example);
        command.args(["wgpu", "all", &self.length.to_string(), &steps.to_string(), RANK]);
        let output = command.current_dir(self.work).stderr(std::process::Stdio::inherit()).output()?;
        let text = String::from_utf8(output.stdout)?;
        let value: Value = serde_json::from_str(text.lines().last().context("apply_lora said nothing")?)?;
        let number = |key: &str| match value.get(key) {
            Some(value) => Ok(value.as_f64().unwrap_or(f64::NAN)),
            None => bail!("no {key} in {text}"),
        };
        Ok(Run {
            seconds: self.length as f64 / number("tokens_per_second")?,
            launches: 0,
            flops: None,
            bytes: None,
            device_memory: number("device_memory_bytes")?,
        })
    }
}
