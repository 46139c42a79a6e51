//! Mixed precision: the frozen weights and what flows between layers in half floats, the residual stream, adapters and losses in single ones, as
//! torch's autocast has it.

use burn::tensor::{FloatDType, Tensor};

use crate::{Model, Parameter, Weight};

/// What a tensor's numbers are.
pub(crate) fn kind<const D: usize>(tensor: &Tensor<D>) -> FloatDType {
    tensor.dtype().into()
}

/// The tensor in numbers of another kind, or as it is.
pub(crate) fn cast<const D: usize>(tensor: Tensor<D>, to: FloatDType) -> Tensor<D> {
    if kind(&tensor) == to { tensor } else { tensor.cast(to) }
}

/// The tensor in single floats.
pub(crate) fn single<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    cast(tensor, FloatDType::F32)
}

pub(crate) fn cast_in_place(parameter: Parameter<'_>, dtype: FloatDType) {
    match parameter {
        Parameter::Vector(tensor) => *tensor = cast(tensor.clone(), dtype),
        Parameter::Matrix(tensor) | Parameter::Transposed(tensor) => *tensor = cast(tensor.clone(), dtype),
        Parameter::Rows(rows) => {
            rows.pieces_mut().iter_mut().for_each(|piece| *piece = cast(piece.clone(), dtype));
        }
    }
}

impl Model {
    /// What the base's weights are that are not packed.
    pub fn dtype(&self) -> FloatDType {
        // An embedding that learns is in single floats.
        let frozen =
            |(_, linear): (String, &crate::Linear)| linear.dtype().filter(|dtype| *dtype != FloatDType::F32);
        self.linears().find_map(frozen).unwrap_or_else(|| self.embed_tokens.kind())
    }

    /// The model with its base in numbers of kind `dtype`. Adapters, packed weights and a classifying head stay as they are.
    pub fn in_dtype(mut self, dtype: FloatDType) -> Self {
        let head = self.classifier.clone();
        self.visit_weights(&mut |_, parameter| cast_in_place(parameter, dtype));
        self.classifier = head;
        self
    }

    /// The model with its packed weights as numbers.
    pub fn unpacked(mut self) -> Self {
        for (_, _, linear) in self.linears_mut() {
            if matches!(linear.weight, Weight::Packed { .. }) {
                linear.weight = Weight::Dense(linear.weight.dense());
            }
        }
        self
    }

    /// The model with its classifying head, which learns, in single floats.
    pub(crate) fn with_single_head(mut self) -> Self {
        self.visit_classifier(true, &mut |_, parameter| cast_in_place(parameter, FloatDType::F32));
        self
    }
}

impl Weight {
    /// This matrix plus `change` of single floats, in numbers of its own kind; of single ones where it was packed.
    pub(crate) fn plus(&self, change: Tensor<2>) -> Self {
        let dense = self.dense();
        let dtype = kind(&dense);
        Self::Dense(cast(single(dense) + change, dtype))
    }
}
