//! Tests of models of every architecture and task in Chromium, on the page's CPU: each has the same losses there as in the program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use lorelei_recipe::{Recipe, encode_link};
use lorelei_tests::{
    browser::{Browser, losses, unzipped},
    fixture, program,
};
use serde_json::{Value, json};

/// Returns a recipe of few steps, each of which is logged.
fn recipe(name: &str, set: &[&str]) -> Recipe {
    let mut recipe = Recipe::default();
    let output = format!("training.output_dir={name}");
    let short = [
        "data.validation_split_percentage=20",
        "data.max_length=48",
        "lora.r=4",
        "lora.lora_alpha=8",
        "training.per_device_train_batch_size=4",
        "training.learning_rate=2e-3",
        "training.logging_steps=1",
        "training.save_strategy=no",
        "training.eval_strategy=epoch",
        output.as_str(),
    ];
    for assignment in short.iter().chain(set) {
        recipe.set(assignment).unwrap_or_else(|error| panic!("{assignment}: {error}"));
    }
    recipe
}

/// Trains by the recipe in the page, whose model and data are loaded, and unpacks the downloaded result.
async fn train(browser: &Browser, name: &str) -> PathBuf {
    browser.wait("run-obstacle", 60, str::is_empty).await;
    browser.click("run-start").await;
    let status = browser
        .wait("run-status", 300, |status| status.contains("Finished") || status.contains("failed"))
        .await;
    assert!(status.contains("Finished"), "{name}: {status} {}", browser.text("run-log").await);
    browser.click("download-zip").await;
    let home = browser.downloads.path().join(format!("{name}-home"));
    unzipped(&browser.download(&format!("{name}.zip")).await, &home);
    home
}

/// Trains natively, by the zip's own recipe.
fn train_natively(home: &Path, model: &Path, data: &Path) -> PathBuf {
    let native = home.with_extension("native");
    let mut command = Command::new(program());
    command.args(["train", "--device", "cpu"]).arg(home.join("recipe.toml"));
    for (key, path) in
        [("model.model_name_or_path", model), ("data.train_file", data), ("training.output_dir", &native)]
    {
        command.arg("--set").arg(format!("{key}={}", path.display()));
    }
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    native
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("trainer_log.jsonl")).unwrap()
}

fn assert_same_losses(name: &str, home: &Path, native: &Path) {
    let (page, native) = (losses(&log(home)), losses(&log(native)));
    assert!(!page.is_empty() && page.len() == native.len(), "{name}: {page:?} {native:?}");
    for ((step, loss), (_, native)) in page.iter().zip(&native) {
        assert!((loss - native).abs() < 1e-3, "{name}, step {step}: {loss} in the page, {native} natively");
    }
}

/// Returns the last evaluation's accuracy.
fn accuracy(log: &str) -> f64 {
    let accuracy = |line: &str| serde_json::from_str::<Value>(line).unwrap()["eval_accuracy"].as_f64();
    log.lines().filter_map(accuracy).next_back().unwrap_or_else(|| panic!("no accuracy in {log}"))
}

/// Returns rows of texts with words that determine the label, between others.
fn texts() -> String {
    const SEA: [&str; 4] = ["wave", "boat", "salt", "tide"];
    const SKY: [&str; 4] = ["cloud", "wind", "star", "bird"];
    let mut rows = "text,label\n".to_owned();
    for number in 0..80usize {
        let (words, label) = if number % 2 == 0 { (SEA, "sea") } else { (SKY, "sky") };
        let (one, other) = (words[number / 2 % 4], words[(number / 8 + 1) % 4]);
        rows += &format!("The {one} and the {other} of day {number},{label}\n");
    }
    rows
}

#[tokio::test]
#[ignore = "needs the page and Chromium: cargo xtask test"]
async fn a_classifier_of_texts_is_trained_tried_and_taken_home() {
    let browser = Browser::open(1200, 1400).await;
    let recipe = recipe(
        "classes",
        &[
            "model.model_name_or_path=builtin:tiny",
            "data.train_file=texts.csv",
            "lora.task_type=SEQ_CLS",
            "lora.target_modules=all-linear",
            "training.num_train_epochs=2",
        ],
    );
    browser.visit_loaded(&format!("#{}", encode_link(&recipe))).await;
    browser.choose("model-device", "cpu").await;
    browser.wait("model-placed", 120, |place| place.contains("CPU")).await;
    let path = browser.downloads.path().join("texts.csv");
    fs::write(&path, texts()).unwrap();
    browser.pick("data-files", &[&path]).await;
    browser.wait("data-status", 60, |status| status.contains("texts.csv was read")).await;
    assert_eq!(browser.text("data-classes").await, "sea, sky");
    assert_eq!(browser.text("data-validation-rows").await, "16");
    browser.wait("preview-label", 10, |label| label.contains("sea") || label.contains("sky")).await;
    let trainable = browser.text("estimate-trainable").await;

    let home = train(&browser, "classes").await;
    browser.wait("run-accuracy", 10, |text| text.contains('%')).await;
    browser.screenshot("classifier").await;
    let native = train_natively(&home, Path::new("builtin:tiny"), &path);
    assert_same_losses("classes", &home, &native);
    let (page, natively) = (accuracy(&log(&home)), accuracy(&log(&native)));
    assert!(page == natively && page >= 0.9, "{page} in the page, {natively} natively");
    for file in ["labels.json", "adapter_config.json"] {
        assert_eq!(fs::read(home.join(file)).unwrap(), fs::read(native.join(file)).unwrap(), "{file}");
    }
    // The number of parameters in the form's estimate is that of the run, with the head.
    let learnt = trainable.split(' ').next().unwrap();
    assert!(browser.text("run-log").await.contains(learnt), "{trainable}");

    // The page's verdict on a text is that of the program with the downloaded adapter.
    let text = "The boat and the tide of today";
    // Of the forms that hold no classifier's head it says so, with the way out.
    for kind in ["gguf-lora", "ollama", "mlx", "gguf"] {
        let refused = format!("download-refused-{kind}");
        browser
            .wait(&refused, 30, |why| why.contains("trained to classify") && why.contains("`merged`"))
            .await;
    }
    assert_eq!(browser.text("download-refused-merged").await, "");
    browser.fill("try-prompt", text).await;
    browser.click("try-generate").await;
    let said = browser.wait("try-classes", 60, |said| said.contains("sea")).await;
    let mut classify = Command::new(program());
    classify.args(["classify", "--device", "cpu", "--model", "builtin:tiny", "--json", "--adapter"]);
    let said_natively = classify.arg(&home).arg(text).output().unwrap();
    assert!(said_natively.status.success(), "{}", String::from_utf8_lossy(&said_natively.stderr));
    let verdict: Value = serde_json::from_slice(&said_natively.stdout).unwrap();
    let likeliest = &verdict["verdict"]["classes"][0];
    assert_eq!(likeliest["label"], "sea", "{verdict}");
    let percent = format!("{:.1} %", 100.0 * likeliest["score"].as_f64().unwrap());
    assert!(said.starts_with("sea") && said.contains(&percent), "{said} in the page, {percent} natively");
    assert_eq!(browser.console().await, [""; 0]);
}

/// Words of the tokenizer: the smallest of the models has 96 tokens.
const WORDS: usize = 93;

/// Returns a tokenizer of words `w0`, `w1`, ... for models that come without one.
fn tokenizer() -> String {
    let special = ["[UNK]", "[BOS]", "[EOS]"];
    let words =
        special.iter().map(|word| (*word).to_owned()).chain((0..WORDS).map(|word| format!("w{word}")));
    let vocab: serde_json::Map<String, Value> =
        words.enumerate().map(|(id, word)| (word, id.into())).collect();
    json!({
        "version": "1.0",
        "added_tokens": (0..3).map(|id| json!({
            "id": id, "content": special[id], "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true
        })).collect::<Vec<_>>(),
        "pre_tokenizer": { "type": "WhitespaceSplit" },
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]" }
    })
    .to_string()
}

/// Writes a fixture's files, that tokenizer and a card into `folder`.
fn model(name: &str, folder: &Path) -> [PathBuf; 4] {
    fs::create_dir_all(folder).unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(fixture(&format!("{name}/{file}")), folder.join(file)).unwrap();
    }
    fs::write(folder.join("tokenizer.json"), tokenizer()).unwrap();
    fs::write(folder.join("README.md"), "---\nlicense: mit\n---\n# A model\n").unwrap();
    ["config.json", "model.safetensors", "tokenizer.json", "README.md"].map(|file| folder.join(file))
}

/// Returns rows of a few words each, with labels for `task`.
fn rows(task: &str) -> String {
    let row = |number: usize| {
        let words: Vec<String> =
            (0..6 + number % 5).map(|at| format!("w{}", (number * 17 + at * 7) % WORDS)).collect();
        match task {
            "TOKEN_CLS" => {
                let tags: Vec<usize> = (0..words.len()).map(|at| (number + at) % 3).collect();
                json!({ "tokens": words, "tags": tags })
            }
            "SEQ_CLS" => json!({ "text": words.join(" "), "label": number % 3 }),
            _ => json!({ "text": words.join(" ") }),
        }
    };
    (0..20).map(|number| format!("{}\n", row(number))).collect()
}

#[tokio::test]
#[ignore = "needs the page and Chromium: cargo xtask test"]
async fn every_architecture_trains_as_the_program_trains_it() {
    let browser = Browser::open(1200, 1000).await;
    for (name, task) in [
        ("llama", "CAUSAL_LM"),
        ("mistral", "CAUSAL_LM"),
        ("qwen2", "CAUSAL_LM"),
        ("qwen3", "CAUSAL_LM"),
        ("smollm3", "CAUSAL_LM"),
        ("granite", "CAUSAL_LM"),
        ("gemma", "CAUSAL_LM"),
        ("gemma2", "CAUSAL_LM"),
        ("gemma3_text", "CAUSAL_LM"),
        ("phi3", "CAUSAL_LM"),
        ("glm", "CAUSAL_LM"),
        ("glm4", "CAUSAL_LM"),
        ("chatglm", "CAUSAL_LM"),
        ("gpt2", "CAUSAL_LM"),
        ("gpt2", "SEQ_CLS"),
        ("bert", "SEQ_CLS"),
        ("bert", "TOKEN_CLS"),
        ("roberta", "SEQ_CLS"),
        ("distilbert", "SEQ_CLS"),
        ("distilbert", "TOKEN_CLS"),
    ] {
        let run = format!("{name}-{task}");
        let folder = browser.downloads.path().join(&run);
        let files = model(name, &folder);
        let data = folder.join("rows.jsonl");
        fs::write(&data, rows(task)).unwrap();

        let task = format!("lora.task_type={task}");
        // A model of picked files has this name.
        let set = [task.as_str(), "model.model_name_or_path=model", "data.train_file=rows.jsonl"];
        let recipe =
            recipe(&run, &[&set[..], &["training.max_steps=3", "lora.target_modules=all-linear"]].concat());
        browser.visit(&format!("#{}", encode_link(&recipe))).await;
        browser.wait("field-training-max_steps", 60, |steps| steps == "3").await;
        browser.wait("model-status", 60, |status| status.contains("The recipe is for model")).await;
        browser.choose("model-device", "cpu").await;
        browser.pick("model-files", &files.each_ref().map(PathBuf::as_path)).await;
        browser.wait("model-type", 60, |found| name.starts_with(found) && !found.is_empty()).await;
        browser.pick("data-files", &[&data]).await;
        browser.wait("data-status", 60, |status| status.contains("rows.jsonl was read")).await;
        assert_eq!(browser.text("data-bad-rows").await, "", "{run}");
        let home = train(&browser, &run).await;
        let native = train_natively(&home, &folder, &data);
        assert_same_losses(&run, &home, &native);
        for folder in [&home, &native] {
            let card = fs::read_to_string(folder.join("README.md")).unwrap();
            assert!(
                card.contains("\nlicense: \"mit\"\n") && card.contains("| Training loss |"),
                "{run}: {card}"
            );
        }
        assert_eq!(browser.console().await, [""; 0], "{run}");
    }
}

#[tokio::test]
#[ignore = "needs the page and Chromium: cargo xtask test"]
async fn an_encoder_is_taken_for_a_classifier() {
    let browser = Browser::open(1200, 1000).await;
    browser.visit_loaded("").await;
    let files = model("bert", &browser.downloads.path().join("bert"));
    browser.pick("model-files", &files.each_ref().map(PathBuf::as_path)).await;
    browser.wait("model-type", 60, |found| found == "bert").await;
    browser.wait("field-lora-task_type", 10, |task| task.contains("SEQ_CLS")).await;
    // The sample set has no labels.
    browser.wait("data-error", 60, |error| error.contains("no row has a label")).await;
    browser.click("try-generate").await;
    browser.wait("try-error", 30, |error| error.contains("writes no text")).await;
    assert_eq!(browser.console().await, [""; 0]);
}
