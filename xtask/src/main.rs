//! `cargo xtask`: set-up and tests of Lorelei.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Set-up and tests of Lorelei")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Installs what the tests need: a software Vulkan driver.
    Setup,
    /// Sets up, then checks the format, lints and runs every test.
    Test,
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Setup => setup(),
        Task::Test => test(),
    }
}

/// The project's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the project").to_owned()
}

/// The description of Mesa's software Vulkan driver, where Debian puts it.
const LAVAPIPE: &str = "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json";

/// The driver's description: the user's choice, else lavapipe.
fn driver() -> String {
    std::env::var("VK_DRIVER_FILES").unwrap_or_else(|_| LAVAPIPE.to_owned())
}

fn setup() -> Result<()> {
    if Path::new(&driver()).exists() {
        println!("xtask: Vulkan driver {} is there", driver());
        return Ok(());
    }
    println!("xtask: installing a software Vulkan driver (apt-get: mesa-vulkan-drivers, libvulkan1)");
    let apt = |arguments: &[&str]| {
        let status =
            Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => bail!("apt-get {} ended with {status}; run it as root", arguments.join(" ")),
            Err(error) => {
                bail!("apt-get cannot be run ({error}); install a Vulkan driver and set VK_DRIVER_FILES")
            }
        }
    };
    apt(&["update", "-qq"])?;
    apt(&["install", "-y", "-qq", "--no-install-recommends", "mesa-vulkan-drivers", "libvulkan1"])?;
    if !Path::new(&driver()).exists() {
        bail!("{} is still not there; set VK_DRIVER_FILES to a Vulkan driver's description", driver());
    }
    Ok(())
}

fn test() -> Result<()> {
    setup()?;
    println!("xtask: format");
    cargo(&["fmt", "--all", "--check"], &[])?;
    println!("xtask: tests (the first build takes ten minutes and more)");
    // Everything is selected, so that burn is built with one set of features.
    let driver = driver();
    let environment = [("VK_DRIVER_FILES", driver.as_str()), ("XDG_RUNTIME_DIR", "/tmp")];
    cargo(&["test", "--release", "--workspace"], &environment)?;
    println!("xtask: lints");
    cargo(&["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])
}

fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let status = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(root())
        .status()
        .context("cargo cannot be run")?;
    if !status.success() {
        bail!("cargo {} ended with {status}", arguments.join(" "));
    }
    Ok(())
}
