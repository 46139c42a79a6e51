//! Limits the memory of a row: none may be longer than [`MAX_ROW_BYTES`].

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

use lorelei_recipe::{Message, message};

/// Maximum length of a row in bytes. A text of that length is some 16 million tokens.
pub const MAX_ROW_BYTES: usize = 64 << 20;

/// Error message for a longer row.
pub const TOO_LONG: Message = message!("the row is longer than 64 MiB");

/// Number of bytes that may be read before the next row begins.
#[derive(Clone)]
pub struct Budget(Rc<Cell<usize>>);

impl Budget {
    /// Resets the budget for a new row.
    pub fn renew(&self) {
        self.0.set(MAX_ROW_BYTES);
    }
}

/// Reader that fails once a row is too long.
pub struct Limited<R> {
    reader: R,
    budget: Budget,
}

impl<R> Limited<R> {
    /// Wraps `reader`, and returns its budget too.
    pub fn new(reader: R) -> (Self, Budget) {
        let budget = Budget(Rc::new(Cell::new(MAX_ROW_BYTES)));
        (Self { reader, budget: budget.clone() }, budget)
    }

    fn spend(&self, bytes: usize) -> io::Result<()> {
        let left = self.budget.0.get().checked_sub(bytes);
        left.map(|left| self.budget.0.set(left)).ok_or_else(|| io::Error::other(TOO_LONG.as_str().to_owned()))
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buf)?;
        self.spend(count)?;
        Ok(count)
    }
}
