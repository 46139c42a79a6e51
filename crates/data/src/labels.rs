//! Labels of a data set: what they are, and the class of each.

mod encode;
mod file;
mod found;
mod names;

use lorelei_recipe::{Message, message};
use serde_json::Value;

use crate::{
    error::{DataError, DataErrorKind},
    example::{Example, IGNORE_INDEX, Target},
    rows::{Row, bad, kind},
};

pub use encode::Question;
pub use file::LABELS_FILE;
use found::{Found, NO_LABEL, classes_of_tokens, is_sentiment};
pub use names::ClassNames;
use names::{integer_text, name, whole};

/// Labels of a data set: Transformers' `problem_type`, and the names of the classes. Two are equal if these are: how the rows write their labels
/// makes no difference.
#[derive(Debug, Clone, Eq)]
pub enum Labels {
    /// Each text has one class (`single_label_classification`).
    Classes(ClassNames),
    /// Each word has one class.
    Tags(ClassNames),
    /// Each text has any number of classes (`multi_label_classification`). The rows list them.
    Several(ClassNames),
    /// The same, but the rows list a 0 or a 1 for each class.
    MultiHot(ClassNames),
    /// Each text has a number (`regression`).
    Number,
}

impl Labels {
    /// Determines the labels of the texts among `rows`, as Transformers' `run_classification.py` does. Rows without a label are ignored.
    ///
    /// - Whole numbers, and texts of them, are classes: the distinct values in their order. So are names; a truth value is named `True` or `False`.
    /// - -1 and -100 stand for no label where the others count from 0 and are at least two classes. -1 beside 0 and 1 alone is a class.
    /// - If a label has a fraction (`2.5`, `3.0`), and more have one than are no numbers, the numbers themselves are learnt.
    /// - If a label is a list, a text has several classes: those of the list, or those whose entry is 1, if the lists have an entry for each class.
    ///   They have if one has a fraction (`[0.0, 1.0]`), or if all entries are 0 or 1 and one list has one of them twice, or all have the same length
    ///   of two or more.
    ///
    /// # Errors
    ///
    /// If no row has a label, or there is but one class.
    pub fn of<'r>(rows: impl Iterator<Item = &'r Row>) -> Result<Self, DataError> {
        let mut found = Found::default();
        for row in rows {
            if let Row::Labelled { label, .. } = row {
                found.add(label);
            }
        }
        found.labels()
    }

    /// Like [`Self::of`], but for the words among `rows`. The tag -100 stands for none beside names, too.
    ///
    /// # Errors
    ///
    /// If no word has a tag, or there is but one class.
    pub fn of_words<'r>(rows: impl Iterator<Item = &'r Row>) -> Result<Self, DataError> {
        let mut found = Found::of_words();
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
        Labels::Tags(classes_of_tokens(labels))
    }

    fn classes(&self) -> Option<&ClassNames> {
        match self {
            Labels::Classes(names)
            | Labels::Tags(names)
            | Labels::Several(names)
            | Labels::MultiHot(names) => Some(names),
            Labels::Number => None,
        }
    }

    /// Names of the classes, in the order of their numbers; empty where the labels are numbers.
    pub fn names(&self) -> &[String] {
        self.classes().map_or(&[], |names| names)
    }

    /// Describes the labels to people. More than a few dozen classes are counted, not listed.
    pub fn summary(&self) -> String {
        let Some(names) = self.classes() else {
            return "the labels are numbers, as one of them has a fraction or a decimal point: the loss is the mean squared \
                    error"
                .to_owned();
        };
        let listed = if self.is_listed() { format!(": {}", self.listed()) } else { String::new() };
        let numbers = names.iter().map(|name| integer_text(name)).collect::<Option<_>>();
        let is_sentiment = numbers.is_some_and(|numbers| is_sentiment(&numbers));
        let remark = match self {
            Labels::MultiHot(_) => " (each label lists a 0 or a 1 for every class)",
            Labels::Classes(_) | Labels::Tags(_) if is_sentiment => {
                " (-1 is a class here: beside 0 and 1 alone it does not stand for no label)"
            }
            _ => "",
        };
        format!("{} classes{listed}{remark}", names.len())
    }

    /// Whether there are few enough classes to list them.
    pub fn is_listed(&self) -> bool {
        self.classes().is_some_and(|names| names.listed().is_some())
    }

    /// Lists the names of the classes for people, or says how many there are if they are more than a few dozen.
    pub fn listed(&self) -> Message {
        match self.classes() {
            Some(names) => {
                let counted = || message!("{count} classes", count = names.len());
                names.listed().map_or_else(counted, Message::from)
            }
            None => message!("numbers"),
        }
    }

    /// Number of rows of the head.
    pub fn num_labels(&self) -> usize {
        self.names().len().max(1)
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

    /// Returns the class of a label.
    ///
    /// # Errors
    ///
    /// If it is none of the classes: of kind [`DataErrorKind::NoLabel`] if it stands for no label.
    fn class(&self, label: &Value) -> Result<u32, DataError> {
        let Some(names) = self.classes() else { return Err(bad(message!("the labels are numbers"), "")) };
        names.class(label).ok_or_else(|| match name(label) {
            _ if self.is_no_label(label) => {
                let problem = message!("label {label} stands for no label", label = label.to_string());
                DataError::new(DataErrorKind::NoLabel, problem, "")
            }
            Some(name) => bad(
                message!(
                    "label {label} is none of the training rows': {classes}",
                    label = ?name,
                    classes = self.listed()
                ),
                message!("correct it, or have training rows with it too"),
            ),
            None => {
                let problem =
                    message!("a label is {found}, expected a name or a number", found = kind(label));
                bad(problem, message!("correct it"))
            }
        })
    }

    /// Returns the labels of a row that are none of the classes.
    pub(crate) fn unknown(&self, row: &Row) -> Vec<String> {
        let Some(names) = self.classes() else { return Vec::new() };
        let found: &[Value] = match (self, row) {
            (Labels::Classes(_), Row::Labelled { label, .. }) => std::slice::from_ref(label),
            (Labels::Several(_), Row::Labelled { label: Value::Array(labels), .. }) => labels,
            (Labels::Tags(_), Row::Words { tags, .. }) => tags,
            _ => &[],
        };
        let is_unknown = |label: &&Value| names.class(label).is_none() && !self.is_no_label(label);
        found.iter().filter(is_unknown).filter_map(name).collect()
    }

    /// Whether a label stands for none beside these classes: -1 or -100 beside whole numbers from 0, or the tag -100 of a word.
    fn is_no_label(&self, label: &Value) -> bool {
        let Some(number) = whole(label).filter(|number| NO_LABEL.contains(number)) else { return false };
        let is_free = |names: &ClassNames| {
            let is_ignored = matches!(self, Labels::Tags(_)) && number == IGNORE_INDEX;
            names.class(label).is_none() && (is_ignored || names.count_from_zero())
        };
        self.classes().is_some_and(is_free)
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.problem_type() == other.problem_type() && self.names() == other.names()
    }
}

#[cfg(test)]
mod tests;
