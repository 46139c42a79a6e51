//! Reads the code cells of a Jupyter notebook as one script.

use std::ops::Range;

use serde::Deserialize;

/// The code of a notebook.
pub(in crate::import) struct Notebook {
    /// The code cells, one after the other.
    pub(in crate::import) text: String,
    /// Ranges of the cells in the text.
    pub(in crate::import) ranges: Vec<Range<usize>>,
    /// Number of each cell among all of the notebook, from 1.
    pub(in crate::import) numbers: Vec<usize>,
    /// Cells that are passed over, and why.
    pub(in crate::import) passed_over: Vec<(usize, String)>,
}

#[derive(Deserialize)]
struct File {
    cells: Vec<Cell>,
}

#[derive(Deserialize)]
struct Cell {
    cell_type: String,
    #[serde(default)]
    source: Text,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Whole(String),
    Lines(Vec<String>),
}

impl Default for Text {
    fn default() -> Self {
        Self::Lines(Vec::new())
    }
}

/// Magics of a whole cell under which it is still Python.
const PYTHON: &[&str] = &["time", "timeit", "capture", "prun", "memit", "python", "python3"];

/// Reads a notebook of nbformat 4.
///
/// # Errors
/// If it is no such notebook.
pub(in crate::import) fn read(json: &str) -> Result<Notebook, String> {
    let file: File = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let mut notebook =
        Notebook { text: String::new(), ranges: Vec::new(), numbers: Vec::new(), passed_over: Vec::new() };
    for (index, cell) in file.cells.into_iter().enumerate() {
        if cell.cell_type != "code" {
            continue;
        }
        let mut source = match cell.source {
            Text::Whole(text) => text,
            Text::Lines(lines) => lines.concat(),
        };
        let first = source.trim_start();
        if let Some(magic) = first.strip_prefix("%%") {
            let name = magic.split_whitespace().next().unwrap_or_default().to_owned();
            if !PYTHON.contains(&name.as_str()) {
                notebook.passed_over.push((index + 1, name));
                continue;
            }
            // The line stays, as a comment, for the lines after it to keep their numbers.
            let at = source.len() - first.len();
            source.replace_range(at..at + 2, "#%");
        }
        if !notebook.ranges.is_empty() {
            notebook.text.push('\n');
        }
        let start = notebook.text.len();
        notebook.text.push_str(&source);
        notebook.ranges.push(start..notebook.text.len());
        notebook.numbers.push(index + 1);
    }
    Ok(notebook)
}

impl Notebook {
    /// Returns the number of the cell and the line in it, both from 1, for a line of the text.
    pub(in crate::import) fn place(&self, line: usize) -> (usize, usize) {
        let mut first = 1;
        let mut place = (self.numbers.first().copied().unwrap_or(1), line);
        for (range, number) in self.ranges.iter().zip(&self.numbers) {
            if first > line {
                break;
            }
            place = (*number, line - first + 1);
            first += self.text.get(range.clone()).unwrap_or_default().matches('\n').count() + 1;
        }
        place
    }
}
