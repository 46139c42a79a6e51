//! Tests of our numbers against PEFT's, on the CPU and on wgpu: logits, loss and adapter gradients, merging, and whole training runs.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, DeviceKind};
use lorelei_data::{Batch, Example, SequenceRow, collate, one_per_row};
use lorelei_formats::{ModelConfig, TensorSource, config::Task, parameter_key, parameter_name};
use lorelei_models::{
    AdapterValues, ForwardMode, Generation, Model, Sampling, Storage, Targets, Tokens, read_adapter,
};
use lorelei_recipe::{LoraConfig, TrainingArguments};
use lorelei_tests::{Recorder, assert_close, examples, fixture, open};
use lorelei_train::{Checkpoint, Job, Optimizer, StepLog, adapter_files, tokens, train};

/// The fixtures of models that generate text, each named by its architecture or by a variant of it.
const CAUSAL: [&str; 21] = [
    "llama",
    "llama_bias",
    "llama_linear",
    "llama_dynamic",
    "llama_yarn",
    "mistral",
    "qwen2",
    "qwen2_window",
    "qwen3",
    "smollm3",
    "granite",
    "gemma",
    "gemma2",
    "gemma3_text",
    "gemma3_cap",
    "phi3",
    "phi3_longrope",
    "glm",
    "glm4",
    "chatglm",
    "gpt2",
];

/// The fixtures that also have a configuration as Transformers 4 writes it.
const CONFIG_V4: [&str; 7] = ["llama", "qwen2", "qwen3", "gemma3_text", "glm", "gpt2", "bert"];

/// The fixtures with an adapter of all linear layers.
const ALL_LINEAR: [&str; 8] = ["llama", "qwen2", "qwen3", "gemma3_text", "glm", "chatglm", "gpt2", "bert"];

/// Returns the file names of a fixture's configuration, one for each version of Transformers.
fn configs(arch: &str) -> &'static [&'static str] {
    if CONFIG_V4.contains(&arch) { &["config.json", "config_v4.json"] } else { &["config.json"] }
}

/// Returns those of a fixture's adapters whose settings are the same in every fixture.
fn adapters(arch: &str) -> &'static [&'static str] {
    if ALL_LINEAR.contains(&arch) { &["adapter", "adapter_all_linear"] } else { &["adapter"] }
}

/// Every fixture is compared. A folder that no table here names would be skipped silently.
#[test]
fn every_fixture_is_in_a_table() {
    let archs: Vec<&str> = CAUSAL.into_iter().chain(["llama_bias"]).chain(CLASSIFIERS).collect();
    for entry in std::fs::read_dir(fixture("")).unwrap() {
        let arch = entry.unwrap().file_name().into_string().unwrap();
        // The tests of this fixture are in smollm2.rs.
        if arch != "smollm2" {
            assert!(archs.contains(&arch.as_str()), "{arch} is in no table");
        }
    }
    for arch in archs {
        for (name, table) in [("config_v4.json", &CONFIG_V4[..]), ("adapter_all_linear", &ALL_LINEAR)] {
            let is_there = fixture(arch).join(name).exists();
            assert_eq!(is_there, table.contains(&arch), "{name} of {arch}");
        }
    }
}

fn devices() -> [(&'static str, Device); 2] {
    [("cpu", Device::flex()), ("wgpu", Device::wgpu(DeviceKind::DefaultDevice))]
}

fn model(arch: &str, config: &str, device: &Device) -> Model {
    stored(arch, config, device, Storage::SINGLE)
}

fn stored(arch: &str, config: &str, device: &Device, storage: Storage) -> Model {
    let folder = fixture(arch);
    let config =
        ModelConfig::from_json(&std::fs::read_to_string(folder.join(config)).unwrap(), config).unwrap();
    Model::load(config, &open(&folder.join("model.safetensors")), device, storage, &mut |_| {}).unwrap()
}

/// Returns the rows of a table without their padding.
fn rows(path: &Path) -> Vec<SequenceRow> {
    one_per_row(examples(path))
}

fn batch(rows: &[SequenceRow]) -> Batch {
    collate(&rows.iter().collect::<Vec<_>>(), 0)
}

fn adapter_values(path: &Path) -> AdapterValues {
    read_adapter(&std::fs::read(path).unwrap(), "adapter_model.safetensors").unwrap()
}

fn with_adapter(arch: &str, name: &str, device: &Device) -> (Model, LoraConfig) {
    adapted(model(arch, "config.json", device), arch, name)
}

fn adapted(mut model: Model, arch: &str, name: &str) -> (Model, LoraConfig) {
    let folder = fixture(arch).join(name);
    let config = std::fs::read_to_string(folder.join("adapter_config.json")).unwrap();
    let lora = LoraConfig::from_peft_json(&config, "adapter_config.json").unwrap().lora;
    model.inject_lora(&lora, 1).unwrap();
    pollster::block_on(model.begin_from_weights(&lora, 1)).unwrap();
    model.set_adapter(&adapter_values(&folder.join("adapter_model.safetensors"))).unwrap();
    (model, lora)
}

/// Returns the logits of the tokens that are not padding.
fn logits(model: &Model, batch: &Batch) -> Vec<f32> {
    let hidden = model.hidden_states(&tokens(batch), ForwardMode::Evaluation).unwrap();
    let all = model.logits(hidden).into_data().try_into_vec::<f32>().unwrap();
    kept(&all, batch)
}

fn kept(logits: &[f32], batch: &Batch) -> Vec<f32> {
    let vocab = logits.len() / batch.segment_ids.len();
    let rows = logits.chunks(vocab).zip(&batch.segment_ids).filter(|(_, segment)| **segment != 0);
    rows.flat_map(|(row, _)| row.iter().copied()).collect()
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Returns the loss and the gradients by parameter name.
fn loss_and_gradients(
    model: &mut Model,
    batch: &Batch,
    checkpointing: bool,
) -> (f64, BTreeMap<String, Vec<f32>>) {
    let (positions, targets) = batch.next_tokens();
    let (mode, divisor) = (ForwardMode::Training { dropout_seed: 0 }, targets.len() as f32);
    let (loss, mut gradients) =
        model.loss_and_gradients(&tokens(batch), mode, &positions, &targets, divisor, checkpointing).unwrap();
    let mut by_name = BTreeMap::new();
    model.visit_parameters(&mut |name, parameter| {
        let gradient = gradients.take(&parameter).expect(name);
        by_name.insert(name.to_owned(), gradient.into_data().try_into_vec::<f32>().unwrap());
    });
    model.untrack();
    (loss.into_scalar::<f32>() as f64, by_name)
}

#[test]
fn base_logits_in_both_styles_of_config() {
    for (name, device) in devices() {
        for (arch, config) in
            CAUSAL.into_iter().flat_map(|arch| configs(arch).iter().map(move |config| (arch, *config)))
        {
            let reference = fixture(arch).join("ref.safetensors");
            let batch = batch(&rows(&reference));
            let want = kept(&open(&reference).read_f32("logits").unwrap(), &batch);
            let got = logits(&model(arch, config, &device), &batch);
            assert_close(&format!("{arch} {config} on {name}"), &got, &want, 1e-5);
        }
    }
}

/// Adapters that also train something other than the blocks' linear layers, or that are initialized from a part of the weights.
const BESIDE: [(&str, &str); 18] = [
    ("llama", "modules_to_save"),
    ("llama", "embedding_lm_head"),
    ("llama", "pissa"),
    ("llama", "olora"),
    ("llama", "trainable_tokens"),
    ("llama_bias", "bias_all"),
    ("llama_bias", "bias_lora_only"),
    ("qwen2", "trainable_tokens"),
    ("qwen2", "modules_to_save"),
    ("qwen2", "tied_ends"),
    ("smollm3", "tied_adapter"),
    ("smollm3", "tied_head_adapter"),
    ("smollm3", "tied_head_rows"),
    ("smollm3", "tied_saved"),
    ("smollm3", "base_of_ends"),
    ("smollm3", "base_of_head"),
    ("smollm3", "base_saved"),
    ("gpt2", "bias_all"),
];

#[test]
fn adapters_logits_gradients_and_merge() {
    let cases = [
        ("llama", "adapter"),
        ("llama", "adapter_all_linear"),
        ("llama", "rslora"),
        ("llama", "regex_targets"),
        ("llama", "layers_to_transform"),
        ("llama", "rank_alpha_pattern"),
        ("llama", "dora"),
        ("llama", "dora_init"),
        ("llama", "lora_bias"),
        ("llama_bias", "adapter"),
    ];
    let more = CAUSAL.into_iter().flat_map(|arch| adapters(arch).iter().map(move |name| (arch, *name)));
    let more = more.filter(|case| !cases.contains(case));
    let cases: Vec<_> = cases.into_iter().chain(more).chain(BESIDE).collect();
    for (device_name, device) in devices() {
        for (arch, name) in cases.iter().copied() {
            let what = format!("{arch}/{name} on {device_name}");
            let reference = open(&fixture(arch).join(name).join("ref.safetensors"));
            let batch = batch(&rows(&fixture(arch).join("ref.safetensors")));
            let (mut model, _) = with_adapter(arch, name, &device);
            let want = kept(&reference.read_f32("logits").unwrap(), &batch);
            assert_close(&what, &logits(&model, &batch), &want, 2e-5);
            // Parameters in front of the layers are a case of their own in the layer-wise backward pass.
            for checkpointing in if BESIDE.contains(&(arch, name)) { &[false, true][..] } else { &[false] } {
                let (loss, gradients) = loss_and_gradients(&mut model, &batch, *checkpointing);
                let wanted = json(&fixture(arch).join(name).join("ref.json"))["loss"].as_f64().unwrap();
                assert!((loss - wanted).abs() < 1e-5 * wanted, "{what}: loss {loss} is not {wanted}");
                let mut compared = 0;
                for info in reference.infos().iter().filter(|i| i.name.starts_with("grad.")) {
                    let key = parameter_name(&info.name["grad.".len()..]).unwrap();
                    let want = reference.read_f32(&info.name).unwrap();
                    let got = gradients.get(&key).unwrap_or_else(|| panic!("{what}: no gradient of {key}"));
                    assert_close(&format!("{what} {key}"), got, &want, 1e-4);
                    compared += 1;
                }
                assert_eq!(compared, gradients.len(), "{what}: gradients in the table");
            }
            model.merge_and_unload();
            // PEFT merges neither a bias of B into a layer without one, nor the two ends of a tied embedding separately.
            let merged = if reference.info("logits_merged").is_some() { "logits_merged" } else { "logits" };
            let want = kept(&reference.read_f32(merged).unwrap(), &batch);
            assert_close(&format!("{what} merged"), &logits(&model, &batch), &want, 2e-5);
        }
    }
}

#[test]
fn embedding_and_head_in_pieces_give_the_same() {
    // 100 rows of 64 single floats make six pieces, the last of them shorter.
    let storage = Storage { largest: Some(100 * 64 * 4), ..Storage::SINGLE };
    for (device_name, device) in devices() {
        for (arch, name) in
            [("llama", "adapter"), ("qwen2", "adapter_all_linear"), ("gemma3_text", "adapter")]
        {
            let what = format!("{arch}/{name} in pieces on {device_name}");
            let reference = open(&fixture(arch).join(name).join("ref.safetensors"));
            let batch = batch(&rows(&fixture(arch).join("ref.safetensors")));
            let (mut model, _) = adapted(stored(arch, "config.json", &device, storage), arch, name);
            let want = kept(&reference.read_f32("logits").unwrap(), &batch);
            assert_close(&what, &logits(&model, &batch), &want, 2e-5);
            for checkpointing in [false, true] {
                let (loss, gradients) = loss_and_gradients(&mut model, &batch, checkpointing);
                let wanted = json(&fixture(arch).join(name).join("ref.json"))["loss"].as_f64().unwrap();
                assert!((loss - wanted).abs() < 1e-5 * wanted, "{what}: loss {loss} is not {wanted}");
                for (key, got) in &gradients {
                    let want = reference.read_f32(&format!("grad.{}", parameter_key(key))).unwrap();
                    assert_close(&format!("{what} {key}"), got, &want, 1e-4);
                }
            }
            let got = pollster::block_on(model.generate(&[5, 9, 3], 6, &[])).unwrap();
            assert_eq!(got, read_anew(&with_adapter(arch, name, &device).0, &[5, 9, 3], 6), "{what}");
            // A module that would have to be whole is refused.
            let whole = LoraConfig { modules_to_save: Some(vec!["lm_head".into()]), ..LoraConfig::default() };
            let refused = stored(arch, "config.json", &device, storage).inject_lora(&whole, 1);
            assert!(refused.unwrap_err().to_string().contains("another device"), "{what}");
        }
    }
}

/// Returns the likeliest tokens, computed by reading the whole text anew in every step.
fn read_anew(model: &Model, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut ids: Vec<i32> = prompt.iter().map(|id| *id as i32).collect();
    for _ in 0..count {
        let hidden = model.hidden_states(&Tokens::single(ids.clone()), ForwardMode::Evaluation).unwrap();
        let last = hidden.dims()[0] - 1;
        let logits = model.logits(hidden.slice_dim(0, last..last + 1)).into_data();
        let logits = logits.try_into_vec::<f32>().unwrap();
        let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
        ids.push(best as i32);
    }
    ids[prompt.len()..].iter().map(|id| *id as u32).collect()
}

#[test]
fn what_is_kept_of_a_text_gives_the_tokens_of_reading_it_anew() {
    for (device_name, device) in devices() {
        for arch in CAUSAL {
            let (model, _) = with_adapter(arch, "adapter", &device);
            // The texts become longer than every window and context of the fixtures, some of them during the generation.
            for prompt in [&[5, 9, 3][..], &[7, 6, 20, 31, 4, 8, 11, 60, 33, 2, 9]] {
                let got = pollster::block_on(model.generate(prompt, 14, &[])).unwrap();
                assert_eq!(got, read_anew(&model, prompt, 14), "{arch} on {device_name}");
            }
        }
    }
}

#[test]
fn drawn_tokens_are_the_same_for_a_seed_and_end_at_stops() {
    let model = model("llama", "config.json", &Device::flex());
    let draw = |seed| {
        let sampling = Sampling { temperature: 1.5, top_k: 50, top_p: 0.9, repetition_penalty: 1.1, seed };
        let mut generation = Generation::new(&model, &[5, 9], sampling).unwrap();
        while generation.ids().len() < 30 {
            pollster::block_on(generation.next()).unwrap().unwrap();
        }
        generation.ids().to_vec()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    let greedy = pollster::block_on(model.generate(&[5, 9], 6, &[])).unwrap();
    let stopped = pollster::block_on(model.generate(&[5, 9], 6, &[greedy[3]])).unwrap();
    assert_eq!(stopped, greedy[..greedy.iter().position(|id| *id == greedy[3]).unwrap()]);
    assert!(Generation::new(&model, &[], Sampling::GREEDY).is_err());
}

#[test]
fn learnt_positions_end_a_text() {
    let model = model("gpt2", "config.json", &Device::flex());
    let positions = model.config().max_position_embeddings;
    let prompt: Vec<u32> = (0..positions as u32 - 2).map(|id| id % 500).collect();
    // There are two more positions, and the token after the last.
    assert_eq!(pollster::block_on(model.generate(&prompt, 10, &[])).unwrap().len(), 3);
}

/// The fixtures of classifiers and encoders.
const CLASSIFIERS: [&str; 9] = [
    "bert",
    "bert_tokens",
    "bert_features",
    "roberta",
    "distilbert",
    "distilbert_tokens",
    "llama_classes",
    "gpt2_classes",
    "qwen2_tokens",
];

/// The fixtures among them that distinguish a first text from a second one.
const TOKEN_TYPES: [&str; 3] = ["bert", "bert_tokens", "bert_features"];

/// Returns the tokens of a classifier's table.
fn classifier_inputs(path: &Path) -> (Batch, Tokens) {
    let file = open(path);
    let ids = file.read_i64("input_ids").unwrap();
    let mask = file.read_i64("attention_mask").unwrap();
    let seq = file.info("input_ids").unwrap().shape[1];
    let rows = ids.chunks(seq).zip(mask.chunks(seq)).map(|(ids, mask)| {
        let kept = || ids.iter().zip(mask).filter(|(_, mask)| **mask == 1).map(|(id, _)| *id);
        Example::tokens(kept().map(|id| id as u32).collect(), kept().collect())
    });
    let batch = batch(&one_per_row(rows.collect()));
    let mut tokens = tokens(&batch);
    if TOKEN_TYPES.iter().any(|arch| path == fixture(arch).join("ref.safetensors")) {
        let types = file.read_i64("token_type_ids").unwrap();
        tokens.token_type_ids = types.iter().map(|id| *id as i32).collect();
    }
    (batch, tokens)
}

/// Returns the rows and classes of the labels in a classifier's table.
fn labelled(path: &Path) -> (Vec<i32>, Vec<i32>) {
    let labels = open(path).read_i64("labels").unwrap();
    (0..).zip(labels).filter(|(_, class)| *class != -100).map(|(row, class)| (row, class as i32)).unzip()
}

#[test]
fn numbers_and_several_classes() {
    for (device_name, device) in devices() {
        for (name, num_labels) in [("number", 1), ("several", 3)] {
            let what = format!("{name} on {device_name}");
            let folder = fixture("llama");
            let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
            let config = ModelConfig::from_json(&config, "config.json").unwrap();
            let config = config.for_task(Task::SequenceClassification, num_labels).unwrap();
            let tensors = open(&folder.join("model.safetensors"));
            let base = Model::load(config, &tensors, &device, Storage::SINGLE, &mut |_| {}).unwrap();
            let (mut model, _) = adapted(base, "llama", name);
            let table = folder.join(name).join("ref.safetensors");
            let (_, tokens) = classifier_inputs(&table);
            let reference = open(&table);
            let values = reference.read_f32("labels").unwrap();
            let hidden = model.hidden_states(&tokens, ForwardMode::Evaluation).unwrap();
            let said = model.outputs(&tokens, hidden).into_data().try_into_vec::<f32>().unwrap();
            assert_close(&what, &said, &reference.read_f32("logits").unwrap(), 2e-5);
            let rows = model.text_rows(&tokens);
            let mode = ForwardMode::Training { dropout_seed: 0 };
            for checkpointing in [false, true] {
                let targets = Targets::Values(&values);
                let divisor = rows.len() as f32;
                let (loss, mut gradients) =
                    model.loss_and_gradients(&tokens, mode, &rows, targets, divisor, checkpointing).unwrap();
                let loss = loss.into_scalar::<f32>() as f64;
                let wanted = json(&folder.join(name).join("ref.json"))["loss"].as_f64().unwrap();
                assert!((loss - wanted).abs() < 1e-5 * wanted, "{what}: loss {loss} is not {wanted}");
                let mut compared = 0;
                model.visit_parameters(&mut |name, parameter| {
                    let want = reference.read_f32(&format!("grad.{}", parameter_key(name))).unwrap();
                    let got = gradients.take(&parameter).expect(name);
                    let got = got.into_data().try_into_vec::<f32>().unwrap();
                    assert_close(&format!("{what} {name}"), &got, &want, 1e-4);
                    compared += 1;
                });
                model.untrack();
                assert_eq!(compared, 9, "{what}: gradients in the table");
            }
            // The number of values must be that of texts times labels.
            let short = Targets::Values(&values[1..]);
            let error = model.loss_and_gradients(&tokens, mode, &rows, short, 1.0, false).err().unwrap();
            assert!(error.to_string().contains("texts by a head with"), "{error}");
        }
    }
}

#[test]
fn encoders_and_classifiers() {
    for (device_name, device) in devices() {
        for arch in CLASSIFIERS {
            let table = fixture(arch).join("ref.safetensors");
            let base = model(arch, "config.json", &device);
            let task = base.config().task;
            let (batch, tokens) = classifier_inputs(&table);
            let (mut rows, classes) = match task {
                Task::FeatureExtraction => Default::default(),
                _ => labelled(&table),
            };
            if task == Task::SequenceClassification {
                rows = base.text_rows(&tokens);
            }
            let of_tokens = task != Task::SequenceClassification;
            let kept = |values: &[f32]| if of_tokens { kept(values, &batch) } else { values.to_vec() };
            let said = |model: &Model| {
                let hidden = model.hidden_states(&tokens, ForwardMode::Evaluation).unwrap();
                kept(&model.outputs(&tokens, hidden).into_data().try_into_vec::<f32>().unwrap())
            };
            let want = kept(&open(&table).read_f32("logits").unwrap());
            for config in configs(arch) {
                let got = said(&model(arch, config, &device));
                assert_close(&format!("{arch} {config} on {device_name}"), &got, &want, 1e-5);
            }
            for name in adapters(arch) {
                let what = format!("{arch}/{name} on {device_name}");
                let reference = open(&fixture(arch).join(name).join("ref.safetensors"));
                let (mut model, _) = with_adapter(arch, name, &device);
                let want = kept(&reference.read_f32("logits").unwrap());
                assert_close(&what, &said(&model), &want, 2e-5);
                if task != Task::FeatureExtraction {
                    for checkpointing in [false, true] {
                        let mode = ForwardMode::Training { dropout_seed: 0 };
                        let divisor = classes.len() as f32;
                        let (loss, mut gradients) = model
                            .loss_and_gradients(&tokens, mode, &rows, &classes, divisor, checkpointing)
                            .unwrap();
                        let loss = loss.into_scalar::<f32>() as f64;
                        let wanted =
                            json(&fixture(arch).join(name).join("ref.json"))["loss"].as_f64().unwrap();
                        assert!((loss - wanted).abs() < 1e-5 * wanted, "{what}: loss {loss} is not {wanted}");
                        let mut compared = 0;
                        model.visit_parameters(&mut |name, parameter| {
                            let want = reference.read_f32(&format!("grad.{}", parameter_key(name)));
                            let got = gradients.take(&parameter).expect(name);
                            let got = got.into_data().try_into_vec::<f32>().unwrap();
                            assert_close(&format!("{what} {name}"), &got, &want.unwrap(), 1e-4);
                            compared += 1;
                        });
                        model.untrack();
                        let in_table = reference.infos().iter().filter(|info| info.name.starts_with("grad."));
                        assert_eq!(compared, in_table.count(), "{what}: gradients in the table");
                    }
                }
                model.merge_and_unload();
                let want = kept(&reference.read_f32("logits_merged").unwrap());
                assert_close(&format!("{what} merged"), &said(&model), &want, 2e-5);
            }
        }
    }
}

#[test]
fn six_steps_of_adamw() {
    let ways = devices().into_iter().flat_map(|device| [(device.clone(), false), (device, true)]);
    let adapters = [
        ("llama", "adapter"),
        ("llama", "dora"),
        ("llama", "modules_to_save"),
        ("llama_bias", "bias_all"),
        ("llama_bias", "bias_lora_only"),
    ];
    let ways = ways.flat_map(|way| adapters.map(|adapter| (way.clone(), adapter)));
    for (((device_name, device), checkpointing), (arch, adapter)) in ways {
        let folder = fixture(arch).join(adapter);
        let batch = batch(&rows(&fixture(arch).join("ref.safetensors")));
        let (mut model, _) = with_adapter(arch, adapter, &device);
        let arguments = TrainingArguments { weight_decay: 0.01, ..TrainingArguments::default() };
        let mut optimizer = Optimizer::new(&mut model, &arguments);
        let (positions, targets) = batch.next_tokens();
        for entry in json(&folder.join("ref.json"))["train6"]["log"].as_array().unwrap() {
            let mode = ForwardMode::Training { dropout_seed: 0 };
            let divisor = targets.len() as f32;
            let (loss, mut gradients) = model
                .loss_and_gradients(&tokens(&batch), mode, &positions, &targets, divisor, checkpointing)
                .unwrap();
            optimizer.accumulate(&mut model, &mut gradients);
            model.untrack();
            let norm = optimizer.gradient_norm(&device);
            optimizer.step(&mut model, entry["lr"].as_f64().unwrap(), &norm, 1.0);
            let pairs = [("loss", loss, 1e-5), ("grad_norm", norm, 1e-4)];
            for (key, got, tolerance) in pairs {
                let (got, want) = (got.into_scalar::<f32>() as f64, entry[key].as_f64().unwrap());
                let close = (got - want).abs() <= tolerance * want;
                assert!(close, "{device_name} step {}: {key} {got} is not {want}", entry["step"]);
            }
        }
        compare_adapter(&mut model, &folder.join("after_train6.safetensors"), device_name);
    }
}

/// Returns the adapter that a run on `model` saves, read back.
fn saved(mut model: Model, lora: &LoraConfig) -> (LoraConfig, AdapterValues) {
    let arguments = TrainingArguments::default();
    let optimizer = Optimizer::new(&mut model, &arguments);
    let mut job = lorelei_tests::job(model, lora.clone(), arguments, Vec::new());
    let files = pollster::block_on(adapter_files(&mut job, &optimizer, 1)).unwrap();
    let file = |name: &str| &files.iter().find(|(known, _)| known == name).unwrap().1;
    let config = String::from_utf8(file("adapter_config.json").clone()).unwrap();
    let config = LoraConfig::from_peft_json(&config, "adapter_config.json").unwrap().lora;
    (config, read_adapter(file("adapter_model.safetensors"), "adapter_model.safetensors").unwrap())
}

#[test]
fn what_pissa_leaves_is_saved_as_a_plain_adapter() {
    let folder = fixture("llama/pissa");
    let table = open(&folder.join("ref.safetensors"));
    let batch = batch(&rows(&fixture("llama/ref.safetensors")));
    for (device_name, device) in devices() {
        let (mut model, lora) = with_adapter("llama", "pissa", &device);
        // The adapter is changed as after some steps.
        model.visit_parameters(&mut |name, mut parameter| {
            let values = table.read_f32(&format!("perturbed.{}", parameter_key(name))).unwrap();
            parameter.assign_host(values, &device);
        });
        let want = kept(&table.read_f32("logits_perturbed").unwrap(), &batch);
        assert_close(&format!("perturbed on {device_name}"), &logits(&model, &batch), &want, 2e-5);

        let (plain, saved) = saved(model, &lora);
        let theirs = std::fs::read_to_string(folder.join("converted_lora/adapter_config.json")).unwrap();
        let theirs = LoraConfig::from_peft_json(&theirs, "adapter_config.json").unwrap().lora;
        assert_eq!(
            (plain.r, plain.lora_alpha, plain.init_lora_weights),
            (theirs.r, theirs.lora_alpha, theirs.init_lora_weights)
        );

        // The plain adapter gives the same numbers on the original base. A resumed run takes its own half of it.
        let mut fresh = self::model("llama", "config.json", &device);
        fresh.inject_lora(&plain, 1).unwrap();
        fresh.set_adapter(&saved).unwrap();
        assert_close(&format!("converted on {device_name}"), &logits(&fresh, &batch), &want, 2e-5);
        let mut again = self::model("llama", "config.json", &device);
        again.inject_lora(&lora, 1).unwrap();
        pollster::block_on(again.begin_from_weights(&lora, 1)).unwrap();
        again.set_adapter(&saved).unwrap();
        assert_close(&format!("gone on on {device_name}"), &logits(&again, &batch), &want, 2e-5);
    }
}

#[test]
fn dora_begins_with_the_lengths_of_the_rows_and_learns_as_peft_s() {
    for (device_name, device) in devices() {
        // The initial magnitudes in PEFT.
        let want = adapter_values(&fixture("llama/dora_init/adapter_model.safetensors"));
        let (mut model, lora) = with_adapter("llama", "dora_init", &device);
        model.inject_lora(&lora, 1).unwrap();
        let mut compared = 0;
        model.visit_parameters(&mut |name, parameter| {
            if name.ends_with(".lora_magnitude_vector") {
                let got = parameter.flat().into_data().try_into_vec::<f32>().unwrap();
                assert_close(&format!("{device_name} {name}"), &got, &want[name].1, 1e-6);
                compared += 1;
            }
        });
        assert_eq!(compared, 6);
    }
}

#[test]
fn what_an_adapter_carries_of_embedding_and_head_is_saved_again() {
    for (_, name) in BESIDE.into_iter().filter(|(arch, _)| *arch == "smollm3") {
        let (model, lora) = with_adapter("smollm3", name, &Device::flex());
        let (config, ours) = saved(model, &lora);
        assert_eq!(config.ensure_weight_tying, lora.ensure_weight_tying, "{name}");
        let theirs = adapter_values(&fixture("smollm3").join(name).join("adapter_model.safetensors"));
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{name}");
        for (key, (shape, values)) in theirs {
            assert_eq!(ours[&key].0, shape, "{name} {key}");
            assert_close(&format!("{name} {key}"), &ours[&key].1, &values, 0.0);
        }
    }
}

#[test]
fn an_adapter_of_a_resized_vocabulary_is_refused_by_name() {
    let (mut model, _) = with_adapter("smollm3", "base_saved", &Device::flex());
    let mut values = adapter_values(&fixture("smollm3/base_saved/adapter_model.safetensors"));
    values.insert("lm_head.weight".into(), (vec![97, 32], vec![0.0; 97 * 32]));
    let error = model.set_adapter(&values).unwrap_err().to_string();
    assert!(
        error.contains("lm_head.weight is [97, 32] in the file") && error.contains("vocabulary"),
        "{error}"
    );
}

fn compare_adapter(model: &mut Model, path: &Path, what: &str) {
    let want = adapter_values(path);
    let mut compared = 0;
    model.visit_parameters(&mut |name, parameter| {
        let got = parameter.flat().into_data().try_into_vec::<f32>().unwrap();
        assert_close(&format!("{what} {name}"), &got, &want[name].1, 1e-3);
        compared += 1;
    });
    assert_eq!(compared, want.len());
}

#[test]
fn transformers_trainer_over_epochs_with_accumulation() {
    for (device_name, device) in devices() {
        let folder = fixture("llama").join("trainer_run");
        let (model, lora) = with_adapter("llama", "adapter", &device);
        let arguments: TrainingArguments = serde_json::from_value(serde_json::json!({
            "per_device_train_batch_size": 2, "gradient_accumulation_steps": 3, "num_train_epochs": 2.0,
            "learning_rate": 0.005, "weight_decay": 0.01, "lr_scheduler_type": "cosine", "warmup_ratio": 0.3,
            "logging_steps": 1.0, "save_steps": 3.0
        }))
        .unwrap();
        let mut job = lorelei_tests::job(model, lora, arguments, rows(&folder.join("data.safetensors")));
        let mut host = Recorder::default();
        pollster::block_on(train(&mut job, &mut host)).unwrap();
        let reference = json(&folder.join("log.json"));
        let steps = reference["steps"].as_array().unwrap();
        assert_eq!(host.log.len(), steps.len());
        for (got, want) in host.log.iter().zip(steps) {
            let want = &want["logged"];
            let number = |key: &str| want[key].as_f64().unwrap();
            assert_eq!(got.learning_rate, number("learning_rate"), "{device_name} step {}", got.step);
            assert_eq!(got.epoch, number("epoch"));
            assert!(
                (got.loss - number("loss")).abs() < 1e-4 * number("loss"),
                "{device_name} {got:?} {want}"
            );
            let norm = number("grad_norm");
            assert!((got.grad_norm - norm).abs() < 1e-3 * norm, "{device_name} {got:?} {want}");
        }
        compare_adapter(&mut job.model, &folder.join("adapter_final.safetensors"), device_name);
        let directories: Vec<&str> = host.saved.iter().map(|(directory, _)| directory.as_str()).collect();
        assert_eq!(directories, ["checkpoint-3", "checkpoint-4", ""]);
        let files: Vec<&str> = host.saved[2].1.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(files, ["adapter_model.safetensors", "adapter_config.json"]);
    }
}

#[test]
fn an_adapter_of_another_rank_is_refused_by_name() {
    let device = Device::flex();
    let mut model = model("llama", "config.json", &device);
    let lora: LoraConfig =
        serde_json::from_value(serde_json::json!({ "r": 8, "target_modules": ["q_proj", "v_proj"] }))
            .unwrap();
    model.inject_lora(&lora, 1).unwrap();
    let values = adapter_values(&fixture("llama/adapter/adapter_model.safetensors"));
    let error = model.set_adapter(&values).unwrap_err().to_string();
    assert!(error.contains("q_proj.lora_A is [4, 64] in the file, [8, 64] by r"), "{error}");
}

#[test]
fn a_fresh_adapter_changes_nothing() {
    let device = Device::flex();
    let batch = batch(&rows(&fixture("llama/ref.safetensors")));
    let mut model = model("llama", "config.json", &device);
    let before = logits(&model, &batch);
    let lora: LoraConfig =
        serde_json::from_value(serde_json::json!({ "target_modules": "all-linear" })).unwrap();
    let targets = model.inject_lora(&lora, 1).unwrap();
    assert_eq!(targets, ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]);
    assert_eq!(logits(&model, &batch), before);
}

/// Creates a run of five steps on the tiny Llama with dropout, shuffling and accumulation, so that the state of each has to be restored.
fn resumable(device: &Device) -> Job {
    let (mut model, mut lora) = with_adapter("llama", "adapter", device);
    lora.lora_dropout = 0.1;
    model.inject_lora(&lora, 1).unwrap();
    let arguments: TrainingArguments = serde_json::from_value(serde_json::json!({
        "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "max_steps": 5,
        "learning_rate": 0.005, "lr_scheduler_type": "cosine", "logging_steps": 1.0, "save_steps": 2.0
    }))
    .unwrap();
    Job {
        shuffle: true,
        ..lorelei_tests::job(model, lora, arguments, rows(&fixture("llama/trainer_run/data.safetensors")))
    }
}

#[test]
fn a_run_that_goes_on_from_a_checkpoint_comes_to_the_same_bytes() {
    let device = Device::flex();
    let (mut whole, mut host) = (resumable(&device), Recorder::default());
    pollster::block_on(train(&mut whole, &mut host)).unwrap();
    let (directory, files) = &host.saved[0];
    assert_eq!(directory, "checkpoint-2");
    let file = |files: &[(String, Vec<u8>)], name: &str| {
        files.iter().find(|(known, _)| known == name).map(|(_, bytes)| bytes.clone()).unwrap()
    };
    let state = String::from_utf8(file(files, "trainer_state.json")).unwrap();

    let mut resumed = resumable(&device);
    let adapter = read_adapter(&file(files, "adapter_model.safetensors"), "adapter").unwrap();
    resumed.model.set_adapter(&adapter).unwrap();
    resumed.checkpoint = Some(Checkpoint::read(file(files, "optimizer.safetensors"), &state).unwrap());
    let mut rest = Recorder::default();
    pollster::block_on(train(&mut resumed, &mut rest)).unwrap();
    let losses =
        |log: &[StepLog]| log.iter().map(|line| (line.step, line.loss, line.grad_norm)).collect::<Vec<_>>();
    assert_eq!(losses(&rest.log), losses(&host.log[2..]));
    let adapter = |host: &Recorder| file(&host.saved.last().unwrap().1, "adapter_model.safetensors");
    assert_eq!(adapter(&rest), adapter(&host));

    // A checkpoint of another run is refused.
    let mut other = resumable(&device);
    other.checkpoint = Some(Checkpoint { step: 2, ..Checkpoint::default() });
    let error = pollster::block_on(train(&mut other, &mut Recorder::default())).unwrap_err().to_string();
    assert!(error.contains("no moments of model.layers.0"), "{error}");
}
