//! Speed and size of the page: `builtin:tiny` trained in Chromium and natively on the same device. It prints a Markdown table.
//! `cargo xtask bench --web` builds the parts that this needs and calls it.

use std::{fs, io::Write as _, path::Path, process::Command, time::Instant};

use lorelei_recipe::{Recipe, encode_link};
use lorelei_tests::{browser::Browser, program};
use serde_json::Value;

/// Chromium's own software Vulkan driver, which its WebGPU uses. The native run uses the same adapter.
const SWIFTSHADER: &str = "/usr/lib/chromium/vk_swiftshader_icd.json";

/// Default number of steps of a run, which `LORELEI_BENCH_STEPS` replaces. A software driver takes a quarter of an hour for these.
const STEPS: u64 = 200;

fn steps() -> u64 {
    std::env::var("LORELEI_BENCH_STEPS").ok().and_then(|steps| steps.parse().ok()).unwrap_or(STEPS)
}

/// Returns the early steps that are measured: 20 to 70 of 200. They are far enough from the late ones, 150 to 200 of 200, to show a slow-down.
fn early() -> std::ops::Range<u64> {
    steps() / 10..steps() * 35 / 100
}

fn late() -> std::ops::Range<u64> {
    steps() * 3 / 4..steps() + 1
}

fn recipe(output: &str) -> Recipe {
    let mut recipe = Recipe::default();
    for assignment in [
        "model.model_name_or_path=builtin:tiny",
        "data.train_file=builtin:english",
        "data.max_length=32",
        // Every step has the same number of tokens.
        "data.packing=true",
        "lora.r=8",
        "lora.target_modules=all-linear",
        "training.per_device_train_batch_size=1",
        "training.logging_steps=1",
        "training.save_steps=1000",
    ] {
        recipe.set(assignment).expect("it is a recipe");
    }
    recipe.set(&format!("training.output_dir={output}")).expect("it is a recipe");
    recipe.set(&format!("training.max_steps={}", steps())).expect("it is a recipe");
    recipe
}

/// Parses the lines of a log.
fn lines(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).expect("a log has JSON lines")).collect()
}

fn median(log: &[Value], steps: std::ops::Range<u64>) -> f64 {
    let chosen = log.iter().filter(|line| line["step"].as_u64().is_some_and(|step| steps.contains(&step)));
    let mut speeds: Vec<f64> = chosen.filter_map(|line| line["tokens_per_second"].as_f64()).collect();
    speeds.sort_by(f64::total_cmp);
    speeds.get(speeds.len() / 2).copied().unwrap_or(f64::NAN)
}

fn compressed(path: &Path) -> u64 {
    let gzip = Command::new("gzip").args(["-9", "-c"]).arg(path).output().expect("gzip is installed");
    gzip.stdout.len() as u64
}

fn native(device: &str, folder: &Path) -> Vec<Value> {
    let output = folder.join(device);
    let link = format!("#{}", encode_link(&recipe(&output.display().to_string())));
    let mut train = Command::new(program());
    train.args(["train", "--device", device, "--link", &link]).env("VK_DRIVER_FILES", SWIFTSHADER);
    let done = train.output().expect("lorelei starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    lines(&fs::read_to_string(output.join("trainer_log.jsonl")).expect("a run leaves a log"))
}

/// Measurements of a run in the page.
struct InPage {
    first_paint_ms: f64,
    seconds_to_model: f64,
    seconds_to_first_step: f64,
    log: Vec<Value>,
}

async fn in_page(device: &str) -> InPage {
    let browser = Browser::open(1200, 900).await;
    let began = Instant::now();
    browser.visit(&format!("#{}", encode_link(&recipe("bench")))).await;
    browser.wait("model-status", 120, |status| status.contains("is loaded")).await;
    let seconds_to_model = began.elapsed().as_secs_f64();
    let paint =
        browser.run("return performance.getEntriesByName('first-contentful-paint')[0].startTime").await;
    browser.choose("model-device", device).await;
    let place = if device == "cpu" { "CPU" } else { "WebGPU" };
    browser.wait("model-placed", 120, |text| text.contains(place)).await;
    browser.wait("data-status", 120, |status| status.contains("was read")).await;
    let began = Instant::now();
    browser.click("run-start").await;
    let step = |text: &str| text.split(' ').next().and_then(|step| step.parse().ok()).unwrap_or(0u64);
    browser.wait("run-step", 600, |text| step(text) >= 1).await;
    let seconds_to_first_step = began.elapsed().as_secs_f64();
    browser.wait("run-status", 7200, |status| status.contains(&steps().to_string())).await;
    browser.screenshot(&format!("bench-{device}")).await;
    browser.click("download-log").await;
    let log = fs::read_to_string(browser.download("trainer_log.jsonl").await).expect("it was saved");
    InPage {
        first_paint_ms: paint.as_f64().unwrap_or(f64::NAN),
        seconds_to_model,
        seconds_to_first_step,
        log: lines(&log),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist");
    let mut table = String::from("| module | bytes | gzip -9 |\n|---|---|---|\n");
    for name in ["lorelei-web_bg.wasm", "lorelei-worker_bg.wasm"] {
        let path = dist.join(name);
        let size = fs::metadata(&path).expect("`cargo xtask web` builds the page first").len();
        table += &format!("| {name} | {size} | {} |\n", compressed(&path));
    }
    table += "\n| device | tokens/s in Chromium | natively | ratio | steps 150-200 against 20-70 | WASM heap at step 20, 200 (MiB) | GPU memory at step 20, 200 (MiB) | first paint (ms) | model there (s) | first step (s) |\n|---|---|---|---|---|---|---|---|---|---|\n";
    let folder = tempfile::tempdir().expect("a folder");
    let devices: Vec<String> = std::env::args().skip(1).collect();
    let all = [("web_gpu", "wgpu"), ("cpu", "cpu")];
    for (page, program) in
        all.iter().filter(|(_, name)| devices.is_empty() || devices.iter().any(|d| d == name))
    {
        let found = in_page(page).await;
        let native = native(program, folder.path());
        let memory = |step: u64, of: &str| {
            let line = found.log.iter().find(|line| line["step"].as_u64() == Some(step));
            line.and_then(|line| line[of].as_f64()).unwrap_or(f64::NAN) / f64::from(1 << 20)
        };
        let (here, there) = (median(&found.log, early()), median(&native, early()));
        table += &format!(
            "| {program} | {here:.0} | {there:.0} | {:.2} | {:.3} | {:.0}, {:.0} | {:.0}, {:.0} | {:.0} | {:.1} | {:.1} |\n",
            here / there,
            median(&found.log, late()) / here,
            memory(steps() / 10, "memory_bytes"),
            memory(steps(), "memory_bytes"),
            memory(steps() / 10, "device_memory_bytes"),
            memory(steps(), "device_memory_bytes"),
            found.first_paint_ms,
            found.seconds_to_model,
            found.seconds_to_first_step,
        );
        println!("{program} done");
        let _ = std::io::stdout().flush();
    }
    println!("\n{table}");
}
