//! Tests of the whole way in Chromium, on WebGPU (SwiftShader): a link fills the form, the model trains, a reload in the middle of the run resumes it
//! from the checkpoint, and the downloaded adapter gives the same numbers natively.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use lorelei_formats::{SafetensorsFile, TensorSource, gguf::Gguf};
use lorelei_recipe::{Recipe, encode_link};
use lorelei_tests::{
    browser::{Browser, losses, unzipped},
    program,
};
use serde_json::Value;

fn recipe() -> Recipe {
    let mut recipe = Recipe::default();
    for assignment in [
        "model.model_name_or_path=builtin:tiny",
        "data.train_file=builtin:english",
        "data.validation_split_percentage=10",
        "data.max_length=48",
        "lora.r=4",
        "lora.lora_alpha=8",
        "lora.target_modules=q_proj,v_proj",
        "training.output_dir=from-the-page",
        "training.max_steps=12",
        "training.per_device_train_batch_size=4",
        "training.learning_rate=5e-3",
        "training.logging_steps=1",
        "training.save_steps=4",
    ] {
        recipe.set(assignment).unwrap();
    }
    recipe
}

/// Opens the page with a recipe and waits until model and data are loaded, on WebGPU.
async fn open(browser: &Browser, recipe: &Recipe) {
    // The kernels are those in WGSL, although this software driver is faster without them: the code that a GPU runs is tested.
    browser.visit(&format!("?kernels=wgsl#{}", encode_link(recipe))).await;
    browser.wait("field-lora-r", 60, |value| value == "4").await;
    browser.wait("model-status", 120, |status| status.contains("is loaded")).await;
    browser.choose("model-device", "web_gpu").await;
    browser.wait("model-placed", 120, |place| place.contains("WebGPU")).await;
    browser.wait("data-status", 120, |status| status.contains("was read")).await;
}

fn step(text: &str) -> u64 {
    text.split(' ').next().and_then(|step| step.parse().ok()).unwrap_or(0)
}

/// A script of the kind that users paste from a notebook.
const SNIPPET: &str = r#"
from peft import LoraConfig, TaskType
from transformers import TrainingArguments

lora_config = LoraConfig(task_type=TaskType.CAUSAL_LM, r=8, lora_alpha=32, lora_dropout=0.05)
training_args = TrainingArguments(
    output_dir="./pasted",
    per_device_train_batch_size=4,
    gradient_accumulation_steps=8,
    learning_rate=5e-4,
    num_train_epochs=3,
    warmup_ratio=0.1,
    fp16=True,
    logging_steps=10,
    save_strategy="epoch",
    evaluation_strategy="epoch",
    deepspeed="zero.json",
)
trainer = Trainer(model=model, args=training_args, train_dataset=train)
"#;

#[tokio::test]
#[ignore = "needs the page and Chromium: cargo xtask test"]
async fn a_pasted_snippet_trains() {
    let browser = Browser::open(1200, 1400).await;
    browser.visit_loaded("").await;
    // The software driver takes minutes for a step of 32 rows.
    browser.choose("model-device", "cpu").await;
    browser.wait("model-placed", 120, |place| place.contains("CPU")).await;

    // 80 rows, 8 of them held out, make two whole steps of 32 rows and a last one of eight, in each of three epochs.
    let rows: String = (0..80)
        .map(|i| format!("{{\"prompt\": \"What comes after {i}?\", \"completion\": \"{}\"}}\n", i + 1))
        .collect();
    let path = browser.downloads.path().join("counting.jsonl");
    fs::write(&path, rows).unwrap();
    browser.pick("data-files", &[&path]).await;
    browser.wait("data-status", 60, |status| status.contains("counting.jsonl was read")).await;

    browser.run("document.querySelector('[data-testid=paste]').open = true").await;
    browser.fill("paste-text", SNIPPET).await;
    browser.click("paste-take").await;
    // `r` and `num_train_epochs` have the values of the defaults.
    for (field, value) in [
        ("lora-r", ""),
        ("lora-lora_alpha", "32"),
        ("lora-lora_dropout", "0.05"),
        ("training-per_device_train_batch_size", "4"),
        ("training-gradient_accumulation_steps", "8"),
        ("training-learning_rate", "0.0005"),
        ("training-num_train_epochs", ""),
        ("training-warmup_ratio", "0.1"),
        ("training-fp16", "true"),
        ("training-logging_steps", "10"),
        ("training-save_strategy", "epoch"),
        ("training-eval_strategy", "epoch"),
    ] {
        browser.wait(&format!("field-{field}"), 10, |text| text == value).await;
    }
    // The settings that a recipe cannot hold are listed with their lines.
    let told = browser.text("paste-left-out").await;
    assert!(
        told.contains("17: deepspeed was left out") && told.contains("16: eval_strategy has nothing"),
        "{told}"
    );
    browser.screenshot("pasted").await;
    // The chosen data and model are kept.
    assert_eq!(browser.text("model-name").await, "builtin:tiny");
    browser.fill("field-data-validation_split_percentage", "10").await;
    browser.wait("data-validation-rows", 60, |rows| rows == "8").await;
    browser.wait("estimate-steps", 30, |text| text.contains('9')).await;

    // The rows are read again after each digit.
    browser.wait("run-obstacle", 60, str::is_empty).await;
    browser.click("run-start").await;
    browser.wait("run-status", 300, |status| status.contains('9')).await;
    browser.click("download-zip").await;
    let home = browser.downloads.path().join("home");
    unzipped(&browser.download("pasted.zip").await, &home);
    assert_eq!(browser.console().await, [""; 0]);

    let config: Value = serde_json::from_slice(&fs::read(home.join("adapter_config.json")).unwrap()).unwrap();
    assert_eq!((&config["r"], &config["lora_alpha"]), (&8.into(), &32.into()));
    let log = fs::read_to_string(home.join("trainer_log.jsonl")).unwrap();
    let evaluations: Vec<f64> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["eval_loss"].as_f64())
        .collect();
    assert_eq!(evaluations.len(), 3, "{log}");
    assert!(evaluations[2] < evaluations[0], "{log}");

    // The answer drawn by the same seed is the program's.
    browser.fill("try-prompt", "What comes after 7?").await;
    browser.run("document.querySelector('[data-testid=try-more]').open = true").await;
    browser.fill("try-top-p", "most").await;
    let settings = [("length", "16"), ("temperature", "0.9"), ("top-k", "20"), ("seed", "7")];
    for (name, value) in settings {
        browser.fill(&format!("try-{name}"), value).await;
    }
    browser.click("try-generate").await;
    browser.wait("try-error", 10, |error| error.contains("top_p must be a number")).await;
    browser.fill("try-top-p", "0.95").await;
    browser.click("try-generate").await;
    browser.wait("try-with", 60, |text| !text.is_empty() && !text.starts_with("There is no adapter")).await;
    browser.wait("try-generate", 60, |text| text == "Answer").await;
    let mut generate = Command::new(program());
    generate
        .args(["generate", "--device", "cpu", "--model", "builtin:tiny", "--compare", "--adapter"])
        .arg(&home);
    generate.args(["--prompt", "What comes after 7?", "--max-new-tokens", "16", "--temperature", "0.9"]);
    let said = generate.args(["--top-k", "20", "--top-p", "0.95", "--seed", "7"]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8(said.stdout).unwrap();
    let (without, with) = said.split_once("--- with the adapter").unwrap();
    let without = without.trim_start_matches("--- without the adapter").trim();
    assert_eq!(browser.text("try-without").await.trim(), without);
    assert_eq!(browser.text("try-with").await.trim(), with.trim());
    assert_eq!(browser.console().await, [""; 0]);
}

/// Rows as tokens: the id of each token, and whether it is learnt.
type PreviewRows = Vec<Vec<(u64, bool)>>;

/// Returns the rows that `lorelei data preview` shows of a file.
fn preview_of_the_program(file: &Path, rows: usize) -> PreviewRows {
    let recipe = file.with_extension("toml");
    let text = format!("[model]\nmodel_name_or_path = \"builtin:tiny\"\n[data]\ntrain_file = {file:?}\n");
    fs::write(&recipe, text).unwrap();
    let mut preview = Command::new(program());
    preview.args(["data", "preview", "--ids", "--color", "always", "--rows", &rows.to_string()]).arg(recipe);
    let said = preview.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8(said.stdout).unwrap();
    let examples = said.split("example ").skip(1);
    let token = |piece: &str| {
        let id = piece.rsplit_once('⟨')?.1.split_once('⟩')?.0.parse().ok()?;
        // Learnt tokens are bold, the others are faint.
        Some((id, piece.rsplit_once("\x1b[")?.1.starts_with('1')))
    };
    examples.map(|example| example.split("\x1b[0m").filter_map(token).collect()).collect()
}

#[tokio::test]
#[ignore = "needs the page and Chromium: cargo xtask test"]
async fn the_page_s_preview_is_the_program_s() {
    let browser = Browser::open(1200, 1400).await;
    browser.visit_loaded("").await;
    for (name, text) in [
        (
            "chat.jsonl",
            "{\"messages\": [{\"role\": \"user\", \"content\": \"What is the sea?\"}, {\"role\": \"assistant\", \"content\": \"Salt water.\"}]}\n",
        ),
        (
            "chat-zh.json",
            "[{\"instruction\": \"海是什么？\", \"input\": \"\", \"output\": \"咸的水。\"}, {\"instruction\": \"鲸\", \"output\": \"大\"}]",
        ),
        ("labels.csv", "text,label\nA fine day,positive\n\"A grey, wet day\",negative\n"),
        ("book.txt", "Call me Ishmael.\nSome years ago, never mind how long precisely\n"),
    ] {
        let path = browser.downloads.path().join(name);
        fs::write(&path, text).unwrap();
        browser.pick("data-files", &[&path]).await;
        browser.wait("data-status", 60, |status| status.contains(&format!("{name} was read"))).await;
        browser.wait("data-preview", 10, |preview| !preview.is_empty()).await;
        let lengths = browser.text("data-lengths").await;
        assert!(lengths.contains("half have at most"), "{name}: {lengths}");
        let script = "return [...document.querySelectorAll('[data-testid=data-preview] li')].map(row => \
                      [...row.querySelectorAll('.token')].map(token => [Number(token.title.slice(3)), token.tagName === 'MARK']))";
        let shown: PreviewRows = serde_json::from_value(browser.run(script).await).unwrap();
        assert!(!shown.is_empty() && shown.iter().any(|row| row.iter().any(|(_, learnt)| *learnt)), "{name}");
        // The page shows the beginning of a long row.
        let program = preview_of_the_program(&path, shown.len());
        let beginnings: PreviewRows = program
            .iter()
            .zip(&shown)
            .map(|(row, shown)| row[..shown.len().min(row.len())].to_vec())
            .collect();
        assert_eq!(shown, beginnings, "{name}");
    }
    assert_eq!(browser.console().await, [""; 0]);
}

/// Exports the adapter in a folder with the program. Returns the file or folder that it wrote.
fn exported(adapter: &Path, kind: &str) -> PathBuf {
    let output = adapter.with_file_name(format!("by-the-program-{kind}"));
    let mut export = Command::new(program());
    export.arg("export").arg(adapter).args(["--to", kind, "--output"]).arg(&output);
    let said = export.output().unwrap();
    assert!(said.status.success(), "{kind}: {}", String::from_utf8_lossy(&said.stderr));
    output
}

/// Checks that the adapter, downloaded in other forms, is what the program makes of the zip's adapter in `home`.
async fn downloads_are_the_program_s(browser: &Browser, home: &Path) {
    let folder = browser.downloads.path();
    let read = |path: PathBuf| fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));

    browser.choose("download-kind", "gguf-lora").await;
    browser.wait("download-dtype", 10, |dtype| dtype == "float32").await;
    browser.click("download-zip").await;
    let bytes = read(browser.download("from-the-page-lora.gguf").await);
    let gguf = Gguf::open(bytes.clone(), "from the page").unwrap();
    let text = |key: &str| gguf.metadata().get(key).and_then(|value| value.as_str());
    assert_eq!(
        [text("general.type"), text("adapter.type"), text("general.architecture")],
        [Some("adapter"), Some("lora"), Some("llama")]
    );
    let peft = SafetensorsFile::open(read(home.join("adapter_model.safetensors")), "the zip's").unwrap();
    assert_eq!(gguf.tensors().len(), peft.infos().len());
    for tensor in gguf.tensors() {
        let name = tensor.name.strip_prefix("blk.").and_then(|name| name.split_once('.'));
        let known = ["attn_q", "attn_v"]
            .into_iter()
            .flat_map(|module| ["lora_a", "lora_b"].map(|part| format!("{module}.weight.{part}")));
        assert!(
            name.is_some_and(|(_, name)| known.into_iter().any(|known| known == name)),
            "{}",
            tensor.name
        );
    }
    assert!(bytes == read(exported(home, "gguf-lora")), "the program writes another GGUF adapter");

    browser.choose("download-kind", "gguf").await;
    browser.wait("download-dtype", 10, |dtype| dtype == "own").await;
    browser.click("download-zip").await;
    let merged = read(browser.download("from-the-page-merged.gguf").await);
    assert!(merged == read(exported(home, "gguf")), "the program writes another merged GGUF model");

    browser.choose("download-kind", "ollama").await;
    browser.click("download-zip").await;
    let ollama = folder.join("ollama");
    unzipped(&browser.download("from-the-page-ollama.zip").await, &ollama);
    assert!(read(ollama.join("adapter.gguf")) == bytes);
    assert!(
        fs::read_to_string(ollama.join("Modelfile"))
            .unwrap()
            .starts_with("FROM ./tiny\nADAPTER ./adapter.gguf\n")
    );
    browser.wait("download-notes", 10, |notes| notes.contains("FROM in the Modelfile")).await;

    for (kind, files) in [
        ("mlx", ["adapter_config.json", "adapters.safetensors"]),
        ("merged", ["config.json", "model.safetensors"]),
    ] {
        browser.choose("download-kind", kind).await;
        browser.click("download-zip").await;
        let from_page = folder.join(kind);
        unzipped(&browser.download(&format!("from-the-page-{kind}.zip")).await, &from_page);
        let program = exported(home, kind);
        for file in files {
            assert!(read(from_page.join(file)) == read(program.join(file)), "{kind}: {file} is another");
        }
    }
}

#[tokio::test]
#[ignore = "needs the page and Chromium: cargo xtask test"]
async fn the_whole_way() {
    let browser = Browser::open(1200, 1400).await;
    let recipe = recipe();

    // The link fills the form and starts no run.
    open(&browser, &recipe).await;
    assert_eq!(browser.text("field-training-max_steps").await, "12");
    browser.wait("estimate-trainable", 10, |text| text.contains("10,240")).await;
    browser.wait("estimate-steps", 10, |text| text.contains("12")).await;
    assert_eq!(step(&browser.text("run-step").await), 0);
    browser.screenshot("form").await;

    // The tab is closed in the middle of the run and opened again, and the run is resumed.
    browser.click("run-start").await;
    browser.wait("run-step", 300, |text| step(text) >= 6).await;
    browser.screenshot("run").await;
    assert_eq!(browser.console().await, [""; 0]);
    open(&browser, &recipe).await;
    browser.wait("interrupted", 30, |text| text.contains('4')).await;
    browser.click("resume-run").await;
    browser.wait("run-status", 300, |status| status.contains("12")).await;
    assert!(step(&browser.text("run-step").await) == 12);

    // The model answers, with the adapter and without.
    browser.fill("try-prompt", "What is AI?").await;
    browser.fill("try-length", "12").await;
    browser.click("try-generate").await;
    browser.wait("try-with", 120, |text| !text.is_empty()).await;
    browser.wait("try-generate", 120, |text| text == "Answer").await;

    // The adapter is downloaded. The program takes the folder's name for that of the run.
    browser.click("download-zip").await;
    let home = browser.downloads.path().join("from-the-page");
    unzipped(&browser.download("from-the-page.zip").await, &home);
    downloads_are_the_program_s(&browser, &home).await;
    browser.screenshot("done").await;
    browser.choose("theme", "dark").await;
    browser.screenshot("done-dark").await;
    assert_eq!(browser.console().await, [""; 0]);

    // A native run of the same link has the same losses.
    let link = format!("{}#{}", browser.address, encode_link(&recipe));
    let native = browser.downloads.path().join("native");
    let set = format!("training.output_dir={}", native.display());
    let status =
        Command::new(program()).args(["train", "--device", "cpu", "--link", &link, "--set", &set]).status();
    assert!(status.unwrap().success());
    let page = losses(&fs::read_to_string(home.join("trainer_log.jsonl")).unwrap());
    let native_losses = losses(&fs::read_to_string(native.join("trainer_log.jsonl")).unwrap());
    assert_eq!(native_losses.len(), 12);
    assert!(native_losses[11].1 < native_losses[0].1, "{native_losses:?}");
    assert_eq!(page.len(), 12, "the log of a run that went on is whole");
    for (step, loss) in &page {
        let native = native_losses[*step as usize - 1].1;
        assert!((loss - native).abs() < 1e-3, "step {step}: {loss} in the page, {native} natively");
    }

    // Both adapters give the same logits.
    let logits = |adapter: &Path| {
        let ids: Vec<i64> = (0..40).map(|i| (i * 37 + 5) % 2048).collect();
        let (input, output) = (adapter.join("in.safetensors"), adapter.join("out.safetensors"));
        let spec = lorelei_formats::TensorSpec::new("input_ids", lorelei_formats::Dtype::I64, vec![1, 40]);
        let bytes =
            lorelei_formats::to_bytes(&[(spec, lorelei_formats::TensorData::I64(&ids))], &Default::default());
        fs::write(&input, bytes.unwrap()).unwrap();
        let mut forward = Command::new(program());
        forward.args(["forward", "--model", "builtin:tiny", "--device", "cpu", "--adapter"]).arg(adapter);
        forward.arg("--input").arg(&input).arg("--output").arg(&output);
        assert!(forward.status().unwrap().success());
        SafetensorsFile::open(fs::read(output).unwrap(), "out").unwrap().read_f32("logits").unwrap()
    };
    let (from_page, from_native) = (logits(&home), logits(&native));
    let apart = from_page.iter().zip(&from_native).fold(0f32, |max, (a, b)| max.max((a - b).abs()));
    assert!(apart < 1e-3, "logits are {apart} apart");
}
