//! The settings that determine what the steps of a run compute.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::{Recipe, fields};

impl Recipe {
    /// Returns the settings that determine what the steps of a run compute, by path (`training.seed`), with their values. They do not include those
    /// that a resumed run may have otherwise ([`fields::Field::free_on_resume`]). The names of files of rows are not among them: what counts is the rows.
    pub fn run_settings(&self) -> BTreeMap<String, Json> {
        let recipe = serde_json::to_value(self).unwrap_or_default();
        let value = |field: &fields::Field| {
            let set = recipe.get(field.table.name()).and_then(|section| section.get(field.name));
            set.cloned().unwrap_or_else(|| field.default_value())
        };
        let counts = |field: &&fields::Field| {
            field.state == fields::State::Supported && field.kind.is_kept() && !field.free_on_resume
        };
        fields::all().filter(counts).map(|field| (field.path(), value(field))).collect()
    }
}
