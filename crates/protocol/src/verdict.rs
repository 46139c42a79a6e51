//! What a classifier says of a text.

use serde::{Deserialize, Serialize};

/// What a classifier says, by what it has learnt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "problem_type", rename_all = "snake_case")]
pub enum Verdict {
    /// The text is of one class.
    SingleLabelClassification {
        /// All classes, the likeliest first; their chances add up to 1.
        classes: Vec<Chance>,
    },
    /// It is of any number of them.
    MultiLabelClassification {
        /// All classes, the likeliest first, each with a chance of its own.
        classes: Vec<Chance>,
    },
    /// It has a number.
    Regression {
        /// The number.
        value: f64,
    },
    /// Each of its words is of a class.
    TokenClassification {
        /// The words, as far as the model's context goes.
        words: Vec<Tagged>,
    },
}

/// A class, and how likely it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chance {
    /// The class.
    pub label: String,
    /// 0 to 1.
    pub score: f64,
}

/// A word and its likeliest class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tagged {
    /// The word.
    pub word: String,
    /// Its class.
    #[serde(flatten)]
    pub chance: Chance,
}
