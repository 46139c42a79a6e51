//! Norms between the parts of a model.

use burn::tensor::Tensor;
use lorelei_formats::config::NormKind;
use lorelei_kernels as kernels;

use crate::precision::{cast, dtype, to_f32};

/// A norm over the last dimension.
#[derive(Debug, Clone)]
pub(crate) struct Norm {
    pub(crate) kind: NormKind,
    pub(crate) eps: f32,
    /// Weight `[size]`, as stored in the file.
    pub(crate) weight: Tensor<1>,
    /// Bias `[size]`, for LayerNorm.
    pub(crate) bias: Option<Tensor<1>>,
}

impl Norm {
    /// Normalises `x [n, size]`, if there is a norm, in single floats, and converts the result to the type of the norm's weight.
    pub(crate) fn apply(norm: &Option<Self>, x: Tensor<2>) -> Tensor<2> {
        match norm {
            None => x,
            Some(norm) => norm.forward(x),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match self.kind {
            NormKind::Rms => kernels::rms_norm(x, self.weight.clone(), self.eps),
            NormKind::RmsPlusOne => kernels::rms_norm(x, self.weight.clone() + 1.0, self.eps),
            NormKind::Layer => {
                let (x, dtype) = (to_f32(x), dtype(&self.weight));
                let centred = x.clone() - x.mean_dim(1);
                let deviation = ((centred.clone() * centred.clone()).mean_dim(1) + self.eps).sqrt();
                let scaled = centred / deviation * to_f32(self.weight.clone()).unsqueeze();
                let normed = match &self.bias {
                    None => scaled,
                    Some(bias) => scaled + to_f32(bias.clone()).unsqueeze(),
                };
                cast(normed, dtype)
            }
        }
    }
}
