//! Adapters initialised with a part of the base weight, which is subtracted from it: PiSSA (Meng et al., 2024) and OLoRA (Büyükakyüz, 2024).

use burn::{
    linalg::svd,
    tensor::{Device, Tensor, TensorData},
};
use lorelei_recipe::{InitLoraWeights, LoraConfig, message};

use crate::{Adapter, Model, ModelError, init::Draw, modules::ModuleMut, precision::to_f32};

/// Largest number of sweeps for a singular value; a few are enough.
const SWEEPS: usize = 100;

/// Matrices `B [out, r]` and `A [r, in]`, row by row.
type Factors = (Vec<f32>, Vec<f32>);

impl Model {
    /// Initialises the adapters of [`Model::inject_lora`] from the base weights if `config` asks for it; else it does nothing. The output of the
    /// model does not change.
    ///
    /// # Errors
    ///
    /// If the device cannot be read, or a weight is not finite.
    pub async fn begin_from_weights(&mut self, config: &LoraConfig, seed: u64) -> Result<(), ModelError> {
        if !config.init_lora_weights.changes_the_base() {
            return Ok(());
        }
        let modules = self.modules.clone();
        for module in &*modules {
            let adapted = self.linear(module).filter(|linear| linear.adapter.is_some());
            let Some(weight) = adapted.map(|linear| to_f32(linear.weight.dense())) else { continue };
            let (a, b) = self.factors(&module.path, weight, config, seed).await?;
            if let Some(ModuleMut::Linear(linear)) = self.module_mut(module)
                && let Some(lora) = linear.adapter.as_mut().and_then(Adapter::as_lora_mut)
            {
                lora.begin_as(a, b, &mut linear.weight);
            }
        }
        Ok(())
    }

    /// Computes the `A [r, in]` and `B [out, r]` that the adapter at `path` takes from its `weight [out, in]`.
    async fn factors(
        &self,
        path: &str,
        weight: Tensor<2>,
        config: &LoraConfig,
        seed: u64,
    ) -> Result<(Tensor<2>, Tensor<2>), ModelError> {
        let [size_out, size_in] = weight.dims();
        let (r, scale) = (config.rank(path), config.scaling(path) as f32);
        if r > size_out.min(size_in) {
            return Err(ModelError::Unsupported(format!(
                "r = {r} is above the {} singular values of {path}; lower it, or name it in rank_pattern",
                size_out.min(size_in)
            )));
        }
        let values = weight.into_data_async().await;
        let values = values.map_err(|error| ModelError::device(message!("reading weights"), error))?;
        let values: Vec<f32> = values.iter::<f32>().collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Err(ModelError::Unsupported(format!(
                "{path} has weights that are not finite: the checkpoint is broken; fetch it again"
            )));
        }
        let (b, a) = match config.init_lora_weights {
            InitLoraWeights::Olora => orthonormal(&values, size_in, r),
            InitLoraWeights::Pissa(rounds) => {
                let draw = Draw::new(seed, &format!("{path}.pissa"));
                principal(values, [size_out, size_in], r, rounds, scale, draw)
            }
            InitLoraWeights::Bool(_) | InitLoraWeights::Gaussian => {
                return Err(ModelError::Input(format!(
                    "the adapter of {path} takes nothing from its weight"
                )));
            }
        };
        let a = Tensor::from_data(TensorData::new(a, [r, size_in]), &self.device);
        Ok((a, Tensor::from_data(TensorData::new(b, [size_out, r]), &self.device)))
    }

    /// Returns the initial `(A [r, in], B [out, r])` that the adapters took from the base weights, by module.
    pub fn beginnings(&self) -> impl Iterator<Item = (&str, &(Tensor<2>, Tensor<2>))> {
        self.linears().filter_map(|(path, linear)| {
            Some((path, linear.adapter.as_ref()?.as_lora()?.beginning.as_ref()?))
        })
    }
}

/// Returns factors of the `r` largest singular values, each with a square root of them, so that `s·B·A` is that part of `weight`. They are computed
/// exactly, or by `rounds` rounds of subspace iteration (Halko et al., 2011, algorithm 5.1 over 4.4), as in `torch.svd_lowrank`.
fn principal(
    weight: Vec<f32>,
    [size_out, size_in]: [usize; 2],
    r: usize,
    rounds: Option<u32>,
    scale: f32,
    mut draw: Draw,
) -> Factors {
    let host = Device::flex();
    let of = |values: Vec<f32>, shape: [usize; 2]| -> Tensor<2> {
        Tensor::from_data(TensorData::new(values, shape), &host)
    };
    let weight = of(weight, [size_out, size_in]);
    let (u, s, vt) = match rounds {
        None => svd::<2, 1>(weight, SWEEPS),
        Some(rounds) => {
            let basis = |matrix: Tensor<2>| {
                let [rows, columns] = matrix.dims();
                of(householder(&values(matrix), rows, columns).0, [rows, columns])
            };
            let random = (0..size_in * r).map(|_| draw.normal(1.0)).collect();
            let mut q = basis(weight.clone().matmul(of(random, [size_in, r])));
            for _ in 0..rounds {
                q = basis(weight.clone().transpose().matmul(q));
                q = basis(weight.clone().matmul(q));
            }
            let (u, s, vt) = svd::<2, 1>(q.clone().transpose().matmul(weight), SWEEPS);
            (q.matmul(u), s, vt)
        }
    };
    let roots = (s.slice_dim(0, 0..r) / scale).sqrt();
    let b = u.slice_dim(1, 0..r) * roots.clone().unsqueeze_dim(0);
    let a = vt.slice_dim(0, 0..r) * roots.unsqueeze_dim(1);
    (values(b), values(a))
}

/// Returns the first `r` columns of `Q` and rows of `R` of `weight = Q·R`.
fn orthonormal(weight: &[f32], size_in: usize, r: usize) -> Factors {
    let size_out = weight.len() / size_in;
    let columns: Vec<f32> =
        weight.chunks(size_in).flat_map(|row| row[..r.min(size_in)].iter().copied()).collect();
    let (q, _) = householder(&columns, size_out, r);
    // Every column of R is the transpose of Q times that column of the weight.
    let mut rows = vec![0f64; r * size_in];
    for (weights, q) in weight.chunks(size_in).zip(q.chunks(r)) {
        for (row, q) in rows.chunks_mut(size_in).zip(q) {
            row.iter_mut().zip(weights).for_each(|(sum, w)| *sum += f64::from(*q) * f64::from(*w));
        }
    }
    (q, rows.into_iter().map(|value| value as f32).collect())
}

/// Computes `Q [rows, columns]` and `R [columns, columns]` of a matrix with at least as many rows, with LAPACK's signs. Written by hand, because
/// `burn::linalg::qr` computes the whole `Q [rows, rows]` (docs/rejected.md).
fn householder(matrix: &[f32], rows: usize, columns: usize) -> (Vec<f32>, Vec<f32>) {
    // Stored by columns, so that elements read together are contiguous.
    let mut a: Vec<Vec<f64>> = (0..columns)
        .map(|column| (0..rows).map(|row| f64::from(matrix[row * columns + column])).collect())
        .collect();
    let mut reflections: Vec<Vec<f64>> = Vec::with_capacity(columns);
    let reflect = |v: &[f64], x: &mut [f64]| {
        let along: f64 = v.iter().zip(&*x).map(|(v, x)| v * x).sum();
        x.iter_mut().zip(v).for_each(|(x, v)| *x -= 2.0 * along * v);
    };
    for column in 0..columns {
        let mut v = a[column][column..].to_vec();
        if v.len() == 1 {
            // LAPACK does not reflect the last row of a square matrix.
            break;
        }
        let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        v[0] += if v[0] < 0.0 { -length } else { length };
        let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        if norm > 0.0 {
            v.iter_mut().for_each(|x| *x /= norm);
        }
        a[column..].iter_mut().for_each(|x| reflect(&v, &mut x[column..]));
        reflections.push(v);
    }
    let mut q = vec![0f32; rows * columns];
    for column in 0..columns {
        let mut x = vec![0f64; rows];
        x[column] = 1.0;
        for (from, v) in reflections.iter().enumerate().rev() {
            reflect(v, &mut x[from..]);
        }
        x.iter().enumerate().for_each(|(row, value)| q[row * columns + column] = *value as f32);
    }
    let r = (0..columns * columns).map(|at| {
        let (row, column) = (at / columns, at % columns);
        if row <= column { a[column][row] as f32 } else { 0.0 }
    });
    (q, r.collect())
}

/// Returns the elements of a tensor on the host.
fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(rows: usize, columns: usize, seed: u64) -> Vec<f32> {
        let mut draw = Draw::new(seed, "matrix");
        (0..rows * columns).map(|_| draw.normal(1.0)).collect()
    }

    fn product(b: &[f32], a: &[f32], r: usize) -> Vec<f64> {
        let columns = a.len() / r;
        b.chunks(r)
            .flat_map(|b| {
                (0..columns).map(move |column| {
                    (0..r).map(|k| f64::from(b[k]) * f64::from(a[k * columns + column])).sum()
                })
            })
            .collect()
    }

    fn largest(values: impl Iterator<Item = f64>) -> f64 {
        values.fold(0.0, |most, value| if value.is_nan() { f64::NAN } else { most.max(value.abs()) })
    }

    #[test]
    fn a_whole_decomposition_gives_the_matrix_back() {
        for (rows, columns) in [(9, 5), (5, 5), (5, 9), (7, 1)] {
            let matrix = random(rows, columns, 3);
            let r = rows.min(columns);
            let (b, a) = orthonormal(&matrix, columns, r);
            let away = product(&b, &a, r).into_iter().zip(&matrix).map(|(got, want)| got - f64::from(*want));
            assert!(largest(away) < 1e-5, "olora {rows} x {columns}");
            for rounds in [None, Some(4)] {
                let draw = Draw::new(1, "p");
                let (b, a) = principal(matrix.clone(), [rows, columns], r, rounds, 2.0, draw);
                let away = product(&b, &a, r).into_iter().zip(&matrix).map(|(g, w)| 2.0 * g - f64::from(*w));
                assert!(largest(away) < 1e-5, "pissa {rows} x {columns} {rounds:?}");
            }
        }
    }

    #[test]
    fn signs_are_lapack_s() {
        // Results of numpy.linalg.qr for each.
        let (q, r) = householder(&[3.0, 2.0, 4.0, 6.0], 2, 2);
        let away = |got: &[f32], want: &[f64]| largest(got.iter().zip(want).map(|(g, w)| f64::from(*g) - w));
        assert!(
            away(&q, &[-0.6, -0.8, -0.8, 0.6]) < 1e-6 && away(&r, &[-5.0, -6.0, 0.0, 2.0]) < 1e-6,
            "{q:?} {r:?}"
        );
        let (q, r) = householder(&[0.0, -3.0, 4.0], 3, 1);
        assert!(away(&q, &[0.0, 0.6, -0.8]) < 1e-6 && away(&r, &[-5.0]) < 1e-6, "{q:?} {r:?}");
        assert_eq!(householder(&[-7.0], 1, 1), (vec![1.0], vec![-7.0]));
    }

    #[test]
    fn iteration_finds_what_the_exact_way_finds() {
        // Well separated singular values: the iteration's error falls with their ratios.
        let mut matrix = random(30, 20, 5);
        matrix.chunks_mut(20).for_each(|row| (0..).zip(row).for_each(|(at, x)| *x *= 0.6f32.powi(at)));
        let of = |rounds| {
            let (b, a) = principal(matrix.clone(), [30, 20], 3, rounds, 1.0, Draw::new(1, "p"));
            product(&b, &a, 3)
        };
        let (exact, near) = (of(None), of(Some(20)));
        assert!(largest(exact.iter().zip(&near).map(|(exact, near)| exact - near)) < 1e-3);
        // The exact directions leave a smaller remainder of the matrix than any other three.
        let left =
            |part: &[f64]| part.iter().zip(&matrix).map(|(p, w)| (f64::from(*w) - p).powi(2)).sum::<f64>();
        let (b, a) = orthonormal(&matrix, 20, 3);
        assert!(left(&exact) < left(&product(&b, &a, 3)));
    }
}
