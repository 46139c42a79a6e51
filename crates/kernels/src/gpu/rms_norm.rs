//! Root-mean-square normalisation.

use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use lorelei_shaders::Kernel;

use super::launch::{Info, dims, empty, launch, spread, stored, typed};

fn info(n: usize, size: usize, eps: f32) -> Info {
    Info::default().count(n).count(size).float(eps).count(0)
}

/// WGSL path of [`crate::backend::KernelBackend::rms_norm`].
pub fn forward(x: CubeTensor, weight: CubeTensor, eps: f32) -> CubeTensor {
    let [x, weight] = [x, weight].map(into_contiguous);
    let [n, size] = dims(&x);
    let out = typed(&x, &[n, size], weight.dtype);
    let kernel = Kernel::RmsNorm { x: stored(&x), weight: stored(&weight) };
    launch(kernel, spread(n), &[&x, &weight, &out], info(n, size, eps));
    out
}

/// WGSL path of [`crate::backend::KernelBackend::rms_norm_backward_input`].
pub fn backward_input(grad: CubeTensor, x: CubeTensor, weight: CubeTensor, eps: f32) -> CubeTensor {
    let [grad, x, weight] = [grad, x, weight].map(into_contiguous);
    let [n, size] = dims(&x);
    let out = empty(&x, &[n, size]);
    let kernel = Kernel::RmsNormBackward { grad: stored(&grad), x: stored(&x), weight: stored(&weight) };
    launch(kernel, spread(n), &[&grad, &x, &weight, &out], info(n, size, eps));
    out
}
