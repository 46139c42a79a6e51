//! A row as the model sees it: each token as text, and whether it is learnt.

use crate::{
    example::{Example, IGNORE_INDEX, Target},
    tokenizer::Tokenizer,
};

/// A token in readable form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownToken {
    /// Text of the token; a token that is a part of a character has a replacement character.
    pub text: String,
    /// Id of the token.
    pub id: u32,
    /// Whether the loss counts the token, or its class.
    pub learnt: bool,
}

/// Converts the tokens of an example to readable form.
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
