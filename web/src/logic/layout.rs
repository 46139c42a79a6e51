//! The settings that the form shows, and those that it shows first, as the recipe declares it.

use lorelei_recipe::fields::{self, Field, Shown, State, Table};

/// Returns the settings of a section that most runs touch, and the other ones.
pub fn fields_of(table: Table) -> (Vec<&'static Field>, Vec<&'static Field>) {
    shown_of(table).partition(|field| field.shown == Shown::First)
}

/// Returns all settings that have an input.
pub fn all_shown() -> impl Iterator<Item = &'static Field> {
    Table::ALL.into_iter().flat_map(shown_of)
}

fn shown_of(table: Table) -> impl Iterator<Item = &'static Field> {
    fields::of(table)
        .iter()
        .filter(|field| field.state == State::Supported && field.shown != Shown::Elsewhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_that_a_recipe_keeps_is_shown_or_chosen() {
        let chosen = ["model.model_name_or_path", "data.train_file", "data.validation_file"];
        for field in fields::all().filter(|field| field.state == State::Supported) {
            let is_chosen = chosen.contains(&field.path().as_str());
            assert_eq!(all_shown().any(|shown| shown == field), !is_chosen, "{}", field.path());
        }
        let count = |table| {
            let (first, more) = fields_of(table);
            first.len() + more.len()
        };
        assert_eq!(Table::ALL.into_iter().map(count).sum::<usize>(), all_shown().count());
        assert_eq!(fields_of(Table::Lora).0.first().map(|field| field.name), Some("task_type"));
    }
}
