//! Parses JSON as Python's json reads it: with `NaN`, `Infinity` and `-Infinity`, for which JSON has no word.

use std::borrow::Cow;

use serde_json::Value;

/// A text that is no JSON: where, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// The line of the text, from 1.
    pub line: usize,
    /// The column of the line in bytes, from 1.
    pub column: usize,
    /// The problem, without its place.
    pub problem: String,
}

/// Parses a value. `NaN`, `Infinity` and `-Infinity` are null: pandas writes them for a cell without a value, and no field of a row has a use for a
/// number that is not finite. Plain JSON is parsed once; only a text that is not plain is searched for these words.
///
/// # Errors
///
/// If the text is no JSON even so. The place is that in `text`.
pub(crate) fn parse(text: &str) -> Result<Value, Invalid> {
    let error = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    match with_nulls(text) {
        Cow::Borrowed(_) => Err(invalid(&error, error.column())),
        Cow::Owned(plain) => serde_json::from_str(&plain).map_err(|error| {
            // A null is one byte longer than a NaN.
            let line = |text: &str| text.lines().nth(error.line().saturating_sub(1)).map(str::to_owned);
            let before = line(&plain).and_then(|line| Some(line.get(..error.column())?.to_owned()));
            let nulls = |text: &str| text.matches("null").count();
            let here = line(text).unwrap_or_default();
            let longer = before.map_or(0, |before| nulls(&before)).min(here.matches("NaN").count());
            invalid(&error, error.column().saturating_sub(longer))
        }),
    }
}

fn invalid(error: &serde_json::Error, column: usize) -> Invalid {
    // serde_json's message ends with its own line and column.
    let problem = error.to_string();
    let problem = problem.split(" at line ").next().unwrap_or(&problem).to_owned();
    Invalid { line: error.line().max(1), column: column.max(1), problem }
}

/// Replaces the words outside strings by nulls, filled up with spaces to their length.
fn with_nulls(text: &str) -> Cow<'_, str> {
    const WORDS: [(&str, &str); 3] = [("NaN", "null"), ("Infinity", "null    "), ("-Infinity", "null     ")];
    if !text.contains("NaN") && !text.contains("Infinity") {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    let (mut copied, mut at, mut in_string) = (0, 0, false);
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b'N' | b'I' | b'-' if !in_string => {
                if let Some((word, null)) = WORDS.iter().find(|(word, _)| rest.starts_with(word.as_bytes())) {
                    plain.push_str(text.get(copied..at).unwrap_or_default());
                    plain.push_str(null);
                    copied = at + word.len();
                    at = copied;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    match copied {
        0 => Cow::Borrowed(text),
        _ => {
            plain.push_str(text.get(copied..).unwrap_or_default());
            Cow::Owned(plain)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_python_writes_is_read_and_what_it_refuses_is_refused() {
        for (text, wanted) in [
            (
                r#"{"a": NaN, "b": [Infinity, -Infinity], "c": 1}"#,
                json!({"a": null, "b": [null, null], "c": 1}),
            ),
            (r#"{"a": "NaN, -Infinity \" NaN", "b": NaN}"#, json!({"a": "NaN, -Infinity \" NaN", "b": null})),
            ("NaN", json!(null)),
            ("[-1, NaN]", json!([-1, null])),
        ] {
            assert_eq!(parse(text).unwrap(), wanted, "{text}");
        }
        for text in ["nan", "inf", "-NaN", "+Infinity", "NaNx", "Infinit", "{NaN: 1}", "[1NaN]", "\"NaN"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_place_of_a_fault_is_that_in_the_text() {
        let place = |text: &str| parse(text).map_err(|error| (error.line, error.column)).unwrap_err();
        assert_eq!(place("[1, x]"), (1, 5));
        assert_eq!(place("[NaN, x]"), (1, 7));
        assert_eq!(place("[NaN, Infinity, -Infinity, NaN, x]"), (1, 33));
        assert_eq!(place("[NaN,\n NaN, null, x]"), (2, 13));
    }
}
