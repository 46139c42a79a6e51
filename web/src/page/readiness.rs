//! Conditions of the user's actions, and their obstacles.

use leptos::prelude::*;
use lorelei_recipe::OnBadRow;

use super::data;
use super::run::Status;
use super::state::Page;
use super::trainer::Life;
use crate::logic::texts::fill;

impl Page {
    /// Whether the trainer does work that must not be interrupted.
    pub fn is_engaged(self) -> bool {
        untrack(move || self.is_engaged_tracked())
    }

    /// Like [`Page::is_engaged`], but tracked, for a view.
    pub fn is_engaged_tracked(self) -> bool {
        self.trainer.life.with(|life| *life != Life::Ready)
            || self.model.loading.with(Option::is_some)
            || self.answers.going.get()
            || self.run.status.get().is_active()
    }

    /// Returns why a run cannot start now, or `None` where it can.
    pub fn obstacle(self) -> Option<String> {
        let t = self.t();
        match self.trainer.life.get() {
            Life::Loading => return Some(t.wait_trainer.into()),
            Life::Dead(_) => return Some(t.trainer_dead.into()),
            Life::Ready => {}
        }
        if self.run.status.get().is_active() {
            return Some(t.wait_run.into());
        }
        if self.answers.going.get() {
            return Some(t.wait_answer.into());
        }
        if let Some(name) = self.model.loading.get() {
            return Some(fill(t.wait_model, &[("model", &name)]));
        }
        self.model_obstacle().or_else(|| self.data_obstacle())
    }

    /// Returns why the recipe's model is not loaded, or `None` where it is.
    pub fn model_obstacle(self) -> Option<String> {
        let t = self.t();
        let wanted =
            self.form.recipe.with(|recipe| recipe.model.model_name_or_path.clone().unwrap_or_default());
        let Some(loaded) = self.model.name() else { return Some(fill(t.need_model, &[("wanted", &wanted)])) };
        (loaded != wanted).then(|| fill(t.other_model, &[("wanted", &wanted), ("loaded", &loaded)]))
    }

    /// Returns which of the recipe's files is missing, or `None` where all are there.
    pub fn missing_data(self) -> Option<String> {
        let t = self.t();
        let (train, validation) = self
            .form
            .recipe
            .with(|recipe| (recipe.data.train_file.clone(), recipe.data.validation_file.clone()));
        if self.data.train.with(Option::is_none) {
            return Some(fill(t.need_file, &[("file", &train.unwrap_or_default())]));
        }
        let held = self.data.validation.with(|file| file.as_ref().map(web_sys::File::name));
        validation
            .filter(|name| held.as_ref() != Some(name))
            .map(|name| fill(t.need_validation, &[("file", &name)]))
    }

    fn data_obstacle(self) -> Option<String> {
        let t = self.t();
        if let Some(missing) = self.missing_data() {
            return Some(missing);
        }
        if self.form.verdict.with(|verdict| !verdict.is_good()) {
            return Some(t.mend_form.into());
        }
        let wanted = data::question(self);
        let stops = self.form.recipe.with(|recipe| recipe.data.on_bad_row == OnBadRow::Error);
        self.data.read.with(|read| match read {
            Some((question, info)) if Some(question) == wanted.as_ref() => match info {
                None => Some(t.data_unread.to_string()),
                Some(info) if !info.bad_rows.is_empty() && (stops || info.train_rows == 0) => {
                    Some(t.mend_rows.to_string())
                }
                Some(info) if info.train_rows == 0 => Some(t.no_rows.to_string()),
                Some(_) => None,
            },
            _ => Some(t.wait_data.to_string()),
        })
    }
}

impl Status {
    /// Whether there is a run that has not ended.
    pub fn is_active(self) -> bool {
        matches!(self, Status::Starting | Status::Running | Status::Paused | Status::Stopping)
    }
}
