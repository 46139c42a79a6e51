//! A checkpoint's manifest: the digests of its files, and what determines the numbers of the run that it belongs to.

use std::collections::{BTreeMap, BTreeSet};

use lorelei_data::{ExamplesDigest, sha256};
use lorelei_recipe::{Message, message};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::TrainError;

/// Name of the file in a checkpoint.
pub const MANIFEST_FILE: &str = "manifest.json";

/// Files that every checkpoint has.
const STATE_FILES: [&str; 2] = ["optimizer.safetensors", "trainer_state.json"];

/// What determines the numbers of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RunIdentity {
    /// The recipe's settings that determine what the steps compute, by path ([`lorelei_recipe::Recipe::run_settings`]).
    pub settings: BTreeMap<String, Json>,
    /// SHA-256 of the base model's configuration, and of the names, shapes and samples of its tensors. `None` for a model that is itself trained, and in
    /// checkpoints of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The examples of the training files, before rows are held out or packed.
    pub train: ExamplesDigest,
    /// The examples of the validation files, if the recipe names any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<ExamplesDigest>,
}

/// A difference between two runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path of the setting, or the name of the rows.
    pub what: Message,
    /// Its value in the run of the checkpoint.
    pub before: Message,
    /// Its value now.
    pub now: Message,
}

impl Difference {
    /// Returns the message of the difference.
    pub fn to_message(&self) -> Message {
        message!(
            "{what} was {before} and is {now}",
            what = &self.what,
            before = &self.before,
            now = &self.now
        )
    }
}

impl RunIdentity {
    /// Returns the differences of another run from this one: the settings by path, the base model, then the rows.
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let paths: BTreeSet<&String> = self.settings.keys().chain(now.settings.keys()).collect();
        let value = |run: &Self, path: &str| run.settings.get(path).cloned().unwrap_or_default();
        let settings = paths.into_iter().map(|path| (path.clone(), value(self, path), value(now, path)));
        let settings = settings.filter(|(_, before, now)| before != now).map(|(what, before, now)| {
            Difference { what: what.into(), before: shown(&before), now: shown(&now) }
        });
        let model = self.model.as_ref().zip(now.model.as_ref()).filter(|(before, now)| before != now);
        let model = model.map(|(before, now)| Difference {
            what: message!("the base model"),
            before: message!("SHA-256 {digest}…", digest = beginning(before)),
            now: message!("SHA-256 {digest}…", digest = beginning(now)),
        });
        let rows = [
            (message!("the set of rows to train on"), Some(&self.train), Some(&now.train)),
            (message!("the set of rows to validate on"), self.validation.as_ref(), now.validation.as_ref()),
        ];
        let rows = rows.into_iter().filter(|(_, before, now)| before != now);
        let rows = rows.map(|(what, before, now)| Difference {
            what,
            before: described(before),
            now: described(now),
        });
        settings.chain(model).chain(rows).collect()
    }
}

/// Formats the value of a setting.
fn shown(value: &Json) -> Message {
    if value.is_null() { message!("not set") } else { value.to_string().into() }
}

/// Describes rows by their number and the beginning of their digest.
fn described(rows: Option<&ExamplesDigest>) -> Message {
    let Some(ExamplesDigest { examples, sha256 }) = rows else { return message!("none") };
    message!("{examples} (SHA-256 {digest}…)", examples = *examples, digest = beginning(sha256))
}

/// Returns enough of a digest to tell it from others.
fn beginning(sha256: &str) -> &str {
    sha256.get(..8).unwrap_or(sha256)
}

/// Content of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the program that wrote the checkpoint.
    pub version: String,
    /// SHA-256 of each file, by name.
    pub files: BTreeMap<String, String>,
    /// The run that the checkpoint belongs to.
    pub run: RunIdentity,
}

impl Manifest {
    /// Creates the manifest of a checkpoint's files.
    pub fn new(files: &[(String, Vec<u8>)], run: RunIdentity) -> Self {
        let digest = |(name, bytes): &(String, Vec<u8>)| (name.clone(), sha256(bytes));
        Self { version: env!("CARGO_PKG_VERSION").into(), files: files.iter().map(digest).collect(), run }
    }

    /// Returns the file's bytes.
    pub fn to_json(&self) -> Vec<u8> {
        let json = serde_json::to_value(self).unwrap_or_default();
        format!("{json:#}\n").into_bytes()
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// If it does not have the form of a manifest.
    pub fn read(bytes: &[u8]) -> Result<Self, TrainError> {
        let broken = |error: serde_json::Error| {
            TrainError::Altered(message!(
                "{file} is broken: {reason}",
                file = MANIFEST_FILE,
                reason = error.to_string()
            ))
        };
        let manifest: Self = serde_json::from_slice(bytes).map_err(broken)?;
        let is_name =
            |name: &String| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', ':']);
        if let Some(name) = manifest.files.keys().find(|name| !is_name(name)) {
            return Err(TrainError::Altered(message!(
                "{file} names {name}, which is no file of a checkpoint",
                file = MANIFEST_FILE,
                ?name
            )));
        }
        if let Some(name) = STATE_FILES.into_iter().find(|name| !manifest.files.contains_key(*name)) {
            return Err(TrainError::Altered(message!(
                "{file} does not name {name}",
                file = MANIFEST_FILE,
                name
            )));
        }
        Ok(manifest)
    }

    /// Compares a file with its digest.
    ///
    /// # Errors
    ///
    /// If they differ.
    pub fn check(&self, name: &str, bytes: &[u8]) -> Result<(), TrainError> {
        match self.files.get(name) {
            Some(digest) if *digest != sha256(bytes) => Err(TrainError::Altered(message!(
                "{file} is not as it was saved: its SHA-256 is another than that in {manifest} (an older checkpoint may be whole)",
                file = name,
                manifest = MANIFEST_FILE
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(settings: &[(&str, Json)], sha256: &str) -> RunIdentity {
        RunIdentity {
            settings: settings.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect(),
            model: Some("0123456789".into()),
            train: ExamplesDigest { examples: 3, sha256: sha256.into() },
            validation: None,
        }
    }

    #[test]
    fn what_differs_is_named_with_both_values() {
        let before = run(&[("lora.r", json!(8)), ("training.seed", json!(1))], "00aa");
        assert_eq!(before.differences(&before), []);
        let now = run(&[("training.seed", json!(2)), ("training.neftune_noise_alpha", json!(5))], "00ab");
        let found = before.differences(&now);
        let found: Vec<_> = found.iter().map(|d| (&*d.what, &*d.before, &*d.now)).collect();
        assert_eq!(
            found,
            [
                ("lora.r", "8", "not set"),
                ("training.neftune_noise_alpha", "not set", "5"),
                ("training.seed", "1", "2"),
                ("the set of rows to train on", "3 (SHA-256 00aa…)", "3 (SHA-256 00ab…)"),
            ]
        );
        let other = RunIdentity { model: Some("0129".into()), ..before.clone() };
        let found = before.differences(&other);
        let shown: Vec<String> = found.iter().map(|one| one.to_message().to_string()).collect();
        assert_eq!(shown, ["the base model was SHA-256 01234567… and is SHA-256 0129…"]);
        // Whether it is another than that of a checkpoint of before is not known.
        let unknown = RunIdentity { model: None, ..before.clone() };
        assert_eq!((before.differences(&unknown), unknown.differences(&before)), (vec![], vec![]));
        let validated = RunIdentity { validation: Some(before.train.clone()), ..before.clone() };
        assert_eq!(&*before.differences(&validated)[0].before, "none");
    }

    #[test]
    fn a_changed_byte_of_any_file_is_found() {
        let [a, b] = STATE_FILES;
        let files = [(a.to_owned(), b"one".to_vec()), (b.to_owned(), Vec::new())];
        let manifest = Manifest::new(&files, run(&[("training.seed", json!(1))], "00aa"));
        let read = Manifest::read(&manifest.to_json()).unwrap();
        assert_eq!(read, manifest);
        for (name, bytes) in &files {
            read.check(name, bytes).unwrap();
        }
        assert!(
            read.check(a, b"onE").unwrap_err().to_string().contains("safetensors is not as it was saved")
        );
        assert!(read.check(b, b"x").is_err());
        read.check("a file that a host adds", b"log").unwrap();
        for name in ["../x", "/etc/passwd", "a\\b", "c:x", ".hidden", ""] {
            let mut other = manifest.clone();
            other.files.insert(name.into(), String::new());
            let error = Manifest::read(&other.to_json()).unwrap_err().to_string();
            assert!(error.contains("is no file of a checkpoint"), "{error}");
        }
        let mut other = manifest.clone();
        other.files.remove(a);
        assert!(
            Manifest::read(&other.to_json()).unwrap_err().to_string().contains("does not name optimizer")
        );
        assert!(Manifest::read(b"{}").unwrap_err().to_string().contains("manifest.json is broken"));
    }
}
