//! The Llama architecture: embedding, layers of attention and MLP around a residual stream, head.
//!
//! Module paths, names and layouts are Hugging Face's `LlamaForCausalLM`, so that an adapter fits there.

use burn::tensor::{Device, Int, Tensor, TensorData};
use lorelei_formats::LlamaConfig;
use lorelei_kernels as kernels;

use crate::{Linear, ModelError};

/// Whether a forward pass trains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ForwardMode {
    /// Nothing is dropped.
    Evaluation,
    /// Adapters drop a part of their input.
    Training {
        /// Names this pass: another seed, other elements dropped.
        dropout_seed: u64,
    },
}

/// Tokens of a batch on the host: `[batch, seq]`, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokens {
    /// Rows.
    pub batch: usize,
    /// Tokens in a row.
    pub seq: usize,
    /// Token ids.
    pub input_ids: Vec<i32>,
    /// The position of each token in its document.
    pub position_ids: Vec<i32>,
    /// The document of each token; 0 is padding. A token sees only its own document.
    pub segment_ids: Vec<i32>,
}

impl Tokens {
    /// One row of one document.
    pub fn single(input_ids: Vec<i32>) -> Self {
        let seq = input_ids.len();
        Self { batch: 1, seq, input_ids, position_ids: (0..seq as i32).collect(), segment_ids: vec![1; seq] }
    }
}

/// A Llama model, its base frozen unless [`Llama::finetune_all`] was called.
#[derive(Debug, Clone)]
pub struct Llama {
    pub(crate) config: LlamaConfig,
    pub(crate) device: Device,
    /// `[vocab, hidden]`.
    pub(crate) embed_tokens: Tensor<2>,
    pub(crate) layers: Vec<Layer>,
    /// `[hidden]`.
    pub(crate) norm: Tensor<1>,
    /// `[vocab, hidden]`; none where the embedding serves as head.
    pub(crate) lm_head: Option<Tensor<2>>,
    pub(crate) inv_freq: Vec<f32>,
    /// Every weight learns, instead of adapters.
    pub(crate) learns_whole: bool,
}

/// One block.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) input_layernorm: Tensor<1>,
    pub(crate) q_proj: Linear,
    pub(crate) k_proj: Linear,
    pub(crate) v_proj: Linear,
    pub(crate) o_proj: Linear,
    pub(crate) post_attention_layernorm: Tensor<1>,
    pub(crate) gate_proj: Linear,
    pub(crate) up_proj: Linear,
    pub(crate) down_proj: Linear,
}

/// What every layer of a pass needs of the batch.
pub(crate) struct Pass {
    batch: usize,
    seq: usize,
    cos: Tensor<3>,
    sin: Tensor<3>,
    segment_ids: Tensor<2, Int>,
    mode: ForwardMode,
}

impl Llama {
    /// The configuration it was made from.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// Where its tensors are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The residual stream after the last layer, before the final norm: `[batch * seq, hidden]`.
    ///
    /// # Errors
    ///
    /// If a token id is not in the vocabulary, or the slices are not `batch * seq` long.
    pub fn hidden_states(&self, tokens: &Tokens, mode: ForwardMode) -> Result<Tensor<2>, ModelError> {
        self.check(tokens)?;
        let pass = self.pass(tokens, mode);
        let mut hidden = self.embed(tokens);
        for layer in &self.layers {
            hidden = self.layer(layer, hidden, &pass);
        }
        Ok(hidden)
    }

    /// What the layers need of a batch.
    pub(crate) fn pass(&self, tokens: &Tokens, mode: ForwardMode) -> Pass {
        let Tokens { batch, seq, .. } = *tokens;
        let (cos, sin) = self.rotations(tokens);
        let segment_ids = TensorData::new(tokens.segment_ids.clone(), [batch, seq]);
        Pass { batch, seq, cos, sin, segment_ids: Tensor::from_data(segment_ids, &self.device), mode }
    }

    /// The residual stream before the first layer.
    pub(crate) fn embed(&self, tokens: &Tokens) -> Tensor<2> {
        let ids = TensorData::new(tokens.input_ids.clone(), [tokens.batch * tokens.seq]);
        let ids: Tensor<1, Int> = Tensor::from_data(ids, &self.device);
        self.embed_tokens.clone().select(0, ids)
    }

    /// Logits of residual-stream rows: `[n, hidden]` to `[n, vocab]`. For looking, not for training: see [`Llama::loss`].
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        kernels::linear(self.normed(hidden), self.head())
    }

    /// Cross entropy summed over the labelled tokens, `[1]`: row `rows[i]` of `hidden [n, hidden]` predicts `targets[i]`.
    ///
    /// Only these rows pass through the head: a prompt that is not learnt costs nothing there.
    ///
    /// # Errors
    ///
    /// If there is no labelled token, or a target is not in the vocabulary.
    pub fn loss(&self, hidden: Tensor<2>, rows: &[i32], targets: &[i32]) -> Result<Tensor<1>, ModelError> {
        let vocab = self.config.vocab_size;
        if targets.is_empty() || targets.len() != rows.len() {
            return Err(ModelError::Input("the batch has no token to learn from".into()));
        }
        if let Some(bad) = targets.iter().find(|t| **t < 0 || **t as usize >= vocab) {
            return Err(ModelError::Input(format!("label {bad} is not in the vocabulary of {vocab} tokens")));
        }
        let index = |values: &[i32]| -> Tensor<1, Int> {
            Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &self.device)
        };
        let every_row = rows.iter().copied().eq(0..hidden.dims()[0] as i32);
        let chosen = if every_row { hidden } else { hidden.select(0, index(rows)) };
        Ok(kernels::cross_entropy(self.normed(chosen), self.head(), index(targets)))
    }

    fn normed(&self, hidden: Tensor<2>) -> Tensor<2> {
        kernels::rms_norm(hidden, self.norm.clone(), self.config.rms_norm_eps as f32)
    }

    fn head(&self) -> Tensor<2> {
        self.lm_head.as_ref().unwrap_or(&self.embed_tokens).clone()
    }

    pub(crate) fn layer(&self, layer: &Layer, hidden: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let eps = self.config.rms_norm_eps as f32;
        let normed = kernels::rms_norm(hidden.clone(), layer.input_layernorm.clone(), eps);
        let hidden = hidden + self.attention(layer, normed, pass);
        let normed = kernels::rms_norm(hidden.clone(), layer.post_attention_layernorm.clone(), eps);
        let gate = layer.gate_proj.forward(normed.clone(), pass.mode);
        let up = layer.up_proj.forward(normed, pass.mode);
        hidden + layer.down_proj.forward(kernels::swiglu(gate, up), pass.mode)
    }

    fn attention(&self, layer: &Layer, x: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let LlamaConfig { num_attention_heads: heads, num_key_value_heads: kv_heads, head_dim: d, .. } =
            self.config;
        let Pass { batch, seq, .. } = *pass;
        let q = layer.q_proj.forward(x.clone(), pass.mode).reshape([batch, seq, heads, d]);
        let k = layer.k_proj.forward(x.clone(), pass.mode).reshape([batch, seq, kv_heads, d]);
        let v = layer.v_proj.forward(x, pass.mode).reshape([batch, seq, kv_heads, d]);
        let q = kernels::rope(q, pass.cos.clone(), pass.sin.clone());
        let k = kernels::rope(k, pass.cos.clone(), pass.sin.clone());
        let scale = 1.0 / (d as f32).sqrt();
        let mixed = kernels::attention(q, k, v, pass.segment_ids.clone(), scale);
        layer.o_proj.forward(mixed.reshape([batch * seq, heads * d]), pass.mode)
    }

    /// `cos` and `sin` of every token's angles, `[batch, seq, head_dim / 2]`.
    fn rotations(&self, tokens: &Tokens) -> (Tensor<3>, Tensor<3>) {
        let shape = [tokens.batch, tokens.seq, self.inv_freq.len()];
        // The angle is a product of two f32, as in Transformers; its cosine is then the nearest f32.
        let angles: Vec<f32> = tokens
            .position_ids
            .iter()
            .flat_map(|position| self.inv_freq.iter().map(move |freq| *position as f32 * freq))
            .collect();
        let table = |f: fn(f64) -> f64| {
            let values: Vec<f32> = angles.iter().map(|angle| f(*angle as f64) as f32).collect();
            Tensor::from_data(TensorData::new(values, shape), &self.device)
        };
        (table(f64::cos), table(f64::sin))
    }

    pub(crate) fn check(&self, tokens: &Tokens) -> Result<(), ModelError> {
        let count = tokens.batch * tokens.seq;
        let lengths = [tokens.input_ids.len(), tokens.position_ids.len(), tokens.segment_ids.len()];
        if count == 0 || lengths != [count; 3] {
            let Tokens { batch, seq, .. } = tokens;
            return Err(ModelError::Input(format!(
                "a batch of {batch} x {seq} tokens has {lengths:?} of them"
            )));
        }
        let vocab = self.config.vocab_size;
        match tokens.input_ids.iter().find(|id| **id < 0 || **id as usize >= vocab) {
            None => Ok(()),
            Some(id) => Err(ModelError::Input(format!(
                "token id {id} is not in the vocabulary of {vocab} tokens; was the data tokenised for another model?"
            ))),
        }
    }
}
