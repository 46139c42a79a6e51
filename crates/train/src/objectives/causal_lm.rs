//! Next-token prediction.

use lorelei_data::Batch;
use lorelei_models::Model;

use super::{Measure, Metric, Objective, SupervisedTargets, Supervision};

/// Next-token prediction: each labelled token is predicted from the tokens before it, with cross entropy over the vocabulary.
#[derive(Debug, Clone, Copy)]
pub struct CausalLm;

impl Objective for CausalLm {
    fn supervision(&self, _: &Model, batch: &Batch) -> Supervision {
        let (rows, ids) = batch.next_tokens();
        Supervision { rows, targets: SupervisedTargets::Ids(ids) }
    }

    fn uniform_loss(&self, model: &Model) -> Option<f64> {
        Some((model.config().vocab_size as f64).ln())
    }

    fn metrics(&self) -> &'static [Metric] {
        &[PERPLEXITY]
    }

    fn measure(&self, _: usize) -> Box<dyn Measure> {
        Box::new(Perplexity)
    }
}

/// `exp(loss)`, as Transformers' `run_clm.py` computes it.
const PERPLEXITY: Metric = Metric { name: "perplexity", greater_is_better: false };

/// Computes the perplexity from the loss. Counts nothing.
struct Perplexity;

impl Measure for Perplexity {
    fn reads_logits(&self) -> bool {
        false
    }

    fn add(&mut self, _: &[f32], _: &Supervision) {}

    fn values(&self, loss: f64) -> Vec<(Metric, f64)> {
        // A log cannot hold an infinity.
        Some((PERPLEXITY, loss.exp())).filter(|(_, value)| value.is_finite()).into_iter().collect()
    }
}
