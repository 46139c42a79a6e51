//! The folder of a built page.

use std::{
    borrow::Cow,
    fs,
    path::{Component, Path, PathBuf},
};

/// A folder whose files are served.
pub struct Folder(PathBuf);

impl Folder {
    /// Opens a folder. Returns `None` if there is none.
    pub fn open(path: &Path) -> Option<Self> {
        fs::canonicalize(path).ok().filter(|path| path.is_dir()).map(Self)
    }

    /// Reads a file. Returns `None` for what is no plain file inside the folder, for hidden files, and for links that lead out of the folder.
    pub fn read(&self, path: &str) -> Option<Cow<'static, [u8]>> {
        let is_plain = |part: Component<'_>| match part {
            Component::Normal(name) => !name.to_string_lossy().starts_with('.'),
            _ => false,
        };
        if path.contains(['\\', '\0', ':']) || !Path::new(path).components().all(is_plain) {
            return None;
        }
        let file = fs::canonicalize(self.0.join(path)).ok()?;
        if !file.starts_with(&self.0) || !file.is_file() {
            return None;
        }
        fs::read(file).ok().map(Cow::Owned)
    }
}
