//! Which settings the form shows, and which of them first.

use lorelei_recipe::fields::{self, Field, State, Table};

/// Settings that most runs touch, in the order in which one thinks of them.
const FIRST: &[&str] = &[
    "data.max_length",
    "data.validation_split_percentage",
    "data.packing",
    "data.shuffle",
    "lora.task_type",
    "lora.r",
    "lora.lora_alpha",
    "lora.lora_dropout",
    "lora.target_modules",
    "training.learning_rate",
    "training.num_train_epochs",
    "training.max_steps",
    "training.per_device_train_batch_size",
    "training.gradient_accumulation_steps",
    "training.lr_scheduler_type",
    "training.warmup_ratio",
    "training.logging_steps",
    "training.eval_strategy",
    "training.eval_steps",
    "training.save_steps",
    "training.seed",
];

/// Settings that are made elsewhere in the page, by choosing files, and one that leaves no choice here: a page trains adapters.
const ELSEWHERE: &[&str] = &[
    "data.train_file",
    "data.validation_file",
    "training.finetuning_type",
    // A page has no folders for TensorBoard's files.
    "training.report_to",
    "training.logging_dir",
    "training.run_name",
];

/// The sections of a recipe that have inputs. The model is chosen, not typed.
const TABLES: [Table; 3] = [Table::Data, Table::Lora, Table::Training];

/// The settings of a section: those that matter most, and the others.
pub fn fields_of(table: Table) -> (Vec<&'static Field>, Vec<&'static Field>) {
    let place = |field: &Field| FIRST.iter().position(|path| *path == field.path());
    let shown = fields::of(table).iter().filter(|field| is_shown(field));
    let (mut first, more): (Vec<&Field>, Vec<&Field>) = shown.partition(|field| place(field).is_some());
    first.sort_by_key(|field| place(field));
    (first, more)
}

/// All settings that have an input.
pub fn all_shown() -> impl Iterator<Item = &'static Field> {
    TABLES.into_iter().flat_map(fields::of).filter(|field| is_shown(field))
}

fn is_shown(field: &Field) -> bool {
    field.state == State::Supported && !ELSEWHERE.contains(&field.path().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_setting_that_is_shown() {
        for path in FIRST {
            assert!(all_shown().any(|field| field.path() == *path), "{path}");
        }
        let count = |table| {
            let (first, more) = fields_of(table);
            first.len() + more.len()
        };
        assert_eq!(TABLES.into_iter().map(count).sum::<usize>(), all_shown().count());
        assert_eq!(fields_of(Table::Lora).0.first().map(|field| field.name), Some("task_type"));
    }
}
