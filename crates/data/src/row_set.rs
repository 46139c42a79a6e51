//! The rows of a run by their numbers: which examples each is made of, wherever those are kept.

use std::{borrow::Cow, rc::Rc};

use lorelei_recipe::DataSection;

use crate::{
    batch::{SequenceRow, pack_lengths},
    encode::Example,
    error::DataError,
    split::{split, split_by},
};

/// How long an example is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Its tokens.
    pub tokens: u32,
    /// Those that are learnt ([`Example::num_targets`]).
    pub targets: u32,
}

impl From<&Example> for Extent {
    fn from(example: &Example) -> Self {
        Self { tokens: example.input_ids.len() as u32, targets: example.num_targets() as u32 }
    }
}

/// Examples by their numbers. In memory it is a `Vec`; a host may keep them elsewhere.
pub trait ExampleStore {
    /// How long each is.
    fn extents(&self) -> Cow<'_, [Extent]>;

    /// An example.
    ///
    /// # Errors
    ///
    /// If it cannot be read back.
    fn example(&self, index: usize) -> Result<Cow<'_, Example>, DataError>;
}

impl ExampleStore for Vec<Example> {
    fn extents(&self) -> Cow<'_, [Extent]> {
        Cow::Owned(self.iter().map(Extent::from).collect())
    }

    fn example(&self, index: usize) -> Result<Cow<'_, Example>, DataError> {
        Ok(Cow::Borrowed(&self[index]))
    }
}

/// Rows of one example each, or of several that are packed.
#[derive(Clone)]
pub struct RowSet {
    examples: Rc<dyn ExampleStore>,
    /// The examples' numbers, row after row.
    documents: Rc<[u32]>,
    /// How long each of them is.
    extents: Rc<[Extent]>,
    /// Where each row ends in `documents`.
    ends: Rc<[u32]>,
}

impl RowSet {
    /// Rows of those examples.
    fn of(examples: Rc<dyn ExampleStore>, extents: &[Extent], rows: &[Vec<usize>]) -> Self {
        let documents: Rc<[u32]> = rows.iter().flatten().map(|index| *index as u32).collect();
        let ends = rows.iter().scan(0, |end, row| {
            *end += row.len() as u32;
            Some(*end)
        });
        Self {
            extents: documents.iter().map(|index| extents[*index as usize]).collect(),
            ends: ends.collect(),
            examples,
            documents,
        }
    }

    /// A row for each of the examples that are chosen.
    fn alone(examples: Rc<dyn ExampleStore>, extents: &[Extent], chosen: &[usize]) -> Self {
        Self {
            extents: chosen.iter().map(|index| extents[*index]).collect(),
            documents: chosen.iter().map(|index| *index as u32).collect(),
            ends: (1..=chosen.len() as u32).collect(),
            examples,
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn span(&self, row: usize) -> std::ops::Range<usize> {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        start..self.ends[row] as usize
    }

    /// How long the examples of a row are.
    pub fn documents(&self, row: usize) -> &[Extent] {
        &self.extents[self.span(row)]
    }

    /// Tokens of a row.
    pub fn num_tokens(&self, row: usize) -> usize {
        self.documents(row).iter().map(|extent| extent.tokens as usize).sum()
    }

    /// Labels of a row that count in the loss.
    pub fn num_targets(&self, row: usize) -> usize {
        self.documents(row).iter().map(|extent| extent.targets as usize).sum()
    }

    /// A row.
    ///
    /// # Errors
    ///
    /// If one of its examples cannot be read back.
    pub fn row(&self, row: usize) -> Result<SequenceRow, DataError> {
        let example = |index: &u32| self.examples.example(*index as usize).map(Cow::into_owned);
        let documents = self.documents[self.span(row)].iter().map(example).collect::<Result<_, _>>()?;
        Ok(SequenceRow { documents })
    }

    /// The same examples packed into rows of at most `max_length` tokens.
    pub fn packed(&self, max_length: usize) -> Self {
        let lengths: Vec<usize> = self.extents.iter().map(|extent| extent.tokens as usize).collect();
        let rows = pack_lengths(&lengths, max_length);
        let examples: Vec<usize> = self.documents.iter().map(|index| *index as usize).collect();
        let all = self.examples.extents();
        let rows: Vec<Vec<usize>> =
            rows.into_iter().map(|row| row.into_iter().map(|at| examples[at]).collect()).collect();
        Self::of(self.examples.clone(), &all, &rows)
    }
}

impl From<Vec<SequenceRow>> for RowSet {
    fn from(rows: Vec<SequenceRow>) -> Self {
        let mut examples = Vec::new();
        let numbers: Vec<Vec<usize>> = rows
            .into_iter()
            .map(|row| {
                let first = examples.len();
                examples.extend(row.documents);
                (first..examples.len()).collect()
            })
            .collect();
        let extents = examples.extents().into_owned();
        Self::of(Rc::new(examples), &extents, &numbers)
    }
}

impl std::fmt::Debug for RowSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowSet of {} rows", self.len())
    }
}

/// The rows to learn from and those to evaluate on, as a recipe's `[data]` says: `validation`, or what is held out of `train` by `seed`;
/// packed or not. With `by_class`, each class (the label of a text's last token) has its share among the rows held out.
///
/// # Errors
///
/// If an example cannot be read back.
pub fn training_rows(
    train: Rc<dyn ExampleStore>,
    validation: Option<Rc<dyn ExampleStore>>,
    section: &DataSection,
    seed: u64,
    by_class: bool,
) -> Result<(RowSet, RowSet), DataError> {
    let extents = train.extents().into_owned();
    let all = |count: usize| (0..count).collect::<Vec<_>>();
    let (kept, held) = match (&validation, section.validation_split_percentage) {
        (None, Some(percentage)) if by_class => {
            let class = |index: usize| -> Result<i64, DataError> {
                Ok(train.example(index)?.labels.last().copied().unwrap_or_default())
            };
            let classes = (0..extents.len()).map(class).collect::<Result<Vec<_>, _>>()?;
            split_by(&classes, percentage, seed)
        }
        (None, Some(percentage)) => split(extents.len(), percentage, seed),
        _ => (all(extents.len()), Vec::new()),
    };
    let rows = |examples: Rc<dyn ExampleStore>, extents: &[Extent], chosen: &[usize]| {
        let set = RowSet::alone(examples, extents, chosen);
        if section.packing { set.packed(section.max_length) } else { set }
    };
    let validation = match validation {
        Some(validation) => {
            let extents = validation.extents().into_owned();
            rows(validation, &extents, &all(extents.len()))
        }
        None => rows(train.clone(), &extents, &held),
    };
    Ok((rows(train, &extents, &kept), validation))
}
