//! The rows of a run by their numbers: the examples that each consists of, wherever those are stored.

use std::{borrow::Cow, rc::Rc};

use lorelei_recipe::DataSection;

use crate::{
    batch::{SequenceRow, pack_lengths},
    error::DataError,
    example::{Example, Target},
    split::{split, split_by},
};

/// Length of an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Number of its tokens.
    pub tokens: u32,
    /// Number of times that it counts in the loss ([`Example::num_targets`]).
    pub targets: u32,
}

impl From<&Example> for Extent {
    fn from(example: &Example) -> Self {
        Self { tokens: example.input_ids.len() as u32, targets: example.num_targets() as u32 }
    }
}

/// Examples by their numbers. In memory it is a `Vec`; a host may store them elsewhere.
pub trait ExampleStore {
    /// Returns the length of each example.
    fn extents(&self) -> Cow<'_, [Extent]>;

    /// Returns an example.
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
    /// Length of each document.
    extents: Rc<[Extent]>,
    /// End of each row in `documents`.
    ends: Rc<[u32]>,
}

impl RowSet {
    /// Creates rows from the documents in their order, and the number of documents of each row.
    fn new(
        examples: Rc<dyn ExampleStore>,
        documents: impl Iterator<Item = (u32, Extent)>,
        counts: impl Iterator<Item = usize>,
    ) -> Self {
        let (documents, extents): (Vec<u32>, Vec<Extent>) = documents.unzip();
        let ends = counts.scan(0, |end, count| {
            *end += count as u32;
            Some(*end)
        });
        Self { examples, documents: documents.into(), extents: extents.into(), ends: ends.collect() }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn span(&self, row: usize) -> std::ops::Range<usize> {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        start..self.ends[row] as usize
    }

    /// Returns the lengths of the examples of a row.
    pub fn documents(&self, row: usize) -> &[Extent] {
        &self.extents[self.span(row)]
    }

    /// Number of tokens of a row.
    pub fn num_tokens(&self, row: usize) -> usize {
        self.documents(row).iter().map(|extent| extent.tokens as usize).sum()
    }

    /// Number of times that a row counts in the loss.
    pub fn num_targets(&self, row: usize) -> usize {
        self.documents(row).iter().map(|extent| extent.targets as usize).sum()
    }

    /// Returns a row.
    ///
    /// # Errors
    ///
    /// If one of its examples cannot be read back.
    pub fn row(&self, row: usize) -> Result<SequenceRow, DataError> {
        let example = |index: &u32| self.examples.example(*index as usize).map(Cow::into_owned);
        let documents = self.documents[self.span(row)].iter().map(example).collect::<Result<_, _>>()?;
        Ok(SequenceRow { documents })
    }

    /// Packs the same examples into rows of at most `max_length` tokens.
    pub fn packed(&self, max_length: usize) -> Self {
        let lengths: Vec<usize> = self.extents.iter().map(|extent| extent.tokens as usize).collect();
        let rows = pack_lengths(&lengths, max_length);
        let documents = rows.iter().flatten().map(|at| (self.documents[*at], self.extents[*at]));
        Self::new(self.examples.clone(), documents, rows.iter().map(Vec::len))
    }
}

impl From<Vec<SequenceRow>> for RowSet {
    fn from(rows: Vec<SequenceRow>) -> Self {
        let counts: Vec<usize> = rows.iter().map(|row| row.documents.len()).collect();
        let examples: Vec<Example> = rows.into_iter().flat_map(|row| row.documents).collect();
        let extents = examples.extents().into_owned();
        Self::new(Rc::new(examples), (0..).zip(extents), counts.into_iter())
    }
}

impl std::fmt::Debug for RowSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowSet of {} rows", self.len())
    }
}

/// Returns the rows to train on and the rows to evaluate on, by the recipe's `[data]`: the latter are `validation`, or rows held out of `train` by
/// `seed`. Both are packed or not. If each text has one class, every class has its share among the rows held out.
///
/// # Errors
///
/// If an example cannot be read back.
pub fn training_rows(
    train: Rc<dyn ExampleStore>,
    validation: Option<Rc<dyn ExampleStore>>,
    section: &DataSection,
    seed: u64,
) -> Result<(RowSet, RowSet), DataError> {
    let extents = train.extents().into_owned();
    let all = |count: usize| (0..count).collect::<Vec<_>>();
    let (kept, held) = match (&validation, section.validation_split_percentage) {
        (None, Some(percentage)) => match classes(&*train, extents.len())? {
            Some(classes) => split_by(&classes, percentage, seed),
            None => split(extents.len(), percentage, seed),
        },
        _ => (all(extents.len()), Vec::new()),
    };
    let rows = |examples: Rc<dyn ExampleStore>, extents: &[Extent], chosen: &[usize]| {
        let documents = chosen.iter().map(|index| (*index as u32, extents[*index]));
        let set = RowSet::new(examples, documents, std::iter::repeat_n(1, chosen.len()));
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

/// Returns the class of each of `count` examples; `None` where not every example has exactly one class.
fn classes(examples: &dyn ExampleStore, count: usize) -> Result<Option<Vec<u32>>, DataError> {
    let mut classes = Vec::with_capacity(count);
    for index in 0..count {
        match examples.example(index)?.target {
            Target::Class(class) => classes.push(class),
            Target::Tokens(_) | Target::Tags(_) | Target::Classes(_) | Target::Number(_) => return Ok(None),
        }
    }
    Ok(Some(classes))
}
