//! Adapters on linear layers: their parameters, computation, initialisation and merging. Another kind than LoRA is a variant here and a module of its
//! own.

mod embedding;
mod lora;

use burn::tensor::{Device, Tensor};
use lorelei_recipe::LoraConfig;

pub use embedding::EmbeddingAdapter;
pub use lora::LoraAdapter;

use crate::{ForwardMode, Linear, Parameter, Weight};

/// An adapter on a linear layer.
#[derive(Debug, Clone)]
pub enum Adapter {
    /// LoRA, optionally with DoRA's magnitudes or a bias.
    Lora(LoraAdapter),
}

/// Place of an adapter in its model, and source of its random values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdapterPlace<'p> {
    /// Path of the adapted module.
    pub(crate) path: &'p str,
    /// Rank.
    pub(crate) rank: usize,
    pub(crate) seed: u64,
    pub(crate) device: &'p Device,
}

impl Adapter {
    /// Creates an adapter on a layer with `weight`, initialised as in PEFT.
    pub(crate) fn fresh(config: &LoraConfig, place: AdapterPlace<'_>, weight: &Weight) -> Self {
        Self::Lora(LoraAdapter::fresh(config, place, weight))
    }

    /// Computes the adapted layer without its own bias: `x [n, in]` to `[n, out]`.
    pub(crate) fn forward(&self, weight: &Weight, x: Tensor<2>, mode: ForwardMode) -> Tensor<2> {
        match self {
            Self::Lora(lora) => lora.forward(weight, x, mode),
        }
    }

    /// Calls `visit` with each parameter of the adapter on the module at `path`.
    pub(crate) fn visit(&mut self, path: &str, visit: &mut dyn FnMut(&str, Parameter<'_>)) {
        match self {
            Self::Lora(lora) => lora.visit(path, visit),
        }
    }

    /// Merges the adapter into the layer's own weight and bias.
    pub(crate) fn merge(self, linear: &mut Linear) {
        match self {
            Self::Lora(lora) => lora.merge(linear),
        }
    }

    /// Returns the LoRA adapter, if it is one.
    pub(crate) fn as_lora(&self) -> Option<&LoraAdapter> {
        match self {
            Self::Lora(lora) => Some(lora),
        }
    }

    /// Like [`Self::as_lora`], but mutable.
    pub(crate) fn as_lora_mut(&mut self) -> Option<&mut LoraAdapter> {
        match self {
            Self::Lora(lora) => Some(lora),
        }
    }
}
