//! Comparison of the WGSL kernels on a software Vulkan driver with the CPU's operations (which are compared with the portable bodies), with new
//! random inputs and odd shapes. Each operation must have been launched: a silent fallback to burn's operations fails.

#[allow(dead_code)]
mod common;

use burn::backend::{Dispatch, ops::FloatTensorOps as _};
use burn::tensor::{Device, DispatchTensor, FloatDType, Int, Tensor, TensorData};
use common::{Random, assert_close, host};
use lorelei_kernels::{AdamWStep, Dropout, PackedForm, PackedKind, backend::KernelBackend, concatenate, gpu};

/// Largest error, relative to the largest value: sums of a few hundred products in f32.
const TOLERANCE: f32 = 1e-5;

/// Largest error where operands and results are half floats.
const HALF_TOLERANCE: f32 = 1e-2;

fn float<const D: usize>(data: &TensorData, device: &Device) -> DispatchTensor {
    Tensor::<D>::from_data(data.clone(), device).into_dispatch()
}

fn int<const D: usize>(data: &TensorData, device: &Device) -> DispatchTensor {
    Tensor::<D, Int>::from_data(data.clone(), device).into_dispatch()
}

fn values<const D: usize>(tensor: DispatchTensor) -> Vec<f32> {
    host(Tensor::<D>::from_dispatch(tensor).into_data())
}

/// Runs `operation` on the GPU and on the CPU and compares all results.
fn same(what: &str, operation: impl Fn(&Device) -> Vec<Vec<f32>>) {
    same_within(TOLERANCE, what, operation);
}

fn same_within(tolerance: f32, what: &str, operation: impl Fn(&Device) -> Vec<Vec<f32>>) {
    let before = gpu::launches();
    let got = operation(&common::wgpu());
    assert!(gpu::launches() > before, "{what} launched no kernel");
    let want = operation(&Device::flex());
    for (index, (got, want)) in got.iter().zip(&want).enumerate() {
        assert_close(&format!("{what}.{index}"), got, want, tolerance);
    }
}

#[test]
fn linear_layers() {
    let mut random = Random::new("linear_layers");
    // The last two are large enough for the largest tiles, one in the forward and one in the backward pass.
    for (n, size_in, size_out) in
        [(1, 3, 5), (7, 33, 17), (129, 64, 96), (33, 130, 257), (1025, 6, 8190), (1020, 8192, 4)]
    {
        let (x, w) = (random.data([n, size_in]), random.data([size_out, size_in]));
        let g = random.data([n, size_out]);
        same(&format!("linear {n} {size_in} {size_out}"), |device| {
            let [x, w, g] = [&x, &w, &g].map(|data| float::<2>(data, device));
            vec![
                values::<2>(Dispatch::linear(x.clone(), w.clone())),
                values::<2>(Dispatch::linear_backward_input(g.clone(), w)),
                values::<2>(Dispatch::linear_backward_weight(g, x)),
            ]
        });
    }
}

/// Returns the gradients of an adapted layer's input, `A` and `B`, by the steps of its backward pass.
fn lora_backward([g, x, w, a, b]: [DispatchTensor; 5], dropout: Dropout) -> [DispatchTensor; 3] {
    let hidden = Dispatch::lora_hidden(x.clone(), a.clone(), dropout);
    let dh = Dispatch::lora_hidden_backward(g.clone(), b);
    let dx = Dispatch::lora_linear_backward_input(g.clone(), w, dh.clone(), a, 1.5, dropout);
    let (da, db) = Dispatch::lora_linear_backward_adapter(g, x, hidden, dh, 1.5, dropout);
    [dx, da, db]
}

#[test]
fn low_rank_adapters() {
    let mut random = Random::new("low_rank_adapters");
    for (n, size_in, size_out, r) in [
        (1, 3, 5, 1),
        (7, 33, 17, 2),
        (129, 64, 96, 8),
        (33, 130, 257, 16),
        (40, 96, 70, 33),
        (65, 64, 64, 64),
        (33, 300, 280, 256),
    ] {
        let (x, w) = (random.data([n, size_in]), random.data([size_out, size_in]));
        let (a, b) = (random.data([r, size_in]), random.data([size_out, r]));
        let g = random.data([n, size_out]);
        for dropout in [Dropout::NONE, Dropout { p: 0.4, seed: 0x1234_5678_9abc_def0 }] {
            same(&format!("lora {n} {size_in} {size_out} {r} {dropout:?}"), |device| {
                let [x, w, a, b, g] = [&x, &w, &a, &b, &g].map(|data| float::<2>(data, device));
                let y = Dispatch::lora_linear(x.clone(), w.clone(), a.clone(), b.clone(), 1.5, dropout);
                let [dx, da, db] = lora_backward([g, x, w, a, b], dropout);
                [y, dx, da, db].into_iter().map(values::<2>).collect()
            });
        }
    }
}

#[test]
fn vectors_in_a_row() {
    let mut random = Random::new("vectors_in_a_row");
    for sizes in
        [&[1][..], &[3, 1], &[5, 300, 1, 7, 64, 2, 9], &[2; 8], &[70_000, 1, 513, 3, 3, 3, 3, 11, 257, 1000]]
    {
        let parts: Vec<TensorData> = sizes.iter().map(|size| random.data([*size])).collect();
        let want: Vec<f32> = parts.iter().flat_map(|part| host(part.clone())).collect();
        same(&format!("concatenate {sizes:?}"), |device| {
            let parts = parts.iter().map(|part| Tensor::from_data(part.clone(), device)).collect();
            let joined = host(concatenate(parts).into_data());
            assert_eq!(joined, want);
            vec![joined]
        });
    }
}

#[test]
fn packed_weights() {
    let mut random = Random::new("packed_weights");
    for kind in [PackedKind::Q8_0, PackedKind::Q4_0, PackedKind::Q4_1] {
        // One row and one output are not tested at once: a single sum may cancel to nothing, and then its
        // rounding is not small beside it.
        for (n, size_in, size_out, r) in [(1, 32, 5, 1), (5, 32, 1, 1), (7, 64, 33, 3), (65, 160, 70, 8)] {
            let form = PackedForm::new(kind, size_out, size_in).unwrap();
            let words = TensorData::new(random.packed(form), [form.bytes().div_ceil(4)]);
            let (x, g) = (random.data([n, size_in]), random.data([n, size_out]));
            let (a, b) = (random.data([r, size_in]), random.data([size_out, r]));
            for dropout in [Dropout::NONE, Dropout { p: 0.4, seed: 7 }] {
                same(&format!("packed {kind:?} {n} {size_in} {size_out} {r} {dropout:?}"), |device| {
                    let [x, g, a, b] = [&x, &g, &a, &b].map(|data| float::<2>(data, device));
                    let words = int::<1>(&words, device);
                    let (a2, dh) = (a.clone(), Dispatch::lora_hidden_backward(g.clone(), b.clone()));
                    [
                        Dispatch::packed_linear(x.clone(), words.clone(), form),
                        Dispatch::packed_linear_backward_input(g.clone(), words.clone(), form),
                        Dispatch::packed_lora_linear(x, words.clone(), form, a, b, 1.5, dropout),
                        Dispatch::packed_lora_linear_backward_input(g, words, form, dh, a2, 1.5, dropout),
                    ]
                    .into_iter()
                    .map(values::<2>)
                    .collect()
                });
            }
        }
    }
}

#[test]
fn norms_rotations_and_gates() {
    let mut random = Random::new("norms_rotations_and_gates");
    for (n, size, eps) in [(1, 1, 0.5), (7, 33, 1e-5), (129, 576, 1e-5), (3, 1030, 1e-5)] {
        let (x, g, up) = (random.data([n, size]), random.data([n, size]), random.data([n, size]));
        let weight = random.data([size]);
        same(&format!("rms_norm {n} {size}"), |device| {
            let [x, g] = [&x, &g].map(|data| float::<2>(data, device));
            let weight = float::<1>(&weight, device);
            vec![
                values::<2>(Dispatch::rms_norm(x.clone(), weight.clone(), eps)),
                values::<2>(Dispatch::rms_norm_backward_input(g, x, weight, eps)),
            ]
        });
        same(&format!("swiglu {n} {size}"), |device| {
            let [x, g, up] = [&x, &g, &up].map(|data| float::<2>(data, device));
            let (gate, grad_up) = Dispatch::swiglu_backward(g, x.clone(), up.clone());
            [Dispatch::swiglu(x, up), gate, grad_up].into_iter().map(values::<2>).collect()
        });
    }
    for (batch, seq, heads, d) in [(1, 1, 1, 2), (2, 7, 3, 16), (1, 129, 9, 64), (3, 5, 2, 80)] {
        let x = random.data([batch, seq, heads, d]);
        let (cos, sin) = (random.data([batch, seq, d / 2]), random.data([batch, seq, d / 2]));
        for inverse in [false, true] {
            same(&format!("rope {seq} {d} {inverse}"), |device| {
                let [cos, sin] = [&cos, &sin].map(|data| float::<3>(data, device));
                vec![values::<4>(Dispatch::rope(float::<4>(&x, device), cos, sin, inverse))]
            });
        }
    }
}

#[test]
fn attention() {
    let mut random = Random::new("attention");
    for (batch, seq, heads, kv, d) in
        [(1, 1, 1, 1, 16), (2, 7, 4, 2, 32), (1, 129, 6, 2, 64), (2, 33, 3, 3, 80), (1, 40, 2, 1, 128)]
    {
        let q = random.data([batch, seq, heads, d]);
        let (k, v) = (random.data([batch, seq, kv, d]), random.data([batch, seq, kv, d]));
        let g = random.data([batch, seq, heads, d]);
        // Documents one after another, then padding.
        let cut = 1 + random.below(seq as u32) as usize;
        let segment = |i: usize| match i % seq {
            at if at < cut => 1,
            at if at < seq - seq / 5 => 2,
            _ => 0,
        };
        let segments = TensorData::new((0..batch * seq).map(segment).collect::<Vec<i32>>(), [batch, seq]);
        same(&format!("attention {batch} {seq} {heads} {kv} {d}"), |device| {
            let [q, k, v, g] = [&q, &k, &v, &g].map(|data| float::<4>(data, device));
            let segments = int::<2>(&segments, device);
            let out = Dispatch::attention(q.clone(), k.clone(), v.clone(), segments.clone(), 0.3);
            let (dq, dk, dv) = Dispatch::attention_backward(g, q, k, v, segments, 0.3);
            [out, dq, dk, dv].into_iter().map(values::<4>).collect()
        });
    }
}

#[test]
fn cross_entropy_and_adamw() {
    let mut random = Random::new("cross_entropy_and_adamw");
    for (n, h, vocab) in
        [(1, 3, 2), (7, 33, 101), (1030, 8, 40), (5, 16, 3001), (3, 16, 49152), (2, 8, 151_936)]
    {
        let (hidden, head) = (random.data([n, h]), random.data([vocab, h]));
        let targets = random.ints([n], vocab as u32);
        // The gradient sums one term for each token: over so many, single floats themselves have an error above 1e-5.
        let tolerance = if vocab > 10_000 { 3.0 * TOLERANCE } else { TOLERANCE };
        same_within(tolerance, &format!("cross_entropy {n} {h} {vocab}"), |device| {
            let (hidden, head) = (float::<2>(&hidden, device), float::<2>(&head, device));
            let targets = int::<1>(&targets, device);
            let alone = Dispatch::cross_entropy(hidden.clone(), head.clone(), targets.clone());
            let (loss, grad) = Dispatch::cross_entropy_with_grad(hidden, head, targets);
            vec![values::<1>(alone), values::<1>(loss), values::<2>(grad)]
        });
    }
    for n in [1, 77, 50_000] {
        let (theta, m, g) = (random.data([n]), random.data([n]), random.data([n]));
        let v = TensorData::new((0..n).map(|_| random.float().abs()).collect::<Vec<f32>>(), [n]);
        let plain = AdamWStep {
            lr: 1e-2,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.1,
            step: 3,
            unscale: 1.0,
            max_grad_norm: 0.0,
        };
        let clipped = AdamWStep { unscale: 1.0 / 1024.0, max_grad_norm: 0.5, ..plain };
        // The norm of the gradient before unscaling: clipped by it, or not; or the step is not taken.
        for (step, norm) in
            [(plain, 3.0), (clipped, 1e2), (clipped, 5e3), (clipped, f32::NAN), (plain, f32::INFINITY)]
        {
            let norm = TensorData::new(vec![norm], [1]);
            same(&format!("adamw {n} {norm:?}"), |device| {
                let [theta, m, v, g, norm] = [&theta, &m, &v, &g, &norm].map(|data| float::<1>(data, device));
                let (theta, m, v) = Dispatch::adamw(theta, m, v, g, norm, step);
                [theta, m, v].into_iter().map(values::<1>).collect()
            });
        }
    }
}

/// Like [`same`], but the GPU's operands are half floats where `operation` asks for it, and the CPU's are rounded likewise.
fn same_in_halves(
    what: &str,
    operation: impl Fn(&dyn Fn(DispatchTensor) -> DispatchTensor, &Device) -> Vec<Vec<f32>>,
) {
    let before = gpu::launches();
    let got = operation(&|tensor| Dispatch::float_cast(tensor, FloatDType::F16), &common::wgpu());
    assert!(gpu::launches() > before, "{what} launched no kernel");
    let round = |tensor| Dispatch::float_cast(Dispatch::float_cast(tensor, FloatDType::F16), FloatDType::F32);
    let want = operation(&round, &Device::flex());
    for (index, (got, want)) in got.iter().zip(&want).enumerate() {
        assert_close(&format!("{what} in halves.{index}"), got, want, HALF_TOLERANCE);
    }
}

#[test]
fn half_floats() {
    let mut random = Random::new("half_floats");
    let single = |tensor| Dispatch::float_cast(tensor, FloatDType::F32);
    for (n, size_in, size_out, r) in
        [(1, 3, 5, 1), (33, 130, 257, 16), (65, 64, 72, 40), (7, 36, 16, 4), (9, 264, 260, 256)]
    {
        let (x, w) = (random.data([n, size_in]), random.data([size_out, size_in]));
        let (a, b) = (random.data([r, size_in]), random.data([size_out, r]));
        let g = random.data([n, size_out]);
        let dropout = Dropout { p: 0.4, seed: 11 };
        same_in_halves(&format!("lora {n} {size_in} {size_out} {r}"), |half, device| {
            let [x, w, g] = [&x, &w, &g].map(|data| half(float::<2>(data, device)));
            let [a, b] = [&a, &b].map(|data| float::<2>(data, device));
            let plain = Dispatch::linear(x.clone(), w.clone());
            let back = Dispatch::linear_backward_input(g.clone(), w.clone());
            let y = Dispatch::lora_linear(x.clone(), w.clone(), a.clone(), b.clone(), 1.5, dropout);
            let [dx, da, db] = lora_backward([g, x, w, a, b], dropout);
            [plain, back, y, dx, da, db].into_iter().map(|tensor| values::<2>(single(tensor))).collect()
        });
    }
    for kind in [PackedKind::Q8_0, PackedKind::Q4_0, PackedKind::Q4_1] {
        let (n, size_in, size_out, r) = (37, 96, 70, 8);
        let form = PackedForm::new(kind, size_out, size_in).unwrap();
        let words = TensorData::new(random.packed(form), [form.bytes().div_ceil(4)]);
        let (x, g) = (random.data([n, size_in]), random.data([n, size_out]));
        let (a, b) = (random.data([r, size_in]), random.data([size_out, r]));
        same_in_halves(&format!("packed {kind:?}"), |half, device| {
            let [x, g] = [&x, &g].map(|data| half(float::<2>(data, device)));
            let [a, b] = [&a, &b].map(|data| float::<2>(data, device));
            let words = int::<1>(&words, device);
            let y = Dispatch::packed_lora_linear(
                x,
                words.clone(),
                form,
                a.clone(),
                b.clone(),
                1.5,
                Dropout::NONE,
            );
            let dh = Dispatch::lora_hidden_backward(g.clone(), b);
            let dx = Dispatch::packed_lora_linear_backward_input(g, words, form, dh, a, 1.5, Dropout::NONE);
            [y, dx].into_iter().map(|tensor| values::<2>(single(tensor))).collect()
        });
    }
    let (n, size) = (9, 130);
    let (x, g, weight) = (random.data([n, size]), random.data([n, size]), random.data([size]));
    same_in_halves("norm and gate", |half, device| {
        let [x, g] = [&x, &g].map(|data| float::<2>(data, device));
        let (hx, hg, weight) = (half(x.clone()), half(g.clone()), half(float::<1>(&weight, device)));
        // The residual stream is single; the input of a head's norm is not.
        let normed = Dispatch::rms_norm(x.clone(), weight.clone(), 1e-5);
        let of_half = Dispatch::rms_norm(hx.clone(), weight.clone(), 1e-5);
        let dx = Dispatch::rms_norm_backward_input(hg.clone(), x.clone(), weight.clone(), 1e-5);
        let last = Dispatch::rms_norm_backward_input(g, x, weight.clone(), 1e-5);
        let of_head = Dispatch::rms_norm_backward_input(hg.clone(), hx.clone(), weight, 1e-5);
        let gated = Dispatch::swiglu(hx.clone(), hg.clone());
        let (gate, up) = Dispatch::swiglu_backward(hg.clone(), hx, hg);
        [normed, of_half, dx, last, of_head, gated, gate, up]
            .into_iter()
            .map(|t| values::<2>(single(t)))
            .collect()
    });
    for (batch, seq, heads, kv, d) in
        [(1, 1, 1, 1, 16), (2, 33, 4, 2, 64), (1, 40, 2, 1, 80), (1, 7, 2, 1, 128)]
    {
        let (q, g) = (random.data([batch, seq, heads, d]), random.data([batch, seq, heads, d]));
        let (k, v) = (random.data([batch, seq, kv, d]), random.data([batch, seq, kv, d]));
        let (cos, sin) = (random.data([batch, seq, d / 2]), random.data([batch, seq, d / 2]));
        let segments = (0..batch * seq).map(|i| if i % seq < seq / 2 { 1 } else { 2 });
        let segments = TensorData::new(segments.collect::<Vec<i32>>(), [batch, seq]);
        same_in_halves(&format!("attention {batch} {seq} {heads} {kv} {d}"), |half, device| {
            let [q, k, v, g] = [&q, &k, &v, &g].map(|data| half(float::<4>(data, device)));
            let [cos, sin] = [&cos, &sin].map(|data| float::<3>(data, device));
            let segments = int::<2>(&segments, device);
            let turned = Dispatch::rope(q.clone(), cos, sin, false);
            let out = <Dispatch as KernelBackend>::attention(
                q.clone(),
                k.clone(),
                v.clone(),
                segments.clone(),
                0.3,
            );
            let (dq, dk, dv) = <Dispatch as KernelBackend>::attention_backward(g, q, k, v, segments, 0.3);
            [turned, out, dq, dk, dv].into_iter().map(|tensor| values::<4>(single(tensor))).collect()
        });
    }
    let (n, h, vocab) = (9, 36, 301);
    let (hidden, head) = (random.data([n, h]), random.data([vocab, h]));
    let targets = random.ints([n], vocab as u32);
    same_in_halves("cross_entropy", |half, device| {
        let [hidden, head] = [&hidden, &head].map(|data| half(float::<2>(data, device)));
        let (loss, grad) = Dispatch::cross_entropy_with_grad(hidden, head, int::<1>(&targets, device));
        vec![values::<1>(loss), values::<2>(grad)]
    });
}

#[test]
fn one_tensor_as_two_operands() {
    let mut random = Random::new("one_tensor_as_two_operands");
    let x = random.data([5, 48]);
    same("swiglu of itself", |device| {
        let x = float::<2>(&x, device);
        vec![values::<2>(Dispatch::swiglu(x.clone(), x.clone())), values::<2>(Dispatch::linear(x.clone(), x))]
    });
}

#[test]
fn large_logits_and_equal_ones() {
    // Logits of some hundred, as a confident model has them, and rows whose logits are all the same.
    let (n, h, vocab) = (4, 8, 300);
    let mut random = Random::new("large_logits");
    let mut hidden = host(random.data([n, h]));
    hidden.iter_mut().for_each(|value| *value *= 200.0);
    hidden[..h].fill(0.0);
    let hidden = TensorData::new(hidden, [n, h]);
    let (head, targets) = (random.data([vocab, h]), random.ints([n], vocab as u32));
    same("large logits", |device| {
        let (hidden, head) = (float::<2>(&hidden, device), float::<2>(&head, device));
        let (loss, grad) = Dispatch::cross_entropy_with_grad(hidden, head, int::<1>(&targets, device));
        vec![values::<1>(loss), values::<2>(grad)]
    });
}
