//! Tests of what the page trains in other programs' hands: merged GGUF models and GGUF adapters answer in wllama, llama.cpp in a browser, as the page and
//! the program do.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use lorelei_data::Tokenizer;
use lorelei_formats::{Dtype, SafetensorsFile, TensorData, TensorSource as _, TensorSpec, to_bytes};
use lorelei_recipe::{Recipe, encode_link};
use lorelei_tests::{
    browser::{Browser, Served, unzipped},
    program,
};
use serde::Deserialize;
use serde_json::json;

const PROMPT: &str = "What is the sea?";
const LENGTH: usize = 12;

fn recipe(model: &str, output: &str) -> Recipe {
    let mut recipe = Recipe::default();
    let (model, output) =
        (format!("model.model_name_or_path={model}"), format!("training.output_dir={output}"));
    for assignment in [
        &*model,
        &*output,
        "data.train_file=builtin:english",
        "data.max_length=48",
        "lora.r=4",
        "lora.lora_alpha=8",
        "lora.target_modules=all-linear",
        "training.max_steps=12",
        "training.per_device_train_batch_size=4",
        "training.learning_rate=5e-3",
        "training.logging_steps=1",
        "training.save_strategy=no",
    ] {
        recipe.set(assignment).unwrap_or_else(|error| panic!("{assignment}: {error}"));
    }
    recipe
}

/// Trains in the page, whose model is loaded, on its CPU. Returns the folder of the unpacked adapter, which has the run's name.
async fn train(browser: &Browser, output: &str) -> PathBuf {
    browser.wait("data-status", 120, |status| status.contains("was read")).await;
    browser.wait("run-obstacle", 60, str::is_empty).await;
    browser.click("run-start").await;
    browser.wait("run-status", 300, |status| status.contains("Finished") || status.contains("failed")).await;
    browser.click("download-zip").await;
    let home = browser.downloads.path().join(output);
    unzipped(&browser.download(&format!("{output}.zip")).await, &home);
    home
}

/// Downloads the adapter in another form.
async fn download(browser: &Browser, kind: &str, dtype: &str, name: &str) -> PathBuf {
    browser.choose("download-kind", kind).await;
    browser.wait("download-dtype", 10, |usual| !usual.is_empty()).await;
    browser.choose("download-dtype", dtype).await;
    browser.click("download-zip").await;
    browser.download(name).await
}

/// Runs the program. Returns what it says of notices.
fn run(arguments: &[&str]) -> String {
    let said = Command::new(program()).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success(), "{arguments:?}: {errors}");
    errors
}

/// Returns a path as an argument.
fn argument(path: &Path) -> &str {
    path.to_str().expect("a path of UTF-8")
}

/// Returns the ids of the tokens of [`PROMPT`], with the one at the beginning of a text.
fn prompt_ids(folder: &Path) -> Vec<u32> {
    let model = folder.join("tiny");
    run(&["convert", "builtin:tiny", argument(&model)]);
    let read = |name: &str| fs::read_to_string(model.join(name)).unwrap();
    let config = read("tokenizer_config.json");
    let tokenizer = Tokenizer::from_files(read("tokenizer.json").as_bytes(), Some(&config), None).unwrap();
    tokenizer.encode(PROMPT, true).unwrap()
}

/// Returns the log-probabilities that the program gives each token after each of `ids`, `[ids][vocab]`.
fn log_probs(adapter: &Path, ids: &[u32]) -> Vec<Vec<f64>> {
    let (input, output) = (adapter.join("in.safetensors"), adapter.join("out.safetensors"));
    let spec = TensorSpec::new("input_ids", Dtype::I64, vec![1, ids.len()]);
    let values: Vec<i64> = ids.iter().copied().map(i64::from).collect();
    fs::write(&input, to_bytes(&[(spec, TensorData::I64(&values))], &Default::default()).unwrap()).unwrap();
    let [adapter, input_path, output_path] = [adapter, &input, &output].map(argument);
    let model = ["forward", "--model", "builtin:tiny", "--device", "cpu", "--adapter", adapter];
    run(&[&model[..], &["--input", input_path, "--output", output_path]].concat());
    let logits =
        SafetensorsFile::open(fs::read(&output).unwrap(), "out").unwrap().read_f32("logits").unwrap();
    let of_row = |row: &[f32]| {
        let most = row.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = row.iter().map(|logit| f64::from(logit - most).exp()).sum();
        row.iter().map(|logit| f64::from(logit - most) - sum.ln()).collect()
    };
    logits.chunks(logits.len() / ids.len()).map(of_row).collect()
}

/// What wllama says of a model.
#[derive(Deserialize)]
struct Answer {
    /// The tokens after [`PROMPT`].
    raw: Vec<Generated>,
    /// The answer to it.
    chat: String,
}

/// A generated token.
#[derive(Deserialize)]
struct Generated {
    id: u32,
    top_logprobs: Vec<LogProb>,
}

#[derive(Deserialize)]
struct LogProb {
    id: usize,
    logprob: f64,
}

/// Returns the largest difference of wllama's log-probabilities from the program's, for the same tokens.
fn apart(answer: &Answer, adapter: &Path, prompt: &[u32]) -> f64 {
    assert_eq!(answer.raw.len(), LENGTH);
    let ids: Vec<u32> = prompt.iter().copied().chain(answer.raw.iter().map(|token| token.id)).collect();
    let ours = log_probs(adapter, &ids);
    let at = |index: usize| &ours[prompt.len() - 1 + index];
    let tokens = answer.raw.iter().enumerate();
    let each = tokens.flat_map(|(index, token)| {
        token.top_logprobs.iter().map(move |theirs| (at(index)[theirs.id] - theirs.logprob).abs())
    });
    each.fold(0.0, f64::max)
}

/// Opens a page with wllama, from a folder with `models`, and returns its answers.
async fn answers(browser: &Browser, models: &[(&str, &[(&str, &Path)])]) -> BTreeMap<String, Answer> {
    let package = std::env::var_os("LORELEI_WLLAMA").expect("`cargo xtask test` names wllama's folder");
    let folder = tempfile::tempdir().unwrap();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("wllama");
    let code = Path::new(&package).join("package/esm");
    let files = [
        ("index.html", own.join("index.html")),
        ("answer.js", own.join("answer.js")),
        ("index.js", code.join("index.js")),
        ("wllama.wasm", code.join("wasm/wllama.wasm")),
    ];
    for (name, file) in &files {
        fs::copy(file, folder.path().join(name))
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
    let mut asked: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (model, files) in models {
        for (name, file) in *files {
            fs::copy(file, folder.path().join(name)).unwrap();
            asked.entry(model).or_default().push(name);
        }
    }
    let asked = json!({ "prompt": PROMPT, "max_tokens": LENGTH, "models": asked });
    fs::write(folder.path().join("asked.json"), asked.to_string()).unwrap();
    let served = Served::folder(folder.path());
    browser.client.goto(&served.address).await.expect("the page with wllama");
    let said = browser.wait("answers", 120, |said| !said.is_empty()).await;
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[tokio::test]
#[ignore = "needs the page, Chromium and wllama: cargo xtask test"]
async fn what_the_page_trains_answers_in_wllama() {
    let browser = Browser::open(1200, 1400).await;
    browser.visit_loaded(&format!("#{}", encode_link(&recipe("builtin:tiny", "for-wllama")))).await;
    browser.choose("model-device", "cpu").await;
    browser.wait("model-placed", 120, |place| place.contains("CPU")).await;
    let home = train(&browser, "for-wllama").await;
    let merged = download(&browser, "gguf", "float32", "for-wllama-merged.gguf").await;
    assert_eq!(browser.text("download-notes").await, "");
    let adapter = download(&browser, "gguf-lora", "float32", "for-wllama-lora.gguf").await;
    browser.fill("try-prompt", PROMPT).await;
    browser.fill("try-length", &LENGTH.to_string()).await;
    browser.click("try-generate").await;
    browser.wait("try-with", 120, |text| !text.is_empty() && !text.starts_with("There is no adapter")).await;
    browser.wait("try-generate", 120, |text| text == "Answer").await;
    let (with, without) = (browser.text("try-with").await, browser.text("try-without").await);
    assert_ne!(with, without, "the adapter changes nothing");
    assert_eq!(browser.console().await, [""; 0]);

    // What the page wrote is what the program writes.
    let folder = browser.downloads.path();
    let by_program = folder.join("by-the-program.gguf");
    let export = ["export", argument(&home), "--to", "gguf", "--dtype", "float32", "--output"];
    run(&[&export[..], &[argument(&by_program)]].concat());
    assert!(fs::read(&merged).unwrap() == fs::read(&by_program).unwrap(), "the program merges otherwise");

    // The base for the adapter is a merge with one that has learnt nothing.
    let (none, base) = (folder.join("none"), folder.join("base.gguf"));
    let (steps, rate) = ("training.max_steps=1", "training.learning_rate=0");
    let output = format!("training.output_dir={}", none.display());
    let recipe = home.join("recipe.toml");
    run(&["train", "--device", "cpu", argument(&recipe), "--set", steps, "--set", rate, "--set", &output]);
    let export = ["export", argument(&none), "--to", "gguf", "--dtype", "float32", "--output"];
    run(&[&export[..], &[argument(&base)]].concat());

    let answers = answers(
        &browser,
        &[
            ("merged", &[("merged.gguf", &merged)]),
            ("adapter", &[("base.gguf", &base), ("adapter.gguf", &adapter)]),
            ("base", &[("base.gguf", &base)]),
        ],
    )
    .await;
    let prompt = prompt_ids(folder);
    for (name, expected) in [("merged", &with), ("adapter", &with), ("base", &without)] {
        let answer = &answers[name];
        assert_eq!(answer.chat.trim(), expected.trim(), "{name}: wllama's answer is not the page's");
        // Its cache of keys and values has half floats.
        let apart = apart(answer, if name == "base" { &none } else { &home }, &prompt);
        assert!(apart < 5e-3, "{name}: log-probabilities are {apart} apart");
    }
    let apart = apart(&answers["base"], &home, &prompt);
    assert!(apart > 0.1, "the base's log-probabilities are only {apart} apart from the adapter's");
}

#[tokio::test]
#[ignore = "needs the page and Chromium: cargo xtask test"]
async fn a_gguf_base_is_merged_into_as_by_the_program() {
    let browser = Browser::open(1200, 1400).await;
    let folder = browser.downloads.path();
    // A base in blocks, with keys of its own.
    let (made, base) = (folder.join("made"), folder.join("base-q4_0.gguf"));
    let output = format!("training.output_dir={}", made.display());
    let link = format!("{}#{}", browser.address, encode_link(&recipe("builtin:tiny", "made")));
    run(&["train", "--device", "cpu", "--link", &link, "--set", &output]);
    run(&["export", argument(&made), "--to", "gguf", "--dtype", "q4_0", "--output", argument(&base)]);

    browser.visit(&format!("#{}", encode_link(&recipe("base-q4_0.gguf", "of-a-gguf")))).await;
    browser.wait("model-status", 60, |status| status.contains("The recipe is for base-q4_0.gguf")).await;
    browser.choose("model-device", "cpu").await;
    browser.pick("model-files", &[&base]).await;
    browser.wait("model-name", 60, |name| name == "base-q4_0.gguf").await;
    let home = train(&browser, "of-a-gguf").await;
    // The usual format is that of each tensor of the base.
    browser.choose("download-kind", "gguf").await;
    browser.wait("download-dtype", 10, |dtype| dtype == "own").await;
    browser.click("download-zip").await;
    let merged = browser.download("of-a-gguf-merged.gguf").await;
    let notes = browser.wait("download-notes", 10, |notes| !notes.is_empty()).await;
    assert_eq!(browser.console().await, [""; 0]);

    let by_program = folder.join("by-the-program.gguf");
    let export = ["export", argument(&home), "--to", "gguf", "--base", argument(&base), "--output"];
    let said = run(&[&export[..], &[argument(&by_program)]].concat());
    assert!(fs::read(&merged).unwrap() == fs::read(&by_program).unwrap(), "the program merges otherwise");
    for lost in ["rounded again", "the base is quantised (Q4_0, Q8_0)"] {
        assert!(notes.contains(lost) && said.contains(lost), "no {lost:?} in {notes:?} or {said:?}");
    }
}
