//! Number of optimizer steps of a run.

use lorelei_recipe::{Recipe, RecipeError, StepPlan};

/// Plans the optimizer steps for `rows` sequences.
///
/// # Errors
/// The same as those of [`StepPlan::new`].
pub fn steps(recipe: &Recipe, rows: usize) -> Result<StepPlan, RecipeError> {
    StepPlan::new(rows, &recipe.training)
}

/// Returns the number of sequences in an optimizer step.
pub fn effective_batch(recipe: &Recipe) -> u64 {
    let training = &recipe.training;
    (training.per_device_train_batch_size as u64).saturating_mul(training.gradient_accumulation_steps as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_sees_the_rows_of_all_its_batches() {
        let mut recipe = Recipe::default();
        recipe.training.gradient_accumulation_steps = 4;
        assert_eq!(effective_batch(&recipe), 32);
    }
}
