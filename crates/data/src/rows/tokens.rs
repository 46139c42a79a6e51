//! Parses rows that are tokens already.

use lorelei_recipe::message;
use serde_json::{Map, Value};

use super::{
    Row,
    field::{bad, get, kind, must_be, short, structured},
};
use crate::error::DataError;

/// Parses the tokens, and leaves out those that the mask hides.
pub(super) fn parse(ids: &Value, fields: &Map<String, Value>) -> Result<Row, DataError> {
    let ids = integers("input_ids", ids)?;
    let mut input_ids = Vec::with_capacity(ids.len());
    for (index, id) in ids.into_iter().enumerate() {
        let id = u32::try_from(id)
            .map_err(|_| bad(message!("input_ids[{index}] is {id}, no token id", index, id), ""))?;
        input_ids.push(id);
    }
    let column = |name: &str| -> Result<Option<Vec<i64>>, DataError> {
        let Some(value) = get(fields, name) else { return Ok(None) };
        let values = integers(name, value)?;
        if values.len() != input_ids.len() {
            let problem = message!(
                "{name} has {count} entries but {other} has {expected}",
                name,
                count = values.len(),
                other = "input_ids",
                expected = input_ids.len()
            );
            return Err(bad(problem, message!("give one for each token")));
        }
        Ok(Some(values))
    };
    let mask = column("attention_mask")?;
    let mut labels = column("labels")?.unwrap_or_else(|| input_ids.iter().map(|&id| i64::from(id)).collect());
    if let Some(mask) = mask {
        if let Some((index, value)) = mask.iter().enumerate().find(|(_, value)| !matches!(value, 0 | 1)) {
            let name = format!("attention_mask[{index}]");
            return Err(bad(message!("{name} is {value}, expected 0 or 1", name, value), ""));
        }
        let kept = |value: &&i64| **value == 1;
        let padding = mask.iter().take_while(|value| **value == 0).count();
        let row = mask.iter().skip(padding).take_while(kept).count();
        if mask[padding + row..].contains(&1) {
            let problem = message!("attention_mask has a 0 at {at}, between tokens", at = padding + row);
            return Err(bad(problem, message!("padding may stand before or after the tokens only")));
        }
        let mut kept = mask.iter().map(|&value| value == 1);
        input_ids.retain(|_| kept.next() == Some(true));
        let mut kept = mask.iter().map(|&value| value == 1);
        labels.retain(|_| kept.next() == Some(true));
    }
    Ok(Row::Tokens { input_ids, labels })
}

fn integers(name: &str, value: &Value) -> Result<Vec<i64>, DataError> {
    let value = structured(name, value)?;
    let Value::Array(items) = &*value else {
        return Err(must_be(name, message!("an array of integers"), kind(&value)));
    };
    items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            item.as_i64()
                .ok_or_else(|| must_be(format!("{name}[{index}]"), message!("an integer"), short(item)))
        })
        .collect()
}
