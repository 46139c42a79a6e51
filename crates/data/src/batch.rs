//! Documents placed in rows, and rows padded to a rectangle.

use lorelei_recipe::TruncationSide;

use crate::example::{Example, IGNORE_INDEX, Target};

/// One row of a batch: a single document, or several packed one after the other.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SequenceRow {
    /// The documents, in their order in the row. None is empty where [`pack`] or [`one_per_row`] made the row.
    pub documents: Vec<Example>,
}

impl SequenceRow {
    /// Number of tokens of all documents.
    pub fn num_tokens(&self) -> usize {
        self.documents.iter().map(|document| document.input_ids.len()).sum()
    }

    /// Number of times that the row's documents count in the loss.
    pub fn num_targets(&self) -> usize {
        self.documents.iter().map(Example::num_targets).sum()
    }
}

/// Token rows of one length, each field row-major `[batch_size, seq_len]`.
///
/// Padding is on the right: the pad id, no label, position 0, segment 0. Documents are segments 1, 2, ... of their
/// row and their positions start at 0; a token attends only to its own segment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// Rows.
    pub batch_size: usize,
    /// Columns: the tokens of the longest row.
    pub seq_len: usize,
    /// Token ids.
    pub input_ids: Vec<i32>,
    /// Positions inside the document, for the rotary embedding.
    pub position_ids: Vec<i32>,
    /// Number of the document in its row, from 1; 0 is padding.
    pub segment_ids: Vec<i32>,
    /// Text of a pair that each token belongs to; empty where no document is a pair.
    pub token_type_ids: Vec<i32>,
    /// Targets of the documents.
    pub targets: Targets,
}

/// Targets of the documents of a batch: the [`Target`] of each, placed one after the other.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// Labels `[batch_size, seq_len]`, not shifted: `labels[t]` is the token that position `t - 1` is to predict, [`IGNORE_INDEX`] where none is.
    Tokens(Vec<i64>),
    /// The class of each token `[batch_size, seq_len]`, or [`IGNORE_INDEX`].
    Tags(Vec<i64>),
    /// The class of each document.
    Class(Vec<i32>),
    /// The classes of each document, `[documents, labels]`: 1 for each class that the document belongs to, else 0.
    Classes(Vec<f32>),
    /// The number of each document.
    Number(Vec<f32>),
}

impl Default for Targets {
    fn default() -> Self {
        Self::Tokens(Vec::new())
    }
}

impl Targets {
    /// Creates an empty collection for targets of that kind.
    fn like(target: &Target) -> Self {
        match target {
            Target::Tokens(_) => Self::Tokens(Vec::new()),
            Target::Tags(_) => Self::Tags(Vec::new()),
            Target::Class(_) => Self::Class(Vec::new()),
            Target::Classes(_) => Self::Classes(Vec::new()),
            Target::Number(_) => Self::Number(Vec::new()),
        }
    }

    /// Appends the target of one more document.
    ///
    /// # Panics
    ///
    /// If the target is of another kind. The encoder makes all targets of a run alike.
    fn push(&mut self, target: &Target) {
        match (self, target) {
            (Self::Tokens(all), Target::Tokens(labels)) | (Self::Tags(all), Target::Tags(labels)) => {
                all.extend_from_slice(labels);
            }
            (Self::Class(all), Target::Class(class)) => all.push(*class as i32),
            (Self::Classes(all), Target::Classes(classes)) => all.extend_from_slice(classes),
            (Self::Number(all), Target::Number(number)) => all.push(*number),
            (all, target) => panic!("a batch of {all:?} cannot take {target:?}"),
        }
    }

    /// Pads labels by token up to `count`.
    fn pad(&mut self, count: usize) {
        match self {
            Self::Tokens(labels) | Self::Tags(labels) => labels.resize(count, IGNORE_INDEX),
            Self::Class(_) | Self::Classes(_) | Self::Number(_) => {}
        }
    }
}

impl Batch {
    /// Labels by token `[batch_size, seq_len]`; empty where each document has one label as a whole.
    pub fn labels(&self) -> &[i64] {
        match &self.targets {
            Targets::Tokens(labels) | Targets::Tags(labels) => labels,
            Targets::Class(_) | Targets::Classes(_) | Targets::Number(_) => &[],
        }
    }

    /// Returns the `(rows, targets)` of next-token prediction: row `b * seq_len + t - 1` of the logits is to predict `labels[b, t]`. These are all
    /// labels that are not -100 and whose document has a token before them.
    pub fn next_tokens(&self) -> (Vec<i32>, Vec<i32>) {
        let Targets::Tokens(labels) = &self.targets else { return (Vec::new(), Vec::new()) };
        let is_learnt = |at: &usize| {
            let segment = self.segment_ids[*at];
            labels[*at] != IGNORE_INDEX && segment != 0 && segment == self.segment_ids[at - 1]
        };
        let rows = (0..self.batch_size).map(|row| row * self.seq_len);
        let learnt = rows.flat_map(|start| (start + 1..start + self.seq_len).filter(is_learnt));
        learnt.map(|at| ((at - 1) as i32, labels[at] as i32)).unzip()
    }

    /// Tokens that are not padding.
    pub fn num_tokens(&self) -> usize {
        self.segment_ids.iter().filter(|&&segment| segment != 0).count()
    }
}

/// The token that pads short rows, and the length that they are padded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padding {
    /// Id of the padding token, which is neither attended to nor learnt.
    pub id: u32,
    /// Number of tokens to a multiple of which rows are padded (`pad_to_multiple_of`); 0 and 1 add nothing.
    pub multiple_of: usize,
}

impl Padding {
    /// Returns the same padding for a model whose embedding has `vocab_size` rows. A tokenizer's padding token may have none, because padding is not
    /// attended to: any other pads as well.
    pub fn within(self, vocab_size: usize) -> Self {
        let has_row = usize::try_from(self.id).is_ok_and(|id| id < vocab_size);
        Self { id: if has_row { self.id } else { 0 }, ..self }
    }

    /// Returns the length of a batch whose longest row has `longest` tokens.
    pub fn length(self, longest: usize) -> usize {
        longest.next_multiple_of(self.multiple_of.max(1))
    }
}

impl From<u32> for Padding {
    fn from(id: u32) -> Self {
        Self { id, multiple_of: 1 }
    }
}

/// Pads rows on the right to the length of the longest, or to the next multiple.
pub fn collate(rows: &[&SequenceRow], padding: impl Into<Padding>) -> Batch {
    let padding = padding.into();
    let seq_len = padding.length(rows.iter().map(|row| row.num_tokens()).max().unwrap_or(0));
    let documents = || rows.iter().flat_map(|row| &row.documents);
    let targets = documents().next().map(|document| Targets::like(&document.target)).unwrap_or_default();
    let mut batch = Batch { batch_size: rows.len(), seq_len, targets, ..Batch::default() };
    let has_pairs = documents().any(|text| !text.token_type_ids.is_empty());
    for (row, end) in rows.iter().zip((1..).map(|row| row * seq_len)) {
        for (document, segment) in row.documents.iter().zip(1..) {
            let length = document.input_ids.len();
            batch.input_ids.extend(document.input_ids.iter().map(|&id| id as i32));
            batch.targets.push(&document.target);
            batch.position_ids.extend(0..length as i32);
            batch.segment_ids.extend(std::iter::repeat_n(segment, length));
            if has_pairs {
                let types = document.token_type_ids.iter().map(|&id| id as i32);
                batch.token_type_ids.extend(types.chain(std::iter::repeat(0)).take(length));
            }
        }
        batch.input_ids.resize(end, padding.id as i32);
        batch.targets.pad(end);
        batch.position_ids.resize(end, 0);
        batch.segment_ids.resize(end, 0);
        batch.token_type_ids.resize(if has_pairs { end } else { 0 }, 0);
    }
    batch
}

/// Places each example in a row of its own.
pub fn one_per_row(examples: Vec<Example>) -> Vec<SequenceRow> {
    examples.into_iter().map(|example| SequenceRow { documents: vec![example] }).collect()
}

/// Packs examples into rows like `pack_lengths`. An example longer than `max_length` is cut there.
pub fn pack(mut examples: Vec<Example>, max_length: usize) -> Vec<SequenceRow> {
    for example in &mut examples {
        example.truncate(max_length, TruncationSide::Right);
    }
    let lengths: Vec<usize> = examples.iter().map(|example| example.input_ids.len()).collect();
    pack_lengths(&lengths, max_length)
        .iter()
        .map(|row| SequenceRow {
            documents: row.iter().map(|&index| std::mem::take(&mut examples[index])).collect(),
        })
        .collect()
}

/// Chooses the documents that share a row of at most `max_length` tokens: first fit decreasing (Johnson, 1973; at most 11/9 of the best possible
/// number of rows, plus one). No document is split, and none may be longer than a row; empty ones are left out. The result is deterministic: equal
/// lengths keep their order, and both the documents of a row and the rows themselves come in the order of `lengths`.
pub(crate) fn pack_lengths(lengths: &[usize], max_length: usize) -> Vec<Vec<usize>> {
    let mut by_length: Vec<usize> = (0..lengths.len()).filter(|&index| lengths[index] > 0).collect();
    by_length.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));

    let mut free = FreeSpace::new(by_length.len(), max_length);
    let mut rows: Vec<Vec<usize>> = Vec::new();
    for index in by_length {
        let row = free.take_first(lengths[index].min(max_length));
        if row == rows.len() {
            rows.push(Vec::new());
        }
        rows[row].push(index);
    }
    for row in &mut rows {
        row.sort_unstable();
    }
    rows.sort_unstable_by_key(|row| row[0]);
    rows
}

/// A maximum tree over the free space of the rows, so that the first row with room is found in `log n`.
struct FreeSpace {
    leaves: usize,
    /// Node `i` has children `2i` and `2i + 1`; the rows are the leaves from `leaves` on.
    tree: Vec<usize>,
}

impl FreeSpace {
    /// Creates `rows` empty rows of `capacity`, enough for as many documents.
    fn new(rows: usize, capacity: usize) -> Self {
        let leaves = rows.next_power_of_two();
        Self { leaves, tree: vec![capacity; 2 * leaves] }
    }

    /// Takes `amount` (at most the capacity) from the first row that has it, and returns that row.
    fn take_first(&mut self, amount: usize) -> usize {
        let mut node = 1;
        while node < self.leaves {
            node *= 2;
            if self.tree[node] < amount {
                node += 1;
            }
        }
        let row = node - self.leaves;
        self.tree[node] -= amount;
        while node > 1 {
            node /= 2;
            self.tree[node] = self.tree[2 * node].max(self.tree[2 * node + 1]);
        }
        row
    }
}
