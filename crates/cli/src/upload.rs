//! Upload of a run's result to a hub.

use std::{cell::RefCell, path::Path};

use indicatif::ProgressBar;
use lorelei_hub::{PushEvent, Settings, Target, Uploader, result_files};
use lorelei_recipe::TrainingArguments;
use miette::{Result, WrapErr};

use crate::{hub, report};

/// Where a result is uploaded to.
pub struct Upload {
    settings: Settings,
    target: Target,
}

impl Upload {
    /// Checks the token and the name of a repository. A name without an owner is one of the token's account. Nothing is created yet.
    ///
    /// # Errors
    ///
    /// If there is no token that may write, the name is none, or the hub cannot be reached.
    pub fn new(
        repository: &str,
        branch: Option<String>,
        private: Option<bool>,
        endpoint: Option<&str>,
    ) -> Result<Self> {
        let mut settings = Settings::from_env().map_err(report)?;
        if let Some(endpoint) = endpoint {
            settings = settings.with_endpoint(endpoint).map_err(report)?;
        }
        let id = Uploader::open(&settings, print).and_then(|uploader| uploader.full_id(repository));
        let id = id.map_err(report)?;
        Ok(Self { settings, target: Target { id, branch, private } })
    }

    /// Returns where a run is to be uploaded to, with [`Upload::new`]. `None` without `push_to_hub`.
    ///
    /// # Errors
    ///
    /// The errors of [`Upload::new`].
    pub fn of(training: &TrainingArguments) -> Result<Option<Self>> {
        if !training.push_to_hub {
            return Ok(None);
        }
        let upload =
            Self::new(training.hub_name(), training.hub_revision.clone(), training.hub_private_repo, None);
        upload.map(Some).wrap_err("training.push_to_hub = true uploads the result, and that would fail")
    }

    /// Creates the repository and the branch, where they are not there.
    ///
    /// # Errors
    ///
    /// If the token may not write there, or the hub cannot be reached.
    pub fn ready(&self) -> Result<()> {
        Uploader::open(&self.settings, print)
            .and_then(|uploader| uploader.ready(&self.target))
            .map_err(report)
    }

    /// Uploads the result in a folder and says where it is.
    ///
    /// # Errors
    ///
    /// If the folder has no result, or the hub refuses it or cannot be reached.
    pub fn push(&self, folder: &Path, summary: &str) -> Result<()> {
        let result = result_files(folder).map_err(report)?;
        for notice in &result.notices {
            say_err!("note: {notice}");
        }
        let bar = RefCell::new(None::<ProgressBar>);
        let hear = |event: &PushEvent<'_>| show(&mut bar.borrow_mut(), event);
        let uploader = Uploader::open(&self.settings, hear).map_err(report)?;
        let pushed = uploader.push(&self.target, &result.files, summary).map_err(report)?;
        match pushed.is_new {
            true => say!("uploaded to {} (commit {})", pushed.address, pushed.commit),
            false => say!("{} has all of it already (commit {})", pushed.address, pushed.commit),
        }
        Ok(())
    }

    /// Uploads the result of a run that has ended.
    ///
    /// # Errors
    ///
    /// The errors of [`Upload::push`], with the command that uploads the result later.
    pub fn push_run(&self, folder: &Path) -> Result<()> {
        let Target { id, branch, private } = &self.target;
        self.push(folder, "End of training").wrap_err_with(|| {
            let private = if *private == Some(true) { " --private" } else { "" };
            let branch = branch.as_ref().map(|branch| format!(" --revision {branch}")).unwrap_or_default();
            let folder = folder.display();
            format!(
                "the result is saved in {folder}, and its upload has failed. Upload it later with\n    \
                 lorelei push {folder} {id}{private}{branch}\nThe reason"
            )
        })
    }
}

/// Prints what happens before there is anything to show a bar of.
fn print(event: &PushEvent<'_>) {
    show(&mut None, event);
}

/// Shows what happens, with a bar for the file that is being sent.
fn show(bar: &mut Option<ProgressBar>, event: &PushEvent<'_>) {
    let line = match event {
        PushEvent::Progress { file, done, total } => {
            let bar = bar.get_or_insert_with(|| hub::bar(file));
            bar.set_length(*total);
            bar.set_position(*done);
            return;
        }
        PushEvent::Sent { .. } => {
            if let Some(bar) = bar.take() {
                bar.finish();
            }
            return;
        }
        PushEvent::Present { .. } => return,
        PushEvent::Ignored { file } => {
            format!("warning: {file} is left out: the .gitignore of the repository names it")
        }
        PushEvent::Retry { reason, wait } => {
            format!("{reason}; the next attempt is in {:.0} s", wait.as_secs_f64().ceil())
        }
    };
    match bar {
        Some(bar) => bar.suspend(|| say_err!("{line}")),
        None => say_err!("{line}"),
    }
}
