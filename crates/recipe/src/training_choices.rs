//! The words that the settings of [`TrainingArguments`](crate::TrainingArguments) choose from.

use crate::choice::choices;
use crate::kind::Kind;

choices! {
    /// What is trained.
    #[derive(Default)]
    pub enum FinetuningType {
        /// An adapter; the base model is frozen.
        #[default]
        Lora = "lora",
        /// Every weight of the model.
        Full = "full",
    }
    later ["freeze", "oft"]
}

choices! {
    /// The order of the examples in an epoch.
    #[derive(Default)]
    pub enum SamplingStrategy {
        /// Drawn anew for each epoch.
        #[default]
        Random = "random",
        /// As in the file.
        Sequential = "sequential",
        /// Drawn anew, with examples of like length in a batch.
        GroupByLength = "group_by_length",
    }
}

choices! {
    /// A tracker of runs.
    #[derive(Default)]
    pub enum ReportTo {
        /// None: the log is a file.
        #[default]
        None = "none",
        /// Event files that TensorBoard reads.
        Tensorboard = "tensorboard",
    }
    later ["all", "wandb", "mlflow", "trackio", "comet_ml", "swanlab", "clearml"]
}

choices! {
    /// When something is done.
    pub enum IntervalStrategy {
        /// Never.
        No = "no",
        /// Every so many optimizer steps.
        Steps = "steps",
        /// At the end of every epoch.
        Epoch = "epoch",
    }
}

impl IntervalStrategy {
    /// Kind of `save_strategy`. Transformers can also save when the metric is the best so far.
    pub(crate) const KIND_OF_SAVES: Kind = Self::KIND.later(&["best"]);
}

impl ReportTo {
    /// Whether there is no tracker to report to.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::None
    }
}
