//! Parser of TOML to [`Node`]s.

use toml::de::{DeTable, DeValue};

use super::{Entry, Node, Source, Value};
use crate::{RecipeError, message};

impl Source<'_> {
    /// Reads the text as TOML: a table.
    pub(crate) fn toml(&self) -> Result<Vec<Entry>, RecipeError> {
        let table = DeTable::parse(self.text).map_err(|error| {
            self.syntax_error(error.span().map(|span| span.start), "TOML", error.message())
        })?;
        Ok(entries(table.get_ref()))
    }
}

fn entries(table: &DeTable<'_>) -> Vec<Entry> {
    let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let name: &std::borrow::Cow<'_, str> = key.get_ref();
        Entry { name: name.to_string(), at: key.span().start, node: node(value) }
    };
    table.iter().map(entry).collect()
}

fn node(value: &toml::Spanned<DeValue<'_>>) -> Node {
    let inner = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        // An integer too large for 64 bits becomes a number that is out of any range.
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::Float(number.as_str().parse().unwrap_or(f64::MAX)), Value::Int),
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(_) => Value::Other(message!("a date")),
        DeValue::Array(list) => Value::List(list.iter().map(node).collect()),
        DeValue::Table(table) => Value::Table(entries(table)),
    };
    Node { span: value.span(), value: inner }
}
