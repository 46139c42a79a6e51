//! Tests which part of each row is learnt.

mod common;

use common::{assistant, message, smol, tokenizer, user};
use lorelei_data::{
    Conversation, DataError, DataErrorKind, Encoded, Encoder, Example, Loader, Row, Tokenizer, encode_rows,
    read_jsonl, read_rows,
};
use lorelei_recipe::{DataSection, OnBadRow, SampleBy, TruncationSide};

fn encode(tokenizer: &Tokenizer, row: &Row) -> Example {
    let example = Encoder::new(tokenizer, 10_000).encode(row).unwrap();
    assert_eq!(example.input_ids.len(), example.labels().len());
    for (&id, &label) in example.input_ids.iter().zip(example.labels()) {
        assert!(label == -100 || label == i64::from(id));
    }
    example
}

/// The runs of learnt tokens as text.
fn learnt(tokenizer: &Tokenizer, example: &Example) -> Vec<String> {
    let mut runs: Vec<Vec<u32>> = Vec::new();
    let mut before = -100;
    for &label in example.labels() {
        if label != -100 {
            if before == -100 {
                runs.push(Vec::new());
            }
            runs.last_mut().unwrap().push(label as u32);
        }
        before = label;
    }
    runs.iter().map(|ids| tokenizer.decode(ids, false).unwrap()).collect()
}

fn learnt_of(tokenizer: &Tokenizer, messages: Vec<lorelei_data::Message>) -> Vec<String> {
    learnt(tokenizer, &encode(tokenizer, &Row::Conversation(messages.into())))
}

fn file(tokenizer: &Tokenizer, max_length: usize, text: &str) -> Result<Encoded, DataError> {
    encode_rows(read_jsonl(text.as_bytes(), "t.jsonl"), "t.jsonl", &Encoder::new(tokenizer, max_length))
}

fn pc(prompt: &str, completion: &str) -> Row {
    Row::PromptCompletion { prompt: prompt.into(), completion: completion.into() }
}

#[test]
fn a_text_is_learnt_whole_and_ends_once() {
    let tokenizer = smol();
    let example = encode(&tokenizer, &Row::Text("the river".into()));
    assert_eq!(tokenizer.decode(&example.input_ids, false).unwrap(), "the river<|im_end|>");
    assert_eq!(example.labels(), example.input_ids.iter().map(|&id| i64::from(id)).collect::<Vec<_>>());
    assert_eq!(encode(&tokenizer, &Row::Text("the river<|im_end|>".into())), example);

    let begins =
        common::tokenizer(r#"{"bos_token": "<s>", "eos_token": "<|im_end|>", "add_bos_token": true}"#, None);
    let ids = encode(&begins, &Row::Text("the".into())).input_ids;
    assert_eq!((ids[0], *ids.last().unwrap()), (3, 2));
}

#[test]
fn of_prompt_and_completion_the_second_is_learnt() {
    let tokenizer = smol();
    let example = encode(&tokenizer, &pc("the river", " the capital"));
    assert_eq!(learnt(&tokenizer, &example), [" the capital<|im_end|>"]);
    let whole = tokenizer.encode("the river the capital<|im_end|>", false).unwrap();
    assert_eq!(example.input_ids, whole);
    assert_eq!(learnt(&tokenizer, &encode(&tokenizer, &pc("the", " a<|im_end|>"))), [" a<|im_end|>"]);
    assert_eq!(learnt(&tokenizer, &encode(&tokenizer, &pc("the<|im_end|>", ""))), ["<|im_end|>"]);
    let no_prompt = encode(&tokenizer, &pc("", "the"));
    assert_eq!(learnt(&tokenizer, &no_prompt), ["the<|im_end|>"]);
}

#[test]
fn tokens_that_span_both_are_split() {
    let tokenizer = smol();
    // " capital" is one token, so the prompt " cap" is no prefix of the whole.
    let whole = tokenizer.encode(" capital", false).unwrap();
    let prompt = tokenizer.encode(" cap", false).unwrap();
    assert!(!whole.starts_with(&prompt), "the case needs a token that spans both");
    let example = encode(&tokenizer, &pc(" cap", "ital"));
    assert!(example.input_ids.starts_with(&prompt));
    assert_eq!(learnt(&tokenizer, &example), ["ital<|im_end|>"]);
}

#[test]
fn prompt_and_completion_with_a_beginning_token_have_one() {
    let tokenizer =
        tokenizer(r#"{"bos_token": "<s>", "eos_token": "<|im_end|>", "add_bos_token": true}"#, None);
    for row in [pc("the", " river"), pc(" cap", "ital"), pc("", "the")] {
        let example = encode(&tokenizer, &row);
        assert_eq!(example.input_ids.iter().filter(|&&id| id == 3).count(), 1);
        assert_eq!((example.input_ids[0], example.labels()[0]), (3, -100));
    }
}

#[test]
fn of_a_conversation_every_assistant_turn_is_learnt() {
    let tokenizer = smol();
    let messages = vec![user("the"), assistant("a river"), user("town"), assistant("12 é\n"), user("?")];
    let example = encode(&tokenizer, &Row::Conversation(messages.clone().into()));
    assert_eq!(learnt(&tokenizer, &example), ["a river<|im_end|>\n", "12 é\n<|im_end|>\n"]);
    let text = tokenizer.apply_chat_template(&messages, false).unwrap();
    assert_eq!(tokenizer.decode(&example.input_ids, false).unwrap(), text);
    assert_eq!(learnt_of(&tokenizer, vec![user("the")]), Vec::<String>::new());
}

#[test]
fn the_mask_is_the_text_after_the_generation_prompt() {
    // The same rule in another form: tokens of the whole without those of the prompt, where these are a prefix.
    let tokenizer = smol();
    let messages = [user("the capital"), assistant("the river 345")];
    let prompt = tokenizer.apply_chat_template(&messages[..1], true).unwrap();
    let prompt = tokenizer.encode(&prompt, false).unwrap();
    let whole = tokenizer.encode(&tokenizer.apply_chat_template(&messages, false).unwrap(), false).unwrap();
    assert!(whole.starts_with(&prompt));
    let mut labels = vec![-100; prompt.len()];
    labels.extend(whole[prompt.len()..].iter().map(|&id| i64::from(id)));
    assert_eq!(
        encode(&tokenizer, &Row::Conversation(messages.to_vec().into())),
        Example::tokens(whole, labels)
    );
}

#[test]
fn a_token_across_the_start_of_the_turn_is_learnt() {
    // The generation prompt ends in a space, with which the first token of the words begins.
    let template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}\
                    {% if add_generation_prompt %}assistant: {% endif %}";
    let tokenizer = tokenizer(r#"{"eos_token": "<|im_end|>"}"#, Some(template));
    let learnt = learnt_of(&tokenizer, vec![user("x"), assistant("the town")]);
    assert_eq!(learnt, [" the town\n"]);
}

#[test]
fn a_last_turn_that_is_written_differently() {
    // Qwen3's template, too, writes an empty thought only before the words of the last turn.
    let template = "{% for m in messages %}<|im_start|>{{ m.role }}\n\
                    {% if loop.last and m.role == 'assistant' %}<think></think>{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}\
                    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    let tokenizer = tokenizer(r#"{"eos_token": "<|im_end|>"}"#, Some(template));
    let learnt = learnt_of(&tokenizer, vec![user("x"), assistant("town"), user("y"), assistant("river")]);
    assert_eq!(learnt, ["town<|im_end|>\n", "<think></think>river<|im_end|>\n"]);
}

#[test]
fn a_template_that_hides_the_turn_is_an_error() {
    let tokenizer = tokenizer("{}", Some("{{ messages | length }}{{ messages[-1].content }}"));
    let rows = Row::Conversation(vec![user("x"), assistant("town")].into());
    let error = Encoder::new(&tokenizer, 99).encode(&rows).unwrap_err();
    assert_eq!(error.kind, DataErrorKind::Template);
    assert!(error.to_string().contains("messages[1]"), "{error}");
}

#[test]
fn tokens_are_taken_as_they_are() {
    let tokenizer = smol();
    let row = Row::Tokens { input_ids: vec![1, 70, 2], labels: vec![-100, -100, 2] };
    let example = Encoder::new(&tokenizer, 99).encode(&row).unwrap();
    assert_eq!(example, Example::tokens(vec![1, 70, 2], vec![-100, -100, 2]));
}

#[test]
fn cut_on_the_right() {
    let tokenizer = smol();
    let row = Row::Text("the river is the town".into());
    let whole = encode(&tokenizer, &row);
    let cut = Encoder::new(&tokenizer, 3).encode(&row).unwrap();
    assert_eq!((&cut.input_ids[..], cut.labels()), (&whole.input_ids[..3], &whole.labels()[..3]));

    let file = file(&tokenizer, 3, "{\"text\": \"the river is the town\"}\n{\"text\": \"a\"}\n").unwrap();
    assert_eq!((file.examples.len(), file.truncated), (2, 1));
}

#[test]
fn rows_that_teach_nothing_are_left_out_by_line() {
    let text = concat!(
        "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}\n\n",
        "{\"text\": \"the\"}\n",
        "{\"input_ids\": [5, 6], \"labels\": [5, -100]}\n",
        "{\"prompt\": \"zzzzzzzzzzzzzzzzzzzzzz\", \"completion\": \"the\"}\n",
    );
    let encoded = file(&smol(), 9, text).unwrap();
    let skipped: Vec<String> = encoded.skipped.iter().map(ToString::to_string).collect();
    assert_eq!((encoded.examples.len(), encoded.rows), (1, 4));
    assert_eq!(skipped, ["t.jsonl:1", "t.jsonl:4", "t.jsonl:5"]);
}

#[test]
fn errors_have_their_line() {
    let tokenizer = smol();
    let size = tokenizer.vocab_size();
    let cases = [
        (format!("{{\"input_ids\": [1, {size}]}}"), DataErrorKind::BadRow, "token id"),
        (format!("{{\"input_ids\": [1, 2], \"labels\": [1, {size}]}}"), DataErrorKind::BadRow, "label"),
        ("{\"input_ids\": [1, 2], \"labels\": [1, -1]}".into(), DataErrorKind::BadRow, "label -1"),
        ("{\"text\": \"\"}".into(), DataErrorKind::EmptyRow, "no tokens"),
        ("{\"input_ids\": []}".into(), DataErrorKind::EmptyRow, "no tokens"),
        ("{\"prompt\": \"\", \"completion\": \"\"}".into(), DataErrorKind::EmptyRow, "no tokens"),
        ("{\"oops\": 1}".into(), DataErrorKind::BadRow, "no known field"),
    ];
    for (line, kind, words) in cases {
        let error = file(&tokenizer, 99, &format!("{{\"text\": \"a\"}}\n{line}\n")).unwrap_err();
        assert_eq!(
            (error.kind, error.line, error.file.as_deref()),
            (kind, Some(2), Some("t.jsonl")),
            "{line}"
        );
        assert!(error.to_string().contains(words), "{error}");
    }
    let last = file(&tokenizer, 99, &format!("{{\"input_ids\": [1, {}]}}", size - 1)).unwrap();
    assert_eq!(last.examples.len(), 1);
}

#[test]
fn files_that_teach_nothing_say_why() {
    let tokenizer = smol();
    let error = file(&tokenizer, 99, "\n\n").unwrap_err();
    assert_eq!(error.kind, DataErrorKind::EmptyFile);
    assert!(error.to_string().contains("t.jsonl: the file is empty"), "{error}");

    let only_user = "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}\n";
    let error = file(&tokenizer, 99, only_user).unwrap_err();
    assert_eq!(error.kind, DataErrorKind::NothingToLearn);
    assert!(error.to_string().contains("1 had nothing to learn"), "{error}");

    let long = "{\"prompt\": \"zzzzzzzzzzzzzzzzzzzzzz\", \"completion\": \"the\"}\n";
    let error = file(&tokenizer, 5, long).unwrap_err().to_string();
    assert!(
        error.contains("1 lost what they had to learn when they were cut at 5") && error.contains("raise"),
        "{error}"
    );
}

#[test]
fn spaces_at_the_edges_of_turns() {
    let tokenizer = smol();
    let messages =
        vec![message("system", " "), user("  the "), assistant("  a  "), user(" \n"), assistant(" ")];
    assert_eq!(learnt_of(&tokenizer, messages), ["  a  <|im_end|>\n", " <|im_end|>\n"]);
}

#[test]
fn a_survey_finds_every_bad_row_and_keeps_the_good_ones() {
    let tokenizer = smol();
    let text = "{\"text\": \"the capital\"}\n{\"txt\": 1}\n{\"text\": \"the river\"}\n[]\n{\"text\": \"\"}\n";
    let survey = |text: &str| {
        let mut loader = Loader::survey(Encoder::new(&tokenizer, 64), &DataSection::default());
        loader.add(read_jsonl(text.as_bytes(), "a.jsonl"), "a.jsonl").unwrap();
        loader.finish_survey()
    };
    let (encoded, errors) = survey(text);
    assert_eq!((encoded.examples.len(), encoded.bad), (2, 3));
    assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [Some(2), Some(4), Some(5)]);
    let (_, errors) = survey("");
    assert_eq!(errors[0].kind, DataErrorKind::EmptyFile);
}

fn load(section: &DataSection, text: &str) -> Result<Encoded, DataError> {
    let tokenizer = smol();
    let mut loader = Loader::new(Encoder::of_section(&tokenizer, section), section);
    loader.add(read_rows(text.as_bytes(), "a.jsonl", section), "a.jsonl")?;
    loader.finish()
}

#[test]
fn bad_rows_are_left_out_and_counted_where_the_recipe_says_so() {
    let section = DataSection { on_bad_row: OnBadRow::Skip, ..DataSection::default() };
    let text = "{\"txt\": 1}\n{\"text\": \"the river\"}\nnonsense\n{\"input_ids\": [99999]}\n";
    let encoded = load(&section, text).unwrap();
    assert_eq!((encoded.examples.len(), encoded.bad, encoded.rows), (1, 3, 4));
    assert_eq!(
        encoded.errors.iter().map(|error| error.line).collect::<Vec<_>>(),
        [Some(1), Some(3), Some(4)]
    );
    let error = load(&section, "{\"txt\": 1}\n{}\n").unwrap_err();
    assert!(
        error.to_string().starts_with("a.jsonl:1: every row is bad (2); the first: no known field"),
        "{error}"
    );
}

#[test]
fn rows_with_the_same_tokens_are_kept_once() {
    let text = "{\"text\": \"the\"}\n{\"text\": \"a\"}\n{\"text\": \"the\"}\n{\"prompt\": \"\", \"completion\": \"the\"}\n\
                {\"prompt\": \"t\", \"completion\": \"he\"}\n";
    let section = DataSection { deduplicate: true, ..DataSection::default() };
    let encoded = load(&section, text).unwrap();
    // The last one has the same tokens and another mask.
    assert_eq!((encoded.examples.len(), encoded.duplicates), (3, 2));
    assert_eq!(load(&DataSection::default(), text).unwrap().duplicates, 0);
}

#[test]
fn cut_on_the_left() {
    let section =
        DataSection { max_length: 3, truncation_side: TruncationSide::Left, ..DataSection::default() };
    let text = "{\"prompt\": \"the river is the\", \"completion\": \" town\"}\n{\"text\": \"a\"}\n";
    let encoded = load(&section, text).unwrap();
    assert_eq!((encoded.examples.len(), encoded.truncated), (2, 1));
    let whole = &load(&DataSection::default(), text).unwrap().examples[0];
    let from = whole.input_ids.len() - 3;
    let cut = &encoded.examples[0];
    assert_eq!((&cut.input_ids[..], cut.labels()), (&whole.input_ids[from..], &whole.labels()[from..]));
}

#[test]
fn everything_is_learnt_where_the_recipe_says_so() {
    let tokenizer = smol();
    let section =
        DataSection { assistant_only_loss: false, completion_only_loss: false, ..DataSection::default() };
    let talk = Row::Conversation(vec![user("the"), assistant("a river")].into());
    for row in [talk, pc("the", " river")] {
        let example = Encoder::of_section(&tokenizer, &section).encode(&row).unwrap();
        assert_eq!(example.labels(), example.input_ids.iter().map(|&id| i64::from(id)).collect::<Vec<_>>());
    }
}

#[test]
fn of_a_conversation_with_a_prompt_all_after_it_is_learnt() {
    let tokenizer = smol();
    let messages =
        vec![user("x"), assistant("y"), user("the"), assistant("river"), user("?"), assistant("town")];
    let talk = |given| {
        Row::Conversation(Conversation { messages: messages.clone(), given, ..Conversation::default() })
    };
    assert_eq!(learnt(&tokenizer, &encode(&tokenizer, &talk(5))), ["town<|im_end|>\n"]);
    let tail = "river<|im_end|>\n<|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\ntown<|im_end|>\n";
    assert_eq!(learnt(&tokenizer, &encode(&tokenizer, &talk(3))), [tail]);
}

#[test]
fn a_stream_is_cut_into_rows_of_the_greatest_length() {
    let tokenizer = smol();
    let text = "the river is the town\n\nthe capital\n".repeat(5000);
    let section = DataSection { max_length: 64, sample_by: SampleBy::Document, ..DataSection::default() };
    let mut loader = Loader::new(Encoder::of_section(&tokenizer, &section), &section);
    loader.add(read_rows(text.as_bytes(), "a.txt", &section), "a.txt").unwrap();
    let encoded = loader.finish().unwrap();
    let mut ids: Vec<u32> = encoded.examples.iter().flat_map(|example| example.input_ids.clone()).collect();
    assert!(encoded.examples.iter().rev().skip(1).all(|example| example.input_ids.len() == 64));
    assert_eq!((ids.pop(), encoded.truncated), (tokenizer.eos_id(), 0));
    assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
}

#[test]
fn a_label_is_counted_and_its_text_learnt() {
    let encoded =
        load(&DataSection::default(), "{\"text\": \"the\", \"label\": 1}\n{\"text\": \"the\"}\n").unwrap();
    assert_eq!((encoded.examples.len(), encoded.labelled), (2, 1));
    assert_eq!(encoded.examples[0], encoded.examples[1]);
}

#[test]
fn the_generation_block_of_a_template_says_what_is_learnt() {
    // Text outside the block is not learnt even after the generation prompt.
    let template = "{% for m in messages %}{% if m.role == 'assistant' %}<|im_start|>assistant\nhm{% generation %}\n\
                    {{ m.content }}<|im_end|>{% endgeneration %}\n{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}\
                    {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    let tokenizer = tokenizer(r#"{"eos_token": "<|im_end|>"}"#, Some(template));
    let messages = vec![user("x"), assistant("town"), user("y"), assistant("river")];
    assert_eq!(learnt_of(&tokenizer, messages), ["town<|im_end|>", "river<|im_end|>"]);
}
