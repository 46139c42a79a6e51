//! Exports on a file system.

mod common;

use std::{fs, path::Path};

use common::{adapter, config, model, path};
use lorelei_export::{
    ExportError, ExportKind, ExportRequest, export_to_path, is_mlx_adapter, mlx_base, open_adapter,
    peft_files_of_mlx,
};
use lorelei_recipe::Message;

/// A tokenizer of one letter.
const TOKENIZER: &str = r#"{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false}}"#;

fn request<'a>(kind: ExportKind, output: &'a Path, overwrite: bool) -> ExportRequest<'a> {
    ExportRequest { export: common::export(kind, None), output, sources: &[], overwrite }
}

fn export(case: &str, request: &ExportRequest<'_>) -> Result<Vec<Message>, ExportError> {
    let (base, _) = case.split_once('/').unwrap();
    export_to_path(&adapter(case), &model(base), request)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_kind_has_its_files_and_nothing_else_stays() {
    for (name, kind) in ExportKind::ALL {
        let root = tempfile::tempdir().unwrap();
        let output = root.path().join("deep/out");
        let mut base = model("llama");
        base.tokenizer = Some(TOKENIZER.into());
        export_to_path(&adapter("llama/adapter"), &base, &request(kind, &output, false)).unwrap();
        assert_eq!(names(output.parent().unwrap()), ["out"]);
        let wanted: &[&str] = match kind {
            ExportKind::GgufLora | ExportKind::Gguf => {
                assert!(fs::read(&output).unwrap().starts_with(b"GGUF"));
                continue;
            }
            ExportKind::Peft => &["adapter_config.json", "adapter_model.safetensors"],
            ExportKind::Mlx => &["adapter_config.json", "adapters.safetensors"],
            ExportKind::Ollama => &["Modelfile", "adapter.gguf"],
            ExportKind::Merged => &["config.json", "model.safetensors", "tokenizer.json"],
        };
        assert_eq!(names(&output), wanted, "{name}");
        if kind == ExportKind::Peft {
            for file in wanted {
                assert!(
                    fs::read(output.join(file)).unwrap()
                        == fs::read(path("llama/adapter").join(file)).unwrap(),
                    "{file}"
                );
            }
        }
        if kind == ExportKind::Mlx {
            // And back.
            assert!(is_mlx_adapter(&output) && !is_mlx_adapter(&path("llama/adapter")));
            assert_eq!(mlx_base(&output).unwrap(), "tiny/llama");
            let files = peft_files_of_mlx(&output, &config("llama"), "tiny/llama").unwrap();
            assert!(files[0].1 == fs::read(path("llama/adapter/adapter_model.safetensors")).unwrap());
            let error = open_adapter(&output).err().unwrap().to_string();
            assert!(error.contains("lorelei convert"), "{error}");
        }
        if kind == ExportKind::Ollama {
            let text = fs::read_to_string(output.join("Modelfile")).unwrap();
            assert!(text.starts_with("FROM ./base.gguf\nADAPTER ./adapter.gguf\nTEMPLATE \"\"\""), "{text}");
        }
    }
}

#[test]
fn what_is_there_is_replaced_only_on_request_and_only_by_a_whole_export() {
    let root = tempfile::tempdir().unwrap();
    let output = root.path().join("out");
    let out = || vec!["out".to_owned()];
    let error = |case: &str, kind, overwrite| {
        export(case, &request(kind, &output, overwrite)).unwrap_err().to_string()
    };
    // Not even on request is anything replaced that no export has written.
    fs::create_dir(&output).unwrap();
    fs::write(output.join("mine"), "1").unwrap();
    assert!(error("llama/adapter", ExportKind::Mlx, true).contains("it holds mine"));
    assert!(error("llama/adapter", ExportKind::GgufLora, true).contains("it is a folder"));
    assert_eq!((names(root.path()), names(&output)), (out(), vec!["mine".to_owned()]));
    fs::remove_file(output.join("mine")).unwrap();
    export("llama/adapter_all_linear", &request(ExportKind::Mlx, &output, true)).unwrap();
    let before = fs::read(output.join("adapters.safetensors")).unwrap();
    let refused = error("llama/adapter", ExportKind::Mlx, false);
    assert!(refused.contains("there already") && refused.contains("--overwrite"), "{refused}");
    assert!(error("llama/adapter", ExportKind::Merged, true).contains("it holds adapter"));
    // A refusal leaves what was there.
    error("llama/modules_to_save", ExportKind::Mlx, true);
    assert!(fs::read(output.join("adapters.safetensors")).unwrap() == before);
    export("llama/adapter", &request(ExportKind::Mlx, &output, true)).unwrap();
    assert!(fs::read(output.join("adapters.safetensors")).unwrap() != before);
    assert_eq!((names(root.path()), names(&output).len()), (out(), 2));
    let file = root.path().join("file");
    fs::write(&file, "mine").unwrap();
    let odd = export("llama/adapter", &request(ExportKind::GgufLora, &file, true)).unwrap_err().to_string();
    assert!(odd.contains("no GGUF file") && fs::read(&file).unwrap() == b"mine", "{odd}");
    // A source is never replaced, nor a folder that holds one.
    let source = output.join("adapters.safetensors");
    let sources = [source.as_path()];
    let error = export(
        "llama/adapter",
        &ExportRequest { sources: &sources, ..request(ExportKind::Mlx, &output, true) },
    );
    assert!(error.unwrap_err().to_string().contains("what is to be exported"));
    assert!(source.exists());
}

#[test]
fn a_merged_model_takes_its_card_and_recipe_along_and_is_replaced_with_them() {
    let root = tempfile::tempdir().unwrap();
    let output = root.path().join("out");
    let companions =
        [("README.md".to_owned(), b"card".to_vec()), ("recipe.toml".to_owned(), b"recipe".to_vec())];
    for overwrite in [false, true] {
        let mut request = request(ExportKind::Merged, &output, overwrite);
        request.export.companions = &companions;
        export("llama/adapter", &request).unwrap();
        assert_eq!(names(&output), ["README.md", "config.json", "model.safetensors", "recipe.toml"]);
        assert_eq!(fs::read(output.join("README.md")).unwrap(), b"card");
    }
}

#[test]
fn formats_have_the_names_of_both_worlds() {
    assert_eq!(ExportKind::Merged.dtype(Some("BF16")).unwrap(), ExportKind::Merged.dtype(None).unwrap());
    assert_eq!(
        ExportKind::GgufLora.dtype(Some("float32")).unwrap(),
        ExportKind::GgufLora.dtype(None).unwrap()
    );
    let error = ExportKind::Merged.dtype(Some("q8_0")).unwrap_err().to_string();
    assert!(error.contains("merged has no format \"q8_0\"; write bfloat16, float16, float32"), "{error}");
    assert_eq!(ExportKind::GgufLora.default_output("owner/run"), Path::new("run-lora.gguf"));
    let folder = path("llama/adapter");
    let beside = ExportKind::Mlx.default_output(&format!("{}/", folder.display()));
    assert_eq!(beside, folder.with_file_name("adapter-mlx"));
}

#[test]
fn a_folder_without_an_adapter_says_what_it_has() {
    let root = tempfile::tempdir().unwrap();
    for (file, words) in [
        ("adapter_model.bin", "PyTorch's own format"),
        ("adapters.safetensors", "lorelei convert"),
        ("model.safetensors", "`--to gguf`"),
        ("checkpoint-10", "checkpoint-10"),
        ("notes.txt", "is it the folder of a run"),
    ] {
        let folder = root.path().join(format!("with-{file}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(file), "").unwrap();
        let said = open_adapter(&folder).err().unwrap().to_string();
        assert!(said.contains("it has no adapter_config.json") && said.contains(words), "{said}");
    }
    let adapter = open_adapter(&path("llama/adapter")).unwrap();
    assert_eq!(adapter.base_name().as_deref(), Some("tiny/llama"));
    let with = |config: &str| config.replace("\"revision\": null", "\"revision\": \"v1\"");
    assert_eq!(common::edited("llama/adapter", with).unwrap().base_name().as_deref(), Some("tiny/llama@v1"));
}
