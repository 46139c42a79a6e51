//! Tests of faults around the page, in Chromium: every fault is reported in words, the page continues to work, and nothing is lost.

use std::{fs, path::Path};

use lorelei_recipe::{Recipe, encode_link};
use lorelei_tests::{browser::Browser, hub::Hub};

/// Returns the recipe of a short run.
fn recipe(set: &[&str]) -> Recipe {
    let mut recipe = Recipe::default();
    let short = [
        "model.model_name_or_path=builtin:tiny",
        "data.train_file=builtin:english",
        "data.max_length=32",
        "lora.r=2",
        "training.per_device_train_batch_size=1",
        "training.logging_steps=1",
    ];
    for assignment in short.iter().chain(set) {
        recipe.set(assignment).unwrap();
    }
    recipe
}

fn link(recipe: &Recipe) -> String {
    format!("#{}", encode_link(recipe))
}

async fn open(browser: &Browser, fragment: &str) {
    browser.visit_loaded(fragment).await;
    browser.wait("data-status", 120, |status| status.contains("was read")).await;
}

/// Returns the files of `builtin:tiny`.
fn tiny() -> impl Iterator<Item = (String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/builtin/tiny");
    ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
        .into_iter()
        .map(move |name| (name.to_owned(), fs::read(folder.join(name)).unwrap()))
}

fn step(text: &str) -> u64 {
    text.split(' ').next().and_then(|step| step.parse().ok()).unwrap_or(0)
}

#[tokio::test]
#[ignore = "needs the page and Chromium: cargo xtask test"]
async fn bad_links_are_said_in_words() {
    let browser = Browser::open(800, 900).await;
    let long = format!("#r=1.{}", "A".repeat(1_000_000));
    for fragment in ["#r=2.abcd", "#r=1.!!!!", "#r=1.q1YqVrJSqgUA", &long] {
        browser.visit(fragment).await;
        browser.wait("link-error", 60, |text| text.contains("link")).await;
        browser.wait("model-status", 120, |status| status.contains("tiny")).await;
    }
    // A value out of range is reported with its setting.
    let mut wrong = recipe(&[]);
    wrong.lora.lora_dropout = 2.0;
    browser.visit(&link(&wrong)).await;
    browser.wait("link-error", 60, |text| text.contains("lora_dropout = 2.0 is out of range")).await;
    // In the form, the error is shown at its field.
    browser.fill("field-lora-r", "0").await;
    browser.wait("error-lora-r", 10, |text| !text.is_empty()).await;
    // Markup is shown as text.
    browser.visit(&link(&recipe(&["training.output_dir=<img src=x onerror=alert(1)>"]))).await;
    browser.wait("field-training-output_dir", 60, |text| text.contains("<img")).await;
    assert_eq!(browser.run("return document.images.length").await, 0);
    assert_eq!(browser.console().await, [""; 0]);
}

#[tokio::test]
#[ignore = "needs the page and Chromium: cargo xtask test"]
async fn a_model_from_a_hub_survives_a_broken_connection_and_is_kept() {
    let files = |model: &'static str| tiny().map(move |(name, bytes)| (format!("{model}/{name}"), bytes));
    let hub = Hub::open(files("lorelei/tiny").chain(files("lorelei/other")));
    hub.shelf.lock().unwrap().cut.insert("lorelei/tiny/model.safetensors".into());
    let template = "additional_chat_templates/tool_use.jinja";
    hub.shelf.lock().unwrap().files.insert(format!("lorelei/tiny/{template}"), b"{{ tools }}".to_vec());
    let browser = Browser::open(1200, 900).await;
    let load = async |id: &str| {
        open(&browser, "").await;
        browser.fill("model-hub-id", id).await;
        browser.fill("model-hub-endpoint", &hub.address).await;
        browser.click("model-hub-load").await;
    };
    load("lorelei/tiny").await;
    browser.wait("model-name", 120, |name| name == "lorelei/tiny").await;
    let requests = hub.shelf.lock().unwrap().requests.clone();
    // Chromium's cache asks for a single byte of its own, to see whether the file is still the same.
    let is_probe = |range: &str| {
        range
            .strip_prefix("bytes=")
            .and_then(|range| range.split_once('-'))
            .is_some_and(|(first, last)| first == last)
    };
    let is_transfer = |(path, range): &&(String, Option<String>)| {
        path.starts_with("/stored/") && !range.as_deref().is_some_and(is_probe)
    };
    let weights: Vec<_> = requests.iter().filter(is_transfer).collect();
    assert_eq!(weights.len(), 2, "{requests:?}");
    assert!(weights[1].1.as_deref().is_some_and(|range| range.starts_with("bytes=") && range != "bytes=0-"));
    assert!(requests.iter().any(|(path, _)| path.ends_with(template)), "{requests:?}");
    browser.wait("model-cached", 30, |cached| cached.contains("lorelei/tiny/main")).await;

    // The second load fetches nothing.
    load("lorelei/tiny").await;
    browser.wait("model-name", 120, |name| name == "lorelei/tiny").await;
    assert_eq!(hub.shelf.lock().unwrap().requests.len(), requests.len());

    // A file that differs from the hub's is not kept.
    hub.shelf.lock().unwrap().damaged.insert("lorelei/other/model.safetensors".into());
    browser.fill("model-hub-revision", "v2").await;
    browser.fill("model-hub-id", "lorelei/other").await;
    browser.click("model-hub-load").await;
    browser.wait("model-error", 60, |error| error.contains("arrived damaged")).await;
    // What was stored before is fetched anew where the hub has another file by now.
    let config = "lorelei/other/config.json";
    hub.shelf.lock().unwrap().files.get_mut(config).unwrap().push(b'\n');
    browser.click("model-hub-load").await;
    browser.wait("model-name", 120, |name| name == "lorelei/other@v2").await;
    let requests = hub.shelf.lock().unwrap().requests.clone();
    let is_config = |path: &str| path.starts_with("/lorelei/other/") && path.ends_with("/config.json");
    assert_eq!(requests.iter().filter(|(path, _)| is_config(path)).count(), 2, "{requests:?}");

    // A revision may be a path.
    browser.fill("model-hub-revision", "refs/pr/1").await;
    browser.click("model-hub-load").await;
    browser.wait("model-name", 120, |name| name == "lorelei/other@refs/pr/1").await;
    browser.wait("model-cached", 30, |cached| cached.contains("lorelei/other/refs/pr/1")).await;

    // A file that the hub refuses is reported, and the loaded model is kept.
    hub.shelf.lock().unwrap().refused.insert("lorelei/closed/config.json".into(), 401);
    load("lorelei/closed").await;
    browser.wait("model-error", 60, |error| error.contains("401") && error.contains("login")).await;
    load("lorelei/none").await;
    browser.wait("model-error", 60, |error| error.contains("has no config.json")).await;
    browser.wait("model-name", 10, |name| name == "builtin:tiny").await;

    // Stored models can be deleted.
    let label = "[...document.querySelectorAll('[data-testid=model-cached] button')].pop().click()";
    let stored = ["tiny/main", "other/v2", "other/refs/pr/1"];
    browser.wait("model-cached", 30, |cached| stored.iter().all(|name| cached.contains(name))).await;
    for left in [2, 1, 0] {
        browser.run(label).await;
        let count = |cached: &str| stored.iter().filter(|name| cached.contains(**name)).count();
        browser.wait("model-cached", 30, |cached| count(cached) == left).await;
    }
    browser.wait("model-cached", 30, str::is_empty).await;
    // The browser's own messages about the answers are no errors of the page.
    let console = browser.console().await;
    assert!(console.iter().all(|line| line.contains("Failed to load resource")), "{console:?}");
}

#[tokio::test]
#[ignore = "needs the page and Chromium: cargo xtask test"]
async fn files_that_are_no_model_and_rows_that_are_no_rows() {
    let browser = Browser::open(1200, 900).await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    open(&browser, "").await;
    let picture = write("picture.gguf", b"\x89PNG\r\n\x1a\n and so on");
    browser.pick("model-files", &[&picture]).await;
    browser.wait("model-error", 30, |error| error.contains("picture.gguf")).await;
    let files: Vec<_> = tiny()
        .map(|(name, bytes)| {
            let length = if name == "model.safetensors" { bytes.len() / 2 } else { bytes.len() };
            write(&name, &bytes[..length])
        })
        .collect();
    let files: Vec<&Path> = files.iter().map(|path| path.as_path()).collect();
    browser.pick("model-files", &files).await;
    browser.wait("model-error", 30, |error| error.contains("model.safetensors")).await;
    // The loaded model is kept.
    assert_eq!(browser.text("model-name").await, "builtin:tiny");

    // The complete files are a model.
    for (name, bytes) in tiny() {
        write(&name, &bytes);
    }
    browser.pick("model-files", &files).await;
    browser.wait("model-name", 30, |name| name == "model").await;

    let rows = write(
        "rows.csv",
        "prompt,completion\nWhat is 1+1?,2\n\"Say \"\"hi\"\"\",\"hi,\nthere\"\n".as_bytes(),
    );
    browser.pick("data-files", &[&rows]).await;
    browser.wait("data-status", 30, |status| status.contains("rows.csv was read")).await;
    // One row is trained on and one is held out.
    assert_eq!(browser.text("data-rows").await, "1");
    assert_eq!(browser.text("data-validation-rows").await, "1");
    browser.wait("data-preview", 10, |preview| preview.contains("hi")).await;
    let bad = write("bad.jsonl", b"{\"text\": \"fine\"}\n{\"txet\": 1}\nnot JSON\n");
    browser.pick("data-files", &[&bad]).await;
    let told = browser.wait("data-bad-rows", 30, |rows| rows.contains("bad.jsonl:2")).await;
    assert!(told.contains("bad.jsonl:3"), "{told}");
    browser.wait("run-obstacle", 10, |obstacle| !obstacle.is_empty()).await;
    assert_eq!(browser.console().await, [""; 0]);
}

#[tokio::test]
#[ignore = "needs the page and Chromium: cargo xtask test"]
async fn a_second_tab_and_a_full_storage() {
    let browser = Browser::open(1200, 900).await;
    let run = link(&recipe(&["training.max_steps=400", "training.save_steps=2", "training.output_dir=tab"]));
    open(&browser, &run).await;
    browser.click("run-start").await;
    browser.wait("run-step", 120, |text| step(text) >= 2).await;
    browser.click("run-pause").await;
    browser.wait("run-status", 60, |status| status.contains("Paused")).await;

    let first = browser.client.window().await.unwrap();
    let second = browser.client.new_window(true).await.unwrap().handle;
    browser.client.switch_to_window(second).await.unwrap();
    open(&browser, &run).await;
    browser.click("run-start").await;
    browser.wait("run-error", 60, |error| error.contains("another tab")).await;
    browser.client.close_window().await.unwrap();
    browser.client.switch_to_window(first).await.unwrap();

    // The first tab's run continues, without checkpoints where there is no room for them.
    browser.bound_storage(1000).await;
    let paused = step(&browser.text("run-step").await);
    browser.click("run-pause").await;
    browser.wait("run-log", 120, |log| log.contains("is not kept")).await;
    browser.wait("run-step", 120, |text| step(text) > paused + 4).await;
    browser.click("run-stop").await;
    browser.wait("run-status", 60, |status| status.contains("topped")).await;
    browser.click("download-zip").await;
    browser.download("tab.zip").await;
    assert_eq!(browser.console().await, [""; 0]);
}

#[tokio::test]
#[ignore = "needs the page and Chromium: cargo xtask test"]
async fn a_lost_gpu_is_told_and_the_run_goes_on_afterwards() {
    let browser = Browser::open(1200, 900).await;
    let run = link(&recipe(&["training.max_steps=6", "training.save_steps=2"]));
    open(&browser, &run).await;
    browser.choose("model-device", "web_gpu").await;
    browser.wait("model-placed", 120, |place| place.contains("WebGPU")).await;
    browser.wait("data-status", 120, |status| status.contains("was read")).await;
    browser.click("run-start").await;
    browser.wait("run-step", 300, |text| step(text) >= 3).await;

    browser.end_gpu_process();
    browser.wait("trainer-status", 60, |status| status.contains("GPU was lost")).await;
    browser.click("trainer-restart").await;
    browser.wait("interrupted", 120, |text| text.contains('2')).await;
    browser.wait("model-status", 120, |status| status.contains("is loaded")).await;
    browser.click("resume-run").await;
    browser.wait("run-status", 300, |status| status.contains('6')).await;
}

#[tokio::test]
#[ignore = "needs the page and Chromium: cargo xtask test"]
async fn every_language_and_theme_fits_a_narrow_window() {
    let browser = Browser::open(800, 900).await;
    browser.narrow(380, 2400).await;
    open(&browser, "").await;
    assert_eq!(browser.run("return innerWidth").await, 380);
    for (language, theme) in [("en", "light"), ("zh-CN", "light"), ("en", "dark"), ("zh-CN", "dark")] {
        browser.choose("language", language).await;
        browser.choose("theme", theme).await;
        let wide = browser.run("return document.documentElement.scrollWidth - innerWidth").await;
        assert!(wide.as_i64().unwrap() <= 0, "{language} {theme}: {wide} points too wide");
        browser.screenshot(&format!("narrow-{language}-{theme}")).await;
    }
    assert_eq!(browser.console().await, [""; 0]);
}
