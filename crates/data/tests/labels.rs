//! Tests the encoding for classifiers: texts, pairs of texts and words with their labels.

mod common;

use lorelei_data::{
    Encoded, Encoder, Example, HeldRows, IGNORE_INDEX, Labels, Loader, Row, Target, Tokenizer, read_rows,
};
use lorelei_recipe::{DataSection, OnBadRow, TruncationSide};

/// A BERT of a few words: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, then words and their pieces.
fn bert() -> Tokenizer {
    let words = ["the", "cat", "sat", "mat", "dog", "ran", "##s", "##ning", "run"];
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"];
    let vocab: serde_json::Map<_, _> =
        special.into_iter().chain(words).zip(0..).map(|(word, id)| (word.to_owned(), id.into())).collect();
    let added: Vec<_> = special
        .into_iter()
        .zip(0..)
        .map(|(content, id)| {
            serde_json::json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        })
        .collect();
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab},
    });
    Tokenizer::from_files(json.to_string().as_bytes(), None, None).unwrap()
}

fn rows(lines: &str) -> Vec<Row> {
    read_rows(lines.as_bytes(), "x.jsonl", &DataSection::default()).map(|row| row.unwrap().1).collect()
}

fn encoded(lines: &str, section: &DataSection) -> Vec<Example> {
    let (rows, tokenizer) = (rows(lines), bert());
    let of_words = rows.iter().any(|row| matches!(row, Row::Words { .. }));
    let labels = if of_words { Labels::of_words(rows.iter()) } else { Labels::of(rows.iter()) }.unwrap();
    let encoder = Encoder::of_section(&tokenizer, section).with_labels(&labels);
    rows.iter().map(|row| encoder.encode(row).unwrap()).collect()
}

fn limit(max_length: usize) -> DataSection {
    DataSection { max_length, ..DataSection::default() }
}

#[test]
fn a_text_has_its_class_as_its_target() {
    let lines =
        "{\"text\": \"the cat sat\", \"label\": \"good\"}\n{\"text\": \"the dog ran\", \"label\": \"bad\"}";
    let [cat, dog] = &encoded(lines, &limit(16))[..] else { panic!("two rows") };
    assert_eq!(cat.input_ids, [2, 4, 5, 6, 3]);
    assert_eq!((&cat.target, cat.labels(), cat.num_targets()), (&Target::Class(1), &[][..], 1));
    assert_eq!((&dog.target, &dog.token_type_ids[..]), (&Target::Class(0), &[][..]));
    // A text that is cut on either side keeps the special tokens around it.
    let left = DataSection { truncation_side: TruncationSide::Left, ..limit(4) };
    assert_eq!(encoded(lines, &limit(4))[0].input_ids, [2, 4, 5, 3]);
    assert_eq!(encoded(lines, &left)[0].input_ids, [2, 5, 6, 3]);
}

#[test]
fn of_a_pair_the_tokens_say_which_text_is_theirs_and_the_longer_is_cut() {
    let lines = "{\"text\": \"the cat sat\", \"text_pair\": \"the dog\", \"label\": 1}\n\
                 {\"text\": \"the\", \"text_pair\": \"the dog ran\", \"label\": 0}";
    let pairs = encoded(lines, &limit(16));
    assert_eq!(pairs[0].input_ids, [2, 4, 5, 6, 3, 4, 8, 3]);
    assert_eq!(pairs[0].token_type_ids, [0, 0, 0, 0, 0, 1, 1, 1]);
    assert_eq!((&pairs[0].target, &pairs[1].target), (&Target::Class(1), &Target::Class(0)));
    // Three and two words lose two: one of each text, so that neither is longer than the other by more than one.
    let cut = encoded(lines, &limit(6));
    assert_eq!(cut[0].input_ids.len(), 6);
    assert_eq!(cut[0].token_type_ids.iter().filter(|of| **of == 1).count(), 2);
    assert_eq!(cut[1].input_ids, [2, 4, 3, 4, 8, 3]);
}

#[test]
fn the_first_piece_of_a_word_bears_its_tag() {
    let lines = "{\"tokens\": [\"the\", \"cats\", \"running\"], \"ner_tags\": [\"O\", \"B\", \"O\"]}";
    let words = &encoded(lines, &limit(16))[0];
    assert_eq!(words.input_ids, [2, 4, 5, 10, 12, 11, 3]);
    let none = IGNORE_INDEX;
    assert_eq!(words.labels(), [none, 1, 0, none, 1, none, none]);
    let cut = &encoded(lines, &limit(5))[0];
    assert_eq!((&cut.input_ids[..], cut.labels()), (&[2, 4, 5, 10, 3][..], &[none, 1, 0, none, none][..]));
}

#[test]
fn tokens_with_the_numbers_of_their_classes_are_tags() {
    let rows = |lines: &[(&[u32], &[i64])]| -> Vec<Row> {
        let row = |(ids, labels): &(&[u32], &[i64])| Row::Tokens {
            input_ids: ids.to_vec(),
            labels: labels.to_vec(),
        };
        lines.iter().map(row).collect()
    };
    let train = rows(&[(&[4, 5, 6], &[2, IGNORE_INDEX, 0]), (&[7], &[1])]);
    let mut held = HeldRows::default();
    held.add(train.iter().cloned().map(|row| Ok((1, row))), "a", true).unwrap();
    let labels = held.labels(true).unwrap();
    assert_eq!(labels.names(), ["0", "1", "2"]);
    let tokenizer = bert();
    let encoder = Encoder::new(&tokenizer, 2).with_labels(&labels);
    let encoded = encoder.encode(&train[0]).unwrap();
    assert_eq!((encoded.target, encoded.input_ids), (Target::Tags(vec![2, IGNORE_INDEX]), vec![4, 5]));
    // The only token of a single word is learnt: nothing has to predict it.
    assert_eq!(encoder.encode(&train[1]).unwrap().num_targets(), 1);
    let other = encoder.encode(&rows(&[(&[4], &[3])])[0]).unwrap_err();
    assert!(other.problem.contains("label 3 is none of"), "{other}");
    // -100 as an unsigned number makes no four thousand million classes, and its row is refused.
    let mut broken = HeldRows::default();
    let faulty = rows(&[(&[4, 5], &[1, 0]), (&[6], &[4_294_967_196])]);
    broken.add(faulty.iter().cloned().map(|row| Ok((1, row))), "a", true).unwrap();
    let two = broken.labels(true).unwrap();
    assert_eq!(two.names(), ["0", "1"]);
    let refused = Encoder::new(&tokenizer, 2).with_labels(&two).encode(&faulty[1]).unwrap_err();
    assert!(refused.problem.contains("label 4294967196 is none of the training rows': 0, 1"), "{refused}");
    let unknown = encoder.encode(&rows(&[(&[4000], &[1])])[0]).unwrap_err();
    assert!(unknown.problem.contains("outside the vocabulary"), "{unknown}");
}

#[test]
fn labels_of_a_table_are_numbers_where_they_look_so() {
    let labels = |table: &str| {
        let rows = read_rows(table.as_bytes(), "x.csv", &DataSection::default());
        let rows: Vec<Row> = rows.map(|row| row.unwrap().1).collect();
        Labels::of(rows.iter()).unwrap()
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>().into();
    assert_eq!(labels("text,label\nthe cat,10\nthe dog,2\n"), Labels::Classes(names(&["2", "10"])));
    assert_eq!(labels("label,text\n2.5,the cat\n 3 ,the dog\n"), Labels::Number);
    assert_eq!(labels("text,label\na,1\nb,one\n"), Labels::Classes(names(&["1", "one"])));
    assert_eq!(labels("text,label\na,True\nb,False\n"), Labels::Classes(names(&["False", "True"])));
    let several = labels("text,label\na,\"[\"\"x\"\", \"\"y\"\"]\"\nb,[]\nc,\n");
    assert_eq!(several, Labels::Several(names(&["x", "y"])));
    assert_eq!(
        labels("text,label\na,\"[1, 0, 1]\"\nb,\"[0, 0, 0]\"\n"),
        Labels::Several(names(&["0", "1", "2"]))
    );
    // pandas' and NumPy's missing number is no label.
    assert_eq!(labels("text,label\na,1\nb,nan\nc,0\n"), Labels::Classes(names(&["0", "1"])));
    let printed = "text,label\na,\"['x', 'y']\"\n";
    let error = read_rows(printed.as_bytes(), "x.csv", &DataSection::default()).next().unwrap().unwrap_err();
    assert_eq!((error.line, error.problem.as_str()), (Some(2), "label is a list that is not JSON"));
}

/// Reads rows as a run does: the classes are those of all of them.
fn loaded(lines: &str) -> (Labels, Encoded) {
    let (section, tokenizer) = (limit(64), bert());
    let mut held = HeldRows::default();
    held.add(read_rows(lines.as_bytes(), "x.jsonl", &section), "x.jsonl", true).unwrap();
    let labels = held.labels(false).unwrap();
    let mut loader = Loader::new(Encoder::of_section(&tokenizer, &section).with_labels(&labels), &section);
    held.load(&mut loader, usize::MAX).unwrap();
    (labels.clone(), loader.finish().unwrap())
}

/// Rows as those of SNLI: -1 stands for a pair on which the annotators did not agree.
#[test]
fn a_row_whose_label_stands_for_none_is_left_out_and_counted() {
    let lines = |labels: [i64; 4]| {
        let row =
            |label| format!("{{\"text\": \"the cat\", \"text_pair\": \"the dog\", \"label\": {label}}}\n");
        labels.map(row).concat()
    };
    let (labels, encoded) = loaded(&lines([0, 2, 1, -1]));
    assert_eq!(labels.summary(), "3 classes: 0, 1, 2");
    let classes: Vec<_> = encoded.examples.iter().map(|example| example.target.clone()).collect();
    assert_eq!(classes, [0, 2, 1].map(Target::Class));
    assert_eq!((encoded.rows, encoded.unlabelled, encoded.bad), (4, 1, 0));
    assert_eq!(encoded.skipped.iter().map(|place| place.line).collect::<Vec<_>>(), [4]);

    let (moods, encoded) = loaded(&lines([1, -1, 0, -1]));
    assert_eq!((moods.names(), encoded.unlabelled), (&["-1".into(), "0".into(), "1".into()][..], 0));
    assert_eq!(
        moods.summary(),
        "3 classes: -1, 0, 1 (-1 is a class here: beside 0 and 1 alone it does not stand for no label)"
    );
    let classes: Vec<_> = encoded.examples.iter().map(|example| example.target.clone()).collect();
    assert_eq!(classes, [2, 0, 1, 0].map(Target::Class));
    assert_eq!(loaded(&lines([-1, 1, 1, -1])).0.names(), ["-1", "1"]);
}

#[test]
fn lists_of_zeros_and_ones_have_an_entry_for_each_class() {
    let lines = "{\"text\": \"the cat\", \"label\": [1, 0, 1, 0]}\n{\"text\": \"the dog\", \"label\": [0, 0, 0, 0]}\n\
                 {\"text\": \"the mat\", \"label\": [0, 1, 0, 0]}\n{\"text\": \"ran\", \"label\": [0, 0, 1, 1]}\n";
    let (labels, encoded) = loaded(lines);
    assert_eq!(labels.summary(), "4 classes: 0, 1, 2, 3 (each label lists a 0 or a 1 for every class)");
    let saved = serde_json::from_str::<serde_json::Value>(&labels.to_json()).unwrap();
    assert_eq!(
        saved,
        serde_json::json!({
            "problem_type": "multi_label_classification",
            "id2label": {"0": "0", "1": "1", "2": "2", "3": "3"},
        })
    );
    let targets: Vec<_> = encoded.examples.iter().map(|example| example.target.clone()).collect();
    let wanted = [[1.0, 0.0, 1.0, 0.0], [0.0; 4], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]];
    assert_eq!(targets, wanted.map(|values| Target::Classes(values.to_vec())));
}

#[test]
fn codes_and_stars_are_their_distinct_values() {
    let lines = |labels: &[u32]| {
        let row = |label: &u32| format!("{{\"text\": \"the cat\", \"label\": {label}}}\n");
        labels.iter().map(row).collect::<String>()
    };
    let (codes, encoded) = loaded(&lines(&[7304, 6205, 2204, 7304]));
    assert_eq!(codes.summary(), "3 classes: 2204, 6205, 7304");
    let saved = serde_json::from_str::<serde_json::Value>(&codes.to_json()).unwrap();
    assert_eq!(saved["id2label"], serde_json::json!({"0": "2204", "1": "6205", "2": "7304"}));
    let classes: Vec<_> = encoded.examples.iter().map(|example| example.target.clone()).collect();
    assert_eq!(classes, [2, 1, 0, 2].map(Target::Class));
    assert_eq!(codes.text_label(&encoded.examples[1]).unwrap(), "6205");

    let (stars, encoded) = loaded(&lines(&[1, 3, 5, 4, 2]));
    assert_eq!(stars.summary(), "5 classes: 1, 2, 3, 4, 5");
    let classes: Vec<_> = encoded.examples.iter().map(|example| example.target.clone()).collect();
    assert_eq!(classes, [0, 2, 4, 3, 1].map(Target::Class));

    let many: Vec<u32> = (0..7305).collect();
    assert_eq!(loaded(&lines(&many)).0.summary(), "7305 classes");
    let odd = loaded(&lines(&[0, 1, 65_535])).0;
    assert_eq!(odd.names(), ["0", "1", "65535"]);
}

#[test]
fn a_word_with_the_tag_minus_100_is_not_learnt() {
    let none = IGNORE_INDEX;
    let lines = "{\"tokens\": [\"the\", \"cats\", \"ran\"], \"ner_tags\": [-100, 3, 7]}";
    assert_eq!(encoded(lines, &limit(16))[0].labels(), [none, none, 0, none, 1, none]);
    // A row of such words alone has nothing to learn, and is no fault.
    let (section, tokenizer) = (limit(16), bert());
    let lines = format!("{lines}\n{{\"tokens\": [\"the\"], \"ner_tags\": [-100]}}");
    let labels = Labels::of_words(rows(&lines).iter()).unwrap();
    assert_eq!(labels.names(), ["3", "7"]);
    let mut loader = Loader::new(Encoder::of_section(&tokenizer, &section).with_labels(&labels), &section);
    loader.add(read_rows(lines.as_bytes(), "x.jsonl", &section), "x.jsonl").unwrap();
    let loaded = loader.finish().unwrap();
    assert_eq!((loaded.examples.len(), loaded.skipped[0].line), (1, 2));
}

#[test]
fn words_of_a_byte_level_vocabulary_have_their_spaces() {
    let tokenizer = common::smol();
    let rows = rows("{\"tokens\": [\"the\", \"capital\", \"river\"], \"tags\": [0, 1, 2]}");
    let labels = Labels::of_words(rows.iter()).unwrap();
    let words = Encoder::new(&tokenizer, 64).with_labels(&labels).encode(&rows[0]).unwrap();
    assert_eq!(tokenizer.decode(&words.input_ids, false).unwrap(), " the capital river");
    let tags: Vec<i64> = words.labels().iter().copied().filter(|label| *label != IGNORE_INDEX).collect();
    assert_eq!(tags, [0, 1, 2]);
}

#[test]
fn a_row_of_the_other_kind_is_said_to_be_so_and_one_word_is_enough() {
    let tokenizer = common::smol();
    let all = rows(
        "{\"tokens\": [\"the\"], \"tags\": [1]}\n{\"text\": \"the\", \"label\": 0}\n{\"text\": \"capital\", \"label\": 1}\n\
         {\"tokens\": [\"town\"], \"tags\": [0]}",
    );
    let (words, texts) = (Labels::of_words(all.iter()).unwrap(), Labels::of(all.iter()).unwrap());
    let encoder = |labels| Encoder::new(&tokenizer, 64).with_labels(labels);
    assert_eq!(encoder(&words).encode(&all[0]).unwrap().labels(), [1]);
    assert!(encoder(&words).encode(&all[1]).unwrap_err().to_string().contains("no words with tags"));
    assert!(encoder(&texts).encode(&all[0]).unwrap_err().to_string().contains("no label"));
    let section = DataSection::default();
    let mut loader = Loader::new(encoder(&words), &section);
    loader.add(vec![Ok((1, all[0].clone()))].into_iter(), "x").unwrap();
    assert_eq!(loader.finish().unwrap().examples.len(), 1);
}

#[test]
fn bad_rows_are_skipped_and_counted_and_doubles_are_left_out() {
    let lines = "{\"text\": \"the cat\", \"label\": \"a\"}\n{\"text\": \"the dog\"}\n\
                 {\"text\": \"the cat\", \"label\": \"a\"}\n{\"text\": \"ran\", \"label\": \"b\"}\n{\"tokens\": [\"a\"], \"tags\": []}";
    let mut section = limit(8);
    let tokenizer = bert();
    let rows: Vec<_> = read_rows(lines.as_bytes(), "x.jsonl", &section).collect();
    let labels = Labels::of(rows.iter().filter_map(|row| row.as_ref().ok()).map(|(_, row)| row)).unwrap();
    let load = |section: &DataSection| {
        let mut loader = Loader::new(Encoder::of_section(&tokenizer, section).with_labels(&labels), section);
        loader
            .add(read_rows(lines.as_bytes(), "x.jsonl", section), "x.jsonl")
            .map(|()| loader.finish().unwrap())
    };
    let error = load(&section).unwrap_err().to_string();
    assert!(error.starts_with("x.jsonl:2: the row has no label"), "{error}");
    section.on_bad_row = OnBadRow::Skip;
    section.deduplicate = true;
    let loaded = load(&section).unwrap();
    assert_eq!((loaded.examples.len(), loaded.bad, loaded.duplicates, loaded.labelled), (2, 2, 1, 0));
    assert!(
        loaded.errors[1].to_string().contains("tags has 0 entries but tokens has 1"),
        "{:?}",
        loaded.errors
    );
}

#[test]
fn a_class_that_no_training_row_has_and_no_room_are_errors() {
    let tokenizer = bert();
    let train = rows("{\"text\": \"cat\", \"label\": \"a\"}\n{\"text\": \"dog\", \"label\": \"b\"}");
    let labels = Labels::of(train.iter()).unwrap();
    let other = &rows("{\"text\": \"cat\", \"label\": \"c\"}")[0];
    let encoder = Encoder::new(&tokenizer, 8).with_labels(&labels);
    assert!(encoder.encode(other).unwrap_err().to_string().contains("none of the training rows': a, b"));
    let short = Encoder::new(&tokenizer, 2).with_labels(&labels).encode(&train[0]).unwrap_err();
    assert!(short.to_string().contains("max_length = 2 has no room"), "{short}");
    // A language model learns the words.
    let words = Row::Words { words: vec!["the".into(), "cat".into()], tags: vec![0.into(), 1.into()] };
    assert_eq!(Encoder::new(&tokenizer, 8).encode(&words).unwrap().input_ids, [2, 4, 5, 3]);
}
