//! One run at a time in an `output_dir`.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

use miette::{Context, IntoDiagnostic, Result, miette};

/// Name of the file that is locked. The lock is released when the process ends, however it ends. The file stays and has no content.
const NAME: &str = ".lorelei.lock";

/// A folder that no other run writes into.
pub struct Claim(#[allow(dead_code, reason = "what is held is the lock")] Option<File>);

impl Claim {
    /// Claims a folder.
    ///
    /// # Errors
    ///
    /// If another run has it, or nothing can be written there.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.into_diagnostic().wrap_err_with(|| {
            format!("cannot write into training.output_dir {}: choose another folder", folder.display())
        })?;
        match file.try_lock() {
            Ok(()) => Ok(Self(Some(file))),
            Err(TryLockError::WouldBlock) => Err(miette!(
                "another run is writing into {}: wait until it is done, or choose another training.output_dir",
                folder.display()
            )),
            // Some network file systems have no locks; a run there is not refused for that.
            Err(TryLockError::Error(_)) => Ok(Self(None)),
        }
    }
}
