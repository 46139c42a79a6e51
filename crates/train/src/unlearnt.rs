//! The signs of a run that learns nothing.

use lorelei_protocol::Notice;
use lorelei_recipe::message;

use crate::TrainerState;

/// Least number of logged steps by which a run is judged.
const LEAST_STEPS: usize = 5;

/// A loss of at least this share of the uniform one has not left it.
const SHARE_OF_UNIFORM: f64 = 0.98;

/// Returns a warning if the logged steps show that nothing was learnt: no gradient ever reached the parameters, or the loss was never below that of a
/// guess, `uniform_loss`.
pub(crate) fn unlearnt(state: &TrainerState, uniform_loss: Option<f64>) -> Option<Notice> {
    let count = state.logged_steps().count();
    if count > 0 && state.logged_steps().all(|line| line.grad_norm == 0.0) {
        let message = message!(
            "nothing was learnt: the gradient was 0 at every logged step. Do the rows teach anything (lorelei data stats), and does the \
             adapter reach the part of the model that they train (lora.target_modules)?"
        );
        return Some(Notice::new("no_gradient", message));
    }
    let uniform = uniform_loss?;
    let is_flat = |loss: f64| loss >= SHARE_OF_UNIFORM * uniform;
    if count < LEAST_STEPS || !state.logged_steps().all(|line| is_flat(line.loss)) {
        return None;
    }
    let message = message!(
        "nothing was learnt: the loss was never below {loss}, that of a guess among all outcomes. Is the base model a trained one, are its \
         tokenizer and the rows made for it, and is training.learning_rate high enough?",
        loss = format!("{uniform:.2}")
    );
    Some(Notice::new("loss_of_a_guess", message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{HistoryLine, StepLine};

    fn code(lines: &[(f64, f64)], uniform: Option<f64>) -> Option<String> {
        let line = |(step, &(loss, grad_norm)): (usize, &(f64, f64))| {
            HistoryLine::Step(StepLine { epoch: 1.0, grad_norm, learning_rate: 1e-4, loss, step })
        };
        let log_history = lines.iter().enumerate().map(line).collect();
        unlearnt(&TrainerState { log_history, ..TrainerState::default() }, uniform).map(|notice| notice.code)
    }

    #[test]
    fn a_run_without_a_gradient_or_above_the_loss_of_a_guess_has_learnt_nothing() {
        assert_eq!(code(&[(2.0, 0.0); 2], Some(4.0)).as_deref(), Some("no_gradient"));
        assert_eq!(code(&[(4.1, 1.0); 5], Some(4.0)).as_deref(), Some("loss_of_a_guess"));
        for (lines, uniform) in [
            (vec![], Some(4.0)),
            (vec![(4.1, 1.0); 4], Some(4.0)),
            (vec![(4.1, 1.0), (4.1, 1.0), (4.1, 1.0), (4.0, 1.0), (3.8, 1.0)], Some(4.0)),
            (vec![(4.1, 1.0); 9], None),
            (vec![(2.0, 0.0), (2.0, 0.1)], Some(4.0)),
        ] {
            assert_eq!(code(&lines, uniform), None, "{lines:?}");
        }
    }
}
