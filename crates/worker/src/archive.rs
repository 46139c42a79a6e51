//! Places for the files that an export creates one after the other: a zip, and memory.

use std::{
    cell::RefCell,
    io::{self, Seek, Write},
    rc::Rc,
};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// A zip that is being written into `W`.
pub struct Archive<W: Write + Seek> {
    zip: Rc<RefCell<ZipWriter<W>>>,
    options: SimpleFileOptions,
}

impl<W: Write + Seek + 'static> Archive<W> {
    /// Creates an empty zip. `large` makes room for files of 4 GiB and more, which some old programs cannot unpack.
    pub fn new(out: W, large: bool) -> Self {
        // Weights cannot be compressed further.
        let options =
            SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(large);
        Self { zip: Rc::new(RefCell::new(ZipWriter::new(out))), options }
    }

    /// Adds a file whole.
    pub fn add(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut zip = self.zip.borrow_mut();
        zip.start_file(name, self.options)?;
        zip.write_all(bytes)
    }

    /// Begins a file. It ends where the next one begins.
    pub fn create(&self, name: &str) -> io::Result<Box<dyn Write>> {
        self.zip.borrow_mut().start_file(name, self.options)?;
        Ok(Box::new(Entry(self.zip.clone())))
    }

    /// Ends the zip. Its files must have been dropped.
    pub fn finish(self) -> io::Result<W> {
        let zip =
            Rc::into_inner(self.zip).ok_or_else(|| io::Error::other("a file is still being written"))?;
        Ok(zip.into_inner().finish()?)
    }
}

/// The file of a zip that is being written.
struct Entry<W: Write + Seek>(Rc<RefCell<ZipWriter<W>>>);

impl<W: Write + Seek> Write for Entry<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        // What is behind the zip is flushed at its end.
        Ok(())
    }
}

/// A file in memory, which its clones write too.
#[derive(Debug, Clone, Default)]
pub struct InMemory(Rc<RefCell<Vec<u8>>>);

impl InMemory {
    /// Takes what was written.
    pub fn take(&self) -> Vec<u8> {
        self.0.take()
    }
}

impl Write for InMemory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
