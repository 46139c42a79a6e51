//! Launching a kernel of `lorelei-shaders`.

use std::cell::Cell;

use burn::tensor::{DType, Shape};
use burn_cubecl::{
    cubecl::{
        CubeCount, CubeDim,
        prelude::KernelId,
        server::{BufferBinding, KernelArguments, MetadataBindingInfo},
    },
    template::{KernelSource, SourceKernel, SourceTemplate},
    tensor::CubeTensor,
};
use lorelei_shaders::{Kernel, Stored};

/// Work of this project's kernels so far, counted as they are launched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Number of kernels.
    pub launches: u64,
    /// Floating-point operations of products and of attention; an addition and a multiplication count as two. Nothing else is counted.
    pub flops: u64,
    /// Bytes read and written in the device's memory, as requested by the kernels: a tile that two groups read counts twice.
    pub bytes: u64,
}

thread_local! {
    static COUNTERS: Cell<Counters> = const { Cell::new(Counters { launches: 0, flops: 0, bytes: 0 }) };
}

/// Returns the counters of this thread's launches so far.
pub fn counters() -> Counters {
    COUNTERS.get()
}

/// Returns the number of this project's kernels that this thread has launched so far.
pub fn launches() -> u64 {
    counters().launches
}

/// Largest number of groups along one dimension of a launch.
const MAX_GROUPS: usize = 65_535;

struct Source(Kernel);

impl KernelSource for Source {
    fn source(&self) -> SourceTemplate {
        SourceTemplate::new(self.0.source())
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(self.0)
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// A kernel's `Info` structure, word by word.
#[derive(Default)]
pub struct Info(Vec<u32>);

impl Info {
    /// Appends a count, index or size.
    pub fn count(mut self, value: usize) -> Self {
        self.0.push(value as u32);
        self
    }

    /// Appends a number.
    pub fn float(mut self, value: f32) -> Self {
        self.0.push(value.to_bits());
        self
    }

    /// Appends the two halves of a seed, the low one first.
    pub fn seed(mut self, value: u64) -> Self {
        self.0.extend([value as u32, (value >> 32) as u32]);
        self
    }

    /// Returns pairs of words, the first in the low half. A single last word is paired with a zero, as in the structures in WGSL.
    fn pairs(&self) -> Vec<u64> {
        let pair = |pair: &[u32]| u64::from(pair[0]) | u64::from(pair.get(1).copied().unwrap_or(0)) << 32;
        self.0.chunks(2).map(pair).collect()
    }
}

/// Work of a launch, for [`Counters`].
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// Floating-point operations, as in [`Counters::flops`].
    pub flops: usize,
    /// Bytes read and written, as in [`Counters::bytes`].
    pub bytes: usize,
}

/// Returns the size of a tensor in bytes.
pub fn bytes(tensor: &CubeTensor) -> usize {
    tensor.meta.num_elements() * tensor.dtype.size()
}

/// Launches `kernel` over `tensors`, all contiguous, in the order of its bindings. The kernel reads or writes each of them once.
pub fn launch(kernel: Kernel, groups: [usize; 3], tensors: &[&CubeTensor], info: Info) {
    let work = Work { flops: 0, bytes: tensors.iter().map(|tensor| bytes(tensor)).sum() };
    launch_counted(kernel, groups, tensors, info, work);
}

/// Like [`launch`], but counts `work`.
pub fn launch_counted(kernel: Kernel, groups: [usize; 3], tensors: &[&CubeTensor], info: Info, work: Work) {
    let so_far = COUNTERS.get();
    COUNTERS.set(Counters {
        launches: so_far.launches + 1,
        flops: so_far.flops + work.flops as u64,
        bytes: so_far.bytes + work.bytes as u64,
    });
    let [x, y] = kernel.workgroup();
    let [groups_x, groups_y, groups_z] = groups.map(|count| count as u32);
    let mut buffers: Vec<BufferBinding> = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let binding = tensor.handle.clone().binding();
        // WebGPU refuses one buffer in two writable bindings, and all of ours are writable: an operand that occurs twice is copied.
        let is_bound = buffers.iter().any(|bound| bound.memory.id() == binding.memory.id());
        buffers.push(if is_bound { tensor.copy().handle.binding() } else { binding });
    }
    let arguments =
        KernelArguments::new().with_buffers(buffers).with_info(MetadataBindingInfo::custom(info.pairs()));
    tensors[0].client.launch(
        Box::new(SourceKernel::new(Source(kernel), CubeDim::new_2d(x, y))),
        CubeCount::Static(groups_x, groups_y, groups_z),
        arguments,
    );
}

/// Returns `count` groups, spread over two dimensions where one is too short. A kernel numbers them `x + y · groups along x`.
pub fn spread(count: usize) -> [usize; 3] {
    let x = count.clamp(1, MAX_GROUPS);
    [x, count.div_ceil(x).max(1), 1]
}

/// Returns the groups of 256 invocations for `count` invocations.
pub fn each(count: usize) -> [usize; 3] {
    spread(count.div_ceil(256))
}

/// Allocates an uninitialised tensor of the type and device of `like`.
pub fn empty(like: &CubeTensor, shape: &[usize]) -> CubeTensor {
    typed(like, shape, like.dtype)
}

/// Like [`empty`], but `f32`.
pub fn single(like: &CubeTensor, shape: &[usize]) -> CubeTensor {
    typed(like, shape, DType::F32)
}

/// Returns the storage format of a float tensor.
pub fn stored(tensor: &CubeTensor) -> Stored {
    match tensor.dtype {
        DType::F16 => Stored::F16,
        _ => Stored::F32,
    }
}

/// Allocates an uninitialised tensor of type `dtype` on the device of `like`.
pub fn typed(like: &CubeTensor, shape: &[usize], dtype: DType) -> CubeTensor {
    let handle = like.client.empty(shape.iter().product::<usize>() * dtype.size());
    let shape = Shape::from(shape.to_vec());
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, dtype)
}

/// Returns the sizes of a tensor of rank `D`.
pub fn dims<const D: usize>(tensor: &CubeTensor) -> [usize; D] {
    std::array::from_fn(|axis| tensor.meta.shape()[axis])
}
