//! Trainable tensors, by name.

use burn::tensor::{Device, FloatDType, Gradients, Shape, Tensor, TensorData};

use crate::{Rows, precision::cast};

/// A trainable tensor of rank 1 (a norm, a bias) or 2 (a matrix).
#[derive(Debug)]
pub struct Parameter<'a> {
    tensor: ParameterTensor<'a>,
    traits: ParameterTraits,
}

/// Treatment of a parameter by an optimizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterTraits {
    /// Whether weight decay applies: to matrices, as in Transformers, and to DoRA's magnitudes.
    pub decays: bool,
    /// Whether LoRA+'s ratio multiplies the learning rate: for `B` and for vectors, as in PEFT's `create_loraplus_optimizer`.
    pub loraplus: bool,
}

#[derive(Debug)]
enum ParameterTensor<'a> {
    Vector(&'a mut Tensor<1>),
    Matrix(&'a mut Tensor<2>),
    /// A matrix that its file stores as `[in, out]` (GPT-2's `Conv1D`). The tensor is `[out, in]`; the parameter is `[in, out]` in every other
    /// respect.
    Transposed(&'a mut Tensor<2>),
    /// A matrix in pieces of whole rows.
    Rows(&'a mut Rows),
}

impl<'a> Parameter<'a> {
    /// Wraps a vector: a bias or a norm.
    pub(crate) fn vector(tensor: &'a mut Tensor<1>) -> Self {
        Self {
            tensor: ParameterTensor::Vector(tensor),
            traits: ParameterTraits { decays: false, loraplus: true },
        }
    }

    /// Wraps a matrix.
    pub(crate) fn matrix(tensor: &'a mut Tensor<2>) -> Self {
        Self::of(ParameterTensor::Matrix(tensor))
    }

    /// Wraps a matrix `[out, in]` that its file stores as `[in, out]`.
    pub(crate) fn transposed(tensor: &'a mut Tensor<2>) -> Self {
        Self::of(ParameterTensor::Transposed(tensor))
    }

    /// Wraps a matrix in pieces of whole rows.
    pub(crate) fn rows(rows: &'a mut Rows) -> Self {
        Self::of(ParameterTensor::Rows(rows))
    }

    fn of(tensor: ParameterTensor<'a>) -> Self {
        Self { tensor, traits: ParameterTraits { decays: true, loraplus: false } }
    }

    /// Replaces the traits that follow from the shape.
    pub(crate) fn with(self, traits: ParameterTraits) -> Self {
        Self { traits, ..self }
    }

    /// Returns the treatment by an optimizer.
    pub fn traits(&self) -> ParameterTraits {
        self.traits
    }

    /// Converts the tensor to numbers of another type.
    pub(crate) fn cast(self, dtype: FloatDType) {
        match self.tensor {
            ParameterTensor::Vector(tensor) => *tensor = cast(tensor.clone(), dtype),
            ParameterTensor::Matrix(tensor) | ParameterTensor::Transposed(tensor) => {
                *tensor = cast(tensor.clone(), dtype);
            }
            ParameterTensor::Rows(rows) => {
                rows.pieces_mut().iter_mut().for_each(|piece| *piece = cast(piece.clone(), dtype));
            }
        }
    }

    /// Returns the shape of the parameter.
    pub fn shape(&self) -> Shape {
        match &self.tensor {
            ParameterTensor::Vector(tensor) => tensor.shape(),
            ParameterTensor::Matrix(tensor) => tensor.shape(),
            ParameterTensor::Transposed(tensor) => {
                let [rows, columns] = tensor.dims();
                Shape::new([columns, rows])
            }
            ParameterTensor::Rows(rows) => Shape::new(rows.dims()),
        }
    }

    /// Returns all elements, row by row, outside the graph.
    pub fn flat(&self) -> Tensor<1> {
        fn bare<const D: usize>(tensor: &Tensor<D>) -> Tensor<D> {
            if tensor.is_autodiff() { tensor.clone().inner() } else { tensor.clone() }
        }
        match &self.tensor {
            ParameterTensor::Vector(tensor) => bare(tensor),
            ParameterTensor::Matrix(tensor) => {
                let tensor = bare(tensor);
                let count = tensor.shape().num_elements();
                tensor.reshape([count])
            }
            ParameterTensor::Transposed(tensor) => {
                let tensor = bare(tensor);
                let count = tensor.shape().num_elements();
                tensor.transpose().reshape([count])
            }
            ParameterTensor::Rows(rows) => {
                let [count, columns] = rows.dims();
                Tensor::cat(rows.pieces().iter().map(bare).collect(), 0).reshape([count * columns])
            }
        }
    }

    /// Replaces the elements by `values` (all elements, row by row, outside the graph).
    pub fn assign(&mut self, values: Tensor<1>) {
        match &mut self.tensor {
            ParameterTensor::Vector(tensor) => **tensor = values,
            ParameterTensor::Matrix(tensor) => {
                let dims = tensor.dims();
                **tensor = values.reshape(dims);
            }
            ParameterTensor::Transposed(tensor) => {
                let [rows, columns] = tensor.dims();
                let lying: Tensor<2> = values.reshape([columns, rows]);
                // Reshaped there and back, so that its elements are contiguous in the order of its shape.
                **tensor = lying.transpose().reshape([rows * columns]).reshape([rows, columns]);
            }
            ParameterTensor::Rows(rows) => {
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

    /// Replaces the elements by values from the host.
    pub fn assign_host(&mut self, values: Vec<f32>, device: &Device) {
        let count = values.len();
        self.assign(Tensor::from_data(TensorData::new(values, [count]), device));
    }

    /// Makes the parameter a leaf of the next graph.
    pub fn track(&mut self) {
        fn leaf<const D: usize>(tensor: &mut Tensor<D>) {
            let bare = if tensor.is_autodiff() { tensor.clone().inner() } else { tensor.clone() };
            *tensor = Tensor::from_inner(bare).require_grad();
        }
        match &mut self.tensor {
            ParameterTensor::Vector(tensor) => leaf(tensor),
            ParameterTensor::Matrix(tensor) | ParameterTensor::Transposed(tensor) => leaf(tensor),
            ParameterTensor::Rows(rows) => rows.pieces_mut().iter_mut().for_each(leaf),
        }
    }

    /// Takes the parameter out of the graph.
    pub fn untrack(&mut self) {
        let flat = self.flat();
        self.assign(flat);
    }

    /// Removes and returns the gradient, all elements row by row, or `None` if the loss does not depend on the parameter.
    pub fn gradient(&self, gradients: &mut Gradients) -> Option<Tensor<1>> {
        match &self.tensor {
            ParameterTensor::Vector(tensor) => tensor.grad_remove(gradients),
            ParameterTensor::Matrix(tensor) => tensor.grad_remove(gradients).map(|grad| {
                let count = grad.shape().num_elements();
                grad.reshape([count])
            }),
            ParameterTensor::Transposed(tensor) => tensor.grad_remove(gradients).map(|grad| {
                let count = grad.shape().num_elements();
                grad.transpose().reshape([count])
            }),
            ParameterTensor::Rows(rows) => {
                let parts = rows.pieces().iter().map(|piece| piece.grad_remove(gradients));
                let parts: Vec<Tensor<2>> = parts.collect::<Option<_>>()?;
                let grad = Tensor::cat(parts, 0);
                let count = grad.shape().num_elements();
                Some(grad.reshape([count]))
            }
        }
    }
}
