//! The session's host on a file system: models by path or hub id, data by path or glob, adapters and checkpoints in folders.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use lorelei_protocol::Notice;
use lorelei_recipe::{DataSection, HostKind};
use lorelei_session::{ExampleSink, Folder, Host, OpenedModel, Result, RowFile, SessionError};

use crate::{adapter, data_files, printable, source, spilled_examples::SpilledExamples};

/// The file system.
#[derive(Debug, Clone, Copy)]
pub struct FileSystem;

/// A folder on the disk.
#[derive(Debug, Clone)]
pub struct DiskFolder(pub PathBuf);

impl Host for FileSystem {
    const KIND: HostKind = HostKind::Program;
    type ModelName = str;
    type DataName = str;
    type Folder = DiskFolder;

    async fn open_model(&self, name: &str) -> Result<OpenedModel> {
        source::opened(name).map_err(host_error)
    }

    fn rows<'h>(&'h self, name: &'h str, section: &'h DataSection) -> Result<Vec<RowFile<'h>>> {
        let files = data_files::files(name).map_err(host_error)?.into_iter();
        Ok(files
            .map(|file| RowFile {
                name: file.clone(),
                open: Box::new(move || data_files::open(&file, section).map_err(host_error)),
            })
            .collect())
    }

    fn examples(&self) -> Box<dyn ExampleSink> {
        Box::new(SpilledExamples::default())
    }

    async fn adapter(&self, name: &str) -> Result<DiskFolder> {
        adapter::open(name).map_err(host_error)
    }

    fn notice(&self, notice: Notice) {
        say_err!("warning: {}", printable(&notice.message));
    }
}

/// Converts an error of the program, with its causes, into a session's error.
fn host_error(error: miette::Report) -> SessionError {
    SessionError::Host(format!("{error:#}").into())
}

impl Folder for DiskFolder {
    fn name(&self) -> String {
        self.0.display().to_string()
    }

    async fn read(&self, file: &str) -> Result<Option<Vec<u8>>> {
        let path = self.0.join(file);
        // What is no file, such as a pipe, may never end.
        if path.exists() && !path.is_file() {
            return Err(SessionError::Host(format!("cannot read {}: it is no file", path.display()).into()));
        }
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SessionError::Host(format!("cannot read {}: {error}", path.display()).into())),
        }
    }
}

impl From<&Path> for DiskFolder {
    fn from(path: &Path) -> Self {
        Self(path.to_owned())
    }
}
