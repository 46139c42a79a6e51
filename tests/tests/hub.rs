//! Tests of models by their hub id, natively: fetched into the hub's own cache, found there again, or refused by the hub.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use lorelei_tests::{hub::Hub, program};

const ID: &str = "lorelei/tiny";

/// Returns a hub that has `builtin:tiny`.
fn hub() -> Hub {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/builtin/tiny");
    Hub::open(
        ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
            .map(|name| (format!("{ID}/{name}"), fs::read(folder.join(name)).unwrap())),
    )
}

/// Runs `lorelei params` with a recipe for a model of the hub at `address`, with a cache in `folder`.
fn params(address: &str, folder: &Path, id: &str) -> Output {
    command(address, folder, id).output().unwrap()
}

fn command(address: &str, folder: &Path, id: &str) -> Command {
    let recipe = folder.join("recipe.toml");
    fs::write(&recipe, format!("[model]\nmodel_name_or_path = \"{id}\"\n")).unwrap();
    let mut command = Command::new(program());
    command.arg("params").arg(recipe).env("HF_ENDPOINT", address).env("HF_HOME", folder.join("cache"));
    for name in [
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "HF_TOKEN",
        "HF_TOKEN_PATH",
        "HUGGING_FACE_HUB_TOKEN",
        "http_proxy",
        "HTTP_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ] {
        command.env_remove(name);
    }
    command
}

fn ok(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn refused(output: &Output, words: &[&str]) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    // The report is broken into lines.
    let errors = errors.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
    for word in words {
        assert!(errors.contains(word), "no {word:?} in\n{errors}");
    }
    assert!(!errors.contains("panicked"), "{errors}");
}

#[test]
fn a_model_is_fetched_once_and_found_again_without_the_hub() {
    let (hub, folder) = (hub(), tempfile::tempdir().unwrap());
    // The connection breaks off half-way through the weights, and the transfer is resumed there.
    hub.shelf.lock().unwrap().cut.insert(format!("{ID}/model.safetensors"));
    let said = ok(&params(&hub.address, folder.path(), ID));
    assert!(said.starts_with("trainable params: "), "{said}");
    let requests = hub.shelf.lock().unwrap().requests.clone();
    let goes_on = |(path, range): &(String, Option<String>)| {
        let from = range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
        path.ends_with("model.safetensors") && from.is_some_and(|from| from != "0")
    };
    assert!(requests.iter().any(goes_on), "{requests:?}");
    // The files are in the folder that every tool of the hub's uses.
    let snapshots = folder.path().join("cache/hub/models--lorelei--tiny/snapshots");
    let [commit] =
        &fs::read_dir(&snapshots).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>()[..]
    else {
        panic!("one commit in {}", snapshots.display());
    };
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/builtin/tiny/model.safetensors");
    assert_eq!(fs::read(commit.join("model.safetensors")).unwrap(), fs::read(weights).unwrap());

    // A revision is requested by its name.
    ok(&params(&hub.address, folder.path(), &format!("{ID}@v1.0")));
    let requests = hub.shelf.lock().unwrap().requests.clone();
    assert!(requests.iter().any(|(path, _)| path.contains("/resolve/v1.0/config.json")), "{requests:?}");
    assert!(folder.path().join("cache/hub/models--lorelei--tiny/refs/v1.0").exists());

    // There is no server at this address.
    let again = ok(&params("http://127.0.0.1:9", folder.path(), ID));
    assert_eq!(again, said);
}

#[test]
fn what_arrives_damaged_is_fetched_anew_once_and_never_kept() {
    let (hub, folder) = (hub(), tempfile::tempdir().unwrap());
    hub.shelf.lock().unwrap().spoiled.insert(format!("{ID}/model.safetensors"));
    refused(
        &params(&hub.address, folder.path(), ID),
        &[ID, "model.safetensors", "arrived damaged", "SHA-256"],
    );
    let transfers = |hub: &Hub| {
        let shelf = hub.shelf.lock().unwrap();
        shelf.requests.iter().filter(|(path, _)| path.starts_with("/stored/")).count()
    };
    assert_eq!(transfers(&hub), 2);
    let blobs = folder.path().join("cache/hub/models--lorelei--tiny/blobs");
    let large = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().len() >= 64;
    assert!(!fs::read_dir(blobs).unwrap().any(large), "it is still there");
    // One damaged transfer is repaired by another.
    hub.shelf.lock().unwrap().spoiled.clear();
    hub.shelf.lock().unwrap().damaged.insert(format!("{ID}/model.safetensors"));
    ok(&params(&hub.address, folder.path(), ID));
    assert_eq!(transfers(&hub), 4);
}

#[test]
fn offline_only_the_cache_is_asked() {
    let (hub, folder) = (hub(), tempfile::tempdir().unwrap());
    let offline = |id: &str| {
        let mut command = command(&hub.address, folder.path(), id);
        command.env("HF_HUB_OFFLINE", "1").env("HF_HUB_CACHE", folder.path().join("elsewhere"));
        command.output().unwrap()
    };
    refused(&offline(ID), &[ID, "config.json", "not in the cache", "elsewhere", "HF_HUB_OFFLINE"]);
    assert_eq!(hub.shelf.lock().unwrap().requests, []);
    let mut fetch = command(&hub.address, folder.path(), ID);
    ok(&fetch.env("HF_HUB_CACHE", folder.path().join("elsewhere")).output().unwrap());
    let requests = hub.shelf.lock().unwrap().requests.len();
    ok(&offline(ID));
    // A commit is also found by its own name.
    ok(&offline(&format!("{ID}@0123456789abcdef0123456789abcdef01234567")));
    assert_eq!(hub.shelf.lock().unwrap().requests.len(), requests);
}

#[test]
fn what_the_hub_does_not_give_is_said_with_its_name() {
    let (hub, folder) = (hub(), tempfile::tempdir().unwrap());
    let nothing = params(&hub.address, folder.path(), "lorelei/none");
    refused(&nothing, &["lorelei/none", "config.json", "404"]);
    hub.shelf.lock().unwrap().refused.insert(format!("{ID}/config.json"), 401);
    refused(&params(&hub.address, folder.path(), ID), &[ID, "config.json", "401"]);
    hub.shelf.lock().unwrap().refused.clear();
    hub.shelf.lock().unwrap().refused.insert(format!("{ID}/model.safetensors"), 403);
    refused(&params(&hub.address, folder.path(), ID), &[ID, "model.safetensors", "403", "HF_TOKEN"]);
    // So is a file that the model may lack: without it, another chat template would be trained.
    hub.shelf.lock().unwrap().refused.clear();
    hub.shelf.lock().unwrap().refused.insert(format!("{ID}/tokenizer_config.json"), 403);
    refused(&params(&hub.address, folder.path(), ID), &[ID, "tokenizer_config.json", "403"]);
    // The files that were fetched before are kept, and the rest is fetched when the hub allows it, though it is busy at first.
    hub.shelf.lock().unwrap().refused.clear();
    hub.shelf.lock().unwrap().busy.insert(format!("{ID}/tokenizer_config.json"), 503);
    let output = params(&hub.address, folder.path(), ID);
    ok(&output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("503"));
}

#[test]
fn an_adapter_is_fetched_by_its_id() {
    let adapter = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/llama/adapter");
    let files = ["adapter_config.json", "adapter_model.safetensors"];
    let hub = Hub::open(
        files.map(|name| (format!("lorelei/adapter/{name}"), fs::read(adapter.join(name)).unwrap())),
    );
    let folder = tempfile::tempdir().unwrap();
    let set = ["model.model_name_or_path", "model.adapter_name_or_path"];
    let run = |id: &str| {
        let mut command = command(&hub.address, folder.path(), "none");
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/llama");
        for (name, value) in set.into_iter().zip([model.display().to_string(), id.to_owned()]) {
            command.args(["--set", &format!("{name}={value}")]);
        }
        command.output().unwrap()
    };
    // The recipe has rank 8 by default, and the adapter has 4.
    let said = ok(&run("lorelei/adapter"));
    assert!(said.contains("self_attn.q_proj.lora_A.weight [4, 64]"), "{said}");
    refused(&run("lorelei/none"), &["lorelei/none"]);
}
