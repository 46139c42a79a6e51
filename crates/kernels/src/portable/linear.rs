//! The linear layer `y = x·Wᵀ` and its gradients.

use burn::backend::{Backend, tensor::FloatTensor};

use super::transposed;

/// Computes `y`: `x [n, in]`, `w [out, in]` to `[n, out]`.
pub fn forward<B: Backend>(x: FloatTensor<B>, w: FloatTensor<B>) -> FloatTensor<B> {
    B::float_matmul(x, transposed::<B>(w))
}

/// Computes `dX`: `grad [n, out]`, `w [out, in]` to `[n, in]`.
pub fn backward_input<B: Backend>(grad: FloatTensor<B>, w: FloatTensor<B>) -> FloatTensor<B> {
    B::float_matmul(grad, w)
}

/// Computes `dW`: `grad [n, out]`, `x [n, in]` to `[out, in]`.
pub fn backward_weight<B: Backend>(grad: FloatTensor<B>, x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_matmul(transposed::<B>(grad), x)
}
