//! From a checkpoint, or from nothing, to a model on a device: tensor by tensor.

use burn::tensor::{Device, Tensor, TensorData};
use lorelei_formats::{
    ModelConfig, TensorSource,
    config::{NormKind, SublayerNames},
};

use crate::{
    Linear, Model, ModelError, Weight,
    init::Draw,
    model::{Layer, Sublayer},
    norm::Norm,
};

/// Gives the tensors of a model one after another.
trait Supply {
    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>, ModelError>;

    /// The weight of a linear layer.
    fn weight(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, ModelError> {
        Ok(Weight::Dense(self.tensor(name, shape)?))
    }

    /// The weight of a linear layer that lies `[in, out]`; it becomes `[size_out, size_in]`, as all others are.
    fn transposed(&mut self, name: &str, [size_out, size_in]: [usize; 2]) -> Result<Weight, ModelError> {
        let lying: Tensor<2> = self.tensor(name, [size_in, size_out])?;
        let values = lying.transpose().reshape([size_out * size_in]);
        Ok(Weight::Dense(values.reshape([size_out, size_in])))
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
    norms_less_one: bool,
    device: &'a Device,
}

impl Supply for FromSeed<'_> {
    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>, ModelError> {
        Ok(match D {
            1 if name.ends_with("bias") => Tensor::zeros(shape, self.device),
            // Gemma's norms are kept less one.
            1 if self.norms_less_one => Tensor::zeros(shape, self.device),
            1 => Tensor::ones(shape, self.device),
            _ => {
                let deviation = self.deviation;
                Draw::new(self.seed, name).tensor(shape, self.device, |draw| draw.normal(deviation))
            }
        })
    }
}

impl Model {
    /// A frozen model from a checkpoint, in float32; with `keep_packed`, the linear layers' weights that lie in GGUF's blocks stay in them
    /// where the kernels take them. `progress` hears the name of each tensor before it is read.
    ///
    /// # Errors
    ///
    /// If the checkpoint lacks tensors or has them in other shapes (found before anything is read), or cannot be read.
    pub fn load(
        config: ModelConfig,
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
    pub fn check_tensors(config: &ModelConfig, source: &dyn TensorSource) -> Result<(), ModelError> {
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
    /// None for a configuration that was read by [`ModelConfig::from_json`].
    pub fn random(
        config: ModelConfig,
        initializer_range: f64,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let norms_less_one = config.norm == NormKind::RmsPlusOne;
        let mut supply = FromSeed { seed, deviation: initializer_range, norms_less_one, device };
        Self::build(config, device, &mut supply)
    }

    fn build(config: ModelConfig, device: &Device, supply: &mut impl Supply) -> Result<Self, ModelError> {
        let (names, vocab, hidden) = (config.names, config.vocab_size, config.hidden_size);
        let weight = |part: &str| config.path(part) + ".weight";
        let embed_tokens = supply.tensor(&weight(names.embedding), [vocab, hidden])?;
        let positions = match names.positions {
            None => None,
            Some(name) => Some(supply.tensor(&weight(name), [config.max_position_embeddings, hidden])?),
        };
        let embedding_norm =
            norm(&config, names.embedding_norm.map(|name| config.path(name)), hidden, supply)?;
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for index in 0..config.num_hidden_layers {
            layers.push(layer(&config, index, supply)?);
        }
        let final_norm = norm(&config, names.final_norm.map(|name| config.path(name)), hidden, supply)?;
        let lm_head = match config.tie_word_embeddings {
            true => None,
            false => Some(supply.tensor(&format!("{}.weight", names.head), [vocab, hidden])?),
        };
        Ok(Self {
            config,
            device: device.clone(),
            embed_tokens,
            positions,
            embedding_norm,
            layers,
            norm: final_norm,
            lm_head,
            learns_whole: false,
            regularization: crate::Regularization::default(),
        })
    }
}

fn layer(config: &ModelConfig, index: usize, supply: &mut impl Supply) -> Result<Layer, ModelError> {
    let name = |part: &str| config.layer_path(index, part);
    let mut linears = Vec::new();
    for shape in config.layer_linears() {
        let path = name(shape.name);
        let (sizes, weight) = ([shape.size_out, shape.size_in], format!("{path}.weight"));
        let weight = match config.stored_in_out {
            true => supply.transposed(&weight, sizes)?,
            false => supply.weight(&weight, sizes)?,
        };
        let bias = match shape.bias {
            true => Some(supply.tensor(&format!("{path}.bias"), [shape.size_out])?),
            false => None,
        };
        linears.push(Linear { weight, bias, lora: None });
    }
    let names = config.names;
    let mut linears = linears.into_iter();
    let mut sublayer = |names: &SublayerNames| -> Result<Sublayer, ModelError> {
        let mut norm = |part: Option<&str>| norm(config, part.map(&name), config.hidden_size, supply);
        let (norm_before, norm_after) = (norm(names.norm_before)?, norm(names.norm_after)?);
        let norm_residual = norm(names.norm_residual)?;
        let input = linears.by_ref().take(names.input.len()).collect();
        let output = linears.next().ok_or_else(|| ModelError::Missing(vec![name(names.output)]))?;
        Ok(Sublayer { input, output, norm_before, norm_after, norm_residual })
    };
    let (attention, mlp) = (sublayer(&names.attention)?, sublayer(&names.mlp)?);
    let mut of_heads = |part: Option<&str>| norm(config, part.map(name), config.head_dim, supply);
    Ok(Layer {
        kind: config.layers[index],
        attention,
        query_norm: of_heads(names.query_norm)?,
        key_norm: of_heads(names.key_norm)?,
        mlp,
    })
}

/// The norm at `path`, where there is one.
fn norm(
    config: &ModelConfig,
    path: Option<String>,
    size: usize,
    supply: &mut impl Supply,
) -> Result<Option<Norm>, ModelError> {
    let Some(path) = path else { return Ok(None) };
    let weight = supply.tensor(&format!("{path}.weight"), [size])?;
    let bias = match config.norm {
        NormKind::Layer => Some(supply.tensor(&format!("{path}.bias"), [size])?),
        _ => None,
    };
    Ok(Some(Norm { kind: config.norm, eps: config.norm_eps as f32, weight, bias }))
}
