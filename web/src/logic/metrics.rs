//! Names and values of an evaluation's metrics, as text.

use super::format::{decimal, percent};
use super::texts::Texts;

/// Returns a metric's name in the page's language, or its name in the log where the language has no word for it.
pub fn name(texts: &Texts, metric: &str) -> String {
    match metric {
        "accuracy" => texts.accuracy.to_owned(),
        "f1" => "F1".to_owned(),
        "perplexity" => texts.perplexity.to_owned(),
        other => other.replace('_', " "),
    }
}

/// Formats a metric's value; shares are in per cent.
pub fn value(metric: &str, value: f64) -> String {
    match metric {
        "accuracy" => percent(value, 1.0),
        _ => decimal(value),
    }
}
