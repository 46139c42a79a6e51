//! Choice of the next token from logits, as in Transformers' `generate`: repetition penalty, temperature, top-k, top-p, in this order.

use lorelei_recipe::{Message, message};

use crate::init::Draw;

/// Settings of the choice of the next token. Names and meanings are those of Transformers' `GenerationConfig`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divisor of the logits; 0 takes the likeliest token each time.
    pub temperature: f64,
    /// Number of likeliest tokens to draw from; 0 for all.
    pub top_k: usize,
    /// Sum of probabilities of the likeliest tokens to draw from; 1 for all tokens.
    pub top_p: f64,
    /// Penalty of the logits of tokens already in the text: divides positive ones, multiplies negative ones (Keskar et al., 2019); 1 for none.
    pub repetition_penalty: f64,
    /// Seed of the random draws.
    pub seed: u64,
}

impl Sampling {
    /// Settings that take the likeliest token each time.
    pub const GREEDY: Self =
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, repetition_penalty: 1.0, seed: 0 };

    /// Checks that the settings are valid. The error is the name of the first invalid one, and its valid values.
    ///
    /// # Errors
    ///
    /// If a setting is invalid.
    pub fn check(&self) -> Result<(), (&'static str, Message)> {
        let positive = |number: f64| number > 0.0 && number.is_finite();
        if !(self.temperature == 0.0 || positive(self.temperature)) {
            return Err(("temperature", message!("0 or a number above it")));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(("top_p", message!("above 0 and at most 1")));
        }
        if !positive(self.repetition_penalty) {
            return Err(("repetition_penalty", message!("a number above 0")));
        }
        Ok(())
    }

    /// Whether the choice is always the likeliest token by the unchanged logits.
    pub(crate) fn is_greedy(&self) -> bool {
        self.temperature <= 0.0 && self.repetition_penalty == 1.0
    }

    /// Chooses the token after `known`, the `place`-th that is drawn.
    pub(crate) fn choose(&self, mut logits: Vec<f32>, known: &[u32], place: usize) -> u32 {
        if self.repetition_penalty != 1.0 {
            let penalty = self.repetition_penalty as f32;
            let mut known = known.to_vec();
            known.sort_unstable();
            known.dedup();
            for id in known {
                if let Some(logit) = logits.get_mut(id as usize) {
                    *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
                }
            }
        }
        // The likeliest first; the first of equals, as in argmax.
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        let likelier =
            |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then_with(|| a.cmp(b));
        if self.temperature <= 0.0 {
            return order.into_iter().min_by(likelier).unwrap_or(0);
        }
        order.sort_by(likelier);
        if self.top_k > 0 {
            // Tokens that tie with the last one stay, as in Transformers.
            let last = logits[order[self.top_k.min(order.len()) - 1] as usize];
            order.retain(|id| logits[*id as usize] >= last);
        }
        let best = order.first().map_or(0.0, |id| logits[*id as usize]) as f64;
        let weight = |id: &u32| ((logits[*id as usize] as f64 - best) / self.temperature).exp();
        let weights: Vec<f64> = order.iter().map(weight).collect();
        let total: f64 = weights.iter().sum();
        let mut kept = weights.len();
        if self.top_p < 1.0 {
            let mut sum = 0.0;
            let enough = |weight: &f64| {
                sum += weight / total;
                sum >= self.top_p
            };
            kept = weights.iter().position(enough).map_or(kept, |last| last + 1);
        }
        let kept_total: f64 = weights[..kept].iter().sum();
        let mut left = Draw::new(self.seed, &format!("token {place}")).unit() * kept_total;
        for (id, weight) in order.iter().zip(&weights[..kept]) {
            left -= weight;
            if left < 0.0 {
                return *id;
            }
        }
        order[kept.max(1) - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [1.0, 3.0, 2.0, -1.0, 3.0];

    fn drawn(sampling: &Sampling) -> Vec<usize> {
        let mut counts = vec![0; LOGITS.len()];
        for place in 0..20_000 {
            counts[sampling.choose(LOGITS.to_vec(), &[], place) as usize] += 1;
        }
        counts
    }

    #[test]
    fn the_likeliest_first_of_equals() {
        assert_eq!(Sampling::GREEDY.choose(LOGITS.to_vec(), &[], 0), 1);
    }

    #[test]
    fn known_tokens_are_penalised() {
        let sampling = Sampling { repetition_penalty: 2.0, ..Sampling::GREEDY };
        assert_eq!(sampling.choose(LOGITS.to_vec(), &[1, 4, 1], 0), 2);
        assert_eq!(sampling.choose(vec![-1.0, -1.5], &[0], 0), 1);
    }

    #[test]
    fn probabilities_are_the_softmax_of_what_is_left() {
        let all = Sampling { temperature: 2.0, seed: 7, ..Sampling::GREEDY };
        let weights: Vec<f64> = LOGITS.iter().map(|logit| (*logit as f64 / 2.0).exp()).collect();
        let total: f64 = weights.iter().sum();
        for (count, weight) in drawn(&all).into_iter().zip(&weights) {
            assert!((count as f64 / 20_000.0 - weight / total).abs() < 0.01, "{count} {weight}");
        }
        let top_k = drawn(&Sampling { top_k: 2, ..all.clone() });
        assert!(top_k[1] > 9_500 && top_k[4] > 9_500 && top_k[1] + top_k[4] == 20_000, "{top_k:?}");
        // At temperature 1 the probabilities are .416 twice, then .153: the third is the one that makes the sum reach .9.
        let top_p = drawn(&Sampling { temperature: 1.0, top_p: 0.9, ..all.clone() });
        assert!(top_p[0] == 0 && top_p[3] == 0 && top_p[2] > 2_500, "{top_p:?}");
        // The likeliest always remains.
        let narrow = drawn(&Sampling { temperature: 1.0, top_p: 0.01, ..all });
        assert_eq!(narrow[1], 20_000);
    }
}
