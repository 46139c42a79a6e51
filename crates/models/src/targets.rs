//! Training targets of rows of the residual stream.

use burn::tensor::{Tensor, TensorData, activation};

use crate::{Model, ModelError};

/// Targets of a batch.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'t> {
    /// Token or class of each row, with cross entropy as loss.
    Ids(&'t [i32]),
    /// Numbers `[rows, labels]`, with the loss that Transformers chooses too. For a head with one label it is the number of a text, with the squared
    /// error as loss (torch's `MSELoss`). For a head with several it is 1 for each class of a text and else 0, with torch's `BCEWithLogitsLoss` as
    /// loss.
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
    /// Computes the loss of `values`, summed over the rows; the loss of a row is the mean over its labels.
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
        // Computed as ln(1 + e^x) - x y, without an e^x that overflows.
        let softplus = activation::relu(logits.clone()) + logits.clone().abs().neg().exp().log1p();
        Ok((softplus - logits * wanted).sum() / labels as f32)
    }
}
