//! Interface of a session to the place that it runs in.

use lorelei_data::{DataError, Example, ExampleStore, Rows};
use lorelei_formats::ModelSource;
use lorelei_protocol::Notice;
use lorelei_recipe::{DataSection, HostKind, Message};

use crate::{Result, SessionError};

/// The place that a session runs in: a file system, a browser, or a server's folder.
pub trait Host {
    /// Kind of the place. Some settings are honoured in one kind and not in another.
    const KIND: HostKind;
    /// Name of a model: a path or hub id, or a page's user's choice.
    type ModelName: ?Sized;
    /// Name of data.
    type DataName: ?Sized;
    /// A folder of small files.
    type Folder: Folder;

    /// Opens a model. Reads no weights.
    ///
    /// # Errors
    ///
    /// If it does not exist, cannot be fetched or is not a model.
    fn open_model(&self, name: &Self::ModelName) -> impl Future<Output = Result<OpenedModel>>;

    /// Returns the files that `name` stands for, in order.
    ///
    /// # Errors
    ///
    /// If there is none.
    fn rows<'h>(&'h self, name: &'h Self::DataName, section: &'h DataSection) -> Result<Vec<RowFile<'h>>>;

    /// Creates an empty store for a run's examples.
    fn examples(&self) -> Box<dyn ExampleSink>;

    /// Opens the folder of a PEFT adapter.
    ///
    /// # Errors
    ///
    /// If there is no adapter of that name.
    fn adapter(&self, name: &str) -> impl Future<Output = Result<Self::Folder>>;

    /// Shows the progress of a long operation. `total` is 0 if it is not known.
    fn progress(&self, what: &str, done: u64, total: u64) {
        let _ = (what, done, total);
    }

    /// Shows the user a notice: something is not as they may expect.
    fn notice(&self, notice: Notice);
}

/// An opened model.
pub struct OpenedModel {
    /// Name of the model in a recipe and in `adapter_config.json`.
    pub name: String,
    /// Whether the name is a hub id.
    pub is_on_hub: bool,
    /// The files of the model.
    pub source: ModelSource,
}

/// Files by name: a checkpoint or an adapter.
pub trait Folder {
    /// Returns the folder's name for messages.
    fn name(&self) -> String;

    /// Reads a file. Returns `None` if there is no such file.
    ///
    /// # Errors
    ///
    /// If the file exists and cannot be read.
    fn read(&self, file: &str) -> impl Future<Output = Result<Option<Vec<u8>>>>;

    /// Reads a required file.
    ///
    /// # Errors
    ///
    /// If it is missing or cannot be read. `help` becomes the last part of the message about a missing file.
    fn need(&self, file: &str, help: Message) -> impl Future<Output = Result<Vec<u8>>> {
        async move {
            let missing = || SessionError::Missing { place: self.name().into(), file: file.to_owned(), help };
            self.read(file).await?.ok_or_else(missing)
        }
    }
}

/// A file of rows, not yet opened.
pub struct RowFile<'h> {
    /// Name of the file for messages.
    pub name: String,
    /// Opens the file.
    pub open: Box<dyn FnOnce() -> Result<Rows<'h>> + 'h>,
}

/// A store that examples can be appended to.
pub trait ExampleSink: ExampleStore {
    /// Appends examples.
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
