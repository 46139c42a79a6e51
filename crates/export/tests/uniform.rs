//! Folded PEFT adapters and mlx-lm's adapters against PEFT's own numbers.

mod common;

use common::{adapter, apart, config, edited, product, tensors};
use lorelei_export::{ExportError, MLX_TENSORS, PeftAdapter, read_mlx, write_folded, write_mlx};
use lorelei_formats::{
    Adapter, AdapterPart, Dtype, ModelConfig, SafetensorsFile, TensorData, TensorSource, TensorSpec,
    adapter::read_adapter, to_bytes, write_adapter,
};
use lorelei_recipe::{LoraConfig, Message};

type File = SafetensorsFile<Vec<u8>>;

fn folded(adapter: &PeftAdapter) -> (PeftAdapter, Vec<Message>) {
    let (bytes, config, notices) = write_folded(adapter, Vec::new()).unwrap();
    let file = SafetensorsFile::open(bytes, "folded").unwrap();
    (PeftAdapter::open(&config, "adapter_config.json", Box::new(file), "folded").unwrap(), notices)
}

/// Adds what a reader computes of `A`, `B` and `scale` to the base, and compares with PEFT's merged weight.
fn assert_merges(folder: &str, path: &str, (a, b): (&[f32], &[f32]), rank: usize, scale: f32) {
    let name = format!("{path}.weight");
    let mut sum = tensors("llama/model.safetensors").read_f32(&name).unwrap();
    sum.iter_mut().zip(product(b, a, rank, scale)).for_each(|(value, change)| *value += change);
    let peft =
        tensors(&format!("llama/{folder}/ref.safetensors")).read_f32(&format!("merged.{name}")).unwrap();
    assert!(apart(&sum, &peft) < 1e-6, "{folder} {name}: {}", apart(&sum, &peft));
}

#[test]
fn a_reader_of_r_and_lora_alpha_alone_computes_what_peft_does() {
    for folder in ["rank_alpha_pattern", "rslora", "adapter", "layers_to_transform"] {
        let before = adapter(&format!("llama/{folder}"));
        let (after, notices) = folded(&before);
        let lora = &after.lora;
        assert!(lora.rank_pattern.is_empty() && lora.alpha_pattern.is_empty() && !lora.use_rslora);
        assert_eq!(lora.lora_alpha.fract(), 0.0);
        assert_eq!(notices.is_empty(), folder != "rank_alpha_pattern", "{folder}: {notices:?}");
        for module in after.modules() {
            let (a, b) = after.matrices(module).unwrap();
            assert_eq!(module.rank, lora.r);
            assert_merges(folder, &module.path, (&a, &b), lora.r, (lora.lora_alpha / lora.r as f64) as f32);
        }
        // A plain adapter stays as it is, bit for bit.
        if folder == "adapter" {
            assert!(read_adapter(after.tensors()).unwrap() == read_adapter(before.tensors()).unwrap());
            assert_eq!((lora.r, lora.lora_alpha), (before.lora.r, before.lora.lora_alpha));
        }
    }
}

#[test]
fn what_is_beside_a_folded_adapter_is_kept() {
    for folder in ["modules_to_save", "trainable_tokens", "dora", "embedding_lm_head"] {
        let before = adapter(&format!("llama/{folder}"));
        let (after, _) = folded(&before);
        assert!(
            read_adapter(after.tensors()).unwrap() == read_adapter(before.tensors()).unwrap(),
            "{folder}"
        );
    }
    // The scale multiplies the bias of B too: 8/4 becomes 16/4.
    let alpha = |config: &str| config.replace("\"alpha_pattern\": {}", "\"alpha_pattern\": {\"q_proj\": 16}");
    let before = edited("llama/lora_bias", alpha).unwrap();
    let (after, notices) = folded(&before);
    assert!(notices[0].contains("folded into B"));
    for module in after.modules() {
        let old = before.modules().iter().find(|old| old.path == module.path).unwrap();
        let factor = if module.path.ends_with("q_proj") { 2.0 } else { 1.0 };
        for part in [AdapterPart::LoraB, AdapterPart::LoraBBias] {
            let wanted: Vec<f32> =
                before.read(old, part).unwrap().iter().map(|value| value * factor).collect();
            assert!(after.read(module, part).unwrap() == wanted, "{}", module.path);
        }
    }
}

fn mlx(adapter: &PeftAdapter, base: &ModelConfig) -> Result<(File, serde_json::Value, String), ExportError> {
    let (bytes, text, _) = write_mlx(adapter, base, Dtype::F32, Vec::new())?;
    let file = SafetensorsFile::open(bytes, MLX_TENSORS).unwrap();
    Ok((file, serde_json::from_str(&text).unwrap(), text))
}

fn turned(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns).copied()).collect()
}

#[test]
fn mlx_computes_what_peft_does() {
    for folder in ["rank_alpha_pattern", "rslora", "adapter", "adapter_all_linear", "regex_targets"] {
        let adapter = adapter(&format!("llama/{folder}"));
        let (file, settings, _) = mlx(&adapter, &config("llama")).unwrap();
        let parameters = &settings["lora_parameters"];
        let (rank, scale) =
            (parameters["rank"].as_u64().unwrap() as usize, parameters["scale"].as_f64().unwrap());
        assert_eq!((&settings["fine_tune_type"], &settings["num_layers"]), (&"lora".into(), &2.into()));
        let keys = parameters["keys"].as_array().unwrap();
        assert_eq!((keys.len(), file.infos().len()), (adapter.modules().len(), 2 * adapter.modules().len()));
        for key in keys {
            let key = key.as_str().unwrap();
            let read = |part: &str| {
                (
                    file.read_f32(&format!("{key}.{part}")).unwrap(),
                    file.info(&format!("{key}.{part}")).unwrap(),
                )
            };
            let ((a, info_a), (b, info_b)) = (read("lora_a"), read("lora_b"));
            assert_eq!((info_a.shape[1], info_b.shape[0]), (rank, rank));
            let (a, b) = (turned(&a, rank), turned(&b, info_b.shape[1]));
            assert_merges(folder, key, (&a, &b), rank, scale as f32);
        }
    }
}

#[test]
fn dora_has_its_magnitudes() {
    let adapter = adapter("llama/dora");
    let (file, settings, _) = mlx(&adapter, &config("llama")).unwrap();
    assert_eq!(settings["fine_tune_type"], "dora");
    for module in adapter.modules() {
        let magnitudes = adapter.read(module, AdapterPart::MagnitudeVector).unwrap();
        assert!(file.read_f32(&format!("{}.m", module.path)).unwrap() == magnitudes, "{}", module.path);
    }
}

#[test]
fn gpt2_has_mlxs_names() {
    let (file, ..) = mlx(&adapter("gpt2/adapter_all_linear"), &config("gpt2")).unwrap();
    let config = config("gpt2");
    assert_eq!(file.info("model.h.0.attn.c_attn.lora_a").unwrap().shape[0], config.hidden_size);
    assert_eq!(file.info("model.h.0.attn.c_attn.lora_b").unwrap().shape[1], 3 * config.hidden_size);
}

#[test]
fn what_mlx_cannot_apply_is_refused_with_the_way_out() {
    for (model, folder, problem, way) in [
        ("llama", "lora_bias", "lora_bias", "(`merged`)"),
        ("llama", "modules_to_save", "lm_head.weight", "(`merged`)"),
        ("llama", "trainable_tokens", "trainable_tokens_delta", "(`merged`)"),
        ("llama", "pissa", "PiSSA or OLoRA", "path_initial_model_for_weight_conversion"),
        ("llama_classes", "adapter", "trained to classify", "(`merged`)"),
        ("qwen2", "tied_ends", "one for both", "(`merged`)"),
        ("chatglm", "adapter", "no models of type chatglm", "(`merged`)"),
        ("bert_features", "adapter", "no models of type bert", "(`merged`)"),
    ] {
        let error = mlx(&adapter(&format!("{model}/{folder}")), &config(model)).err().unwrap().to_string();
        assert!(error.contains(problem) && error.contains(way), "{model}/{folder}: {error}");
    }
}

/// Reads mlx-lm's files as a PEFT adapter, as its files have it.
fn back(text: &str, file: &File, base: &ModelConfig) -> Result<(PeftAdapter, Adapter), ExportError> {
    let imported = read_mlx(text, "adapter_config.json", file, MLX_TENSORS, base, Some("owner/base"))?;
    let bytes = write_adapter(&imported.tensors).unwrap();
    let source = Box::new(SafetensorsFile::open(bytes, "back").unwrap());
    let adapter = PeftAdapter::open(&imported.config, "adapter_config.json", source, "back").unwrap();
    assert_eq!(adapter.base_model.as_deref(), Some("owner/base"));
    Ok((adapter, imported.tensors))
}

#[test]
fn what_is_exported_comes_back() {
    for case in [
        "llama/adapter_all_linear",
        "llama/dora",
        "llama/regex_targets",
        "llama/embedding_lm_head",
        "gpt2/adapter_all_linear",
        "qwen2/adapter",
        "smollm3/tied_head_adapter",
        "gemma2/adapter",
        "phi3/adapter",
        "glm/adapter_all_linear",
    ] {
        let (model, _) = case.split_once('/').unwrap();
        let (before, base) = (adapter(case), config(model));
        let (file, _, text) = mlx(&before, &base).unwrap();
        let (after, tensors) = back(&text, &file, &base).unwrap();
        assert!(tensors == read_adapter(before.tensors()).unwrap(), "{case}");
        for (old, new) in before.modules().iter().zip(after.modules()) {
            assert_eq!((before.scaling(old), &old.path), (after.scaling(new), &new.path), "{case}");
        }
        assert_eq!(after.lora.use_dora, before.lora.use_dora);
        assert_eq!(after.lora.ensure_weight_tying, case == "smollm3/tied_head_adapter");
        // The names select exactly the modules that have an adapter.
        for module in base.modules() {
            let adapted = before.modules().iter().any(|adapted| adapted.path == module.path);
            let is_head = module.path == "lm_head";
            let selected = after.lora.selects(&module.path, is_head, module.layer);
            // PEFT gives a tied head the adapter of its embedding.
            assert!(
                selected == adapted || (is_head && after.lora.ensure_weight_tying),
                "{case} {}",
                module.path
            );
        }
    }
}

#[test]
fn mlx_lms_defaults_and_torn_files() {
    let base = config("llama");
    let (name, a, b) = ("model.layers.1.self_attn.q_proj", vec![0.5f32; 64 * 8], vec![0.25f32; 8 * 64]);
    let bytes = |tensors: &[(&str, &[usize], &[f32])]| {
        let tensors: Vec<_> = tensors
            .iter()
            .map(|(part, shape, values)| {
                (TensorSpec::new(format!("{name}.{part}"), Dtype::F32, *shape), TensorData::F32(values))
            })
            .collect();
        SafetensorsFile::open(to_bytes(&tensors, &Default::default()).unwrap(), MLX_TENSORS).unwrap()
    };
    let whole = bytes(&[("lora_a", &[64, 8], &a), ("lora_b", &[8, 64], &b)]);
    let text = r#"{"fine_tune_type": "lora", "num_layers": 16, "lora_parameters": {"rank": 8, "dropout": 0.1, "scale": 20.0}}"#;
    let (adapter, _) = back(text, &whole, &base).unwrap();
    let LoraConfig { r, lora_alpha, lora_dropout, .. } = adapter.lora;
    assert_eq!((r, lora_alpha, lora_dropout), (8, 160.0, 0.1));
    // mlx-lm's scale where the file has none.
    let (adapter, _) = back(r#"{"lora_parameters": {"rank": 8}}"#, &whole, &base).unwrap();
    assert_eq!(adapter.lora.lora_alpha, 160.0);
    let error =
        |text: &str, file: &File, base: &ModelConfig| back(text, file, base).err().unwrap().to_string();
    for (text, words) in [
        (r#"{"fine_tune_type": "full", "lora_parameters": {}}"#, "whole model"),
        (r#"{"fine_tune_type": "odd", "lora_parameters": {}}"#, "odd"),
        (r#"{"r": 8}"#, "no lora_parameters"),
        ("[", "not valid JSON"),
        ("[1]", "no lora_parameters"),
        (r#"{"lora_parameters": {"rank": 8, "scale": "big"}}"#, "scale"),
        (r#"{"lora_parameters": {"rank": 4, "scale": 2}}"#, "the configuration says 4"),
        (r#"{"fine_tune_type": "dora", "lora_parameters": {"rank": 8, "scale": 2}}"#, "no m"),
    ] {
        assert!(error(text, &whole, &base).contains(words), "{text}: {}", error(text, &whole, &base));
    }
    assert!(error(text, &bytes(&[("lora_a", &[64, 8], &a)]), &base).contains("no lora_b"));
    assert!(error(text, &bytes(&[("lora_b", &[8, 64], &b)]), &base).contains("as many lora_a as lora_b"));
    assert!(
        error(text, &bytes(&[("lora_a", &[8, 64], &a), ("lora_b", &[8, 64], &b)]), &base)
            .contains("does not fit")
    );
    assert!(error(text, &bytes(&[("weight", &[8, 64], &a)]), &base).contains("does not fit"));
    assert!(error(text, &whole, &config("gpt2")).contains("belongs to no module"));
}
