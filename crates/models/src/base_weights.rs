//! Weights of the base in an adapter file. PEFT writes the embedding and the head into it if they have adapters, if the vocabulary was resized, or on
//! request (`save_embedding_layers`), and copies them into the base when it loads the adapter.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use lorelei_formats::{AdapterPart, config::Role, peft};

use crate::{AdapterValues, Model, ModelError, Parameter, modules::ModuleMut};

/// Weights of the base by their names in the file, each with the module that it belongs to.
pub(crate) type BaseWeights = BTreeMap<String, (Role, Vec<f32>)>;

impl Model {
    /// Takes the weights of embedding and head that do not train out of `values`, and drops tensors of a head that shares those of the embedding.
    ///
    /// # Errors
    ///
    /// If a weight has another shape than the model's.
    pub(crate) fn take_base_weights(
        &mut self,
        values: &mut AdapterValues,
    ) -> Result<BaseWeights, ModelError> {
        let modules = self.modules.clone();
        let trains: Vec<String> = self.parameter_names().into_iter().map(|(name, _)| name).collect();
        let mut taken = BaseWeights::new();
        for module in modules.iter().filter(|module| module.role.is_embedding_or_head()) {
            for name in peft::base_weights(&module.path) {
                let Some((shape, _)) = values.get(&name).filter(|_| !trains.contains(&name)) else {
                    continue;
                };
                if *shape != module.shape.weight() {
                    return Err(ModelError::Adapter(other_vocabulary(&name, shape, &module.shape.weight())));
                }
                if let Some((_, elements)) = values.remove(&name) {
                    taken.insert(name, (module.role, elements));
                }
            }
        }
        if let Some((embedding, head)) = self.tied_ends() {
            for part in AdapterPart::MATRICES {
                values.remove(&part.parameter(&head));
            }
            if trains.contains(&format!("{embedding}.weight")) {
                taken.retain(|_, (role, _)| *role != Role::LmHead);
            }
        }
        Ok(taken)
    }

    /// Returns the paths of embedding and head if the head shares what trains of the embedding.
    pub fn tied_ends(&self) -> Option<(String, String)> {
        let (embedding, head) = (self.path_of(Role::Embedding), self.path_of(Role::LmHead));
        let serves_head = self.embedding_adapter.as_ref().is_some_and(|adapter| adapter.head.is_some());
        let trains = self.generates()
            && self.lm_head.is_none()
            && self.extra_trainables.trains(&format!("{embedding}.weight"));
        (serves_head || trains).then_some((embedding, head))
    }

    /// Copies weights into the base. A tied head's become the embedding's, which is the same tensor in PEFT.
    pub(crate) fn replace_base(&mut self, weights: BaseWeights) {
        let device = self.device.clone();
        for (name, (role, elements)) in weights {
            let rows = match (role, &mut self.lm_head) {
                (Role::LmHead, Some(head)) => head,
                _ => &mut self.embed_tokens,
            };
            let dtype = rows.dtype();
            let mut parameter = Parameter::rows(rows);
            parameter.assign_host(elements, &device);
            parameter.cast(dtype);
            self.replaced.insert(name);
        }
    }

    /// Returns the weights of the base that an adapter file replaced, by the names that they had there. An adapter that is trained further must be
    /// saved with them: it does not fit the checkpoint.
    pub fn replaced_weights(&mut self) -> Vec<(String, Vec<usize>, Tensor<1>)> {
        let (modules, replaced) = (self.modules.clone(), self.replaced.clone());
        let mut found = Vec::new();
        for module in modules.iter() {
            for name in peft::base_weights(&module.path).into_iter().filter(|name| replaced.contains(name)) {
                let rows = match self.module_mut(module) {
                    Some(ModuleMut::Rows(rows)) => rows,
                    _ => &mut self.embed_tokens,
                };
                found.push((name, module.shape.weight(), Parameter::rows(rows).flat()));
            }
        }
        found
    }
}

fn other_vocabulary(name: &str, found: &[usize], expected: &[usize]) -> String {
    format!(
        "{name} is {found:?} in the file, {expected:?} by the model; was the vocabulary resized before the adapter was trained? Then take the base \
         model with the resized vocabulary"
    )
}
