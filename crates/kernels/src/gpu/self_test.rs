//! Self-test of the kernels on a device: drivers have faults, and a browser only logs a shader that it rejects.

use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};

use super::{KernelPolicy, kernel_policy, launches, set_kernel_policy};
use crate::{Dropout, ops};

/// Largest error, relative to the largest value.
const TOLERANCE: f64 = 1e-4;

/// Largest error for half floats, relative to the largest value: bfloat16 has eight bits.
const HALF_TOLERANCE: f64 = 2e-2;

/// Generates numbers between -1 and 1 without a pattern that a wrong index would preserve.
fn numbers(count: usize, salt: u32) -> Vec<f32> {
    let number = |i: usize| {
        let mixed = (i as u32 + 1).wrapping_mul(2_654_435_761).wrapping_add(salt.wrapping_mul(40_503));
        ((mixed ^ (mixed >> 15)) % 2001) as f32 / 1000.0 - 1.0
    };
    (0..count).map(number).collect()
}

fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

async fn differs<const D: usize>(got: Tensor<D>, want: &[f64], tolerance: f64) -> Result<bool, String> {
    let got = got.into_data_async().await.map_err(|error| format!("{error:?}"))?;
    let got = got.try_into_vec::<f32>().map_err(|error| format!("{error:?}"))?;
    let scale = want.iter().fold(0f64, |max, value| max.max(value.abs()));
    let right = |(got, want): (&f32, &f64)| (*got as f64 - want).abs() <= tolerance * scale;
    Ok(got.len() != want.len() || !got.iter().zip(want).all(right))
}

/// Computes `x·Wᵀ` on the host: `x [n, k]`, `w [m, k]`.
fn product(x: &[f64], w: &[f64], k: usize) -> Vec<f64> {
    let dot = |(x, w): (&[f64], &[f64])| x.iter().zip(w).map(|(a, b)| a * b).sum::<f64>();
    x.chunks(k).flat_map(|x| w.chunks(k).map(move |w| dot((x, w)))).collect()
}

fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

async fn lora_linear_is_wrong(device: &Device, dtype: FloatDType, tolerance: f64) -> Result<bool, String> {
    let (n, size_in, size_out, r) = (5, 20, 7, 3);
    let [x, w, a, b] = [(n * size_in, 1), (size_out * size_in, 2), (r * size_in, 3), (size_out * r, 4)]
        .map(|(count, salt)| numbers(count, salt));
    let y = ops::lora_linear(
        tensor(&x, [n, size_in], device).cast(dtype),
        tensor(&w, [size_out, size_in], device).cast(dtype),
        tensor(&a, [r, size_in], device),
        tensor(&b, [size_out, r], device),
        0.5,
        Dropout::NONE,
    );
    let [x, w, a, b] = [x, w, a, b].map(|values| widened(&values));
    let low = product(&product(&x, &a, size_in), &b, r);
    let want: Vec<f64> =
        product(&x, &w, size_in).iter().zip(low).map(|(base, low)| base + 0.5 * low).collect();
    differs(y.cast(FloatDType::F32), &want, tolerance).await
}

async fn attention_is_wrong(device: &Device) -> Result<bool, String> {
    let (seq, d) = (18, 16);
    let [q, k, v] = [5, 6, 7].map(|salt| numbers(seq * d, salt));
    let shape = [1, seq, 1, d];
    let segments = Tensor::<2, Int>::from_data(TensorData::new(vec![1i32; seq], [1, seq]), device);
    let out = ops::attention(
        tensor(&q, shape, device),
        tensor(&k, shape, device),
        tensor(&v, shape, device),
        segments,
        0.25,
    );
    let [q, k, v] = [q, k, v].map(|values| widened(&values));
    let scores = product(&q, &k, d);
    let mut want = Vec::new();
    for query in 0..seq {
        let weights: Vec<f64> = (0..=query).map(|key| (0.25 * scores[query * seq + key]).exp()).collect();
        let sum: f64 = weights.iter().sum();
        want.extend((0..d).map(|c| {
            weights.iter().enumerate().map(|(key, weight)| weight * v[key * d + c]).sum::<f64>() / sum
        }));
    }
    differs(out, &want, TOLERANCE).await
}

/// Whether an adapted layer whose weight and input are half floats of kind `dtype` gives the right numbers on a device that reports support for them.
pub async fn halves_are_right(device: &Device, dtype: FloatDType) -> bool {
    matches!(lora_linear_is_wrong(device, dtype, HALF_TOLERANCE).await, Ok(false))
}

/// Decides, before the first tensor of a run, which kernels a device gets. A driver that computes in software gets burn's operations: it pays for
/// barriers and workgroup memory, which cost a GPU nothing (`docs/benchmarks.md`). On other devices the kernels' results are compared with numbers
/// computed on the host. If they are wrong or the kernels fail, this process uses burn's operations from now on, and the returned text gives the
/// reason.
pub async fn set_up(device: &Device, is_software: bool) -> Option<String> {
    match kernel_policy() {
        KernelPolicy::Composed => return None,
        KernelPolicy::Auto if is_software => {
            set_kernel_policy(KernelPolicy::Composed);
            return None;
        }
        _ => {}
    }
    let before = launches();
    let faults = [
        ("lora_linear", lora_linear_is_wrong(device, FloatDType::F32, TOLERANCE).await),
        ("attention", attention_is_wrong(device).await),
    ];
    if launches() == before {
        // Another runtime: none of this project's kernels run there.
        return None;
    }
    let fault = faults.into_iter().find_map(|(name, found)| match found {
        Ok(false) => None,
        Ok(true) => Some(format!("{name} gives wrong numbers")),
        Err(error) => Some(format!("{name} failed: {error}")),
    })?;
    set_kernel_policy(KernelPolicy::Composed);
    Some(format!(
        "this GPU's driver does not run Lorelei's kernels right ({fault}): training goes on with slower ones"
    ))
}
