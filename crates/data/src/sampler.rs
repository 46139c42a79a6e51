//! The order of an epoch and its micro-batches. A run that is resumed at any epoch sees the same order again.

use crate::random::{Stream, generator, permutation};

/// Every index of `0..n` once: in file order, or with `shuffle` in the order that `(seed, epoch)` draws. The same on
/// every platform.
pub fn epoch_order(n: usize, seed: u64, epoch: u64, shuffle: bool) -> Vec<usize> {
    if shuffle { permutation(n, &mut generator(seed, Stream::Epoch(epoch))) } else { (0..n).collect() }
}

/// Cuts `order` into batches of `batch_size` (0 counts as 1). The last one may be smaller; `drop_last` leaves it out
/// then.
pub fn micro_batches(order: &[usize], batch_size: usize, drop_last: bool) -> Vec<Vec<usize>> {
    let batch_size = batch_size.max(1);
    order
        .chunks(batch_size)
        .filter(|batch| !drop_last || batch.len() == batch_size)
        .map(<[usize]>::to_vec)
        .collect()
}
