//! The data: the user's choice, and the trainer's information about it.

use std::sync::Arc;
use std::time::Duration;

use leptos::leptos_dom::helpers::TimeoutHandle;
use leptos::prelude::*;
use lorelei_protocol::{DataChoice, DataInfo, Request};
use lorelei_recipe::{DataSection, TaskType};
use web_sys::File;

use super::notice::Place;
use super::state::Page;

/// The data set that the worker carries.
pub const BUILTIN: &str = "builtin:english";
/// Number of rows that are shown as tokens.
const PREVIEW_ROWS: usize = 3;
/// Time for which the form must not change before the data is read anew.
const REST: Duration = Duration::from_millis(400);

/// The source of the training rows.
#[derive(Debug, Clone)]
pub enum Source {
    /// [`BUILTIN`].
    Builtin,
    /// A file from the user.
    File(File),
}

impl Source {
    /// Returns the source's name in the recipe.
    pub fn name(&self) -> String {
        match self {
            Source::Builtin => BUILTIN.into(),
            Source::File(file) => file.name(),
        }
    }
}

/// Everything that the result of reading the data depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    section: DataSection,
    task_type: Option<TaskType>,
    seed: u64,
    model: u32,
    choice: u32,
}

/// The page's state of the data.
#[derive(Clone, Copy)]
pub struct Data {
    /// The training data.
    pub train: RwSignal<Option<Source>, LocalStorage>,
    /// The evaluation data, if it is a file of its own.
    pub validation: RwSignal<Option<File>, LocalStorage>,
    /// Number of choices so far, as two files may have the same name.
    pub choice: RwSignal<u32>,
    /// The question that the trainer answered last, with the information about the data; `None` in its place where the data could not be read.
    pub read: RwSignal<Option<(Question, Option<Arc<DataInfo>>)>>,
    /// The question that the trainer is working on.
    pub asked: RwSignal<Option<Question>>,
    timer: StoredValue<Option<TimeoutHandle>>,
}

impl Data {
    /// Creates the state with the built-in data set.
    pub fn new() -> Self {
        Self {
            train: RwSignal::new_local(Some(Source::Builtin)),
            validation: RwSignal::new_local(None),
            choice: RwSignal::new(0),
            read: RwSignal::new(None),
            asked: RwSignal::new(None),
            timer: StoredValue::new(None),
        }
    }

    /// Returns the information about the data that was read last, whether or not the form has changed since.
    pub fn info(self) -> Option<Arc<DataInfo>> {
        self.read.with(|read| read.as_ref().and_then(|(_, info)| info.clone()))
    }

    fn chosen(self) {
        self.choice.update(|count| *count += 1);
    }
}

/// Chooses the training data, and names it in the recipe.
pub fn choose_train(page: Page, source: Source) {
    let name = source.name();
    page.notices.clear(Place::Data);
    page.data.train.set(Some(source));
    page.form.change(|recipe| recipe.data.train_file = Some(name));
    page.data.chosen();
}

/// Chooses the evaluation data, and names it in the recipe.
pub fn choose_validation(page: Page, file: Option<File>) {
    let name = file.as_ref().map(File::name);
    page.data.validation.set(file);
    page.form.change(|recipe| recipe.data.validation_file = name);
    page.data.chosen();
}

/// Adapts the choice to a recipe that came from elsewhere. Files do not come with a recipe: a named file that is not there has to be chosen by the
/// user.
pub fn follow_recipe(page: Page) {
    let (train, validation) = page
        .form
        .recipe
        .with_untracked(|recipe| (recipe.data.train_file.clone(), recipe.data.validation_file.clone()));
    let data = page.data;
    let held = data.train.with_untracked(|held| held.as_ref().map(Source::name));
    match (train, held) {
        (Some(name), _) if name == BUILTIN => data.train.set(Some(Source::Builtin)),
        (None, None) => choose_train(page, Source::Builtin),
        (None, held) => page.form.change(|recipe| recipe.data.train_file = held),
        (Some(name), Some(held)) if name == held => {}
        (Some(_), _) => data.train.set(None),
    }
    if !data.validation.with_untracked(|held| held.as_ref().map(File::name) == validation) {
        data.validation.set(None);
    }
    data.chosen();
}

/// Returns the question that would have to be answered now, or `None` where a part of it is missing.
pub fn question(page: Page) -> Option<Question> {
    let choice = page.data.choice.get();
    let ready = page.model.info.with(Option::is_some) && page.data.train.with(Option::is_some);
    let validation = page.data.validation.with(|file| file.as_ref().map(File::name));
    let (section, task_type, seed) =
        page.form.recipe.with(|recipe| (recipe.data.clone(), recipe.lora.task_type, recipe.training.seed));
    let sound = !page.form.verdict.with(|verdict| verdict.has_errors_in("data"));
    // A recipe may name a file that was never chosen.
    let complete = section.validation_file == validation;
    (ready && sound && complete).then(|| Question {
        section,
        task_type,
        seed,
        model: page.model.count.get(),
        choice,
    })
}

/// Reads the data whenever the question has changed and then been unchanged for a while.
pub fn keep_reading(page: Page) {
    let wanted = Memo::new(move |_| question(page));
    Effect::new(move |_| {
        let free = !page.is_engaged_tracked() && page.data.asked.with(Option::is_none);
        let Some(wanted) = wanted.get() else { return };
        let done = page.data.read.with(|read| read.as_ref().is_some_and(|(question, _)| *question == wanted));
        page.data.timer.update_value(|timer| {
            if let Some(timer) = timer.take() {
                timer.clear();
            }
            if free && !done {
                *timer = set_timeout_with_handle(move || ask(page, wanted), REST).ok();
            }
        });
    });
}

fn ask(page: Page, question: Question) {
    if page.is_engaged() || page.data.asked.with_untracked(Option::is_some) {
        return;
    }
    let mut files = Vec::new();
    let mut file = |file: File| {
        let choice = DataChoice::File { index: files.len(), name: file.name() };
        files.push(file);
        choice
    };
    let train = match page.data.train.get_untracked() {
        Some(Source::File(held)) => file(held),
        Some(Source::Builtin) => DataChoice::Builtin { name: BUILTIN.into() },
        None => return,
    };
    let validation = page.data.validation.get_untracked().map(file);
    let (section, task_type, seed) = (question.section.clone(), question.task_type, question.seed);
    let request = Request::Preview { train, validation, section, task_type, seed, rows: PREVIEW_ROWS };
    if page.trainer.send(&request, &files) {
        page.data.asked.set(Some(question));
    }
}
