//! Holding rows back for validation.

use crate::random::{Stream, generator, permutation};

/// (train, validation) of `rows`, drawn by [`split`]; without a percentage nothing is held back.
pub fn hold_out<T>(rows: Vec<T>, validation_split_percentage: Option<f64>, seed: u64) -> (Vec<T>, Vec<T>) {
    let Some(percentage) = validation_split_percentage else { return (rows, Vec::new()) };
    let (_, held) = split(rows.len(), percentage, seed);
    let (mut train, mut validation) = (Vec::new(), Vec::new());
    for (index, row) in rows.into_iter().enumerate() {
        let side = if held.binary_search(&index).is_ok() { &mut validation } else { &mut train };
        side.push(row);
    }
    (train, validation)
}

/// Splits `0..n` into (train, validation), each in file order, with `validation_split_percentage` percent of the rows
/// (rounded) drawn at random for validation. Each side gets at least one row when there are two; a percentage of 0 or
/// less, or not a number, holds nothing back. Deterministic in its arguments.
pub fn split(n: usize, validation_split_percentage: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let none = validation_split_percentage.is_nan() || validation_split_percentage <= 0.0;
    if none || n < 2 {
        return ((0..n).collect(), Vec::new());
    }
    let share = n as f64 * validation_split_percentage / 100.0;
    let held_back = (share.round() as usize).clamp(1, n - 1);
    let mut validation = permutation(n, &mut generator(seed, Stream::Split));
    let mut train = validation.split_off(held_back);
    train.sort_unstable();
    validation.sort_unstable();
    (train, validation)
}
