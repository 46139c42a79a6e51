//! Encodes labelled texts and words for a classifier.

use std::collections::BTreeSet;

use lorelei_recipe::TruncationSide;
use serde_json::Value;

use crate::{
    encode::Fitted,
    error::{DataError, DataErrorKind},
    example::{Example, IGNORE_INDEX, Target},
    rows::{Row, bad},
    tokenizer::{Surrounded, Tokenizer},
};

/// Labels of a data set: Transformers' `problem_type`, and the names of the classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Labels {
    /// Each text has one class (`single_label_classification`).
    Classes(Vec<String>),
    /// Each word has one class.
    Tags(Vec<String>),
    /// Each text has any number of classes (`multi_label_classification`).
    Several(Vec<String>),
    /// Each text has a number (`regression`).
    Number,
}

/// Name of the file beside a classifier's adapter that holds the names of its classes, which PEFT's own files lack.
pub const LABELS_FILE: &str = "labels.json";

/// Upper bound of the numbers of classes: this number and larger ones are names.
const MOST: u64 = 1 << 16;

impl Labels {
    /// Determines the labels of the texts among `rows`. Rows without a label are ignored.
    ///
    /// Whole numbers from 0 are the classes themselves; all other labels are numbered in the order of the names. If a label is a list, a text has
    /// several classes: those of the list, or, if it is a list of fractions (`[0.0, 1.0]`), those whose entry is 1. If all labels are numbers and one
    /// has a fraction (`2.5`, `3.0`), the numbers themselves are learnt.
    ///
    /// # Errors
    ///
    /// If no row has a label, or there is but one class.
    pub fn of<'r>(rows: impl Iterator<Item = &'r Row>) -> Result<Self, DataError> {
        let mut found = Found::default();
        for row in rows {
            match row {
                Row::Labelled { label: Value::Array(several), .. } => {
                    found.is_list = true;
                    found.longest = found.longest.max(several.len());
                    several.iter().for_each(|label| found.add(label));
                }
                Row::Labelled { label, .. } => found.add(label),
                _ => {}
            }
        }
        found.labels()
    }

    /// Like [`Self::of`], but for the words among `rows`.
    ///
    /// # Errors
    ///
    /// If no word has a tag, or there is but one class.
    pub fn of_words<'r>(rows: impl Iterator<Item = &'r Row>) -> Result<Self, DataError> {
        let mut found = Found { of_words: true, ..Found::default() };
        for row in rows {
            if let Row::Words { tags, .. } = row {
                tags.iter().for_each(|tag| found.add(tag));
            }
        }
        found.labels()
    }

    /// Determines the classes of rows of tokens, whose labels are the numbers of their classes already.
    pub(crate) fn of_tokens<'r>(rows: impl Iterator<Item = &'r Row>) -> Self {
        let labels = rows.flat_map(|row| match row {
            Row::Tokens { labels, .. } => labels.as_slice(),
            _ => &[],
        });
        // A number that is no class's is a fault of its row, which the encoder reports.
        let classes = labels.copied().filter(|label| (0..MOST as i64).contains(label));
        let largest = classes.max().unwrap_or(0);
        Labels::Tags((0..=largest.max(1)).map(|class| class.to_string()).collect())
    }

    /// Names of the classes, in the order of their numbers; empty where the labels are numbers.
    pub fn names(&self) -> &[String] {
        match self {
            Labels::Classes(names) | Labels::Tags(names) | Labels::Several(names) => names,
            Labels::Number => &[],
        }
    }

    /// Number of rows of the head.
    pub fn num_labels(&self) -> usize {
        self.names().len().max(1)
    }

    /// Formats the contents of [`LABELS_FILE`], with Transformers' keys `problem_type` and `id2label`.
    pub fn to_json(&self) -> String {
        let named =
            self.names().iter().enumerate().map(|(number, name)| (number.to_string(), name.as_str().into()));
        let id2label: serde_json::Map<String, Value> = named.collect();
        let json = serde_json::json!({ "problem_type": self.problem_type(), "id2label": id2label });
        format!("{json:#}\n")
    }

    /// Parses the text that [`Self::to_json`] wrote.
    ///
    /// # Errors
    ///
    /// If the text has another form.
    pub fn from_json(text: &str) -> Result<Self, DataError> {
        let wrong = |problem: String| bad(problem, "train the adapter again, or remove the file");
        let json: Value =
            serde_json::from_str(text).map_err(|error| wrong(format!("it is no JSON: {error}")))?;
        let name = |number: usize| json["id2label"][number.to_string()].as_str().map(str::to_owned);
        let names: Vec<String> = (0..).map_while(name).collect();
        match json["problem_type"].as_str() {
            Some("regression") => Ok(Self::Number),
            Some(problem) if !names.is_empty() => match problem {
                "single_label_classification" => Ok(Self::Classes(names)),
                "multi_label_classification" => Ok(Self::Several(names)),
                TOKENS => Ok(Self::Tags(names)),
                other => Err(wrong(format!("problem_type {other:?} is none that is known"))),
            },
            _ => Err(wrong("it lacks problem_type or id2label".to_owned())),
        }
    }

    /// Returns Transformers' `problem_type`, or for words, which have none there, [`TOKENS`].
    fn problem_type(&self) -> &'static str {
        match self {
            Self::Classes(_) => "single_label_classification",
            Self::Tags(_) => TOKENS,
            Self::Several(_) => "multi_label_classification",
            Self::Number => "regression",
        }
    }

    /// Returns the names of a text's classes, or its number; `None` where its tokens have labels.
    pub fn text_label(&self, example: &Example) -> Option<String> {
        match &example.target {
            Target::Class(class) => self.names().get(*class as usize).cloned(),
            Target::Classes(values) => {
                let chosen = self.names().iter().zip(values).filter(|(_, value)| **value > 0.5);
                Some(chosen.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "))
            }
            Target::Number(number) => Some(number.to_string()),
            Target::Tokens(_) | Target::Tags(_) => None,
        }
    }

    /// Returns the name of a token's class, where it has one.
    pub fn token_label(&self, example: &Example, at: usize) -> Option<String> {
        match &example.target {
            Target::Tags(labels) => self.names().get(usize::try_from(*labels.get(at)?).ok()?).cloned(),
            Target::Tokens(_) | Target::Class(_) | Target::Classes(_) | Target::Number(_) => None,
        }
    }

    /// Encodes a labelled row as at most `max_length` tokens, including the special ones that the tokenizer adds.
    ///
    /// The first token of each word has the word's class, as in Transformers' `run_ner.py`.
    ///
    /// # Errors
    ///
    /// If the row has no label, no token, or a label that is not among the classes.
    pub(crate) fn encode(
        &self,
        row: &Row,
        tokenizer: &Tokenizer,
        max_length: usize,
        side: TruncationSide,
    ) -> Result<Fitted, DataError> {
        match (self, row) {
            (
                Labels::Classes(_) | Labels::Several(_) | Labels::Number,
                Row::Labelled { text, text_pair, label },
            ) => {
                let texts = tokenizer.encode_texts(text, text_pair.as_deref(), max_length, side)?;
                let was_cut = texts.was_cut;
                let example = Example { target: self.target(label)?, ..unlabelled(texts) };
                // A single token is the one that every text begins with.
                match example.input_ids.len() {
                    0 | 1 => Err(too_short()),
                    _ => Ok(Fitted { num_targets: 1, example, was_cut }),
                }
            }
            (Labels::Tags(_), Row::Words { words, tags }) => {
                let found = tokenizer.encode_words(words, max_length, side)?;
                let was_cut = found.was_cut;
                let firsts = first_tokens(&found.words);
                let mut labels = vec![IGNORE_INDEX; found.ids.len()];
                for (word, token) in firsts {
                    if let Some(tag) = tags.get(word) {
                        labels[token] = i64::from(self.class(tag)?);
                    }
                }
                let example = Example { target: Target::Tags(labels), ..unlabelled(found) };
                match example.num_targets() {
                    0 => Err(too_short()),
                    num_targets => Ok(Fitted { num_targets, example, was_cut }),
                }
            }
            (Labels::Tags(names), Row::Tokens { input_ids, labels }) => {
                let known = 0..names.len() as i64;
                if let Some(label) =
                    labels.iter().find(|label| **label != IGNORE_INDEX && !known.contains(label))
                {
                    let problem =
                        format!("label {label} is none of the training rows' {} classes", known.end);
                    return Err(bad(problem, ""));
                }
                let mut example = Example {
                    target: Target::Tags(labels.clone()),
                    ..Example::tokens(input_ids.clone(), Vec::new())
                };
                let (num_targets, was_cut) = (example.num_targets(), input_ids.len() > max_length);
                example.truncate(max_length, side);
                match example.input_ids.is_empty() {
                    true => Err(too_short()),
                    false => Ok(Fitted { num_targets, example, was_cut }),
                }
            }
            (Labels::Tags(_), _) => Err(bad("the row has no words with tags".to_owned(), WORDS)),
            _ => Err(bad("the row has no label".to_owned(), TEXTS)),
        }
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
    fn target(&self, label: &Value) -> Result<Target, DataError> {
        match (self, label) {
            (Labels::Classes(_) | Labels::Tags(_), _) => Ok(Target::Class(self.class(label)?)),
            (Labels::Number, _) => match label.as_f64() {
                Some(number) if number.is_finite() => Ok(Target::Number(number as f32)),
                _ => Err(bad(format!("label {label} is no number, as others are"), "correct it")),
            },
            (Labels::Several(names), Value::Array(several)) => {
                let mut values = vec![0.0; names.len()];
                let is_hot = several.len() == names.len() && several.iter().any(Value::is_f64);
                for (at, label) in several.iter().enumerate() {
                    match label.as_f64().filter(|_| is_hot) {
                        Some(value @ (0.0 | 1.0)) => values[at] = value as f32,
                        Some(value) => {
                            return Err(bad(format!("label[{at}] is {value}, expected 0.0 or 1.0"), ""));
                        }
                        None => values[self.class(label)? as usize] = 1.0,
                    }
                }
                Ok(Target::Classes(values))
            }
            (Labels::Several(_), _) => {
                Err(bad(format!("label {label} is no list, as others are"), "write it as a list of one"))
            }
        }
    }

    fn class(&self, label: &Value) -> Result<u32, DataError> {
        let name = text(label);
        let class = self.names().iter().position(|known| *known == name);
        class.map(|class| class as u32).ok_or_else(|| {
            bad(format!("label {name:?} is none of the training rows': {}", self.names().join(", ")), "")
        })
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

/// The `problem_type` of words.
const TOKENS: &str = "token_classification";

const TEXTS: &str = "a classifier of texts learns from rows of {\"text\", \"label\"} or {\"text\", \"text_pair\", \"label\"}: say in data.columns which column is which";

const WORDS: &str = "a classifier of tokens learns from rows of {\"tokens\", \"tags\"} or {\"input_ids\", \"labels\"}: say in data.columns which column is which";

fn too_short() -> DataError {
    DataError::new(DataErrorKind::EmptyRow, "the text has too few tokens", "leave the row out")
}

/// Properties of the labels of some rows.
#[derive(Default)]
struct Found {
    names: BTreeSet<String>,
    /// The largest label, where all are whole numbers.
    largest: u64,
    has_name: bool,
    /// Whether there is a whole number that is no class's number.
    has_other: bool,
    has_fraction: bool,
    of_words: bool,
    is_list: bool,
    longest: usize,
}

impl Found {
    fn add(&mut self, label: &Value) {
        self.has_fraction |= label.is_f64();
        match label.as_u64().filter(|number| *number < MOST) {
            Some(number) => self.largest = self.largest.max(number),
            None if label.is_number() => self.has_other |= !label.is_f64(),
            None => self.has_name = true,
        }
        self.names.insert(text(label));
    }

    fn labels(self) -> Result<Labels, DataError> {
        if self.names.is_empty() {
            return Err(DataError::new(
                DataErrorKind::NothingToLearn,
                if self.of_words { "no row has words with tags" } else { "no row has a label" },
                if self.of_words { WORDS } else { TEXTS },
            ));
        }
        let numbered = |count: u64| (0..count).map(|class| class.to_string()).collect::<Vec<_>>();
        let classes = match (self.has_name, self.has_fraction) {
            (false, true) if self.is_list => numbered(self.longest as u64),
            (false, true) if !self.of_words => return Ok(Labels::Number),
            (false, false) if !self.has_other => numbered(self.largest + 1),
            _ => self.names.into_iter().collect(),
        };
        match (classes.len(), self.is_list) {
            (0 | 1, _) => Err(DataError::new(
                DataErrorKind::NothingToLearn,
                "all rows have the same label",
                "a classifier needs rows of at least two classes",
            )),
            (_, true) => Ok(Labels::Several(classes)),
            _ if self.of_words => Ok(Labels::Tags(classes)),
            _ => Ok(Labels::Classes(classes)),
        }
    }
}

fn text(label: &Value) -> String {
    match label {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(label: Value) -> Row {
        Row::Labelled { text: "a".to_owned(), text_pair: None, label }
    }

    fn of(labels: Vec<Value>) -> Result<Labels, DataError> {
        let rows: Vec<Row> = labels.into_iter().map(row).collect();
        Labels::of(rows.iter())
    }

    fn names(of: &[&str]) -> Vec<String> {
        of.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let names = || names(&["air", "\"sea\"", "水"]);
        for labels in
            [Labels::Classes(names()), Labels::Tags(names()), Labels::Several(names()), Labels::Number]
        {
            assert_eq!(Labels::from_json(&labels.to_json()).unwrap(), labels);
        }
        for wrong in [
            "",
            "[]",
            "{\"problem_type\": \"regresion\", \"id2label\": {\"0\": \"a\"}}",
            "{\"id2label\": {\"0\": \"a\"}}",
        ] {
            assert!(Labels::from_json(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_are_classes_and_names_get_numbers() {
        assert_eq!(of(vec![json!(2), json!(0)]).unwrap(), Labels::Classes(names(&["0", "1", "2"])));
        let spam = of(vec![json!("spam"), json!("ham"), json!("spam")]).unwrap();
        assert_eq!(spam, Labels::Classes(names(&["ham", "spam"])));
        assert_eq!(of(vec![json!(true), json!(false)]).unwrap(), Labels::Classes(names(&["false", "true"])));
        assert_eq!(of(vec![json!(-1), json!(0.5), json!(2)]).unwrap(), Labels::Number);
        assert!(of(vec![json!(["only"]), json!([])]).is_err());
        let mixed = of(vec![json!(-1), json!(1)]).unwrap();
        assert_eq!(mixed, Labels::Classes(names(&["-1", "1"])));
        assert!(of(vec![json!("one"), json!("one")]).is_err());
        assert!(Labels::of([Row::Text("x".to_owned())].iter()).is_err());
    }

    #[test]
    fn fractions_are_numbers_and_lists_are_several() {
        let numbers = of(vec![json!(2), json!(2.5)]).unwrap();
        assert_eq!(numbers, Labels::Number);
        assert_eq!(numbers.target(&json!(2.5)).unwrap(), Target::Number(2.5));
        assert!(numbers.target(&json!("two")).is_err());
        let several = of(vec![json!(["sport", "news"]), json!([])]).unwrap();
        assert_eq!(several, Labels::Several(names(&["news", "sport"])));
        assert_eq!(several.target(&json!(["sport"])).unwrap(), Target::Classes(vec![0.0, 1.0]));
        assert!(several.target(&json!("sport")).is_err());
        assert!(several.target(&json!(["art"])).is_err());
        let hot = of(vec![json!([0.0, 1.0, 1.0]), json!([0.0, 0.0, 0.0])]).unwrap();
        assert_eq!(hot, Labels::Several(names(&["0", "1", "2"])));
        assert_eq!(hot.target(&json!([0.0, 1.0, 0.0])).unwrap(), Target::Classes(vec![0.0, 1.0, 0.0]));
        assert!(hot.target(&json!([0.0, 0.5, 0.0])).is_err());
        let numbered = of(vec![json!([0, 2]), json!([1])]).unwrap();
        assert_eq!(numbered.target(&json!([0, 2])).unwrap(), Target::Classes(vec![1.0, 0.0, 1.0]));
    }
}
