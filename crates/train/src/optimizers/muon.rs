//! Muon, for matrices.

use burn::tensor::Tensor;

use super::{Flat, Span, Step, UpdateRule};

/// Decay of the momentum.
const MOMENTUM: f64 = 0.95;
/// Coefficients of the quintic iteration.
const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];
/// Number of iterations.
const STEPS: usize = 5;
/// The smallest norm that a matrix is divided by.
const EPSILON: f64 = 1e-7;

/// `torch.optim.Muon` with its defaults (Jordan et al., 2024): Nesterov momentum orthogonalized by Newton-Schulz, decoupled weight decay, the
/// learning rate times `sqrt(max(1, rows / columns))`. It iterates in float32, whereas torch iterates in bfloat16.
#[derive(Debug)]
pub(super) struct Muon;

impl UpdateRule for Muon {
    fn update(&self, step: &Step, spans: &[Span], group: Flat, grad: Tensor<1>) -> Flat {
        let [momentum] = group.states.try_into().expect("Muon keeps one tensor");
        let grad = step.clipped(grad);
        let momentum = momentum * MOMENTUM + grad.clone() * (1.0 - MOMENTUM);
        let nesterov = grad * (1.0 - MOMENTUM) + momentum.clone() * MOMENTUM;
        let changes = spans.iter().map(|span| {
            let part = nesterov.clone().narrow(0, span.elements.start, span.elements.len());
            let [rows, columns] = matrix(&span.shape);
            let factor = (rows as f64 / columns as f64).max(1.0).sqrt();
            orthogonal(part.reshape([rows, columns])).reshape([rows * columns]) * factor
        });
        let changes = Tensor::cat(changes.collect(), 0);
        Flat { theta: step.decayed(group.theta) - changes * step.learning_rate, states: vec![momentum] }
    }
}

/// Returns the rows and columns of a shape. A shape that is not a matrix's becomes one row.
fn matrix(shape: &[usize]) -> [usize; 2] {
    match shape {
        [rows, columns] => [*rows, *columns],
        shape => [1, shape.iter().product()],
    }
}

/// Returns a matrix with the singular vectors of `x` whose singular values are all near 1.
fn orthogonal(x: Tensor<2>) -> Tensor<2> {
    let [rows, columns] = x.dims();
    let is_tall = rows > columns;
    // The Gram matrix of the smaller side is cheaper.
    let x = if is_tall { x.transpose() } else { x };
    let norm = (x.clone() * x.clone()).sum().sqrt().clamp_min(EPSILON);
    let mut x = x / norm.reshape([1, 1]);
    let [a, b, c] = COEFFICIENTS;
    for _ in 0..STEPS {
        let gram = x.clone().matmul(x.clone().transpose());
        let polynomial = gram.clone() * b + gram.clone().matmul(gram) * c;
        x = x.clone() * a + polynomial.matmul(x);
    }
    if is_tall { x.transpose() } else { x }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    /// The same iteration in float64, on rows.
    fn reference(mut x: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        let product = |left: &[Vec<f64>], right: &[Vec<f64>]| -> Vec<Vec<f64>> {
            let cell = |row: &Vec<f64>, at: usize| row.iter().zip(right).map(|(v, r)| v * r[at]).sum();
            left.iter().map(|row| (0..right[0].len()).map(|at| cell(row, at)).collect()).collect()
        };
        let turned = |x: &[Vec<f64>]| -> Vec<Vec<f64>> {
            (0..x[0].len()).map(|at| x.iter().map(|row| row[at]).collect()).collect()
        };
        let is_tall = x.len() > x[0].len();
        if is_tall {
            x = turned(&x);
        }
        let norm = x.iter().flatten().map(|value| value * value).sum::<f64>().sqrt().max(1e-7);
        x.iter_mut().flatten().for_each(|value| *value /= norm);
        for _ in 0..5 {
            let gram = product(&x, &turned(&x));
            let square = product(&gram, &gram);
            let size = gram.len();
            let polynomial: Vec<Vec<f64>> = (0..size)
                .map(|i| (0..size).map(|j| -4.7750 * gram[i][j] + 2.0315 * square[i][j]).collect())
                .collect();
            let moved = product(&polynomial, &x);
            for (row, moved) in x.iter_mut().zip(moved) {
                row.iter_mut().zip(moved).for_each(|(value, moved)| *value = 3.4445 * *value + moved);
            }
        }
        if is_tall { turned(&x) } else { x }
    }

    #[test]
    fn newton_schulz_is_that_of_float64() {
        let mut state = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |time| time.as_nanos() as u64 | 1);
        println!("seed {state}");
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f64 / f64::from(1 << 24) - 0.5
        };
        for [rows, columns] in [[1, 7], [4, 9], [9, 4], [6, 6]] {
            let x: Vec<Vec<f64>> = (0..rows).map(|_| (0..columns).map(|_| draw()).collect()).collect();
            let flat: Vec<f32> = x.iter().flatten().map(|value| *value as f32).collect();
            let given = Tensor::<2>::from_data(TensorData::new(flat, [rows, columns]), &Device::flex());
            let got = orthogonal(given).into_data().try_into_vec::<f32>().unwrap();
            for (got, want) in got.iter().zip(reference(x).iter().flatten()) {
                assert!((f64::from(*got) - want).abs() < 1e-4, "{rows} x {columns}: {got} is not {want}");
            }
        }
        let zeros = orthogonal(Tensor::zeros([3, 2], &Device::flex())).into_data().try_into_vec::<f32>();
        assert_eq!(zeros.unwrap(), [0.0; 6]);
    }
}
