//! Examples that a run learns from: token ids, and a target.

use lorelei_recipe::TruncationSide;

/// The label of a token that is not learnt, as in PyTorch's cross entropy.
pub const IGNORE_INDEX: i64 = -100;

/// Token ids and their target.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Example {
    /// Token ids.
    pub input_ids: Vec<u32>,
    /// Text of a pair that each token belongs to, where the tokenizer reports it (BERT's does); else empty.
    pub token_type_ids: Vec<u32>,
    /// Target of the tokens.
    pub target: Target,
}

/// Target of an example. All examples of a run have the same kind of target.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Labels of a text to write, one for each token, not shifted: the token's own id where it is learnt, else [`IGNORE_INDEX`].
    Tokens(Vec<i64>),
    /// Class of each token, or [`IGNORE_INDEX`].
    Tags(Vec<i64>),
    /// The class of the text.
    Class(u32),
    /// Classes of a text that may belong to several, `[labels]`: 1 for each that it belongs to, else 0.
    Classes(Vec<f32>),
    /// A number that is predicted from the text.
    Number(f32),
}

impl Default for Target {
    fn default() -> Self {
        Self::Tokens(Vec::new())
    }
}

impl Target {
    /// Labels by token; empty where the text has one label as a whole.
    pub fn labels(&self) -> &[i64] {
        match self {
            Self::Tokens(labels) | Self::Tags(labels) => labels,
            Self::Class(_) | Self::Classes(_) | Self::Number(_) => &[],
        }
    }

    fn labels_mut(&mut self) -> Option<&mut Vec<i64>> {
        match self {
            Self::Tokens(labels) | Self::Tags(labels) => Some(labels),
            Self::Class(_) | Self::Classes(_) | Self::Number(_) => None,
        }
    }

    /// Number of times that it counts in the loss. The first of the tokens to write never counts: nothing predicts it.
    pub fn len(&self) -> usize {
        let is_learnt = |label: &&i64| **label != IGNORE_INDEX;
        match self {
            Self::Tokens(labels) => labels.iter().skip(1).filter(is_learnt).count(),
            Self::Tags(labels) => labels.iter().filter(is_learnt).count(),
            Self::Class(_) | Self::Classes(_) | Self::Number(_) => 1,
        }
    }

    /// Whether nothing is learnt.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Example {
    /// Creates an example of tokens to write. `labels` has one label for each of `input_ids`.
    pub fn tokens(input_ids: Vec<u32>, labels: Vec<i64>) -> Self {
        Self { input_ids, target: Target::Tokens(labels), ..Self::default() }
    }

    /// Creates an example whose tokens from `start` on are all learnt.
    pub(crate) fn learnt_from(input_ids: Vec<u32>, start: usize) -> Self {
        let label = |(at, &id): (usize, &u32)| if at < start { IGNORE_INDEX } else { i64::from(id) };
        let labels = input_ids.iter().enumerate().map(label).collect();
        Self::tokens(input_ids, labels)
    }

    /// Labels by token; empty where the text has one label as a whole.
    pub fn labels(&self) -> &[i64] {
        self.target.labels()
    }

    /// Number of times that it counts in the loss.
    pub fn num_targets(&self) -> usize {
        self.target.len()
    }

    /// Keeps `max_length` tokens: the first or the last ones, by `side`.
    pub(crate) fn truncate(&mut self, max_length: usize, side: TruncationSide) {
        let surplus = match side {
            TruncationSide::Left => self.input_ids.len().saturating_sub(max_length),
            TruncationSide::Right => 0,
        };
        keep(&mut self.input_ids, surplus, max_length);
        keep(&mut self.token_type_ids, surplus, max_length);
        if let Some(labels) = self.target.labels_mut() {
            keep(labels, surplus, max_length);
        }
    }
}

/// Removes the first `surplus` values, and all but the first `count` of the others.
fn keep<T>(values: &mut Vec<T>, surplus: usize, count: usize) {
    values.drain(..surplus.min(values.len()));
    values.truncate(count);
}
