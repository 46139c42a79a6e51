//! Attention as the mixer of a layer: projections, norms of heads, rotary embeddings, and the scores by the kernel or by plain operations.

use burn::tensor::{FloatDType, Tensor};
use lorelei_formats::{
    ModelConfig,
    config::{AttentionKind, AttentionPart, Role},
};
use lorelei_kernels as kernels;

use crate::{
    Linear, ModelError,
    attend::attend,
    cache::{self, LayerCache},
    load::LoadedModules,
    mlp::split,
    model::Pass,
    modules::ModuleMut,
    norm::Norm,
    precision::{cast, dtype},
};

/// Projections and settings of a layer's attention.
#[derive(Debug, Clone)]
pub(crate) struct Attention {
    kind: AttentionKind,
    /// Projections to queries, keys and values, or one projection to all three.
    input: Vec<Linear>,
    output: Linear,
    query_norm: Option<Norm>,
    key_norm: Option<Norm>,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    scale: f32,
    softcap: Option<f64>,
    causal: bool,
}

impl Attention {
    /// Loads the attention of layer `index`.
    pub(crate) fn load(
        config: &ModelConfig,
        kind: AttentionKind,
        index: usize,
        modules: &mut LoadedModules,
    ) -> Result<Self, ModelError> {
        let role = Role::Attention;
        let parts =
            [AttentionPart::QueryKeyValue, AttentionPart::Query, AttentionPart::Key, AttentionPart::Value];
        let input = parts.into_iter().filter_map(|part| modules.linear(Some(index), role(part))).collect();
        let output = role(AttentionPart::Output);
        Ok(Self {
            kind,
            input,
            output: modules.linear(Some(index), output).ok_or_else(|| LoadedModules::lacks(output))?,
            query_norm: modules.norm(Some(index), role(AttentionPart::QueryNorm)),
            key_norm: modules.norm(Some(index), role(AttentionPart::KeyNorm)),
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
            scale: config.scalars.attention_scale as f32,
            softcap: config.scalars.attention_softcap,
            causal: config.causal,
        })
    }

    /// Returns the module with the role `part`.
    pub(crate) fn module_mut(&mut self, part: AttentionPart) -> Option<ModuleMut<'_>> {
        match part {
            AttentionPart::QueryKeyValue | AttentionPart::Query => {
                self.input.first_mut().map(ModuleMut::Linear)
            }
            AttentionPart::Key => self.input.get_mut(1).map(ModuleMut::Linear),
            AttentionPart::Value => self.input.get_mut(2).map(ModuleMut::Linear),
            AttentionPart::Output => Some(ModuleMut::Linear(&mut self.output)),
            AttentionPart::QueryNorm => self.query_norm.as_mut().map(ModuleMut::Norm),
            AttentionPart::KeyNorm => self.key_norm.as_mut().map(ModuleMut::Norm),
        }
    }

    /// Returns the linear layer with the role `part`.
    pub(crate) fn linear(&self, part: AttentionPart) -> Option<&Linear> {
        match part {
            AttentionPart::QueryKeyValue | AttentionPart::Query => self.input.first(),
            AttentionPart::Key => self.input.get(1),
            AttentionPart::Value => self.input.get(2),
            AttentionPart::Output => Some(&self.output),
            AttentionPart::QueryNorm | AttentionPart::KeyNorm => None,
        }
    }

    /// Returns the type of the weights, or `None` if they are packed.
    pub(crate) fn dtype(&self) -> Option<FloatDType> {
        self.output.dtype()
    }

    /// Returns the window of the mask needed in a pass of `seq` tokens, or `None` if no mask is needed. The kernel is causal, and has neither windows
    /// nor soft caps.
    pub(crate) fn masked(&self, seq: usize) -> Option<Option<usize>> {
        let window = self.kind.window.filter(|window| *window < seq);
        let known = self.causal && self.softcap.is_none() && window.is_none();
        (!known).then_some(window)
    }

    /// Maps `x [n, hidden]` to `[n, hidden]`. With `known`, the batch is one row that continues the cached keys and values; its own are appended to
    /// them.
    pub(crate) fn forward(&self, x: Tensor<2>, pass: &Pass, known: Option<&mut LayerCache>) -> Tensor<2> {
        let (heads, d) = (self.heads, self.head_dim);
        let Pass { batch, seq, mode, .. } = *pass;
        let (q, k, v) = self.projections(x, pass);
        let (scale, softcap) = (self.scale, self.softcap);
        let mixed = match known {
            Some(known) if !known.is_empty() => {
                let (k, v) = known.extend(k, v);
                let mask = cache::mask(seq, k.dims()[1], self.kind.window, &k);
                attend(q, k, v, mask, scale, softcap)
            }
            known => {
                if let Some(known) = known {
                    known.extend(k.clone(), v.clone());
                }
                match self.masked(seq) {
                    None => kernels::attention(q, k, v, pass.segment_ids.clone(), scale),
                    Some(window) => {
                        let mask = pass.masks.iter().find(|(known, _)| *known == window);
                        attend(q, k, v, mask.map(|(_, mask)| mask.clone()), scale, softcap)
                    }
                }
            }
        };
        self.output.forward(mixed.reshape([batch * seq, heads * d]), mode)
    }

    /// Returns queries `[batch, seq, heads, d]` and keys and values `[batch, seq, kv_heads, d]`; queries and keys are normalised and rotated.
    fn projections(&self, x: Tensor<2>, pass: &Pass) -> (Tensor<4>, Tensor<4>, Tensor<4>) {
        let (heads, kv_heads, d) = (self.heads, self.kv_heads, self.head_dim);
        let Pass { batch, seq, mode, .. } = *pass;
        let parts: Vec<Tensor<2>> = self.input.iter().map(|linear| linear.forward(x.clone(), mode)).collect();
        let [q, k, v] = split(parts, [heads * d, kv_heads * d, kv_heads * d]);
        let normed = |norm: &Option<Norm>, x: Tensor<2>, heads: usize| {
            let x = if norm.is_some() { x.reshape([batch * seq * heads, d]) } else { x };
            Norm::apply(norm, x).reshape([batch, seq, heads, d])
        };
        let (q, k) = (normed(&self.query_norm, q, heads), normed(&self.key_norm, k, kv_heads));
        let v = v.reshape([batch, seq, kv_heads, d]);
        // The norm of a head is in single floats if it trains.
        let (q, k) = (cast(q, dtype(&v)), cast(k, dtype(&v)));
        match self.kind.rope {
            None => (q, k, v),
            Some(rope) => (pass.rotations[rope].apply(q), pass.rotations[rope].apply(k), v),
        }
    }
}
