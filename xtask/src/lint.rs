//! Clippy and rustdoc as part of a build: cargo calls xtask in place of rustc for each crate of the project, which lints it and its documentation
//! and then compiles it as it would have been. `cargo clippy` and `cargo doc` would check every library anew for what the build knows already, and
//! what Clippy's driver compiles is not what rustc does.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

use crate::command::works;

/// Names Clippy's driver to xtask where cargo calls it.
const DRIVER: &str = "LORELEI_CLIPPY";

/// Environment variables with which cargo lints as it builds. Warnings are errors.
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

/// Lints and compiles where cargo calls xtask in place of rustc; none where a person calls it.
pub fn called_as_rustc() -> Option<ExitCode> {
    let driver = env::var_os(DRIVER)?;
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    // cargo's first argument is the path of rustc.
    let rustc =
        arguments.first().filter(|first| Path::new(first).is_absolute() || *first == "rustc")?.clone();
    let mut compile = Command::new(&rustc);
    compile.args(&arguments[1..]);
    // Build scripts call rustc through the same variable to try what it can: those calls are none of cargo's, and pass.
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

/// rustdoc over what rustc is called for, as `cargo doc` calls it with warnings for errors; none for tests and build scripts, which have no
/// documentation.
fn document(rustc: &OsString, arguments: &[OsString]) -> Option<Command> {
    let is = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    if is("--test") || is("build_script_build") {
        return None;
    }
    // Beside the rustc that it belongs to.
    let mut command = Command::new(Path::new(rustc).with_file_name("rustdoc"));
    command.args(checked(arguments).into_iter().filter(|argument| argument != METADATA)).arg("-Dwarnings");
    // Of a program, all is private.
    if is("bin") {
        command.arg("--document-private-items");
    }
    Some(command)
}

/// What a look at a crate makes of it.
const METADATA: &str = "--emit=metadata";

/// The arguments of rustc for looking at a crate alone: no code, into a folder that nothing reads, and cargo hears of no file.
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
