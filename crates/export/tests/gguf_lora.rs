//! GGUF adapters against llama.cpp's own converter, and against PEFT's merged weights where the converter is wrong.

mod common;

use common::{adapter, apart, config, edited, product, tensors};
use lorelei_export::{GgufLoraOptions, PeftAdapter, read_gguf_lora, write_gguf_lora};
use lorelei_formats::{
    ModelConfig, SafetensorsFile, TensorSource,
    gguf::{GgmlType, Gguf, GgufTensorSpec, GgufValue, GgufWriter},
    write_adapter,
};
use sha2::{Digest, Sha256};

fn options(ggml_type: GgmlType, name: &str) -> GgufLoraOptions {
    GgufLoraOptions { ggml_type, name: name.to_owned() }
}

fn written(adapter: &PeftAdapter, base: &ModelConfig) -> Gguf<Vec<u8>> {
    let (bytes, _) = write_gguf_lora(adapter, base, &options(GgmlType::F32, "a"), Vec::new()).unwrap();
    Gguf::open(bytes, "a.gguf").unwrap()
}

/// Returns the error for an adapter that cannot be written.
fn refused(adapter: &PeftAdapter, base: &ModelConfig) -> String {
    write_gguf_lora(adapter, base, &options(GgmlType::F32, "a"), Vec::new()).unwrap_err().to_string()
}

#[test]
fn plain_adapters_are_the_converters_byte_for_byte() {
    let table: serde_json::Value = serde_json::from_str(include_str!("fixtures/gguf_lora.json")).unwrap();
    let table = table.as_object().unwrap();
    assert!(table.len() >= 25, "{}", table.len());
    for (case, sha256) in table {
        let [model, folder, kind] = case.split('/').collect::<Vec<_>>()[..] else { panic!("{case}") };
        let kind = GgufLoraOptions::TYPES.iter().find(|(name, _)| *name == kind).unwrap().1;
        let name = match folder {
            "adapter" => "Adapter",
            _ => "Adapter_All_Linear",
        };
        let adapter = adapter(&format!("{model}/{folder}"));
        let (bytes, _) = write_gguf_lora(&adapter, &config(model), &options(kind, name), Vec::new()).unwrap();
        let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(sha256.as_str(), Some(&*digest), "{case}: {} bytes", bytes.len());
    }
}

/// Returns row `row` of the file's interleaved query or key in the checkpoint's order, by the converter's formula backwards:
/// `reshape(heads, half, 2).swapaxes(1, 2)`.
fn stored_row(row: usize, head_rows: usize) -> usize {
    let (head, within) = (row / head_rows, row % head_rows);
    let half = head_rows / 2;
    head * head_rows + within % half * 2 + within / half
}

#[test]
fn folded_scales_are_what_peft_merges() {
    let base_tensors = tensors("llama/model.safetensors");
    let base = config("llama");
    for folder in
        ["rank_alpha_pattern", "rslora", "regex_targets", "layers_to_transform", "adapter_all_linear"]
    {
        let adapter = adapter(&format!("llama/{folder}"));
        let merged = tensors(&format!("llama/{folder}/ref.safetensors"));
        let file = written(&adapter, &base);
        let Some(GgufValue::F32(alpha)) = file.metadata().get("adapter.lora.alpha") else {
            panic!("no alpha")
        };
        for module in adapter.modules() {
            let (_, layer) = module.path.split_once("layers.").unwrap();
            let (layer, part) = layer.split_once('.').unwrap();
            let (part, heads) = match part {
                "self_attn.q_proj" => ("attn_q", Some(4)),
                "self_attn.k_proj" => ("attn_k", Some(2)),
                "self_attn.v_proj" => ("attn_v", None),
                "self_attn.o_proj" => ("attn_output", None),
                "mlp.gate_proj" => ("ffn_gate", None),
                "mlp.up_proj" => ("ffn_up", None),
                "mlp.down_proj" => ("ffn_down", None),
                other => panic!("{other}"),
            };
            let read = |half| file.read_f32(&format!("blk.{layer}.{part}.weight.{half}")).unwrap();
            let (a, b) = (read("lora_a"), read("lora_b"));
            let rank = file.tensor(&format!("blk.{layer}.{part}.weight.lora_b")).unwrap().shape[1];
            // As llama.cpp computes it.
            let stored = product(&b, &a, rank, alpha / rank as f32);
            let name = format!("{}.weight", module.path);
            let mut sum = base_tensors.read_f32(&name).unwrap();
            for (row, values) in sum.chunks_mut(module.size_in).enumerate() {
                let place = heads.map_or(row, |heads| stored_row(row, module.size_out / heads));
                let change = &stored[place * module.size_in..][..module.size_in];
                values.iter_mut().zip(change).for_each(|(value, change)| *value += change);
            }
            let peft = merged.read_f32(&format!("merged.{name}")).unwrap();
            assert!(apart(&sum, &peft) < 1e-6, "{folder} {name}: {}", apart(&sum, &peft));
        }
    }
}

#[test]
fn what_needs_folding_is_said_and_changes_no_plain_adapter() {
    let notices = |folder: &str, kind| {
        let adapter = adapter(folder);
        write_gguf_lora(&adapter, &config("llama"), &options(kind, "a"), Vec::new()).unwrap().1
    };
    assert!(notices("llama/adapter", GgmlType::F32).is_empty());
    assert!(notices("llama/rslora", GgmlType::F32)[0].contains("rsLoRA"));
    // Rows of B have 4 values: no whole block.
    assert!(notices("llama/adapter", GgmlType::Q8_0)[0].starts_with("4 tensors are F16, not Q8_0"));
}

#[test]
fn an_untied_embedding_and_head_are_written() {
    let adapter = adapter("llama/embedding_lm_head");
    let file = written(&adapter, &config("llama"));
    let (a, b) = ("token_embd.weight.lora_a", "token_embd.weight.lora_b");
    let key = "base_model.model.model.embed_tokens.lora_embedding_";
    let source = adapter.tensors();
    let [rank, vocab] = source.info(&format!("{key}A")).unwrap().shape[..] else { panic!() };
    assert_eq!(file.tensor(a).unwrap().shape, [vocab, rank]);
    let (stored, peft) = (file.read_f32(a).unwrap(), source.read_f32(&format!("{key}A")).unwrap());
    assert!((0..vocab * rank).all(|at| stored[at] == peft[at % rank * vocab + at / rank]));
    assert_eq!(file.read_f32(b).unwrap(), source.read_f32(&format!("{key}B")).unwrap());
    assert!(file.tensor("output.weight.lora_a").is_some());
}

#[test]
fn what_llama_cpp_cannot_apply_is_refused_with_the_way_out() {
    for (model, folder, problem, way) in [
        ("llama", "dora", "DoRA", "`merged`"),
        ("llama", "pissa", "PiSSA or OLoRA", "path_initial_model_for_weight_conversion"),
        ("llama", "lora_bias", "lora_bias", "`merged`"),
        ("llama", "modules_to_save", "base_model.model.lm_head.weight", "`merged`"),
        ("llama", "trainable_tokens", "trainable_tokens_delta", "`merged`"),
        ("llama_bias", "bias_all", "base_layer.bias", "`merged`"),
        ("llama_classes", "adapter", "trained to classify", "`merged`"),
        ("smollm3", "tied_head_adapter", "one tensor", "`merged`"),
        ("qwen2", "tied_ends", "one tensor", "`merged`"),
        ("bert_features", "adapter", "models of type bert", "(`peft`)"),
        ("distilbert", "adapter", "models of type distilbert", "(`peft`)"),
        ("roberta", "adapter", "models of type roberta", "(`peft`)"),
    ] {
        let error = refused(&adapter(&format!("{model}/{folder}")), &config(model));
        assert!(error.contains(problem) && error.contains(way), "{model}/{folder}: {error}");
    }
}

#[test]
fn another_base_and_torn_files_are_refused() {
    let error = refused(&adapter("llama/adapter"), &config("gpt2"));
    assert!(error.contains("no module model.layers.0.self_attn.q_proj"), "{error}");
    let error = refused(&adapter("llama/adapter"), &config("mistral"));
    assert!(error.contains("and the base's module"), "{error}");
    let error = edited("llama/adapter", |config| config.replace("\"r\": 4", "\"r\": 8")).err().unwrap();
    assert!(error.to_string().contains("is 4 here, and 8 by the configuration"), "{error}");
}

#[test]
fn converted_pissa_and_olora_are_plain() {
    let file = written(&adapter("llama/pissa/converted_lora"), &config("llama"));
    assert_eq!(file.tensor("blk.0.attn_q.weight.lora_b").unwrap().shape, [64, 8]);
}

#[test]
fn gpt2_keeps_pefts_halves() {
    // llama.cpp's converter swaps them, and llama.cpp refuses what it writes.
    let (adapter, base) = (adapter("gpt2/adapter_all_linear"), config("gpt2"));
    let file = written(&adapter, &base);
    for (module, part) in [
        ("attn.c_attn", "attn_qkv"),
        ("attn.c_proj", "attn_output"),
        ("mlp.c_fc", "ffn_up"),
        ("mlp.c_proj", "ffn_down"),
    ] {
        for (half, key) in [("lora_a", "lora_A"), ("lora_b", "lora_B")] {
            let (name, key) = (
                format!("blk.1.{part}.weight.{half}"),
                format!("base_model.model.transformer.h.1.{module}.{key}.weight"),
            );
            assert_eq!(
                file.tensor(&name).unwrap().shape,
                adapter.tensors().info(&key).unwrap().shape,
                "{name}"
            );
            assert!(file.read_f32(&name).unwrap() == adapter.tensors().read_f32(&key).unwrap(), "{name}");
        }
    }
}

#[test]
fn gemma_has_no_head_of_its_own_in_llama_cpp() {
    // The configuration unties them, and llama.cpp takes the embedding for the head all the same.
    let adapter = adapter("llama/embedding_lm_head");
    let text = common::text("llama/config.json").replace("\"llama\"", "\"gemma2\"");
    let base = ModelConfig::from_json(&text, "config.json").unwrap();
    assert!(!base.tie_word_embeddings);
    assert!(refused(&adapter, &base).contains("one tensor"), "{}", refused(&adapter, &base));
}

#[test]
fn a_gguf_adapter_is_pefts_again() {
    for case in [
        "llama/adapter_all_linear",
        "llama/rank_alpha_pattern",
        "llama/rslora",
        "llama/layers_to_transform",
        "llama/embedding_lm_head",
        "granite/adapter",
        "smollm3/adapter",
        "qwen2/adapter_all_linear",
        "gemma3_text/adapter_all_linear",
        "phi3/adapter",
        "glm/adapter_all_linear",
        "gpt2/adapter_all_linear",
    ] {
        let (model, _) = case.split_once('/').unwrap();
        let (own, base) = (adapter(case), config(model));
        let imported = read_gguf_lora(&written(&own, &base), &base, "owner/base").unwrap();
        let file = SafetensorsFile::open(write_adapter(&imported.tensors).unwrap(), "a").unwrap();
        let again = PeftAdapter::open(&imported.config, "adapter_config.json", Box::new(file), "a").unwrap();
        assert_eq!(again.base_model.as_deref(), Some("owner/base"));
        assert_eq!(again.modules().len(), own.modules().len(), "{case}");
        for module in own.modules() {
            let other = again.modules().iter().find(|other| other.path == module.path).unwrap();
            assert_eq!(other.rank, module.rank, "{case} {}", module.path);
            let ((a, b), (other_a, other_b)) =
                (own.matrices(module).unwrap(), again.matrices(other).unwrap());
            assert!(a == other_a, "{case} {}", module.path);
            let scaled =
                |b: &[f32], scale: f64| -> Vec<f32> { b.iter().map(|value| value * scale as f32).collect() };
            let off = apart(&scaled(&b, own.scaling(module)), &scaled(&other_b, again.scaling(other)));
            assert!(off < 1e-6, "{case} {}: {off}", module.path);
        }
    }
}

#[test]
fn what_is_no_gguf_adapter_of_the_base_is_refused() {
    let (own, base) = (adapter("llama/adapter"), config("llama"));
    let file = written(&own, &base);
    let error =
        |base: &ModelConfig, file: &Gguf<Vec<u8>>| read_gguf_lora(file, base, "b").unwrap_err().to_string();
    assert!(error(&config("qwen2"), &file).contains("architecture \"llama\", and the base is qwen2"));
    assert!(
        error(&config("mistral"), &file).contains("do not fit the base's"),
        "{}",
        error(&config("mistral"), &file)
    );
    let spec =
        |name: &str| GgufTensorSpec { name: name.to_owned(), shape: vec![2, 64], ggml_type: GgmlType::F32 };
    let made = |kind: &str, names: &[&str]| {
        let text = |text: &str| GgufValue::String(text.to_owned());
        let keys = [("general.architecture", text("llama")), ("general.type", text(kind))];
        let specs: Vec<_> = names.iter().map(|name| spec(name)).collect();
        let mut writer = GgufWriter::new(Vec::new(), &keys, &specs).unwrap();
        specs.iter().for_each(|spec| writer.write_f32(&spec.name, &[0.0; 128]).unwrap());
        Gguf::open(writer.finish().unwrap(), "a.gguf").unwrap()
    };
    for (kind, names, words) in [
        ("model", &["blk.0.attn_q.weight.lora_a"][..], "it is no LoRA adapter"),
        ("adapter", &["blk.0.attn_q.weight.lora_a"], "only one of blk.0.attn_q.weight.lora_a and"),
        ("adapter", &["blk.9.attn_q.weight.lora_a"], "blk.9.attn_q.weight.lora_a belongs to no module"),
        ("adapter", &[], "it holds no tensors"),
    ] {
        let said = error(&base, &made(kind, names));
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn an_adapter_of_positions_is_refused() {
    let positions =
        |config: &mut serde_json::Value| config["target_modules"] = serde_json::json!(["wpe", "c_attn"]);
    let added = |tensors: &mut Vec<common::Named>| {
        let key = |part: &str| format!("base_model.model.transformer.wpe.{part}");
        let (_, shape, _) = common::named("gpt2/model.safetensors")
            .into_iter()
            .find(|(name, ..)| name.ends_with("wpe.weight"))
            .unwrap();
        tensors.push((key("lora_embedding_A"), vec![4, shape[0]], vec![0.0; 4 * shape[0]]));
        tensors.push((key("lora_embedding_B"), vec![shape[1], 4], vec![0.0; 4 * shape[1]]));
    };
    let adapter = common::made("gpt2/adapter", positions, added).unwrap();
    let error = refused(&adapter, &config("gpt2"));
    assert!(error.contains("wpe is an embedding of no tokens"), "{error}");
}
