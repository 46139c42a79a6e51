//! The files of a model's folder.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

use lorelei_formats::{Dtype, ModelSource, TensorData, TensorSpec, to_bytes};

/// Opens a folder of `files`, and returns the model with the paths that it has asked for.
fn opened(files: &BTreeMap<&str, Vec<u8>>) -> (ModelSource, BTreeSet<String>) {
    let asked = RefCell::new(BTreeSet::new());
    let open = |path: &str| {
        asked.borrow_mut().insert(path.to_owned());
        files.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    };
    let source = ModelSource::from_folder("", open).unwrap();
    (source, asked.into_inner())
}

/// Returns all that a model is fetched by: what is not among it would be read from a folder and not be fetched from a hub.
fn fetched(index: Option<&str>) -> BTreeSet<String> {
    let weights = ModelSource::weight_files(index, ModelSource::INDEX).unwrap();
    let others = ["config.json", ModelSource::INDEX].into_iter().chain(ModelSource::OPTIONAL);
    weights.into_iter().chain(others.map(str::to_owned)).collect()
}

#[test]
fn all_files_that_are_read_are_listed() {
    let spec = TensorSpec::new("w", Dtype::F32, [1]);
    let weights = to_bytes(&[(spec, TensorData::F32(&[1.0]))], &BTreeMap::new()).unwrap();
    let mut files = BTreeMap::from([
        ("config.json", b"{}".to_vec()),
        ("model.safetensors", weights.clone()),
        ("additional_chat_templates/tool_use.jinja", b"T".to_vec()),
    ]);
    let (source, asked) = opened(&files);
    assert_eq!(asked, fetched(None));
    assert_eq!(source.tool_use_template.as_deref(), Some("T"));

    let index = r#"{"metadata": {}, "weight_map": {"w": "a.safetensors"}}"#;
    files.remove("model.safetensors");
    files.insert("a.safetensors", weights);
    files.insert("model.safetensors.index.json", index.as_bytes().to_vec());
    let (_, asked) = opened(&files);
    assert_eq!(asked, fetched(Some(index)));
    assert!(asked.contains("a.safetensors") && !asked.contains("model.safetensors"));
    let error = ModelSource::weight_files(Some("[]"), "o/m: the index").unwrap_err().to_string();
    assert!(error.contains("o/m: the index"), "{error}");
}
