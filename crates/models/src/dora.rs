//! DoRA (Liu et al., 2024), as in PEFT: LoRA changes the direction of each row, and the length of each row trains beside it.

use burn::tensor::{FloatDType, Tensor};

use crate::{
    LoraAdapter, Weight,
    precision::{cast, dtype, to_f32},
};

/// Magnitudes of an adapted layer's rows: `W' = m (W + s·B·A) / ‖W + s·B·A‖`.
#[derive(Debug, Clone)]
pub struct Dora {
    /// Magnitudes `m`, `[out]`, which train.
    pub magnitude: Tensor<1>,
    /// Squared norms of the frozen weight's rows, `[out]`.
    weight_squares: Tensor<1>,
}

impl Dora {
    /// Creates magnitudes that change nothing: the norms of the rows with the adapter as it is.
    pub(crate) fn new(weight: &Weight, lora: &LoraAdapter) -> Self {
        let dense = to_f32(weight.dense());
        let size_out = dense.dims()[0];
        let weight_squares = (dense.clone() * dense).sum_dim(1).reshape([size_out]);
        let mut dora = Self { magnitude: weight_squares.clone(), weight_squares };
        dora.magnitude = dora.lengths(weight, lora);
        dora
    }

    /// Computes `‖W + s·B·A‖` of each row, `[out]`, outside of any graph: its gradient is left out, as in the paper (section 4.3) and in PEFT.
    ///
    /// The sum is never formed: the square for a row is `‖W‖² + 2s b·(A·W) + s² b·(A·Aᵀ)·b`.
    fn lengths(&self, weight: &Weight, lora: &LoraAdapter) -> Tensor<1> {
        let (a, b, scale) = (bare(&lora.a), bare(&lora.b), lora.scale);
        let [size_out, _] = b.dims();
        // The layer takes numbers of its weight's type; a packed weight takes single floats.
        let dtype = match weight {
            Weight::Dense(weight) => dtype(weight),
            Weight::Packed { .. } => FloatDType::F32,
        };
        let across = (to_f32(weight.applied(cast(a.clone(), dtype)).transpose()) * b.clone())
            .sum_dim(1)
            .reshape([size_out]);
        let within = (b.clone().matmul(a.clone().matmul(a.transpose())) * b).sum_dim(1).reshape([size_out]);
        (self.weight_squares.clone() + across * (2.0 * scale) + within * (scale * scale)).sqrt()
    }

    /// Computes the factor of each output of `W + s·B·A`, `[1, out]`.
    pub(crate) fn factors(&self, weight: &Weight, lora: &LoraAdapter) -> Tensor<2> {
        (self.magnitude.clone() / self.lengths(weight, lora)).unsqueeze()
    }
}

fn bare(tensor: &Tensor<2>) -> Tensor<2> {
    if tensor.is_autodiff() { tensor.clone().inner() } else { tensor.clone() }
}
