//! Encodes labelled texts and words for a classifier.

mod found;
mod names;

use lorelei_recipe::{Message, TruncationSide, message};
use serde_json::Value;

use crate::{
    encode::Fitted,
    error::{DataError, DataErrorKind},
    example::{Example, IGNORE_INDEX, Target},
    rows::{Row, bad, kind},
    tokenizer::{Surrounded, Tokenizer},
};

use found::{Found, NO_LABEL, binary, classes_of_tokens, is_sentiment};
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

/// Name of the file beside a classifier's adapter that holds the names of its classes, which PEFT's own files lack.
pub const LABELS_FILE: &str = "labels.json";

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
        let wrong = |problem: Message| bad(problem, message!("train the adapter again, or remove the file"));
        let json: Value = serde_json::from_str(text)
            .map_err(|error| wrong(message!("it is no JSON: {reason}", reason = error.to_string())))?;
        let name = |number: usize| json["id2label"][number.to_string()].as_str().map(str::to_owned);
        let names: Vec<String> = (0..).map_while(name).collect();
        match json["problem_type"].as_str() {
            Some("regression") => Ok(Self::Number),
            Some(problem) if !names.is_empty() => match problem {
                "single_label_classification" => Ok(Self::Classes(names.into())),
                "multi_label_classification" => Ok(Self::Several(names.into())),
                TOKENS => Ok(Self::Tags(names.into())),
                other => Err(wrong(message!("problem_type {value} is none that is known", value = ?other))),
            },
            _ => Err(wrong(message!("it lacks problem_type or id2label"))),
        }
    }

    /// Returns Transformers' `problem_type`, or for words, which have none there, [`TOKENS`].
    fn problem_type(&self) -> &'static str {
        match self {
            Self::Classes(_) => "single_label_classification",
            Self::Tags(_) => TOKENS,
            Self::Several(_) | Self::MultiHot(_) => "multi_label_classification",
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
            (Labels::Tags(names), Row::Tokens { input_ids, labels }) => {
                let labels = labels.iter().map(|label| match label {
                    &IGNORE_INDEX => Ok(IGNORE_INDEX),
                    label => names.class_of(*label).map(i64::from).ok_or_else(|| {
                        let (label, classes) = (label.to_string(), self.listed());
                        bad(
                            message!(
                                "label {label} is none of the training rows': {classes}",
                                label,
                                classes
                            ),
                            "",
                        )
                    }),
                });
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
            (Labels::MultiHot(names), Value::Array(entries)) => {
                if entries.len() != names.len() {
                    let problem = message!(
                        "label lists {count} numbers, and there are {classes} classes: other rows list a 0 or a 1 for each",
                        count = entries.len(),
                        classes = names.len()
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
            (Labels::Several(_) | Labels::MultiHot(_), _) => {
                let problem = message!("label {label} is no list, as others are", label = label.to_string());
                Err(bad(problem, message!("write it as a list of one")))
            }
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

const TEXTS: Message = message!(
    "a classifier of texts learns from rows of {\"text\", \"label\"} or {\"text\", \"text_pair\", \"label\"}: say in \
     data.columns which column is which, and have data.on_bad_row = \"skip\" leave out rows without a label"
);

const WORDS: Message = message!(
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

    fn names(of: &[&str]) -> ClassNames {
        of.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>().into()
    }

    fn row_of(label: String) -> Row {
        row(label.into())
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

    fn classes(of: &[&str]) -> Labels {
        Labels::Classes(names(of))
    }

    #[test]
    fn whole_numbers_are_the_distinct_values_in_their_order() {
        assert_eq!(of(vec![json!(2), json!(0)]).unwrap(), classes(&["0", "2"]));
        assert_eq!(of(vec![json!(10), json!(9), json!(10)]).unwrap(), classes(&["9", "10"]));
        assert_eq!(
            of((1..=5).map(|stars| json!(stars)).collect()).unwrap(),
            classes(&["1", "2", "3", "4", "5"])
        );
        assert_eq!(of(vec![json!("10"), json!("2"), json!(2)]).unwrap(), classes(&["2", "10"]));
        // Codes with zeros before them are names.
        assert_eq!(of(vec![json!("010"), json!("2")]).unwrap(), classes(&["010", "2"]));
        let odd = of(vec![json!(0), json!(1), json!(65_535), json!(u64::MAX)]).unwrap();
        assert_eq!(odd.num_labels(), 4);
        let many = of((0..7_305).map(|code| json!(3 * code)).collect()).unwrap();
        assert_eq!(many.summary(), "7305 classes");
        let unknown = many.target(&json!(1)).unwrap_err().problem;
        assert_eq!(unknown, "label \"1\" is none of the training rows': 7305 classes");
    }

    #[test]
    fn names_get_numbers_in_their_order() {
        let spam = of(vec![json!("spam"), json!("ham"), json!("spam")]).unwrap();
        assert_eq!(spam, classes(&["ham", "spam"]));
        assert_eq!(of(vec![json!(true), json!(false)]).unwrap(), classes(&["False", "True"]));
        assert_eq!(of(vec![json!("b, c"), json!("a")]).unwrap().summary(), "2 classes: a, \"b, c\"");
        assert_eq!(of(vec![json!(1), json!("one")]).unwrap(), classes(&["1", "one"]));
        let same = of(vec![json!("one"), json!("one")]).unwrap_err();
        assert_eq!(same.problem, "all rows have the same label, \"one\"");
        assert!(Labels::of([Row::Text("x".to_owned())].iter()).is_err());
    }

    #[test]
    fn minus_one_is_no_label_where_the_others_are_numbers_of_classes() {
        let of = |numbers: &[i64]| of(numbers.iter().map(|number| json!(number)).collect()).unwrap();
        let entailment = of(&[0, 2, 1, -1]);
        assert_eq!(entailment, classes(&["0", "1", "2"]));
        let error = entailment.target(&json!(-1)).unwrap_err();
        assert_eq!(
            (error.kind, error.problem.as_str()),
            (DataErrorKind::NoLabel, "label -1 stands for no label")
        );
        assert_eq!(entailment.target(&json!(-2)).unwrap_err().kind, DataErrorKind::BadRow);
        assert_eq!(of(&[-100, 4, 7]), classes(&["4", "7"]));
        assert_eq!(of(&[-1, 1]), classes(&["-1", "1"]));
        assert_eq!(of(&[-1, 0, 1]), classes(&["-1", "0", "1"]));
        for sentiment in [&[-1i64, 0, 1] as &[i64], &[-1, 1], &[-100, -1, 0, 1]] {
            assert!(of(sentiment).summary().contains("-1 is a class here"), "{sentiment:?}");
        }
        assert_eq!(of(&[-100, -1, 0, 1]), classes(&["-1", "0", "1"]));
        for other in [&[-1i64, 0, 1, 2] as &[i64], &[-2, -1, 1], &[0, 1]] {
            assert!(!of(other).summary().contains("is a class"), "{other:?}");
        }
        assert_eq!(of(&[-1, 0]), classes(&["-1", "0"]));
        assert_eq!(of(&[-2, -1, 0, 1, 2]), classes(&["-2", "-1", "0", "1", "2"]));
        // A validation row of a set whose training rows all have a label.
        assert_eq!(of(&[0, 1]).target(&json!(-1)).unwrap_err().kind, DataErrorKind::NoLabel);
        assert_eq!(classes(&["bad", "good"]).target(&json!(-1)).unwrap_err().kind, DataErrorKind::BadRow);
    }

    #[test]
    fn fractions_are_numbers() {
        assert_eq!(of(vec![json!(-1), json!(0.5), json!(2)]).unwrap(), Labels::Number);
        // datasets has 1.0 in a column of floats, from which run_classification.py learns numbers.
        assert_eq!(of(vec![json!(1.0), json!(0.0)]).unwrap(), Labels::Number);
        let numbers = of(vec![json!(2), json!(2.5)]).unwrap();
        assert_eq!(numbers, Labels::Number);
        assert_eq!(numbers.target(&json!(2.5)).unwrap(), Target::Number(2.5));
        assert!(numbers.target(&json!("two")).is_err());
        // A few that are none do not make a class of each number.
        assert_eq!(of(vec![json!(1.5), json!("n/a"), json!(2.5), json!(4)]).unwrap(), Labels::Number);
        assert_eq!(
            of(vec![json!("beta"), json!("rc"), json!(2.5)]).unwrap(),
            classes(&["2.5", "beta", "rc"])
        );
        // Whole numbers that pandas wrote with a point are the classes all the same.
        let stars = of(vec![json!(1), json!(5)]).unwrap();
        assert_eq!(stars.target(&json!(5.0)).unwrap(), Target::Class(1));
        assert_eq!(stars.target(&json!(-1.0)).unwrap_err().kind, DataErrorKind::NoLabel);
        assert!(stars.target(&json!(1.5)).is_err());
    }

    #[test]
    fn lists_are_several_classes() {
        assert!(of(vec![json!(["only"]), json!([])]).is_err());
        let several = of(vec![json!(["sport", "news"]), json!([])]).unwrap();
        assert_eq!(several, Labels::Several(names(&["news", "sport"])));
        assert_eq!(several.target(&json!(["sport"])).unwrap(), Target::Classes(vec![0.0, 1.0]));
        assert!(several.target(&json!("sport")).is_err());
        assert!(several.target(&json!(["art"])).is_err());
        assert!(several.target(&json!(["news", null])).unwrap_err().problem.contains("a label is null"));
        assert!(of(vec![json!([1.0]), json!([0.0])]).unwrap_err().problem.contains("a list of one number"));
        let numbered = of(vec![json!([0, 2]), json!([1])]).unwrap();
        assert_eq!(numbered.target(&json!([0, 2])).unwrap(), Target::Classes(vec![1.0, 0.0, 1.0]));
        // Lists of zeros and ones of different lengths, none twice, are the numbers of two classes.
        let two = of(vec![json!([0, 1]), json!([1]), json!([])]).unwrap();
        assert!(matches!(two, Labels::Several(_)));
        assert_eq!(two.target(&json!([0, 1])).unwrap(), Target::Classes(vec![1.0, 1.0]));
    }

    #[test]
    fn lists_with_an_entry_for_each_class() {
        let four =
            of(vec![json!([1, 0, 1, 0]), json!([0, 0, 0, 0]), json!([0, 1, 0, 0]), json!([0, 0, 1, 1])])
                .unwrap();
        assert!(matches!(four, Labels::MultiHot(_)));
        assert_eq!(four, Labels::Several(names(&["0", "1", "2", "3"])));
        assert_eq!(four.target(&json!([1, 0, 1, 0])).unwrap(), Target::Classes(vec![1.0, 0.0, 1.0, 0.0]));
        assert_eq!(four.target(&json!([0, 0, 0, 0])).unwrap(), Target::Classes(vec![0.0; 4]));
        let short = four.target(&json!([0, 1])).unwrap_err().problem;
        assert!(short.contains("lists 2 numbers, and there are 4 classes"), "{short}");
        assert!(four.target(&json!([0, 0, 2, 1])).unwrap_err().problem.contains("label[2] is 2"));
        for two in [
            vec![json!([0, 1]), json!([1, 0])],
            vec![json!([true, false]), json!([true, true])],
            vec![json!([0.0, 1]), json!([1, 1])],
        ] {
            let found = of(two.clone()).unwrap();
            assert!(matches!(found, Labels::MultiHot(_)), "{two:?}");
            assert_eq!(found.names(), ["0", "1"]);
        }
        let hot = of(vec![json!([0.0, 1.0, 1.0]), json!([0.0, 0.0, 0.0])]).unwrap();
        assert_eq!(hot, Labels::Several(names(&["0", "1", "2"])));
        assert_eq!(hot.target(&json!([0.0, 1.0, 0.0])).unwrap(), Target::Classes(vec![0.0, 1.0, 0.0]));
        assert!(hot.target(&json!([0.0, 0.5, 0.0])).is_err());
    }

    #[test]
    fn a_hundred_thousand_classes_are_found_in_no_time() {
        let rows: Vec<Row> = (0..100_000).map(|row| row_of(format!("class {row}"))).collect();
        let labels = Labels::of(rows.iter()).unwrap();
        let began = std::time::Instant::now();
        for row in 0..100_000 {
            assert!(labels.target(&json!(format!("class {row}"))).is_ok());
            assert!(labels.target(&json!(format!("other {row}"))).is_err());
        }
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    }
}
