//! Putting adapters into a model, taking them out, and merging them: PEFT's rules.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use lorelei_recipe::{InitLoraWeights, LoraConfig, TargetModules};

use crate::{
    Dora, Linear, LoraAdapter, Model, ModelError, Parameter, Rows, Weight,
    beside::is_saved,
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
        let device = self.device.clone();
        let mut selected = self.inject_ends(&config, seed)?;
        let mut known = Vec::new();
        for (index, path, linear) in self.linears_mut() {
            let last = last_part(&path);
            if config.selects(&path, false, index) && !is_saved(&config, &path) {
                linear.lora = Some(fresh(&config, &path, &linear.weight, seed, &device));
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
        self.learn_beside(&config)?;
        Ok(selected)
    }

    /// Adapters on the embedding and on the head, where `config` names them. Returns the last parts of their names.
    fn inject_ends(&mut self, config: &LoraConfig, seed: u64) -> Result<Vec<String>, ModelError> {
        // The embedding is no linear layer: "all-linear" does not mean it.
        let all_linear = config.target_modules.as_ref().is_some_and(TargetModules::is_all_linear);
        let (embedding, head) = (self.config.path(self.config.names.embedding), self.config.names.head);
        let selects =
            |path: &str| !all_linear && config.selects(path, path == head, None) && !is_saved(config, path);
        let mut selected = Vec::new();
        let refuse = |path: &str, why: &str| {
            Err(ModelError::Unsupported(format!("target_modules selects {path}: {why}")))
        };
        if selects(&embedding) {
            self.in_one_piece(&embedding)?;
            if config.use_dora || config.lora_bias || config.init_lora_weights.changes_the_base() {
                return refuse(
                    &embedding,
                    "use_dora, lora_bias, pissa and olora are for linear layers; leave the embedding out",
                );
            }
            let dims = self.embed_tokens.dims();
            self.embed_lora = Some(fresh_embedding(config, &embedding, dims, &self.device, seed));
            selected.push(last_part(&embedding));
        }
        if self.generates() && selects(head) {
            self.in_one_piece(head)?;
            if config.init_lora_weights.changes_the_base() {
                return refuse(head, "pissa and olora are for the blocks' linear layers; leave the head out");
            }
            let device = self.device.clone();
            let weight = Weight::Dense(self.whole_head());
            self.head_lora = Some(fresh(config, head, &weight, seed, &device));
            selected.push(last_part(head));
        }
        Ok(selected)
    }

    /// Puts `values` into the adapters that [`Model::inject_lora`] made.
    ///
    /// # Errors
    ///
    /// If names or shapes differ; then nothing is changed.
    pub fn set_adapter(&mut self, values: &AdapterValues) -> Result<(), ModelError> {
        let values = &self.unconverted(values);
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

    /// `values` without the halves that say what an adapter took from the base at its beginning ([`Model::beginnings`]).
    fn unconverted(&self, values: &AdapterValues) -> AdapterValues {
        let mut values = values.clone();
        for (path, (a, _)) in self.beginnings() {
            let [r, size_in] = a.dims();
            if let Some((shape, elements)) = values.get_mut(&format!("{path}.lora_A"))
                && *shape == [2 * r, size_in]
            {
                shape[0] = r;
                elements.truncate(r * size_in);
            }
            if let Some((shape, elements)) = values.get_mut(&format!("{path}.lora_B"))
                && shape.get(1) == Some(&(2 * r))
            {
                shape[1] = r;
                *elements = elements.chunks(2 * r).flat_map(|row| row[..r].to_vec()).collect();
            }
        }
        values
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
        self.merge_ends();
        self.linears_mut().for_each(|(_, _, linear)| merge(linear));
    }

    fn merge_ends(&mut self) {
        self.merge_tokens();
        let head = self.head();
        if let Some(lora) = self.embed_lora.take() {
            // What was one tensor is two from here on.
            if self.generates() {
                self.lm_head.get_or_insert(head.clone());
            }
            let mut change = lora.b.matmul(lora.a).transpose() * lora.scale;
            for piece in self.embed_tokens.pieces_mut() {
                let [rows, _] = piece.dims();
                let (dtype, all) = (kind(piece), change.dims()[0]);
                let part = change.clone().slice_dim(0, 0..rows);
                *piece = cast(single(piece.clone()) + part, dtype);
                if rows < all {
                    change = change.slice_dim(0, rows..all);
                }
            }
        }
        if let Some(lora) = self.head_lora.take() {
            let mut linear =
                Linear { weight: Weight::Dense(self.whole_head()), bias: None, lora: Some(lora) };
            merge(&mut linear);
            self.lm_head = Some(Rows::whole(linear.weight.dense()));
        }
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

fn merge(linear: &mut Linear) {
    let Some(lora) = linear.lora.take() else { return };
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

fn last_part(path: &str) -> String {
    path.rsplit('.').next().unwrap_or(path).to_owned()
}

/// Of an embedding `[vocab, hidden]`: `A [r, vocab]` zero, `B [hidden, r]` normal, as PEFT begins it.
fn fresh_embedding(
    config: &LoraConfig,
    path: &str,
    [vocab, hidden]: [usize; 2],
    device: &Device,
    seed: u64,
) -> LoraAdapter {
    let r = config.rank(path);
    LoraAdapter {
        a: Tensor::zeros([r, vocab], device),
        b: Draw::new(seed, path).tensor([hidden, r], device, |draw| draw.normal(1.0)),
        bias: None,
        dora: None,
        beginning: None,
        scale: config.scaling(path) as f32,
        dropout: 0.0,
        dropout_stream: fnv1a(path),
    }
}

fn fresh(config: &LoraConfig, path: &str, weight: &Weight, seed: u64, device: &Device) -> LoraAdapter {
    let (size_in, size_out) = weight.sizes();
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
        beginning: None,
        scale: config.scaling(path) as f32,
        dropout: config.lora_dropout as f32,
        dropout_stream: fnv1a(path),
    };
    lora.dora = config.use_dora.then(|| Dora::new(weight, &lora));
    lora
}
