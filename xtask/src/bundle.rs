//! Conversion of cargo's WebAssembly modules into the page's files: wasm-bindgen generates the glue, wasm-opt shrinks the modules, and compressed
//! copies are written beside them.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use brotli::enc::{BrotliEncoderParams, writer::CompressorWriter};
use flate2::{Compression, write::GzEncoder};
use wasm_bindgen_cli_support::Bindgen;

use crate::{
    command::{run, works},
    download::{BINARYEN, sha256},
};

/// Arguments of wasm-opt. The features are those that the modules are compiled with.
const WASM_OPT: &[&str] = &[
    "-Oz",
    "--enable-simd",
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
    "--enable-extended-const",
    "--strip-producers",
    "--strip-target-features",
];

/// Writes a module's files into `into`: `NAME.js`, `NAME_bg.wasm` and the files that its JavaScript imports. The files of the same module from an
/// earlier call are taken from `made`.
///
/// # Errors
///
/// If `module` was not made by cargo with xtask's version of wasm-bindgen, or a file cannot be written.
pub fn module(module: &Path, into: &Path, made: &Path) -> Result<()> {
    let name = module.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let optimizer = optimizer();
    let with = if optimizer.is_some() { BINARYEN.requirement } else { "plain" };
    // The files depend on the code of this file as well as on the module.
    let mut how = DefaultHasher::new();
    include_str!("bundle.rs").hash(&mut how);
    let with = format!("{:016x}-{with}", how.finish());
    let folder = made.join(format!("{name}-{}-{with}", &sha256(module)?[..32]));
    if !folder.is_dir() {
        fs::remove_dir_all(made.join(&name)).ok();
        let aside = made.join(&name);
        let mut bindgen = Bindgen::new();
        bindgen.input_path(module).out_name(&name).web(true)?.typescript(false);
        bindgen.remove_name_section(true).remove_producers_section(true);
        bindgen.generate(&aside).with_context(|| format!("wasm-bindgen refuses {}", module.display()))?;
        let path = aside.join(format!("{name}_bg.wasm"));
        if let Some(optimizer) = optimizer {
            println!("xtask: wasm-opt on {name} (a minute)");
            let small = path.with_extension("small");
            run(Command::new("node").arg(optimizer).args(WASM_OPT).arg(&path).arg("-o").arg(&small))?;
            fs::rename(&small, &path)?;
        }
        compress(&path)?;
        for old in fs::read_dir(made)?.filter_map(Result::ok) {
            let is_of = |file: &str| file.strip_prefix(&name).is_some_and(|rest| rest.starts_with('-'));
            if old.file_name().to_str().is_some_and(is_of) {
                fs::remove_dir_all(old.path()).ok();
            }
        }
        fs::rename(&aside, &folder)?;
    }
    copy(&folder, into)?;
    let size = |end: &str| {
        fs::metadata(folder.join(format!("{name}_bg.wasm{end}"))).map_or(0, |file| file.len() >> 10)
    };
    println!("xtask: {name}: {} KiB, {} as gzip, {} as brotli", size(""), size(".gz"), size(".br"));
    Ok(())
}

/// Returns the path of wasm-opt, or `None` where there is no Node.js to run it.
fn optimizer() -> Option<PathBuf> {
    if !works(Command::new("node").arg("--version")) || !works(Command::new("npm").arg("--version")) {
        println!("xtask: without Node.js and npm there is no wasm-opt: the modules stay a tenth larger");
        return None;
    }
    match BINARYEN.folder() {
        Ok(folder) => Some(folder.join("package/bin/wasm-opt")),
        Err(error) => {
            println!("xtask: there is no wasm-opt ({error:#}): the modules stay a tenth larger");
            None
        }
    }
}

/// Copies a folder's files into another.
fn copy(from: &Path, into: &Path) -> Result<()> {
    fs::create_dir_all(into).with_context(|| format!("cannot make {}", into.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = into.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => drop(
                fs::copy(entry.path(), &target)
                    .with_context(|| format!("cannot write {}", target.display()))?,
            ),
        }
    }
    Ok(())
}

/// Writes copies of `path` that are compressed by gzip and by brotli, with `.gz` and `.br` appended to its name.
fn compress(path: &Path) -> Result<()> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let beside = |end: &str| PathBuf::from(format!("{}.{end}", path.display()));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&bytes)?;
    fs::write(beside("gz"), gzip.finish()?)?;
    let parameters =
        BrotliEncoderParams { quality: 11, lgwin: 24, size_hint: bytes.len(), ..Default::default() };
    let mut brotli = CompressorWriter::with_params(Vec::new(), 1 << 16, &parameters);
    brotli.write_all(&bytes)?;
    Ok(fs::write(beside("br"), brotli.into_inner())?)
}
