//! Fast path of [`crate::portable::linear`].

use burn::backend::flex::FlexTensor;

use super::{
    dims, floats,
    gemm::{Threads, View, gemm},
    tensor,
};

/// Computes `out = keep·out + alpha·x·wᵀ` over slices: `x [n, in]`, `w [out, in]`.
pub(super) fn times_transposed(
    out: &mut [f32],
    keep: bool,
    alpha: f32,
    x: &[f32],
    w: &[f32],
    [n, size_in, size_out]: [usize; 3],
) {
    let w = View::new(w, size_out, size_in, size_in).t();
    let x = View::new(x, n, size_in, size_in);
    gemm(out, size_out, keep, alpha, x, w, Threads::All);
}

/// Computes `out = keep·out + alpha·grad·w` over slices: `grad [n, out]`, `w [out, in]`.
pub(super) fn times(
    out: &mut [f32],
    keep: bool,
    alpha: f32,
    grad: &[f32],
    w: &[f32],
    [n, size_in, size_out]: [usize; 3],
) {
    let w = View::new(w, size_out, size_in, size_in);
    let grad = View::new(grad, n, size_out, size_out);
    gemm(out, size_in, keep, alpha, grad, w, Threads::All);
}

/// Computes `alpha·gradᵀ·x` over slices: `grad [n, out]`, `x [n, in]` to `[out, in]`.
pub(super) fn transposed_times(
    out: &mut [f32],
    keep: bool,
    alpha: f32,
    grad: &[f32],
    x: &[f32],
    [n, size_in, size_out]: [usize; 3],
) {
    let grad = View::new(grad, n, size_out, size_out).t();
    let x = View::new(x, n, size_in, size_in);
    gemm(out, size_in, keep, alpha, grad, x, Threads::All);
}

/// Computes `x·wᵀ`: `x [n, in]`, `w [out, in]` to `[n, out]`.
pub fn forward(x: FlexTensor, w: FlexTensor) -> FlexTensor {
    let [n, size_in] = dims(&x);
    let [size_out, _] = dims(&w);
    let mut out = vec![0f32; n * size_out];
    times_transposed(&mut out, false, 1.0, &floats(&x), &floats(&w), [n, size_in, size_out]);
    tensor(out, [n, size_out])
}

/// Computes `grad·w`: `grad [n, out]`, `w [out, in]` to `[n, in]`.
pub fn backward_input(grad: FlexTensor, w: FlexTensor) -> FlexTensor {
    let [n, size_out] = dims(&grad);
    let [_, size_in] = dims(&w);
    let mut out = vec![0f32; n * size_in];
    times(&mut out, false, 1.0, &floats(&grad), &floats(&w), [n, size_in, size_out]);
    tensor(out, [n, size_in])
}

/// Computes `gradᵀ·x`: `grad [n, out]`, `x [n, in]` to `[out, in]`.
pub fn backward_weight(grad: FlexTensor, x: FlexTensor) -> FlexTensor {
    let [n, size_out] = dims(&grad);
    let [_, size_in] = dims(&x);
    let mut out = vec![0f32; size_out * size_in];
    transposed_times(&mut out, false, 1.0, &floats(&grad), &floats(&x), [n, size_in, size_out]);
    tensor(out, [size_out, size_in])
}
