//! Python's functions and methods of known values, and their texts. What Python would raise an error for has no value.

use std::rc::Rc;

use super::fold::{self, EXACT, MAX_TEXT, Number, known, number, truth};
use super::value::{Item, MAX_SIZE, Val, What};

/// Calls one of Python's functions of one value: `int`, `float`, `str`, `bool`, `len`, `abs`, `list`, `tuple`.
pub(super) fn function(name: &str, value: &What) -> Option<What> {
    match (name, value) {
        ("int", What::Text(text)) => integer(text).map(What::Int),
        ("int", _) => match number(value)? {
            Number::Int(number) => Some(What::Int(number)),
            Number::Float(number) => (number.abs() < EXACT as f64).then_some(What::Int(number as i64)),
        },
        ("float", What::Text(text)) => float(text).map(What::Float),
        ("float", _) => number(value)?.float().map(What::Float),
        ("str", _) => shown(value).map(|text| What::Text(text.into())),
        ("bool", _) => truth(value).map(What::Bool),
        ("len", What::Text(text)) => i64::try_from(text.chars().count()).ok().map(What::Int),
        ("len", What::List(list)) => i64::try_from(list.items.len()).ok().map(What::Int),
        ("len", What::Dict(dict)) if dict.entries.iter().all(|(name, _)| name.is_some()) => {
            let names: std::collections::HashSet<_> = dict.entries.iter().map(|(name, _)| name).collect();
            i64::try_from(names.len()).ok().map(What::Int)
        }
        ("abs", _) => Some(match number(value)? {
            Number::Int(number) => What::Int(number.checked_abs()?),
            Number::Float(number) => What::Float(number.abs()),
        }),
        ("list" | "tuple", What::List(list)) => known(Val::list(list.items.clone(), name == "tuple")),
        _ => None,
    }
}

/// Reads an integer as `int(text)` does, without the rarer digits of Unicode.
fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_plain =
        digits.split('_').all(|part| !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit()));
    if is_plain { text.replace('_', "").parse().ok() } else { None }
}

fn float(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain = |letter: char| letter.is_ascii_digit() || matches!(letter, '+' | '-' | '.' | 'e' | 'E');
    if !text.is_empty() && text.chars().all(plain) { text.parse().ok() } else { None }
}

/// Formats a value as `str` does; lists and objects have no text here.
pub(super) fn shown(value: &What) -> Option<String> {
    Some(match value {
        What::None => "None".into(),
        What::Bool(flag) => if *flag { "True" } else { "False" }.into(),
        What::Int(number) => number.to_string(),
        What::Float(number) => float_text(*number),
        What::Text(text) => text.to_string(),
        _ => return None,
    })
}

/// Formats a float as Python's `repr` does: the shortest digits, with an exponent below 1e-4 and from 1e16 on.
fn float_text(number: f64) -> String {
    if !number.is_finite() {
        return if number.is_nan() {
            "nan"
        } else if number > 0.0 {
            "inf"
        } else {
            "-inf"
        }
        .into();
    }
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(power) if (-4..16).contains(&power) || number == 0.0 => {
            format!("{number:?}").split_once('e').map_or_else(|| format!("{number:?}"), |_| plain(number))
        }
        Ok(power) => format!("{digits}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs()),
        Err(_) => scientific,
    }
}

fn plain(number: f64) -> String {
    let text = format!("{number}");
    if text.contains('.') { text } else { format!("{text}.0") }
}

/// Calls a method of a text that has a certain result.
pub(super) fn method(base: &What, name: &str, arguments: &[What]) -> Option<What> {
    let What::Text(base) = base else { return None };
    let made = |text: &str| fold::text(&[text]);
    match (name, arguments) {
        ("lower", []) if base.is_ascii() => made(&base.to_ascii_lowercase()),
        ("upper", []) if base.is_ascii() => made(&base.to_ascii_uppercase()),
        ("strip", []) if base.is_ascii() => made(base.trim()),
        ("replace", [What::Text(from), What::Text(to)]) if !from.is_empty() => {
            let times = base.matches(&**from).count();
            let most = times.checked_mul(to.len()).and_then(|more| more.checked_add(base.len()))?;
            (most <= MAX_TEXT).then(|| What::Text(base.replace(&**from, to).into()))
        }
        ("split", [What::Text(at)]) if !at.is_empty() => {
            let parts = base.split(&**at).take(MAX_SIZE + 1);
            known(Val::list(
                parts.map(|part| Item { val: What::from(part).into(), span: 0..0 }).collect(),
                false,
            ))
        }
        ("startswith", [What::Text(with)]) => Some(What::Bool(base.starts_with(&**with))),
        ("endswith", [What::Text(with)]) => Some(What::Bool(base.ends_with(&**with))),
        ("join", [What::List(list)]) => {
            let parts: Option<Vec<Rc<str>>> = list
                .items
                .iter()
                .map(|item| if let What::Text(text) = &item.val.what { Some(text.clone()) } else { None })
                .collect();
            let parts = parts?;
            let length: usize = parts.iter().map(|part| part.len() + base.len()).sum();
            (length <= MAX_TEXT).then(|| What::Text(parts.join(base).into()))
        }
        _ => None,
    }
}

/// Joins a path as `os.path.join` does on POSIX.
pub(super) fn joined_path(parts: &[What]) -> Option<What> {
    let mut path = String::new();
    for (at, part) in parts.iter().enumerate() {
        let What::Text(part) = part else { return None };
        if part.starts_with('/') || at == 0 {
            path = part.to_string();
        } else {
            if !path.is_empty() && !path.ends_with('/') {
                path.push('/');
            }
            path.push_str(part);
        }
        if path.len() > MAX_TEXT {
            return None;
        }
    }
    (!parts.is_empty()).then(|| What::Text(path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_shown_as_python_shows_them() {
        for (number, text) in [
            (5e-4, "0.0005"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (2.5e-5, "2.5e-05"),
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (123456.789, "123456.789"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(float_text(number), text);
        }
    }
}
