//! Taking the names of functions out of a module: they serve debuggers only, and the trainer's are eight megabytes.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

/// The magic number and the version.
const HEADER: usize = 8;

/// An unsigned LEB128 number at `at`, and where it ends.
fn number(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let (mut value, mut shift) = (0usize, 0);
    loop {
        let byte = *bytes.get(at)?;
        at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        match byte & 0x80 {
            0 => return Some((value, at)),
            _ if shift > 28 => return None,
            _ => {}
        }
    }
}

/// The module without its section `name`; none where it is no module.
fn without_names(module: &[u8]) -> Option<Vec<u8>> {
    if !module.starts_with(b"\0asm") {
        return None;
    }
    let mut kept = module.get(..HEADER)?.to_vec();
    let mut at = HEADER;
    while at < module.len() {
        let (size, start) = number(module, at + 1)?;
        let end = start.checked_add(size)?;
        let section = module.get(start..end)?;
        // A custom section begins with its own name, and the name with its length.
        if !(module[at] == 0 && section.starts_with(b"\x04name")) {
            kept.extend_from_slice(&module[at..end]);
        }
        at = end;
    }
    Some(kept)
}

/// Takes the names out of a module's file.
pub fn strip_names(path: &Path) -> Result<()> {
    let module = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let Some(stripped) = without_names(&module) else { bail!("{} is no WebAssembly module", path.display()) };
    println!("xtask: {}: {} KiB, {} without names", path.display(), module.len() >> 10, stripped.len() >> 10);
    fs::write(path, stripped).with_context(|| format!("cannot write {}", path.display()))
}
