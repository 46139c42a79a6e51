//! What is fuzzed: one function for each reader of what comes from outside, which takes any bytes and panics where the reader breaks a promise.
//!
//! `fuzz/fuzz_targets` gives each to libFuzzer, and `tests/corpus.rs` gives each every file of its corpus, so that an input that failed once is
//! read in every run of the tests. A target calls what the program, the page and the server call, and checks what they rely on: no panic, tensors that
//! do not share bytes, settings that are the same when they are written and read again.

mod formats;
mod messages;
mod recipes;
mod rows;
mod tokenizers;

/// A target's name, which is that of its corpus too, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 23] = [
    ("adapter", formats::adapter),
    ("arrow", rows::arrow),
    ("chat_template", tokenizers::chat_template),
    ("compressed", rows::compressed),
    ("csv", rows::csv),
    ("gguf", formats::gguf),
    ("hub", messages::hub),
    ("import_json", recipes::import_json),
    ("import_notebook", recipes::import_notebook),
    ("import_python", recipes::import_python),
    ("import_yaml", recipes::import_yaml),
    ("json", rows::json),
    ("jsonl", rows::jsonl),
    ("labels", rows::labels),
    ("link", recipes::link),
    ("messages", messages::messages),
    ("model_config", formats::model_config),
    ("parquet", rows::parquet),
    ("recipe", recipes::recipe),
    ("safetensors", formats::safetensors),
    ("set", recipes::set),
    ("shards", formats::shards),
    ("tokenizer", tokenizers::tokenizer),
];

/// Runs the target called `name` on an input.
///
/// # Panics
///
/// If there is no such target, or its reader breaks a promise.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = target.unwrap_or_else(|| panic!("there is no target {name}"));
    target(input);
}

/// Line between the parts of an input that stands for several files.
const BETWEEN: &[u8] = b"\n=====\n";

/// Splits an input into the texts of several files; a part that is missing is empty.
fn parts<const N: usize>(input: &[u8]) -> [&[u8]; N] {
    let mut rest = Some(input);
    std::array::from_fn(|_| {
        let all = rest.take().unwrap_or_default();
        match all.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
            Some(at) => {
                rest = Some(&all[at + BETWEEN.len()..]);
                &all[..at]
            }
            None => all,
        }
    })
}

/// Returns a part as text, with signs in place of what is not UTF-8.
fn text(part: &[u8]) -> String {
    String::from_utf8_lossy(part).into_owned()
}
