//! The order of an epoch and its micro-batches. A run that is resumed at any epoch sees the same order again.

use lorelei_recipe::{SamplingStrategy, TrainingArguments};

use crate::{
    random::{Stream, generator, permutation},
    row_set::RowSet,
};

/// Returns every index of `0..n` once: in file order, or with `shuffle` in the order that `(seed, epoch)` draws. The order is the same on every
/// platform.
pub fn epoch_order(n: usize, seed: u64, epoch: u64, shuffle: bool) -> Vec<usize> {
    if shuffle { permutation(n, &mut generator(seed, Stream::Epoch(epoch))) } else { (0..n).collect() }
}

/// Returns the order of `rows` in an epoch by `train_sampling_strategy`; `shuffle = false` means file order, too.
pub fn sampling_order(rows: &RowSet, arguments: &TrainingArguments, epoch: u64, shuffle: bool) -> Vec<usize> {
    let seed = arguments.shuffle_seed();
    match arguments.train_sampling_strategy {
        SamplingStrategy::Random => epoch_order(rows.len(), seed, epoch, shuffle),
        SamplingStrategy::Sequential => epoch_order(rows.len(), seed, epoch, false),
        SamplingStrategy::GroupByLength => {
            let batch_size =
                arguments.per_device_train_batch_size.saturating_mul(arguments.gradient_accumulation_steps);
            let lengths: Vec<usize> = (0..rows.len()).map(|row| rows.num_tokens(row)).collect();
            group_by_length(epoch_order(rows.len(), seed, epoch, true), &lengths, batch_size)
        }
    }
}

/// Reorders a random order so that neighbours are of similar length, as Transformers' `get_length_grouped_indices` does. Each run of up to fifty
/// batches begins with its longest row. The longest row of all comes first, so that a lack of memory shows at once.
fn group_by_length(mut order: Vec<usize>, lengths: &[usize], batch_size: usize) -> Vec<usize> {
    let batch_size = batch_size.max(1);
    let batches = (order.len() / (batch_size * 4)).clamp(1, 50);
    let length_of_run = batches.saturating_mul(batch_size);
    let mut longest: Option<(usize, usize)> = None;
    for (run, indices) in order.chunks_mut(length_of_run).enumerate() {
        indices.sort_by_key(|index| std::cmp::Reverse(lengths[*index]));
        let length = lengths[indices[0]];
        if longest.is_none_or(|(most, _)| length > most) {
            longest = Some((length, run * length_of_run));
        }
    }
    if let Some((_, at)) = longest {
        order.swap(0, at);
    }
    order
}

/// Cuts `order` into batches of `batch_size` (0 counts as 1). The last batch may be smaller; `drop_last` leaves it out then.
pub fn micro_batches(order: &[usize], batch_size: usize, drop_last: bool) -> Vec<Vec<usize>> {
    let batch_size = batch_size.max(1);
    order
        .chunks(batch_size)
        .filter(|batch| !drop_last || batch.len() == batch_size)
        .map(<[usize]>::to_vec)
        .collect()
}
