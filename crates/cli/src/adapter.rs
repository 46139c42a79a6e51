//! PEFT adapters' folders, for commands that use an adapter.

use std::path::PathBuf;

use lorelei_models::{Model, Purpose};
use lorelei_protocol::Notice;
use lorelei_recipe::{FinetuningType, Recipe, TaskType};
use miette::{Result, miette};

use crate::{file_system::DiskFolder, hub, report};

/// Opens the folder of an adapter by its path or hub id.
///
/// # Errors
///
/// If the hub does not have the adapter, refuses it or cannot be reached.
pub fn open(name: &str) -> Result<DiskFolder> {
    match hub::is_id(name) {
        true => hub::fetch_adapter(name).map(DiskFolder),
        false => Ok(DiskFolder(PathBuf::from(name))),
    }
}

/// Returns the purpose that a PEFT adapter's folder was trained for.
///
/// # Errors
///
/// If the folder cannot be read.
pub fn purpose(folder: &str) -> Result<Purpose> {
    pollster::block_on(lorelei_session::adapter_purpose(&open(folder)?)).map_err(report)
}

/// Refuses an adapter that does not generate text.
///
/// # Errors
///
/// If it was trained to classify.
pub fn generates(folder: &str) -> Result<()> {
    match purpose(folder)?.task {
        Some(TaskType::SeqCls | TaskType::TokenCls) => {
            Err(miette!("{folder} was trained to classify: ask it with `lorelei classify`"))
        }
        _ => Ok(()),
    }
}

/// Returns the recipe with the configuration of the adapter that its run trains, which is that of `adapter_name_or_path` where it names one.
///
/// # Errors
///
/// If that adapter's configuration cannot be read.
pub fn effective(mut recipe: Recipe) -> Result<Recipe> {
    if let (Some(folder), FinetuningType::Lora) =
        (&recipe.model.adapter_name_or_path, recipe.training.finetuning_type)
    {
        let task_type = recipe.lora.task_type;
        let folder = open(folder)?;
        recipe.lora = pollster::block_on(lorelei_session::adapter_config(&folder)).map_err(report)?.lora;
        recipe.lora.task_type = task_type;
    }
    Ok(recipe)
}

/// Loads the adapter of a PEFT adapter's folder into the model.
///
/// # Errors
///
/// If it cannot be read or does not fit.
pub fn load(model: &mut Model, folder: &str) -> Result<()> {
    let folder = open(folder)?;
    let notice = |notice: Notice| say_err!("warning: {}", notice.message);
    pollster::block_on(lorelei_session::load_adapter(model, &folder, notice)).map_err(report)?;
    Ok(())
}
