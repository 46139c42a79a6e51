//! Reads Python: the calls in a script or notebook, with the values that are certain. Nothing is executed.
//!
//! The text is parsed by Ruff's parser, which goes on after errors, and then followed as it would run ([`run`]). A value is known only where it
//! is certain: a name that is bound once, in no branch, to a literal or to arithmetic of such.

mod bindings;
mod branches;
mod builtins;
mod call;
mod eval;
mod facts;
mod fold;
mod functions;
mod initialize;
mod names;
mod nesting;
pub(super) mod notebook;
mod run;
mod statements;
pub(super) mod value;

use std::borrow::Cow;
use std::rc::Rc;

use ruff_python_parser::{Mode, ParseOptions, parse_cells_unchecked};
use ruff_text_size::{TextRange, TextSize};

use value::Call;

/// What was read from a script.
pub(super) struct Script {
    /// The calls of the names that are wanted, in the order in which they run.
    pub(super) calls: Vec<Rc<Call>>,
    /// What is no valid Python, with its place.
    pub(super) errors: Vec<(usize, String)>,
}

/// Whether calls of a name are recorded.
fn is_wanted(name: &str) -> bool {
    super::peft_python::is_wanted(name)
}

/// Reads a script. `cells` are the ranges of a notebook's cells, which one line break each separates; a script is one cell.
///
/// # Errors
/// If the text is nested too deeply: the place.
pub(super) fn read(text: &str, cells: &[std::ops::Range<usize>]) -> Result<Script, usize> {
    for cell in cells {
        nesting::check(text.get(cell.clone()).unwrap_or_default()).map_err(|at| cell.start + at)?;
    }
    let size = |at: usize| TextSize::try_from(at).unwrap_or_default();
    let ranges = cells.iter().map(|cell| TextRange::new(size(cell.start), size(cell.end)));
    let is_regular = cells.iter().all(|cell| nesting::is_regular(text.get(cell.clone()).unwrap_or_default()));
    let (text, mode) = match is_regular {
        true => (Cow::Borrowed(text), Mode::Ipython),
        false => (Cow::Owned(without_commands(text)), Mode::Module),
    };
    let parsed = parse_cells_unchecked(&text, ranges, &ParseOptions::from(mode));
    let errors =
        parsed.errors().iter().map(|error| (error.location.start().to_usize(), error.error.to_string()));
    Ok(Script { errors: errors.collect(), calls: run::run(parsed.suite()) })
}

/// Makes comments of the lines that begin with a command of IPython. Every place stays where it is.
fn without_commands(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let code = line.trim_start_matches([' ', '\t']);
        let (indent, command) = line.split_at(line.len() - code.len());
        plain.push_str(indent);
        match command.strip_prefix(['%', '!', '?']) {
            Some(rest) => {
                plain.push('#');
                plain.push_str(rest);
            }
            None => plain.push_str(command),
        }
    }
    plain
}

/// Shortens a text to one line of at most 60 characters.
pub(super) fn shortened(text: &str) -> String {
    let line: String =
        text.chars().take(1000).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
