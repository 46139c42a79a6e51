//! The keys and values of a text already read, so that going on with it reads only what is new.

use burn::tensor::{Tensor, TensorData};

const FORBIDDEN: f32 = -1e30;

/// What one layer keeps of a text.
#[derive(Debug, Clone, Default)]
pub(crate) struct LayerCache(Option<(Tensor<4>, Tensor<4>)>);

impl LayerCache {
    /// Keeps `k` and `v` `[1, new, kv_heads, d]` behind what there is, and gives all of them, and the mask `[1, 1, new, all]` of the new
    /// queries over them; none where each may see all.
    pub(crate) fn extended(
        &mut self,
        k: Tensor<4>,
        v: Tensor<4>,
        window: Option<usize>,
    ) -> (Tensor<4>, Tensor<4>, Option<Tensor<4>>) {
        let new = k.dims()[1];
        let (k, v) = match self.0.take() {
            None => (k, v),
            Some((known_k, known_v)) => (Tensor::cat(vec![known_k, k], 1), Tensor::cat(vec![known_v, v], 1)),
        };
        let all = k.dims()[1];
        let known = all - new;
        let first = |query: usize| window.map_or(0, |window| (query + 1).saturating_sub(window));
        let mask = (new > 1 || first(known) > 0).then(|| {
            let pair = |query: usize, key: usize| match (first(query)..=query).contains(&key) {
                true => 0.0,
                false => FORBIDDEN,
            };
            let values: Vec<f32> =
                (known..all).flat_map(|query| (0..all).map(move |key| pair(query, key))).collect();
            Tensor::from_data(TensorData::new(values, [1, 1, new, all]), &k.device())
        });
        self.0 = Some((k.clone(), v.clone()));
        (k, v, mask)
    }
}
