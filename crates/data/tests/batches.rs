//! Rows, batches, orders and splits.

use lorelei_data::{
    Batch, Example, Padding, RowSet, SequenceRow, Statistics, Targets, collate, epoch_order, micro_batches,
    one_per_row, pack, sampling_order, split, split_by,
};
use lorelei_recipe::{SamplingStrategy, TrainingArguments};
use proptest::prelude::*;

fn example(ids: &[u32]) -> Example {
    Example::tokens(ids.to_vec(), ids.iter().map(|&id| i64::from(id)).collect())
}

#[test]
fn padded_and_packed() {
    let masked = Example::tokens(vec![4, 5, 6], vec![-100, 5, -100]);
    let rows = [
        SequenceRow { documents: vec![example(&[1, 2]), masked] },
        SequenceRow { documents: vec![example(&[7, 8, 9])] },
    ];
    let batch = collate(&[&rows[0], &rows[1]], 99);
    let expected = Batch {
        batch_size: 2,
        seq_len: 5,
        input_ids: vec![1, 2, 4, 5, 6, 7, 8, 9, 99, 99],
        targets: Targets::Tokens(vec![1, 2, -100, 5, -100, 7, 8, 9, -100, -100]),
        position_ids: vec![0, 1, 0, 1, 2, 0, 1, 2, 0, 0],
        segment_ids: vec![1, 1, 2, 2, 2, 1, 1, 1, 0, 0],
        ..Batch::default()
    };
    assert_eq!(batch, expected);
    // Targets are neither 7, the first token of a row, nor tokens that masks and padding hide.
    assert_eq!(batch.next_tokens(), (vec![0, 2, 5, 6], vec![2, 5, 8, 9]));
    assert_eq!(batch.num_tokens(), 8);
    assert_eq!((rows[0].num_targets(), rows[1].num_targets()), (2, 2));
}

#[test]
fn no_target_across_documents() {
    let row = SequenceRow { documents: vec![example(&[1, 2]), example(&[3, 4])] };
    assert_eq!(collate(&[&row], 0).next_tokens(), (vec![0, 2], vec![2, 4]));
}

#[test]
fn empty_batches() {
    assert_eq!(collate(&[], 0), Batch::default());
    let batch = collate(&[&SequenceRow::default()], 0);
    assert_eq!((batch.batch_size, batch.seq_len, batch.next_tokens()), (1, 0, (vec![], vec![])));
}

#[test]
fn one_example_a_row() {
    let examples = vec![example(&[1]), example(&[2, 3])];
    let rows = one_per_row(examples.clone());
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().zip(examples).all(|(row, example)| row.documents == [example]));
}

#[test]
fn first_fit_decreasing() {
    let lengths = [3usize, 6, 5, 2, 4, 0];
    let examples = lengths.iter().zip(0..).map(|(&length, id)| example(&vec![id; length])).collect();
    let rows: Vec<Vec<u32>> = pack(examples, 10)
        .iter()
        .map(|row| row.documents.iter().map(|document| document.input_ids[0]).collect())
        .collect();
    // The documents of 6 and 5 tokens begin a row each; 4 goes to 6, 3 and 2 go to 5.
    assert_eq!(rows, [vec![0, 2, 3], vec![1, 4]]);
}

#[test]
fn packing_cuts_what_is_too_long() {
    let rows = pack(vec![example(&[1, 2, 3, 4])], 3);
    assert_eq!(rows, [SequenceRow { documents: vec![example(&[1, 2, 3])] }]);
    assert!(pack(vec![], 3).is_empty() && pack(vec![example(&[1])], 0).is_empty());
}

#[test]
fn orders_are_the_same_everywhere() {
    assert_eq!(epoch_order(4, 1, 0, false), [0, 1, 2, 3]);
    // Pinned values of an independent ChaCha8: a run that is resumed on another machine must see the same order.
    assert_eq!(epoch_order(8, 42, 0, true), [0, 4, 5, 7, 2, 3, 6, 1]);
    assert_eq!(epoch_order(8, 42, 1, true), [4, 0, 5, 2, 1, 3, 6, 7]);
    assert_ne!(epoch_order(100, 42, 0, true), epoch_order(100, 43, 0, true));
    assert!(epoch_order(0, 1, 0, true).is_empty());
}

#[test]
fn every_order_is_about_as_frequent() {
    let mut counts = std::collections::BTreeMap::new();
    for epoch in 0..6000 {
        *counts.entry(epoch_order(3, 7, epoch, true)).or_insert(0usize) += 1;
    }
    assert_eq!(counts.len(), 6);
    // Expected are 1000 each, with a standard deviation of 29.
    assert!(counts.values().all(|count| (850..1150).contains(count)), "{counts:?}");
}

#[test]
fn micro_batches_cover_the_order() {
    let order = [4, 2, 0, 1, 3];
    assert_eq!(micro_batches(&order, 2, false), [vec![4, 2], vec![0, 1], vec![3]]);
    assert_eq!(micro_batches(&order, 2, true), [vec![4, 2], vec![0, 1]]);
    assert_eq!(micro_batches(&order, 5, true), [vec![4, 2, 0, 1, 3]]);
    assert!(micro_batches(&order, 6, true).is_empty() && micro_batches(&[], 2, false).is_empty());
    assert_eq!(micro_batches(&order, 0, false).len(), 5);
}

#[test]
fn batches_of_like_length() {
    let rows: Vec<SequenceRow> = (0..200u32)
        .map(|at| SequenceRow { documents: vec![example(&vec![at; 1 + (at as usize * 37) % 61])] })
        .collect();
    let rows = RowSet::from(rows);
    let arguments = TrainingArguments {
        train_sampling_strategy: SamplingStrategy::GroupByLength,
        per_device_train_batch_size: 2,
        gradient_accumulation_steps: 2,
        ..TrainingArguments::default()
    };
    let order = sampling_order(&rows, &arguments, 0, true);
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..200).collect::<Vec<_>>());
    assert_eq!(rows.num_tokens(order[0]), 61);
    assert_ne!(order, sampling_order(&rows, &arguments, 1, true));
    let random = TrainingArguments { train_sampling_strategy: SamplingStrategy::Random, ..arguments.clone() };
    let padding = |order: &[usize]| {
        let padding = Padding { id: 0, multiple_of: 1 };
        Statistics::new(&rows, order, 2, padding, 4).unwrap().padding_share()
    };
    let (grouped, random) = (padding(&order), padding(&sampling_order(&rows, &random, 0, true)));
    assert!(grouped < 0.05 && random > 0.2, "{grouped} {random}");
    let sequential = TrainingArguments { train_sampling_strategy: SamplingStrategy::Sequential, ..arguments };
    assert_eq!(sampling_order(&rows, &sequential, 0, true), (0..200).collect::<Vec<_>>());
    assert!(sampling_order(&RowSet::from(Vec::new()), &sequential, 0, true).is_empty());
}

#[test]
fn a_row_set_is_its_rows_and_packs_them() {
    let examples: Vec<Example> = [3usize, 9, 1, 4, 4, 10, 2]
        .iter()
        .zip(1u32..)
        .map(|(length, id)| example(&vec![id; *length]))
        .collect();
    let set = RowSet::from(one_per_row(examples.clone()));
    assert_eq!((set.len(), set.num_tokens(5), set.num_targets(5)), (7, 10, 9));
    let rows = |set: &RowSet| (0..set.len()).map(|row| set.row(row).unwrap()).collect::<Vec<_>>();
    assert_eq!(rows(&set), one_per_row(examples.clone()));
    assert_eq!(rows(&set.packed(10)), pack(examples, 10));
    let packed = set.packed(10);
    assert_eq!(rows(&RowSet::from(rows(&packed))), rows(&packed));
    assert!(RowSet::from(Vec::new()).packed(4).is_empty());
}

#[test]
fn padding_to_a_multiple() {
    let rows = [SequenceRow { documents: vec![example(&[1, 2, 3, 4, 5])] }];
    let batch = |multiple_of| collate(&[&rows[0]], Padding { id: 9, multiple_of });
    assert_eq!((batch(4).seq_len, batch(5).seq_len, batch(0).seq_len), (8, 5, 5));
    assert_eq!((&batch(4).input_ids[5..], batch(4).next_tokens()), (&[9, 9, 9][..], batch(1).next_tokens()));
}

#[test]
fn statistics_count_lengths_targets_and_padding() {
    let rows: Vec<SequenceRow> = [2usize, 4, 4, 10]
        .into_iter()
        .map(|length| SequenceRow { documents: vec![example(&vec![1; length])] })
        .collect();
    let found =
        Statistics::new(&RowSet::from(rows), &[0, 1, 2, 3], 2, Padding { id: 0, multiple_of: 4 }, 3).unwrap();
    assert_eq!((found.rows, found.documents, found.tokens, found.learnt), (4, 4, 20, 16));
    assert_eq!((found.shortest, found.median, found.percentile_95, found.longest), (2, 4, 10, 10));
    // Rows of 2 and 4 tokens are padded to 4, rows of 4 and 10 to 12.
    assert_eq!((found.padding, found.padding_share(), found.learnt_share()), (2 + 8 + 2, 0.375, 0.8));
    let bars: Vec<_> = found.histogram.iter().map(|bar| (bar.from, bar.to, bar.count)).collect();
    assert_eq!(bars, [(2, 4, 3), (5, 7, 0), (8, 10, 1)]);
    assert_eq!(Statistics::new(&RowSet::from(Vec::new()), &[], 2, 0.into(), 3), None);
}

#[test]
fn splits() {
    let (train, validation) = split(100, 10.0, 3);
    assert_eq!((train.len(), validation.len()), (90, 10));
    assert_eq!(split(100, 10.0, 3), (train, validation.clone()));
    assert_ne!(split(100, 10.0, 4).1, validation);
    for (n, percentage, held_back) in
        [(2, 0.1, 1), (2, 99.0, 1), (3, 100.0, 2), (3, 1e300, 2), (1, 50.0, 0), (0, 5.0, 0)]
    {
        assert_eq!(split(n, percentage, 1).1.len(), held_back, "{n} {percentage}");
    }
    for none in [0.0, -1.0, f64::NAN] {
        assert_eq!(split(5, none, 1), (vec![0, 1, 2, 3, 4], vec![]));
    }
}

#[test]
fn each_class_has_its_share_among_the_rows_held_out() {
    // There are 60 rows of class 0, 30 of 1, 9 of 2 and one of 3.
    let classes: Vec<u32> = (0..100)
        .map(|row| match row {
            0..60 => 0,
            60..90 => 1,
            90..99 => 2,
            _ => 3,
        })
        .collect();
    let (train, validation) = split_by(&classes, 20.0, 7);
    let count = |rows: &[usize], class: u32| rows.iter().filter(|row| classes[**row] == class).count();
    assert_eq!([0, 1, 2, 3].map(|class| count(&validation, class)), [12, 6, 2, 0]);
    assert_eq!([0, 1, 2, 3].map(|class| count(&train, class)), [48, 24, 7, 1]);
    assert_eq!(split_by(&classes, 20.0, 7), (train, validation.clone()));
    assert_ne!(split_by(&classes, 20.0, 8).1, validation);
    // The rows held back are not the first of a class: rows at the front of a file are drawn like any other.
    assert_ne!(validation[..12], (0..12).collect::<Vec<_>>());
    for (n, held) in [(0, 0), (1, 0)] {
        assert_eq!(split_by(&vec![5; n], 50.0, 1).1.len(), held);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packing_loses_and_overfills_nothing(lengths in prop::collection::vec(0usize..20, 0..60)) {
        let examples: Vec<Example> =
            lengths.iter().zip(0u32..).map(|(&length, id)| example(&vec![id; length])).collect();
        let rows = pack(examples.clone(), 20);
        prop_assert_eq!(&rows, &pack(examples.clone(), 20));
        let mut back: Vec<Example> = Vec::new();
        for row in &rows {
            prop_assert!(!row.documents.is_empty() && row.num_tokens() <= 20);
            back.extend(row.documents.iter().cloned());
        }
        back.sort_by_key(|document| document.input_ids[0]);
        let full: Vec<Example> = examples.into_iter().filter(|e| !e.input_ids.is_empty()).collect();
        prop_assert_eq!(back, full);

        // The targets of a packed batch are those of its documents.
        let batch = collate(&rows.iter().collect::<Vec<_>>(), 0);
        let (at, targets) = batch.next_tokens();
        prop_assert_eq!(at.len(), targets.len());
        prop_assert_eq!(targets.len(), rows.iter().map(SequenceRow::num_targets).sum::<usize>());
        prop_assert_eq!(batch.num_tokens(), lengths.iter().sum::<usize>());
    }

    #[test]
    fn splits_by_class_hold_each_index_once(
        classes in prop::collection::vec(0u32..5, 0..60),
        percentage in 0.0f64..110.0,
        seed in any::<u64>(),
    ) {
        let (mut all, validation) = split_by(&classes, percentage, seed);
        for class in 0..5 {
            let left = all.iter().filter(|row| classes[**row] == class).count();
            prop_assert!(left > 0 || !classes.contains(&class));
        }
        all.extend(validation);
        all.sort_unstable();
        prop_assert_eq!(all, (0..classes.len()).collect::<Vec<_>>());
    }

    #[test]
    fn splits_and_orders_hold_each_index_once(n in 0usize..200, percentage in 0.0f64..110.0, seed in any::<u64>()) {
        let (mut all, validation) = split(n, percentage, seed);
        all.extend(validation);
        all.sort_unstable();
        prop_assert_eq!(&all, &(0..n).collect::<Vec<_>>());
        let mut order = epoch_order(n, seed, seed / 3, true);
        order.sort_unstable();
        prop_assert_eq!(order, all);
    }
}

#[test]
fn a_share_of_many_classes_is_held_back_in_no_time() {
    let classes: Vec<u32> = (0..200_000).map(|row| row % 100_000).collect();
    let began = std::time::Instant::now();
    let (train, validation) = split_by(&classes, 20.0, 7);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    assert_eq!((train.len(), validation.len()), (160_000, 40_000));
    let held: std::collections::HashSet<u32> = validation.iter().map(|row| classes[*row]).collect();
    assert_eq!(held.len(), 40_000, "no class gives a second row before each has given one");
}
