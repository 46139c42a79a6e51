//! `lorelei push`: a run's result to a repository on a hub.

use std::path::PathBuf;

use miette::Result;

use crate::{report, upload::Upload};

/// Arguments of `lorelei push`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The folder of a run, an adapter or a whole model. Of a run only the result goes: no checkpoints, no logs.
    run: PathBuf,
    /// The repository: OWNER/NAME, or NAME under the account of the token (HF_TOKEN, or that of `hf auth login`).
    #[arg(value_name = "OWNER/NAME")]
    repository: String,
    /// Make a new repository private, and upload to no public one.
    #[arg(long)]
    private: bool,
    /// The branch; it is made where it is not there. Absent, main.
    #[arg(long, value_name = "BRANCH")]
    revision: Option<String>,
    /// Address of the hub; absent, that of HF_ENDPOINT, or Hugging Face's.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
}

/// Runs the command.
///
/// # Errors
///
/// If the folder has no result, there is no token that may write, or the hub refuses the upload or cannot be reached.
pub fn run(arguments: &Arguments) -> Result<()> {
    // A folder without a result is told before the hub is asked.
    lorelei_hub::result_files(&arguments.run).map_err(report)?;
    let private = arguments.private.then_some(true);
    let upload = Upload::new(
        &arguments.repository,
        arguments.revision.clone(),
        private,
        arguments.endpoint.as_deref(),
    )?;
    upload.push(&arguments.run, "Upload with lorelei push")
}
