//! Which files of a run's folder are uploaded.

use std::{fs, path::Path};

use lorelei_recipe::Recipe;
use serde_json::Value as Json;

use super::contents::{Contents, UploadFile};
use crate::{error::Problem, names};

/// Configuration and weights of an adapter.
const ADAPTER: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];
const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const RECIPE: &str = "recipe.toml";
/// What goes along where it is there.
const COMPANIONS: [&str; 18] = [
    "README.md",
    "labels.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "LICENSE",
    "NOTICE",
];

/// What is uploaded of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultFiles {
    /// The files.
    pub files: Vec<UploadFile>,
    /// What readers of the repository will miss, or will not find.
    pub notices: Vec<String>,
}

/// Returns the files of a run's result: an adapter's or a model's, with the tokenizer, the labels and the model card, and the recipe without the folders
/// of this machine. Checkpoints, logs, hidden files and all others stay where they are. Links to other places are not followed.
///
/// # Errors
///
/// If the folder has no result, or a part of it is missing.
pub fn result_files(folder: &Path) -> Result<ResultFiles, Problem> {
    let is_file = |name: &str| fs::symlink_metadata(folder.join(name)).is_ok_and(|found| found.is_file());
    let (has_adapter, has_model) = (is_file(ADAPTER[0]), is_file(CONFIG));
    let mut wanted: Vec<String> = Vec::new();
    if has_adapter {
        wanted.extend(ADAPTER.map(str::to_owned));
    } else if has_model {
        wanted.push(CONFIG.to_owned());
        wanted.extend(weights(folder, is_file(INDEX))?);
    } else {
        return Err(Problem::Refused(format!(
            "{} has neither {} nor {CONFIG} and so no result to upload: has the run ended, and is this its output_dir? A checkpoint in it can be \
             named itself",
            folder.display(),
            ADAPTER[0]
        )));
    }
    if let Some(missing) = wanted.iter().find(|name| !is_file(name)) {
        return Err(Problem::Refused(format!(
            "{} has no file {missing}: the result is not whole",
            folder.display()
        )));
    }
    wanted.extend(COMPANIONS.iter().filter(|name| is_file(name)).map(|name| (*name).to_owned()));
    let in_folder = |name: String| UploadFile { contents: Contents::Path(folder.join(&name)), name };
    let mut result = ResultFiles { files: wanted.into_iter().map(in_folder).collect(), notices: Vec::new() };
    if is_file(RECIPE) {
        result.add_recipe(&folder.join(RECIPE))?;
    }
    if has_adapter {
        result.check_base(&folder.join(ADAPTER[0]))?;
    }
    Ok(result)
}

impl ResultFiles {
    /// Adds the recipe without this machine's folders.
    fn add_recipe(&mut self, path: &Path) -> Result<(), Problem> {
        match Recipe::from_toml(&text(path)?, RECIPE) {
            Ok((recipe, _)) => {
                let contents = Contents::Bytes(recipe.without_folders().to_toml().into_bytes());
                self.files.push(UploadFile { name: RECIPE.to_owned(), contents });
            }
            Err(error) => {
                self.notices.push(format!("{RECIPE} is left out, because it cannot be read: {error}"))
            }
        }
        Ok(())
    }

    /// Notes that an adapter's base is one that nobody else finds.
    fn check_base(&mut self, path: &Path) -> Result<(), Problem> {
        let config: Json = serde_json::from_str(&text(path)?)
            .map_err(|error| Problem::Refused(format!("{} is not JSON: {error}", path.display())))?;
        let base = config.get("base_model_name_or_path").and_then(Json::as_str).unwrap_or_default();
        if lorelei_recipe::HubId::parse(base).is_none() {
            self.notices.push(format!(
                "adapter_config.json names the base model {base:?}, which is no hub id: others have to be told which model it is"
            ));
        }
        Ok(())
    }
}

/// Returns the names of a model's files of weights, with their index.
fn weights(folder: &Path, has_index: bool) -> Result<Vec<String>, Problem> {
    if !has_index {
        return Ok(vec![WEIGHTS.to_owned()]);
    }
    let path = folder.join(INDEX);
    let index: Json = serde_json::from_str(&text(&path)?)
        .map_err(|error| Problem::Refused(format!("{} is not JSON: {error}", path.display())))?;
    let shards = index.get("weight_map").and_then(Json::as_object).into_iter().flatten();
    let mut shards: Vec<String> = shards.filter_map(|(_, shard)| shard.as_str().map(str::to_owned)).collect();
    shards.sort_unstable();
    shards.dedup();
    for shard in &shards {
        names::file_name(shard)?;
        if shard.contains('/') {
            return Err(Problem::Refused(format!(
                "{} names {shard:?}, which is in another folder",
                path.display()
            )));
        }
    }
    shards.push(INDEX.to_owned());
    Ok(shards)
}

fn text(path: &Path) -> Result<String, Problem> {
    fs::read_to_string(path).map_err(Problem::storage("read", path))
}
