//! Loading a model.

use lorelei_estimate::task_type_of;
use lorelei_models::{Model, Purpose, model_shape};
use lorelei_protocol::{DeviceChoice, ModelChoice, ModelInfo, Reply};
use lorelei_session::{Host as _, LoadedModel, Result, license_in, storage_on, tokenizer};
use web_sys::File;

use crate::{device, host::Browser, host_error, port, state};

/// Loads a model onto a device, in place of the one before.
pub async fn load(choice: ModelChoice, device: DeviceChoice, files: Vec<File>) -> Result<()> {
    let host = Browser { files };
    let opened = host.open_model(&choice).await?;
    let license = host.license(&choice).await.or_else(|| license_in(&opened.source));
    let (device, device_name) = device::choose(device).await.map_err(host_error)?;
    let (config, tokenizer) = (opened.source.model_config()?, tokenizer(&opened.source)?);
    Model::check_tensors(&config, &*opened.source.tensors)?;
    // No fault of the new model is known. The old one is dropped first, as there may be no room for two.
    state::with(|state| (state.model, state.data, state.trained) = (None, None, None));
    port::post(&Reply::Unloaded);
    let storage = storage_on(&device);
    let keep_packed = storage.keep_packed;
    let loaded = LoadedModel::load(&host, opened, tokenizer, &device, storage, Purpose::default())?;
    let config = loaded.model.config();
    let info = ModelInfo {
        name: loaded.name.clone(),
        has_lm_head: config.has_lm_head(),
        task_type: task_type_of(config.task),
        device: device_name,
        has_chat_template: !loaded.tokenizer.uses_default_template(),
        shape: model_shape(config, &*loaded.source.tensors, keep_packed),
    };
    state::with(|state| (state.model, state.license) = (Some(loaded), license));
    port::post(&Reply::Loaded(info));
    Ok(())
}
