//! Regularisation of training passes: noise on the embeddings, and smoothed targets.

use burn::tensor::{Int, Tensor, activation::log_softmax};

use crate::{ForwardMode, Model, Rows, Tokens, init::Draw, precision::to_f32};

/// Settings of the noise on the embeddings and of the smoothed targets. Zero disables each.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Regularization {
    /// Share of a target's probability that is spread over the whole vocabulary (Szegedy et al., 2015), as in Transformers' `LabelSmoother`.
    pub label_smoothing: f32,
    /// Noise of NEFTune (Jain et al., 2023): uniform noise of at most `alpha / sqrt(seq hidden)` on each element of the embeddings, in training only.
    pub neftune_noise_alpha: f32,
}

impl Model {
    /// Sets the regularisation of all following passes.
    pub fn regularize(&mut self, regularization: Regularization) {
        self.regularization = regularization;
    }

    /// Returns the embeddings `[batch * seq, hidden]` of a pass, with noise if it trains.
    pub(crate) fn noisy(&self, embedded: Tensor<2>, tokens: &Tokens, mode: ForwardMode) -> Tensor<2> {
        let (alpha, ForwardMode::Training { dropout_seed }) =
            (f64::from(self.regularization.neftune_noise_alpha), mode)
        else {
            return embedded;
        };
        if alpha == 0.0 {
            return embedded;
        }
        let shape: [usize; 2] = embedded.dims();
        let most = alpha / ((tokens.seq * shape[1]) as f64).sqrt();
        let noise = Draw::new(dropout_seed, "neftune").tensor(shape, &self.device, |draw| draw.uniform(most));
        embedded + noise
    }

    /// Computes the addition of label smoothing to a cross entropy summed over rows: `e sum(x_t - mean(x))`, with the logits `x` and the target `t`
    /// of a row.
    ///
    /// The sum of both is `(1 - e) nll + e mean(-log p)`, because `-log p_v` is `nll + x_t - x_v`. As `x = W h`, the logits are not needed: with `h`
    /// `[n, hidden]` and the head `[vocab, hidden]`, the addition is `e sum(h (W_t - mean(W)))`.
    pub(crate) fn smoothing(&self, h: Tensor<2>, head: &Rows, targets: &[i32]) -> Option<Tensor<1>> {
        let share = self.regularization.label_smoothing;
        (share > 0.0).then(|| {
            let apart = to_f32(head.select(targets, &self.device)) - head.mean();
            (to_f32(h) * apart).sum() * share
        })
    }

    /// Like [`Self::smoothing`], from given logits `[n, vocab]`.
    pub(crate) fn smoothed(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        let share = self.regularization.label_smoothing;
        let log_probs = log_softmax(logits, 1);
        let nll = log_probs.clone().gather(1, targets.unsqueeze_dim(1)).sum().neg();
        match share > 0.0 {
            false => nll,
            true => nll * (1.0 - share) + log_probs.mean_dim(1).sum().neg() * share,
        }
    }
}
