//! A recipe made from what someone has already: a piece of Python, PEFT's `adapter_config.json`, a YAML file of
//! LLaMA-Factory or mlx-lm. What could not be carried over is listed with its reason; nothing is dropped in silence.

mod collect;
mod llama_factory;
mod mlx_lm;
mod peft_python;
mod python;
mod python_tokens;

use crate::fields::{self, Table};
use crate::source::{Entry, Node, Source, Value};
use crate::{Recipe, RecipeError, Warning};

use collect::Collector;

/// Longest text that is read, in bytes.
const MAX_TEXT: usize = 1 << 20;

/// What a text was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportFormat {
    /// A recipe of our own, TOML or JSON.
    Recipe,
    /// `LoraConfig(...)`, `TrainingArguments(...)`, `SFTConfig(...)`.
    Python,
    /// `adapter_config.json`, or other JSON with keys of `LoraConfig` and `TrainingArguments`.
    Json,
    /// LLaMA-Factory's YAML.
    LlamaFactory,
    /// mlx-lm's YAML.
    MlxLm,
}

impl ImportFormat {
    /// Its name in a message.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recipe => "a recipe",
            Self::Python => "Python",
            Self::Json => "PEFT's and Transformers' JSON",
            Self::LlamaFactory => "LLaMA-Factory's YAML",
            Self::MlxLm => "mlx-lm's YAML",
        }
    }
}

/// A recipe that was made from something else.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// A valid one. What the text does not say has the default that it has there.
    pub recipe: Recipe,
    /// What the text was taken for.
    pub format: ImportFormat,
    /// Settings that were not carried over, each with its place and the reason.
    pub left_out: Vec<Warning>,
    /// What was carried over and is worth knowing.
    pub warnings: Vec<Warning>,
}

impl Imported {
    /// Reads `text`, which errors and lists call `file_name`, and finds out by itself what it is.
    ///
    /// # Errors
    /// If it is too long, cannot be read, or has no setting that is known.
    pub fn from_text(text: &str, file_name: &str) -> Result<Imported, RecipeError> {
        let source = Source::new(file_name, text);
        let refuse = |message: String| source.locate(None, RecipeError::new("", message).with_help(TAKEN));
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
            return match entries.iter().any(|entry| is_table(&entry.name)) {
                true => Recipe::from_json(text, file_name).map(recipe),
                false => flat(&source, &entries),
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
        let entries = source.yaml()?;
        let has = |names: &[&str]| entries.iter().any(|entry| names.contains(&entry.name.as_str()));
        match () {
            () if has(mlx_lm::MARKS) => mlx_lm::import(&source, &entries),
            () if has(llama_factory::MARKS) => llama_factory::import(&source, &entries),
            () => flat(&source, &entries),
        }
    }
}

const TAKEN: &str = "LoraConfig(...) and TrainingArguments(...) in Python, adapter_config.json, and YAML of LLaMA-Factory and mlx-lm \
    can be read";

fn recipe((recipe, warnings): (Recipe, Vec<Warning>)) -> Imported {
    Imported { recipe, format: ImportFormat::Recipe, left_out: Vec::new(), warnings }
}

fn is_table(name: &str) -> bool {
    Table::ALL.iter().any(|table| table.name() == name)
}

/// Keys of `LoraConfig` and `TrainingArguments` side by side; `adapter_config.json` is one case.
fn flat(source: &Source<'_>, entries: &[Entry]) -> Result<Imported, RecipeError> {
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

/// A value that stands for another one of the text.
fn node_of(from: &Node, value: Value) -> Node {
    Node { span: from.span.clone(), value }
}
