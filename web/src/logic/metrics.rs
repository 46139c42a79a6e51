//! What an evaluation measures, in words.

use super::format::{decimal, percent};
use super::texts::Texts;

/// What a metric is called in the page's language; one that it has no word for, as in the log.
pub fn name(texts: &Texts, metric: &str) -> String {
    match metric {
        "accuracy" => texts.accuracy.to_owned(),
        "f1" => "F1".to_owned(),
        other => other.replace('_', " "),
    }
}

/// A metric's value: shares in per cent.
pub fn value(metric: &str, value: f64) -> String {
    match metric {
        "accuracy" => percent(value, 1.0),
        _ => decimal(value),
    }
}
