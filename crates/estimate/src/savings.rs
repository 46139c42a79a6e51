//! Settings that need less memory.

use lorelei_recipe::{FinetuningType, Recipe, RecipeError};

use crate::{ModelShape, RowShape, memory};

/// A setting that makes a run smaller.
#[derive(Debug, Clone, PartialEq)]
pub struct Saving {
    /// Assignments in the form of `--set`.
    pub assignments: Vec<String>,
    /// Cost of the setting, in words.
    pub cost: &'static str,
    /// Bytes that the run needs with the setting.
    pub total: f64,
}

/// Returns settings that need less memory than the recipe, the mildest first: each alone, and then all together.
///
/// # Errors
/// The same as those of [`memory()`].
pub fn savings(recipe: &Recipe, model: &ModelShape, shape: RowShape) -> Result<Vec<Saving>, RecipeError> {
    let training = &recipe.training;
    let (batch, accumulation) = (shape.rows, training.gradient_accumulation_steps);
    let mut found: Vec<(Vec<String>, &'static str, RowShape)> = Vec::new();
    if batch > 1 {
        let rows = batch.div_ceil(2);
        let half = if batch % 2 == 0 { rows } else { 1 };
        let more = accumulation * batch / half;
        found.push((
            vec![
                format!("training.per_device_train_batch_size={half}"),
                format!("training.gradient_accumulation_steps={more}"),
            ],
            "learns the same",
            RowShape { rows: half, ..shape },
        ));
    }
    if !training.gradient_checkpointing {
        found.push((
            vec!["training.gradient_checkpointing=true".into()],
            "learns the same, a third more time",
            shape,
        ));
    }
    if !training.fp16 && !training.bf16 && training.finetuning_type == FinetuningType::Lora {
        found.push((vec!["training.fp16=true".into()], "half floats, on a GPU that has them", shape));
    }
    if shape.length > 256 {
        let length = shape.length.div_ceil(2);
        found.push((
            vec![format!("data.max_length={length}")],
            "longer rows are cut",
            RowShape { length, ..shape },
        ));
    }
    let everything: (Vec<String>, RowShape) =
        found.iter().fold((Vec::new(), shape), |(mut all, so_far), (one, _, shape)| {
            all.extend(one.iter().cloned());
            (all, RowShape { rows: so_far.rows.min(shape.rows), length: so_far.length.min(shape.length) })
        });
    if found.len() > 1 {
        found.push((everything.0, "all of these", everything.1));
    }
    let now = memory(recipe, model, shape)?.total();
    let mut savings = Vec::new();
    for (assignments, cost, shape) in found {
        let mut changed = recipe.clone();
        for assignment in &assignments {
            changed.set(assignment)?;
        }
        let total = memory(&changed, model, shape)?.total();
        if total < now {
            savings.push(Saving { assignments, cost, total });
        }
    }
    Ok(savings)
}
