//! A file that a run appends to for hours, in a folder that may be removed meanwhile.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use crate::disk;

/// A file that is appended to. If it is removed, the next piece makes it again with all that was written before.
pub struct AppendedFile {
    path: PathBuf,
    file: File,
}

impl AppendedFile {
    /// Creates a file with its first bytes, or replaces it.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn create(path: PathBuf, bytes: &[u8]) -> io::Result<Self> {
        let file = written(&path, bytes)?;
        Ok(Self { path, file })
    }

    /// Makes the file again if it was removed. Returns whether it was.
    ///
    /// # Errors
    ///
    /// If it cannot be written. What was written before may not be there then.
    pub fn restore(&mut self) -> io::Result<bool> {
        if self.path.exists() {
            return Ok(false);
        }
        // The open file still has the bytes.
        let mut bytes = Vec::new();
        self.file.rewind()?;
        self.file.read_to_end(&mut bytes)?;
        self.file = written(&self.path, &bytes)?;
        Ok(true)
    }

    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.restore()?;
        self.file.write_all(bytes)
    }
}

/// Writes a file whole, and opens it.
fn written(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let folder = disk::parent(path);
    fs::create_dir_all(folder)?;
    let mut aside = disk::aside(folder)?;
    aside.write_all(bytes)?;
    aside.as_file().sync_all()?;
    aside.persist(path).map_err(|error| error.error)?;
    File::options().read(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_whose_folder_is_removed_is_made_again_whole() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("deep/log");
        let mut file = AppendedFile::create(path.clone(), b"one\n").unwrap();
        file.append(b"two\n").unwrap();
        fs::remove_dir_all(root.path().join("deep")).unwrap();
        file.append(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
        assert!(!file.restore().unwrap());
        fs::remove_file(&path).unwrap();
        assert!(file.restore().unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
    }
}
