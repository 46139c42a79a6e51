//! Places for the files that an export creates: a zip for those of a folder, and a place for one.

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
        let zip = Rc::into_inner(self.zip).ok_or_else(unfinished)?;
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

/// A place for one file, into which each file that is created is written.
pub struct Single<W: Write>(Rc<RefCell<W>>);

impl<W: Write + 'static> Single<W> {
    /// Makes `out` the place.
    pub fn new(out: W) -> Self {
        Self(Rc::new(RefCell::new(out)))
    }

    /// Begins the file.
    pub fn create(&self) -> Box<dyn Write> {
        Box::new(Part(self.0.clone()))
    }

    /// Ends the file, which must have been dropped.
    pub fn finish(self) -> io::Result<W> {
        let mut out = Rc::into_inner(self.0).ok_or_else(unfinished)?.into_inner();
        out.flush()?;
        Ok(out)
    }
}

/// The file of a place that is being written.
struct Part<W: Write>(Rc<RefCell<W>>);

impl<W: Write> Write for Part<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().flush()
    }
}

fn unfinished() -> io::Error {
    io::Error::other("a file is still being written")
}
