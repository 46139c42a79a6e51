//! The operations in plain burn operations: right on every backend, and the reference of the fast paths.

use burn::backend::{Backend, TensorMetadata, tensor::FloatTensor};
use burn::tensor::FloatDType;

pub mod adamw;
pub mod attention;
pub mod cross_entropy;
pub mod linear;
pub mod lora_linear;
pub mod packed;
pub mod rms_norm;
pub mod rope;
pub mod swiglu;

/// Returns the shape of a float tensor as a plain vector.
fn dims<B: Backend>(tensor: &FloatTensor<B>) -> Vec<usize> {
    tensor.shape().to_vec()
}

/// Returns the type of a float tensor's numbers.
fn kind<B: Backend>(tensor: &FloatTensor<B>) -> FloatDType {
    tensor.dtype().into()
}

/// Converts the tensor to numbers of another type, if it has not that type already.
fn cast<B: Backend>(tensor: FloatTensor<B>, to: FloatDType) -> FloatTensor<B> {
    if kind::<B>(&tensor) == to { tensor } else { B::float_cast(tensor, to) }
}

/// Converts the tensor to single floats.
fn single<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    cast::<B>(tensor, FloatDType::F32)
}

/// Returns a tensor with the same elements and another shape.
fn reshape<B: Backend>(tensor: FloatTensor<B>, shape: &[usize]) -> FloatTensor<B> {
    B::float_reshape(tensor, shape.to_vec().into())
}

/// Returns elements `start..start + len` of dimension `dim`.
fn narrow<B: Backend>(tensor: FloatTensor<B>, dim: usize, start: usize, len: usize) -> FloatTensor<B> {
    let shape = dims::<B>(&tensor);
    let slices: Vec<burn::tensor::Slice> = (0..shape.len())
        .map(|d| if d == dim { (start..start + len).into() } else { (0..shape[d]).into() })
        .collect();
    B::float_slice(tensor, &slices)
}

/// Transposes the last two dimensions.
fn transposed<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    let rank = tensor.shape().num_dims();
    B::float_swap_dims(tensor, rank - 2, rank - 1)
}
