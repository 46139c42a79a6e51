//! A linear layer of a checkpoint, with or without a low-rank adapter.

use burn::tensor::{FloatDType, Tensor};
use lorelei_kernels::Dropout;

use crate::{
    Dora, ForwardMode, Weight,
    precision::{cast, kind},
};

/// `y = x·Wᵀ + bias`, and with an adapter `+ s·drop(x)·Aᵀ·Bᵀ`.
#[derive(Debug, Clone)]
pub struct Linear {
    /// `[out, in]`, as the file has it.
    pub weight: Weight,
    /// `[out]`.
    pub bias: Option<Tensor<1>>,
    /// The adapter, once [`crate::Model::inject_lora`] has put one here.
    pub lora: Option<LoraAdapter>,
}

/// The learning part of an adapted layer.
#[derive(Debug, Clone)]
pub struct LoraAdapter {
    /// `[r, in]`.
    pub a: Tensor<2>,
    /// `[out, r]`.
    pub b: Tensor<2>,
    /// `[out]`; of `B`, with `lora_bias`.
    pub bias: Option<Tensor<1>>,
    /// With `use_dora`.
    pub dora: Option<Dora>,
    /// `(A, B)` as they were when the base weight lost them, where it did (PiSSA, OLoRA).
    pub beginning: Option<(Tensor<2>, Tensor<2>)>,
    /// `lora_alpha / r`, or `lora_alpha / sqrt(r)` with rsLoRA.
    pub scale: f32,
    /// Probability that an element of the adapter's input is dropped in training.
    pub dropout: f32,
    /// Tells this adapter's dropout masks from the others'.
    pub dropout_stream: u64,
}

impl Linear {
    /// `x [n, in]` to `[n, out]`.
    pub fn forward(&self, x: Tensor<2>, mode: ForwardMode) -> Tensor<2> {
        let y = match &self.lora {
            None => self.weight.applied(x),
            Some(lora) => {
                let y = self.weight.adapted(x, lora, lora.dropout_of(mode));
                let y = match &lora.dora {
                    None => y,
                    Some(dora) => {
                        let dtype = kind(&y);
                        y * cast(dora.factors(&self.weight, lora), dtype)
                    }
                };
                match &lora.bias {
                    None => y,
                    Some(bias) => {
                        let dtype = kind(&y);
                        y + cast(bias.clone().unsqueeze() * lora.scale, dtype)
                    }
                }
            }
        };
        match &self.bias {
            None => y,
            Some(bias) => {
                let dtype = kind(&y);
                y + cast(bias.clone(), dtype).unsqueeze()
            }
        }
    }

    /// What its weight is, where it is not packed.
    pub(crate) fn dtype(&self) -> Option<FloatDType> {
        match &self.weight {
            Weight::Dense(weight) => Some(weight.dtype().into()),
            Weight::Packed { .. } => None,
        }
    }

    /// `(in, out)`.
    pub fn sizes(&self) -> (usize, usize) {
        self.weight.sizes()
    }
}

impl LoraAdapter {
    fn dropout_of(&self, mode: ForwardMode) -> Dropout {
        match mode {
            ForwardMode::Training { dropout_seed } if self.dropout > 0.0 => Dropout {
                p: self.dropout,
                // An odd multiplier keeps the streams of neighbouring adapters and steps apart.
                seed: dropout_seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(self.dropout_stream),
            },
            _ => Dropout::NONE,
        }
    }
}
