//! From a checkpoint, or from nothing, to a model on a device: tensor by tensor.

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use lorelei_formats::{
    ModelConfig, TensorSource,
    config::{NormKind, SublayerNames},
};

use lorelei_kernels as kernels;

use crate::{
    Linear, Model, ModelError, Purpose, Weight,
    beside::Beside,
    classifier::{Classifier, dense_learns},
    init::Draw,
    model::{Layer, Sublayer},
    norm::Norm,
    rows::Rows,
};

/// How a checkpoint's weights lie on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    /// Whether the linear layers' weights that lie in GGUF's blocks stay in them, where the kernels take them.
    pub keep_packed: bool,
    /// What all others are: `F32`, or in mixed precision a half type that the device holds.
    pub dtype: FloatDType,
    /// Bytes of the largest tensor to make of embedding and head, which are cut into pieces by rows above it; none asks the device.
    pub largest: Option<u64>,
}

impl Storage {
    /// Everything in single floats.
    pub const SINGLE: Self = Self { keep_packed: false, dtype: FloatDType::F32, largest: None };
}

/// Transformers' default `initializer_range`.
pub(crate) const HEAD_DEVIATION: f64 = 0.02;

/// Gives the tensors of a model one after another.
trait Supply {
    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>, ModelError>;

    /// Whether there is a tensor of this name and shape.
    fn has(&self, _name: &str, _shape: &[usize]) -> bool {
        true
    }

    /// A matrix with a row a token.
    fn rows(&mut self, name: &str, shape: [usize; 2]) -> Result<Rows, ModelError> {
        Ok(Rows::whole(self.tensor(name, shape)?))
    }

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
    config: &'a ModelConfig,
    source: &'a dyn TensorSource,
    device: &'a Device,
    storage: Storage,
    progress: &'a mut dyn FnMut(&str),
}

impl Supply for FromSource<'_> {
    fn has(&self, name: &str, shape: &[usize]) -> bool {
        let place = self.config.find(self.source, name);
        place.and_then(|place| self.source.info(&place)).is_some_and(|info| info.shape == shape)
    }

    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>, ModelError> {
        (self.progress)(name);
        let place = self.config.find(self.source, name);
        let values = self.source.read_f32(place.as_deref().unwrap_or(name))?;
        let dtype = DType::from(self.storage.dtype);
        Ok(Tensor::from_data(TensorData::new(values, shape), (self.device, dtype)))
    }

    fn rows(&mut self, name: &str, shape: [usize; 2]) -> Result<Rows, ModelError> {
        let [rows, columns] = shape;
        let dtype = DType::from(self.storage.dtype);
        let limit = self.storage.largest.or_else(|| kernels::gpu::largest_tensor(self.device));
        let each = Rows::rows_each(rows, columns * dtype.size(), limit);
        if each == rows {
            return Ok(Rows::whole(self.tensor(name, shape)?));
        }
        (self.progress)(name);
        let place = self.config.find(self.source, name);
        let values = self.source.read_f32(place.as_deref().unwrap_or(name))?;
        let piece = |values: &[f32]| {
            let data = TensorData::new(values.to_vec(), [values.len() / columns, columns]);
            Tensor::from_data(data, (self.device, dtype))
        };
        Ok(Rows::of(values.chunks(each * columns).map(piece).collect()))
    }

    fn weight(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, ModelError> {
        let place = self.config.find(self.source, name);
        if self.storage.keep_packed
            && let Some(weight) =
                Weight::packed(self.source, place.as_deref().unwrap_or(name), shape, self.device)?
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
    /// A frozen model from a checkpoint, in the `storage` asked for. `progress` hears the name of each tensor before it is read.
    ///
    /// # Errors
    ///
    /// If the checkpoint lacks tensors or has them in other shapes (found before anything is read), or cannot be read.
    pub fn load(
        config: ModelConfig,
        source: &dyn TensorSource,
        device: &Device,
        storage: Storage,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, ModelError> {
        Self::check_tensors(&config, source)?;
        let supply = &mut FromSource { config: &config, source, device, storage, progress };
        Ok(Self::build(config.clone(), device, supply)?.with_single_head())
    }

    /// The same body, shared with this model, for another task: with the head that `source`, this model's checkpoint, has for it, or where it has
    /// none with one that begins at random.
    ///
    /// # Errors
    ///
    /// If the model has no head for the task, or the checkpoint cannot be read or does not fit it.
    pub fn with_head(&self, purpose: Purpose, source: &dyn TensorSource) -> Result<Self, ModelError> {
        let config = purpose.config(self.config.clone())?;
        Self::check_tensors(&config, source)?;
        let (device, storage) = (&self.device, Storage { dtype: self.dtype(), ..Storage::SINGLE });
        let supply = &mut FromSource { config: &config, source, device, storage, progress: &mut |_| {} };
        let lm_head = match &self.lm_head {
            None if config.has_own_head() => Some(language_head(&config, supply)?),
            head => head.clone().filter(|_| config.has_own_head()),
        };
        let classifier = classifier(&config, device, supply)?;
        Ok(Self { config: config.clone(), lm_head, classifier, ..self.clone() }.with_single_head())
    }

    /// Holds a checkpoint's names and shapes against a configuration; reads no tensor.
    ///
    /// # Errors
    ///
    /// If tensors are missing or have other shapes.
    pub fn check_tensors(config: &ModelConfig, source: &dyn TensorSource) -> Result<(), ModelError> {
        let mut missing = Vec::new();
        for (name, expected) in config.expected_tensors() {
            match config.find(source, &name).and_then(|place| source.info(&place)) {
                None => missing.push(name),
                Some(info) if info.shape != expected => {
                    return Err(ModelError::Shape { name, found: info.shape.clone(), expected });
                }
                Some(_) => {}
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(ModelError::Missing { missing, unexpected: config.unexpected_tensors(source) })
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
        let embed_tokens = supply.rows(&weight(names.embedding), [vocab, hidden])?;
        let positions = match names.positions {
            None => None,
            Some(name) => Some(supply.tensor(&weight(name), [config.max_position_embeddings, hidden])?),
        };
        let token_types = match names.token_types {
            None => None,
            Some(name) => Some(supply.tensor(&weight(name), [config.token_types, hidden])?),
        };
        let embedding_norm =
            norm(&config, names.embedding_norm.map(|name| config.path(name)), hidden, supply)?;
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for index in 0..config.num_hidden_layers {
            layers.push(layer(&config, index, supply)?);
        }
        let final_norm = norm(&config, names.final_norm.map(|name| config.path(name)), hidden, supply)?;
        let lm_head = if config.has_own_head() { Some(language_head(&config, supply)?) } else { None };
        let classifier = classifier(&config, device, supply)?;
        Ok(Self {
            config,
            device: device.clone(),
            embed_tokens,
            positions,
            token_types,
            classifier,
            embedding_norm,
            layers,
            norm: final_norm,
            lm_head,
            embed_lora: None,
            head_lora: None,
            beside: Beside::default(),
            learns_whole: false,
            regularization: crate::Regularization::default(),
        })
    }
}

fn language_head(config: &ModelConfig, supply: &mut impl Supply) -> Result<Rows, ModelError> {
    supply.rows(&format!("{}.weight", config.names.head), [config.vocab_size, config.hidden_size])
}

/// The classifying head, where there is one. What a checkpoint lacks of it begins as Transformers draws it.
fn classifier(
    config: &ModelConfig,
    device: &Device,
    supply: &mut impl Supply,
) -> Result<Option<Classifier>, ModelError> {
    let Some(names) = config.classifier() else { return Ok(None) };
    let drawn = &mut FromSeed { seed: 0, deviation: HEAD_DEVIATION, norms_less_one: false, device };
    let (output_sizes, output) = ([config.num_labels, config.hidden_size], names.output);
    let has_output = supply.has(&format!("{output}.weight"), &output_sizes)
        && (!names.bias || supply.has(&format!("{output}.bias"), &output_sizes[..1]));
    let has_dense = names.dense.is_none_or(|(path, _)| {
        supply.has(&format!("{path}.weight"), &[config.hidden_size; 2])
            && supply.has(&format!("{path}.bias"), &[config.hidden_size])
    });
    let mut linear = |path: &str, size_out: usize, bias: bool| -> Result<Linear, ModelError> {
        let (name, sizes) = (format!("{path}.weight"), [size_out, config.hidden_size]);
        let weight = match supply.has(&name, &sizes) {
            true => supply.tensor(&name, sizes)?,
            false => drawn.tensor(&name, sizes)?,
        };
        let name = format!("{path}.bias");
        let bias = match (bias, supply.has(&name, &[size_out])) {
            (false, _) => None,
            (true, true) => Some(supply.tensor(&name, [size_out])?),
            (true, false) => Some(drawn.tensor(&name, [size_out])?),
        };
        Ok(Linear { weight: Weight::Dense(weight), bias, lora: None })
    };
    let dense = match names.dense {
        None => None,
        Some((path, _)) => Some(linear(path, config.hidden_size, true)?),
    };
    let dense_learns = names.dense.is_some_and(|(path, _)| dense_learns(path, has_dense));
    let output = linear(names.output, config.num_labels, names.bias)?;
    Ok(Some(Classifier { dense, output, dense_learns, fresh_dense: !has_dense, fresh_output: !has_output }))
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
        let output = linears.next().ok_or_else(|| ModelError::Missing {
            missing: vec![name(names.output)],
            unexpected: Vec::new(),
        })?;
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
