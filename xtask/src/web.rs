//! The page: what builds it, and building it into `dist`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{cargo, run, works},
    download::cache,
    setup::apt,
    wasm,
};

const TARGET: &str = "wasm32-unknown-unknown";
/// The bundler, in the newest version that the project's Rust builds, and with its own lock file: without, it does not compile.
const TRUNK: [&str; 4] = ["trunk", "--version", "0.21.14", "--locked"];
/// Must be the version of the library that the page is built with. Not locked: its lock file names a withdrawn crate.
const WASM_BINDGEN: [&str; 3] = ["wasm-bindgen-cli", "--version", "=0.2.130"];

/// What cargo needs in its environment to build for a browser.
pub fn toolchain() -> Result<Vec<(&'static str, String)>> {
    let installed = Command::new("rustup").args(["target", "list", "--installed"]).output();
    let has_target = installed.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(TARGET));
    // The project's own crates are linted as they are compiled.
    let linted = |clippy: String| {
        [("RUSTC_WORKSPACE_WRAPPER", clippy), ("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings".to_owned())]
    };
    if has_target || works(Command::new("rustup").args(["target", "add", TARGET])) {
        let found = Command::new("rustup").args(["which", "clippy-driver"]).output();
        let clippy = found.ok().filter(|output| output.status.success());
        let clippy = clippy.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        return Ok(clippy.into_iter().flat_map(linted).collect());
    }
    // Debian's toolchain for browsers stands beside rustup's and leaves it alone.
    let linker = "wasm-ld-22";
    let clippy = "/usr/bin/clippy-driver";
    if !works(Command::new(linker).arg("--version")) || !works(Command::new(clippy).arg("--version")) {
        let packages = ["rustc-web", "rust-web-src", "rust-web-clippy", "lld-22"];
        println!("xtask: rustup has no {TARGET}; installing Debian's (apt-get: {})", packages.join(", "));
        apt(&packages)?;
    }
    let mut environment = vec![
        ("RUSTC", "/usr/bin/rustc".into()),
        ("RUSTC_BOOTSTRAP", "1".into()),
        ("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort".into()),
        ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker.into()),
    ];
    environment.extend(linted(clippy.to_owned()));
    Ok(environment)
}

/// The folder of trunk and wasm-bindgen, which are built where they are missing.
fn tools() -> Result<PathBuf> {
    let root = cache()?.join("tools");
    for (name, install) in [("trunk", &TRUNK[..]), ("wasm-bindgen", &WASM_BINDGEN)] {
        let program = root.join("bin").join(name);
        let version = install[2].trim_start_matches('=');
        let found = Command::new(&program).arg("--version").output();
        if found.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(version)) {
            continue;
        }
        println!("xtask: building {name} {version} (some minutes)");
        let mut cargo = cargo();
        cargo.arg("install").args(install).arg("--root").arg(&root).arg("--force");
        cargo.env("CARGO_TARGET_DIR", cache()?.join("target-tools"));
        run(&mut cargo).with_context(|| format!("{name} cannot be built"))?;
    }
    Ok(root.join("bin"))
}

/// Where cargo builds for a browser: apart, so that neither build waits for the other's lock.
pub fn target_dir(root: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => PathBuf::from(target).with_file_name("target-wasm"),
        None => root.join("target/wasm"),
    }
}

/// Builds the page into `dist`.
pub fn build(root: &Path) -> Result<()> {
    let (environment, tools) = (toolchain()?, tools()?);
    println!("xtask: building the page (twenty minutes and more the first time)");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut trunk = Command::new(tools.join("trunk"));
    trunk.args(["build", "--release"]).current_dir(root).env_remove("NO_COLOR");
    trunk.env("PATH", format!("{}:{path}", tools.display())).env("CARGO_TARGET_DIR", target_dir(root));
    trunk.envs(environment);
    run(&mut trunk)?;
    if !root.join("dist/index.html").is_file() {
        bail!("trunk left no dist/index.html");
    }
    for module in ["lorelei-web_bg.wasm", "lorelei-worker_bg.wasm"] {
        wasm::strip_names(&root.join("dist").join(module))?;
    }
    Ok(())
}
