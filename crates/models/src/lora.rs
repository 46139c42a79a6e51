//! Putting adapters into a model, taking them out, and merging them: PEFT's rules.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use lorelei_recipe::{InitLoraWeights, LoraConfig, TargetModules};

use crate::{
    Dora, Linear, LoraAdapter, Model, ModelError, Parameter, Weight,
    init::{Draw, fnv1a},
    precision::{cast, kind, single},
};

/// Values of adapter tensors by `<module path>.lora_A` or `.lora_B`: shape and elements.
pub type AdapterValues = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

impl Model {
    /// Gives every module that `config` selects a fresh adapter: `A` random by `seed`, `B` zero, so that the model's output stays
    /// as it was. Returns the last parts of the selected names, as PEFT writes them into `target_modules`.
    ///
    /// # Errors
    ///
    /// If nothing is selected, or something that cannot have an adapter here.
    pub fn inject_lora(&mut self, config: &LoraConfig, seed: u64) -> Result<Vec<String>, ModelError> {
        let config = config.with_default_targets(self.config.model_type)?;
        // The embedding is no linear layer: "all-linear" does not mean it.
        let all_linear = config.target_modules.as_ref().is_some_and(TargetModules::is_all_linear);
        let head = self.config.names.head;
        for path in [head.to_owned(), self.config.path(self.config.names.embedding)] {
            if !all_linear && config.selects(&path, path == head, None) {
                return Err(ModelError::Unsupported(format!(
                    "target_modules selects {path}: adapters on the embedding and the head are not supported yet; \
                     name the linear layers of the blocks, or \"all-linear\""
                )));
            }
        }
        let mut selected = Vec::new();
        let mut known = Vec::new();
        let device = self.device.clone();
        for (index, path, linear) in self.linears_mut() {
            let last = path.rsplit('.').next().unwrap_or(&path).to_owned();
            if config.selects(&path, false, index) {
                linear.lora = Some(fresh(&config, &path, linear, seed, &device));
                if !selected.contains(&last) {
                    selected.push(last.clone());
                }
            }
            if !known.contains(&last) {
                known.push(last);
            }
        }
        if selected.is_empty() {
            let targets = match &config.target_modules {
                Some(TargetModules::List(names)) => names.join(", "),
                Some(TargetModules::Pattern(pattern)) => pattern.clone(),
                None => String::new(),
            };
            return Err(ModelError::NoTarget { targets, modules: known });
        }
        self.draw_head(seed);
        Ok(selected)
    }

    /// Puts `values` into the adapters that [`Model::inject_lora`] made.
    ///
    /// # Errors
    ///
    /// If names or shapes differ; then nothing is changed.
    pub fn set_adapter(&mut self, values: &AdapterValues) -> Result<(), ModelError> {
        let mut missing = Vec::new();
        let mut wrong = None;
        let mut known = Vec::new();
        self.visit_parameters(&mut |name, parameter| {
            let expected = parameter.shape().to_vec();
            match values.get(name) {
                None => missing.push(name.to_owned()),
                Some((shape, _)) if *shape != expected => {
                    wrong.get_or_insert(format!(
                        "{name} is {shape:?} in the file, {expected:?} by r and the model"
                    ));
                }
                Some(_) => {}
            }
            known.push(name.to_owned());
        });
        let unknown: Vec<String> = values.keys().filter(|name| !known.contains(name)).cloned().collect();
        let complaint = match (wrong, missing.is_empty(), unknown.is_empty()) {
            (Some(wrong), ..) => wrong,
            (_, false, _) => format!("it lacks {}", crate::error::list(&missing)),
            (_, _, false) => format!("the model has no adapter at {}", crate::error::list(&unknown)),
            _ => {
                let device = self.device.clone();
                self.visit_parameters(&mut |name, mut parameter| {
                    parameter.assign_host(values[name].1.clone(), &device);
                });
                return Ok(());
            }
        };
        Err(ModelError::Adapter(format!(
            "{complaint}; was it trained for another model, rank or set of target_modules?"
        )))
    }

    /// Makes every parameter a leaf of the next graph.
    pub fn track(&mut self) {
        self.visit_parameters(&mut |_, mut parameter| parameter.track());
    }

    /// Takes every parameter out of the graph.
    pub fn untrack(&mut self) {
        self.visit_parameters(&mut |_, mut parameter| parameter.untrack());
    }

    /// `W + s·B·A` in place of each adapted weight, and no adapter: what PEFT's `merge_and_unload` does. Not for training.
    pub fn merge_and_unload(&mut self) {
        self.untrack();
        for (_, _, linear) in self.linears_mut() {
            if let Some(lora) = linear.lora.take() {
                let factors = lora.dora.as_ref().map(|dora| dora.factors(&linear.weight, &lora));
                let change = lora.b.matmul(lora.a) * lora.scale;
                linear.weight = match factors {
                    None => linear.weight.plus(change),
                    Some(factors) => {
                        let merged = (single(linear.weight.dense()) + change) * factors.transpose();
                        Weight::Dense(cast(merged, kind(&linear.weight.dense())))
                    }
                };
                if let Some(bias) = lora.bias.map(|bias| bias * lora.scale) {
                    linear.bias = Some(match linear.bias.take() {
                        None => cast(bias, kind(&linear.weight.dense())),
                        Some(own) => cast(single(own.clone()) + bias, kind(&own)),
                    });
                }
            }
        }
    }

    /// The model without its adapters.
    pub fn without_adapter(&self) -> Self {
        let mut base = self.clone();
        base.linears_mut().for_each(|(_, _, linear)| linear.lora = None);
        base
    }

    /// The names and shapes of everything that learns.
    pub fn parameter_names(&mut self) -> Vec<(String, Vec<usize>)> {
        let mut names = Vec::new();
        self.visit_parameters(&mut |name, parameter: Parameter<'_>| {
            names.push((name.to_owned(), parameter.shape().to_vec()));
        });
        names
    }
}

fn fresh(
    config: &LoraConfig,
    path: &str,
    linear: &Linear,
    seed: u64,
    device: &burn::tensor::Device,
) -> LoraAdapter {
    let (size_in, size_out) = linear.sizes();
    let r = config.rank(path);
    let draw = Draw::new(seed, path);
    let bound = 1.0 / (size_in as f64).sqrt();
    let uniform = |draw: &mut Draw| draw.uniform(bound);
    let a = match config.init_lora_weights {
        InitLoraWeights::Gaussian => draw.tensor([r, size_in], device, |draw| draw.normal(1.0 / r as f64)),
        _ => draw.tensor([r, size_in], device, uniform),
    };
    let b = match config.init_lora_weights {
        // PEFT leaves both as torch.nn.Linear made them.
        InitLoraWeights::Bool(false) => {
            let bound = 1.0 / (r as f64).sqrt();
            Draw::new(seed, &format!("{path}.lora_B")).tensor([size_out, r], device, |d| d.uniform(bound))
        }
        _ => Tensor::zeros([size_out, r], device),
    };
    let bias = config.lora_bias.then(|| match config.init_lora_weights {
        InitLoraWeights::Bool(false) => {
            let bound = 1.0 / (r as f64).sqrt();
            Draw::new(seed, &format!("{path}.lora_B.bias")).tensor([size_out], device, |d| d.uniform(bound))
        }
        _ => Tensor::zeros([size_out], device),
    });
    let mut lora = LoraAdapter {
        a,
        b,
        bias,
        dora: None,
        scale: config.scaling(path) as f32,
        dropout: config.lora_dropout as f32,
        dropout_stream: fnv1a(path),
    };
    lora.dora = config.use_dora.then(|| Dora::new(&linear.weight, &lora));
    lora
}
