//! Embeds `dist`, which `cargo xtask web` builds, if it exists: the program builds without it, too.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    let dist = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../../dist");
    println!("cargo::rerun-if-changed=build.rs");
    let mut files = Vec::new();
    if dist.join("index.html").is_file() {
        // Watch the folder only if it exists: a missing path would make every build begin with this one.
        println!("cargo::rerun-if-changed={}", dist.display());
        collect(&dist, &dist, &mut files)?;
    }
    files.sort();
    // A file with a compressed copy is not needed uncompressed: these are most of the page.
    let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
    files.retain(|(name, _)| !names.contains(&format!("{name}.gz")));
    let entries: String =
        files.iter().map(|(name, path)| format!("    ({name:?}, include_bytes!({path:?})),\n")).collect();
    let text = format!("&[\n{entries}]\n");
    fs::write(PathBuf::from(env::var("OUT_DIR").unwrap_or_default()).join("files.rs"), text)
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else if let Ok(inside) = path.strip_prefix(root) {
            let name = inside.to_string_lossy().replace('\\', "/");
            files.push((name, fs::canonicalize(&path)?.display().to_string()));
        }
    }
    Ok(())
}
