//! A linear layer of a checkpoint, with or without an adapter.

use burn::tensor::{FloatDType, Tensor};

use crate::{
    Adapter, ForwardMode, Parameter, Weight,
    precision::{cast, dtype},
};

/// `y = x·Wᵀ + bias`, and what an adapter adds.
#[derive(Debug, Clone)]
pub struct Linear {
    /// `[out, in]`, as the file has it.
    pub weight: Weight,
    /// `[out]`.
    pub bias: Option<Tensor<1>>,
    /// The adapter, once [`crate::Model::inject_lora`] has put one here.
    pub adapter: Option<Adapter>,
}

impl Linear {
    /// `x [n, in]` to `[n, out]`.
    pub fn forward(&self, x: Tensor<2>, mode: ForwardMode) -> Tensor<2> {
        let y = match &self.adapter {
            None => self.weight.applied(x),
            Some(adapter) => adapter.forward(&self.weight, x, mode),
        };
        match &self.bias {
            None => y,
            Some(bias) => {
                let dtype = dtype(&y);
                y + cast(bias.clone(), dtype).unsqueeze()
            }
        }
    }

    /// Makes the adapter, where there is one, a part of weight and bias.
    pub(crate) fn merge(&mut self) {
        if let Some(adapter) = self.adapter.take() {
            adapter.merge(self);
        }
    }

    /// Calls `visit` with weight, where it is not packed, and bias; `in_out` says how the file has the weight.
    pub(crate) fn visit(&mut self, path: &str, in_out: bool, visit: &mut dyn FnMut(&str, Parameter<'_>)) {
        if let Weight::Dense(weight) = &mut self.weight {
            let parameter = if in_out { Parameter::transposed(weight) } else { Parameter::matrix(weight) };
            visit(&format!("{path}.weight"), parameter);
        }
        if let Some(bias) = &mut self.bias {
            visit(&format!("{path}.bias"), Parameter::vector(bias));
        }
    }

    /// The type of its weight's numbers, where they are not packed.
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
