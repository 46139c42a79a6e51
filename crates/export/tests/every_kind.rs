//! Exports of every kind into memory, as a page makes them.

mod common;

use std::{cell::RefCell, collections::BTreeMap, fs, io::Write, rc::Rc};

use common::{adapter, edited, export, model, path};
use lorelei_export::{
    Export, ExportError, ExportKind, ExportRequest, PeftAdapter, check_export, export_to_path,
};
use lorelei_formats::ModelSource;
use lorelei_recipe::Message;

type Files = BTreeMap<String, Vec<u8>>;

/// A file in memory, which is stored when it is dropped.
struct Stored(String, Vec<u8>, Rc<RefCell<Files>>);

impl Write for Stored {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.1.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.2.borrow_mut().insert(self.0.clone(), std::mem::take(&mut self.1));
    }
}

fn in_memory(
    export: &Export<'_>,
    adapter: &PeftAdapter,
    base: &ModelSource,
) -> Result<(Files, Vec<Message>), ExportError> {
    let files = Rc::new(RefCell::new(Files::new()));
    let mut create = |name: &str| {
        let file = Stored(name.to_owned(), Vec::new(), files.clone());
        Ok(Box::new(file) as Box<dyn Write>)
    };
    let notices = export.write(adapter, base, &mut create)?;
    Ok((files.take(), notices))
}

#[test]
fn memory_and_a_file_system_get_the_same() {
    let (adapter, base) = (adapter("llama/rank_alpha_pattern"), model("llama"));
    for (name, kind) in ExportKind::ALL {
        for (dtype, fold) in kind.dtype_names().into_iter().flat_map(|dtype| [(dtype, false), (dtype, true)])
        {
            let export = Export { fold, ..export(kind, Some(dtype)) };
            let written = in_memory(&export, &adapter, &base);
            if kind == ExportKind::Gguf {
                // These bases have no tokenizer, which a GGUF model needs; `merged_gguf.rs` has some that do.
                assert!(written.unwrap_err().to_string().contains("tokenizer.json"));
                continue;
            }
            let (files, notices) = written.unwrap();
            let root = tempfile::tempdir().unwrap();
            let output = root.path().join("out");
            let request = ExportRequest { export, output: &output, sources: &[], overwrite: false };
            assert_eq!(export_to_path(&adapter, &base, &request).unwrap(), notices, "{name}");
            if kind == ExportKind::GgufLora {
                let file = fs::read(&output).unwrap();
                assert!(files.len() == 1 && files.values().all(|bytes| *bytes == file), "{name} {dtype}");
                continue;
            }
            assert_eq!(files.len(), fs::read_dir(&output).unwrap().count(), "{name}");
            for (file, bytes) in &files {
                assert!(fs::read(output.join(file)).unwrap() == *bytes, "{name} {dtype}: {file}");
            }
        }
    }
}

/// Returns every adapter of the fixtures, as `model/adapter`.
fn cases() -> Vec<String> {
    let folders = |folder: &std::path::Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    let models = folders(&path("")).into_iter().filter(|model| model.join("config.json").exists());
    let adapters = models.flat_map(|model| folders(&model));
    let adapters = adapters.filter(|adapter| adapter.join("adapter_config.json").exists());
    let root = path("");
    let mut cases: Vec<String> =
        adapters.map(|adapter| adapter.strip_prefix(&root).unwrap().display().to_string()).collect();
    cases.sort();
    cases
}

#[test]
fn a_check_refuses_what_the_export_refuses_in_the_same_words() {
    let (mut refused, mut written) = (0, 0);
    for case in cases() {
        let (base, _) = case.split_once('/').unwrap();
        let Ok(adapter) = edited(&case, str::to_owned) else { continue };
        let base = model(base);
        for ((name, kind), fold) in ExportKind::ALL.into_iter().flat_map(|kind| [(kind, false), (kind, true)])
        {
            let before = check_export(kind, fold, &adapter, &base).map_err(|error| error.to_message());
            let export = Export { fold, ..export(kind, None) };
            let after = in_memory(&export, &adapter, &base).map_err(|error| error.to_message());
            match &after {
                Ok(_) => written += 1,
                Err(_) => refused += 1,
            }
            assert_eq!(before.err(), after.err(), "{case} as {name}");
        }
    }
    assert!(refused > 40 && written > 120, "{refused} refused, {written} written");
}

#[test]
fn refusals_are_messages_that_a_page_translates() {
    let error =
        check_export(ExportKind::GgufLora, false, &adapter("llama/dora"), &model("llama")).unwrap_err();
    let message = error.to_message();
    assert_eq!(error.to_string(), message.to_string());
    let chinese = message.translated(&|english| match english {
        "{form} cannot hold this adapter: {problem}; {help}" => Some("{form}|{problem}|{help}"),
        "a GGUF adapter" => Some("F"),
        _ => None,
    });
    assert!(chinese.starts_with("F|it is DoRA, and "), "{chinese}");
    assert!(chinese.contains("|export it merged into its base (`gguf`, or `merged`"), "{chinese}");
}
