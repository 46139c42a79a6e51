//! Adapters on linear layers: what trains, what it computes, how it begins and ends. Another kind than LoRA is a variant here and a module of
//! its own.

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
    /// LoRA, with DoRA's magnitudes or a bias where they are asked for.
    Lora(LoraAdapter),
}

/// The place of an adapter in its model, and where its random values come from.
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
    /// An adapter as PEFT begins it, on a layer with `weight`.
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

    /// Makes the adapter a part of the layer's own weight and bias.
    pub(crate) fn merge(self, linear: &mut Linear) {
        match self {
            Self::Lora(lora) => lora.merge(linear),
        }
    }

    /// The LoRA adapter, where it is one.
    pub(crate) fn as_lora(&self) -> Option<&LoraAdapter> {
        match self {
            Self::Lora(lora) => Some(lora),
        }
    }

    /// As [`Self::as_lora`].
    pub(crate) fn as_lora_mut(&mut self) -> Option<&mut LoraAdapter> {
        match self {
            Self::Lora(lora) => Some(lora),
        }
    }
}
