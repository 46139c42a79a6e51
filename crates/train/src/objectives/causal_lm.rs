//! Next-token prediction.

use lorelei_data::Batch;
use lorelei_models::Model;

use super::{Objective, SupervisedTargets, Supervision};

/// Predicts each labelled token from those before it: cross entropy over the vocabulary.
#[derive(Debug, Clone, Copy)]
pub struct CausalLm;

impl Objective for CausalLm {
    fn supervision(&self, _: &Model, batch: &Batch) -> Supervision {
        let (rows, ids) = batch.next_tokens();
        Supervision { rows, targets: SupervisedTargets::Ids(ids) }
    }
}
