//! What learns beside the adapters: biases, modules trained whole, and single rows of the embedding, as PEFT's `bias`, `modules_to_save` and
//! `trainable_token_indices` have it.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::{FloatDType, IndexingUpdateOp, Int, Tensor, TensorData};
use lorelei_recipe::{Bias, LoraConfig};

use crate::{
    Model, ModelError, Parameter, Rows, Tokens, Weight,
    classifier::learns_whole,
    precision::{cast, cast_in_place, kind, single},
    rows::index,
};

/// See the module. Empty where only adapters learn.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beside {
    /// Weights of the base by their checkpoint names, and what PEFT calls them: a bias beside an adapter is its `base_layer`'s.
    weights: BTreeMap<String, String>,
    pub(crate) tokens: Option<TokenRows>,
    /// Whether embedding and head were one tensor before one of them learnt.
    was_tied: bool,
}

/// Rows of the embedding that learn.
#[derive(Debug, Clone)]
pub(crate) struct TokenRows {
    /// Which ones, each once, in the order of `rows`.
    ids: Vec<i32>,
    /// `[ids, hidden]`: what stands in their place.
    pub(crate) rows: Tensor<2>,
}

/// Whether PEFT's `modules_to_save` means a module or one that it is in: it asks how a path ends.
pub(crate) fn is_saved(config: &LoraConfig, path: &str) -> bool {
    let names = config.modules_to_save.as_deref().unwrap_or_default();
    names.iter().any(|name| means(name, path))
}

fn means(name: &str, path: &str) -> bool {
    let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
    ends.map(|end| &path[..end]).any(|path| path.ends_with(name))
}

impl Model {
    /// Whether the embedding takes part in a backward pass.
    pub(crate) fn embedding_learns(&self) -> bool {
        let names = self.config.names;
        let before = [Some(names.embedding), names.positions, names.token_types, names.embedding_norm];
        let before: Vec<String> = before.into_iter().flatten().map(|part| self.config.path(part)).collect();
        let is_before =
            |name: &String| name.rsplit_once('.').is_some_and(|(path, _)| before.iter().any(|p| p == path));
        self.learns_whole
            || self.embed_lora.is_some()
            || self.beside.tokens.is_some()
            || self.beside.weights.keys().any(is_before)
    }

    /// Makes learn what `config` names beside the modules with adapters, which are in place.
    pub(crate) fn learn_beside(&mut self, config: &LoraConfig) -> Result<(), ModelError> {
        let names = self.config.names;
        let (embedding, head) = (self.config.path(names.embedding), names.head);
        for (_, path, linear) in self.linears_mut() {
            if is_saved(config, &path) && matches!(linear.weight, Weight::Packed { .. }) {
                linear.weight = Weight::Dense(linear.weight.dense());
            }
        }
        if is_saved(config, &embedding) || self.generates() && is_saved(config, head) {
            self.in_one_piece(&embedding)?;
            // PEFT copies what it trains whole: what was one tensor is two from then on.
            if self.generates() && self.lm_head.is_none() {
                self.lm_head = Some(self.embed_tokens.clone());
                self.beside.was_tied = true;
            }
        }
        let adapted: BTreeSet<String> =
            self.linears().filter(|(_, linear)| linear.lora.is_some()).map(|(path, _)| path).collect();
        let mut weights = BTreeMap::new();
        let mut found = BTreeSet::new();
        let named = config.modules_to_save.clone().unwrap_or_default();
        self.visit_weights(&mut |name, parameter| {
            let (path, leaf) = name.rsplit_once('.').unwrap_or((name, ""));
            let bias = match config.bias {
                Bias::None => false,
                Bias::All => leaf == "bias",
                Bias::LoraOnly => leaf == "bias" && adapted.contains(path),
            };
            let meant = || named.iter().filter(|name| means(name, path));
            let saved = meant().next().is_some();
            found.extend(meant().cloned());
            if bias || saved {
                let name_there = match bias && adapted.contains(path) {
                    true => format!("{path}.base_layer.{leaf}"),
                    false => name.to_owned(),
                };
                cast_in_place(parameter, FloatDType::F32);
                weights.insert(name.to_owned(), name_there);
            }
        });
        // PEFT names a classifier's heads in every classifying adapter, whichever of them the model has.
        if let Some(name) = named.iter().find(|name| !found.contains(*name) && !learns_whole(name)) {
            return Err(ModelError::Unsupported(format!(
                "modules_to_save names {name}, which the model does not have; it has {}, {head} and {}",
                embedding,
                self.linears().map(|(path, _)| path).last().unwrap_or_default(),
            )));
        }
        // The head of a classifier learns in any case.
        self.visit_classifier(false, &mut |name, _| {
            weights.remove(name);
        });
        self.beside.weights = weights;
        self.learn_tokens(config, &embedding)
    }

    fn learn_tokens(&mut self, config: &LoraConfig, embedding: &str) -> Result<(), ModelError> {
        let Some(named) = config.trainable_token_indices.as_ref().map(|indices| indices.by_module()) else {
            return Ok(());
        };
        let refuse =
            |problem: String| Err(ModelError::Unsupported(format!("trainable_token_indices {problem}")));
        let ids = match &named[..] {
            [] => return Ok(()),
            [(module, ids)] if module.is_none_or(|module| embedding.ends_with(module)) => ids,
            _ => {
                return refuse(format!("names another module than the embedding; name {embedding} alone"));
            }
        };
        if is_saved(config, embedding) || self.embed_lora.is_some() {
            return refuse("names the embedding, which learns whole or has an adapter; leave one out".into());
        }
        let vocab = self.config.vocab_size;
        let mut known = BTreeSet::new();
        if let Some(id) = ids.iter().find(|id| **id >= vocab || !known.insert(**id)) {
            return refuse(match known.contains(id) {
                true => format!("names token {id} twice"),
                false => format!("names token {id}, and the model has {vocab}"),
            });
        }
        if !ids.is_empty() {
            self.in_one_piece(embedding)?;
            let ids: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
            let rows = single(self.embed_tokens.select(&ids, &self.device));
            self.beside.tokens = Some(TokenRows { ids, rows });
        }
        Ok(())
    }

    /// What learns beside adapters, by name.
    pub(crate) fn visit_beside(&mut self, visit: &mut dyn FnMut(&str, Parameter<'_>)) {
        if !self.beside.weights.is_empty() {
            let weights = std::mem::take(&mut self.beside.weights);
            self.visit_weights(&mut |name, parameter| {
                if let Some(name_there) = weights.get(name) {
                    visit(name_there, parameter);
                }
            });
            self.beside.weights = weights;
        }
        if let Some(tokens) = &mut self.beside.tokens {
            let embedding = self.config.path(self.config.names.embedding);
            let name = format!("{embedding}.token_adapter.trainable_tokens_delta");
            visit(&name, Parameter::Matrix(&mut tokens.rows));
        }
    }

    /// Elements of the head that a checkpoint does not have, because it is the embedding there.
    pub(crate) fn tied_twice(&self) -> usize {
        let head = self.lm_head.as_ref().filter(|_| self.beside.was_tied);
        head.map_or(0, |head| head.dims().iter().product())
    }

    /// Puts the rows that learnt into the embedding, and into the head where it is the same.
    pub(crate) fn merge_tokens(&mut self) {
        if let Some(tokens) = self.beside.tokens.take()
            && let Some(matrix) = self.embed_tokens.one()
        {
            self.embed_tokens = Rows::whole(tokens.put_into(matrix.clone(), self.index(&tokens.ids)));
        }
    }

    /// Embeddings `[n, hidden]` of tokens with the learnt rows in place.
    pub(crate) fn with_token_rows(&self, embedded: Tensor<2>, tokens: &Tokens) -> Tensor<2> {
        let Some(learnt) = &self.beside.tokens else { return embedded };
        let places: Vec<Option<i32>> = tokens
            .input_ids
            .iter()
            .map(|id| learnt.ids.iter().position(|known| known == id).map(|place| place as i32))
            .collect();
        let is_learnt: Vec<f32> = places.iter().map(|place| f32::from(u8::from(place.is_some()))).collect();
        let rows: Vec<i32> = places.iter().map(|place| place.unwrap_or(0)).collect();
        let count = is_learnt.len();
        let mask: Tensor<2> = Tensor::from_data(TensorData::new(is_learnt, [count, 1]), &self.device);
        let chosen = learnt.rows.clone().select(0, self.index(&rows));
        embedded * (1.0 - mask.clone()) + chosen * mask
    }

    /// The head `[vocab, hidden]`; where it is the embedding, with the learnt rows in place.
    pub(crate) fn head(&self) -> Rows {
        match (&self.lm_head, &self.beside.tokens, self.embed_tokens.one()) {
            (Some(head), ..) => head.clone(),
            (None, Some(tokens), Some(matrix)) => {
                Rows::whole(tokens.put_into(matrix.clone(), self.index(&tokens.ids)))
            }
            _ => self.embed_tokens.clone(),
        }
    }

    /// As [`Model::head`], in one tensor: for what [`Model::in_one_piece`] has let through.
    pub(crate) fn whole_head(&self) -> Tensor<2> {
        Tensor::cat(self.head().pieces().to_vec(), 0)
    }

    /// What learns in the embedding or the head wants it in one piece.
    ///
    /// # Errors
    ///
    /// If the device cannot bind that.
    pub(crate) fn in_one_piece(&self, path: &str) -> Result<(), ModelError> {
        let matrices = [Some(&self.embed_tokens), self.lm_head.as_ref()];
        match matrices.into_iter().flatten().all(|rows| rows.one().is_some()) {
            true => Ok(()),
            false => Err(ModelError::Unsupported(format!(
                "{path} cannot learn on this device, which does not bind a tensor that large; leave it frozen, or take \
                 another device"
            ))),
        }
    }

    pub(crate) fn index(&self, values: &[i32]) -> Tensor<1, Int> {
        index(values, &self.device)
    }
}

impl TokenRows {
    fn put_into(&self, matrix: Tensor<2>, ids: Tensor<1, Int>) -> Tensor<2> {
        let dtype = kind(&matrix);
        let change = self.rows.clone() - single(matrix.clone().select(0, ids.clone()));
        matrix.select_assign(0, ids, cast(change, dtype), IndexingUpdateOp::Add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_meant_by_how_their_paths_end() {
        let config =
            LoraConfig { modules_to_save: Some(vec!["head".into(), "mlp".into()]), ..LoraConfig::default() };
        for (path, saved) in [
            ("lm_head", true),
            ("model.layers.0.mlp", true),
            ("model.layers.0.mlp.gate_proj", true),
            ("model.layers.0.self_attn.q_proj", false),
            ("header", false),
        ] {
            assert_eq!(is_saved(&config, path), saved, "{path}");
        }
    }
}
