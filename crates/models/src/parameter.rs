//! The tensors that learn, by name.

use burn::tensor::{Device, Gradients, Shape, Tensor, TensorData};

use crate::Rows;

/// A tensor that learns, of rank 1 (a norm, a bias) or 2 (a matrix).
#[derive(Debug)]
pub enum Parameter<'a> {
    /// A vector.
    Vector(&'a mut Tensor<1>),
    /// A matrix.
    Matrix(&'a mut Tensor<2>),
    /// A matrix that its file has the other way round (GPT-2's `Conv1D`): here `[out, in]`, in every other respect `[in, out]`.
    Transposed(&'a mut Tensor<2>),
    /// A matrix in pieces of whole rows.
    Rows(&'a mut Rows),
}

impl Parameter<'_> {
    /// Its shape.
    pub fn shape(&self) -> Shape {
        match self {
            Self::Vector(tensor) => tensor.shape(),
            Self::Matrix(tensor) => tensor.shape(),
            Self::Transposed(tensor) => {
                let [rows, columns] = tensor.dims();
                Shape::new([columns, rows])
            }
            Self::Rows(rows) => Shape::new(rows.dims()),
        }
    }

    /// Whether weight decay applies: to matrices, as Transformers does (not to biases and norms).
    pub fn decays(&self) -> bool {
        !matches!(self, Self::Vector(_))
    }

    /// All elements, row by row, outside the graph.
    pub fn flat(&self) -> Tensor<1> {
        fn bare<const D: usize>(tensor: &Tensor<D>) -> Tensor<D> {
            if tensor.is_autodiff() { tensor.clone().inner() } else { tensor.clone() }
        }
        match self {
            Self::Vector(tensor) => bare(tensor),
            Self::Matrix(tensor) => {
                let tensor = bare(tensor);
                let count = tensor.shape().num_elements();
                tensor.reshape([count])
            }
            Self::Transposed(tensor) => {
                let tensor = bare(tensor);
                let count = tensor.shape().num_elements();
                tensor.transpose().reshape([count])
            }
            Self::Rows(rows) => {
                let [count, columns] = rows.dims();
                Tensor::cat(rows.pieces().iter().map(bare).collect(), 0).reshape([count * columns])
            }
        }
    }

    /// Puts `values` (all elements, row by row, outside the graph) in its place.
    pub fn assign(&mut self, values: Tensor<1>) {
        match self {
            Self::Vector(tensor) => **tensor = values,
            Self::Matrix(tensor) => {
                let dims = tensor.dims();
                **tensor = values.reshape(dims);
            }
            Self::Transposed(tensor) => {
                let [rows, columns] = tensor.dims();
                let lying: Tensor<2> = values.reshape([columns, rows]);
                // Reshaped there and back, so that its elements lie as its shape says.
                **tensor = lying.transpose().reshape([rows * columns]).reshape([rows, columns]);
            }
            Self::Rows(rows) => {
                let all: Tensor<2> = values.reshape(rows.dims());
                let mut from = 0;
                for piece in rows.pieces_mut() {
                    let to = from + piece.dims()[0];
                    *piece = all.clone().slice_dim(0, from..to);
                    from = to;
                }
            }
        }
    }

    /// Puts host values in its place.
    pub fn assign_host(&mut self, values: Vec<f32>, device: &Device) {
        let count = values.len();
        self.assign(Tensor::from_data(TensorData::new(values, [count]), device));
    }

    /// Makes it a leaf of the next graph.
    pub fn track(&mut self) {
        fn leaf<const D: usize>(tensor: &mut Tensor<D>) {
            let bare = if tensor.is_autodiff() { tensor.clone().inner() } else { tensor.clone() };
            *tensor = Tensor::from_inner(bare).require_grad();
        }
        match self {
            Self::Vector(tensor) => leaf(tensor),
            Self::Matrix(tensor) | Self::Transposed(tensor) => leaf(tensor),
            Self::Rows(rows) => rows.pieces_mut().iter_mut().for_each(leaf),
        }
    }

    /// Takes it out of the graph.
    pub fn untrack(&mut self) {
        let flat = self.flat();
        self.assign(flat);
    }

    /// Its gradient, all elements row by row; none if the loss does not depend on it.
    pub fn gradient(&self, gradients: &mut Gradients) -> Option<Tensor<1>> {
        match self {
            Self::Vector(tensor) => tensor.grad_remove(gradients),
            Self::Matrix(tensor) => tensor.grad_remove(gradients).map(|grad| {
                let count = grad.shape().num_elements();
                grad.reshape([count])
            }),
            Self::Transposed(tensor) => tensor.grad_remove(gradients).map(|grad| {
                let count = grad.shape().num_elements();
                grad.transpose().reshape([count])
            }),
            Self::Rows(rows) => {
                let parts = rows.pieces().iter().map(|piece| piece.grad_remove(gradients));
                let parts: Vec<Tensor<2>> = parts.collect::<Option<_>>()?;
                let grad = Tensor::cat(parts, 0);
                let count = grad.shape().num_elements();
                Some(grad.reshape([count]))
            }
        }
    }
}
