//! Results of a classifier.

use serde::{Deserialize, Serialize};

/// Result of a classifier for a text, by the kind of its labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "problem_type", rename_all = "snake_case")]
pub enum Verdict {
    /// The text has one class.
    SingleLabelClassification {
        /// All classes, the likeliest first; their scores add up to 1.
        classes: Vec<LabelScore>,
    },
    /// The text has any number of classes.
    MultiLabelClassification {
        /// All classes, the likeliest first, each with a score of its own.
        classes: Vec<LabelScore>,
    },
    /// The text has a number.
    Regression {
        /// The number.
        value: f64,
    },
    /// Each word of the text has a class.
    TokenClassification {
        /// The words that fit into the model's context.
        words: Vec<TaggedWord>,
    },
}

/// A class and its probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelScore {
    /// The class.
    pub label: String,
    /// Probability of the class, 0 to 1.
    pub score: f64,
}

/// A word and its likeliest class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaggedWord {
    /// The word.
    pub word: String,
    /// Its likeliest class.
    #[serde(flatten)]
    pub best: LabelScore,
}
