//! What a run learns from: token ids, and a target that says what they teach.

use lorelei_recipe::TruncationSide;

/// The label of a token that is not learnt, as in PyTorch's cross entropy.
pub const IGNORE_INDEX: i64 = -100;

/// Token ids and what they teach.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Example {
    /// Token ids.
    pub input_ids: Vec<u32>,
    /// Of a pair of texts, which of the two each token is of, where the tokenizer tells (BERT's does); else empty.
    pub token_type_ids: Vec<u32>,
    /// What is to be said of them.
    pub target: Target,
}

/// What an example teaches. All examples of a run are of one kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// To write: a label for each token, not shifted; the token's own id where it is learnt, else [`IGNORE_INDEX`].
    Tokens(Vec<i64>),
    /// To classify tokens: the class of each, or [`IGNORE_INDEX`].
    Tags(Vec<i64>),
    /// The class of the text.
    Class(u32),
    /// Of several classes a text may be of, `[labels]`: 1 for each that it is of, else 0.
    Classes(Vec<f32>),
    /// A number that the text has.
    Number(f32),
}

impl Default for Target {
    fn default() -> Self {
        Self::Tokens(Vec::new())
    }
}

impl Target {
    /// Labels by token; empty where the text as a whole has one.
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

    /// How often it counts in the loss. Of tokens to write, the first never does: nothing predicts it.
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
    /// Tokens to write: `labels` has one for each of `input_ids`.
    pub fn tokens(input_ids: Vec<u32>, labels: Vec<i64>) -> Self {
        Self { input_ids, target: Target::Tokens(labels), ..Self::default() }
    }

    /// All tokens from `start` on are learnt.
    pub(crate) fn learnt_from(input_ids: Vec<u32>, start: usize) -> Self {
        let label = |(at, &id): (usize, &u32)| if at < start { IGNORE_INDEX } else { i64::from(id) };
        let labels = input_ids.iter().enumerate().map(label).collect();
        Self::tokens(input_ids, labels)
    }

    /// Labels by token; empty where the text as a whole has one.
    pub fn labels(&self) -> &[i64] {
        self.target.labels()
    }

    /// How often it counts in the loss.
    pub fn num_targets(&self) -> usize {
        self.target.len()
    }

    /// Keeps `max_length` tokens: the first, or the last.
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

/// Leaves out the first `surplus` values, and of the others all after `count`.
fn keep<T>(values: &mut Vec<T>, surplus: usize, count: usize) {
    values.drain(..surplus.min(values.len()));
    values.truncate(count);
}
