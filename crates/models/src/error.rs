//! Errors of a model or an adapter for it.

use lorelei_estimate::Trainable;
use lorelei_formats::{
    FormatError,
    config::{LoraTarget, Module},
};
use lorelei_recipe::{LoraConfig, Message, RecipeError, TargetModules, message};

/// A model or an adapter that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.to_message())]
pub enum ModelError {
    /// A file of the model or adapter is broken or unsupported.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The recipe does not fit the model.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The checkpoint lacks tensors that its configuration calls for.
    Missing {
        /// Names of the missing tensors.
        missing: Vec<String>,
        /// Names of the tensors found that the model does not use.
        unexpected: Vec<String>,
    },
    /// A tensor has another shape than the configuration calls for.
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape that the model needs.
        expected: Vec<usize>,
    },
    /// A weight is NaN or infinite.
    NotFinite {
        /// Name of the tensor.
        name: String,
        /// Index of the first such value in the tensor's memory.
        index: usize,
        /// The value.
        value: f32,
    },
    /// `target_modules` selects no module.
    NoTarget {
        /// The `target_modules` of the recipe.
        targets: String,
        /// The last parts of the existing names.
        modules: Vec<String>,
    },
    /// The recipe asks for something that this model does not support.
    Unsupported(String),
    /// The adapter was made for another model or recipe.
    Adapter(String),
    /// The device failed.
    Device {
        /// What it was doing, such as `generating`.
        doing: Message,
        /// The device's message.
        reason: String,
    },
    /// The input does not fit the model.
    Input(String),
}

impl ModelError {
    /// Returns the message of the error.
    pub fn to_message(&self) -> Message {
        match self {
            Self::Format(error) => error.to_string().into(),
            Self::Recipe(error) => error.to_message(),
            Self::Missing { missing, unexpected } if unexpected.is_empty() => message!(
                "the checkpoint lacks {missing}; check that config.json and the weights belong together",
                missing = list(missing)
            ),
            Self::Missing { missing, unexpected } => message!(
                "the checkpoint lacks {missing}, and has {unexpected} instead; check that config.json and the weights belong together",
                missing = list(missing),
                unexpected = list(unexpected)
            ),
            Self::Shape { name, found, expected } => message!(
                "tensor {name} is {found} in the checkpoint, {expected} by config.json",
                name,
                ?found,
                ?expected
            ),
            Self::NotFinite { name, index, value } => message!(
                "tensor {name} has {value} at index {index}: such a model computes nothing; get the file again, or another one",
                name,
                value = value.to_string(),
                index = *index
            ),
            Self::NoTarget { targets, modules } => message!(
                "no module matches target_modules {targets}; the model has {modules}",
                targets,
                modules = list(modules)
            ),
            Self::Adapter(problem) => message!("the adapter does not fit: {problem}", problem),
            Self::Device { doing, reason } => {
                message!("the device failed while {doing}: {reason}", doing, reason)
            }
            Self::Unsupported(problem) | Self::Input(problem) => problem.as_str().into(),
        }
    }

    /// Creates the error for a device that failed while it was `doing` something.
    pub(crate) fn device(doing: Message, reason: impl std::fmt::Debug) -> Self {
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

/// Formats the first few names, and the number of the others.
pub(crate) fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}
