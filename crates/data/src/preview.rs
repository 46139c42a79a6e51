//! A row as the model sees it: each token as text, and whether it is learnt.

use crate::{
    example::{Example, IGNORE_INDEX, Target},
    tokenizer::Tokenizer,
};

/// A token as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownToken {
    /// Its text; a token that is a part of a character shows a stand-in.
    pub text: String,
    /// Its id.
    pub id: u32,
    /// Whether the loss counts it, or its class.
    pub learnt: bool,
}

/// The tokens of an example.
pub fn shown(example: &Example, tokenizer: &Tokenizer) -> Vec<ShownToken> {
    let token = |(at, &id): (usize, &u32)| ShownToken {
        text: tokenizer.decode(&[id], false).unwrap_or_default(),
        id,
        learnt: is_learnt(&example.target, at),
    };
    example.input_ids.iter().enumerate().map(token).collect()
}

fn is_learnt(target: &Target, at: usize) -> bool {
    let has_label = |labels: &[i64]| labels.get(at).is_some_and(|label| *label != IGNORE_INDEX);
    match target {
        Target::Tokens(labels) => at > 0 && has_label(labels),
        Target::Tags(labels) => has_label(labels),
        // The text as a whole is classified.
        Target::Class(_) | Target::Classes(_) | Target::Number(_) => false,
    }
}
