//! Mixed precision, as in torch's autocast: the frozen weights and the tensors between layers are half floats; the residual stream, adapters and
//! losses are single floats.

use burn::tensor::{FloatDType, Tensor};

use crate::{Model, Weight};

/// Returns the type of a tensor's numbers.
pub(crate) fn dtype<const D: usize>(tensor: &Tensor<D>) -> FloatDType {
    tensor.dtype().into()
}

/// Converts the tensor to numbers of type `to`, if it has not that type already.
pub(crate) fn cast<const D: usize>(tensor: Tensor<D>, to: FloatDType) -> Tensor<D> {
    if dtype(&tensor) == to { tensor } else { tensor.cast(to) }
}

/// Converts the tensor to single floats.
pub(crate) fn to_f32<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    cast(tensor, FloatDType::F32)
}

impl Model {
    /// Returns the type of the base's weights that are not packed.
    pub fn dtype(&self) -> FloatDType {
        // A trainable embedding is in single floats.
        let frozen =
            |(_, linear): (&str, &crate::Linear)| linear.dtype().filter(|dtype| *dtype != FloatDType::F32);
        self.linears().find_map(frozen).unwrap_or_else(|| self.embed_tokens.dtype())
    }

    /// Converts the base to numbers of type `dtype`. Adapters, packed weights and a classification head stay as they are.
    pub fn in_dtype(mut self, dtype: FloatDType) -> Self {
        let head = self.classifier.clone();
        self.visit_weights(&mut |_, parameter| parameter.cast(dtype));
        self.classifier = head;
        self
    }

    /// Unpacks the packed weights.
    pub fn unpacked(mut self) -> Self {
        self.visit_linears(&mut |_, linear| {
            if matches!(linear.weight, Weight::Packed { .. }) {
                linear.weight = Weight::Dense(linear.weight.dense());
            }
        });
        self
    }

    /// Converts the classification head, which is trainable, to single floats.
    pub(crate) fn with_f32_head(mut self) -> Self {
        self.visit_classifier(true, &mut |_, parameter| parameter.cast(FloatDType::F32));
        self
    }
}

impl Weight {
    /// Adds `change`, in single floats, to this matrix. The result has this matrix's type, or is in single floats if the matrix is packed.
    pub(crate) fn plus(&self, change: Tensor<2>) -> Self {
        let dense = self.dense();
        let dtype = dtype(&dense);
        Self::Dense(cast(to_f32(dense) + change, dtype))
    }
}
