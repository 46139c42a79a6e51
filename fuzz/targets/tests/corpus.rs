//! Every input of the corpus is read as the fuzzer reads it: those that failed once do not fail again.

use std::{collections::BTreeSet, fs, path::Path};

use lorelei_fuzz_targets::{TARGETS, run};

/// Longest time that one input may take, in a build without optimisation.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(20);

#[test]
fn every_input_is_read() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for (name, _) in TARGETS {
        let folder = corpus.join(name);
        let inputs: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.expect("a file").path())
            .collect();
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for input in inputs {
            let bytes = fs::read(&input).expect("a file that can be read");
            let started = std::time::Instant::now();
            let ended = std::panic::catch_unwind(|| run(name, &bytes));
            assert!(ended.is_ok(), "{} fails", input.display());
            assert!(started.elapsed() < LONGEST, "{} takes {:?}", input.display(), started.elapsed());
        }
    }
}

#[test]
fn every_target_has_a_program() {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz_targets");
    let programs: BTreeSet<String> = fs::read_dir(programs)
        .expect("the programs")
        .map(|entry| {
            entry.expect("a file").path().file_stem().expect("a name").to_string_lossy().into_owned()
        })
        .collect();
    assert_eq!(programs, TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect());
}
