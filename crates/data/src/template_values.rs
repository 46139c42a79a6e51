//! Bounds on the values of a chat template: how deep they are, and how much there is to read in them, counting what is shared each time.

use minijinja::value::{DynObject, ObjectRepr, StringInput};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use crate::template_marks::Turn;

/// Name of the filter that returns a value within the bounds. What is computed when it is read becomes a list.
pub(crate) const KEPT: &str = "lorelei_kept";

/// Name of the filter for what a namespace keeps, which is no namespace.
pub(crate) const HELD: &str = "lorelei_held";

/// Name of the filter for what is multiplied, which is no list.
pub(crate) const FACTOR: &str = "lorelei_factor";

/// Maximum depth of a value. That of JSON is 128 when it is read.
const MAX_DEPTH: usize = 150;

/// Maximum number of values in a value.
const MAX_VALUES: usize = 2_000_000;

/// Maximum number of bytes of text in a value.
const MAX_TEXT: usize = 128 << 20;

/// Values that are read for one unit of fuel.
const VALUES_PER_FUEL: usize = 4;

/// Remainder of the bounds on a value while it is read.
pub(crate) struct Measure {
    values: usize,
    text: usize,
    /// Allows a namespace or a loop in it.
    namespaces: bool,
}

impl Measure {
    pub(crate) fn new() -> Self {
        Self { values: MAX_VALUES, text: MAX_TEXT, namespaces: true }
    }

    /// Returns how many values were read, and how many bytes of text.
    pub(crate) fn read_so_far(&self) -> (usize, usize) {
        (MAX_VALUES - self.values, MAX_TEXT - self.text)
    }

    fn count(&mut self, values: usize, text: usize) -> Result<(), Error> {
        self.values = self.values.checked_sub(values).ok_or_else(|| {
            refusal(format!("a value has more than {MAX_VALUES} items, counting what is in several places"))
        })?;
        self.text = self.text.checked_sub(text).ok_or_else(|| {
            refusal(format!(
                "a value has more than {} MiB of text, counting what is in several places",
                MAX_TEXT >> 20
            ))
        })?;
        Ok(())
    }

    /// Reads a value.
    ///
    /// # Errors
    /// If it passes a bound.
    pub(crate) fn read(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        let Some(object) = value.as_object() else {
            return self.count(1, value.as_str().map_or(0, str::len));
        };
        self.count(1, 0)?;
        if depth >= MAX_DEPTH {
            return Err(refusal(format!("a value is nested more than {MAX_DEPTH} deep")));
        }
        if let Some(turn) = object.downcast_ref::<Turn>() {
            return self.count(turn.values, turn.text);
        }
        if !self.namespaces && is_state(object) {
            return Err(refusal("a namespace cannot keep a namespace or a loop".to_owned()));
        }
        match object.repr() {
            ObjectRepr::Seq | ObjectRepr::Iterable => {
                for item in object.try_iter().into_iter().flatten() {
                    self.read(&item, depth + 1)?;
                }
            }
            ObjectRepr::Map if is_loop(object) => {}
            ObjectRepr::Map => {
                for (key, value) in object.try_iter_pairs().into_iter().flatten() {
                    self.read(&key, depth + 1)?;
                    self.read(&value, depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn refusal(problem: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem)
}

/// Returns true for an object that later statements change.
fn is_state(object: &DynObject) -> bool {
    is_loop(object) || object.type_name().ends_with("Namespace")
}

fn is_loop(object: &DynObject) -> bool {
    object.type_name().ends_with("::Loop")
}

/// Pays for reading the whole of a value.
///
/// # Errors
/// If it passes a bound, or there is not enough fuel.
pub(crate) fn paid(state: &State, value: &Value) -> Result<(), Error> {
    measured(state, value, Measure::new())
}

fn measured(state: &State, value: &Value, mut measure: Measure) -> Result<(), Error> {
    if value.as_object().is_none() {
        return Ok(());
    }
    let result = measure.read(value, 0);
    state.consume_fuel((measure.read_so_far().0 / VALUES_PER_FUEL) as u64)?;
    result
}

fn kept(state: &State, value: Value) -> Result<Value, Error> {
    paid(state, &value)?;
    stored(value)
}

/// Makes a list of what is computed when it is read: it may hold another such value, and that one another.
fn stored(value: Value) -> Result<Value, Error> {
    match value.as_object() {
        Some(object) if object.repr() == ObjectRepr::Iterable => {
            Ok(object.try_iter().into_iter().flatten().collect::<Vec<Value>>().into())
        }
        _ => Ok(value),
    }
}

fn held(state: &State, value: Value) -> Result<Value, Error> {
    measured(state, &value, Measure { namespaces: false, ..Measure::new() })?;
    stored(value)
}

fn factor(value: Value) -> Result<Value, Error> {
    match value.as_object() {
        Some(object) if matches!(object.repr(), ObjectRepr::Seq | ObjectRepr::Iterable) => {
            Err(refusal("a list is multiplied, which is not supported: write its items".to_owned()))
        }
        _ => Ok(value),
    }
}

/// Maximum width and precision of a number in `str.format`.
const MAX_WIDTH: u64 = 10_000;

/// Checks the widths in a format, which no fuel pays for before they are written.
fn check_widths(format: &str) -> Result<(), Error> {
    let fields = format.split('{').skip(1).map(|field| field.split('}').next().unwrap_or_default());
    let numbers = fields.flat_map(|field| field.split(|letter: char| !letter.is_ascii_digit()));
    let is_wide =
        |number: &str| !number.is_empty() && number.parse::<u64>().map_or(true, |number| number > MAX_WIDTH);
    match numbers.into_iter().find(|number| is_wide(number)) {
        Some(number) => Err(refusal(format!("the width {number} in a format is more than {MAX_WIDTH}"))),
        None => Ok(()),
    }
}

/// Adds the filters that [`guard`](crate::template_guard::guard) writes, and puts bounds on what else reads values whole: output, comparing tests,
/// methods.
pub(crate) fn add_functions(environment: &mut Environment<'static>) {
    environment.add_filter(KEPT, kept);
    environment.add_filter(HELD, held);
    environment.add_filter(FACTOR, factor);
    environment.add_filter("trim", |state: &State, value: Value, letters: Option<String>| {
        paid(state, &value)?;
        let text = StringInput::new(state, &value)?;
        Ok::<_, Error>(minijinja::filters::trim(text, letters.map(Into::into)))
    });
    environment.set_formatter(|out, state, value| {
        paid(state, value)?;
        minijinja::escape_formatter(out, state, value)
    });
    environment.set_unknown_method_callback(|state, value, method, arguments| {
        for argument in arguments {
            paid(state, argument)?;
        }
        match (method, value.as_str()) {
            ("count", _) => paid(state, value)?,
            ("format", Some(format)) => check_widths(format)?,
            _ => {}
        }
        minijinja_contrib::pycompat::unknown_method_callback(state, value, method, arguments)
    });
    add_tests(environment);
    // It writes all variables.
    environment.remove_global("debug");
}

/// Adds the tests that compare, with bounds on what they read.
fn add_tests(environment: &mut Environment<'static>) {
    type Compare = fn(&Value, &Value) -> bool;
    let tests: [(&[&'static str], Compare); 6] = [
        (&["eq", "equalto", "=="], |value, other| value == other),
        (&["ne", "!="], |value, other| value != other),
        (&["lt", "lessthan", "<"], |value, other| value < other),
        (&["le", "<="], |value, other| value <= other),
        (&["gt", "greaterthan", ">"], |value, other| value > other),
        (&["ge", ">="], |value, other| value >= other),
    ];
    for (names, compare) in tests {
        for name in names {
            environment.add_test(*name, move |state: &State, value: &Value, other: &Value| {
                paid(state, value)?;
                paid(state, other)?;
                Ok::<_, Error>(compare(value, other))
            });
        }
    }
    environment.add_test("in", |state: &State, value: &Value, other: &Value| {
        paid(state, value)?;
        paid(state, other)?;
        minijinja::tests::is_in(state, value, other)
    });
}
