//! Batches as the model takes them.

use lorelei_data::{Batch, Padding, RowSet, collate};
use lorelei_models::Tokens;

use crate::TrainError;

/// Converts a batch on the host to the model's input.
pub fn tokens(batch: &Batch) -> Tokens {
    Tokens {
        batch: batch.batch_size,
        seq: batch.seq_len,
        input_ids: batch.input_ids.clone(),
        position_ids: batch.position_ids.clone(),
        segment_ids: batch.segment_ids.clone(),
        token_type_ids: batch.token_type_ids.clone(),
    }
}

/// Collates the chosen rows into a batch.
pub(crate) fn collated(rows: &RowSet, chosen: &[usize], padding: Padding) -> Result<Batch, TrainError> {
    let rows = chosen.iter().map(|row| rows.row(*row)).collect::<Result<Vec<_>, _>>()?;
    Ok(collate(&rows.iter().collect::<Vec<_>>(), padding))
}
