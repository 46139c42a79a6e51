//! Writes a recipe as text. All values are written, defaults too, because a recipe describes its run completely.

use std::fmt::Write;

use serde_json::Value as Json;

use crate::Recipe;

impl Recipe {
    /// Formats the recipe as TOML. [`Recipe::from_toml`] reads it back to an equal one.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let Ok(Json::Object(tables)) = serde_json::to_value(self) else { return text };
        for (table, values) in &tables {
            let blank = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{blank}[{table}]");
            for (key, value) in values.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null())
            {
                let _ = writeln!(text, "{key} = {}", toml(value));
            }
        }
        text
    }

    /// Formats the recipe as JSON. [`Recipe::from_json`] reads it back to an equal one.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// Formats a value in TOML, on one line. Numbers and strings of JSON are valid in TOML, except for one character in strings.
fn toml(value: &Json) -> String {
    match value {
        Json::Array(list) => format!("[{}]", list.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Json::Object(map) if map.is_empty() => "{}".into(),
        Json::Object(map) => {
            let pairs: Vec<_> =
                map.iter().map(|(key, value)| format!("{} = {}", quoted(key), toml(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Json::String(text) => quoted(text),
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    Json::String(text.to_string()).to_string().replace('\u{7f}', "\\u007f")
}
