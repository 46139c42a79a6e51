//! What a block computes.

use burn::tensor::{Tensor, activation};
use lorelei_formats::config::Activation;
use lorelei_kernels as kernels;

use crate::{
    Model,
    attend::attend,
    cache::{self, LayerCache},
    model::{Layer, Pass, Sublayer},
    norm::Norm,
    precision::{cast, kind, single},
};

impl Model {
    /// The residual stream behind `layer`. With `known`, the batch is one row that goes on behind the keys and values there, and adds its own.
    pub(crate) fn layer(
        &self,
        layer: &Layer,
        hidden: Tensor<2>,
        pass: &Pass,
        known: Option<&mut LayerCache>,
    ) -> Tensor<2> {
        let mixed = self.attention(layer, layer.attention.read(hidden.clone()), pass, known);
        let hidden = layer.attention.add(hidden, mixed);
        let changed = self.mlp(&layer.mlp, layer.mlp.read(hidden.clone()), pass);
        layer.mlp.add(hidden, changed)
    }

    fn attention(
        &self,
        layer: &Layer,
        x: Tensor<2>,
        pass: &Pass,
        known: Option<&mut LayerCache>,
    ) -> Tensor<2> {
        let (heads, kv_heads) = (self.config.num_attention_heads, self.config.num_key_value_heads);
        let d = self.config.head_dim;
        let Pass { batch, seq, mode, .. } = *pass;
        let parts: Vec<Tensor<2>> =
            layer.attention.input.iter().map(|linear| linear.forward(x.clone(), mode)).collect();
        let sizes = [heads * d, kv_heads * d, kv_heads * d];
        let [q, k, v] = split(parts, sizes);
        let normed = |norm: &Option<Norm>, x: Tensor<2>, heads: usize| {
            let x = if norm.is_some() { x.reshape([batch * seq * heads, d]) } else { x };
            Norm::apply(norm, x).reshape([batch, seq, heads, d])
        };
        let (q, k) = (normed(&layer.query_norm, q, heads), normed(&layer.key_norm, k, kv_heads));
        let v = v.reshape([batch, seq, kv_heads, d]);
        // The norm of a head may be in single floats, where it learns.
        let (q, k) = (cast(q, kind(&v)), cast(k, kind(&v)));
        let (q, k) = match layer.kind.rope {
            None => (q, k),
            Some(rope) => (pass.rotations[rope].apply(q), pass.rotations[rope].apply(k)),
        };
        let (scale, softcap) = (self.config.attention_scale as f32, self.config.attention_softcap);
        let mixed = match known {
            Some(known) if !known.is_empty() => {
                let (k, v) = known.extend(k, v);
                let mask = cache::mask(seq, k.dims()[1], layer.kind.window, &k);
                attend(q, k, v, mask, scale, softcap)
            }
            known => {
                if let Some(known) = known {
                    known.extend(k.clone(), v.clone());
                }
                match self.masked(layer.kind, seq) {
                    None => kernels::attention(q, k, v, pass.segment_ids.clone(), scale),
                    Some(window) => {
                        let mask = pass.masks.iter().find(|(known, _)| *known == window);
                        attend(q, k, v, mask.map(|(_, mask)| mask.clone()), scale, softcap)
                    }
                }
            }
        };
        layer.attention.output.forward(mixed.reshape([batch * seq, heads * d]), mode)
    }

    fn mlp(&self, mlp: &Sublayer, x: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let wide = self.config.intermediate_size;
        let parts: Vec<Tensor<2>> =
            mlp.input.iter().map(|linear| linear.forward(x.clone(), pass.mode)).collect();
        let active = if self.config.gated {
            let [gate, up] = split(parts, [wide; 2]);
            match self.config.activation {
                Activation::Silu => kernels::swiglu(gate, up),
                other => activated(gate, other) * up,
            }
        } else {
            let [x] = split(parts, [wide]);
            activated(x, self.config.activation)
        };
        mlp.output.forward(active, pass.mode)
    }
}

impl Sublayer {
    fn read(&self, hidden: Tensor<2>) -> Tensor<2> {
        // Linear layers want numbers of their weights' kind also where no norm makes them.
        let dtype = self.output.dtype();
        let read = Norm::apply(&self.norm_before, hidden);
        match dtype {
            Some(dtype) => cast(read, dtype),
            None => read,
        }
    }

    fn add(&self, hidden: Tensor<2>, change: Tensor<2>) -> Tensor<2> {
        let change = single(Norm::apply(&self.norm_after, change));
        single(Norm::apply(&self.norm_residual, hidden + change))
    }
}

/// What several linear layers gave, or one for all of them: `[n, size]` for each of `sizes`.
fn split<const N: usize>(parts: Vec<Tensor<2>>, sizes: [usize; N]) -> [Tensor<2>; N] {
    match <[Tensor<2>; N]>::try_from(parts) {
        Ok(parts) => parts,
        Err(fused) => {
            let mut from = 0;
            sizes.map(|size| {
                let part = fused[0].clone().slice_dim(1, from..from + size);
                from += size;
                part
            })
        }
    }
}

fn activated(x: Tensor<2>, kind: Activation) -> Tensor<2> {
    match kind {
        Activation::Silu => activation::silu(x),
        // burn's own has the gradient of its approximation.
        Activation::Gelu => x.clone() * 0.5 * ((x / std::f64::consts::SQRT_2).erf() + 1.0),
        Activation::Relu => activation::relu(x),
        Activation::GeluTanh => {
            // Hendrycks and Gimpel, 2016.
            let cubic = x.clone() * x.clone() * x.clone() * 0.044_715;
            let inner = (x.clone() + cubic) * (2.0 / std::f64::consts::PI).sqrt();
            x * 0.5 * (inner.tanh() + 1.0)
        }
    }
}
