//! Files that are written whole or not at all.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use lorelei_train::SaveError;

/// An empty file in `folder` that takes its final name when it is whole, with the permissions of any new file.
///
/// # Errors
///
/// If it cannot be made.
pub fn aside(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    let builder = {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666))
    };
    builder.suffix(".tmp").tempfile_in(folder)
}

/// Writes `files` into `folder`: each aside, synced, and only when all are there put in its place.
///
/// # Errors
///
/// If one cannot be written; then none is replaced.
pub fn save(folder: &Path, files: &[(String, Vec<u8>)]) -> Result<(), SaveError> {
    let failed = |path: &Path, error: std::io::Error| SaveError {
        path: path.display().to_string(),
        reason: error.to_string(),
        help: "free some space or choose another output_dir; what was saved before is untouched".into(),
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let mut written = Vec::new();
    for (name, bytes) in files {
        let path = folder.join(name);
        let write = || -> std::io::Result<tempfile::NamedTempFile> {
            let mut aside = aside(folder)?;
            aside.write_all(bytes)?;
            aside.as_file().sync_all()?;
            Ok(aside)
        };
        written.push((write().map_err(|error| failed(&path, error))?, path));
    }
    for (aside, path) in written {
        aside.persist(&path).map_err(|error| failed(&path, error.error))?;
    }
    // The renames themselves are on disk only once the folder is.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}
