//! Fast path of [`crate::portable::lora_linear`]: the low-rank product is added in place to the base product.

use std::borrow::Cow;

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::{
    GRAIN, dims, floats,
    linear::{times, times_transposed, transposed_times},
    tensor,
};
use crate::Dropout;

fn drop_in_place(values: &mut [f32], dropout: Dropout) {
    if dropout.is_none() {
        return;
    }
    values.par_chunks_mut(GRAIN).enumerate().for_each(|(chunk, values)| {
        for (i, value) in values.iter_mut().enumerate() {
            *value *= dropout.factor(chunk * GRAIN + i);
        }
    });
}

fn dropped(x: Cow<'_, [f32]>, dropout: Dropout) -> Cow<'_, [f32]> {
    if dropout.is_none() {
        return x;
    }
    let mut x = x.into_owned();
    drop_in_place(&mut x, dropout);
    Cow::Owned(x)
}

/// Adds `scale·drop(x)·Aᵀ·Bᵀ` to `out [n, out]`.
pub(super) fn add_low_rank(
    out: &mut [f32],
    x: Cow<'_, [f32]>,
    a: &FlexTensor,
    b: &FlexTensor,
    scale: f32,
    dropout: Dropout,
) {
    let ([r, size_in], [size_out, _]) = (dims(a), dims::<2>(b));
    let n = x.len() / size_in;
    let x = dropped(x, dropout);
    let mut hidden = vec![0f32; n * r];
    times_transposed(&mut hidden, false, 1.0, &x, &floats(a), [n, size_in, r]);
    times_transposed(out, true, scale, &hidden, &floats(b), [n, r, size_out]);
}

/// Adds `scale·drop'((dY·B)·A)` to `out [n, in]`.
pub(super) fn add_low_rank_backward(
    out: &mut [f32],
    grad: &[f32],
    a: &FlexTensor,
    b: &FlexTensor,
    scale: f32,
    dropout: Dropout,
) {
    let ([r, size_in], [size_out, _]) = (dims(a), dims::<2>(b));
    let n = grad.len() / size_out;
    let mut hidden = vec![0f32; n * r];
    times(&mut hidden, false, scale, grad, &floats(b), [n, r, size_out]);
    if dropout.is_none() {
        times(out, true, 1.0, &hidden, &floats(a), [n, size_in, r]);
        return;
    }
    let mut low = vec![0f32; n * size_in];
    times(&mut low, false, 1.0, &hidden, &floats(a), [n, size_in, r]);
    drop_in_place(&mut low, dropout);
    out.par_iter_mut().zip(low).for_each(|(out, low)| *out += low);
}

/// Computes the adapted layer: `x [n, in]`, `w [out, in]`, `a [r, in]`, `b [out, r]` to `[n, out]`.
pub fn forward(
    x: FlexTensor,
    w: FlexTensor,
    a: FlexTensor,
    b: FlexTensor,
    scale: f32,
    dropout: Dropout,
) -> FlexTensor {
    let ([n, size_in], [size_out, _]) = (dims(&x), dims::<2>(&b));
    let x = floats(&x);
    let mut out = vec![0f32; n * size_out];
    times_transposed(&mut out, false, 1.0, &x, &floats(&w), [n, size_in, size_out]);
    add_low_rank(&mut out, x, &a, &b, scale, dropout);
    tensor(out, [n, size_out])
}

/// Computes `dX [n, in]`.
pub fn backward_input(
    grad: FlexTensor,
    w: FlexTensor,
    a: FlexTensor,
    b: FlexTensor,
    scale: f32,
    dropout: Dropout,
) -> FlexTensor {
    let ([n, size_out], [_, size_in]) = (dims(&grad), dims::<2>(&a));
    let grad = floats(&grad);
    let mut out = vec![0f32; n * size_in];
    times(&mut out, false, 1.0, &grad, &floats(&w), [n, size_in, size_out]);
    add_low_rank_backward(&mut out, &grad, &a, &b, scale, dropout);
    tensor(out, [n, size_in])
}

/// Computes `(dA [r, in], dB [out, r])`.
pub fn backward_adapter(
    grad: FlexTensor,
    x: FlexTensor,
    a: FlexTensor,
    b: FlexTensor,
    scale: f32,
    dropout: Dropout,
) -> (FlexTensor, FlexTensor) {
    let [n, size_out] = dims(&grad);
    let [r, size_in] = dims(&a);
    let (grad, x) = (floats(&grad), dropped(floats(&x), dropout));
    let mut grad_hidden = vec![0f32; n * r];
    times(&mut grad_hidden, false, scale, &grad, &floats(&b), [n, r, size_out]);
    let mut hidden = vec![0f32; n * r];
    times_transposed(&mut hidden, false, scale, &x, &floats(&a), [n, size_in, r]);
    let mut grad_a = vec![0f32; r * size_in];
    transposed_times(&mut grad_a, false, 1.0, &grad_hidden, &x, [n, size_in, r]);
    let mut grad_b = vec![0f32; size_out * r];
    transposed_times(&mut grad_b, false, 1.0, &grad, &hidden, [n, r, size_out]);
    (tensor(grad_a, [r, size_in]), tensor(grad_b, [size_out, r]))
}
