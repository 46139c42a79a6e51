//! What a session needs of the place it runs in.

use lorelei_data::{DataError, Example, ExampleStore, Rows};
use lorelei_formats::ModelSource;
use lorelei_protocol::Notice;
use lorelei_recipe::{DataSection, HostKind};

use crate::{Result, SessionError};

/// A file system, a browser, or a server's folder.
pub trait Host {
    /// What the place is: some settings are honoured in one and not in another.
    const KIND: HostKind;
    /// How a model is named: a path or hub id, or what a page's user chose.
    type ModelName: ?Sized;
    /// How data are named.
    type DataName: ?Sized;
    /// A folder of small files.
    type Folder: Folder;

    /// Opens a model. No weight is read.
    ///
    /// # Errors
    ///
    /// If it is not there, cannot be fetched or is no model.
    fn open_model(&self, name: &Self::ModelName) -> impl Future<Output = Result<OpenedModel>>;

    /// The files that a name of data stands for, in their order.
    ///
    /// # Errors
    ///
    /// If there is none.
    fn rows<'h>(&'h self, name: &'h Self::DataName, section: &'h DataSection) -> Result<Vec<RowFile<'h>>>;

    /// An empty store for a run's examples.
    fn examples(&self) -> Box<dyn ExampleSink>;

    /// The folder of a PEFT adapter.
    ///
    /// # Errors
    ///
    /// If there is none of that name.
    fn adapter(&self, name: &str) -> impl Future<Output = Result<Self::Folder>>;

    /// Shows how far something is that takes its time; `total` is 0 where it is not known.
    fn progress(&self, what: &str, done: u64, total: u64) {
        let _ = (what, done, total);
    }

    /// Shows what is not as the user may think.
    fn notice(&self, notice: Notice);
}

/// A model whose files are there.
pub struct OpenedModel {
    /// What a recipe and `adapter_config.json` call it.
    pub name: String,
    /// Whether that is a hub id.
    pub is_on_hub: bool,
    /// Its files.
    pub source: ModelSource,
}

/// Files by their names: a checkpoint, or an adapter.
pub trait Folder {
    /// What messages call it.
    fn name(&self) -> String;

    /// A file's bytes; none where there is no such file.
    ///
    /// # Errors
    ///
    /// If it is there and cannot be read.
    fn read(&self, file: &str) -> impl Future<Output = Result<Option<Vec<u8>>>>;

    /// A file that has to be there.
    ///
    /// # Errors
    ///
    /// If it is missing or cannot be read; `help` says the way out.
    fn need(&self, file: &str, help: &str) -> impl Future<Output = Result<Vec<u8>>> {
        async move {
            let missing =
                || SessionError::Missing { place: self.name(), file: file.to_owned(), help: help.to_owned() };
            self.read(file).await?.ok_or_else(missing)
        }
    }
}

/// A file of rows, not yet opened.
pub struct RowFile<'h> {
    /// What messages call it.
    pub name: String,
    /// Opens it.
    pub open: Box<dyn FnOnce() -> Result<Rows<'h>> + 'h>,
}

/// A store of examples that grows.
pub trait ExampleSink: ExampleStore {
    /// Puts examples behind those that are there.
    ///
    /// # Errors
    ///
    /// If there is no room for them.
    fn push_all(&mut self, examples: Vec<Example>) -> Result<(), DataError>;
}

impl ExampleSink for Vec<Example> {
    fn push_all(&mut self, examples: Vec<Example>) -> Result<(), DataError> {
        self.extend(examples);
        Ok(())
    }
}
