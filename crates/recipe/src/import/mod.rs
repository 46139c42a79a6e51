//! Import of a recipe from other formats: a piece of Python or a notebook, PEFT's `adapter_config.json`, a YAML or JSON file of
//! LLaMA-Factory, mlx-lm, axolotl, TRL or torchtune. Settings that cannot be imported are listed with the reason; nothing is dropped silently.

mod axolotl;
mod collect;
mod detect;
mod keys;
mod llama_factory;
mod mlx_lm;
mod peft_python;
mod python;
mod torchtune;
mod trl;
mod trl_yaml;

use crate::fields::{self, Table};
use crate::source::{Entry, Node, Source, Value};
use crate::{Recipe, RecipeError, Warning};

use collect::Collector;

/// Maximum length of a text, in bytes.
const MAX_TEXT: usize = 1 << 20;

/// Maximum length of a notebook with its outputs, in bytes.
const MAX_NOTEBOOK: usize = 64 << 20;

/// Format that was detected for a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportFormat {
    /// Lorelei's own recipe, in TOML or JSON.
    Recipe,
    /// Python, or a notebook, with `LoraConfig(...)`, `TrainingArguments(...)`, `SFTTrainer(...)`.
    Python,
    /// `adapter_config.json`, or other JSON with keys of `LoraConfig` and `TrainingArguments`.
    Json,
    /// LLaMA-Factory's YAML.
    LlamaFactory,
    /// mlx-lm's YAML.
    MlxLm,
    /// axolotl's YAML.
    Axolotl,
    /// TRL's YAML (`trl sft --config`).
    Trl,
    /// torchtune's YAML.
    Torchtune,
}

impl ImportFormat {
    /// Returns the format's name in a message.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recipe => "a recipe",
            Self::Python => "Python",
            Self::Json => "PEFT's and Transformers' JSON",
            Self::LlamaFactory => "LLaMA-Factory's YAML",
            Self::MlxLm => "mlx-lm's YAML",
            Self::Axolotl => "axolotl's YAML",
            Self::Trl => "TRL's YAML",
            Self::Torchtune => "torchtune's YAML",
        }
    }

    /// Returns the name of the trainer whose format it is; that of the format if it is no trainer's alone.
    fn trainer(self) -> &'static str {
        match self {
            Self::LlamaFactory => "LLaMA-Factory",
            Self::MlxLm => "mlx-lm",
            Self::Axolotl => "axolotl",
            Self::Trl => "TRL",
            Self::Torchtune => "torchtune",
            Self::Recipe | Self::Python | Self::Json => self.name(),
        }
    }
}

/// An imported recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The recipe, which is valid. A setting that the text does not give has the default of the text's format.
    pub recipe: Recipe,
    /// Format that was detected for the text.
    pub format: ImportFormat,
    /// Settings that were not imported, each with its place and the reason.
    pub left_out: Vec<Warning>,
    /// Warnings about settings that were imported.
    pub warnings: Vec<Warning>,
}

impl Imported {
    /// Imports `text` and detects its format. Errors and warnings call it `file_name`.
    ///
    /// # Errors
    /// If the text is too long, cannot be read, or has no known setting.
    pub fn from_text(text: &str, file_name: &str) -> Result<Imported, RecipeError> {
        let source = Source::new(file_name, text);
        let refuse = |message: String| source.locate(None, RecipeError::new("", message).with_help(TAKEN));
        if let Some(notebook) = notebook(&source)? {
            return match peft_python::import_notebook(file_name, &notebook)? {
                Some(imported) => Ok(imported),
                None => Err(refuse(
                    "there is no LoraConfig(...) or TrainingArguments(...) in its code cells".into(),
                )),
            };
        }
        if text.len() > MAX_TEXT {
            return Err(refuse(format!(
                "the text is {} bytes long; at most {MAX_TEXT} are read",
                text.len()
            )));
        }
        let begins_with = |sign: char| source.text.trim_start().starts_with(sign);
        let is_named = |endings: &[&str]| endings.iter().any(|ending| file_name.ends_with(ending));
        if is_named(&[".toml"]) {
            return Recipe::from_toml(text, file_name).map(recipe);
        }
        if begins_with('{') || is_named(&[".json"]) {
            let entries = source.json()?;
            // mlx-lm's files have `model` and `data` too, as texts.
            let is_recipe = |entry: &Entry| {
                is_table(&entry.name) && matches!(entry.node.value, Value::Table(_) | Value::Null)
            };
            return match entries.iter().any(is_recipe) {
                true => Recipe::from_json(text, file_name).map(recipe),
                false => trainer(&source, &entries),
            };
        }
        if !is_named(&[".yaml", ".yml"]) {
            if let Some(imported) = peft_python::import(&source)? {
                return Ok(imported);
            }
            if is_named(&[".py", ".ipynb"]) {
                return Err(refuse("there is no LoraConfig(...) or TrainingArguments(...) in it".into()));
            }
            let tables =
                || source.toml().is_ok_and(|entries| entries.iter().any(|entry| is_table(&entry.name)));
            if begins_with('[') && tables() {
                return Recipe::from_toml(text, file_name).map(recipe);
            }
        }
        trainer(&source, &source.yaml()?)
    }
}

const TAKEN: &str = "LoraConfig(...) and TrainingArguments(...) in Python or a notebook, adapter_config.json, and YAML or JSON of LLaMA-Factory, \
    mlx-lm, axolotl, TRL and torchtune can be read";

/// Imports a file of keys as that of the trainer whose keys it has.
fn trainer(source: &Source<'_>, entries: &[Entry]) -> Result<Imported, RecipeError> {
    let Some(detected) = detect::detect(entries) else { return flat(source, entries) };
    let mut imported = match detected.format {
        ImportFormat::LlamaFactory => llama_factory::import(source, entries),
        ImportFormat::MlxLm => mlx_lm::import(source, entries),
        ImportFormat::Axolotl => axolotl::import(source, entries),
        ImportFormat::Trl => trl_yaml::import(source, entries),
        ImportFormat::Torchtune => torchtune::import(source, entries),
        ImportFormat::Recipe | ImportFormat::Python | ImportFormat::Json => flat(source, entries),
    }?;
    for (other, marks) in detected.others {
        let message = format!(
            "it was read as {}'s, and has keys of {other} too: {}",
            detected.format.trainer(),
            marks.join(", ")
        );
        imported.warnings.insert(0, source.locate_warning(None, Warning::new("", message)));
    }
    Ok(imported)
}

/// Reads the code of a text that is a Jupyter notebook. Its outputs may be long, and are passed over.
fn notebook(source: &Source<'_>) -> Result<Option<python::notebook::Notebook>, RecipeError> {
    let is_named = source.file.ends_with(".ipynb");
    let is_json = source.text.trim_start().starts_with('{');
    if !is_json || !is_named && !source.text.contains("\"nbformat\"") {
        return Ok(None);
    }
    let refuse = |message: String| source.locate(None, RecipeError::new("", message));
    if source.text.len() > MAX_NOTEBOOK {
        return Err(refuse(format!(
            "the notebook is {} bytes long; at most {MAX_NOTEBOOK} are read",
            source.text.len()
        )));
    }
    match python::notebook::read(source.text) {
        Ok(notebook) if notebook.text.len() > MAX_TEXT => Err(refuse(format!(
            "the notebook's code is {} bytes long; at most {MAX_TEXT} are read",
            notebook.text.len()
        ))),
        Ok(notebook) => Ok(Some(notebook)),
        Err(_) if !is_named => Ok(None),
        Err(error) => Err(refuse(format!("this is no notebook that can be read: {error}"))
            .with_help("save it in Jupyter's format 4, or as a Python script")),
    }
}

fn recipe((recipe, warnings): (Recipe, Vec<Warning>)) -> Imported {
    Imported { recipe, format: ImportFormat::Recipe, left_out: Vec::new(), warnings }
}

fn is_table(name: &str) -> bool {
    Table::ALL.iter().any(|table| table.name() == name)
}

/// Imports keys of `LoraConfig` and `TrainingArguments` side by side. `adapter_config.json` is one case.
fn flat(source: &Source<'_>, entries: &[Entry]) -> Result<Imported, RecipeError> {
    let is_kept = |name: &str| {
        name == "base_model_name_or_path"
            || Table::ALL
                .into_iter()
                .any(|table| fields::find(table, name).is_some_and(|field| field.kind.is_kept()))
    };
    if !entries.iter().any(|entry| is_kept(&entry.name)) {
        let error = RecipeError::new("", "there is no setting in it that is known").with_help(TAKEN);
        return Err(source.locate(None, error));
    }
    let mut collector = Collector::new(source);
    for Entry { name, at, node } in entries {
        match (name.as_str(), &node.value) {
            ("base_model_name_or_path", Value::Text(_)) => {
                collector.take(Table::Model, "model_name_or_path", *at, node);
            }
            _ => match [Table::Lora, Table::Training, Table::Model, Table::Data]
                .into_iter()
                .find(|table| fields::find(*table, name).is_some())
            {
                Some(table) => collector.take(table, name, *at, node),
                None => collector.leave_unknown(name, *at),
            },
        }
    }
    collector.finish(ImportFormat::Json)
}

/// Creates a value that replaces another one of the text, at its place.
fn node_of(from: &Node, value: Value) -> Node {
    Node { span: from.span.clone(), value }
}
