//! The page: its toolchain, and its build into `dist`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    bundle,
    command::{cargo, run, works},
    lint,
    setup::apt,
};

const TARGET: &str = "wasm32-unknown-unknown";

/// Returns the environment variables with which cargo builds for a browser, and the matching driver of Clippy.
pub fn toolchain() -> Result<(Vec<(&'static str, String)>, &'static str)> {
    let installed = Command::new("rustup").args(["target", "list", "--installed"]).output();
    let has_target = installed.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(TARGET));
    if has_target || works(Command::new("rustup").args(["target", "add", TARGET])) {
        return Ok((Vec::new(), "clippy-driver"));
    }
    // Debian's toolchain for browsers is installed beside rustup's and does not change it.
    let linker = "wasm-ld-22";
    let clippy = "/usr/bin/clippy-driver";
    if !works(Command::new(linker).arg("--version")) || !works(Command::new(clippy).arg("--version")) {
        let packages = ["rustc-web", "rust-web-src", "rust-web-clippy", "lld-22"];
        println!("xtask: rustup has no {TARGET}; installing Debian's (apt-get: {})", packages.join(", "));
        apt(&packages)?;
    }
    let environment = vec![
        ("RUSTC", "/usr/bin/rustc".into()),
        ("RUSTC_BOOTSTRAP", "1".into()),
        ("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort".into()),
        ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker.into()),
    ];
    Ok((environment, clippy))
}

/// Returns the folder of cargo's builds for a browser. It is a separate one, so that neither build waits for the other's lock.
pub fn target_dir(root: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => PathBuf::from(target).with_file_name("target-wasm"),
        None => root.join("target/wasm"),
    }
}

/// Files that are copied as they are: the name in `dist`, and the path in the project.
const FILES: [(&str, &str); 5] = [
    ("index.html", "index.html"),
    ("style.css", "web/style.css"),
    ("start.js", "web/start.js"),
    ("worker.js", "crates/worker/worker.js"),
    ("builtin-tiny.safetensors", "crates/builtin/tiny/model.safetensors"),
];

/// The packages that run in a browser, each with one program.
const MODULES: [&str; 2] = ["lorelei-web", "lorelei-worker"];

/// Builds the page into `dist`, which is unchanged if the build fails. With `lints`, warnings about the project's crates are errors.
pub fn build(root: &Path, lints: bool) -> Result<()> {
    let (mut environment, clippy) = toolchain()?;
    if lints {
        environment.extend(lint::environment(clippy)?);
    }
    let target = target_dir(root);
    println!("xtask: building the page (the first time takes a while)");
    for package in MODULES {
        // The packages are built one at a time: each has features of its own, and the page's must not grow by the trainer's.
        let build = ["build", "--profile", "web", "--target", TARGET, "--package", package];
        let mut cargo = cargo();
        cargo
            .args(build)
            .current_dir(root)
            .env("CARGO_TARGET_DIR", &target)
            .envs(environment.iter().cloned());
        run(&mut cargo)?;
    }
    let (dist, aside) = (root.join("dist"), root.join("dist.new"));
    fs::remove_dir_all(&aside).ok();
    fs::create_dir_all(&aside).with_context(|| format!("cannot make {}", aside.display()))?;
    for module in MODULES {
        let compiled = target.join(TARGET).join("web").join(module).with_extension("wasm");
        bundle::module(&compiled, &aside, &target.join("bundle"))?;
    }
    for (name, file) in FILES {
        fs::copy(root.join(file), aside.join(name)).with_context(|| format!("cannot copy {file}"))?;
    }
    let old = root.join("dist.old");
    fs::remove_dir_all(&old).ok();
    let had_one = fs::rename(&dist, &old).is_ok();
    if let Err(error) = fs::rename(&aside, &dist) {
        if had_one {
            fs::rename(&old, &dist).ok();
        }
        return Err(error).with_context(|| format!("cannot put the page into {}", dist.display()));
    }
    fs::remove_dir_all(&old).ok();
    Ok(())
}
