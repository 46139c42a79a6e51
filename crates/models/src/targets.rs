//! What rows of the residual stream are to say.

use burn::tensor::{Tensor, TensorData, activation};

use crate::{Model, ModelError};

/// What a batch teaches.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'t> {
    /// A token or a class for each row: cross entropy.
    Ids(&'t [i32]),
    /// Numbers `[rows, labels]`. Of a head with one label it is the number that a text has: the squared error, as torch's `MSELoss`. Of one
    /// with several it is 1 for each class that a text is of, else 0: torch's `BCEWithLogitsLoss`. So Transformers chooses, too.
    Values(&'t [f32]),
}

impl<'t> From<&'t [i32]> for Targets<'t> {
    fn from(ids: &'t [i32]) -> Self {
        Self::Ids(ids)
    }
}

impl<'t> From<&'t Vec<i32>> for Targets<'t> {
    fn from(ids: &'t Vec<i32>) -> Self {
        Self::Ids(ids)
    }
}

impl Model {
    /// The loss of `values`, summed over the rows; of each row it is the mean over its labels.
    pub(crate) fn loss_of_values(&self, logits: Tensor<2>, values: &[f32]) -> Result<Tensor<1>, ModelError> {
        let [rows, labels] = logits.dims();
        if values.len() != rows * labels {
            return Err(ModelError::Input(format!(
                "{} numbers are to be learnt of {rows} texts by a head with {labels} labels",
                values.len()
            )));
        }
        let wanted = Tensor::<2>::from_data(TensorData::new(values.to_vec(), [rows, labels]), &self.device);
        if labels == 1 {
            return Ok((logits - wanted).powi_scalar(2).sum());
        }
        // ln(1 + e^x) - x y, without an e^x that overflows.
        let softplus = activation::relu(logits.clone()) + logits.clone().abs().neg().exp().log1p();
        Ok((softplus - logits * wanted).sum() / labels as f32)
    }
}
