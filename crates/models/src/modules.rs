//! Modules of a loaded model by the plan of its configuration, and the parameters in them.

use burn::tensor::Tensor;
use lorelei_formats::config::{Module, ModuleShape, Role};

use crate::{Linear, Model, Parameter, Rows, Weight, norm::Norm};

/// Parameters of a module.
pub(crate) enum ModuleMut<'m> {
    /// Embedding of tokens, or head of a language model.
    Rows(&'m mut Rows),
    /// Another embedding.
    Embedding(&'m mut Tensor<2>),
    Linear(&'m mut Linear),
    Norm(&'m mut Norm),
}

impl ModuleMut<'_> {
    /// Calls `visit` with each of the module's own parameters that is not packed, by checkpoint name.
    pub(crate) fn visit(self, module: &Module, visit: &mut dyn FnMut(&str, Parameter<'_>)) {
        let path = &module.path;
        let weight = || format!("{path}.weight");
        match self {
            Self::Rows(rows) => visit(&weight(), Parameter::rows(rows)),
            Self::Embedding(embedding) => visit(&weight(), Parameter::matrix(embedding)),
            Self::Linear(linear) => {
                let in_out = matches!(module.shape, ModuleShape::Linear { in_out: true, .. });
                linear.visit(path, in_out, visit);
            }
            Self::Norm(norm) => {
                visit(&weight(), Parameter::vector(&mut norm.weight));
                if let Some(bias) = &mut norm.bias {
                    visit(&format!("{path}.bias"), Parameter::vector(bias));
                }
            }
        }
    }
}

impl Model {
    /// Returns the modules of the model for its task, in the order of its parameters.
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// Returns the parameters of a module, or `None` if the module has none of its own, like a tied head.
    pub(crate) fn module_mut(&mut self, module: &Module) -> Option<ModuleMut<'_>> {
        match module.role {
            Role::Embedding => Some(ModuleMut::Rows(&mut self.embed_tokens)),
            Role::PositionEmbedding => self.positions.as_mut().map(ModuleMut::Embedding),
            Role::TokenTypeEmbedding => self.token_types.as_mut().map(ModuleMut::Embedding),
            Role::EmbeddingNorm => self.embedding_norm.as_mut().map(ModuleMut::Norm),
            Role::Attention(_) | Role::Mlp(_) | Role::Norm(..) => {
                self.layers.get_mut(module.layer?)?.module_mut(module.role)
            }
            Role::FinalNorm => self.norm.as_mut().map(ModuleMut::Norm),
            Role::LmHead => self.lm_head.as_mut().map(ModuleMut::Rows),
            Role::Pooler => self.classifier.as_mut()?.dense.as_mut().map(ModuleMut::Linear),
            Role::Classifier => Some(ModuleMut::Linear(&mut self.classifier.as_mut()?.output)),
        }
    }

    /// Returns the linear layer of a module, or `None` for other modules and for a language model's head.
    pub(crate) fn linear(&self, module: &Module) -> Option<&Linear> {
        match module.role {
            Role::Attention(_) | Role::Mlp(_) => self.layers.get(module.layer?)?.linear(module.role),
            Role::Pooler => self.classifier.as_ref()?.dense.as_ref(),
            Role::Classifier => Some(&self.classifier.as_ref()?.output),
            Role::Embedding
            | Role::PositionEmbedding
            | Role::TokenTypeEmbedding
            | Role::EmbeddingNorm
            | Role::Norm(..)
            | Role::FinalNorm
            | Role::LmHead => None,
        }
    }

    /// Returns the linear layers of the blocks and of a classification head, by path (`model.layers.0.self_attn.q_proj`).
    pub fn linears(&self) -> impl Iterator<Item = (&str, &Linear)> {
        self.modules.iter().filter_map(|module| Some((&module.path[..], self.linear(module)?)))
    }

    /// Calls `visit` with each of [`Model::linears`], mutably.
    pub(crate) fn visit_linears(&mut self, visit: &mut dyn FnMut(&Module, &mut Linear)) {
        let modules = self.modules.clone();
        for module in &*modules {
            if let Some(ModuleMut::Linear(linear)) = self.module_mut(module) {
                visit(module, linear);
            }
        }
    }

    /// Calls `visit` with the name and the tensor of every trainable parameter. Without full fine-tuning these are the adapters' parameters (by the
    /// module's path and PEFT's name) and those that train beside them; after [`Model::finetune_all`] they are all weights by checkpoint name.
    pub fn visit_parameters(&mut self, visit: &mut dyn FnMut(&str, Parameter<'_>)) {
        if self.full_finetune {
            self.visit_weights(visit);
            return;
        }
        self.visit_linears(&mut |module, linear| {
            if let Some(adapter) = &mut linear.adapter {
                adapter.visit(&module.path, visit);
            }
        });
        let (embedding, head) = (self.path_of(Role::Embedding), self.path_of(Role::LmHead));
        if let Some(adapter) = &mut self.embedding_adapter {
            adapter.visit(&embedding, visit);
        }
        if let Some(adapter) = &mut self.head_adapter {
            adapter.visit(&head, visit);
        }
        self.visit_extra(visit);
        self.visit_classifier(false, visit);
    }

    /// Returns the path of the module with `role`, or an empty string if the model has none.
    pub(crate) fn path_of(&self, role: Role) -> String {
        let found = self.modules.iter().find(|module| module.role == role);
        found.map(|module| module.path.clone()).unwrap_or_default()
    }

    /// Calls `visit` with every weight of the base by its checkpoint name. Packed weights are left out, because they cannot train.
    pub fn visit_weights(&mut self, visit: &mut dyn FnMut(&str, Parameter<'_>)) {
        self.visit_modules(&|_| true, visit);
    }

    /// Calls `visit` with the parameters of the classification head that train beside an adapter, and with `all`, also with those of a pooler.
    pub(crate) fn visit_classifier(&mut self, all: bool, visit: &mut dyn FnMut(&str, Parameter<'_>)) {
        let dense_trains = self.classifier.as_ref().is_some_and(|head| head.dense_trains);
        let trains = |module: &Module| match module.role {
            Role::Classifier => true,
            Role::Pooler => all || dense_trains,
            Role::Embedding
            | Role::PositionEmbedding
            | Role::TokenTypeEmbedding
            | Role::EmbeddingNorm
            | Role::Attention(_)
            | Role::Mlp(_)
            | Role::Norm(..)
            | Role::FinalNorm
            | Role::LmHead => false,
        };
        self.visit_modules(&trains, visit);
    }

    /// Calls `visit` with the parameters of the base's modules that are `wanted`, without packed weights.
    pub(crate) fn visit_modules(
        &mut self,
        wanted: &dyn Fn(&Module) -> bool,
        visit: &mut dyn FnMut(&str, Parameter<'_>),
    ) {
        let modules = self.modules.clone();
        for module in modules.iter().filter(|module| wanted(module)) {
            if let Some(parameters) = self.module_mut(module) {
                parameters.visit(module, visit);
            }
        }
    }

    /// Makes every weight trainable, for full fine-tuning without adapters.
    pub fn finetune_all(&mut self) {
        self.full_finetune = true;
    }

    /// Returns the numbers of `(trainable, all)` parameters by PEFT's count, which includes adapters in all parameters.
    pub fn parameter_counts(&mut self) -> (usize, usize) {
        let mut trainable = 0;
        self.visit_parameters(&mut |_, parameter| trainable += parameter.shape().num_elements());
        let mut all = 0;
        self.visit_weights(&mut |_, parameter| all += parameter.shape().num_elements());
        for (_, linear) in self.linears() {
            if let Weight::Packed { form, .. } = &linear.weight {
                all += form.size_in * form.size_out;
            }
        }
        // PEFT has a copy of every trainable parameter, except biases.
        let base = all - self.untied_elements();
        let biases = self.bias_elements();
        (trainable, if self.full_finetune { all } else { base + trainable - biases })
    }

    /// Returns the names and shapes of all trainable parameters.
    pub fn parameter_names(&mut self) -> Vec<(String, Vec<usize>)> {
        let mut names = Vec::new();
        self.visit_parameters(&mut |name, parameter: Parameter<'_>| {
            names.push((name.to_owned(), parameter.shape().to_vec()));
        });
        names
    }
}
