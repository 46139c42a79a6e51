//! Elementary functions and sums in a form that vectorises.

/// Lanes of the running sums: two AVX2 registers, one of AVX-512.
const LANES: usize = 16;

/// Computes `e^x` within 2 units in the last place; 0 below -87.3, infinity above 88.7, NaN for NaN.
///
/// Cody-Waite reduction to `|r| <= ln 2 / 2` and the degree-6 polynomial of Cephes' `expf`.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5·2²³ rounds to an integer, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let bounded = if x < -87.3 { -87.3 } else { x };
    let bounded = if bounded > 88.7 { 88.7 } else { bounded };
    let shifted = bounded * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = bounded - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    p = p * r * r + r + 1.0;
    // 2ⁿ in two halves, so that n = 128 does not overflow the exponent field.
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    let low = f32::from_bits(((half + 127) << 23) as u32);
    let high = f32::from_bits(((n - half + 127) << 23) as u32);
    let y = p * low * high;
    let y = if x < -87.3 { 0.0 } else { y };
    let y = if x > 88.7 { f32::INFINITY } else { y };
    if x.is_nan() { x } else { y }
}

/// Computes `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Computes `Σ f(i)` over `0..len` in [`LANES`] partial sums.
#[inline(always)]
fn sum_of(len: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let whole = len - len % LANES;
    let mut i = 0;
    while i < whole {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += f(i + lane);
        }
        i += LANES;
    }
    let mut total: f64 = lanes.iter().map(|sum| *sum as f64).sum();
    for i in whole..len {
        total += f(i) as f64;
    }
    total as f32
}

/// Computes `Σ x·y`.
#[inline(always)]
pub fn dot(x: &[f32], y: &[f32]) -> f32 {
    let (x, y) = (&x[..y.len()], y);
    sum_of(y.len(), |i| x[i] * y[i])
}

/// Computes `Σ x·y·z`.
#[inline(always)]
pub fn dot3(x: &[f32], y: &[f32], z: &[f32]) -> f32 {
    let (x, y) = (&x[..z.len()], &y[..z.len()]);
    sum_of(z.len(), |i| x[i] * y[i] * z[i])
}

/// Returns the largest element, or NaN if there is one.
#[inline(always)]
pub fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (largest, value) in lanes.iter_mut().zip(chunk) {
            // Written so that a NaN is taken as the largest and stays.
            *largest = if *value <= *largest || largest.is_nan() { *largest } else { *value };
        }
    }
    let mut largest = f32::NEG_INFINITY;
    for value in lanes.iter().chain(rest) {
        if value.is_nan() || *value > largest {
            largest = *value;
        }
        if largest.is_nan() {
            return largest;
        }
    }
    largest
}

/// Turns every element into `e^(x - shift)` and returns their sum.
#[inline(always)]
pub fn exp_sum(values: &mut [f32], shift: f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (chunks, rest) = values.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for (sum, value) in lanes.iter_mut().zip(chunk.iter_mut()) {
            *value = exp(*value - shift);
            *sum += *value;
        }
    }
    let mut total: f64 = lanes.iter().map(|sum| *sum as f64).sum();
    for value in rest {
        *value = exp(*value - shift);
        total += *value as f64;
    }
    total as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_everywhere_and_keeps_nan() {
        let mut worst = 0f64;
        for i in -87_000..88_000 {
            let x = i as f32 * 1e-3;
            let (got, want) = (exp(x) as f64, (x as f64).exp());
            worst = worst.max((got / want - 1.0).abs());
        }
        assert!(worst < 3e-7, "relative error {worst:e}");
        assert_eq!((exp(-1e30), exp(-100.0), exp(100.0), exp(0.0)), (0.0, 0.0, f32::INFINITY, 1.0));
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
    }

    #[test]
    fn max_finds_a_nan() {
        let mut values = vec![0f32; 50];
        values[20] = 3.0;
        assert_eq!(max(&values), 3.0);
        for at in [0, 20, 31, 49] {
            let mut poisoned = values.clone();
            poisoned[at] = f32::NAN;
            assert!(max(&poisoned).is_nan(), "missed a NaN at {at}");
        }
    }
}
