//! Injection, replacement, removal and merging of adapters, by PEFT's rules.

use std::collections::BTreeMap;

use lorelei_estimate::Trainable;
use lorelei_formats::{
    AdapterPart,
    config::{Module, Role},
};
use lorelei_recipe::{LoraConfig, Unmatched};

use crate::{
    Adapter, EmbeddingAdapter, Linear, Model, ModelError, Rows, Weight, adapter::AdapterPlace,
    finite::check_finite, modules::ModuleMut,
};

/// Values of adapter tensors, shape and elements, by `<module path>.lora_A` or `.lora_B`.
pub type AdapterValues = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

impl Model {
    /// Gives every module that `config` selects a new adapter, with `A` random by `seed` and `B` zero, so that the model's output does not change.
    /// Returns the last parts of the selected names, as PEFT writes them into `target_modules`.
    ///
    /// # Errors
    ///
    /// If no module is selected, or one that does not support an adapter here.
    pub fn inject_lora(&mut self, config: &LoraConfig, seed: u64) -> Result<Vec<String>, ModelError> {
        let config = config.with_default_targets(self.config.model_type)?;
        let modules = self.modules.clone();
        let trainable =
            Trainable::with_lora(&config, self.config.model_type, &modules, self.missing_modules())?;
        let selected = trainable.target_modules(&modules);
        if selected.is_empty() {
            return Err(ModelError::no_target(&config, &modules));
        }
        for (module, training) in modules.iter().zip(&trainable.modules) {
            if let Some(rank) = training.adapter {
                self.put_adapter(&config, module, rank, seed)?;
            }
        }
        if trainable.keeps_tied {
            let head = self.path_of(Role::LmHead);
            self.embedding_adapter = self.embedding_adapter.take().map(|own| own.with_head(&config, &head));
        }
        self.draw_head(seed);
        self.train_extra(&trainable)?;
        Ok(selected)
    }

    /// Returns the names and patterns of `config` that match no module of the model.
    ///
    /// # Errors
    ///
    /// The errors of [`Model::inject_lora`].
    pub fn unmatched(&self, config: &LoraConfig) -> Result<Vec<Unmatched>, ModelError> {
        let trainable =
            Trainable::with_lora(config, self.config.model_type, &self.modules, self.missing_modules())?;
        Ok(trainable.unmatched(&self.modules))
    }

    /// Puts a new adapter of `rank` on a module.
    fn put_adapter(
        &mut self,
        config: &LoraConfig,
        module: &Module,
        rank: usize,
        seed: u64,
    ) -> Result<(), ModelError> {
        let device = self.device.clone();
        let place = AdapterPlace { path: &module.path, rank, seed, device: &device };
        match module.role {
            Role::Embedding => {
                self.in_one_piece(&module.path)?;
                let dims = self.embed_tokens.dims();
                self.embedding_adapter = Some(EmbeddingAdapter::fresh(config, place, dims));
            }
            Role::LmHead => {
                self.in_one_piece(&module.path)?;
                let weight = Weight::Dense(self.whole_head());
                self.head_adapter = Some(Adapter::fresh(config, place, &weight));
            }
            role => {
                let Some(ModuleMut::Linear(linear)) = self.module_mut(module) else {
                    let problem = format!("{} is {role:?}, which has no adapter", module.path);
                    return Err(ModelError::Unsupported(problem));
                };
                linear.adapter = Some(Adapter::fresh(config, place, &linear.weight));
            }
        }
        Ok(())
    }

    /// Puts `values` into the adapters that [`Model::inject_lora`] made.
    ///
    /// # Errors
    ///
    /// If names or shapes differ. Nothing is changed then.
    pub fn set_adapter(&mut self, values: &AdapterValues) -> Result<(), ModelError> {
        for (name, (_, values)) in values {
            check_finite(name, 0, values)?;
        }
        let mut values = self.unconverted(values);
        let base = self.take_base_weights(&mut values)?;
        let values = &values;
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
                self.replace_base(base);
                return Ok(());
            }
        };
        Err(ModelError::Adapter(format!(
            "{complaint}; was it trained for another model, rank or set of target_modules?"
        )))
    }

    /// Returns `values` without the halves that store what an adapter took from the base at its initialisation ([`Model::beginnings`]).
    fn unconverted(&self, values: &AdapterValues) -> AdapterValues {
        let mut values = values.clone();
        for (path, (a, _)) in self.beginnings() {
            let [r, size_in] = a.dims();
            if let Some((shape, elements)) = values.get_mut(&AdapterPart::LoraA.parameter(path))
                && *shape == [2 * r, size_in]
            {
                shape[0] = r;
                elements.truncate(r * size_in);
            }
            if let Some((shape, elements)) = values.get_mut(&AdapterPart::LoraB.parameter(path))
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

    /// Merges every adapter into the weights, like PEFT's `merge_and_unload`. Not for training.
    pub fn merge_and_unload(&mut self) {
        self.untrack();
        self.merge_tokens();
        self.merge_embedding_and_head();
        self.visit_linears(&mut |_, linear| linear.merge());
    }

    /// Returns the adapter of the language model's head: its own, or that of a tied embedding.
    pub(crate) fn adapter_of_head(&self) -> Option<Adapter> {
        let tied = || self.embedding_adapter.as_ref().and_then(EmbeddingAdapter::of_head);
        self.head_adapter.clone().or_else(tied)
    }

    fn merge_embedding_and_head(&mut self) {
        let head = self.head();
        if let Some(adapter) = self.embedding_adapter.take() {
            // Unless the adapter serves both, the embedding and the tied head are two tensors from here on.
            if self.generates() && adapter.head.is_none() {
                self.lm_head.get_or_insert(head);
            }
            adapter.merge(&mut self.embed_tokens);
        }
        if let Some(adapter) = self.head_adapter.take() {
            let weight = Weight::Dense(self.whole_head());
            let mut linear = Linear { weight, bias: None, adapter: Some(adapter) };
            linear.merge();
            self.lm_head = Some(Rows::whole(linear.weight.dense()));
        }
    }
}
