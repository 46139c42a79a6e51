//! A row as the model sees it: each token as text, and whether it is learnt.

use crate::{
    encode::{Example, IGNORE_INDEX},
    tokenizer::Tokenizer,
};

/// A token as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownToken {
    /// Its text; a token that is a part of a character shows a stand-in.
    pub text: String,
    /// Its id.
    pub id: u32,
    /// Whether the loss counts it. The first token of a row never is: nothing predicts it.
    pub learnt: bool,
}

/// The tokens of an example.
pub fn shown(example: &Example, tokenizer: &Tokenizer) -> Vec<ShownToken> {
    let token = |(at, (&id, &label)): (usize, (&u32, &i64))| ShownToken {
        text: tokenizer.decode(&[id], false).unwrap_or_default(),
        id,
        learnt: at > 0 && label != IGNORE_INDEX,
    };
    example.input_ids.iter().zip(&example.labels).enumerate().map(token).collect()
}
