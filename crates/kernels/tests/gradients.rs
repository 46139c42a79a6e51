//! Values and gradients through autodiff: wgpu is compared with the CPU, and both with finite differences.

#[allow(dead_code)]
mod common;

use burn::tensor::{Device, Int, Tensor, TensorData};
use common::{Random, assert_close, float, host, int};
use lorelei_kernels::{self as kernels, Dropout};

/// Function from flat inputs to a number.
type Run<'a> = Box<dyn Fn(&[Tensor<1>], &Device) -> Tensor<1> + 'a>;

/// An operation over float inputs whose output is reduced to a number by fixed weights.
struct Case<'a> {
    name: &'a str,
    inputs: Vec<TensorData>,
    run: Run<'a>,
}

fn flat(data: &TensorData, device: &Device) -> Tensor<1> {
    let count = data.num_elements();
    Tensor::<1>::from_data(TensorData::new(data.try_to_vec::<f32>().unwrap(), [count]), device)
}

impl Case<'_> {
    fn value(&self, inputs: &[TensorData], device: &Device) -> f64 {
        let inputs: Vec<_> = inputs.iter().map(|i| flat(i, device)).collect();
        (self.run)(&inputs, device).into_scalar::<f32>() as f64
    }

    fn gradients(&self, device: &Device) -> (f64, Vec<Vec<f32>>) {
        let device = device.clone().autodiff();
        let inputs: Vec<_> = self.inputs.iter().map(|i| flat(i, &device).require_grad()).collect();
        let loss = (self.run)(&inputs, &device);
        let grads = loss.backward();
        let gradients = inputs.iter().map(|i| host(i.grad(&grads).expect(self.name).into_data())).collect();
        (loss.into_scalar::<f32>() as f64, gradients)
    }

    fn check(&self, random: &mut Random, wgpu: &Device) {
        let flex = Device::flex();
        let (value, gradients) = self.gradients(&flex);
        let (on_wgpu, wgpu_gradients) = self.gradients(wgpu);
        let drift = (value - on_wgpu).abs() / value.abs().max(1.0);
        assert!(drift < 1e-4, "{}: {value} on the CPU, {on_wgpu} on wgpu", self.name);
        for (i, (cpu, gpu)) in gradients.iter().zip(&wgpu_gradients).enumerate() {
            assert_close(&format!("{} gradient {i}", self.name), gpu, cpu, 1e-4);
        }
        // Along a random direction of each input: (f(x + hd) - f(x - hd)) / 2h.
        for (i, gradient) in gradients.iter().enumerate() {
            let direction: Vec<f32> = gradient.iter().map(|_| random.float()).collect();
            let step = 2e-3f32;
            let moved = |sign: f32| {
                let mut inputs = self.inputs.clone();
                let values = inputs[i].try_to_vec::<f32>().unwrap();
                let values: Vec<f32> =
                    values.iter().zip(&direction).map(|(v, d)| v + sign * step * d).collect();
                inputs[i] = TensorData::new(values, inputs[i].shape());
                self.value(&inputs, &flex)
            };
            let numeric = (moved(1.0) - moved(-1.0)) / (2.0 * step as f64);
            let analytic: f64 = gradient.iter().zip(&direction).map(|(g, d)| *g as f64 * *d as f64).sum();
            let norm = gradient.iter().map(|g| (*g as f64).powi(2)).sum::<f64>().sqrt();
            let off = (numeric - analytic).abs() / norm.max(1e-3);
            assert!(off < 2e-2, "{} gradient {i}: {analytic} by hand, {numeric} by differences", self.name);
        }
    }
}

fn weighted(y: Tensor<2>, device: &Device) -> Tensor<1> {
    let [n, m] = y.dims();
    let weights: Vec<f32> = (0..n * m).map(|i| ((i * 37 % 101) as f32 / 50.0) - 1.0).collect();
    (y * Tensor::<2>::from_data(TensorData::new(weights, [n, m]), device)).sum()
}

#[test]
fn every_operation() {
    let wgpu = common::wgpu();
    let mut random = Random::new("every_operation");
    let (n, h, f, r) = (7, 16, 33, 3);
    let mut cases = Vec::new();
    for dropout in [Dropout::NONE, Dropout { p: 0.3, seed: 5 }] {
        let w = random.data([f, h]);
        cases.push(Case {
            name: "lora_linear",
            inputs: vec![random.data([n, h]), random.data([r, h]), random.data([f, r])],
            run: Box::new(move |i, device| {
                let w = float::<2>(&w, device);
                let (x, a, b) = (i[0].clone().reshape([n, h]), i[1].clone().reshape([r, h]), i[2].clone());
                weighted(kernels::lora_linear(x, w, a, b.reshape([f, r]), 2.0, dropout), device)
            }),
        });
    }
    cases.push(Case {
        name: "linear",
        inputs: vec![random.data([n, h]), random.data([f, h])],
        run: Box::new(move |i, device| {
            weighted(kernels::linear(i[0].clone().reshape([n, h]), i[1].clone().reshape([f, h])), device)
        }),
    });
    cases.push(Case {
        name: "rms_norm",
        inputs: vec![random.data([n, h]), random.data([h])],
        run: Box::new(move |i, device| {
            weighted(kernels::rms_norm(i[0].clone().reshape([n, h]), i[1].clone(), 1e-5), device)
        }),
    });
    cases.push(Case {
        name: "swiglu",
        inputs: vec![random.data([n, f]), random.data([n, f])],
        run: Box::new(move |i, device| {
            weighted(kernels::swiglu(i[0].clone().reshape([n, f]), i[1].clone().reshape([n, f])), device)
        }),
    });
    let (batch, seq, heads, kv, d) = (2, 9, 4, 2, 8);
    let segments: Vec<i32> = (0..batch * seq).map(|i| if i % seq < 4 { 1 } else { 2 }).collect();
    let segments = TensorData::new(segments, [batch, seq]);
    let (cos, sin) = (random.data([batch, seq, d / 2]), random.data([batch, seq, d / 2]));
    cases.push(Case {
        name: "rope",
        inputs: vec![random.data([batch, seq, heads, d])],
        run: Box::new(move |i, device| {
            let x = i[0].clone().reshape([batch, seq, heads, d]);
            let y = kernels::rope(x, float::<3>(&cos, device), float::<3>(&sin, device));
            weighted(y.reshape([batch * seq, heads * d]), device)
        }),
    });
    cases.push(Case {
        name: "attention",
        inputs: vec![
            random.data([batch, seq, heads, d]),
            random.data([batch, seq, kv, d]),
            random.data([batch, seq, kv, d]),
        ],
        run: Box::new(move |i, device| {
            let q = i[0].clone().reshape([batch, seq, heads, d]);
            let k = i[1].clone().reshape([batch, seq, kv, d]);
            let v = i[2].clone().reshape([batch, seq, kv, d]);
            let segments: Tensor<2, Int> = int(&segments, device);
            let y = kernels::attention(q, k, v, segments, 0.7);
            weighted(y.reshape([batch * seq, heads * d]), device)
        }),
    });
    let targets = random.ints([n], f as u32);
    cases.push(Case {
        name: "cross_entropy",
        inputs: vec![random.data([n, h]), random.data([f, h])],
        run: Box::new(move |i, device| {
            let (hidden, head) = (i[0].clone().reshape([n, h]), i[1].clone().reshape([f, h]));
            kernels::cross_entropy(hidden, head, int(&targets, device)) * 0.25
        }),
    });
    for case in &cases {
        case.check(&mut random, &wgpu);
    }
}

#[test]
fn a_nan_comes_out_as_one() {
    for device in [Device::flex(), common::wgpu()] {
        let mut x = vec![0.5f32; 6];
        x[4] = f32::NAN;
        let x = || Tensor::<2>::from_data(TensorData::new(x.clone(), [2, 3]), &device);
        let ones = || Tensor::<2>::ones([4, 3], &device);
        let outputs = [
            ("linear", host(kernels::linear(x(), ones()).into_data())),
            ("rms_norm", host(kernels::rms_norm(x(), Tensor::ones([3], &device), 1e-5).into_data())),
            ("swiglu", host(kernels::swiglu(x(), x()).into_data())),
            (
                "cross_entropy",
                host(kernels::cross_entropy(x(), ones(), Tensor::from_ints([0, 1], &device)).into_data()),
            ),
        ];
        for (name, values) in outputs {
            assert!(values.iter().any(|v| v.is_nan()), "{name} lost a NaN on {device:?}: {values:?}");
        }
    }
}
