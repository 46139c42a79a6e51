//! Fast paths of the CPU backend: loops over `f32` slices around one matrix product, on all cores.
//!
//! The tests compare them with the portable bodies. Rows are spread over threads by rayon; inner loops are written so that the compiler vectorises
//! them, and run under [`pulp::Arch`], which selects AVX2, AVX-512, NEON or SIMD128 at run time.

use std::borrow::Cow;

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{DType, TensorData};

pub mod adamw;
pub mod attention;
pub mod cross_entropy;
pub mod gemm;
pub mod linear;
pub mod lora_linear;
pub mod math;
pub mod packed;
pub mod rms_norm;
pub mod rope;
pub mod swiglu;

/// Least number of elements of a thread that makes spreading worthwhile.
const GRAIN: usize = 16 * 1024;

/// Returns the elements in row-major order, copied only if the tensor is a strided view.
fn floats(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    match tensor.as_slice::<f32>() {
        Some(slice) => Cow::Borrowed(slice),
        None => {
            let copy = tensor.to_contiguous();
            Cow::Owned(copy.as_slice::<f32>().expect("a contiguous f32 tensor").to_vec())
        }
    }
}

/// Returns class or segment numbers in row-major order.
fn ints(tensor: &FlexTensor) -> Vec<i64> {
    let tensor = tensor.to_contiguous();
    match tensor.dtype() {
        DType::I64 => tensor.as_slice::<i64>().expect("contiguous").to_vec(),
        DType::I32 => {
            let slice = tensor.as_slice::<i32>().expect("contiguous");
            slice.iter().map(|i| *i as i64).collect()
        }
        other => panic!("integer tensors are i32 or i64 on this backend, not {other:?}"),
    }
}

/// Creates a tensor of `shape` over `values`.
fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// Returns the sizes of a tensor of rank `D`.
fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    layout_dims(tensor.layout())
}

fn layout_dims<const D: usize>(layout: &Layout) -> [usize; D] {
    let mut dims = [0; D];
    dims.copy_from_slice(&layout.shape().to_vec());
    dims
}

/// Returns the number of rows of `width` elements that one task takes.
fn rows_per_task(width: usize) -> usize {
    (GRAIN / width.max(1)).max(1)
}
