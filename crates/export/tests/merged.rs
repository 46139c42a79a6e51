//! Merged models against PEFT's `merge_and_unload`.

mod common;

use std::{cell::RefCell, collections::BTreeMap, io::Write, rc::Rc};

use common::{Named, adapter, apart, edited, made, model, named, path, product, tensors};
use lorelei_export::{ExportError, MergeOptions, PeftAdapter, write_merged};
use lorelei_formats::{Dtype, ModelConfig, ModelSource, SafetensorsFile, TensorSource};
use lorelei_recipe::Message;

type Files = BTreeMap<String, Vec<u8>>;

/// A file of a folder in memory.
struct File(Rc<RefCell<Files>>, String);

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().entry(self.1.clone()).or_default().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn options(dtype: Dtype) -> MergeOptions<'static> {
    MergeOptions { dtype, max_shard_bytes: MergeOptions::SHARD_BYTES, labels: None }
}

fn merged(
    adapter: &PeftAdapter,
    base: &ModelSource,
    options: &MergeOptions<'_>,
) -> Result<(Files, Vec<Message>), ExportError> {
    let files = Rc::new(RefCell::new(Files::new()));
    let mut create = |name: &str| {
        files.borrow_mut().insert(name.to_owned(), Vec::new());
        Ok(Box::new(File(files.clone(), name.to_owned())) as Box<dyn Write>)
    };
    let notices = write_merged(adapter, base, options, &mut create)?;
    Ok((files.take(), notices))
}

/// Merges a case of the fixtures, and opens the result as a model.
fn opened(case: &str) -> (ModelSource, serde_json::Value, Vec<Message>) {
    let (base, _) = case.split_once('/').unwrap();
    let (files, notices) = merged(&adapter(case), &model(base), &options(Dtype::F32)).unwrap();
    let open = |name: &str| files.get(name).cloned().ok_or_else(|| std::io::ErrorKind::NotFound.into());
    let source = ModelSource::from_folder("merged", open).unwrap();
    let config = serde_json::from_str(&source.config).unwrap();
    (source, config, notices)
}

/// Products of the elements and of cos(0), cos(1), ..., and of sin(0), sin(1), ....
fn products(values: &[f32]) -> [f64; 2] {
    let each = || values.iter().enumerate().map(|(place, value)| (place as f64, f64::from(*value)));
    [
        each().map(|(place, value)| value * place.cos()).sum(),
        each().map(|(place, value)| value * place.sin()).sum(),
    ]
}

#[test]
fn tensors_are_pefts() {
    let table: serde_json::Value = serde_json::from_str(include_str!("fixtures/merged.json")).unwrap();
    let table = table.as_object().unwrap();
    assert!(table.len() >= 50, "{}", table.len());
    for (case, rows) in table {
        let (source, ..) = opened(case);
        let config = source.model_config().unwrap();
        for (name, wanted) in rows.as_object().unwrap() {
            // A tied head is the embedding.
            let name = match name.as_str() {
                "lm_head.weight" if config.tie_word_embeddings => "model.embed_tokens.weight",
                name => name,
            };
            let found = config.find(&*source.tensors, name).unwrap_or_else(|| panic!("{case} lacks {name}"));
            let values = source.tensors.read_f32(&found).unwrap();
            let length = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            for (got, wanted) in products(&values).into_iter().zip(wanted.as_array().unwrap()) {
                let wanted = wanted.as_f64().unwrap();
                assert!((got - wanted).abs() < 1e-5 * length.max(1.0), "{case} {name}: {got}, {wanted}");
            }
        }
    }
}

#[test]
fn elements_are_pefts_and_nothing_else_changes() {
    for folder in
        ["dora", "rslora", "rank_alpha_pattern", "layers_to_transform", "adapter_all_linear", "adapter"]
    {
        let case = format!("llama/{folder}");
        let reference = tensors(&format!("{case}/ref.safetensors"));
        let base = tensors("llama/model.safetensors");
        let (source, config, notices) = opened(&case);
        assert!(notices.is_empty() && config["tie_word_embeddings"] == false, "{notices:?}");
        let mut changed = 0;
        for info in base.infos() {
            let ours = source.tensors.read_f32(&info.name).unwrap();
            match reference.read_f32(&format!("merged.{}", info.name)) {
                Ok(peft) => {
                    changed += 1;
                    assert!(apart(&ours, &peft) < 1e-6, "{case} {}: {}", info.name, apart(&ours, &peft));
                }
                Err(_) => assert!(ours == base.read_f32(&info.name).unwrap(), "{case} {}", info.name),
            }
        }
        assert!(changed > 0, "{case}");
    }
}

#[test]
fn formats_and_shards() {
    let (adapter, base) = (adapter("llama/adapter"), model("llama"));
    let (whole, _) = merged(&adapter, &base, &options(Dtype::F32)).unwrap();
    let whole = SafetensorsFile::open(whole["model.safetensors"].clone(), "whole").unwrap();
    for (name, dtype) in MergeOptions::DTYPES {
        let few = MergeOptions { max_shard_bytes: 100_000, ..options(dtype) };
        let (files, _) = merged(&adapter, &base, &few).unwrap();
        assert!(
            files.keys().filter(|file| file.ends_with(".safetensors")).count() > 2
                && !files.contains_key("model.safetensors")
        );
        let index: serde_json::Value =
            serde_json::from_slice(&files["model.safetensors.index.json"]).unwrap();
        let bytes = whole.infos().iter().map(|info| info.element_count() * dtype.size()).sum::<usize>();
        assert_eq!(index["metadata"]["total_size"], bytes);
        let config: serde_json::Value = serde_json::from_slice(&files["config.json"]).unwrap();
        assert_eq!(config["dtype"], name);
        let open = |name: &str| files.get(name).cloned().ok_or_else(|| std::io::ErrorKind::NotFound.into());
        let sharded = ModelSource::from_folder("merged", open).unwrap();
        assert_eq!(sharded.tensors.infos().len(), whole.infos().len());
        for info in whole.infos() {
            let cast = |value: f32| match dtype {
                Dtype::F16 => half::f16::from_f32(value).to_f32(),
                Dtype::BF16 => half::bf16::from_f32(value).to_f32(),
                _ => value,
            };
            let wanted: Vec<f32> = whole.read_f32(&info.name).unwrap().into_iter().map(cast).collect();
            assert!(sharded.tensors.read_f32(&info.name).unwrap() == wanted, "{name} {}", info.name);
        }
    }
}

#[test]
fn tied_ends_separate_where_they_differ() {
    let head = |source: &ModelSource| source.tensors.info("lm_head.weight").is_some();
    for (case, separate) in [
        ("smollm3/tied_adapter", false),
        ("smollm3/tied_saved", false),
        ("smollm3/tied_head_adapter", false),
        ("smollm3/base_of_ends", true),
        ("smollm3/base_of_head", true),
        ("qwen2/tied_ends", true),
        ("qwen2/modules_to_save", true),
        ("qwen2/trainable_tokens", false),
        ("qwen2/adapter", false),
    ] {
        let (source, config, notices) = opened(case);
        assert_eq!(head(&source), separate, "{case}");
        assert_eq!(config["tie_word_embeddings"], !separate, "{case}");
        assert_eq!(notices.iter().any(|notice| notice.contains("two in the merged")), separate, "{case}");
        if separate {
            let [embedding, head] = ["model.embed_tokens.weight", "lm_head.weight"]
                .map(|name| source.tensors.read_f32(name).unwrap());
            assert!(apart(&embedding, &head) > 0.0, "{case}");
        }
    }
}

#[test]
fn classifiers_have_their_class_and_their_labels() {
    let (source, config, _) = opened("llama_classes/adapter");
    assert_eq!(config["architectures"], serde_json::json!(["LlamaForSequenceClassification"]));
    let labels = source.tensors.info("score.weight").unwrap().shape[0];
    assert_eq!(config["id2label"].as_object().unwrap().len(), labels);
    let named = (0..labels).map(|id| format!("\"{id}\": \"class {id}\"")).collect::<Vec<_>>().join(", ");
    let labels = format!("{{\"problem_type\": \"multi_label_classification\", \"id2label\": {{{named}}}}}");
    let with = MergeOptions { labels: Some(&labels), ..options(Dtype::F32) };
    let (files, _) = merged(&adapter("llama_classes/adapter"), &model("llama_classes"), &with).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&files["config.json"]).unwrap();
    assert_eq!((&config["id2label"]["1"], &config["label2id"]["class 1"]), (&"class 1".into(), &1.into()));
    assert_eq!(config["problem_type"], "multi_label_classification");
    let text = String::from_utf8(files["config.json"].clone()).unwrap();
    ModelConfig::from_json(&text, "config.json").unwrap();
}

#[test]
fn what_does_not_fit_is_refused_before_a_file_is_created() {
    let refused_with = |adapter: &PeftAdapter, base: &str, options: &MergeOptions| {
        let mut create = |name: &str| -> std::io::Result<Box<dyn Write>> { panic!("{name} was created") };
        write_merged(adapter, &model(base), options, &mut create).unwrap_err().to_string()
    };
    let refused = |adapter: &PeftAdapter, base: &str| refused_with(adapter, base, &options(Dtype::F32));
    assert!(refused(&adapter("llama/pissa"), "llama").contains("path_initial_model_for_weight_conversion"));
    assert!(refused(&adapter("llama/lora_bias"), "llama").contains("has none to add it to"));
    assert!(refused(&adapter("llama/adapter"), "gpt2").contains("no module model.layers.0"));
    assert!(refused(&adapter("llama/modules_to_save"), "qwen3").contains("base"));
    let without = |text: &str| {
        let mut config: serde_json::Value = serde_json::from_str(text).unwrap();
        config["trainable_token_indices"] = serde_json::Value::Null;
        config.to_string()
    };
    let adapter = edited("llama/trainable_tokens", without).unwrap();
    assert!(refused(&adapter, "llama").contains("does not say of which tokens"));
    let labels = Some("{\"id2label\": {\"0\": \"yes\"}}");
    let other = MergeOptions { labels, ..options(Dtype::F32) };
    let refused = refused_with(&common::adapter("llama_classes/adapter"), "llama_classes", &other);
    assert!(refused.contains("labels.json: it names 1 classes"), "{refused}");
    assert!(path("llama").is_dir());
}

#[test]
fn a_disk_that_is_full_is_said() {
    let mut create =
        |_: &str| -> std::io::Result<Box<dyn Write>> { Err(std::io::ErrorKind::StorageFull.into()) };
    let error = write_merged(&adapter("llama/adapter"), &model("llama"), &options(Dtype::F32), &mut create);
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with("cannot write model.safetensors") && error.contains("free some space"),
        "{error}"
    );
}

/// Returns a base of the fixtures with other tensors.
fn base_with(name: &str, change: impl Fn(&mut Vec<Named>)) -> ModelSource {
    let mut tensors = named(&format!("{name}/model.safetensors"));
    change(&mut tensors);
    ModelSource { tensors: Box::new(common::file_of(&tensors)), ..model(name) }
}

/// Returns a tensor of a merged model.
fn merged_tensor(adapter: &PeftAdapter, base: &ModelSource, name: &str) -> Vec<f32> {
    let (files, _) = merged(adapter, base, &options(Dtype::F32)).unwrap();
    SafetensorsFile::open(files["model.safetensors"].clone(), "merged").unwrap().read_f32(name).unwrap()
}

fn key(module: &str, part: &str) -> String {
    format!("base_model.model.{module}.{part}")
}

fn of<'t>(tensors: &'t [Named], name: &str) -> &'t [f32] {
    &tensors.iter().find(|(known, ..)| known == name).unwrap_or_else(|| panic!("{name}")).2
}

#[test]
fn an_embedding_with_dora_has_columns_of_its_magnitudes() {
    let embedding = "model.embed_tokens";
    let dora = |config: &mut serde_json::Value| config["use_dora"] = true.into();
    let lengths: Vec<f32> = (0..64).map(|column| 0.5 + column as f32 / 50.0).collect();
    let only_embedding = |tensors: &mut Vec<Named>| {
        tensors.retain(|(name, ..)| name.contains(embedding));
        tensors.push((key(embedding, "lora_magnitude_vector"), vec![64], lengths.clone()));
    };
    let adapter = made("llama/embedding_lm_head", dora, only_embedding).unwrap();
    let ours = merged_tensor(&adapter, &model("llama"), "model.embed_tokens.weight");

    // m · (W + s·(B A)ᵀ) / ‖W + s·(B A)ᵀ‖ by columns of [vocab, hidden].
    let parts = named("llama/embedding_lm_head/adapter_model.safetensors");
    let (a, b) =
        (of(&parts, &key(embedding, "lora_embedding_A")), of(&parts, &key(embedding, "lora_embedding_B")));
    let scale = adapter.scaling(&adapter.modules()[0]) as f32;
    let change = product(b, a, adapter.modules()[0].rank, scale);
    let weight = named("llama/model.safetensors");
    let weight = of(&weight, "model.embed_tokens.weight");
    let vocab = weight.len() / 64;
    let sum = |token: usize, column: usize| weight[token * 64 + column] + change[column * vocab + token];
    for (column, length) in lengths.iter().enumerate() {
        let squares: f64 = (0..vocab).map(|token| f64::from(sum(token, column)).powi(2)).sum();
        for token in [0, 1, vocab - 1] {
            let want = f64::from(*length) * f64::from(sum(token, column)) / squares.sqrt();
            let got = f64::from(ours[token * 64 + column]);
            assert!((got - want).abs() < 1e-6, "token {token}, column {column}: {got}, {want}");
        }
    }
    assert!(lorelei_export::write_mlx(&adapter, &common::config("llama"), Dtype::F32, Vec::new()).is_err());
}

#[test]
fn the_adapter_of_a_tied_head_is_on_top_of_trained_rows() {
    let case = "smollm3/tied_head_rows";
    let ours = merged_tensor(&adapter(case), &model("smollm3"), "lm_head.weight");
    let parts = named(&format!("{case}/adapter_model.safetensors"));
    let (a, b) = (of(&parts, &key("lm_head", "lora_A.weight")), of(&parts, &key("lm_head", "lora_B.weight")));
    let change = product(b, a, 4, 2.0);
    let rows = of(&parts, &key("model.embed_tokens", "token_adapter.trainable_tokens_delta"));
    for (row, token) in [3, 5, 9].into_iter().enumerate() {
        let want: Vec<f32> = (0..32).map(|at| rows[row * 32 + at] + change[token * 32 + at]).collect();
        assert!(apart(&ours[token * 32..(token + 1) * 32], &want) < 1e-6, "token {token}");
    }
}

#[test]
fn what_is_no_number_and_what_does_not_fit_the_config_is_refused() {
    let refused = |adapter: &PeftAdapter, base: &ModelSource, dtype: Dtype| {
        merged(adapter, base, &options(dtype)).unwrap_err().to_string()
    };
    // A row of zeros has no length.
    let up = "model.layers.0.mlp.up_proj.weight";
    let of_zeros = base_with("llama", |tensors| {
        tensors
            .iter_mut()
            .filter(|(name, ..)| name.contains("q_proj"))
            .for_each(|(.., values)| values[..64].fill(0.0));
    });
    let zero_b = |tensors: &mut Vec<Named>| {
        tensors
            .iter_mut()
            .filter(|(name, ..)| name.contains("lora_B"))
            .for_each(|(.., values)| values.fill(0.0));
    };
    let dora = made("llama/dora", |_| {}, zero_b).unwrap();
    for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
        let words = refused(&dora, &of_zeros, dtype);
        assert!(words.contains("holds NaN") && words.contains("q_proj"), "{dtype}: {words}");
    }
    let turned = base_with("llama", |tensors| {
        tensors.iter_mut().filter(|(name, ..)| name == up).for_each(|(_, shape, _)| shape.reverse());
    });
    let words = refused(&adapter("llama/adapter"), &turned, Dtype::F32);
    assert!(words.contains(&format!("{up} has shape [64, 128]")), "{words}");

    let more = base_with("llama", |tensors| {
        tensors.push(("model.layers.9.mlp.up_proj.weight".into(), vec![2], vec![0.0; 2]));
    });
    let (_, notices) = merged(&adapter("llama/adapter"), &more, &options(Dtype::F32)).unwrap();
    let words = "1 tensors of the base model have no place in the merged one: model.layers.9";
    assert!(notices.iter().any(|notice| notice.contains(words)), "{notices:?}");
}
