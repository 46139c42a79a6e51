//! Holds rows back for validation.

use std::collections::{BTreeMap, VecDeque};

use crate::random::{Stream, generator, permutation};

/// Splits `0..n` into (train, validation), each in file order, with `validation_split_percentage` percent of the rows (rounded) drawn at random for
/// validation. Each side gets at least one row when there are two; a percentage of 0 or less, or NaN, holds nothing back. The result is deterministic
/// in its arguments.
pub fn split(n: usize, validation_split_percentage: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let held_back = held_back(n, validation_split_percentage);
    let mut validation = match held_back {
        0 => (0..n).collect(),
        _ => permutation(n, &mut generator(seed, Stream::Split)),
    };
    let mut train = validation.split_off(held_back);
    train.sort_unstable();
    validation.sort_unstable();
    (train, validation)
}

/// Like [`split`], but each class has the same share among the rows held back as among all rows, as nearly as whole rows allow. The remaining rows go
/// to the classes whose share was cut most, as in scikit-learn's `stratify`. A class of one row stays in training.
pub fn split_by(classes: &[u32], validation_split_percentage: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let n = classes.len();
    let held_back = held_back(n, validation_split_percentage);
    let mut members = BTreeMap::<u32, Vec<usize>>::new();
    for (row, class) in classes.iter().enumerate() {
        members.entry(*class).or_default().push(row);
    }
    let most = |rows: &[usize]| rows.len() - 1;
    let share = |rows: &[usize]| rows.len() as f64 * held_back as f64 / n.max(1) as f64;
    let mut counts: Vec<usize> =
        members.values().map(|rows| (share(rows) as usize).min(most(rows))).collect();
    let mut by_rest: Vec<usize> = (0..counts.len()).collect();
    let rest: Vec<f64> =
        members.values().zip(&counts).map(|(rows, count)| share(rows) - *count as f64).collect();
    by_rest.sort_by(|a, b| rest[*b].total_cmp(&rest[*a]));
    let limits: Vec<usize> = members.values().map(|rows| most(rows)).collect();
    let mut missing = held_back.saturating_sub(counts.iter().sum());
    let mut waiting = VecDeque::from(by_rest);
    while missing > 0
        && let Some(class) = waiting.pop_front()
    {
        if counts[class] < limits[class] {
            counts[class] += 1;
            missing -= 1;
            // Each of the other classes comes first before this one gets another row.
            waiting.push_back(class);
        }
    }
    let mut generator = generator(seed, Stream::Split);
    let (mut train, mut validation) = (Vec::new(), Vec::new());
    for (rows, count) in members.values().zip(counts) {
        let order = permutation(rows.len(), &mut generator);
        validation.extend(order[..count].iter().map(|at| rows[*at]));
        train.extend(order[count..].iter().map(|at| rows[*at]));
    }
    train.sort_unstable();
    validation.sort_unstable();
    (train, validation)
}

/// Returns the number of rows that the percentage of `n` rows amounts to.
fn held_back(n: usize, percentage: f64) -> usize {
    if percentage.is_nan() || percentage <= 0.0 || n < 2 {
        return 0;
    }
    ((n as f64 * percentage / 100.0).round() as usize).clamp(1, n - 1)
}
