//! Cache of the keys and values of a text that was read, so that its continuation computes only new tokens.

use burn::tensor::{Tensor, TensorData};

use crate::attend::FORBIDDEN;

/// Cached keys and values of one layer.
#[derive(Debug, Clone, Default)]
pub(crate) struct LayerCache(Option<(Tensor<4>, Tensor<4>)>);

impl LayerCache {
    /// Whether nothing is cached yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Appends `k` and `v` `[1, new, kv_heads, d]` to the cache, and returns all keys and values.
    pub(crate) fn extend(&mut self, k: Tensor<4>, v: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let (k, v) = match self.0.take() {
            None => (k, v),
            Some((known_k, known_v)) => (Tensor::cat(vec![known_k, k], 1), Tensor::cat(vec![known_v, v], 1)),
        };
        self.0 = Some((k.clone(), v.clone()));
        (k, v)
    }
}

/// Returns the mask `[1, 1, new, all]` of the last `new` of `all` tokens, or `None` if each of them sees all. A token sees itself and those before,
/// of which only the last `window`.
pub(crate) fn mask(new: usize, all: usize, window: Option<usize>, of: &Tensor<4>) -> Option<Tensor<4>> {
    let known = all - new;
    let first = |query: usize| window.map_or(0, |window| (query + 1).saturating_sub(window));
    if new == 1 && first(known) == 0 {
        return None;
    }
    let seen = |query: usize, key: usize| (first(query)..=query).contains(&key);
    let pair = |query: usize, key: usize| if seen(query, key) { 0.0 } else { FORBIDDEN };
    let values: Vec<f32> = (known..all).flat_map(|query| (0..all).map(move |key| pair(query, key))).collect();
    Some(Tensor::from_data(TensorData::new(values, [1, 1, new, all]), &of.device()))
}
