//! Clippy and rustdoc as part of a build: cargo calls xtask in place of rustc for each crate of the project. xtask lints the crate and its
//! documentation, and then compiles it as rustc would have. `cargo clippy` and `cargo doc` would check every library again although the build has
//! done so, and the output of Clippy's driver cannot replace that of rustc.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

use crate::command::works;

/// Environment variable that names Clippy's driver where cargo calls xtask.
const DRIVER: &str = "LORELEI_CLIPPY";

/// Returns the environment variables with which cargo lints while it builds. Warnings are errors.
///
/// # Errors
///
/// If `driver` cannot be run.
pub fn environment(driver: &str) -> Result<Vec<(&'static str, String)>> {
    if !works(Command::new(driver).arg("--version")) {
        bail!("there is no {driver}: `rustup component add clippy` installs it");
    }
    let xtask = env::current_exe().context("xtask does not know where it lies")?;
    Ok(vec![
        ("RUSTC_WORKSPACE_WRAPPER", xtask.display().to_string()),
        (DRIVER, driver.to_owned()),
        ("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings".to_owned()),
    ])
}

/// Lints and compiles where cargo calls xtask in place of rustc. Returns `None` where a user calls it.
pub fn called_as_rustc() -> Option<ExitCode> {
    let driver = env::var_os(DRIVER)?;
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    // cargo's first argument is the path of rustc.
    let rustc =
        arguments.first().filter(|first| Path::new(first).is_absolute() || *first == "rustc")?.clone();
    let mut compile = Command::new(&rustc);
    compile.args(&arguments[1..]);
    // Build scripts call rustc through the same variable to find out its abilities. These calls are not cargo's, and are not linted.
    if arguments.iter().any(|argument| argument.to_string_lossy().starts_with("--json=")) {
        let mut lint = Command::new(driver);
        lint.arg(&rustc).args(checked(&arguments[1..]));
        let documented = document(&rustc, &arguments[1..]);
        for mut check in [Some(lint), documented].into_iter().flatten() {
            match check.status() {
                Ok(status) if status.success() => {}
                _ => return Some(ExitCode::FAILURE),
            }
        }
        // Clippy has reported the warnings.
        compile.args(["--cap-lints", "allow"]);
    }
    let compiled = compile.status().is_ok_and(|status| status.success());
    Some(if compiled { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the command of rustdoc for the crate that rustc is called for, with warnings as errors, as `cargo doc` would call it. Returns `None` for
/// tests and build scripts, which have no documentation.
fn document(rustc: &OsString, arguments: &[OsString]) -> Option<Command> {
    let is = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    if is("--test") || is("build_script_build") {
        return None;
    }
    // rustdoc is in the same folder as its rustc.
    let mut command = Command::new(Path::new(rustc).with_file_name("rustdoc"));
    command.args(checked(arguments).into_iter().filter(|argument| argument != METADATA)).arg("-Dwarnings");
    // Every item of a program is private.
    if is("bin") {
        command.arg("--document-private-items");
    }
    Some(command)
}

/// The kind of output of a check without code generation.
const METADATA: &str = "--emit=metadata";

/// Returns rustc's arguments for only checking a crate: without code generation, into a folder that nothing reads, and without reporting files to
/// cargo.
fn checked(arguments: &[OsString]) -> Vec<OsString> {
    let mut checked = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        match text.as_ref() {
            "--out-dir" => {
                let folder =
                    arguments.next().map_or_else(PathBuf::new, |folder| PathBuf::from(folder).join("lint"));
                std::fs::create_dir_all(&folder).ok();
                checked.extend([argument.clone(), folder.into()]);
            }
            "-C" => match arguments.next() {
                Some(option) if option.to_string_lossy().starts_with("incremental=") => {}
                option => checked.extend([argument.clone()].into_iter().chain(option.cloned())),
            },
            emit if emit.starts_with("--emit=") => checked.push(METADATA.into()),
            json if json.starts_with("--json=") => checked.push(json.replace(",artifacts", "").into()),
            _ => checked.push(argument.clone()),
        }
    }
    checked
}
