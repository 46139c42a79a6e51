//! A linear layer of a checkpoint, with or without an adapter.

use burn::tensor::{FloatDType, Tensor};

use crate::{
    Adapter, ForwardMode, Parameter, Weight,
    precision::{cast, dtype},
};

/// The layer `y = x·Wᵀ + bias`, and the addition of an adapter.
#[derive(Debug, Clone)]
pub struct Linear {
    /// Weight `[out, in]`, transposed on loading if the file stores `[in, out]`.
    pub weight: Weight,
    /// Bias `[out]`.
    pub bias: Option<Tensor<1>>,
    /// Adapter, set by [`crate::Model::inject_lora`].
    pub adapter: Option<Adapter>,
}

impl Linear {
    /// Maps `x [n, in]` to `[n, out]`.
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

    /// Merges the adapter, if there is one, into weight and bias.
    pub(crate) fn merge(&mut self) {
        if let Some(adapter) = self.adapter.take() {
            adapter.merge(self);
        }
    }

    /// Calls `visit` with the weight, unless it is packed, and the bias; `in_out` is set if the file stores the weight as `[in, out]`.
    pub(crate) fn visit(&mut self, path: &str, in_out: bool, visit: &mut dyn FnMut(&str, Parameter<'_>)) {
        if let Weight::Dense(weight) = &mut self.weight {
            let parameter = if in_out { Parameter::transposed(weight) } else { Parameter::matrix(weight) };
            visit(&format!("{path}.weight"), parameter);
        }
        if let Some(bias) = &mut self.bias {
            visit(&format!("{path}.bias"), Parameter::vector(bias));
        }
    }

    /// Returns the type of the weight's numbers, or `None` if they are packed.
    pub(crate) fn dtype(&self) -> Option<FloatDType> {
        match &self.weight {
            Weight::Dense(weight) => Some(weight.dtype().into()),
            Weight::Packed { .. } => None,
        }
    }

    /// Returns `(in, out)`.
    pub fn sizes(&self) -> (usize, usize) {
        self.weight.sizes()
    }
}
