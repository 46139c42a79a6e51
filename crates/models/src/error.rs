//! What can be wrong with a model or an adapter for it.

use lorelei_formats::{
    FormatError,
    config::{LoraTarget, Module},
};
use lorelei_recipe::{LoraConfig, RecipeError, TargetModules};

/// A model or an adapter that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file is not what it should be.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The recipe does not fit the model.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The checkpoint lacks tensors that its configuration calls for.
    #[error(
        "the checkpoint lacks {}{}; check that config.json and the weights belong together",
        list(.missing), but_has(.unexpected)
    )]
    Missing {
        /// What it lacks.
        missing: Vec<String>,
        /// What it has instead.
        unexpected: Vec<String>,
    },
    /// A tensor has another shape than the configuration says.
    #[error("tensor {name} is {found:?} in the checkpoint, {expected:?} by config.json")]
    Shape {
        /// Its name.
        name: String,
        /// What the file has.
        found: Vec<usize>,
        /// What the model needs.
        expected: Vec<usize>,
    },
    /// `target_modules` selects nothing.
    #[error("no module matches target_modules {targets}; the model has {}", list(.modules))]
    NoTarget {
        /// What was asked for.
        targets: String,
        /// The last parts of the names that there are.
        modules: Vec<String>,
    },
    /// The recipe asks for something that this model cannot do.
    #[error("{0}")]
    Unsupported(String),
    /// The adapter was made for another model or recipe.
    #[error("the adapter does not fit: {0}")]
    Adapter(String),
    /// The input does not fit the model.
    #[error("{0}")]
    Input(String),
}

impl ModelError {
    /// Says that `target_modules` select none of `modules`, and what there is.
    pub fn no_target(lora: &LoraConfig, modules: &[Module]) -> Self {
        let targets = match &lora.target_modules {
            Some(TargetModules::List(names)) => names.join(", "),
            Some(TargetModules::Pattern(pattern)) => pattern.clone(),
            None => String::new(),
        };
        let mut known: Vec<String> = Vec::new();
        for module in modules.iter().filter(|module| module.lora_target() == LoraTarget::AllLinear) {
            if !known.iter().any(|name| name == module.last_name()) {
                known.push(module.last_name().to_owned());
            }
        }
        Self::NoTarget { targets, modules: known }
    }
}

fn but_has(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(", and has {} instead", list(names)) }
}

/// The first few names, and how many more there are.
pub(crate) fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}
