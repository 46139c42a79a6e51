//! Runs of the program as a process.
#![allow(dead_code)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Exit code and output of a process.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Panics unless the process has succeeded.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self
    }

    /// Panics unless the process has ended with an error, not a panic, whose message has all of `words`.
    pub fn refused(self, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(1), "{}\n{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in\n{}", self.err);
        }
        self
    }
}

pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lorelei"));
    command.env("NO_COLOR", "1");
    command
}

pub fn lorelei(arguments: &[&str]) -> Said {
    Said::of(program().args(arguments).output().unwrap())
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}

/// A folder with a data file and a recipe for a run of a few steps on `builtin:tiny`.
pub struct Run {
    pub folder: tempfile::TempDir,
}

impl Run {
    pub fn new() -> Self {
        let run = Self { folder: tempfile::tempdir().unwrap() };
        run.data(
            "{\"prompt\": \"the whale\", \"completion\": \" was white\"}\n{\"text\": \"a ship at sea\"}\n",
        );
        let output = run.path("out").display().to_string();
        let train = run.path("train.jsonl").display().to_string();
        let recipe = format!(
            "[model]\nmodel_name_or_path = \"builtin:tiny\"\n[data]\ntrain_file = {train:?}\n[lora]\nr = 4\n\
             [training]\noutput_dir = {output:?}\nmax_steps = 3\nlogging_steps = 1\nlearning_rate = 1e-3\n"
        );
        fs::write(run.path("recipe.toml"), recipe).unwrap();
        run
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn data(&self, rows: &str) {
        fs::write(self.path("train.jsonl"), rows).unwrap();
    }

    /// Returns the command `lorelei COMMAND recipe.toml --set ...`.
    pub fn command(&self, command: &str, set: &[&str]) -> Command {
        let mut program = program();
        program.arg(command).arg(self.path("recipe.toml"));
        if command == "train" {
            program.args(["--device", "cpu"]);
        }
        set.iter().for_each(|assignment| {
            program.args(["--set", assignment]);
        });
        program
    }

    /// Returns the path of `training.output_dir`.
    pub fn output(&self) -> PathBuf {
        self.path("out")
    }

    /// Runs `lorelei train recipe.toml --resume-from-checkpoint`.
    pub fn resume(&self, set: &[&str]) -> Said {
        Said::of(self.command("train", set).arg("--resume-from-checkpoint").output().unwrap())
    }

    pub fn train(&self, set: &[&str]) -> Said {
        Said::of(self.command("train", set).output().unwrap())
    }
}

/// Returns the names in a folder, without the empty lock file of runs.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name != ".lorelei.lock");
    names.sort();
    names
}
