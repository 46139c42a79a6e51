//! Texts with labels as what a classifier learns: a class for each text.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    encode::{Example, IGNORE_INDEX},
    error::{DataError, DataErrorKind},
    rows::Row,
    tokenizer::Tokenizer,
};

/// The classes of a data set, by their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes(Vec<String>);

impl Classes {
    /// The labels of `rows`: whole numbers from 0 are the classes themselves, all else is numbered in the order of the names.
    ///
    /// # Errors
    ///
    /// If a row has no label, or there is but one class.
    pub fn of<'r>(rows: impl Iterator<Item = &'r Row>) -> Result<Self, DataError> {
        let mut names = BTreeSet::new();
        let mut largest = Some(0);
        for row in rows {
            let label = label(row)?;
            let number = label.as_u64().filter(|number| *number < MOST);
            largest = largest.zip(number).map(|(largest, number)| largest.max(number));
            names.insert(text(label));
        }
        let classes = match largest {
            Some(largest) => (0..=largest).map(|class| class.to_string()).collect(),
            None => names.into_iter().collect::<Vec<_>>(),
        };
        match classes.len() {
            0 | 1 => Err(DataError::new(
                DataErrorKind::NothingToLearn,
                "all rows have the same label",
                "a classifier needs rows of at least two classes",
            )),
            _ => Ok(Self(classes)),
        }
    }

    /// Their labels, in the order of their numbers.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// The tokens of a labelled row, at most `max_length` of them, the special ones that the tokenizer adds included. The last one bears
    /// the class as its label, all others none.
    ///
    /// # Errors
    ///
    /// If it has no label, one that is not among the classes, two texts, or no token.
    pub fn encode(&self, row: &Row, tokenizer: &Tokenizer, max_length: usize) -> Result<Example, DataError> {
        let bad = |problem: String, help: &str| DataError::new(DataErrorKind::BadRow, problem, help);
        let name = text(label(row)?);
        let class = self.0.iter().position(|known| *known == name).ok_or_else(|| {
            bad(format!("label {name:?} is none of the training rows': {}", self.0.join(", ")), "")
        })?;
        let Row::Labelled { text, text_pair, .. } = row else {
            return Err(bad("the row has no text with a label".to_owned(), "give it text and label"));
        };
        if text_pair.is_some() {
            return Err(bad(
                "pairs of texts cannot be classified yet".to_owned(),
                "join text and text_pair into one text",
            ));
        }
        let mut ids = tokenizer.encode(text, true)?;
        if ids.len() > max_length {
            // What the tokenizer puts behind a text (BERT's [SEP]) stays behind it.
            let plain = tokenizer.encode(text, false)?;
            let behind = if ids.last() == plain.last() { None } else { ids.last().copied() };
            ids.truncate(max_length - usize::from(behind.is_some()));
            ids.extend(behind);
        }
        let mut labels = vec![IGNORE_INDEX; ids.len()];
        match labels.last_mut() {
            // A label counts where a token stands before it.
            Some(last) if ids.len() > 1 => *last = class as i64,
            _ => {
                let problem = "the text has too few tokens".to_owned();
                return Err(DataError::new(DataErrorKind::EmptyRow, problem, "leave the row out"));
            }
        }
        Ok(Example { input_ids: ids, labels })
    }
}

/// Numbers above are names.
const MOST: u64 = 1 << 16;

fn label(row: &Row) -> Result<&Value, DataError> {
    match row {
        Row::Labelled { label, .. } => Ok(label),
        _ => Err(DataError::new(
            DataErrorKind::BadRow,
            "the row has no label",
            "a classifier learns from rows of {\"text\", \"label\"}: say in data.columns which column is which",
        )),
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

    #[test]
    fn numbers_are_classes_and_names_get_numbers() {
        let of = |labels: Vec<Value>| {
            let rows: Vec<Row> = labels.into_iter().map(row).collect();
            Classes::of(rows.iter()).map(|classes| classes.0)
        };
        assert_eq!(of(vec![json!(2), json!(0)]).unwrap(), ["0", "1", "2"]);
        assert_eq!(of(vec![json!("spam"), json!("ham"), json!("spam")]).unwrap(), ["ham", "spam"]);
        assert_eq!(of(vec![json!(true), json!(false)]).unwrap(), ["false", "true"]);
        assert!(of(vec![json!("one"), json!("one")]).is_err());
        assert!(Classes::of([Row::Text("x".to_owned())].iter()).is_err());
    }
}
