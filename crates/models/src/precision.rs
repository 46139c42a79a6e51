//! Mixed precision: the frozen weights and what flows between layers in half floats, the residual stream, adapters and losses in single ones, as
//! torch's autocast has it.

use burn::tensor::{FloatDType, Tensor};

use crate::{Model, Weight};

/// The type of a tensor's numbers.
pub(crate) fn dtype<const D: usize>(tensor: &Tensor<D>) -> FloatDType {
    tensor.dtype().into()
}

/// The tensor in numbers of another type, or as it is.
pub(crate) fn cast<const D: usize>(tensor: Tensor<D>, to: FloatDType) -> Tensor<D> {
    if dtype(&tensor) == to { tensor } else { tensor.cast(to) }
}

/// The tensor in single floats.
pub(crate) fn to_f32<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    cast(tensor, FloatDType::F32)
}

impl Model {
    /// The type of the base's weights that are not packed.
    pub fn dtype(&self) -> FloatDType {
        // An embedding that trains is in single floats.
        let frozen =
            |(_, linear): (&str, &crate::Linear)| linear.dtype().filter(|dtype| *dtype != FloatDType::F32);
        self.linears().find_map(frozen).unwrap_or_else(|| self.embed_tokens.dtype())
    }

    /// The model with its base in numbers of type `dtype`. Adapters, packed weights and a classifying head stay as they are.
    pub fn in_dtype(mut self, dtype: FloatDType) -> Self {
        let head = self.classifier.clone();
        self.visit_weights(&mut |_, parameter| parameter.cast(dtype));
        self.classifier = head;
        self
    }

    /// The model with its packed weights as numbers.
    pub fn unpacked(mut self) -> Self {
        self.visit_linears(&mut |_, linear| {
            if matches!(linear.weight, Weight::Packed { .. }) {
                linear.weight = Weight::Dense(linear.weight.dense());
            }
        });
        self
    }

    /// The model with its classifying head, which trains, in single floats.
    pub(crate) fn with_f32_head(mut self) -> Self {
        self.visit_classifier(true, &mut |_, parameter| parameter.cast(FloatDType::F32));
        self
    }
}

impl Weight {
    /// This matrix plus `change` of single floats, in numbers of its own type; of single ones where it was packed.
    pub(crate) fn plus(&self, change: Tensor<2>) -> Self {
        let dense = self.dense();
        let dtype = dtype(&dense);
        Self::Dense(cast(to_f32(dense) + change, dtype))
    }
}
