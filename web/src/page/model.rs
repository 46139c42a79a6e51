//! The model: the loaded one, the one that is being loaded, and requests for another.

use std::sync::Arc;

use leptos::prelude::*;
use lorelei_protocol::{DeviceChoice, ModelChoice, ModelInfo, Request};
use lorelei_recipe::TaskType;
use web_sys::File;

use super::drop::Chosen;
use super::notice::Place;
use super::state::Page;
use super::trainer::Progress;

/// The model that the worker carries.
pub const BUILTIN: &str = "builtin:tiny";
/// The default hub.
const HUB: &str = "https://huggingface.co";

/// A model that was requested, with its files.
#[derive(Debug, Clone)]
pub struct Pick {
    /// The choice of the model.
    pub choice: ModelChoice,
    /// Its files, if they are the user's.
    pub files: Vec<File>,
}

/// The page's state of the model.
#[derive(Clone, Copy)]
pub struct Model {
    /// The loaded model.
    pub info: RwSignal<Option<Arc<ModelInfo>>>,
    /// The name of the model that is being loaded.
    pub loading: RwSignal<Option<String>>,
    /// The progress of the loading.
    pub progress: RwSignal<Option<Progress>>,
    /// Number of models loaded so far, which identifies the loaded one.
    pub count: RwSignal<u32>,
    /// The device for the model.
    pub device: RwSignal<DeviceChoice>,
    /// The id on the hub, `owner/name`.
    pub hub_id: RwSignal<String>,
    /// The branch, tag or commit on the hub.
    pub hub_revision: RwSignal<String>,
    /// The address of the hub.
    pub hub_endpoint: RwSignal<String>,
    /// The last request.
    pub picked: StoredValue<Option<Pick>, LocalStorage>,
    /// The model that the recipe named at the time of the last request.
    named: StoredValue<String>,
    /// Whether the page has set the task, for a model that has no other.
    tasked: StoredValue<bool>,
}

impl Model {
    /// Creates the state without a model.
    pub fn new() -> Self {
        Self {
            info: RwSignal::new(None),
            loading: RwSignal::new(None),
            progress: RwSignal::new(None),
            count: RwSignal::new(0),
            device: RwSignal::new(DeviceChoice::Auto),
            hub_id: RwSignal::new(String::new()),
            hub_revision: RwSignal::new("main".into()),
            hub_endpoint: RwSignal::new(HUB.into()),
            picked: StoredValue::new_local(None),
            named: StoredValue::new(String::new()),
            tasked: StoredValue::new(false),
        }
    }

    /// Returns the name of the loaded model, untracked.
    pub fn name_now(self) -> Option<String> {
        untrack(move || self.name())
    }

    /// Returns the name of the loaded model, tracked by the view.
    pub fn name(self) -> Option<String> {
        self.info.with(|info| info.as_ref().map(|info| info.name.clone()))
    }
}

/// Requests a model.
pub fn load(page: Page, pick: Pick) {
    if page.is_engaged() {
        return;
    }
    let name = match &pick.choice {
        ModelChoice::Builtin { name } => name.clone(),
        ModelChoice::Hub { id, .. } => id.clone(),
        ModelChoice::Files { paths } => paths.join(", "),
    };
    let request = Request::Load { model: pick.choice.clone(), device: page.model.device.get_untracked() };
    page.notices.clear(Place::Model);
    if page.trainer.send(&request, &pick.files) {
        page.model.picked.set_value(Some(pick));
        page.model.named.set_value(named_by_recipe(page));
        page.model.progress.set(None);
        page.model.loading.set(Some(name));
    }
}

/// Returns the model's name in the recipe.
pub fn named_by_recipe(page: Page) -> String {
    page.form.recipe.with_untracked(|recipe| recipe.model.model_name_or_path.clone().unwrap_or_default())
}

/// Handles a model that was loaded onto its device. Its name is written into the recipe, unless the recipe was changed after the request: the recipe
/// is then for another model, and the page reports that.
pub fn loaded(page: Page, info: ModelInfo) {
    let (model, name) = (page.model, info.name.clone());
    let (has_lm_head, has_task) = (info.has_lm_head, info.task_type != TaskType::FeatureExtraction);
    page.notices.clear(Place::Model);
    model.loading.set(None);
    model.progress.set(None);
    model.info.set(Some(Arc::new(info)));
    model.count.update(|count| *count += 1);
    if model.named.with_value(|named| *named == named_by_recipe(page)) {
        page.form.change(|recipe| recipe.model.model_name_or_path = Some(name));
    }
    // A model that writes no text can only classify. The task is set back when the next model writes text.
    let (task, wanted) = page
        .form
        .recipe
        .with_untracked(|recipe| (recipe.lora.task_type, recipe.model.model_name_or_path.clone()));
    let cannot = match task {
        None => !has_task,
        Some(task) => task == TaskType::CausalLm && !has_lm_head,
    };
    if cannot && page.model.name_now() == wanted {
        page.form.set("lora.task_type", "SEQ_CLS");
        model.tasked.set_value(true);
    } else if has_lm_head && model.tasked.get_value() && task == Some(TaskType::SeqCls) {
        page.form.set("lora.task_type", "");
        model.tasked.set_value(false);
    }
}

/// Requests the model that the worker carries.
pub fn load_builtin(page: Page, name: &str) {
    load(page, Pick { choice: ModelChoice::Builtin { name: name.to_string() }, files: Vec::new() });
}

/// Requests a model from the user's files.
pub fn load_files(page: Page, files: Vec<Chosen>) {
    if !files.is_empty() {
        let (paths, files) = files.into_iter().map(|chosen| (chosen.path, chosen.file)).unzip();
        load(page, Pick { choice: ModelChoice::Files { paths }, files });
    }
}

/// Requests the model of the hub's inputs.
pub fn load_hub(page: Page) {
    let model = page.model;
    let text = |signal: RwSignal<String>, otherwise: &str| {
        let text = signal.get_untracked();
        if text.trim().is_empty() { otherwise.to_string() } else { text.trim().to_string() }
    };
    let id = text(model.hub_id, "");
    if id.is_empty() {
        page.notices.say(Place::Model, page.t_now().hub_id_missing);
        return;
    }
    let (revision, endpoint) = (text(model.hub_revision, "main"), text(model.hub_endpoint, HUB));
    load(page, Pick { choice: ModelChoice::Hub { id, revision, endpoint }, files: Vec::new() });
}

/// Repeats the last request, for a new worker or another device.
pub fn load_again(page: Page) {
    if let Some(pick) = page.model.picked.get_value() {
        load(page, pick);
    }
}
