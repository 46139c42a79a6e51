//! Determines the labels of a data set from those of its rows, as Transformers' `run_classification.py` and `run_ner.py` do.

use std::collections::BTreeSet;

use lorelei_recipe::message;
use serde_json::Value;

use super::{
    Labels,
    encode::{TEXTS, WORDS},
    names::{ClassNames, integer, name},
};
use crate::{
    error::{DataError, DataErrorKind},
    example::IGNORE_INDEX,
};

/// Maximum length of a list that has a number for each class.
const MOST_ENTRIES: usize = 1 << 16;

/// Maximum number of entries of all rows, where each row has one for each class.
const MOST_CELLS: usize = 1 << 28;

/// Maximum number of classes in a row that no token has, among tokens whose labels are the numbers of their classes.
const MOST_ABSENT: i64 = 64;

/// Labels that stand for no label: `datasets`' for a row without one, and PyTorch's for one that is not learnt.
pub(super) const NO_LABEL: [i64; 2] = [-1, IGNORE_INDEX];

/// The labels found so far.
#[derive(Default)]
pub(super) struct Found {
    of_words: bool,
    names: BTreeSet<String>,
    integers: BTreeSet<i64>,
    /// Number of labels that are no numbers.
    num_names: usize,
    /// Number of labels with a fraction.
    num_fractions: usize,
    lists: Option<Lists>,
}

/// The lists among the labels.
struct Lists {
    count: usize,
    shortest: usize,
    longest: usize,
    /// Whether one has an entry twice.
    repeats: bool,
    /// Whether all entries are 0 or 1.
    is_binary: bool,
}

impl Found {
    /// Finds the tags of words.
    pub fn of_words() -> Self {
        Self { of_words: true, ..Self::default() }
    }

    /// Adds the label of a row or of a word. A label that is none is left to the encoder, which names its row.
    pub fn add(&mut self, label: &Value) {
        if let Value::Array(several) = label {
            self.add_list(several);
            return;
        }
        match integer(label) {
            Some(IGNORE_INDEX) if self.of_words => return,
            Some(number) => _ = self.integers.insert(number),
            None if label.is_f64() => self.num_fractions += 1,
            None => self.num_names += usize::from(name(label).is_some()),
        }
        self.names.extend(name(label));
    }

    fn add_list(&mut self, several: &[Value]) {
        let lists = self.lists.get_or_insert(Lists {
            count: 0,
            shortest: usize::MAX,
            longest: 0,
            repeats: false,
            is_binary: true,
        });
        let length = several.len();
        lists.count += 1;
        lists.shortest = lists.shortest.min(length);
        lists.longest = lists.longest.max(length);
        lists.is_binary &= several.iter().all(|entry| binary(entry).is_some());
        // Of three entries that are 0 or 1, two are the same.
        lists.repeats |= lists.is_binary && (length > 2 || (length == 2 && several[0] == several[1]));
        several.iter().filter(|entry| !entry.is_array()).for_each(|entry| self.add(entry));
    }

    /// Returns the labels.
    ///
    /// # Errors
    ///
    /// If there are none, or all are the same.
    pub fn labels(self) -> Result<Labels, DataError> {
        if self.names.is_empty() {
            return Err(DataError::new(
                DataErrorKind::NothingToLearn,
                match self.of_words {
                    true => message!("no row has words with tags"),
                    false => message!("no row has a label"),
                },
                if self.of_words { WORDS } else { TEXTS },
            ));
        }
        if let Some(length) = self.multi_hot() {
            return match length {
                0 | 1 => Err(DataError::new(
                    DataErrorKind::NothingToLearn,
                    message!("each label is a list of one number"),
                    message!("to learn the numbers themselves, write them without a list"),
                )),
                2..=MOST_ENTRIES => Ok(Labels::MultiHot(numbered(length))),
                _ => Err(DataError::new(
                    DataErrorKind::NothingToLearn,
                    message!("a label is a list of {length} numbers, one for each class", length),
                    message!(
                        "at most {most} classes can be learnt so: list the names of a text's classes",
                        most = MOST_ENTRIES
                    ),
                )),
            };
        }
        let (is_list, of_words) = (self.lists.is_some(), self.of_words);
        let rows = self.lists.as_ref().map_or(0, |lists| lists.count);
        // A few names among many fractions are mistakes: the encoder names their rows.
        if self.num_fractions > self.num_names && !is_list && !of_words {
            return Ok(Labels::Number);
        }
        let classes = self.classes();
        match classes.first() {
            Some(only) if classes.len() == 1 => Err(DataError::new(
                DataErrorKind::NothingToLearn,
                message!("all rows have the same label, {label}", label = ?only),
                message!("a classifier needs rows of at least two classes"),
            )),
            _ if is_list && rows.saturating_mul(classes.len()) > MOST_CELLS => Err(DataError::new(
                DataErrorKind::NothingToLearn,
                format!(
                    "{rows} rows of {} classes are too many: each row has a 0 or a 1 for each class",
                    classes.len()
                ),
                "leave out seldom classes, or rows",
            )),
            _ if is_list => Ok(Labels::Several(classes)),
            _ if of_words => Ok(Labels::Tags(classes)),
            _ => Ok(Labels::Classes(classes)),
        }
    }

    /// Returns the number of classes, if the lists have a number for each: numbers with a fraction, or zeros and ones that cannot be the numbers of
    /// a text's classes, because one is there twice or each list has both.
    fn multi_hot(&self) -> Option<usize> {
        let lists = self.lists.as_ref().filter(|lists| self.num_names == 0 || lists.is_binary)?;
        let is_equal = lists.shortest == lists.longest && lists.longest > 1;
        (self.num_fractions > 0 || lists.is_binary && (lists.repeats || is_equal)).then_some(lists.longest)
    }

    /// Returns the classes: whole numbers in their order, or names in theirs.
    fn classes(mut self) -> ClassNames {
        if self.num_names + self.num_fractions > 0 {
            return Vec::from_iter(self.names).into();
        }
        for none in NO_LABEL {
            if self.lists.is_none() && is_no_label(none, &self.integers) {
                self.integers.remove(&none);
            }
        }
        self.integers.iter().map(i64::to_string).collect::<Vec<_>>().into()
    }
}

/// Whether a number stands for no label among these: the others count from 0, there are at least two, and they are not the numbers of sentiment.
fn is_no_label(number: i64, among: &BTreeSet<i64>) -> bool {
    let others = || among.iter().filter(|other| !NO_LABEL.contains(other));
    let is_class = number == -1 && is_sentiment(among);
    among.contains(&number) && others().count() > 1 && others().all(|other| *other >= 0) && !is_class
}

/// Whether the labels are those of sentiment: -1 beside 1, or beside 0 and 1. It is a class among them.
pub(super) fn is_sentiment(labels: &BTreeSet<i64>) -> bool {
    let labels = || labels.iter().filter(|label| **label != IGNORE_INDEX);
    labels().eq(&[-1, 1]) || labels().eq(&[-1, 0, 1])
}

/// Returns whether an entry of a list is 1 rather than 0; `None` if it is neither.
pub(super) fn binary(entry: &Value) -> Option<bool> {
    match (integer(entry), entry.as_f64(), entry) {
        (Some(0), ..) | (_, _, Value::Bool(false)) => Some(false),
        (Some(1), ..) | (_, _, Value::Bool(true)) => Some(true),
        (_, Some(number), _) if number == 0.0 || number == 1.0 => Some(number == 1.0),
        _ => None,
    }
}

/// Returns the classes of tokens whose labels are the numbers of their classes, from 0 to the largest. A number far beyond the others is no class's:
/// the encoder names its row.
pub(super) fn classes_of_tokens<'l>(labels: impl Iterator<Item = &'l i64>) -> ClassNames {
    let found: BTreeSet<i64> = labels.copied().filter(|label| *label >= 0).collect();
    let mut largest = 1;
    for label in found {
        if label - largest > MOST_ABSENT {
            break;
        }
        largest = largest.max(label);
    }
    numbered(usize::try_from(largest).unwrap_or(1) + 1)
}

fn numbered(count: usize) -> ClassNames {
    (0..count).map(|class| class.to_string()).collect::<Vec<_>>().into()
}
