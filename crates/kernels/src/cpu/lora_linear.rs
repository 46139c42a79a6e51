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

/// Computes `H = drop(x)·Aᵀ [n, r]`.
pub fn hidden(x: FlexTensor, a: FlexTensor, dropout: Dropout) -> FlexTensor {
    let ([n, size_in], [r, _]) = (dims(&x), dims::<2>(&a));
    let x = dropped(floats(&x), dropout);
    let mut hidden = vec![0f32; n * r];
    times_transposed(&mut hidden, false, 1.0, &x, &floats(&a), [n, size_in, r]);
    tensor(hidden, [n, r])
}

/// Adds `scale·H·Bᵀ` to `out [n, out]`.
pub(super) fn add_low_rank(out: &mut [f32], hidden: &FlexTensor, b: &FlexTensor, scale: f32) {
    let ([n, r], [size_out, _]) = (dims(hidden), dims::<2>(b));
    times_transposed(out, true, scale, &floats(hidden), &floats(b), [n, r, size_out]);
}

/// Computes the adapted layer: `x [n, in]`, `w [out, in]`, `hidden [n, r]`, `b [out, r]` to `[n, out]`.
pub fn from_hidden(
    x: FlexTensor,
    w: FlexTensor,
    hidden: FlexTensor,
    b: FlexTensor,
    scale: f32,
) -> FlexTensor {
    let ([n, size_in], [size_out, _]) = (dims(&x), dims::<2>(&b));
    let mut out = vec![0f32; n * size_out];
    times_transposed(&mut out, false, 1.0, &floats(&x), &floats(&w), [n, size_in, size_out]);
    add_low_rank(&mut out, &hidden, &b, scale);
    tensor(out, [n, size_out])
}

/// Computes `dH = dY·B [n, r]`.
pub fn hidden_backward(grad: FlexTensor, b: FlexTensor) -> FlexTensor {
    let ([n, size_out], [_, r]) = (dims(&grad), dims::<2>(&b));
    let mut grad_hidden = vec![0f32; n * r];
    times(&mut grad_hidden, false, 1.0, &floats(&grad), &floats(&b), [n, r, size_out]);
    tensor(grad_hidden, [n, r])
}

/// Adds `scale·drop'(dH·A)` to `out [n, in]`.
pub(super) fn add_low_rank_backward(
    out: &mut [f32],
    grad_hidden: &FlexTensor,
    a: &FlexTensor,
    scale: f32,
    dropout: Dropout,
) {
    let ([n, r], [_, size_in]) = (dims(grad_hidden), dims::<2>(a));
    let (grad_hidden, a) = (floats(grad_hidden), floats(a));
    if dropout.is_none() {
        times(out, true, scale, &grad_hidden, &a, [n, size_in, r]);
        return;
    }
    let mut low = vec![0f32; n * size_in];
    times(&mut low, false, scale, &grad_hidden, &a, [n, size_in, r]);
    drop_in_place(&mut low, dropout);
    out.par_iter_mut().zip(low).for_each(|(out, low)| *out += low);
}

/// Computes `dX [n, in]`.
pub fn backward_input(
    grad: FlexTensor,
    w: FlexTensor,
    grad_hidden: FlexTensor,
    a: FlexTensor,
    scale: f32,
    dropout: Dropout,
) -> FlexTensor {
    let ([n, size_out], [_, size_in]) = (dims(&grad), dims::<2>(&a));
    let mut out = vec![0f32; n * size_in];
    times(&mut out, false, 1.0, &floats(&grad), &floats(&w), [n, size_in, size_out]);
    add_low_rank_backward(&mut out, &grad_hidden, &a, scale, dropout);
    tensor(out, [n, size_in])
}

/// Computes `(dA [r, in], dB [out, r])`.
pub fn backward_adapter(
    grad: FlexTensor,
    x: FlexTensor,
    hidden: FlexTensor,
    grad_hidden: FlexTensor,
    scale: f32,
    dropout: Dropout,
) -> (FlexTensor, FlexTensor) {
    let ([n, size_out], [_, size_in], [_, r]) = (dims(&grad), dims::<2>(&x), dims::<2>(&hidden));
    let x = dropped(floats(&x), dropout);
    let mut grad_a = vec![0f32; r * size_in];
    transposed_times(&mut grad_a, false, scale, &floats(&grad_hidden), &x, [n, size_in, r]);
    let mut grad_b = vec![0f32; size_out * r];
    transposed_times(&mut grad_b, false, scale, &floats(&grad), &floats(&hidden), [n, r, size_out]);
    (tensor(grad_a, [r, size_in]), tensor(grad_b, [size_out, r]))
}
