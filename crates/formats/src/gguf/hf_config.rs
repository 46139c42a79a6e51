//! The `config.json` that a GGUF file's metadata implies, in the hub's (Transformers 4) style.

use serde_json::{Value, json};

use super::model::{Architecture, GgufModel, ROPE_FACTORS, ROPE_FREQS};
use super::{GgmlType, GgufValue};
use crate::config::{ModelConfig, Rope, RopeScaling};
use crate::{FormatError, Place, ReadAt, TensorSource};

/// Rotary base that Transformers uses when a file lacks it.
const DEFAULT_THETA: f64 = 10_000.0;

/// Keys of a `config.json`, and the metadata's keys (without the architecture) or the tensors from which they are made.
const OWN_KEYS: [(&str, &str); 21] = [
    ("head_dim", "attention.key_length"),
    ("hidden_size", "embedding_length"),
    ("intermediate_size", "feed_forward_length"),
    ("layer_norm_eps", "attention.layer_norm_epsilon"),
    ("max_position_embeddings", "context_length"),
    ("num_attention_heads", "attention.head_count"),
    ("num_hidden_layers", "block_count"),
    ("num_key_value_heads", "attention.head_count_kv"),
    ("original_max_position_embeddings", "rope.scaling.original_context_length"),
    ("partial_rotary_factor", "rope.dimension_count"),
    ("query_pre_attn_scalar", "attention.key_length"),
    ("rms_norm_eps", "attention.layer_norm_rms_epsilon"),
    ("rope_local_base_freq", "rope.freq_base_swa"),
    ("rope_scaling.attention_factor", "rope.scaling.attn_factor"),
    ("rope_scaling.factor", "rope.scaling.factor"),
    ("rope_scaling.long_factor", ROPE_FACTORS[1]),
    ("rope_scaling.short_factor", ROPE_FACTORS[0]),
    ("rope_theta", "rope.freq_base"),
    ("sliding_window", "attention.sliding_window"),
    ("sliding_window_pattern", "attention.sliding_window_pattern"),
    ("vocab_size", "vocab_size"),
];

impl<R: ReadAt> GgufModel<R> {
    /// Returns the model's `config.json`, which [`ModelConfig::from_json`] reads.
    ///
    /// # Errors
    /// When the metadata lacks a setting that a config needs, has an impossible one, or one that Hugging Face's model does not support here: experts,
    /// partly rotated heads, a rotary scaling other than linear and Llama 3's. The error names the metadata's own key.
    pub fn hf_config(&self) -> Result<Value, FormatError> {
        let config = self.unchecked_config()?;
        match ModelConfig::from_json(&config.to_string(), self.gguf.file_name()) {
            Ok(_) => Ok(config),
            Err(error) => Err(FormatError { place: self.own_place(error.place), ..error }),
        }
    }

    /// Returns the place in this file of a problem with a key of the `config.json` that is made of it.
    fn own_place(&self, place: Place) -> Place {
        let Place::Key(key) = &place else { return place };
        if let Some(which) = key.strip_suffix("_token_id") {
            let which = if which == "pad" { "padding" } else { which };
            return Place::Key(format!("tokenizer.ggml.{which}_token_id"));
        }
        match OWN_KEYS.iter().find(|(hf, _)| hf == key) {
            Some((_, own)) if own.ends_with(".weight") => Place::Tensor((*own).to_owned()),
            Some((_, own)) => Place::Key(self.key(own)),
            None => place,
        }
    }

    /// Returns the `config.json`, whose numbers may be impossible.
    fn unchecked_config(&self) -> Result<Value, FormatError> {
        self.refuse_experts()?;
        let hidden = self.number("embedding_length")?;
        let heads = self.number("attention.head_count")?;
        let head_dim = self.head_dim(hidden, heads)?;
        let theta = self.optional_float("rope.freq_base")?.unwrap_or(DEFAULT_THETA);
        let context = self.number("context_length")?;

        let (architecture, model_type) = match self.architecture {
            Architecture::Llama => ("LlamaForCausalLM", "llama"),
            Architecture::Qwen2 => ("Qwen2ForCausalLM", "qwen2"),
            Architecture::Qwen3 => ("Qwen3ForCausalLM", "qwen3"),
            Architecture::Gemma3 => ("Gemma3ForCausalLM", "gemma3_text"),
            Architecture::Phi3 => ("Phi3ForCausalLM", "phi3"),
            Architecture::Bert => return self.bert_config(),
        };
        let mut config = json!({
            "architectures": [architecture],
            "attention_dropout": 0.0,
            "bos_token_id": self.token_id("bos")?,
            "eos_token_id": self.token_id("eos")?,
            "hidden_act": "silu",
            "hidden_size": hidden,
            "intermediate_size": self.number("feed_forward_length")?,
            "max_position_embeddings": context,
            "model_type": model_type,
            "num_attention_heads": heads,
            "num_hidden_layers": self.number("block_count")?,
            "num_key_value_heads": self.optional_number("attention.head_count_kv")?.unwrap_or(heads),
            "pad_token_id": self.token_id("padding")?,
            "rms_norm_eps": self.float("attention.layer_norm_rms_epsilon")?,
            "rope_scaling": self.rope_scaling(theta, head_dim)?,
            "rope_theta": theta,
            "tie_word_embeddings": self.info("lm_head.weight").is_none(),
            "torch_dtype": self.torch_dtype(),
            "use_cache": true,
            "vocab_size": self.vocab_size()?,
        });
        // Qwen3 and Gemma 3 have their own width of a head if the file lacks it.
        let by_itself = matches!(self.architecture, Architecture::Qwen3 | Architecture::Gemma3);
        if by_itself || heads == 0 || head_dim.checked_mul(heads) != Some(hidden) {
            config["head_dim"] = json!(head_dim);
        }
        match self.architecture {
            Architecture::Llama => {
                config["attention_bias"] = json!(self.has_tensor_ending("self_attn.q_proj.bias"));
                config["mlp_bias"] = json!(self.has_tensor_ending("mlp.up_proj.bias"));
            }
            Architecture::Qwen2 => config["use_sliding_window"] = json!(false),
            Architecture::Qwen3 => {
                config["attention_bias"] = json!(self.has_tensor_ending("self_attn.q_proj.bias"));
                config["use_sliding_window"] = json!(false);
            }
            Architecture::Gemma3 => self.add_gemma3(&mut config, hidden, heads, head_dim)?,
            Architecture::Phi3 => self.add_phi3(&mut config, head_dim)?,
            Architecture::Bert => {}
        }
        Ok(config)
    }

    /// Adds the settings of Gemma 3 that llama.cpp has in its code: the scale of the scores, and the layers that have a window.
    fn add_gemma3(
        &self,
        config: &mut Value,
        hidden: usize,
        heads: usize,
        head_dim: usize,
    ) -> Result<(), FormatError> {
        // Only the largest model, of 62 layers, scales by the width of the residual stream divided by the number of heads.
        let largest = self.number("block_count")? == 62;
        let scalar = if largest { hidden.checked_div(heads).unwrap_or(head_dim) } else { head_dim };
        config["query_pre_attn_scalar"] = json!(scalar);
        config["hidden_activation"] = json!("gelu_pytorch_tanh");
        config["sliding_window"] = json!(self.optional_number("attention.sliding_window")?);
        config["sliding_window_pattern"] =
            json!(self.optional_number("attention.sliding_window_pattern")?.unwrap_or(6));
        config["rope_local_base_freq"] =
            json!(self.optional_float("rope.freq_base_swa")?.unwrap_or(10_000.0));
        Ok(())
    }

    /// Adds Phi-3's window and its rotary embedding, which rotates a part of each head and has divisors for short and for long texts.
    fn add_phi3(&self, config: &mut Value, head_dim: usize) -> Result<(), FormatError> {
        config["sliding_window"] = match self.optional_number("attention.sliding_window")? {
            Some(0) | None => Value::Null,
            Some(window) => json!(window),
        };
        if let Some(rotated) = self.optional_number("rope.dimension_count")?.filter(|&n| n != head_dim) {
            config["partial_rotary_factor"] = json!(rotated as f64 / head_dim.max(1) as f64);
        }
        let context = self.number("context_length")?;
        let original = self.optional_number("rope.scaling.original_context_length")?.unwrap_or(context);
        config["original_max_position_embeddings"] = json!(original);
        if self.gguf.tensor(ROPE_FACTORS[0]).is_some() {
            let [short, long] = ROPE_FACTORS.map(|name| self.divisors(name));
            config["rope_scaling"] =
                json!({ "type": "longrope", "short_factor": short?, "long_factor": long? });
            if let Some(factor) = self.optional_float("rope.scaling.attn_factor")? {
                config["rope_scaling"]["attention_factor"] = json!(factor);
            }
        }
        Ok(())
    }

    /// Reads divisors of rotary frequencies, of which a head has no more than values.
    fn divisors(&self, name: &str) -> Result<Vec<f32>, FormatError> {
        const MOST: usize = 1 << 16;
        match self.gguf.tensor(name) {
            Some(tensor) if tensor.element_count() > MOST => {
                let problem = format!("it has {} values; a head has at most {MOST}", tensor.element_count());
                Err(FormatError::corrupt(self.gguf.file_name(), Place::Tensor(name.to_owned()), problem))
            }
            _ => self.gguf.read_f32(name),
        }
    }

    fn refuse_experts(&self) -> Result<(), FormatError> {
        match self.optional_number("expert_count")? {
            None | Some(0) => Ok(()),
            Some(experts) => Err(self.refusal(
                "expert_count",
                format!("the model is a mixture of {experts} experts"),
                "use a plain (dense) model",
            )),
        }
    }

    fn head_dim(&self, hidden: usize, heads: usize) -> Result<usize, FormatError> {
        let implied = hidden.checked_div(heads).unwrap_or(0);
        let head_dim = self.optional_number("attention.key_length")?;
        let rotated = self.optional_number("rope.dimension_count")?;
        // Phi-3's heads may be rotated in part.
        let whole = rotated.filter(|_| self.architecture != Architecture::Phi3);
        let head_dim = head_dim.or(whole).unwrap_or(implied);
        match rotated {
            Some(rotated) if rotated != head_dim && self.architecture != Architecture::Phi3 => Err(self
                .refusal(
                    "rope.dimension_count",
                    format!("{rotated} of each head's {head_dim} values are rotated"),
                    "use a model whose heads are rotated whole",
                )),
            _ => Ok(head_dim),
        }
    }

    pub(super) fn vocab_size(&self) -> Result<usize, FormatError> {
        if let Some(embeddings) = self.info(self.architecture.embedding()) {
            return Ok(embeddings.shape.first().copied().unwrap_or(0));
        }
        if let Some(size) = self.optional_number("vocab_size")? {
            return Ok(size);
        }
        let tokens = self.gguf.required("tokenizer.ggml.tokens", GgufValue::as_strings, "list of texts")?;
        Ok(tokens.len())
    }

    pub(super) fn token_id(&self, which: &str) -> Result<Option<u64>, FormatError> {
        self.gguf.optional(&format!("tokenizer.ggml.{which}_token_id"), GgufValue::as_u64, "whole number")
    }

    pub(super) fn float(&self, name: &str) -> Result<f64, FormatError> {
        match self.optional_float(name)? {
            Some(number) => Ok(number),
            None => self.gguf.required(&self.key(name), GgufValue::as_f64, "float"),
        }
    }

    /// Returns a float, which is finite: JSON has no other.
    fn optional_float(&self, name: &str) -> Result<Option<f64>, FormatError> {
        match self.gguf.optional(&self.key(name), GgufValue::as_f64, "float")? {
            Some(number) if !number.is_finite() => {
                let place = Place::Key(self.key(name));
                Err(FormatError::corrupt(self.gguf.file_name(), place, format!("{number} is not a number")))
            }
            number => Ok(number),
        }
    }

    /// Returns the stored type of the weights, or f32 if they are dequantised to it.
    pub(super) fn torch_dtype(&self) -> &'static str {
        let has = |ggml| self.gguf.tensors().iter().any(|tensor| tensor.ggml_type == ggml);
        match self.gguf.tensors().iter().all(|tensor| tensor.ggml_type.plain().is_some()) {
            true if has(GgmlType::BF16) => "bfloat16",
            true if has(GgmlType::F16) => "float16",
            _ => "float32",
        }
    }

    fn has_tensor_ending(&self, end: &str) -> bool {
        self.infos().iter().any(|info| info.name.ends_with(end))
    }

    fn rope_scaling(&self, theta: f64, head_dim: usize) -> Result<Value, FormatError> {
        let kind = self.gguf.optional(&self.key("rope.scaling.type"), GgufValue::as_str, "text")?;
        let scaling = match kind {
            None | Some("none") => match self.optional_float("rope.scale_linear")? {
                Some(factor) if factor != 1.0 => linear(factor),
                _ => Value::Null,
            },
            Some("linear") => linear(self.float("rope.scaling.factor")?),
            Some(other) => {
                return Err(self.refusal(
                    "rope.scaling.type",
                    format!("rotary scaling {:?} is not supported", crate::error::Shortened(other)),
                    "use a model with rotary scaling none, linear or llama3",
                ));
            }
        };
        match self.gguf.tensor(ROPE_FREQS) {
            None => Ok(scaling),
            Some(_) if !scaling.is_null() => Err(self.refusal(
                "rope.scaling.type",
                format!("it is given beside {ROPE_FREQS}"),
                "use the original safetensors",
            )),
            Some(_) => self.llama3_scaling(theta, head_dim),
        }
    }

    /// Returns Llama 3's scaling, of which a GGUF stores only one divisor for each frequency. The largest divisor is the factor, and the other
    /// parameters are the same in every Llama 3 release, so that they can be guessed, and the guess can be verified by computing the divisors.
    fn llama3_scaling(&self, theta: f64, head_dim: usize) -> Result<Value, FormatError> {
        let divisors = self.divisors(ROPE_FREQS)?;
        let factor = divisors.iter().copied().fold(1.0f32, f32::max);
        if factor == 1.0 && divisors.iter().all(|&divisor| divisor == 1.0) {
            return Ok(Value::Null);
        }
        let original = self.optional_number("rope.scaling.original_context_length")?.unwrap_or(8192);
        let guess = RopeScaling::Llama3 {
            factor: factor.into(),
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: original,
        };
        let frequencies =
            |scaling| Rope { theta, dim: head_dim, interleaved: false, scaling }.frequencies(0).0;
        let (plain, scaled) = (frequencies(RopeScaling::Default), frequencies(guess));
        let matches = divisors.len() == plain.len()
            && divisors
                .iter()
                .zip(plain.iter().zip(&scaled))
                .all(|(&divisor, (&plain, &scaled))| (plain / scaled / divisor - 1.0).abs() < 1e-3);
        if !matches {
            return Err(FormatError::unsupported(
                self.gguf.file_name(),
                Place::Tensor(ROPE_FREQS.to_owned()),
                "its rotary scaling is not Llama 3's",
                "use the original safetensors",
            ));
        }
        Ok(json!({
            "factor": f64::from(factor),
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": original,
            "rope_type": "llama3",
        }))
    }

    fn refusal(&self, key: &str, problem: String, help: &'static str) -> FormatError {
        FormatError::unsupported(self.gguf.file_name(), Place::Key(self.key(key)), problem, help)
    }
}

fn linear(factor: f64) -> Value {
    json!({ "factor": factor, "rope_type": "linear", "type": "linear" })
}
