//! Vectors in a row, such as all gradients of a model: burn copies each by a launch of its own.

use burn::backend::{BackendTensor, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind};
use burn::tensor::Tensor;
use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use lorelei_shaders::Kernel;

use super::{
    launch::{Info, Work, each, empty, launch_counted},
    takes,
};

/// Joins vectors by `concatenate.wgsl`. Returns `None` where it cannot run.
pub fn concatenate(parts: &[Tensor<1>]) -> Option<Tensor<1>> {
    let parts = parts.iter().map(|part| on_cube(part.clone().into_dispatch()));
    let parts: Vec<CubeTensor> = parts.collect::<Option<_>>()?;
    let is_taken = !parts.is_empty() && takes(&[], &parts.iter().collect::<Vec<_>>());
    is_taken.then(|| {
        let kind = DispatchTensorKind::Cube(BackendTensor::Float(joined(parts)));
        Tensor::from_dispatch(DispatchTensor { kind, autodiff: DispatchAutodiffContext::Disabled })
    })
}

/// Returns a float tensor that is on a CubeCL runtime and in no graph.
fn on_cube(tensor: DispatchTensor) -> Option<CubeTensor> {
    match tensor {
        DispatchTensor {
            kind: DispatchTensorKind::Cube(BackendTensor::Float(tensor)),
            autodiff: DispatchAutodiffContext::Disabled,
        } => Some(tensor),
        _ => None,
    }
}

fn joined(parts: Vec<CubeTensor>) -> CubeTensor {
    let parts: Vec<CubeTensor> = parts.into_iter().map(into_contiguous).collect();
    let total = parts.iter().map(|part| part.meta.num_elements()).sum();
    let out = empty(&parts[0], &[total]);
    let mut from = 0;
    for parts in parts.chunks(Kernel::MAX_PARTS as usize) {
        let mut info = Info::default().count(from);
        let mut end = 0;
        for part in parts {
            end += part.meta.num_elements();
            info = info.count(end);
        }
        let tensors: Vec<&CubeTensor> = parts.iter().chain([&out]).collect();
        let work = Work { flops: 0, bytes: 2 * end * size_of::<f32>() };
        launch_counted(Kernel::Concatenate { parts: parts.len() as u32 }, each(end), &tensors, info, work);
        from += end;
    }
    out
}
