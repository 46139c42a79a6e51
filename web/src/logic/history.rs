//! The numbers that a run has reported.

use lorelei_protocol::{Evaluation, LogLine, StepLog};

use super::decimate::Point;

/// The reports of a run, in order.
#[derive(Debug, Clone, Default)]
pub struct History {
    lines: Vec<LogLine>,
}

impl History {
    /// Adds a logged step.
    pub fn log(&mut self, step: StepLog) {
        self.lines.push(LogLine::Step(step));
    }

    /// Adds an evaluation.
    pub fn evaluate(&mut self, evaluation: Evaluation) {
        self.lines.push(LogLine::Evaluated(evaluation));
    }

    /// Whether no step was logged.
    pub fn is_empty(&self) -> bool {
        self.steps().next().is_none()
    }

    fn steps(&self) -> impl Iterator<Item = &StepLog> {
        self.lines.iter().filter_map(|line| match line {
            LogLine::Step(step) => Some(step),
            LogLine::Evaluated(_) => None,
        })
    }

    /// Returns the losses of the steps.
    pub fn losses(&self) -> Vec<Point> {
        self.steps().map(|log| (log.step as f64, log.loss)).collect()
    }

    /// Returns the learning rates of the steps.
    pub fn learning_rates(&self) -> Vec<Point> {
        self.steps().map(|log| (log.step as f64, log.learning_rate)).collect()
    }

    /// Returns the gradient norms of the steps.
    pub fn grad_norms(&self) -> Vec<Point> {
        self.steps().map(|log| (log.step as f64, log.grad_norm)).collect()
    }

    fn evaluations(&self) -> impl Iterator<Item = &Evaluation> {
        self.lines.iter().filter_map(|line| match line {
            LogLine::Evaluated(evaluation) => Some(evaluation),
            LogLine::Step(_) => None,
        })
    }

    /// Returns the losses on the validation set.
    pub fn eval_losses(&self) -> Vec<Point> {
        self.evaluations().map(|eval| (eval.step as f64, eval.loss())).collect()
    }

    /// Returns a classifier's accuracies on the validation set.
    pub fn eval_accuracies(&self) -> Vec<Point> {
        self.evaluations().filter_map(|eval| Some((eval.step as f64, eval.metric("accuracy")?))).collect()
    }

    /// Formats `trainer_log.jsonl` as the program writes it: one line for each logged step and each evaluation.
    pub fn jsonl(&self) -> String {
        let lines = self.lines.iter().filter_map(|line| serde_json::to_string(line).ok());
        lines.fold(String::new(), |text, line| text + &line + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_a_line_a_report_and_reads_back() {
        let log = |step| StepLog {
            step,
            epoch: 0.5,
            loss: 1.25,
            learning_rate: 1e-3,
            grad_norm: 0.5,
            tokens_per_second: 10.0,
            elapsed_seconds: 1.0,
            remaining_seconds: 2.0,
            memory_bytes: 0,
            device_memory_bytes: 0,
            kernel_flops: None,
            kernel_bytes: None,
            loss_scale: None,
            skipped_steps: None,
        };
        let mut history = History::default();
        assert!(history.is_empty() && history.jsonl().is_empty());
        history.log(log(1));
        history.log(log(2));
        let evaluation = Evaluation {
            step: 2,
            epoch: 1.0,
            eval_runtime: 2.0,
            eval_samples_per_second: 4.0,
            metrics: [("eval_loss".to_owned(), 1.5), ("eval_bleu".to_owned(), 0.25)].into(),
        };
        history.evaluate(evaluation.clone());
        assert_eq!(history.losses(), [(1.0, 1.25), (2.0, 1.25)]);
        assert_eq!(history.eval_losses(), [(2.0, 1.5)]);
        let lines: Vec<LogLine> =
            history.jsonl().lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
        assert_eq!(lines, [LogLine::Step(log(1)), LogLine::Step(log(2)), LogLine::Evaluated(evaluation)]);
    }
}
