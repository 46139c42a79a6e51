//! Generation of text, a token at a time, over cached keys and values.

use burn::tensor::ElementConversion as _;
use lorelei_recipe::message;

use crate::{ForwardMode, Model, ModelError, Sampling, Tokens, cache::LayerCache};

/// A text that a model continues.
#[derive(Debug)]
pub struct Generation<'a> {
    model: &'a Model,
    sampling: Sampling,
    caches: Vec<LayerCache>,
    ids: Vec<u32>,
    /// Number of `ids` that are in `caches`.
    read: usize,
    drawn: usize,
}

impl<'a> Generation<'a> {
    /// Starts a text with `prompt`.
    ///
    /// # Errors
    ///
    /// If the prompt is empty, or the model does not generate text.
    pub fn new(model: &'a Model, prompt: &[u32], sampling: Sampling) -> Result<Self, ModelError> {
        if !model.generates() {
            return Err(ModelError::Unsupported(format!(
                "a {} model with task_type other than CAUSAL_LM does not generate text",
                model.config.model_type
            )));
        }
        if prompt.is_empty() {
            return Err(ModelError::Input("there is no prompt to go on with".into()));
        }
        let caches = vec![LayerCache::default(); model.layers.len()];
        Ok(Self { model, sampling, caches, ids: prompt.to_vec(), read: 0, drawn: 0 })
    }

    /// Returns the prompt and the tokens generated after it.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Generates the next token; returns `None` if the model has no more positions.
    ///
    /// # Errors
    ///
    /// If a token is not in the vocabulary, or the device fails.
    pub async fn next(&mut self) -> Result<Option<u32>, ModelError> {
        let config = &self.model.config;
        if self.model.positions.is_some()
            && self.ids.len() > config.max_position_embeddings - config.position_offset
        {
            return Ok(None);
        }
        // If the frequencies depend on the length, keys rotated by other frequencies are of no use.
        let changed = |rope: &lorelei_formats::config::Rope| {
            rope.frequencies(self.read) != rope.frequencies(self.ids.len())
        };
        if self.read > 0 && config.ropes.iter().any(changed) {
            self.caches = vec![LayerCache::default(); self.caches.len()];
            self.read = 0;
        }
        let new: Vec<i32> = self.ids[self.read..].iter().map(|id| *id as i32).collect();
        let mut tokens = Tokens::single(new);
        tokens.position_ids = (self.read as i32..self.ids.len() as i32).collect();
        self.model.check(&tokens)?;
        let pass = self.model.pass(&tokens, ForwardMode::Evaluation);
        let mut hidden = self.model.embed(&tokens);
        for (layer, cache) in self.model.layers.iter().zip(&mut self.caches) {
            hidden = layer.forward(hidden, &pass, Some(cache));
        }
        self.read = self.ids.len();
        let [rows, _] = hidden.dims();
        let logits = self.model.logits(hidden.slice_dim(0, rows - 1..rows));
        let id = if self.sampling.is_greedy() {
            let best = logits.argmax(1).into_scalar_async::<i64>().await;
            let best: i64 = best.map_err(|error| ModelError::device(message!("generating"), error))?.elem();
            best as u32
        } else {
            let data = logits.into_data_async().await;
            let data = data.map_err(|error| ModelError::device(message!("generating"), error))?;
            let values = data.try_into_vec::<f32>();
            let values = values.map_err(|error| ModelError::device(message!("generating"), error))?;
            self.sampling.choose(values, &self.ids, self.drawn)
        };
        self.drawn += 1;
        self.ids.push(id);
        Ok(Some(id))
    }
}

impl Model {
    /// Whether the model generates text.
    pub fn generates(&self) -> bool {
        self.config.causal && self.classifier.is_none() && !self.config.names.head.is_empty()
    }

    /// Returns the `max_new_tokens` likeliest tokens after `prompt`, chosen one at a time, ending before a token of `stop`.
    ///
    /// # Errors
    ///
    /// If the prompt is empty or holds an unknown token, or the device fails.
    pub async fn generate(
        &self,
        prompt: &[u32],
        max_new_tokens: usize,
        stop: &[u32],
    ) -> Result<Vec<u32>, ModelError> {
        let mut generation = Generation::new(self, prompt, Sampling::GREEDY)?;
        let mut new = Vec::new();
        while new.len() < max_new_tokens
            && let Some(id) = generation.next().await?
            && !stop.contains(&id)
        {
            new.push(id);
        }
        Ok(new)
    }
}
