//! Linear layers whose frozen weight is packed: it is unpacked for one product and freed afterwards.

use burn::backend::{
    Backend, TensorMetadata,
    tensor::{FloatTensor, IntTensor},
};
use burn::tensor::{FloatDType, IntDType, Slice, TensorData};

use super::{cast, kind, narrow, reshape, single};
use crate::{Dropout, PackedForm, PackedKind, packed::BLOCK};

/// Decodes bytes `at` and `at + 1` of every block as a half float: `bytes [blocks, block_bytes]` to `[blocks, 1]`.
fn half<B: Backend>(bytes: &FloatTensor<B>, at: usize) -> FloatTensor<B> {
    let byte = |at: usize| narrow::<B>(bytes.clone(), 1, at, 1);
    let (low, high) = (byte(at), byte(at + 1));
    let floor = |value: FloatTensor<B>, divisor: f32| {
        B::float_floor(B::float_mul_scalar(value, (1.0 / divisor).into()))
    };
    let minus = |a: FloatTensor<B>, b: FloatTensor<B>, factor: f32| {
        B::float_sub(a, B::float_mul_scalar(b, factor.into()))
    };
    let sign = floor(high.clone(), 128.0);
    let rest = minus(high, sign.clone(), 128.0);
    let exponent = floor(rest.clone(), 4.0);
    let top = minus(rest, exponent.clone(), 4.0);
    let mantissa = B::float_add(low, B::float_mul_scalar(top, 256f32.into()));
    // 2^(e-25), a subnormal's at 0, read from a table: an exponential would round.
    let device = bytes.device();
    let scales: Vec<f32> = (0..32i32).map(|e| 2f32.powi(e.max(1) - 25)).collect();
    let ones: Vec<f32> = (0..32).map(|e| if e == 0 { 0.0 } else { 1024.0 }).collect();
    let index = B::float_into_int(reshape::<B>(exponent, &[bytes.shape()[0]]), IntDType::I32);
    let pick = |table: Vec<f32>| {
        let table = B::float_from_data(TensorData::new(table, [32]), &device);
        reshape::<B>(B::float_select(table, 0, index.clone()), &[bytes.shape()[0], 1])
    };
    let value = B::float_mul(B::float_add(mantissa, pick(ones)), pick(scales));
    let factor = B::float_add_scalar(B::float_mul_scalar(sign, (-2f32).into()), 1f32.into());
    B::float_mul(value, factor)
}

/// Unpacks the dense matrix, `[size_out, size_in]`.
pub fn unpack<B: Backend>(words: IntTensor<B>, form: PackedForm) -> FloatTensor<B> {
    let block_bytes = form.kind.block_bytes();
    let blocks = form.bytes() / block_bytes;
    let count = words.shape()[0];
    let byte = |shift: i32| {
        let shifted = B::bitwise_right_shift_scalar(words.clone(), shift.into());
        B::int_reshape(B::bitwise_and_scalar(shifted, 255.into()), [count, 1].into())
    };
    let bytes = B::int_cat((0..4).map(|at| byte(8 * at)).collect(), 1);
    let bytes = B::int_reshape(bytes, [count * 4].into());
    let whole: Slice = (0..form.bytes()).into();
    let bytes = B::int_into_float(B::int_slice(bytes, &[whole]), FloatDType::F32);
    let bytes = reshape::<B>(bytes, &[blocks, block_bytes]);
    let d = half::<B>(&bytes, 0);
    let nibbles = |from: usize| {
        let pairs = narrow::<B>(bytes.clone(), 1, from, BLOCK / 2);
        let high = B::float_floor(B::float_mul_scalar(pairs.clone(), (1.0f32 / 16.0).into()));
        let low = B::float_sub(pairs, B::float_mul_scalar(high.clone(), 16f32.into()));
        B::float_cat(vec![low, high], 1)
    };
    let values = match form.kind {
        PackedKind::Q8_0 => {
            let q = narrow::<B>(bytes, 1, 2, BLOCK);
            // Bytes of 128 and more are negative.
            let wraps = B::float_floor(B::float_mul_scalar(q.clone(), (1.0f32 / 128.0).into()));
            B::float_mul(B::float_sub(q, B::float_mul_scalar(wraps, 256f32.into())), d)
        }
        PackedKind::Q4_0 => B::float_mul(B::float_sub_scalar(nibbles(2), 8f32.into()), d),
        PackedKind::Q4_1 => B::float_add(B::float_mul(nibbles(4), d), half::<B>(&bytes, 2)),
    };
    reshape::<B>(values, &[form.size_out, form.size_in])
}

/// Applies `operation` to `x` in single floats and converts the result to the type of `x`.
fn like<B: Backend>(
    x: FloatTensor<B>,
    operation: impl FnOnce(FloatTensor<B>) -> FloatTensor<B>,
) -> FloatTensor<B> {
    let kind = kind::<B>(&x);
    cast::<B>(operation(single::<B>(x)), kind)
}

/// Computes the linear layer: `x [n, in]` to `[n, out]`.
pub fn forward<B: Backend>(x: FloatTensor<B>, words: IntTensor<B>, form: PackedForm) -> FloatTensor<B> {
    like::<B>(x, |x| super::linear::forward::<B>(x, unpack::<B>(words, form)))
}

/// Computes the gradient of its input: `grad [n, out]` to `[n, in]`.
pub fn backward_input<B: Backend>(
    grad: FloatTensor<B>,
    words: IntTensor<B>,
    form: PackedForm,
) -> FloatTensor<B> {
    like::<B>(grad, |grad| super::linear::backward_input::<B>(grad, unpack::<B>(words, form)))
}

/// Like [`super::lora_linear::from_hidden`], with a packed weight.
pub fn from_hidden<B: Backend>(
    x: FloatTensor<B>,
    words: IntTensor<B>,
    form: PackedForm,
    hidden: FloatTensor<B>,
    b: FloatTensor<B>,
    scale: f32,
) -> FloatTensor<B> {
    like::<B>(x, |x| super::lora_linear::from_hidden::<B>(x, unpack::<B>(words, form), hidden, b, scale))
}

/// Like [`super::lora_linear::backward_input`], with a packed weight.
pub fn lora_backward_input<B: Backend>(
    grad: FloatTensor<B>,
    words: IntTensor<B>,
    form: PackedForm,
    grad_hidden: FloatTensor<B>,
    a: FloatTensor<B>,
    scale: f32,
    dropout: Dropout,
) -> FloatTensor<B> {
    like::<B>(grad, |grad| {
        let w = unpack::<B>(words, form);
        super::lora_linear::backward_input::<B>(grad, w, grad_hidden, a, scale, dropout)
    })
}
