//! Fast paths on wgpu: the WGSL of `lorelei-shaders`, where the runtime compiles WGSL and holds `f32`. The portable bodies run everywhere else.

pub mod attention;
mod concatenate;
pub mod cross_entropy;
mod launch;
pub mod linear;
pub mod lora_linear;
mod matmul;
pub mod pointwise;
mod policy;
pub mod rms_norm;
mod self_test;

use burn::tensor::{DType, Device, FloatDType, Tensor};
use burn_cubecl::tensor::CubeTensor;

pub use concatenate::concatenate;
pub use launch::{Counters, counters, launches};
pub use policy::{KernelPolicy, kernel_policy, set_kernel_policy};
pub use self_test::{halves_are_right, set_up};

/// Whether a WGSL kernel can and should run on these tensors: `alike` are all single or all half floats, `singles` are single floats.
pub fn takes(alike: &[&CubeTensor], singles: &[&CubeTensor]) -> bool {
    let is_here = |tensor: &&CubeTensor| tensor.client.name() == "wgpu<wgsl>";
    let dtype = alike.first().map_or(DType::F32, |tensor| tensor.dtype);
    kernel_policy() != KernelPolicy::Composed
        && matches!(dtype, DType::F32 | DType::F16)
        && alike.iter().all(|tensor| tensor.dtype == dtype && is_here(tensor))
        && singles.iter().all(|tensor| tensor.dtype == DType::F32 && is_here(tensor))
}

/// Returns the bytes of the largest tensor that a device can bind, or `None` if there is no limit or the device does not report one.
pub fn largest_tensor(device: &Device) -> Option<u64> {
    // wgpu binds at most what cubecl allocates in one page.
    device.memory_pool_report()?.iter().map(|pool| pool.page_size).max()
}

/// Whether this project's kernels run on a device, found by computing something.
pub fn runs_on(device: &Device) -> bool {
    let before = launches();
    let one = Tensor::<2>::ones([1, 1], device);
    let _ = crate::ops::swiglu(one.clone(), one);
    launches() > before
}

/// Support of a device for half floats of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halves {
    /// The device computes with them.
    Held,
    /// The device is a GPU that does not compute with them.
    Missing,
    /// The device is the CPU, whose operations are for single floats.
    Cpu,
}

/// Returns whether `device` computes with numbers of kind `dtype`. [`halves_are_right`] tests whether the results are right.
pub fn halves(device: &Device, dtype: FloatDType) -> Halves {
    match device.supports_dtype(dtype) {
        _ if *device == Device::flex() => Halves::Cpu,
        true => Halves::Held,
        false => Halves::Missing,
    }
}

/// Like [`takes`], but for token ids and other integers.
pub fn takes_ints(tensor: &CubeTensor) -> bool {
    tensor.dtype == DType::I32
}
