//! Fixtures and comparisons for the end-to-end tests.

#[cfg(feature = "browser")]
pub mod browser;
pub mod hub;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use lorelei_data::{Example, SequenceRow};
use lorelei_formats::{SafetensorsFile, TensorSource as _};
use lorelei_models::Model;
use lorelei_recipe::{LoraConfig, TrainingArguments};
use lorelei_train::{Event, Host, Job, RunIdentity, SaveError, StepLog, objective};

/// Returns the path of a file or folder in `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// Returns the seed of a test's random inputs: the value of the environment variable `LORELEI_SEED`, else another one in every run.
pub fn seed() -> u64 {
    match std::env::var("LORELEI_SEED") {
        Ok(seed) => seed.parse().unwrap_or_else(|_| panic!("LORELEI_SEED is {seed:?}, which is no seed")),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos() as u64,
    }
}

/// Returns the path of `lorelei`, which is beside the tests' own folder.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.parent().and_then(Path::parent).expect("it lies in target/release/deps");
    folder.join("lorelei")
}

/// Opens a safetensors file of the fixtures.
pub fn open(path: &Path) -> SafetensorsFile<Vec<u8>> {
    SafetensorsFile::open(std::fs::read(path).unwrap(), path.display().to_string()).unwrap()
}

/// Returns the rows of a table's `input_ids` and `labels` without their padding.
pub fn examples(path: &Path) -> Vec<Example> {
    let file = open(path);
    let width = file.info("input_ids").unwrap().shape[1];
    let [ids, mask, labels] =
        ["input_ids", "attention_mask", "labels"].map(|name| file.read_i64(name).unwrap());
    let row = |r: usize| {
        let kept: Vec<usize> = (r * width..(r + 1) * width).filter(|i| mask[*i] == 1).collect();
        let input_ids = kept.iter().map(|i| ids[*i] as u32).collect();
        Example::tokens(input_ids, kept.iter().map(|i| labels[*i]).collect())
    };
    (0..ids.len() / width).map(row).collect()
}

/// Panics unless the largest difference is at most `tolerance` times the largest value. NaN always fails.
pub fn assert_close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    let scale = want.iter().fold(1e-6f32, |max, v| max.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let close = (g - w).abs() <= tolerance * scale;
        assert!(close, "{what}[{i}]: {g} is not {w} (scale {scale}, tolerance {tolerance:e})");
    }
}

/// Creates a job on a tiny Llama, which trains on `train` in its order, without evaluation, from the first step.
pub fn job(model: Model, lora: LoraConfig, arguments: TrainingArguments, train: Vec<SequenceRow>) -> Job {
    Job {
        model,
        lora: Some(lora),
        target_modules: vec!["q_proj".into(), "v_proj".into()],
        base_model: "tiny/llama".into(),
        arguments,
        objective: objective(None),
        train: train.into(),
        validation: Vec::new().into(),
        shuffle: false,
        padding: 0.into(),
        checkpoint: None,
        sample: None,
        companions: Vec::new(),
        identity: RunIdentity::default(),
    }
}

/// The files of one save: names and contents.
pub type Files = Vec<(String, Vec<u8>)>;

/// A trainer's host that records the steps and the saves.
#[derive(Debug, Default)]
pub struct Recorder {
    /// The logged steps.
    pub log: Vec<StepLog>,
    /// Directory and files of each save.
    pub saved: Vec<(String, Files)>,
    /// The number of checkpoints to keep after each save, and the one to keep in any case.
    pub rotations: Vec<(usize, Option<String>)>,
}

impl Host for Recorder {
    fn event(&mut self, event: &Event) {
        if let Event::Step(log) = event {
            self.log.push(log.clone());
        }
    }

    fn seconds(&self) -> f64 {
        0.0
    }

    async fn save(&mut self, directory: &str, files: Files) -> Result<(), SaveError> {
        self.saved.push((directory.to_owned(), files));
        Ok(())
    }

    async fn rotate(&mut self, keep: usize, best: Option<&str>) {
        self.rotations.push((keep, best.map(str::to_owned)));
    }
}
