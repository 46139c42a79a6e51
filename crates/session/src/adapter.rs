//! PEFT adapters from a folder.

use lorelei_data::{LABELS_FILE, Labels};
use lorelei_formats::{SafetensorsFile, peft::adapter_num_labels};
use lorelei_models::{Model, Purpose, read_adapter};
use lorelei_protocol::Notice;
use lorelei_recipe::{LoraConfig, Message, PeftConfig, TaskType, message};

use crate::{Folder, Result};

/// The weights of an adapter.
pub(crate) const ADAPTER_FILE: &str = "adapter_model.safetensors";

/// Returns the purpose that a PEFT adapter was trained for.
///
/// # Errors
///
/// If it cannot be read.
pub async fn adapter_purpose(folder: &impl Folder) -> Result<Purpose> {
    let task = adapter_config(folder).await?.lora.task_type;
    if !matches!(task, Some(TaskType::SeqCls | TaskType::TokenCls)) {
        return Ok(Purpose { task, num_labels: None });
    }
    let bytes = folder.need(ADAPTER_FILE, IS_PEFT).await?;
    let file = SafetensorsFile::open(bytes, format!("{}/{ADAPTER_FILE}", folder.name()))?;
    Ok(Purpose { task, num_labels: adapter_num_labels(&file) })
}

/// Help in the error for a folder without an adapter's files.
const IS_PEFT: Message = message!("is it a PEFT adapter's folder?");

/// Reads the configuration of a PEFT adapter.
///
/// # Errors
///
/// If it cannot be read.
pub async fn adapter_config(folder: &impl Folder) -> Result<PeftConfig> {
    const CONFIG: &str = "adapter_config.json";
    let bytes = folder.need(CONFIG, IS_PEFT).await?;
    let name = format!("{}/{CONFIG}", folder.name());
    Ok(LoraConfig::from_peft_json(&String::from_utf8_lossy(&bytes), &name)?)
}

/// Loads a PEFT adapter into the model. Returns its configuration and the last parts of the names of its target modules. Calls `notice` for each
/// setting that is passed over.
///
/// # Errors
///
/// If it cannot be read or does not fit.
pub async fn load_adapter(
    model: &mut Model,
    folder: &impl Folder,
    notice: impl Fn(Notice),
) -> Result<(LoraConfig, Vec<String>)> {
    let PeftConfig { lora, warnings, .. } = adapter_config(folder).await?;
    for warning in warnings {
        notice(Notice::new("unknown_adapter_setting", warning.to_message()));
    }
    let targets =
        model.inject_lora(&lora, 0).map_err(|error| crate::SessionError::from(error).of(folder.name()))?;
    model.begin_from_weights(&lora, 0).await?;
    set_adapter(model, folder).await?;
    Ok((lora, targets))
}

/// Copies the values of a folder's adapter into the adapters that the model has.
pub(crate) async fn set_adapter(model: &mut Model, folder: &impl Folder) -> Result<()> {
    let name = format!("{}/{ADAPTER_FILE}", folder.name());
    let bytes = folder.need(ADAPTER_FILE, IS_PEFT).await?;
    let values = read_adapter(&bytes, &name)?;
    model.set_adapter(&values).map_err(|error| crate::SessionError::from(error).of(name))
}

/// Reads the labels that a run saved beside its adapter. Returns `None` if it saved none.
pub(crate) async fn labels(folder: &impl Folder) -> Result<Option<Labels>> {
    let Some(bytes) = folder.read(LABELS_FILE).await? else { return Ok(None) };
    let labels = Labels::from_json(&String::from_utf8_lossy(&bytes));
    labels
        .map(Some)
        .map_err(|error| crate::SessionError::from(error).of(format!("{}/{LABELS_FILE}", folder.name())))
}
