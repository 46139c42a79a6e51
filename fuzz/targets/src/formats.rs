//! Weights and configurations of models and adapters.

use lorelei_data::Tokenizer;
use lorelei_estimate::{ModelShape, RowShape, memory, parameters};
use lorelei_formats::{
    AdapterPart, FormatError, GgufModel, ModelConfig, SafetensorsFile, ShardedSafetensors, TensorInfo,
    TensorSource, config::Task, parameter_key, parameter_name, parse_adapter_key, peft::adapter_num_labels,
    read_adapter_bytes, write_adapter,
};
use lorelei_recipe::{LoraConfig, Recipe, TargetModules};

use crate::{parts, text};

/// Reads a file of weights: the bytes as they are, and, as a header whose length fits is hard to guess, a header in JSON, a line's end and the data.
pub fn safetensors(input: &[u8]) {
    read_safetensors(input);
    if input.starts_with(b"{") {
        let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
        let (header, data) = (&input[..end], input.get(end + 1..).unwrap_or_default());
        read_safetensors(&[&(header.len() as u64).to_le_bytes(), header, data].concat());
    }
}

fn read_safetensors(bytes: &[u8]) {
    let Ok(file) = SafetensorsFile::open(bytes, "model.safetensors") else { return };
    read_all(&file, bytes.len());
}

/// Reads the index of a model in several files, each of which has the tensors that the second part is made of.
pub fn shards(input: &[u8]) {
    let [index, shard] = parts(input);
    let opened = ShardedSafetensors::open(&text(index), "model.safetensors.index.json", |name| {
        assert!(
            !name.contains(['/', '\\', ':']) && !name.starts_with('.'),
            "{name:?} leads out of the folder"
        );
        Ok([&(shard.len() as u64).to_le_bytes(), shard].concat())
    });
    if let Ok(model) = opened {
        read_all(&model, 1 << 16);
    }
}

/// Reads a GGUF file as a model: its tensors, `config.json`, and the tokenizer's files.
pub fn gguf(input: &[u8]) {
    let Ok(model) = GgufModel::open(input, "model.gguf") else { return };
    let mut extents: Vec<(u64, u64)> = Vec::new();
    for tensor in model.gguf().tensors() {
        if tensor.byte_len > 0 {
            extents.push((tensor.offset, tensor.offset + tensor.byte_len));
        }
    }
    extents.sort_unstable();
    assert!(extents.windows(2).all(|pair| pair[0].1 <= pair[1].0), "tensors share bytes");
    assert!(extents.last().is_none_or(|(_, end)| *end <= input.len() as u64), "a tensor ends past the file");
    read_all(&model, input.len());
    if let Ok(config) = model.hf_config() {
        let config = ModelConfig::from_json(&config.to_string(), "config.json");
        if let Ok(config) = config {
            use_config(&config, &model);
        }
    }
    let _ = model.hf_generation_config();
    if let Ok((tokenizer, config)) = model.hf_tokenizer()
        && let Ok(tokenizer) =
            Tokenizer::from_files(tokenizer.to_string().as_bytes(), Some(&config.to_string()), None)
    {
        let _ = tokenizer.encode("Ab 1", true).map(|ids| tokenizer.decode(&ids, false));
    }
}

/// Reads every tensor in every way. A tensor that is not there as what is asked for is an error; what it takes in memory follows from the bytes that
/// there are.
fn read_all(source: &dyn TensorSource, bytes: usize) {
    for info in source.infos() {
        assert_eq!(source.info(&info.name).map(|found| &found.name), Some(&info.name));
        if let Ok(values) = source.read_f32(&info.name) {
            assert_eq!(values.len(), info.element_count(), "{:?}", info.name);
            // Two bits a value in the smallest blocks.
            assert!(values.len() <= bytes.saturating_mul(4), "{:?} has more values than the file", info.name);
        }
        if let Ok(values) = source.read_i64(&info.name) {
            assert_eq!(values.len(), info.element_count(), "{:?}", info.name);
        }
        let _ = source.read_blocks(&info.name);
    }
}

/// Reads a `config.json`, and computes what the program does with it before it loads a weight.
pub fn model_config(input: &[u8]) {
    if let Ok(config) = ModelConfig::from_json(&text(input), "config.json") {
        use_config(&config, &Nothing);
    }
}

fn use_config(config: &ModelConfig, source: &dyn TensorSource) {
    assert!(config.head_dim > 0 && config.num_attention_heads.is_multiple_of(config.num_key_value_heads));
    assert!(config.norm_eps.is_finite() && config.norm_eps as f32 > 0.0, "norm_eps {}", config.norm_eps);
    let scalars = config.scalars;
    for scalar in
        [scalars.attention_scale, scalars.embedding_scale, scalars.residual_scale, scalars.logits_scale]
    {
        assert!((scalar as f32).is_normal(), "a factor of {scalar}");
    }
    for rope in &config.ropes {
        for length in [1, 4096, config.longest_text()] {
            let (frequencies, factor) = rope.frequencies(length);
            assert_eq!(frequencies.len(), rope.dim / 2);
            assert!(factor.is_finite() && factor > 0.0, "a factor of {factor}");
            assert!(frequencies.iter().all(|it| it.is_finite() && *it > 0.0), "{rope:?}: {frequencies:?}");
        }
    }
    let _ = config.expected_tensors();
    let _ = config.unexpected_tensors(source);
    for task in
        [Task::CausalLm, Task::SequenceClassification, Task::TokenClassification, Task::FeatureExtraction]
    {
        let _ = config.clone().for_task(task, 3).map(|config| config.modules().len());
    }
    let shape = ModelShape::new(config, source, |_, _| None);
    let _ = (shape.parameters(), shape.dense_parameters());
    let mut recipe = Recipe::default();
    recipe.lora.target_modules = Some(TargetModules::Pattern("all-linear".to_owned()));
    let _ = parameters(&recipe, &shape);
    if let Ok(memory) = memory(&recipe, &shape, RowShape::largest(&recipe, &shape)) {
        assert!(memory.total().is_finite());
    }
}

/// Reads an adapter: the settings of `adapter_config.json`, then the header and data of `adapter_model.safetensors`.
pub fn adapter(input: &[u8]) {
    let [config, weights] = parts(input);
    if let Ok(read) = LoraConfig::from_peft_json(&text(config), "adapter_config.json") {
        let written = read.lora.to_peft_json("base", &["q_proj".to_owned()]);
        LoraConfig::from_peft_json(&written, "adapter_config.json")
            .expect("settings that were written are read");
        let _ = read.lora.selects("model.layers.0.self_attn.q_proj", false, Some(0));
        let _ =
            (read.lora.rank("model.layers.0.mlp.up_proj"), read.lora.scaling("model.layers.0.mlp.up_proj"));
        let _ = read.lora.with_layers_counted(4);
    }
    let end = weights.iter().position(|byte| *byte == b'\n').unwrap_or(weights.len());
    let (header, data) = (&weights[..end], weights.get(end + 1..).unwrap_or_default());
    let bytes = [&(header.len() as u64).to_le_bytes(), header, data].concat();
    if let Ok(file) = SafetensorsFile::open(&bytes[..], "adapter_model.safetensors") {
        let _ = adapter_num_labels(&file);
        for info in file.infos() {
            let _ = parse_adapter_key(&info.name).map(|(module, part)| AdapterPart::key(part, module));
            let _ = parameter_name(&info.name).map(|name| parameter_key(&name));
        }
    }
    if let Ok(adapter) = read_adapter_bytes(&bytes, "adapter_model.safetensors")
        && let Ok(written) = write_adapter(&adapter)
    {
        let again =
            read_adapter_bytes(&written, "adapter_model.safetensors").expect("what was written is read");
        assert_eq!(again, adapter);
    }
}

/// A checkpoint without tensors.
struct Nothing;

impl TensorSource for Nothing {
    fn infos(&self) -> &[TensorInfo] {
        &[]
    }

    fn info(&self, _: &str) -> Option<&TensorInfo> {
        None
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>, FormatError> {
        self.read_i64(name).map(|_| Vec::new())
    }

    fn read_i64(&self, name: &str) -> Result<Vec<i64>, FormatError> {
        let empty = SafetensorsFile::open(&b"\x02\0\0\0\0\0\0\0{}"[..], "empty")?;
        empty.read_i64(name)
    }
}
