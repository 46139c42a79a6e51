//! Statistics of a run's rows: their lengths, the share of learnt tokens, and the cost of padding.

use crate::{batch::Padding, row_set::RowSet, sampler::micro_batches};

/// Statistics of the rows of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// Number of rows of tokens, packed or not.
    pub rows: usize,
    /// Number of examples in them.
    pub documents: usize,
    /// Number of tokens, padding not counted.
    pub tokens: usize,
    /// Number of tokens that are learnt.
    pub learnt: usize,
    /// Tokens of the shortest example.
    pub shortest: usize,
    /// Tokens of the example in the middle.
    pub median: usize,
    /// Length in tokens that at least 95 % of the examples do not exceed.
    pub percentile_95: usize,
    /// Tokens of the longest example.
    pub longest: usize,
    /// Histogram of the examples' lengths in tokens, with bars of equal width.
    pub histogram: Vec<Bar>,
    /// Tokens of padding in the batches of an epoch.
    pub padding: usize,
}

/// A bar of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// The shortest length that counts.
    pub from: usize,
    /// The longest length that counts.
    pub to: usize,
    /// Number of examples of these lengths.
    pub count: usize,
}

impl Statistics {
    /// Computes the statistics of `rows` that are batched in `order`, `batch_size` at a time; `None` if there is no row.
    pub fn new(
        rows: &RowSet,
        order: &[usize],
        batch_size: usize,
        padding: Padding,
        bars: usize,
    ) -> Option<Self> {
        let documents = || (0..rows.len()).flat_map(|row| rows.documents(row));
        let mut lengths: Vec<usize> = documents().map(|document| document.tokens as usize).collect();
        lengths.sort_unstable();
        let (&shortest, &longest) = (lengths.first()?, lengths.last()?);
        let at = |share: f64| {
            lengths[((lengths.len() as f64 * share).ceil() as usize).clamp(1, lengths.len()) - 1]
        };
        let of_batch = |batch: &Vec<usize>| {
            let lengths = || batch.iter().map(|row| rows.num_tokens(*row));
            padding.length(lengths().max().unwrap_or(0)) * batch.len() - lengths().sum::<usize>()
        };
        Some(Self {
            rows: rows.len(),
            documents: lengths.len(),
            tokens: lengths.iter().sum(),
            learnt: documents().map(|document| document.targets as usize).sum(),
            shortest,
            median: at(0.5),
            percentile_95: at(0.95),
            longest,
            padding: micro_batches(order, batch_size, false).iter().map(of_batch).sum(),
            histogram: histogram(&lengths, bars),
        })
    }

    /// Share of the learnt tokens in all tokens, 0 to 1.
    pub fn learnt_share(&self) -> f64 {
        self.learnt as f64 / self.tokens.max(1) as f64
    }

    /// Share of the padding in all tokens that the device computes, 0 to 1.
    pub fn padding_share(&self) -> f64 {
        self.padding as f64 / (self.tokens + self.padding).max(1) as f64
    }
}

/// Computes the histogram of sorted lengths.
fn histogram(lengths: &[usize], bars: usize) -> Vec<Bar> {
    let (Some(&shortest), Some(&longest)) = (lengths.first(), lengths.last()) else { return Vec::new() };
    let width = (longest - shortest + 1).div_ceil(bars.max(1));
    let mut out: Vec<Bar> = (shortest..=longest)
        .step_by(width)
        .map(|from| Bar { from, to: (from + width - 1).min(longest), count: 0 })
        .collect();
    for length in lengths {
        out[(length - shortest) / width].count += 1;
    }
    out
}
