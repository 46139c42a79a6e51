//! The curves of a run, as a table of its log.

use std::collections::{BTreeMap, BTreeSet};

use lorelei_protocol::{Evaluation, LogLine};

/// Largest number of rows.
const MOST: usize = 20;

/// Values that were logged at a step.
#[derive(Default)]
struct Row<'l> {
    epoch: f64,
    loss: Option<f64>,
    evaluation: Option<&'l Evaluation>,
}

/// Formats losses and metrics by step as a table in Markdown, which every hub shows. It has at most 20 rows, evaluations first, the others at even
/// distances. Empty for a log of less than two steps, which is no curve.
pub fn results(log: &[LogLine]) -> String {
    let mut rows: BTreeMap<usize, Row<'_>> = BTreeMap::new();
    for line in log {
        match line {
            LogLine::Step(step) => {
                let row = rows.entry(step.step).or_default();
                (row.epoch, row.loss) = (step.epoch, Some(step.loss));
            }
            LogLine::Evaluated(evaluation) => {
                let row = rows.entry(evaluation.step).or_default();
                (row.epoch, row.evaluation) = (evaluation.epoch, Some(evaluation));
            }
        }
    }
    if rows.len() < 2 {
        return String::new();
    }
    let metrics = metrics(&rows);
    let shown = shown(&rows);
    let some = match shown.len() < rows.len() {
        true => format!("\n{} of the {} steps in the log:\n", shown.len(), rows.len()),
        false => String::new(),
    };
    let titles = metrics.iter().map(|name| match *name {
        "eval_loss" => " Validation loss |".to_owned(),
        name => format!(" {} |", name.strip_prefix("eval_").unwrap_or(name)),
    });
    let lines = rows.iter().filter(|(step, _)| shown.contains(step)).map(|(step, row)| {
        let cell = |value: Option<f64>| value.map_or(" |".to_owned(), |value| format!(" {value:.4} |"));
        let of = |name: &&str| cell(row.evaluation.and_then(|found| found.metrics.get(*name)).copied());
        let metrics = metrics.iter().map(of).collect::<String>();
        format!("| {step} | {:.2} |{}{metrics}\n", row.epoch, cell(row.loss))
    });
    format!(
        "{some}\n| Step | Epoch | Training loss |{}\n|---|---|---|{}\n{}",
        titles.collect::<String>(),
        "---|".repeat(metrics.len()),
        lines.collect::<String>()
    )
}

/// Returns the metrics that were measured, the loss first.
fn metrics<'l>(rows: &BTreeMap<usize, Row<'l>>) -> Vec<&'l str> {
    let measured = rows.values().filter_map(|row| row.evaluation).flat_map(|found| found.metrics.keys());
    let names: BTreeSet<&str> = measured.map(String::as_str).collect();
    let (loss, others): (Vec<&str>, Vec<&str>) = names.into_iter().partition(|name| *name == "eval_loss");
    [loss, others].concat()
}

/// Returns the steps whose rows are shown.
fn shown(rows: &BTreeMap<usize, Row<'_>>) -> BTreeSet<usize> {
    let (evaluated, logged): (Vec<usize>, Vec<usize>) =
        rows.keys().partition(|step| rows.get(step).is_some_and(|row| row.evaluation.is_some()));
    let evaluated = evenly(&evaluated, MOST);
    let logged = evenly(&logged, MOST - evaluated.len());
    evaluated.into_iter().chain(logged).collect()
}

/// Returns at most `most` of the steps, at even distances, the first and the last among them.
fn evenly(steps: &[usize], most: usize) -> Vec<usize> {
    match (most, steps.len().checked_sub(1)) {
        (_, None) | (0, _) => Vec::new(),
        (1, Some(last)) => steps.get(last).copied().into_iter().collect(),
        (most, Some(last)) if last >= most => {
            (0..most).filter_map(|at| steps.get(at * last / (most - 1))).copied().collect()
        }
        _ => steps.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: usize, loss: f64) -> String {
        format!(
            "{{\"step\":{step},\"epoch\":{},\"loss\":{loss},\"learning_rate\":0.1,\"grad_norm\":1.0,\"tokens_per_second\":1.0,\
             \"elapsed_seconds\":1.0,\"remaining_seconds\":0.0,\"memory_bytes\":0}}\n",
            step as f64 / 100.0
        )
    }

    fn evaluation(step: usize, metrics: &str) -> String {
        format!(
            "{{\"step\":{step},\"epoch\":{},\"eval_runtime\":1.0,\"eval_samples_per_second\":1.0,{metrics}}}\n",
            step as f64 / 100.0
        )
    }

    fn table(log: &str) -> String {
        results(&log.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>())
    }

    /// Returns the steps of a table's rows.
    fn steps(table: &str) -> Vec<usize> {
        let first = |line: &str| line.strip_prefix("| ")?.split(' ').next()?.parse().ok();
        table.lines().filter_map(first).collect()
    }

    #[test]
    fn losses_and_metrics_stand_beside_each_other_by_step() {
        let log = step(10, 2.0)
            + &step(20, 1.5)
            + &evaluation(20, "\"eval_accuracy\":0.5,\"eval_loss\":1.75")
            + &evaluation(25, "\"eval_accuracy\":0.75,\"eval_loss\":1.25");
        assert_eq!(
            table(&log),
            "\n| Step | Epoch | Training loss | Validation loss | accuracy |\n|---|---|---|---|---|\n\
             | 10 | 0.10 | 2.0000 | | |\n| 20 | 0.20 | 1.5000 | 1.7500 | 0.5000 |\n| 25 | 0.25 | | 1.2500 | 0.7500 |\n"
        );
        assert_eq!(
            table(&(step(1, 2.0) + &step(2, 1.0))),
            "\n| Step | Epoch | Training loss |\n|---|---|---|\n| 1 | 0.01 | 2.0000 |\n| 2 | 0.02 | 1.0000 |\n"
        );
    }

    #[test]
    fn a_single_step_is_no_curve() {
        assert_eq!(table(""), "");
        assert_eq!(table(&(step(1, 2.0) + &evaluation(1, "\"eval_loss\":1.0"))), "");
    }

    #[test]
    fn a_long_log_has_twenty_rows_with_its_ends_and_its_evaluations() {
        let log: String = (1..=500).map(|at| step(at, 1.0 / at as f64)).collect();
        let found = table(&log);
        assert!(found.starts_with("\n20 of the 500 steps in the log:\n\n| Step"), "{found}");
        let found = steps(&found);
        assert_eq!((found.len(), found.first(), found.last()), (20, Some(&1), Some(&500)), "{found:?}");
        let gaps: BTreeSet<usize> = found.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| [26, 27].contains(gap)), "{gaps:?}");

        let evaluations: String =
            [123, 246, 500].map(|at| evaluation(at, "\"eval_loss\":1.0")).into_iter().collect();
        let found = steps(&table(&(log.clone() + &evaluations)));
        assert!(found.len() == 20 && [1, 123, 246, 500].iter().all(|at| found.contains(at)), "{found:?}");

        let evaluations: String = (1..=40).map(|at| evaluation(at * 10, "\"eval_loss\":1.0")).collect();
        let found = steps(&table(&(log + &evaluations)));
        assert!(found.len() == 20 && found.iter().all(|at| at % 10 == 0), "{found:?}");
        assert_eq!((found.first(), found.last()), (Some(&10), Some(&400)));
    }

    #[test]
    fn a_resumed_run_s_step_stands_once() {
        let log = step(1, 3.0) + &step(2, 2.0) + &step(2, 1.0) + &step(3, 0.5);
        assert_eq!(steps(&table(&log)), [1, 2, 3]);
        assert!(table(&log).contains("| 2 | 0.02 | 1.0000 |"));
    }
}
