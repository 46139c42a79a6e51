//! Loading of a model onto a device, tensor by tensor, from a checkpoint or with random weights.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use lorelei_estimate::trains_with_head;
use lorelei_formats::{
    ModelConfig, TensorSource,
    config::{Module, ModuleShape, NormKind, Role},
};
use lorelei_kernels as kernels;

use crate::{
    Linear, Model, ModelError, Purpose, Weight, classifier::Classifier, extra_trainables::ExtraTrainables,
    finite::check_finite, init::Draw, layer::Layer, norm::Norm, rows::Rows,
};

/// Storage of a checkpoint's weights on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    /// Whether the linear layers' weights that are stored in GGUF's blocks stay in them, where the kernels support that.
    pub keep_packed: bool,
    /// Type of all other weights: `F32`, or in mixed precision a half type that the device supports.
    pub dtype: FloatDType,
    /// Bytes of the largest tensor to create for the embedding and the head. Larger ones are cut into pieces by rows. `None` asks the device.
    pub largest: Option<u64>,
}

impl Storage {
    /// Storage of all weights in single floats.
    pub const SINGLE: Self = Self { keep_packed: false, dtype: FloatDType::F32, largest: None };
}

/// Transformers' default `initializer_range`.
pub(crate) const HEAD_DEVIATION: f64 = 0.02;

/// Supply of the tensors of a model, one after another.
trait Supply {
    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>, ModelError>;

    /// Whether there is a tensor of this name and shape.
    fn has(&self, _name: &str, _shape: &[usize]) -> bool {
        true
    }

    /// Supplies a matrix with one row for each token.
    fn rows(&mut self, name: &str, shape: [usize; 2]) -> Result<Rows, ModelError> {
        Ok(Rows::whole(self.tensor(name, shape)?))
    }

    /// Supplies the weight of a linear layer.
    fn weight(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, ModelError> {
        Ok(Weight::Dense(self.tensor(name, shape)?))
    }

    /// Supplies the weight of a linear layer that is stored as `[in, out]`; it becomes `[size_out, size_in]`, like all others.
    fn transposed(&mut self, name: &str, [size_out, size_in]: [usize; 2]) -> Result<Weight, ModelError> {
        let lying: Tensor<2> = self.tensor(name, [size_in, size_out])?;
        let values = lying.transpose().reshape([size_out * size_in]);
        Ok(Weight::Dense(values.reshape([size_out, size_in])))
    }
}

/// Supply that reads each tensor from a checkpoint.
struct FromSource<'a> {
    config: &'a ModelConfig,
    source: &'a dyn TensorSource,
    device: &'a Device,
    storage: Storage,
    progress: &'a mut dyn FnMut(&str),
}

impl FromSource<'_> {
    /// Reads the values of a tensor, and reports its name as progress.
    ///
    /// # Errors
    ///
    /// If they cannot be read, or one is not finite.
    fn values(&mut self, name: &str) -> Result<Vec<f32>, ModelError> {
        (self.progress)(name);
        let place = self.config.find(self.source, name);
        let values = self.source.read_f32(place.as_deref().unwrap_or(name))?;
        check_finite(name, 0, &values)?;
        Ok(values)
    }
}

impl Supply for FromSource<'_> {
    fn has(&self, name: &str, shape: &[usize]) -> bool {
        self.config.has_tensor(self.source, name, shape)
    }

    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>, ModelError> {
        let values = self.values(name)?;
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
        let values = self.values(name)?;
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

/// Supply that draws each tensor: normal with `initializer_range`, norms one, biases zero, as in Transformers.
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
            // Gemma's norms are stored less one.
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
    /// Loads a frozen model from a checkpoint, in the requested `storage`. `progress` is called with the name of each tensor before it is read.
    ///
    /// # Errors
    ///
    /// If the checkpoint lacks tensors or has them in other shapes (which is checked before anything is read), or cannot be read.
    pub fn load(
        config: ModelConfig,
        source: &dyn TensorSource,
        device: &Device,
        storage: Storage,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, ModelError> {
        Self::check_tensors(&config, source)?;
        let supply = &mut FromSource { config: &config, source, device, storage, progress };
        Ok(Self::build(config.clone(), device, supply)?.with_f32_head())
    }

    /// Returns a model for another task, which shares its body with this model. Its head is read from `source`, this model's checkpoint, or
    /// initialised at random if the checkpoint has none.
    ///
    /// # Errors
    ///
    /// If the model has no head for the task, or the checkpoint cannot be read or does not fit it.
    pub fn with_head(&self, purpose: Purpose, source: &dyn TensorSource) -> Result<Self, ModelError> {
        let config = purpose.config(self.config.clone())?;
        Self::check_tensors(&config, source)?;
        let (device, storage) = (&self.device, Storage { dtype: self.dtype(), ..Storage::SINGLE });
        let supply = &mut FromSource { config: &config, source, device, storage, progress: &mut |_| {} };
        let of_head = config.head(config.task);
        let mut modules = LoadedModules::default();
        // A language model's head that is already loaded is not read again.
        let is_there = |module: &&Module| module.role == Role::LmHead && self.lm_head.is_some();
        for module in of_head.iter().filter(|module| !is_there(module)) {
            modules.load(&config, module, device, supply)?;
        }
        let own_head = self.lm_head.clone().filter(|_| config.has_own_head());
        let lm_head = modules.rows.remove(&Role::LmHead).or(own_head);
        let classifier = modules.classifier(&of_head);
        let modules = config.modules().into();
        Ok(Self { config: config.clone(), modules, lm_head, classifier, ..self.clone() }.with_f32_head())
    }

    /// Checks a checkpoint's names and shapes against a configuration; reads no tensor.
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

    /// Creates a model with random weights, the start of a training from scratch.
    ///
    /// # Errors
    ///
    /// There are none for a configuration from [`ModelConfig::from_json`].
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
        let plan = config.modules();
        let mut modules = LoadedModules::default();
        for module in &plan {
            modules.load(&config, module, device, supply)?;
        }
        let embed_tokens =
            modules.rows.remove(&Role::Embedding).ok_or_else(|| LoadedModules::lacks(Role::Embedding))?;
        let layers = (0..config.num_hidden_layers).map(|index| Layer::load(&config, index, &mut modules));
        let layers = layers.collect::<Result<_, _>>()?;
        Ok(Self {
            device: device.clone(),
            embed_tokens,
            positions: modules.embeddings.remove(&Role::PositionEmbedding),
            token_types: modules.embeddings.remove(&Role::TokenTypeEmbedding),
            embedding_norm: modules.norm(None, Role::EmbeddingNorm),
            layers,
            norm: modules.norm(None, Role::FinalNorm),
            lm_head: modules.rows.remove(&Role::LmHead),
            classifier: modules.classifier(&plan),
            embedding_adapter: None,
            head_adapter: None,
            extra_trainables: ExtraTrainables::default(),
            trainable_tokens: None,
            replaced: BTreeSet::new(),
            full_finetune: false,
            regularization: crate::Regularization::default(),
            modules: plan.into(),
            config,
        })
    }
}

/// Modules of a model on the device, by role and layer, from which the model is built.
#[derive(Default)]
pub(crate) struct LoadedModules {
    /// Embedding of tokens and head of a language model.
    rows: BTreeMap<Role, Rows>,
    /// Other embeddings.
    embeddings: BTreeMap<Role, Tensor<2>>,
    linears: BTreeMap<(Option<usize>, Role), Linear>,
    norms: BTreeMap<(Option<usize>, Role), Norm>,
    /// Paths of the modules that the checkpoint lacks.
    missing: Vec<String>,
}

impl LoadedModules {
    /// Removes and returns the linear layer with `role` in a layer.
    pub(crate) fn linear(&mut self, layer: Option<usize>, role: Role) -> Option<Linear> {
        self.linears.remove(&(layer, role))
    }

    /// Removes and returns the norm with `role` in a layer.
    pub(crate) fn norm(&mut self, layer: Option<usize>, role: Role) -> Option<Norm> {
        self.norms.remove(&(layer, role))
    }

    /// Creates the error for a module that the plan of an architecture lacks.
    pub(crate) fn lacks(role: Role) -> ModelError {
        ModelError::Unsupported(format!("the architecture has no module for {role:?}"))
    }

    /// Removes and returns the classification head, whose modules are in `plan`.
    fn classifier(&mut self, plan: &[Module]) -> Option<Classifier> {
        let output = self.linear(None, Role::Classifier)?;
        let missing = std::mem::take(&mut self.missing);
        let mut in_head = plan.iter().filter(|module| module.role == Role::Pooler);
        let dense_trains = in_head.any(|module| trains_with_head(module, missing.contains(&module.path)));
        Some(Classifier { dense: self.linear(None, Role::Pooler), output, dense_trains, missing })
    }

    /// Loads a module onto the device.
    fn load(
        &mut self,
        config: &ModelConfig,
        module: &Module,
        device: &Device,
        supply: &mut impl Supply,
    ) -> Result<(), ModelError> {
        let place = (module.layer, module.role);
        let weight = format!("{}.weight", module.path);
        match (module.role, module.shape) {
            (Role::LmHead, _) if module.tied => {}
            (Role::LmHead, ModuleShape::Linear { size_out, size_in, .. }) => {
                self.rows.insert(module.role, supply.rows(&weight, [size_out, size_in])?);
            }
            (Role::Embedding, ModuleShape::Embedding { rows, columns }) => {
                self.rows.insert(module.role, supply.rows(&weight, [rows, columns])?);
            }
            (_, ModuleShape::Embedding { rows, columns }) => {
                self.embeddings.insert(module.role, supply.tensor(&weight, [rows, columns])?);
            }
            (_, ModuleShape::Linear { .. }) if module.optional => {
                let (linear, is_there) = optional_linear(module, device, supply)?;
                self.linears.insert(place, linear);
                if !is_there {
                    self.missing.push(module.path.clone());
                }
            }
            (_, ModuleShape::Linear { size_out, size_in, bias, in_out }) => {
                let weight = match in_out {
                    true => supply.transposed(&weight, [size_out, size_in])?,
                    false => supply.weight(&weight, [size_out, size_in])?,
                };
                let bias = bias.then(|| supply.tensor(&format!("{}.bias", module.path), [size_out]));
                self.linears.insert(place, Linear { weight, bias: bias.transpose()?, adapter: None });
            }
            (_, ModuleShape::Norm { size, bias }) => {
                let weight = supply.tensor(&weight, [size])?;
                let bias = bias.then(|| supply.tensor(&format!("{}.bias", module.path), [size]));
                let (kind, eps) = (config.norm, config.norm_eps as f32);
                self.norms.insert(place, Norm { kind, eps, weight, bias: bias.transpose()? });
            }
        }
        Ok(())
    }
}

/// Returns a linear layer of a classification head, and whether the checkpoint has all of it. Missing tensors are drawn as in Transformers.
fn optional_linear(
    module: &Module,
    device: &Device,
    supply: &mut impl Supply,
) -> Result<(Linear, bool), ModelError> {
    let drawn = &mut FromSeed { seed: 0, deviation: HEAD_DEVIATION, norms_less_one: false, device };
    let (mut weight, mut bias, mut is_whole) = (None, None, true);
    for (name, shape) in module.tensors() {
        let is_there = supply.has(&name, &shape);
        is_whole &= is_there;
        match shape[..] {
            [rows, columns] if is_there => weight = Some(supply.tensor(&name, [rows, columns])?),
            [rows, columns] => weight = Some(drawn.tensor(&name, [rows, columns])?),
            [size] if is_there => bias = Some(supply.tensor(&name, [size])?),
            [size] => bias = Some(drawn.tensor(&name, [size])?),
            _ => {}
        }
    }
    let weight = Weight::Dense(weight.ok_or_else(|| LoadedModules::lacks(module.role))?);
    Ok((Linear { weight, bias, adapter: None }, is_whole))
}
