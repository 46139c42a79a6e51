//! Writing of files that are there whole or not at all.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use lorelei_train::SaveError;

/// Creates an empty temporary file in `folder`, with the permissions of any new file, to be renamed to its final name when it is whole.
///
/// # Errors
///
/// If the file cannot be created.
pub fn aside(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    let builder = {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666))
    };
    builder.suffix(".tmp").tempfile_in(folder)
}

/// Writes `files` into `folder`. A new folder appears whole, with all of its files. In an existing folder, each file is written to a temporary file
/// and synced, and the files are moved to their places only when all of them are written.
///
/// # Errors
///
/// If a file cannot be written; then nothing is replaced.
pub fn save(folder: &Path, files: &[(String, Vec<u8>)]) -> Result<(), SaveError> {
    let failed = |path: &Path, error: std::io::Error| SaveError {
        path: path.display().to_string(),
        reason: error.to_string(),
        help: "free some space or choose another output_dir; what was saved before is untouched".into(),
    };
    if folder.exists() {
        return replace(folder, files).map_err(|(path, error)| failed(&path, error));
    }
    let parent = parent(folder);
    let make = || -> std::io::Result<tempfile::TempDir> {
        fs::create_dir_all(parent)?;
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        let builder = {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o777))
        };
        builder.suffix(".tmp").tempdir_in(parent)
    };
    let aside = make().map_err(|error| failed(folder, error))?;
    replace(aside.path(), files).map_err(|(path, error)| {
        failed(&path.file_name().map_or_else(|| folder.to_owned(), |name| folder.join(name)), error)
    })?;
    let aside = aside.keep();
    if let Err(error) = fs::rename(&aside, folder) {
        let _ = fs::remove_dir_all(&aside);
        return Err(failed(folder, error));
    }
    sync(parent);
    Ok(())
}

/// Returns the folder of a path; that of a bare name is the current folder.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes each file to a temporary file, then moves each to its place.
fn replace(folder: &Path, files: &[(String, Vec<u8>)]) -> Result<(), (PathBuf, std::io::Error)> {
    let mut written = Vec::new();
    for (name, bytes) in files {
        let path = folder.join(name);
        let write = || -> std::io::Result<tempfile::NamedTempFile> {
            let mut aside = aside(folder)?;
            aside.write_all(bytes)?;
            aside.as_file().sync_all()?;
            Ok(aside)
        };
        match write() {
            Ok(aside) => written.push((aside, path)),
            Err(error) => return Err((path, error)),
        }
    }
    for (aside, path) in written {
        aside.persist(&path).map_err(|error| (path.clone(), error.error))?;
    }
    sync(folder);
    Ok(())
}

/// Removes from `folder` the temporary files and folders of a run that was killed while it saved.
pub fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(".tmp") && name.ends_with(".tmp") {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
}

/// Syncs a folder: a rename is on disk only once its folder is.
fn sync(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> (String, Vec<u8>) {
        (name.to_owned(), text.as_bytes().to_vec())
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_folder_appears_whole_and_an_old_one_is_replaced_file_by_file() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("deep/checkpoint-1");
        save(&folder, &[file("a", "1"), file("b", "2")]).unwrap();
        assert_eq!(names(&folder), ["a", "b"]);
        save(&folder, &[file("b", "3")]).unwrap();
        assert_eq!(
            (fs::read(folder.join("a")).unwrap(), fs::read(folder.join("b")).unwrap()),
            (b"1".into(), b"3".into())
        );
        assert_eq!((names(&folder).len(), names(root.path()).len()), (2, 1));
    }

    #[test]
    fn a_save_that_fails_leaves_nothing_and_replaces_nothing() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("checkpoint-1");
        // The second file cannot be written: its folder is not there.
        let error = save(&folder, &[file("a", "1"), file("none/b\0", "2")]).unwrap_err();
        assert!(error.to_string().contains("checkpoint-1"), "{error}");
        assert!(names(root.path()).is_empty(), "{:?}", names(root.path()));
        save(&folder, &[file("a", "old")]).unwrap();
        fs::create_dir(folder.join("b")).unwrap();
        fs::write(folder.join("b/full"), "").unwrap();
        save(&folder, &[file("b", "a folder stands there"), file("a", "new")]).unwrap_err();
        assert_eq!(fs::read(folder.join("a")).unwrap(), b"old");
        assert_eq!(names(&folder), ["a", "b"]);
    }
}
