//! Mixer of a layer, the half that mixes tokens. Another mixer than attention is a variant here and a module of its own.

use burn::tensor::{FloatDType, Tensor};
use lorelei_formats::{ModelConfig, config};

use crate::{ModelError, attention::Attention, cache::LayerCache, load::LoadedModules, model::Pass};

/// Mixer of a layer's tokens.
#[derive(Debug, Clone)]
pub(crate) enum Mixer {
    Attention(Attention),
}

impl Mixer {
    /// Loads the mixer of layer `index`.
    pub(crate) fn load(
        config: &ModelConfig,
        index: usize,
        modules: &mut LoadedModules,
    ) -> Result<Self, ModelError> {
        match config.layers[index] {
            config::Mixer::Attention(kind) => {
                Attention::load(config, kind, index, modules).map(Self::Attention)
            }
        }
    }

    /// Returns the type of the weights, or `None` if they are packed.
    pub(crate) fn dtype(&self) -> Option<FloatDType> {
        match self {
            Self::Attention(attention) => attention.dtype(),
        }
    }

    /// Returns the window of the mask needed in a pass of `seq` tokens, or `None` if no mask is needed.
    pub(crate) fn masked(&self, seq: usize) -> Option<Option<usize>> {
        match self {
            Self::Attention(attention) => attention.masked(seq),
        }
    }

    /// Maps `x [n, hidden]` to `[n, hidden]`. With `known`, the batch is one row that continues the cached text and is appended to the cache.
    pub(crate) fn forward(&self, x: Tensor<2>, pass: &Pass, known: Option<&mut LayerCache>) -> Tensor<2> {
        match self {
            Self::Attention(attention) => attention.forward(x, pass, known),
        }
    }
}
