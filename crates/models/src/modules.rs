//! The model's linear layers and learning tensors by their Hugging Face names.

use lorelei_formats::ModelConfig;

use crate::{Linear, LoraAdapter, Model, Parameter, Weight, model::Layer, norm::Norm};

impl Layer {
    /// The linear layers, in the order of [`ModelConfig::layer_linears`].
    fn linears(&self) -> impl Iterator<Item = &Linear> {
        let parts = [&self.attention, &self.mlp].into_iter();
        parts.flat_map(|part| part.input.iter().chain([&part.output]))
    }

    /// As [`Self::linears`].
    fn linears_mut(&mut self) -> impl Iterator<Item = &mut Linear> {
        let parts = [&mut self.attention, &mut self.mlp].into_iter();
        parts.flat_map(|part| part.input.iter_mut().chain([&mut part.output]))
    }

    /// The norms, in the order of [`lorelei_formats::config::Names::layer_norms`].
    fn norms_mut(&mut self) -> impl Iterator<Item = &mut Norm> {
        let parts = [&mut self.attention, &mut self.mlp].into_iter();
        let around = parts
            .flat_map(|part| [&mut part.norm_before, &mut part.norm_after, &mut part.norm_residual])
            .chain([&mut self.query_norm, &mut self.key_norm]);
        around.flatten()
    }
}

impl Model {
    /// Every linear layer that can have an adapter with its path (`model.layers.0.self_attn.q_proj`): those of the blocks, and a pooler.
    pub fn linears(&self) -> impl Iterator<Item = (String, &Linear)> {
        let parts = linear_names(&self.config);
        let in_layers = self.layers.iter().enumerate().flat_map(move |(index, layer)| {
            let paths: Vec<_> = parts.iter().map(|part| self.config.layer_path(index, part)).collect();
            paths.into_iter().zip(layer.linears())
        });
        let dense = self.classifier.iter().filter(|head| !head.dense_learns).flat_map(|head| &head.dense);
        in_layers.chain(dense.map(|dense| (dense_path(&self.config), dense)))
    }

    /// As [`Model::linears`], with the block's number where it is in one.
    pub(crate) fn linears_mut(&mut self) -> impl Iterator<Item = (Option<usize>, String, &mut Linear)> {
        let parts = linear_names(&self.config);
        let config = &self.config;
        let in_layers = self.layers.iter_mut().enumerate().flat_map(move |(index, layer)| {
            let paths: Vec<_> = parts.iter().map(|part| config.layer_path(index, part)).collect();
            paths.into_iter().zip(layer.linears_mut()).map(move |(path, linear)| (Some(index), path, linear))
        });
        let dense =
            self.classifier.iter_mut().filter(|head| !head.dense_learns).flat_map(|head| &mut head.dense);
        in_layers.chain(dense.map(|dense| (None, dense_path(config), dense)))
    }

    /// Calls `visit` with the name and the tensor of everything that learns: adapters' `A` and `B` (by the module's path and
    /// `lora_A` or `lora_B`), or every weight by its checkpoint name after [`Model::finetune_all`].
    pub fn visit_parameters(&mut self, visit: &mut dyn FnMut(&str, Parameter<'_>)) {
        if self.learns_whole {
            self.visit_weights(visit);
            return;
        }
        for (_, path, linear) in self.linears_mut() {
            if let Some(lora) = &mut linear.lora {
                visit_adapter(&path, lora, visit);
            }
        }
        self.visit_ends(visit);
        self.visit_beside(visit);
        self.visit_classifier(false, visit);
    }

    /// The adapters of the embedding and of the head.
    fn visit_ends(&mut self, visit: &mut dyn FnMut(&str, Parameter<'_>)) {
        let embedding = self.config.path(self.config.names.embedding);
        if let Some(lora) = &mut self.embed_lora {
            visit(&format!("{embedding}.lora_embedding_A"), Parameter::Matrix(&mut lora.a));
            visit(&format!("{embedding}.lora_embedding_B"), Parameter::Matrix(&mut lora.b));
        }
        let head = self.config.names.head;
        if let Some(lora) = &mut self.head_lora {
            visit_adapter(head, lora, visit);
        }
    }

    /// The head's tensors: those that learn beside an adapter, or with `all`, those of a pooler too.
    pub(crate) fn visit_classifier(&mut self, all: bool, visit: &mut dyn FnMut(&str, Parameter<'_>)) {
        let (Some(head), Some(names)) = (&mut self.classifier, self.config.classifier()) else { return };
        let dense = head.dense.as_mut().filter(|_| all || head.dense_learns);
        let dense = dense.zip(names.dense).map(|(dense, (path, _))| (path, dense));
        for (path, linear) in dense.into_iter().chain([(names.output, &mut head.output)]) {
            visit_linear(path, linear, false, visit);
        }
    }

    /// Calls `visit` with every weight of the base by its checkpoint name. Packed ones are left out: they cannot learn.
    pub fn visit_weights(&mut self, visit: &mut dyn FnMut(&str, Parameter<'_>)) {
        let config = &self.config;
        let names = config.names;
        let weight = |part: &str| config.path(part) + ".weight";
        visit(&weight(names.embedding), Parameter::Rows(&mut self.embed_tokens));
        if let (Some(name), Some(positions)) = (names.positions, &mut self.positions) {
            visit(&weight(name), Parameter::Matrix(positions));
        }
        if let (Some(name), Some(types)) = (names.token_types, &mut self.token_types) {
            visit(&weight(name), Parameter::Matrix(types));
        }
        let norm = |path: &str, norm: &mut Norm, visit: &mut dyn FnMut(&str, Parameter<'_>)| {
            visit(&format!("{path}.weight"), Parameter::Vector(&mut norm.weight));
            if let Some(bias) = &mut norm.bias {
                visit(&format!("{path}.bias"), Parameter::Vector(bias));
            }
        };
        if let (Some(name), Some(layer)) = (names.embedding_norm, &mut self.embedding_norm) {
            norm(&config.path(name), layer, visit);
        }
        let linears = linear_names(config);
        let norms = names.layer_norms(config.hidden_size, config.head_dim);
        for (index, layer) in self.layers.iter_mut().enumerate() {
            for (part, linear) in linears.iter().zip(layer.linears_mut()) {
                visit_linear(&config.layer_path(index, part), linear, config.stored_in_out, visit);
            }
            for ((part, _), layer) in norms.iter().zip(layer.norms_mut()) {
                norm(&config.layer_path(index, part), layer, visit);
            }
        }
        if let (Some(name), Some(layer)) = (names.final_norm, &mut self.norm) {
            norm(&config.path(name), layer, visit);
        }
        if let Some(head) = &mut self.lm_head {
            visit(&format!("{}.weight", names.head), Parameter::Rows(head));
        }
        self.visit_classifier(true, visit);
    }

    /// Makes every weight learn: full fine-tuning, without adapters.
    pub fn finetune_all(&mut self) {
        self.learns_whole = true;
    }

    /// `(trainable, all)` parameters as PEFT counts them: adapters count among all.
    pub fn parameter_counts(&mut self) -> (usize, usize) {
        let mut trainable = 0;
        self.visit_parameters(&mut |_, p| trainable += p.shape().num_elements());
        let mut all = 0;
        self.visit_weights(&mut |_, p| all += p.shape().num_elements());
        for (_, linear) in self.linears() {
            if let Weight::Packed { form, .. } = &linear.weight {
                all += form.size_in * form.size_out;
            }
        }
        // PEFT has a copy of what learns, but for the biases.
        let base = all - self.tied_twice();
        let mut own = 0;
        self.visit_beside(&mut |name, p| {
            own += if name.ends_with(".bias") { p.shape().num_elements() } else { 0 };
        });
        (trainable, if self.learns_whole { all } else { base + trainable - own })
    }
}

/// Weight, where it is not packed, and bias; `in_out` says how the file has the weight.
fn visit_linear(path: &str, linear: &mut Linear, in_out: bool, visit: &mut dyn FnMut(&str, Parameter<'_>)) {
    if let Weight::Dense(weight) = &mut linear.weight {
        let parameter = if in_out { Parameter::Transposed(weight) } else { Parameter::Matrix(weight) };
        visit(&format!("{path}.weight"), parameter);
    }
    if let Some(bias) = &mut linear.bias {
        visit(&format!("{path}.bias"), Parameter::Vector(bias));
    }
}

fn visit_adapter(path: &str, lora: &mut LoraAdapter, visit: &mut dyn FnMut(&str, Parameter<'_>)) {
    visit(&format!("{path}.lora_A"), Parameter::Matrix(&mut lora.a));
    visit(&format!("{path}.lora_B"), Parameter::Matrix(&mut lora.b));
    if let Some(bias) = &mut lora.bias {
        visit(&format!("{path}.lora_B.bias"), Parameter::Vector(bias));
    }
    if let Some(dora) = &mut lora.dora {
        visit(&format!("{path}.lora_magnitude_vector"), Parameter::Vector(&mut dora.magnitude));
    }
}

fn linear_names(config: &ModelConfig) -> Vec<&'static str> {
    config.layer_linears().into_iter().map(|linear| linear.name).collect()
}

fn dense_path(config: &ModelConfig) -> String {
    config.classifier().and_then(|head| head.dense).map_or_else(String::new, |(path, _)| path.to_owned())
}
