//! Fast path of [`crate::portable::packed`], which unpacks a few rows of the weight at a time.

use std::borrow::Cow;

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::{
    dims, floats,
    gemm::{Threads, View, gemm},
    lora_linear::{add_low_rank, add_low_rank_backward},
    tensor,
};
use crate::{Dropout, PackedForm};

/// Number of rows that are unpacked at a time.
const ROWS: usize = 256;

fn words(tensor: &FlexTensor) -> Cow<'_, [i32]> {
    match tensor.as_slice::<i32>() {
        Some(words) => Cow::Borrowed(words),
        None => Cow::Owned(super::ints(tensor).into_iter().map(|word| word as i32).collect()),
    }
}

/// Returns byte `at` of the words.
fn byte(words: &[i32], at: usize) -> u8 {
    words[at / 4].to_le_bytes()[at % 4]
}

/// Calls `take` with the first row's index and the values of some rows, until all rows have been passed.
fn in_rows(words: &[i32], form: PackedForm, mut take: impl FnMut(usize, &[f32])) {
    let (size_in, row_bytes) = (form.size_in, form.row_bytes());
    let mut values = vec![0f32; ROWS.min(form.size_out) * size_in];
    for start in (0..form.size_out).step_by(ROWS) {
        let rows = ROWS.min(form.size_out - start);
        let values = &mut values[..rows * size_in];
        values.par_chunks_mut(size_in).enumerate().for_each(|(row, values)| {
            let from = (start + row) * row_bytes;
            let bytes: Vec<u8> = (from..from + row_bytes).map(|at| byte(words, at)).collect();
            form.kind.unpack(&bytes, values);
        });
        take(start, values);
    }
}

fn product(x: &[f32], w: &FlexTensor, form: PackedForm, n: usize) -> Vec<f32> {
    let PackedForm { size_out, size_in, .. } = form;
    let mut out = vec![0f32; n * size_out];
    let x = View::new(x, n, size_in, size_in);
    in_rows(&words(w), form, |start, rows| {
        let rows = View::new(rows, rows.len() / size_in, size_in, size_in).t();
        gemm(&mut out[start..], size_out, false, 1.0, x, rows, Threads::All);
    });
    out
}

fn product_back(grad: &[f32], w: &FlexTensor, form: PackedForm, n: usize) -> Vec<f32> {
    let PackedForm { size_out, size_in, .. } = form;
    let mut out = vec![0f32; n * size_in];
    in_rows(&words(w), form, |start, rows| {
        let count = rows.len() / size_in;
        let grad = View::new(&grad[start..], n, count, size_out);
        gemm(&mut out, size_in, start > 0, 1.0, grad, View::new(rows, count, size_in, size_in), Threads::All);
    });
    out
}

/// Fast path of [`crate::backend::KernelBackend::packed_linear`].
pub fn forward(x: FlexTensor, w: FlexTensor, form: PackedForm) -> FlexTensor {
    let [n, _] = dims(&x);
    tensor(product(&floats(&x), &w, form, n), [n, form.size_out])
}

/// Fast path of [`crate::backend::KernelBackend::packed_linear_backward_input`].
pub fn backward_input(grad: FlexTensor, w: FlexTensor, form: PackedForm) -> FlexTensor {
    let [n, _] = dims(&grad);
    tensor(product_back(&floats(&grad), &w, form, n), [n, form.size_in])
}

/// Fast path of [`crate::backend::KernelBackend::packed_lora_linear_from_hidden`].
pub fn from_hidden(
    x: FlexTensor,
    w: FlexTensor,
    form: PackedForm,
    hidden: FlexTensor,
    b: FlexTensor,
    scale: f32,
) -> FlexTensor {
    let [n, _] = dims(&x);
    let mut out = product(&floats(&x), &w, form, n);
    add_low_rank(&mut out, &hidden, &b, scale);
    tensor(out, [n, form.size_out])
}

/// Fast path of [`crate::backend::KernelBackend::packed_lora_linear_backward_input`].
pub fn lora_backward_input(
    grad: FlexTensor,
    w: FlexTensor,
    form: PackedForm,
    grad_hidden: FlexTensor,
    a: FlexTensor,
    scale: f32,
    dropout: Dropout,
) -> FlexTensor {
    let [n, _] = dims(&grad);
    let mut out = product_back(&floats(&grad), &w, form, n);
    add_low_rank_backward(&mut out, &grad_hidden, &a, scale, dropout);
    tensor(out, [n, form.size_in])
}
