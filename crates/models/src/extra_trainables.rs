//! Parameters of the base that train beside the adapters: PEFT's `bias` and `modules_to_save`.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::{FloatDType, Int, Tensor};
use lorelei_estimate::{ModuleTraining, Trainable};
use lorelei_formats::{
    config::{Module, Role},
    peft,
};

use crate::{Model, ModelError, Parameter, Weight, modules::ModuleMut, rows::index};

/// Parameters of the base that train beside the adapters, by checkpoint name. Empty if only adapters train.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExtraTrainables {
    /// Biases, and their names in PEFT: a bias beside an adapter belongs to `base_layer`.
    biases: BTreeMap<String, String>,
    /// Weights and biases of the fully trained modules.
    modules_to_save: BTreeSet<String>,
    /// Whether embedding and head were tied before one of them was made trainable.
    was_tied: bool,
}

impl ExtraTrainables {
    /// Whether the parameter of the checkpoint's `name` trains.
    pub(crate) fn trains(&self, name: &str) -> bool {
        self.name_of(name).is_some()
    }

    /// Returns PEFT's name of a trainable parameter.
    fn name_of<'n>(&'n self, name: &'n str) -> Option<&'n str> {
        let saved = self.modules_to_save.contains(name).then_some(name);
        saved.or_else(|| self.biases.get(name).map(String::as_str))
    }
}

impl Model {
    /// Whether the embedding takes part in a backward pass.
    pub(crate) fn embedding_trains(&self) -> bool {
        let before = self.modules.iter().filter(|module| module.role.is_before_layers());
        let mut names = before.flat_map(Module::tensors);
        self.full_finetune
            || self.embedding_adapter.is_some()
            || self.trainable_tokens.is_some()
            || names.any(|(name, _)| self.extra_trainables.trains(&name))
    }

    /// Makes the parameters selected by `trainable` train beside the adapters, which are in place.
    ///
    /// # Errors
    ///
    /// If the embedding is to train and the device cannot bind it in one piece.
    pub(crate) fn train_extra(&mut self, trainable: &Trainable) -> Result<(), ModelError> {
        let modules = self.modules.clone();
        let each = || modules.iter().zip(&trainable.modules);
        let was_tied = self.extra_trainables.was_tied;
        self.extra_trainables = ExtraTrainables { was_tied, ..ExtraTrainables::default() };
        if each().any(|(module, training)| module.role.is_embedding_or_head() && training.whole) {
            self.in_one_piece(&self.path_of(Role::Embedding))?;
            if !trainable.keeps_tied {
                self.untie();
            }
        }
        for (module, training) in each() {
            self.train_own(module, *training);
        }
        if !trainable.tokens.is_empty() {
            self.in_one_piece(&self.path_of(Role::Embedding))?;
            self.train_tokens(&trainable.tokens);
        }
        Ok(())
    }

    /// Makes a module's own parameters trainable: all of them, or its bias.
    fn train_own(&mut self, module: &Module, training: ModuleTraining) {
        let ModuleTraining { whole, adapter, .. } = training;
        let bias = (whole || training.bias) && module.shape.bias().is_some();
        let (weight_name, bias_name) = (format!("{}.weight", module.path), format!("{}.bias", module.path));
        if module.role == Role::Classifier {
            // The head of a classifier is always trainable.
            return;
        }
        if let (Role::Pooler, true, Some(head)) = (module.role, whole, &mut self.classifier) {
            head.dense_trains = true;
            return;
        }
        if whole {
            self.extra_trainables.modules_to_save.insert(weight_name);
        }
        if bias && whole {
            self.extra_trainables.modules_to_save.insert(bias_name.clone());
        } else if bias {
            let name = adapter.map_or_else(|| bias_name.clone(), |_| peft::base_layer_bias(&module.path));
            self.extra_trainables.biases.insert(bias_name.clone(), name);
        }
        let Some(mut parameters) = self.module_mut(module).filter(|_| whole || bias) else { return };
        if let ModuleMut::Linear(linear) = &mut parameters
            && whole
            && matches!(linear.weight, Weight::Packed { .. })
        {
            // A packed weight cannot train.
            linear.weight = Weight::Dense(linear.weight.dense());
        }
        parameters.visit(module, &mut |name, parameter| {
            if whole || name == bias_name {
                parameter.cast(FloatDType::F32);
            }
        });
    }

    /// Separates embedding and head if they are tied: PEFT copies a module that it trains fully.
    fn untie(&mut self) {
        if self.generates() && self.lm_head.is_none() {
            self.lm_head = Some(self.embed_tokens.clone());
            self.extra_trainables.was_tied = true;
        }
    }

    /// Calls `visit` with the parameters that train beside adapters, by PEFT's names.
    pub(crate) fn visit_extra(&mut self, visit: &mut dyn FnMut(&str, Parameter<'_>)) {
        let extra = std::mem::take(&mut self.extra_trainables);
        if !extra.biases.is_empty() || !extra.modules_to_save.is_empty() {
            self.visit_weights(&mut |name, parameter| {
                if let Some(name) = extra.name_of(name) {
                    visit(name, parameter);
                }
            });
        }
        self.extra_trainables = extra;
        self.visit_tokens(visit);
    }

    /// Returns the number of elements of the head that the checkpoint lacks, because it is the embedding there.
    pub(crate) fn untied_elements(&self) -> usize {
        let head = self.lm_head.as_ref().filter(|_| self.extra_trainables.was_tied);
        head.map_or(0, |head| head.dims().iter().product())
    }

    /// Returns the number of elements of the biases that train by themselves.
    pub(crate) fn bias_elements(&mut self) -> usize {
        let biases = self.extra_trainables.biases.clone();
        let mut elements = 0;
        self.visit_weights(&mut |name, parameter| {
            elements += if biases.contains_key(name) { parameter.shape().num_elements() } else { 0 };
        });
        elements
    }

    /// Checks that embedding and head are in one piece, as training requires.
    ///
    /// # Errors
    ///
    /// If they are not, because the device cannot bind one of them whole.
    pub(crate) fn in_one_piece(&self, path: &str) -> Result<(), ModelError> {
        let matrices = [Some(&self.embed_tokens), self.lm_head.as_ref()];
        match matrices.into_iter().flatten().all(|rows| rows.one().is_some()) {
            true => Ok(()),
            false => Err(ModelError::Unsupported(format!(
                "{path} cannot train on this device, which does not bind a tensor that large; leave it frozen, or take \
                 another device"
            ))),
        }
    }

    pub(crate) fn index(&self, values: &[i32]) -> Tensor<1, Int> {
        index(values, &self.device)
    }
}
