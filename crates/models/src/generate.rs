//! Greedy continuation of a prompt.

use burn::tensor::ElementConversion as _;

use crate::{ForwardMode, Model, ModelError, Tokens};

impl Model {
    /// The `max_new_tokens` likeliest tokens after `prompt`, one at a time, ending before a token of `stop`.
    ///
    /// Every step reads the whole text anew (no cache of keys yet): for short samples.
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
        let mut ids: Vec<i32> = prompt.iter().map(|id| *id as i32).collect();
        for _ in 0..max_new_tokens {
            let from = ids.len().saturating_sub(self.config.max_position_embeddings);
            let tokens = Tokens::single(ids[from..].to_vec());
            let hidden = self.hidden_states(&tokens, ForwardMode::Evaluation)?;
            let [rows, size] = hidden.dims();
            let last = hidden.slice([rows - 1..rows, 0..size]);
            let best = self.logits(last).argmax(1).into_scalar_async::<i64>().await;
            let best: i64 = best
                .map_err(|error| ModelError::Input(format!("the device failed while generating: {error:?}")))?
                .elem();
            if stop.contains(&(best as u32)) {
                break;
            }
            ids.push(best as i32);
        }
        Ok(ids[prompt.len()..].iter().map(|id| *id as u32).collect())
    }
}
