//! One set of features: the program alone and the whole workspace build each library alike, so that `cargo run` and `cargo test` share it.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context, Result, bail};

use crate::{ALL, command::cargo};

/// Fails if a library of the program has other features in the workspace with its tests.
pub fn same(root: &Path) -> Result<()> {
    let program = libraries(root, &["--package", "lorelei", "--edges", "normal,build"])?;
    for features in ["", ALL] {
        let workspace =
            libraries(root, &["--workspace", "--features", features, "--edges", "normal,build,dev"])?;
        let other: Vec<&str> = program.difference(&workspace).map(String::as_str).collect();
        if !other.is_empty() {
            bail!(
                "these have other features in the workspace than in the program, and would be built twice: ask for the rest in \
                 crates/cli/Cargo.toml\n{}",
                other.join("\n")
            );
        }
    }
    Ok(())
}

/// Returns each library with its features, one line each.
fn libraries(root: &Path, selected: &[&str]) -> Result<BTreeSet<String>> {
    let mut tree = cargo();
    tree.args(["tree", "--locked", "--prefix", "none", "--format", "{p} {f}"]).args(selected);
    let output = tree.current_dir(root).output().context("cargo tree cannot be run")?;
    if !output.status.success() {
        bail!("cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let lines = String::from_utf8(output.stdout).context("cargo tree does not write UTF-8")?;
    let lines = lines.lines().filter(|line| !line.starts_with("lorelei"));
    // A library that is listed a second time is marked.
    Ok(lines.map(|line| line.trim_end_matches(" (*)").to_owned()).collect())
}
