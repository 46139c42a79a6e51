//! `lorelei data`, and data from folders, globs, compressed files and Parquet.

mod common;

use std::fs;

use common::{Run, lorelei};

fn data(run: &Run, command: &str, arguments: &[&str]) -> common::Said {
    let recipe = run.path("recipe.toml");
    lorelei(&[&["data", command, recipe.to_str().unwrap()][..], arguments].concat())
}

#[test]
fn a_preview_marks_what_is_learnt() {
    let run = Run::new();
    run.data("{\"prompt\": \"What is 1 and 2?\", \"completion\": \" Three.\"}\n{\"text\": \"Hello\"}\n{\"txt\": 1}\n");
    let said = data(&run, "preview", &["--rows", "9"]).ok();
    assert!(said.out.contains("example 1: ") && said.out.contains("example 2: "), "{}", said.out);
    let line = said.out.lines().nth(1).unwrap();
    let learnt = line.split_once("[[").unwrap().1.split_once("]]").unwrap().0;
    assert!(learnt.replace('|', "").starts_with(" Three."), "{line}");
    assert!(!line.split_once("[[").unwrap().0.contains("Three"), "{line}");
    assert!(said.err.contains("train.jsonl:3: no known field"), "{}", said.err);
    assert!(!said.out.contains('\x1b'));
    let said = data(&run, "preview", &["--rows", "1", "--color", "always"]).ok();
    assert!(said.out.contains("\x1b[1;32m") && !said.out.contains("example 2"), "{}", said.out);
    // Only the rows that are shown are read.
    assert!(!said.err.contains("no known field"), "{}", said.err);
}

#[test]
fn statistics_count() {
    let run = Run::new();
    let row = |length: usize| {
        let ids: Vec<String> = (0..length).map(|id| (id + 5).to_string()).collect();
        format!("{{\"input_ids\": [{}]}}\n", ids.join(", "))
    };
    let text: String = [2, 4, 4, 8].into_iter().map(row).collect();
    run.data(&format!("{text}{}{{\"input_ids\": [3]}}\n", row(4)));
    let arguments = [
        "--set=training.per_device_train_batch_size=2",
        "--set=training.gradient_accumulation_steps=1",
        "--set=training.num_train_epochs=2",
        "--set=training.max_steps=-1",
        "--set=data.max_length=6",
        "--set=data.shuffle=false",
        "--set=data.deduplicate=true",
    ];
    let said = data(&run, "stats", &arguments).ok();
    for words in [
        "rows        6, left out: 1 with nothing to learn, 2 duplicates",
        "truncated   1, 16.7 % of the rows",
        "sequences   3 of 3 examples",
        "tokens      12\n",
        "learnt      9, 75.0 % of the tokens",
        // The rows of 2 and 4 tokens share a batch; the row of 6 tokens has one of its own.
        "padding     2 tokens, 14.3 % of a batch",
        "length      shortest 2, median 4, 95 % at most 6, longest 6 (max_length = 6)",
        "packed      2 sequences, 0.0 % of a batch padding",
        "steps       4 of 2 sequences, 2 an epoch, 2 epochs",
    ] {
        assert!(said.out.contains(words), "no {words:?} in\n{}", said.out);
    }
    assert!(said.out.contains("time        24 tokens to go through"), "{}", said.out);
    let fast = [&arguments[..], &["--tokens-per-second=0.2"]].concat();
    let said = data(&run, "stats", &fast).ok();
    assert!(said.out.contains("time        2 minutes at 0 tokens/s (--tokens-per-second)"), "{}", said.out);
    let slow = [&arguments[..], &["--tokens-per-second=1e-300"]].concat();
    data(&run, "stats", &slow).ok();
    assert!(data(&run, "stats", &["--tokens-per-second=0"]).err.contains("above 0"));
    // Without the option, the speed is that of the last run.
    run.train(&[]).ok();
    let said = data(&run, "stats", &arguments).ok();
    assert!(said.out.contains("trainer_log.jsonl), evaluations and saves not counted"), "{}", said.out);
}

#[test]
fn folders_globs_and_parquet() {
    let run = Run::new();
    let folder = run.path("rows");
    fs::create_dir_all(folder.join("more")).unwrap();
    fs::write(folder.join("b.jsonl"), "{\"text\": \"second\"}\n").unwrap();
    fs::write(folder.join("a.csv"), "text\nfirst\n").unwrap();
    fs::write(folder.join("README.md"), "no data").unwrap();
    fs::write(folder.join(".hidden.jsonl"), "nonsense").unwrap();
    fs::write(folder.join("more/c.parquet"), include_bytes!("../../data/tests/fixtures/rows.parquet"))
        .unwrap();
    let stats = |file: &str| data(&run, "stats", &[&format!("--set=data.train_file={file}")]);
    let name = folder.display().to_string();
    assert!(stats(&name).ok().out.contains("rows        5\n"));
    assert!(stats(&format!("{name}/*.jsonl")).ok().out.contains("rows        1\n"));
    assert!(stats(&format!("{name}/**/*.parquet")).ok().out.contains("rows        3\n"));
    stats(&format!("{name}/*.tsv")).refused(&["no file matches", "*.tsv"]);
    fs::write(folder.join("z.jsonl"), "{\"text\": \"x\"}\nnonsense\n").unwrap();
    stats(&name).refused(&["z.jsonl:2", "not valid JSON"]);
    let skip =
        data(&run, "stats", &[&format!("--set=data.train_file={name}"), "--set=data.on_bad_row=skip"]).ok();
    assert!(skip.out.contains("rows        7, left out: 1 bad"), "{}", skip.out);
    assert!(skip.err.contains("1 rows cannot be used") && skip.err.contains("z.jsonl:2"), "{}", skip.err);
    fs::create_dir(run.path("empty")).unwrap();
    stats(&run.path("empty").display().to_string()).refused(&["has no data", ".parquet"]);
}
