//! Scalars of YAML 1.1 without quotes, by the regexes of PyYAML's resolver.

use crate::source::Value;

/// Reads a scalar without quotes.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Value::Bool(false),
        _ => number(text).unwrap_or_else(|| Value::Text(text.into())),
    }
}

fn number(text: &str) -> Option<Value> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1_i64, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    match digits {
        ".inf" | ".Inf" | ".INF" => return Some(Value::Float(sign as f64 * f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" => return Some(Value::Float(f64::NAN)),
        // Rust would read "inf" and "nan" as numbers, which YAML does not.
        _ if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') => return None,
        _ => {}
    }
    let digits = digits.replace('_', "");
    let (radix, rest) = match digits.as_bytes() {
        [b'0', b'x', ..] => (16, digits.get(2..)?),
        [b'0', b'b', ..] => (2, digits.get(2..)?),
        [b'0', b'o', ..] => (8, digits.get(2..)?),
        [b'0', b'0'..=b'7', ..] if digits.bytes().all(|byte| matches!(byte, b'0'..=b'7')) => {
            (8, digits.as_str())
        }
        _ => (10, digits.as_str()),
    };
    // Rust would take a second sign after the prefix.
    let whole = match rest.starts_with(['+', '-']) {
        true => None,
        false => i64::from_str_radix(rest, radix).ok().and_then(|number| number.checked_mul(sign)),
    };
    match (whole, digits.parse::<f64>()) {
        (Some(number), _) => Some(Value::Int(number)),
        (_, Ok(number)) => Some(Value::Float(sign as f64 * number)),
        _ => None,
    }
}
