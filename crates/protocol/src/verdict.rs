//! What a classifier says of a text.

use serde::{Deserialize, Serialize};

/// What a classifier says, by what it has learnt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "problem_type", rename_all = "snake_case")]
pub enum Verdict {
    /// The text is of one class.
    SingleLabelClassification {
        /// All classes, the likeliest first; their scores add up to 1.
        classes: Vec<LabelScore>,
    },
    /// It is of any number of them.
    MultiLabelClassification {
        /// All classes, the likeliest first, each with a score of its own.
        classes: Vec<LabelScore>,
    },
    /// It has a number.
    Regression {
        /// The number.
        value: f64,
    },
    /// Each of its words is of a class.
    TokenClassification {
        /// The words, as far as the model's context goes.
        words: Vec<TaggedWord>,
    },
}

/// A class, and how likely it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelScore {
    /// The class.
    pub label: String,
    /// 0 to 1.
    pub score: f64,
}

/// A word and its likeliest class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaggedWord {
    /// The word.
    pub word: String,
    /// Its class.
    #[serde(flatten)]
    pub best: LabelScore,
}
