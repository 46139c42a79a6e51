//! From a checkpoint, or from nothing, to a model on a device: tensor by tensor.

use burn::tensor::{Device, Tensor, TensorData};
use lorelei_formats::{LlamaConfig, TensorSource};

use crate::{Linear, Llama, ModelError, Weight, init::Draw, llama::Layer};

/// Gives the tensors of a model one after another.
trait Supply {
    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>, ModelError>;

    /// The weight of a linear layer.
    fn weight(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, ModelError> {
        Ok(Weight::Dense(self.tensor(name, shape)?))
    }
}

/// Reads each from a checkpoint.
struct FromSource<'a> {
    source: &'a dyn TensorSource,
    device: &'a Device,
    keep_packed: bool,
    progress: &'a mut dyn FnMut(&str),
}

impl Supply for FromSource<'_> {
    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>, ModelError> {
        (self.progress)(name);
        let values = self.source.read_f32(name)?;
        Ok(Tensor::from_data(TensorData::new(values, shape), self.device))
    }

    fn weight(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, ModelError> {
        if self.keep_packed
            && let Some(weight) = Weight::packed(self.source, name, shape, self.device)?
        {
            (self.progress)(name);
            return Ok(weight);
        }
        Ok(Weight::Dense(self.tensor(name, shape)?))
    }
}

/// Draws each: normal with `initializer_range`, norms one, biases zero, as Transformers does.
struct FromSeed<'a> {
    seed: u64,
    deviation: f64,
    device: &'a Device,
}

impl Supply for FromSeed<'_> {
    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>, ModelError> {
        Ok(match D {
            1 if name.ends_with("bias") => Tensor::zeros(shape, self.device),
            1 => Tensor::ones(shape, self.device),
            _ => {
                let deviation = self.deviation;
                Draw::new(self.seed, name).tensor(shape, self.device, |draw| draw.normal(deviation))
            }
        })
    }
}

impl Llama {
    /// A frozen model from a checkpoint, in float32; with `keep_packed`, the linear layers' weights that lie in GGUF's blocks stay in them
    /// where the kernels take them. `progress` hears the name of each tensor before it is read.
    ///
    /// # Errors
    ///
    /// If the checkpoint lacks tensors or has them in other shapes (found before anything is read), or cannot be read.
    pub fn load(
        config: LlamaConfig,
        source: &dyn TensorSource,
        device: &Device,
        keep_packed: bool,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, ModelError> {
        Self::check_tensors(&config, source)?;
        Self::build(config, device, &mut FromSource { source, device, keep_packed, progress })
    }

    /// Holds a checkpoint's names and shapes against a configuration; reads no tensor.
    ///
    /// # Errors
    ///
    /// If tensors are missing or have other shapes.
    pub fn check_tensors(config: &LlamaConfig, source: &dyn TensorSource) -> Result<(), ModelError> {
        let mut missing = Vec::new();
        for (name, expected) in config.expected_tensors() {
            match source.info(&name) {
                None => missing.push(name),
                Some(info) if info.shape != expected => {
                    return Err(ModelError::Shape { name, found: info.shape.clone(), expected });
                }
                Some(_) => {}
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(ModelError::Missing(missing)) }
    }

    /// A model with random weights: the start of a training from nothing.
    ///
    /// # Errors
    ///
    /// None for a configuration that was read by [`LlamaConfig::from_json`].
    pub fn random(
        config: LlamaConfig,
        initializer_range: f64,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        Self::build(config, device, &mut FromSeed { seed, deviation: initializer_range, device })
    }

    fn build(config: LlamaConfig, device: &Device, supply: &mut impl Supply) -> Result<Self, ModelError> {
        let (vocab, hidden) = (config.vocab_size, config.hidden_size);
        let embed_tokens = supply.tensor("model.embed_tokens.weight", [vocab, hidden])?;
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for index in 0..config.num_hidden_layers {
            layers.push(layer(&config, index, supply)?);
        }
        let norm = supply.tensor("model.norm.weight", [hidden])?;
        let lm_head = match config.tie_word_embeddings {
            true => None,
            false => Some(supply.tensor("lm_head.weight", [vocab, hidden])?),
        };
        Ok(Self {
            inv_freq: config.inv_freq(),
            config,
            device: device.clone(),
            embed_tokens,
            layers,
            norm,
            lm_head,
            learns_whole: false,
        })
    }
}

fn layer(config: &LlamaConfig, index: usize, supply: &mut impl Supply) -> Result<Layer, ModelError> {
    let (hidden, ffn) = (config.hidden_size, config.intermediate_size);
    let queries = config.num_attention_heads * config.head_dim;
    let keys = config.num_key_value_heads * config.head_dim;
    let (in_attention, in_mlp) = (config.attention_bias, config.mlp_bias);
    let name = |part: &str| format!("model.layers.{index}.{part}");
    let mut linear = |part: &str, size_out, size_in, with_bias: bool| -> Result<Linear, ModelError> {
        let weight = supply.weight(&name(&format!("{part}.weight")), [size_out, size_in])?;
        let bias = match with_bias {
            true => Some(supply.tensor(&name(&format!("{part}.bias")), [size_out])?),
            false => None,
        };
        Ok(Linear { weight, bias, lora: None })
    };
    Ok(Layer {
        q_proj: linear("self_attn.q_proj", queries, hidden, in_attention)?,
        k_proj: linear("self_attn.k_proj", keys, hidden, in_attention)?,
        v_proj: linear("self_attn.v_proj", keys, hidden, in_attention)?,
        o_proj: linear("self_attn.o_proj", hidden, queries, in_attention)?,
        gate_proj: linear("mlp.gate_proj", ffn, hidden, in_mlp)?,
        up_proj: linear("mlp.up_proj", ffn, hidden, in_mlp)?,
        down_proj: linear("mlp.down_proj", hidden, ffn, in_mlp)?,
        input_layernorm: supply.tensor(&name("input_layernorm.weight"), [hidden])?,
        post_attention_layernorm: supply.tensor(&name("post_attention_layernorm.weight"), [hidden])?,
    })
}
