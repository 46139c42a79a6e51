//! Merged GGUF models against llama.cpp's own converter, and against the merged folder.

mod common;

use std::{cell::RefCell, collections::BTreeMap, io::Write, rc::Rc};

use common::{adapter, apart, edited, model, tensors, text};
use lorelei_export::{
    ExportError, MergeOptions, MergedGgufOptions, PeftAdapter, write_merged, write_merged_gguf,
};
use lorelei_formats::{
    Dtype, ModelSource, SafetensorsFile, TensorSource,
    adapter::{read_adapter, write_adapter},
    gguf::{GgmlType, Gguf, GgufValue},
};
use lorelei_recipe::Message;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Returns a tokenizer of so many letters.
fn tokenizer(size: usize) -> Vec<u8> {
    let letters = (0..size).map(|id| (format!("t{id}"), json!(id))).collect::<serde_json::Map<_, _>>();
    let tokenizer = json!({
        "added_tokens": [{"id": 1, "content": "t1", "special": true}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": letters, "merges": []},
    });
    tokenizer.to_string().into_bytes()
}

/// Opens a model of the fixtures, with a tokenizer.
fn with_tokenizer(name: &str) -> ModelSource {
    let mut source = model(name);
    source.tokenizer = Some(tokenizer(source.model_config().unwrap().vocab_size));
    source.tokenizer_config = Some(r#"{"bos_token":"t1"}"#.to_owned());
    source
}

/// Opens an adapter of the fixtures with zeros in every `B`: it changes nothing.
fn zeros(folder: &str) -> PeftAdapter {
    let mut tensors = read_adapter(&tensors(&format!("{folder}/adapter_model.safetensors"))).unwrap();
    for (key, tensor) in &mut tensors {
        if key.contains("lora_B") {
            tensor.values.fill(0.0);
        }
    }
    let file = SafetensorsFile::open(write_adapter(&tensors).unwrap(), "zeros").unwrap();
    let config = text(&format!("{folder}/adapter_config.json"));
    PeftAdapter::open(&config, "adapter_config.json", Box::new(file), "zeros").unwrap()
}

fn options(ggml_type: Option<GgmlType>) -> MergedGgufOptions {
    MergedGgufOptions { ggml_type, name: "run".to_owned() }
}

fn written(
    adapter: &PeftAdapter,
    base: &ModelSource,
    ggml_type: Option<GgmlType>,
) -> Result<(Vec<u8>, Vec<Message>), ExportError> {
    write_merged_gguf(adapter, base, &options(ggml_type), Vec::new())
}

fn refused(adapter: &PeftAdapter, base: &ModelSource) -> String {
    written(adapter, base, None).map(|_| ()).unwrap_err().to_string()
}

/// Merges into a folder in memory, in f32.
fn folder(adapter: &PeftAdapter, base: &ModelSource) -> ModelSource {
    struct File(Rc<RefCell<BTreeMap<String, Vec<u8>>>>, String);
    impl Write for File {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.borrow_mut().entry(self.1.clone()).or_default().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let files = Rc::new(RefCell::new(BTreeMap::new()));
    let options =
        MergeOptions { dtype: Dtype::F32, max_shard_bytes: MergeOptions::SHARD_BYTES, labels: None };
    let mut create = |name: &str| Ok(Box::new(File(files.clone(), name.to_owned())) as Box<dyn Write>);
    write_merged(adapter, base, &options, &mut create).unwrap();
    let files = files.take();
    let open = |name: &str| files.get(name).cloned().ok_or_else(|| std::io::ErrorKind::NotFound.into());
    ModelSource::from_folder("merged", open).unwrap()
}

fn stored(file: &Gguf<Vec<u8>>, name: &str) -> Vec<u8> {
    let tensor = file.tensor(name).unwrap_or_else(|| panic!("no {name}"));
    let mut bytes = vec![0; tensor.byte_len as usize];
    file.read_stored(tensor, 0, &mut bytes).unwrap();
    bytes
}

/// Whether a value of the file is the converter's.
fn same(ours: &GgufValue, kind: &str, theirs: &Value) -> bool {
    match (ours, kind) {
        (GgufValue::U32(ours), "UINT32") => theirs.as_u64() == Some((*ours).into()),
        (GgufValue::F32(ours), "FLOAT32") => theirs.as_f64().map(|theirs| theirs as f32) == Some(*ours),
        (GgufValue::String(ours), "STRING") => theirs.as_str() == Some(ours),
        _ => false,
    }
}

#[test]
fn keys_and_tensors_are_the_converters() {
    let table: Value = serde_json::from_str(include_str!("fixtures/gguf_model.json")).unwrap();
    let table = table.as_object().unwrap();
    let mut compared = 0;
    for (case, wanted) in table {
        let (name, kind) = case.split_once('/').unwrap();
        let ggml_type = MergedGgufOptions::TYPES.iter().find(|(name, ..)| *name == kind).unwrap().1;
        let mut base = with_tokenizer(name);
        let adapter = zeros(&format!("{name}/adapter"));
        // The fixtures have numbers that llama.cpp's architectures do not have, and its converter does not say so.
        let odd: &[(&str, &str, &str)] = match name {
            "gemma" => &[("two tensors, and one in", "embeddings\": false", "embeddings\": true")],
            "gemma2" => &[
                ("two tensors, and one in", "embeddings\": false", "embeddings\": true"),
                ("scale of the scores", "query_pre_attn_scalar\": 20", "query_pre_attn_scalar\": 12"),
            ],
            "smollm3" => &[("positions in layer 1", "no_rope_layers\": [", "no_rope_layers\": [1,")],
            _ => &[],
        };
        for (words, from, to) in odd {
            let error = refused(&adapter, &base);
            assert!(error.contains(words) && error.contains("`merged`"), "{error}");
            assert!(base.config.contains(from), "{}", base.config);
            base.config = base.config.replace(from, to);
        }
        let file = Gguf::open(written(&adapter, &base, Some(ggml_type)).unwrap().0, "a.gguf").unwrap();
        for (key, value) in wanted["keys"].as_object().unwrap() {
            let ours = file.metadata().get(key).unwrap_or_else(|| panic!("{case} lacks {key}"));
            let theirs = (value[0].as_str().unwrap(), &value[1]);
            assert!(same(ours, theirs.0, theirs.1), "{case} {key}: {ours:?} {theirs:?}");
        }
        let tensors = wanted["tensors"].as_object().unwrap();
        assert_eq!(file.tensors().len(), tensors.len(), "{case}");
        for (tensor, theirs) in tensors {
            let bytes = stored(&file, tensor);
            let ours = file.tensor(tensor).unwrap();
            assert_eq!(
                json!([ours.ggml_type.to_string(), ours.shape]),
                json!([theirs[0], theirs[1]]),
                "{case} {tensor}"
            );
            if tensor == "rope_freqs.weight" {
                // Theirs are divided in another order.
                continue;
            }
            let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            assert_eq!(theirs[2], *digest, "{case} {tensor}");
            compared += 1;
        }
    }
    assert!(compared > 250, "{compared}");
}

#[test]
fn what_is_written_is_read_again_as_the_merged_folder() {
    for case in [
        "llama/adapter_all_linear",
        "llama/rslora",
        "llama/dora",
        "llama/embedding_lm_head",
        "llama/modules_to_save",
        "llama/trainable_tokens",
        "llama_bias/bias_all",
        "mistral/adapter",
        "qwen2/adapter_all_linear",
        "qwen2/tied_ends",
        "qwen3/adapter",
    ] {
        let (name, _) = case.split_once('/').unwrap();
        let (base, adapter) = (with_tokenizer(name), adapter(case));
        let wanted = folder(&adapter, &base);
        let (bytes, _) = written(&adapter, &base, Some(GgmlType::F32)).unwrap();
        let found = ModelSource::from_gguf(bytes, "a.gguf").unwrap();
        assert_eq!(found.tensors.infos().len(), wanted.tensors.infos().len(), "{case}");
        for info in wanted.tensors.infos() {
            let (ours, theirs) =
                (found.tensors.read_f32(&info.name).unwrap(), wanted.tensors.read_f32(&info.name).unwrap());
            assert!(ours == theirs, "{case} {} {}", info.name, apart(&ours, &theirs));
        }
        let (mut ours, theirs) = (found.model_config().unwrap(), wanted.model_config().unwrap());
        // What GGUF has no key for: Mistral is a Llama, and padding is of training.
        (ours.model_type, ours.bos_token_id, ours.eos_token_id, ours.pad_token_id) =
            (theirs.model_type, theirs.bos_token_id, theirs.eos_token_id.clone(), theirs.pad_token_id);
        if name == "mistral" {
            ours.layers.clone_from(&theirs.layers);
        }
        assert_eq!(ours, theirs, "{case}");
    }
}

#[test]
fn gemma_3_goes_there_and_back() {
    let with = |mut base: ModelSource| {
        // The scale of the scores that llama.cpp has.
        base.config = base.config.replace("query_pre_attn_scalar\": 24", "query_pre_attn_scalar\": 32");
        base
    };
    let (base, adapter) = (with(with_tokenizer("gemma3_text")), adapter("gemma3_text/adapter_all_linear"));
    let error = refused(&adapter, &with_tokenizer("gemma3_text"));
    assert!(error.contains("scale of the scores"), "{error}");
    let plain = written(&zeros("gemma3_text/adapter"), &base, Some(GgmlType::F32)).unwrap().0;
    let gguf_base = ModelSource::from_gguf(plain, "base.gguf").unwrap();
    let wanted = folder(&adapter, &base);
    for base in [&base, &gguf_base] {
        let found = ModelSource::from_gguf(written(&adapter, base, Some(GgmlType::F32)).unwrap().0, "a.gguf")
            .unwrap();
        assert_eq!(found.tensors.infos().len(), wanted.tensors.infos().len());
        for info in wanted.tensors.infos() {
            let read = |source: &ModelSource| source.tensors.read_f32(&info.name).unwrap();
            // One is added to norms and taken away again.
            assert!(apart(&read(&found), &read(&wanted)) < 1e-6, "{}", info.name);
        }
        let (ours, theirs) = (found.model_config().unwrap(), wanted.model_config().unwrap());
        assert_eq!((ours.layers, ours.ropes, ours.scalars), (theirs.layers, theirs.ropes, theirs.scalars));
    }
}

/// Writes a model of the fixtures as GGUF, for a base.
fn gguf_base(name: &str, ggml_type: GgmlType) -> ModelSource {
    let bytes =
        written(&zeros(&format!("{name}/adapter")), &with_tokenizer(name), Some(ggml_type)).unwrap().0;
    ModelSource::from_gguf(bytes, "base.gguf").unwrap()
}

#[test]
fn a_gguf_base_keeps_its_keys_and_what_the_adapter_leaves_alone() {
    for kind in [
        GgmlType::F32,
        GgmlType::BF16,
        GgmlType::Q8_0,
        GgmlType::Q4_0,
        GgmlType::Q4_1,
        GgmlType::Q5_0,
        GgmlType::Q5_1,
    ] {
        let base = gguf_base("llama", kind);
        let adapter = adapter("llama/adapter");
        let (bytes, notices) = written(&adapter, &base, None).unwrap();
        let file = Gguf::open(bytes, "a.gguf").unwrap();
        let own = base.tensors.gguf_contents().unwrap();
        assert_eq!(file.metadata(), own.metadata(), "{kind}");
        let merged = folder(&adapter, &base);
        let found = lorelei_formats::GgufModel::new(file).unwrap();
        let mut kept = 0;
        for stored_in_base in own.tensors() {
            let name = &stored_in_base.name;
            let tensor = found.gguf().tensor(name).unwrap();
            assert_eq!((tensor.ggml_type, &tensor.shape), (stored_in_base.ggml_type, &stored_in_base.shape));
            let mut bytes = vec![0; stored_in_base.byte_len as usize];
            own.read_stored(stored_in_base, 0, &mut bytes).unwrap();
            let Some(hf) = own.hf_name(name) else { continue };
            let changed = adapter.modules().iter().any(|module| hf == format!("{}.weight", module.path));
            assert_eq!(changed, bytes != stored(found.gguf(), name), "{kind} {name}");
            kept += usize::from(!changed);
            let (ours, theirs) = (found.read_f32(&hf).unwrap(), merged.tensors.read_f32(&hf).unwrap());
            let largest = theirs.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            let steps = match kind {
                GgmlType::F32 => f32::INFINITY,
                GgmlType::BF16 => 256.0,
                GgmlType::Q8_0 => 250.0,
                GgmlType::Q4_0 => 7.0,
                GgmlType::Q4_1 => 14.0,
                GgmlType::Q5_0 => 15.0,
                _ => 30.0,
            };
            assert!(apart(&ours, &theirs) <= largest / steps, "{kind} {name} {}", apart(&ours, &theirs));
        }
        assert!(kept > 10);
        let rounded = notices.iter().any(|notice| notice.contains("of the adapter's change"));
        assert_eq!(rounded, kind.plain().is_none(), "{kind} {notices:?}");
        // Another format for all.
        let file = Gguf::open(written(&adapter, &base, Some(GgmlType::F16)).unwrap().0, "a.gguf").unwrap();
        assert_eq!(file.metadata()["general.file_type"], GgufValue::U32(1));
        assert_eq!(file.tensor("blk.0.attn_q.weight").unwrap().ggml_type, GgmlType::F16);
        assert_eq!(file.tensor("blk.0.attn_norm.weight").unwrap().ggml_type, GgmlType::F32);
    }
}

#[test]
fn other_architectures_merge_into_their_gguf_too() {
    for case in [
        "qwen2/adapter_all_linear",
        "qwen2/tied_ends",
        "qwen3/adapter_all_linear",
        "llama/embedding_lm_head",
        "llama/dora",
        "llama_bias/bias_all",
    ] {
        let (name, _) = case.split_once('/').unwrap();
        let (base, adapter) = (gguf_base(name, GgmlType::F32), adapter(case));
        let wanted = folder(&adapter, &with_tokenizer(name));
        let (bytes, _) = written(&adapter, &base, None).unwrap();
        let found = ModelSource::from_gguf(bytes, "a.gguf").unwrap();
        assert_eq!(found.tensors.infos().len(), wanted.tensors.infos().len(), "{case}");
        for info in wanted.tensors.infos() {
            let read = |source: &ModelSource| source.tensors.read_f32(&info.name).unwrap();
            assert!(read(&found) == read(&wanted), "{case} {}", info.name);
        }
    }
}

#[test]
fn k_quants_stay_where_nothing_changes_and_become_q8_0_where_something_does() {
    use lorelei_formats::gguf::{GgufTensorSpec, GgufWriter};
    // A Llama of one layer, 256 wide, whose linear layers are Q4_K: any bytes are values, as long as the scales are small halves.
    let text = |text: &str| GgufValue::String(text.to_owned());
    let number = GgufValue::U32;
    let mut keys: Vec<(String, GgufValue)> = with_tokenizer("llama").gguf_tokenizer(512).unwrap();
    for (key, value) in [
        ("general.architecture", text("llama")),
        ("general.alignment", number(32)),
        ("own.key", text("kept")),
        ("llama.block_count", number(1)),
        ("llama.context_length", number(64)),
        ("llama.embedding_length", number(256)),
        ("llama.feed_forward_length", number(256)),
        ("llama.attention.head_count", number(4)),
        ("llama.attention.layer_norm_rms_epsilon", GgufValue::F32(1e-5)),
    ] {
        keys.push((key.to_owned(), value));
    }
    let keys: Vec<(&str, GgufValue)> =
        keys.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    let spec = |name: &str, shape: &[usize], ggml_type| GgufTensorSpec {
        name: name.to_owned(),
        shape: shape.to_vec(),
        ggml_type,
    };
    let mut specs = vec![spec("token_embd.weight", &[512, 256], GgmlType::Q4_K)];
    specs.extend(
        ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
            .map(|part| spec(&format!("blk.0.{part}.weight"), &[256, 256], GgmlType::Q4_K)),
    );
    specs.extend(
        ["blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"]
            .map(|name| spec(name, &[256], GgmlType::F32)),
    );
    let mut writer = GgufWriter::new(Vec::new(), &keys, &specs).unwrap();
    let mut state = 1u32;
    for spec in &specs {
        if spec.ggml_type == GgmlType::F32 {
            writer.write_f32(&spec.name, &[1.0; 256]).unwrap();
            continue;
        }
        let mut block = || -> Vec<u8> {
            let mut bytes: Vec<u8> = (0..144)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            bytes[..4].copy_from_slice(
                &[half::f16::from_f32(0.001).to_le_bytes(), half::f16::from_f32(0.01).to_le_bytes()].concat(),
            );
            bytes
        };
        let bytes: Vec<u8> = (0..spec.shape[0]).flat_map(|_| block()).collect();
        writer.write_stored(&spec.name, &bytes).unwrap();
    }
    let base = ModelSource::from_gguf(writer.finish().unwrap(), "base.gguf").unwrap();
    let matrix = |rows: usize, columns: usize| lorelei_formats::AdapterTensor {
        shape: vec![rows, columns],
        values: (0..rows * columns).map(|i| ((i * 37 % 101) as f32 - 50.0) / 400.0).collect(),
    };
    let key = "base_model.model.model.layers.0.self_attn.q_proj.lora_";
    let tensors =
        [(format!("{key}A.weight"), matrix(2, 256)), (format!("{key}B.weight"), matrix(256, 2))].into();
    let file = SafetensorsFile::open(write_adapter(&tensors).unwrap(), "a").unwrap();
    let config = r#"{"peft_type":"LORA","r":2,"lora_alpha":4,"target_modules":["q_proj"]}"#;
    let adapter = PeftAdapter::open(config, "adapter_config.json", Box::new(file), "a").unwrap();
    let (bytes, notices) = written(&adapter, &base, None).unwrap();
    let file = Gguf::open(bytes, "a.gguf").unwrap();
    assert_eq!(file.metadata().get("own.key"), Some(&text("kept")));
    assert_eq!(file.metadata().get("general.alignment"), None);
    assert_eq!(file.metadata().get("general.quantization_version"), Some(&number(2)));
    assert!(
        notices.iter().any(|notice| notice.contains("Q4_K are Q8_0") && notice.contains("`dtype`")),
        "{notices:?}"
    );
    let own = base.tensors.gguf_contents().unwrap();
    for tensor in own.tensors() {
        let kind = file.tensor(&tensor.name).unwrap().ggml_type;
        if tensor.name == "blk.0.attn_q.weight" {
            assert_eq!(kind, GgmlType::Q8_0);
            continue;
        }
        assert_eq!(kind, tensor.ggml_type);
        let mut bytes = vec![0; tensor.byte_len as usize];
        own.read_stored(tensor, 0, &mut bytes).unwrap();
        assert!(bytes == stored(&file, &tensor.name), "{}", tensor.name);
    }
    let name = "model.layers.0.self_attn.q_proj.weight";
    let merged = folder(&adapter, &base).tensors.read_f32(name).unwrap();
    let found = lorelei_formats::GgufModel::new(file).unwrap().read_f32(name).unwrap();
    let largest = merged.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    assert!(apart(&merged, &found) < largest / 250.0, "{} {largest}", apart(&merged, &found));
}

#[test]
fn few_bits_keep_the_head_in_eight() {
    // Rows of 32 values in llama; the embedding of qwen2 is its head.
    for (name, head) in [("llama", "output.weight"), ("qwen3", "token_embd.weight")] {
        let base = with_tokenizer(name);
        let tied = base.model_config().unwrap().tie_word_embeddings;
        assert_eq!(tied, head == "token_embd.weight", "{name}");
        let bytes = written(&zeros(&format!("{name}/adapter")), &base, Some(GgmlType::Q4_0)).unwrap().0;
        let file = Gguf::open(bytes, "a.gguf").unwrap();
        let kind = |name: &str| file.tensor(name).unwrap().ggml_type;
        assert_eq!((kind(head), kind("blk.0.ffn_up.weight")), (GgmlType::Q8_0, GgmlType::Q4_0));
        assert_eq!(file.metadata()["general.file_type"], GgufValue::U32(2));
        if !tied {
            assert_eq!(kind("token_embd.weight"), GgmlType::Q4_0);
        }
    }
    // Rows of 48 values.
    let (bytes, notices) =
        written(&zeros("granite/adapter"), &with_tokenizer("granite"), Some(GgmlType::Q4_1)).unwrap();
    let file = Gguf::open(bytes, "a.gguf").unwrap();
    assert_eq!(file.tensor("blk.0.ffn_down.weight").unwrap().ggml_type, GgmlType::F16);
    assert!(notices.iter().any(|notice| notice.starts_with("2 tensors are F16, not Q4_1")), "{notices:?}");
}

#[test]
fn what_llama_cpp_would_compute_otherwise_is_refused_with_the_way_out() {
    let with = |name: &str, from: &str, to: &str| {
        let mut base = with_tokenizer(name);
        assert!(base.config.contains(from), "{name} {from}");
        base.config = base.config.replace(from, to);
        base
    };
    for (base, case, words) in [
        (with_tokenizer("phi3"), "phi3/adapter", "models of type phi3"),
        (with_tokenizer("bert_features"), "bert_features/adapter", "models of type bert"),
        (with_tokenizer("llama_classes"), "llama_classes/adapter", "trained to classify"),
        (
            with("llama", "\"silu\"", "\"gelu\""),
            "llama/adapter",
            "has the activation Silu, and this one Gelu",
        ),
        (
            with("qwen3", "\"attention_bias\": false", "\"attention_bias\": true"),
            "qwen3/adapter",
            "no such biases",
        ),
        (model("llama"), "llama/adapter", "give a base model with a tokenizer.json"),
        (with_tokenizer("llama"), "llama/pissa", "PiSSA or OLoRA"),
    ] {
        let error = refused(&adapter(case), &base);
        assert!(error.contains(words), "{case}: {error}");
    }
    let changed = edited("llama/adapter", |config| config.to_owned()).unwrap();
    assert!(refused(&changed, &with_tokenizer("gpt2")).contains("no module model.layers.0"));
    let notices =
        written(&adapter("llama_dynamic/adapter"), &with_tokenizer("llama_dynamic"), None).unwrap().1;
    assert!(notices.iter().any(|notice| notice.contains("no dynamic rotary scaling")), "{notices:?}");
    let notices = written(&adapter("mistral/adapter"), &with_tokenizer("mistral"), None).unwrap().1;
    assert!(notices.iter().any(|notice| notice.contains("the window of")), "{notices:?}");
}
