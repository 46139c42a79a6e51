//! Fast path of [`crate::portable::lora_linear`]: the low-rank product is added where the base product stands.

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

/// `x [n, in]`, `w [out, in]`, `a [r, in]`, `b [out, r]` to `[n, out]`.
pub fn forward(
    x: FlexTensor,
    w: FlexTensor,
    a: FlexTensor,
    b: FlexTensor,
    scale: f32,
    dropout: Dropout,
) -> FlexTensor {
    let [n, size_in] = dims(&x);
    let [size_out, r] = dims(&b);
    let x = floats(&x);
    let mut out = vec![0f32; n * size_out];
    times_transposed(&mut out, false, 1.0, &x, &floats(&w), [n, size_in, size_out]);
    let mut hidden = vec![0f32; n * r];
    let x = dropped(x, dropout);
    times_transposed(&mut hidden, false, 1.0, &x, &floats(&a), [n, size_in, r]);
    times_transposed(&mut out, true, scale, &hidden, &floats(&b), [n, r, size_out]);
    tensor(out, [n, size_out])
}

/// `dX [n, in]`.
pub fn backward_input(
    grad: FlexTensor,
    w: FlexTensor,
    a: FlexTensor,
    b: FlexTensor,
    scale: f32,
    dropout: Dropout,
) -> FlexTensor {
    let [n, size_out] = dims(&grad);
    let [r, size_in] = dims(&a);
    let grad = floats(&grad);
    let mut hidden = vec![0f32; n * r];
    times(&mut hidden, false, scale, &grad, &floats(&b), [n, r, size_out]);
    let mut out = vec![0f32; n * size_in];
    if !dropout.is_none() {
        times(&mut out, false, 1.0, &hidden, &floats(&a), [n, size_in, r]);
        drop_in_place(&mut out, dropout);
        times(&mut out, true, 1.0, &grad, &floats(&w), [n, size_in, size_out]);
    } else {
        times(&mut out, false, 1.0, &grad, &floats(&w), [n, size_in, size_out]);
        times(&mut out, true, 1.0, &hidden, &floats(&a), [n, size_in, r]);
    }
    tensor(out, [n, size_in])
}

/// `(dA [r, in], dB [out, r])`.
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
