//! Adapters for a loaded model: fresh by a recipe, or from a PEFT folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use lorelei_formats::{SafetensorsFile, peft::adapter_num_labels};
use lorelei_models::{Model, Purpose, read_adapter};
use lorelei_recipe::{FinetuningType, LoraConfig, Recipe, TaskType};
use miette::{Context, IntoDiagnostic, Result, miette};

use crate::report;

/// Puts the recipe's adapter, fresh or from `adapter_name_or_path`, into the model. Returns its configuration and target names;
/// with full fine-tuning there is none.
///
/// # Errors
///
/// If it does not fit the model.
pub fn adapt(model: &mut Model, recipe: &Recipe) -> Result<(Option<LoraConfig>, Vec<String>)> {
    if recipe.training.finetuning_type == FinetuningType::Full {
        if let Some(folder) = &recipe.model.adapter_name_or_path {
            return Err(miette!(
                "model.adapter_name_or_path: {folder} is an adapter, but training.finetuning_type = \"full\" trains the \
                 model itself; remove one of the two"
            ));
        }
        model.finetune_all();
        return Ok((None, Vec::new()));
    }
    let Some(folder) = &recipe.model.adapter_name_or_path else {
        let targets = model.inject_lora(&recipe.lora, recipe.training.seed).map_err(report)?;
        return Ok((Some(recipe.lora.clone()), targets));
    };
    let (lora, targets) = load(model, folder)?;
    Ok((Some(lora), targets))
}

/// Puts the values of a folder's adapter into the adapters that the model has.
///
/// # Errors
///
/// If they cannot be read or do not fit.
pub fn restore(model: &mut Model, folder: &Path) -> Result<()> {
    let path = folder.join("adapter_model.safetensors");
    let name = path.display().to_string();
    let bytes = fs::read(&path).into_diagnostic().wrap_err_with(|| format!("cannot read {name}"))?;
    model.set_adapter(&read_adapter(&bytes, &name).map_err(report)?).map_err(report).wrap_err(name)
}

/// What a PEFT adapter's folder was trained for.
///
/// # Errors
///
/// If it cannot be read.
pub fn purpose(folder: &str) -> Result<Purpose> {
    let folder = Path::new(folder);
    let (lora, _) = config(folder)?;
    // The head that was trained with it has as many rows as there are classes.
    let path = folder.join("adapter_model.safetensors").display().to_string();
    let file = fs::File::open(&path).into_diagnostic().wrap_err_with(|| format!("cannot read {path}"))?;
    let file = SafetensorsFile::open(file, path).map_err(report)?;
    Ok(Purpose { task: lora.task_type, num_labels: adapter_num_labels(&file) })
}

/// Refuses an adapter that does not make a model speak.
///
/// # Errors
///
/// If it was trained to classify.
pub fn speaks(folder: &str) -> Result<()> {
    match purpose(folder)?.task {
        Some(TaskType::SeqCls | TaskType::TokenCls) => {
            Err(miette!("{folder} was trained to classify: ask it with `lorelei classify`"))
        }
        _ => Ok(()),
    }
}

/// The recipe with the configuration of the adapter that its run trains: that of `adapter_name_or_path`, where it names one.
///
/// # Errors
///
/// If that cannot be read.
pub fn effective(mut recipe: Recipe) -> Result<Recipe> {
    if let (Some(folder), FinetuningType::Lora) =
        (&recipe.model.adapter_name_or_path, recipe.training.finetuning_type)
    {
        let task_type = recipe.lora.task_type;
        (recipe.lora, _) = config(Path::new(folder))?;
        recipe.lora.task_type = task_type;
    }
    Ok(recipe)
}

fn config(folder: &Path) -> Result<(LoraConfig, Option<String>)> {
    let path = folder.join("adapter_config.json");
    let text = fs::read_to_string(&path)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot read {}: is it a PEFT adapter's folder?", path.display()))?;
    LoraConfig::from_peft_json(&text, &path.display().to_string()).map_err(report)
}

/// Puts a PEFT adapter folder's adapter into the model.
///
/// # Errors
///
/// If it cannot be read or does not fit.
pub fn load(model: &mut Model, folder: &str) -> Result<(LoraConfig, Vec<String>)> {
    let folder = PathBuf::from(folder);
    let (lora, _) = config(&folder)?;
    let targets =
        model.inject_lora(&lora, 0).map_err(report).wrap_err_with(|| folder.display().to_string())?;
    pollster::block_on(model.begin_from_weights(&lora, 0)).map_err(report)?;
    restore(model, &folder)?;
    Ok((lora, targets))
}
