//! Rows that are far larger than what is learnt of them: what is kept is the same, and what cannot be cut before it is encoded is refused.

mod common;

use std::time::{Duration, Instant};

use common::{assistant, smol, tokenizer, user};
use lorelei_data::{Conversation, DataErrorKind, Encoder, Labels, Row, encode_rows, read_rows};
use lorelei_recipe::{DataSection, SampleBy, TruncationSide};
use serde_json::json;

/// A guard against hangs, on a slow and busy machine.
fn ends(began: Instant) {
    assert!(began.elapsed() < Duration::from_secs(240), "{:?}", began.elapsed());
}

fn words(bytes: usize) -> String {
    (0..)
        .map(|at| format!("river {at} the capital "))
        .scan(0, |length, word| {
            *length += word.len();
            (*length <= bytes).then_some(word)
        })
        .collect()
}

#[test]
fn a_long_text_is_encoded_only_where_it_is_kept() {
    let (tokenizer, text) = (smol(), words(2 << 20));
    let whole = tokenizer.encode(&text, true).unwrap();
    let began = Instant::now();
    let long = text.repeat(10);
    let section =
        |truncation_side| DataSection { max_length: 100, truncation_side, ..DataSection::default() };
    let right = Encoder::of_section(&tokenizer, &section(TruncationSide::Right));
    let left = Encoder::of_section(&tokenizer, &section(TruncationSide::Left));
    for text in [text, long] {
        let row = Row::Text(text);
        assert_eq!(right.encode(&row).unwrap().input_ids, whole[..100]);
        let kept = left.encode(&row).unwrap().input_ids;
        // An end token follows the text.
        assert_eq!((kept.len(), &kept[..99]), (100, &whole[whole.len() - 99..]));
    }
    ends(began);
}

#[test]
fn a_paragraph_of_20_megabytes_is_a_row_that_is_cut() {
    let tokenizer = smol();
    let began = Instant::now();
    let section = DataSection { max_length: 64, sample_by: SampleBy::Paragraph, ..DataSection::default() };
    let text = words(20 << 20);
    let rows = read_rows(text.as_bytes(), "a.txt", &section);
    let encoded = encode_rows(rows, "a.txt", &Encoder::of_section(&tokenizer, &section)).unwrap();
    assert_eq!((encoded.examples.len(), encoded.truncated, encoded.examples[0].input_ids.len()), (1, 1, 64));
    ends(began);
}

#[test]
fn what_must_be_encoded_whole_is_refused_beyond_a_bound() {
    let tokenizer = smol();
    let encoder = Encoder::new(&tokenizer, 128);
    let long = words(9 << 20);
    let conversation = Conversation::from(vec![user("Hi"), assistant(&long)]);
    for row in [
        Row::Conversation(conversation),
        Row::PromptCompletion { prompt: "Hi".to_owned(), completion: long.clone() },
        Row::Words { words: vec![long], tags: vec![json!("a")] },
    ] {
        let error = encoder.encode(&row).unwrap_err();
        assert_eq!(error.kind, DataErrorKind::BadRow);
        assert!(error.problem.contains("at most 8388608 are encoded for max_length = 128"), "{error}");
    }
}

#[test]
fn a_table_of_very_many_columns_is_refused() {
    let header = "a,".repeat(1_000_000);
    let mut rows = read_rows(header.as_bytes(), "a.csv", &DataSection::default());
    let error = rows.next().unwrap().unwrap_err();
    assert!(error.problem.contains("more than 16384 cells"), "{error}");
    assert!(rows.next().is_none());
}

#[test]
fn a_conversation_of_4000_turns_takes_a_few_renderings() {
    let began = Instant::now();
    let config = r#"{"bos_token": "<s>", "eos_token": "<|im_end|>"}"#;
    let turns = |masked: bool| -> Conversation {
        let turn = |at: usize| match at % 2 {
            0 => user(&format!("{at}?")),
            _ => lorelei_data::Message {
                masked: masked && at % 4 == 1,
                ..assistant(if at.is_multiple_of(3) { "" } else { "yes" })
            },
        };
        Conversation::from((0..4_000).map(turn).collect::<Vec<_>>())
    };
    let chatml = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}\
                  {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    // The words are not found in this one's turns.
    let upper = chatml.replace("m.content +", "m.content|upper +");
    for (template, masked) in [(chatml, false), (chatml, true), (&upper, false)] {
        let tokenizer = tokenizer(config, Some(template));
        let example = Encoder::new(&tokenizer, 1 << 20).encode(&Row::Conversation(turns(masked))).unwrap();
        assert!(example.num_targets() > 2_000, "{}", example.num_targets());
    }
    // Of one that does not write turn by turn, a few turns are found by renderings up to them, and the others refused.
    let joined = "{{ '<|im_start|>' }}{{ messages|map(attribute='content')|join('<|im_end|>') }}";
    let tokenizer = tokenizer(config, Some(joined));
    let error = Encoder::new(&tokenizer, 1 << 20).encode(&Row::Conversation(turns(false))).unwrap_err();
    assert!(error.problem.contains("cannot be told from the rest"), "{error}");
    ends(began);
}

#[test]
fn several_classes_of_very_many_are_refused() {
    let rows: Vec<Row> = (0..100_000)
        .map(|at| Row::Labelled {
            text: "a".to_owned(),
            text_pair: None,
            label: json!([format!("class {at}")]),
        })
        .collect();
    let error = Labels::of(rows.iter()).unwrap_err();
    assert!(error.problem.contains("100000 rows of 100000 classes are too many"), "{error}");
    assert!(Labels::of(rows[..1_000].iter()).is_ok());
}
