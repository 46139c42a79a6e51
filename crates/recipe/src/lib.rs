//! The description of a training run as data.
//!
//! A [`Recipe`] describes a run completely: the model, the data, the adapter ([`LoraConfig`]) and the training
//! ([`TrainingArguments`]). Its names and defaults are those of PEFT's `LoraConfig` and Transformers'
//! `TrainingArguments`, so that configurations written for those can be read here. A setting of theirs that Lorelei
//! does not have is never "unknown": [`fields`] lists all of them. Such a setting either gives a warning that it has
//! no effect here, or is refused with the reason.
//!
//! The crate converts text to values. It does not open files, use devices or depend on the tensor library, so the
//! page, the worker and the program read a recipe with the same code and report the same errors.
//!
//! ```
//! use lorelei_recipe::Recipe;
//!
//! let text = "[model]\nmodel_name_or_path = \"builtin:tiny\"\n[lora]\nr = 16\n";
//! let (mut recipe, warnings) = Recipe::from_toml(text, "recipe.toml")?;
//! recipe.set("training.learning_rate=2e-4")?;
//! assert_eq!((recipe.lora.r, recipe.training.learning_rate), (16, 2e-4));
//! assert!(warnings.is_empty());
//!
//! // An error has its place and a way out.
//! let error = Recipe::from_toml("[lora]\nlora_aplha = 8", "recipe.toml").unwrap_err();
//! assert_eq!((error.line, error.help.as_deref()), (2, Some("did you mean \"lora_alpha\"?")));
//! # Ok::<(), lorelei_recipe::RecipeError>(())
//! ```
//!
//! [`Imported`] makes a recipe of another trainer's configuration, and lists what it left out:
//!
//! ```
//! use lorelei_recipe::Imported;
//!
//! let script = "LoraConfig(r=64, lora_alpha=16)\nTrainingArguments('out', learning_rate=rate())";
//! let imported = Imported::from_text(script, "train.py")?;
//! assert_eq!(imported.recipe.lora.r, 64);
//! assert_eq!(imported.left_out[0].key, "learning_rate");
//! # Ok::<(), lorelei_recipe::RecipeError>(())
//! ```

mod choice;
mod data;
mod error;
pub mod fields;
mod host;
mod hub_id;
mod import;
mod kind;
mod link;
mod lora;
mod markdown;
mod message;
mod model;
mod number;
mod optimizer_names;
mod peft;
mod plan;
mod read;
mod recipe;
mod resume;
mod rules;
mod schedule;
mod set;
mod setting;
mod source;
mod suggest;
mod targets;
mod text;
mod training;
mod training_choices;
mod unmatched;
mod validate;
mod write;
mod write_python;

pub use data::{COMPRESSED_ENDINGS, DATA_FILE_ENDINGS, DataSection, OnBadRow, SampleBy, TruncationSide};
pub use error::{RecipeError, Warning};
pub use host::{Effect, HostKind, Limit, Unhonoured};
pub use hub_id::{HubId, id_and_revision, owner_and_name};
pub use import::{ImportFormat, Imported};
pub use kind::{Bounds, FORM_FIELDS, Kind, ROW_FIELDS};
pub use link::{decode_link, encode_link};
pub use lora::{Bias, InitLoraWeights, LoraConfig, TaskType, TokenIndices};
pub use markdown::features_markdown;
pub use message::{Message, filled};
pub use model::{ModelDtype, ModelSection};
pub use optimizer_names::OptimizerNames;
pub use peft::{PEFT_VERSION, PeftConfig};
pub use plan::StepPlan;
pub use recipe::Recipe;
pub use rules::{Hint, hints, table_texts};
pub use schedule::{LrSchedulerKwargs, LrSchedulerType, Ramp, Schedule, learning_rate};
pub use targets::{TargetModules, default_target_modules};
pub use text::Bilingual;
pub use training::TrainingArguments;
pub use training_choices::{FinetuningType, IntervalStrategy, ReportTo, SamplingStrategy};
pub use unmatched::Unmatched;
