//! Errors of a model or an adapter for it.

use lorelei_estimate::Trainable;
use lorelei_formats::{
    FormatError,
    config::{LoraTarget, Module},
};
use lorelei_recipe::{LoraConfig, RecipeError, TargetModules};

/// A model or an adapter that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file of the model or adapter is broken or unsupported.
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
        /// Names of the missing tensors.
        missing: Vec<String>,
        /// Names of the tensors found that the model does not use.
        unexpected: Vec<String>,
    },
    /// A tensor has another shape than the configuration calls for.
    #[error("tensor {name} is {found:?} in the checkpoint, {expected:?} by config.json")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape that the model needs.
        expected: Vec<usize>,
    },
    /// A weight is NaN or infinite.
    #[error(
        "tensor {name} has {value} at index {index}: such a model computes nothing; get the file again, or another one"
    )]
    NotFinite {
        /// Name of the tensor.
        name: String,
        /// Index of the first such value in the tensor's memory.
        index: usize,
        /// The value.
        value: f32,
    },
    /// `target_modules` selects no module.
    #[error("no module matches target_modules {targets}; the model has {}", list(.modules))]
    NoTarget {
        /// The `target_modules` of the recipe.
        targets: String,
        /// The last parts of the existing names.
        modules: Vec<String>,
    },
    /// The recipe asks for something that this model does not support.
    #[error("{0}")]
    Unsupported(String),
    /// The adapter was made for another model or recipe.
    #[error("the adapter does not fit: {0}")]
    Adapter(String),
    /// The device failed.
    #[error("the device failed while {doing}: {reason}")]
    Device {
        /// What it was doing, such as `generating`.
        doing: &'static str,
        /// The device's message.
        reason: String,
    },
    /// The input does not fit the model.
    #[error("{0}")]
    Input(String),
}

impl ModelError {
    /// Creates the error for a device that failed while it was `doing` something.
    pub(crate) fn device(doing: &'static str, reason: impl std::fmt::Debug) -> Self {
        Self::Device { doing, reason: format!("{reason:?}") }
    }

    /// Creates the error for `target_modules` that select none of `modules`, with the names that exist; or that of another setting which takes
    /// away all that they select.
    pub fn no_target(lora: &LoraConfig, modules: &[Module]) -> Self {
        if let Some(error) = Trainable::deselected(lora, modules) {
            return error.into();
        }
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

/// Formats the first few names, and the number of the others.
pub(crate) fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}
