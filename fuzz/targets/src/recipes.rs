//! Recipes: files, links, assignments, and other trainers' configurations.

use lorelei_recipe::{Imported, Recipe, RecipeError, StepPlan, decode_link, encode_link, hints};

use crate::text;

/// Reads a recipe in TOML and in JSON.
pub fn recipe(input: &[u8]) {
    let text = text(input);
    for read in [Recipe::from_toml(&text, "recipe.toml"), Recipe::from_json(&text, "recipe.json")] {
        match read {
            Ok((recipe, _)) => use_recipe(&recipe),
            Err(error) => check(&error, &text),
        }
    }
}

/// Reads a page's link.
pub fn link(input: &[u8]) {
    let text = text(input);
    for link in [text.clone(), format!("https://a.example/#r=1.{text}")] {
        match decode_link(&link) {
            Ok(recipe) => use_recipe(&recipe),
            Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
        }
    }
}

/// Reads an assignment, as `--set` has it.
pub fn set(input: &[u8]) {
    let mut recipe = Recipe::default();
    if let Err(error) = recipe.set(&text(input)) {
        assert!(!error.to_string().contains('\n'), "{error}");
        assert_eq!(recipe, Recipe::default(), "a refused assignment changes the recipe");
    }
    use_recipe(&recipe);
}

/// Imports a YAML file of a trainer.
pub fn import_yaml(input: &[u8]) {
    import(input, "config.yaml");
}

/// Imports a script.
pub fn import_python(input: &[u8]) {
    import(input, "train.py");
}

/// Imports a notebook.
pub fn import_notebook(input: &[u8]) {
    import(input, "train.ipynb");
}

/// Imports a JSON file: an adapter's settings, or a trainer's.
pub fn import_json(input: &[u8]) {
    import(input, "config.json");
}

fn import(input: &[u8], file_name: &str) {
    let text = text(input);
    match Imported::from_text(&text, file_name) {
        Ok(imported) => {
            let words = imported.left_out.iter().chain(&imported.warnings).map(ToString::to_string);
            words.for_each(|line| assert!(!line.contains('\n'), "{line}"));
            use_recipe(&imported.recipe);
        }
        Err(error) => check(&error, &text),
    }
}

/// Checks that an error is one line, and that its place is in the text.
fn check(error: &RecipeError, text: &str) {
    assert!(!error.to_string().contains('\n'), "{error}");
    assert!(error.line <= text.matches('\n').count() + 1, "{error:?}");
}

/// Writes a recipe in every form and reads it again, and plans its steps.
fn use_recipe(recipe: &Recipe) {
    assert!(recipe.validate().is_ok(), "{recipe:?}");
    let again =
        Recipe::from_toml(&recipe.to_toml(), "again.toml").expect("a recipe that was written is read");
    assert_eq!(again.0, *recipe);
    let again =
        Recipe::from_json(&recipe.to_json(), "again.json").expect("a recipe that was written is read");
    assert_eq!(again.0, *recipe);
    match decode_link(&encode_link(recipe)) {
        Ok(again) => assert_eq!(again, *recipe),
        // A recipe of many settings is too long for a link, which the message says.
        Err(error) => assert!(error.to_string().contains("share the recipe as a file"), "{error}"),
    }
    let plan = StepPlan::new(100, &recipe.training).ok();
    if let Some(plan) = &plan {
        for step in [1, 2, plan.total_steps / 2, plan.total_steps] {
            let rate = plan.learning_rate(step);
            assert!(rate.is_finite(), "a learning rate of {rate} at step {step}");
            let _ = (plan.epoch_at(step), plan.is_epoch_end(step), plan.is_logging_step(step));
            let _ = (plan.is_eval_step(step), plan.is_save_step(step));
        }
    }
    let _ = hints(recipe, plan.as_ref());
    let path = "model.layers.0.self_attn.q_proj";
    let lora = &recipe.lora;
    let _ = (
        lora.selects(path, false, Some(0)),
        lora.rank(path),
        lora.scaling(path),
        lora.with_layers_counted(4),
    );
    let python = recipe.to_peft_python();
    Imported::from_text(&python, "again.py").expect("a script that was written is read");
}
