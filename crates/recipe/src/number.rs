//! Helpers for serde: numbers as people write them, and "one or a list".

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest double up to which every integer is a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A double that is written as an integer when it is whole (`16`, not `16.0`), as PEFT writes `lora_alpha`.
struct Whole(f64);

impl Serialize for Whole {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 && self.0.abs() < EXACT {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

pub(crate) fn whole<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Whole(*value).serialize(serializer)
}

pub(crate) fn whole_option<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(Whole).serialize(serializer)
}

pub(crate) fn whole_map<S: Serializer>(
    value: &BTreeMap<String, f64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(value.iter().map(|(key, number)| (key, Whole(*number))))
}

/// Reads one value or a list: `1` or `[1, 2]`; `"layers"` or `["layers", "h"]`.
pub(crate) fn one_or_many<'de, T, D>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany<T> {
        Many(Vec<T>),
        One(T),
    }
    Ok(Option::<OneOrMany<T>>::deserialize(deserializer)?.map(|value| match value {
        OneOrMany::Many(list) => list,
        OneOrMany::One(one) => vec![one],
    }))
}

pub(crate) fn is_false(value: &bool) -> bool {
    !value
}

pub(crate) fn is_zero(value: &f64) -> bool {
    *value == 0.0
}
