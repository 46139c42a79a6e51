//! Encodes labelled texts and words for a classifier.

use lorelei_recipe::{Message, TruncationSide, message};
use serde_json::Value;

use super::{ClassNames, Labels, found::binary};
use crate::{
    encode::Fitted,
    error::{DataError, DataErrorKind},
    example::{Example, IGNORE_INDEX, Target},
    rows::{Row, bad},
    tokenizer::{Surrounded, Tokenizer},
};

impl Labels {
    /// Encodes a labelled row as at most `max_length` tokens, including the special ones that the tokenizer adds.
    ///
    /// The first token of each word has the word's class, as in Transformers' `run_ner.py`.
    ///
    /// # Errors
    ///
    /// If the row has no label, no token, or a label that is not among the classes. If its label is -1 and so stands for none, the error is of kind
    /// [`DataErrorKind::NoLabel`].
    pub(crate) fn encode(
        &self,
        row: &Row,
        tokenizer: &Tokenizer,
        max_length: usize,
        side: TruncationSide,
    ) -> Result<Fitted, DataError> {
        match (self, row) {
            (
                Labels::Classes(_) | Labels::Several(_) | Labels::MultiHot(_) | Labels::Number,
                Row::Labelled { text, text_pair, label },
            ) => {
                let texts = tokenizer.encode_texts(text, text_pair.as_deref(), max_length, side)?;
                self.encode_texts(texts, label)
            }
            (Labels::Tags(_), Row::Words { words, tags }) => {
                self.encode_words(tokenizer.encode_words(words, max_length, side)?, tags)
            }
            (Labels::Tags(names), Row::Tokens { input_ids, labels }) => {
                let labels = labels.iter().map(|label| self.class_of_token(names, *label));
                let labels = labels.collect::<Result<Vec<_>, _>>()?;
                let mut example = Example {
                    target: Target::Tags(labels),
                    ..Example::tokens(input_ids.clone(), Vec::new())
                };
                let (num_targets, was_cut) = (example.num_targets(), input_ids.len() > max_length);
                example.truncate(max_length, side);
                match example.input_ids.is_empty() {
                    true => Err(too_short()),
                    false => Ok(Fitted { num_targets, example, was_cut }),
                }
            }
            (Labels::Tags(_), _) => Err(bad(message!("the row has no words with tags"), WORDS)),
            _ => Err(bad(message!("the row has no label"), TEXTS)),
        }
    }

    fn encode_texts(&self, texts: Surrounded, label: &Value) -> Result<Fitted, DataError> {
        let was_cut = texts.was_cut;
        let example = Example { target: self.target(label)?, ..unlabelled(texts) };
        // A single token is the one that every text begins with.
        match example.input_ids.len() {
            0 | 1 => Err(too_short()),
            _ => Ok(Fitted { num_targets: 1, example, was_cut }),
        }
    }

    fn encode_words(&self, found: Surrounded, tags: &[Value]) -> Result<Fitted, DataError> {
        let was_cut = found.was_cut;
        let firsts = first_tokens(&found.words);
        if firsts.is_empty() {
            return Err(too_short());
        }
        let mut labels = vec![IGNORE_INDEX; found.ids.len()];
        for (word, token) in firsts {
            match tags.get(word) {
                Some(tag) if !self.is_no_label(tag) => labels[token] = i64::from(self.class(tag)?),
                _ => {}
            }
        }
        let example = Example { target: Target::Tags(labels), ..unlabelled(found) };
        Ok(Fitted { num_targets: example.num_targets(), example, was_cut })
    }

    fn class_of_token(&self, names: &ClassNames, label: i64) -> Result<i64, DataError> {
        if label == IGNORE_INDEX {
            return Ok(IGNORE_INDEX);
        }
        let class = names.class_of(label).map(i64::from);
        class.ok_or_else(|| {
            let (label, classes) = (label.to_string(), self.listed());
            bad(message!("label {label} is none of the training rows': {classes}", label, classes), "")
        })
    }

    /// Encodes one text or two without a label, for a classifier to predict it. If words have labels, the text is split into words at its spaces.
    ///
    /// # Errors
    ///
    /// If the text has too few tokens, or the tokenizer refuses it.
    pub fn question(
        &self,
        text: &str,
        text_pair: Option<&str>,
        tokenizer: &Tokenizer,
        max_length: usize,
        side: TruncationSide,
    ) -> Result<Question, DataError> {
        if !matches!(self, Labels::Tags(_)) {
            let texts = tokenizer.encode_texts(text, text_pair, max_length, side)?;
            let example = unlabelled(texts);
            return match example.input_ids.len() {
                0 | 1 => Err(too_short()),
                _ => Ok(Question { example, words: Vec::new() }),
            };
        }
        let words: Vec<String> = text
            .split_whitespace()
            .chain(text_pair.into_iter().flat_map(str::split_whitespace))
            .map(str::to_owned)
            .collect();
        let found = tokenizer.encode_words(&words, max_length, side)?;
        let firsts = first_tokens(&found.words);
        match firsts.is_empty() {
            true => Err(too_short()),
            false => {
                let words = firsts.into_iter().map(|(word, token)| (words[word].clone(), token)).collect();
                Ok(Question { example: unlabelled(found), words })
            }
        }
    }

    /// Converts the label of a text to a target.
    pub(super) fn target(&self, label: &Value) -> Result<Target, DataError> {
        match (self, label) {
            (Labels::Classes(_) | Labels::Tags(_), _) => Ok(Target::Class(self.class(label)?)),
            (Labels::Number, _) => match label.as_f64() {
                Some(number) if number.is_finite() => Ok(Target::Number(number as f32)),
                _ => {
                    let problem =
                        message!("label {label} is no number, as others are", label = label.to_string());
                    Err(bad(problem, message!("correct it")))
                }
            },
            (Labels::Several(names), Value::Array(several)) => {
                let mut values = vec![0.0; names.len()];
                for label in several {
                    if let Some(value) = values.get_mut(self.class(label)? as usize) {
                        *value = 1.0;
                    }
                }
                Ok(Target::Classes(values))
            }
            (Labels::MultiHot(names), Value::Array(entries)) => multi_hot(names.len(), entries),
            (Labels::Several(_) | Labels::MultiHot(_), _) => {
                let problem = message!("label {label} is no list, as others are", label = label.to_string());
                Err(bad(problem, message!("write it as a list of one")))
            }
        }
    }
}

/// A text without its labels, for a classifier to predict them.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Its tokens.
    pub example: Example,
    /// Each word that is not cut off, with its first token; empty where texts have labels.
    pub words: Vec<(String, usize)>,
}

/// Creates an example of tokens without labels.
fn unlabelled(tokens: Surrounded) -> Example {
    let Surrounded { ids, type_ids, .. } = tokens;
    let token_type_ids = if type_ids.iter().all(|id| *id == 0) { Vec::new() } else { type_ids };
    let labels = vec![IGNORE_INDEX; ids.len()];
    Example { token_type_ids, ..Example::tokens(ids, labels) }
}

/// Returns each word with its first token. `words` has the word of each token.
fn first_tokens(words: &[Option<usize>]) -> Vec<(usize, usize)> {
    let is_first = |at: &usize| words[*at].is_some() && (*at == 0 || words[at - 1] != words[*at]);
    (0..words.len()).filter(is_first).filter_map(|at| Some((words[at]?, at))).collect()
}

/// Returns the target of a label that lists a 0 or a 1 for each class.
fn multi_hot(num_classes: usize, entries: &[Value]) -> Result<Target, DataError> {
    if entries.len() != num_classes {
        let problem = message!(
            "label lists {count} numbers, and there are {classes} classes: other rows list a 0 or a 1 for each",
            count = entries.len(),
            classes = num_classes
        );
        return Err(bad(
            problem,
            message!("correct it, or list the names of each text's classes in every row"),
        ));
    }
    let value = |(at, entry): (usize, &Value)| match binary(entry) {
        Some(is_class) => Ok(f32::from(u8::from(is_class))),
        None => {
            let (name, value) = (format!("label[{at}]"), entry.to_string());
            Err(bad(message!("{name} is {value}, expected 0 or 1", name, value), ""))
        }
    };
    entries.iter().enumerate().map(value).collect::<Result<_, _>>().map(Target::Classes)
}

pub(super) const TEXTS: Message = message!(
    "a classifier of texts learns from rows of {\"text\", \"label\"} or {\"text\", \"text_pair\", \"label\"}: say in \
     data.columns which column is which, and have data.on_bad_row = \"skip\" leave out rows without a label"
);

pub(super) const WORDS: Message = message!(
    "a classifier of tokens learns from rows of {\"tokens\", \"tags\"} or {\"input_ids\", \"labels\"}: say in \
     data.columns which column is which"
);

fn too_short() -> DataError {
    DataError::new(
        DataErrorKind::EmptyRow,
        message!("the text has too few tokens"),
        message!("leave the row out"),
    )
}
