//! Validation of a recipe as a whole: ranges of all values, then settings that contradict each other.

use serde_json::Value as Json;

use crate::fields::{self, Table};
use crate::kind::POSITIVE;
use crate::read::{check, refuse};
use crate::{
    FinetuningType, InitLoraWeights, IntervalStrategy, LoraConfig, Message, Recipe, RecipeError,
    TargetModules, TrainingArguments, Warning, message, owner_and_name, schedule,
};

impl Recipe {
    /// Checks the whole recipe, however it was made. Returns warnings about settings that have no effect, or probably not
    /// the intended one.
    ///
    /// # Errors
    /// If a value is out of range, not supported, or contradicts another: the first such value.
    pub fn validate(&self) -> Result<Vec<Warning>, RecipeError> {
        if self.training.fp16 && self.training.bf16 {
            return Err(RecipeError::new("training.bf16", message!("fp16 and bf16 cannot both be true"))
                .with_help(message!("leave one of them out")));
        }
        for (key, wanted) in [("fp16", self.training.fp16), ("bf16", self.training.bf16)] {
            if wanted && self.training.finetuning_type == FinetuningType::Full {
                let message = message!(
                    "{key} is for adapters over a frozen base: finetuning_type = \"full\" trains in float32",
                    key
                );
                return Err(RecipeError::new(format!("training.{key}"), message)
                    .with_help(message!("leave it out, or train an adapter")));
            }
        }
        let json = |error: serde_json::Error| RecipeError::new("", error.to_string());
        check_table(Table::Model, &serde_json::to_value(&self.model).map_err(json)?)?;
        check_table(Table::Data, &serde_json::to_value(&self.data).map_err(json)?)?;
        let mut warnings = self.lora.validate()?;
        check_table(Table::Training, &serde_json::to_value(&self.training).map_err(json)?)?;
        check_training(&self.training, &mut warnings)?;
        self.check_together(&mut warnings)?;
        Ok(warnings)
    }

    fn check_together(&self, warnings: &mut Vec<Warning>) -> Result<(), RecipeError> {
        let data = &self.data;
        if data.validation_file.is_some() && data.validation_split_percentage.is_some() {
            warnings.push(Warning::new(
                "data.validation_split_percentage",
                message!("validation_split_percentage has no effect: there is a validation_file"),
            ));
        }
        let evaluates = self.training.eval_strategy != IntervalStrategy::No;
        if evaluates && data.validation_file.is_none() && data.validation_split_percentage.is_none() {
            warnings.push(Warning::new(
                "training.eval_strategy",
                message!("eval_strategy has nothing to evaluate on: give data.validation_file or data.validation_split_percentage"),
            ));
        }
        let is_adapter = self.training.finetuning_type == FinetuningType::Lora;
        if is_adapter && self.training.loraplus_lr_ratio.is_some() && self.lora.selects_an_embedding() {
            let message = message!(
                "loraplus_lr_ratio cannot be used with an adapter on the embedding: PEFT trains that one \
                 at a rate of its own, loraplus_lr_embedding, which is not there yet"
            );
            return Err(RecipeError::new("training.loraplus_lr_ratio", message)
                .with_help(message!("leave it out, or take the embedding out of target_modules")));
        }
        if self.training.finetuning_type == FinetuningType::Full && self.lora != LoraConfig::default() {
            warnings.push(Warning::new(
                "training.finetuning_type",
                message!("[lora] has no effect: finetuning_type = \"full\" trains every weight"),
            ));
        }
        Ok(())
    }
}

impl LoraConfig {
    /// Whether the embedding of some architecture gets an adapter, by name, path or regex. `"all-linear"` does not include it.
    fn selects_an_embedding(&self) -> bool {
        let all_linear = self.target_modules.as_ref().is_some_and(TargetModules::is_all_linear);
        !all_linear && EMBEDDINGS.iter().any(|path| self.selects(path, false, None))
    }

    /// Checks this section alone. [`Recipe::validate`] includes this check.
    ///
    /// # Errors
    /// If a value is out of range, not supported, or contradicts another: the first such value.
    pub fn validate(&self) -> Result<Vec<Warning>, RecipeError> {
        let value =
            serde_json::to_value(self).map_err(|error| RecipeError::new("lora", error.to_string()))?;
        check_table(Table::Lora, &value)?;
        let no_pattern = self.layers_pattern.as_ref().is_none_or(Vec::is_empty);
        let mut warnings = Vec::new();
        if let Some(TargetModules::Pattern(pattern)) = &self.target_modules
            && !self.target_modules.as_ref().is_some_and(TargetModules::is_all_linear)
        {
            let list = message!("say which layers in the regex, or name the modules in a list");
            if self.layers_to_transform.is_some() {
                let message = message!(
                    "{name} cannot be used when target_modules is a regex",
                    name = "layers_to_transform"
                );
                return Err(RecipeError::new("lora.layers_to_transform", message).with_help(list));
            }
            if self.layers_pattern.is_some() {
                let message =
                    message!("{name} cannot be used when target_modules is a regex", name = "layers_pattern");
                return Err(RecipeError::new("lora.layers_pattern", message).with_help(list));
            }
            if is_plain_name(pattern) {
                warnings.push(Warning::new(
                    "lora.target_modules",
                    message!(
                        "target_modules = {pattern} is a regex for a whole path, as in PEFT; to name the modules write [{pattern}]",
                        ?pattern
                    ),
                ));
            }
        }
        if !no_pattern && self.layers_to_transform.is_none() {
            return Err(RecipeError::new(
                "lora.layers_pattern",
                message!("layers_pattern needs layers_to_transform"),
            )
            .with_help(message!("give the numbers of the layers, as in layers_to_transform = [0, 1]")));
        }
        if self.lora_bias && self.use_dora {
            return Err(RecipeError::new(
                "lora.lora_bias",
                message!("lora_bias cannot be used with use_dora"),
            )
            .with_help(message!("PEFT refuses it too; leave one of them out")));
        }
        if self.lora_bias && !matches!(self.init_lora_weights, InitLoraWeights::Bool(_)) {
            return Err(RecipeError::new(
                "lora.lora_bias",
                message!("lora_bias needs init_lora_weights = true or false"),
            )
            .with_help(message!("PEFT refuses other initialisations")));
        }
        if self.use_dora && self.lora_dropout > 0.0 {
            let message = message!(
                "use_dora is not supported with lora_dropout: PEFT drops inputs of the frozen weight too"
            );
            return Err(
                RecipeError::new("lora.lora_dropout", message).with_help(message!("set lora_dropout = 0"))
            );
        }
        Ok(warnings)
    }
}

/// Paths of the word embeddings of all architectures. `tests/tests/features.rs` compares them with the models' own.
const EMBEDDINGS: &[&str] = &[
    "model.embed_tokens",
    "transformer.wte",
    "transformer.embedding.word_embeddings",
    "bert.embeddings.word_embeddings",
    "roberta.embeddings.word_embeddings",
    "distilbert.embeddings.word_embeddings",
    // The next paths are those of models without a head.
    "embed_tokens",
    "wte",
    "embedding.word_embeddings",
    "embeddings.word_embeddings",
];

/// Checks where a run's result is uploaded to.
fn check_upload(args: &TrainingArguments, warnings: &mut Vec<Warning>) -> Result<(), RecipeError> {
    let path = |key: &str| format!("training.{key}");
    let named = args.hub_model_id.as_deref();
    let name = if args.push_to_hub { Some(args.hub_name()) } else { named };
    if let Some(name) = name {
        // A name alone goes under the account of the token.
        let id = if name.contains('/') { name.to_owned() } else { format!("owner/{name}") };
        if owner_and_name(&id).is_none() {
            let message = message!(
                "{name} cannot be the name of a repository: letters, digits, `-`, `_` and `.` alone, as in owner/name",
                ?name
            );
            return Err(RecipeError::new(path("hub_model_id"), message).with_help(message!(
                "give training.hub_model_id: owner/name, or a name under your own account"
            )));
        }
    }
    let others = [
        ("hub_model_id", named.is_some()),
        ("hub_private_repo", args.hub_private_repo.is_some()),
        ("hub_revision", args.hub_revision.is_some()),
    ];
    for (name, _) in others.into_iter().filter(|(_, is_set)| *is_set && !args.push_to_hub) {
        warnings.push(Warning::new(path(name), message!("{name} has no effect: push_to_hub is false", name)));
    }
    Ok(())
}

fn check_training(args: &TrainingArguments, warnings: &mut Vec<Warning>) -> Result<(), RecipeError> {
    let error = |key: &str, message: Message| RecipeError::new(format!("training.{key}"), message);
    if args.max_steps == 0 {
        return Err(error(
            "max_steps",
            message!("max_steps = 0 is out of range: max_steps >= 1, or -1 to count by epochs"),
        ));
    }
    let strategies = [
        ("logging_steps", args.logging_strategy, args.logging_steps),
        ("eval_steps", args.eval_strategy, args.eval_steps.unwrap_or(0.0)),
        ("save_steps", args.save_strategy, args.save_steps),
    ];
    for (key, strategy, steps) in strategies {
        if strategy == IntervalStrategy::Steps && steps > 1.0 && steps.fract() != 0.0 {
            let message = message!("{key} = {steps} must be whole when it is more than 1", key, ?steps);
            return Err(error(key, message));
        }
    }
    let zero = |steps: f64| !POSITIVE.contains(steps);
    if args.logging_strategy == IntervalStrategy::Steps && zero(args.logging_steps) {
        let message = message!(
            "{name} = {value} is out of range: {range}",
            name = "logging_steps",
            value = 0,
            range = "logging_steps > 0"
        );
        return Err(
            error("logging_steps", message).with_help(message!("logging_strategy = \"no\" reports nothing"))
        );
    }
    if args.eval_strategy == IntervalStrategy::Steps
        && zero(args.eval_steps.unwrap_or(0.0))
        && zero(args.logging_steps)
    {
        return Err(error(
            "eval_steps",
            message!("eval_strategy = \"steps\" needs eval_steps or logging_steps above 0"),
        ));
    }
    schedule::validate(args)?;
    check_best(args)?;
    check_upload(args, warnings)?;

    let mut warn =
        |key: &str, message: Message| warnings.push(Warning::new(format!("training.{key}"), message));
    if args.max_steps > 0 && args.num_train_epochs != TrainingArguments::default().num_train_epochs {
        let message = message!(
            "max_steps = {steps} overrides num_train_epochs = {epochs}",
            steps = args.max_steps,
            epochs = ?args.num_train_epochs
        );
        warn("max_steps", message);
    }
    if args.warmup_steps > 0.0 && args.warmup_ratio > 0.0 {
        warn(
            "warmup_ratio",
            message!("warmup_ratio has no effect: there is warmup_steps = {steps}", steps = ?args.warmup_steps),
        );
    }
    if args.max_steps > 0 && args.warmup_steps > args.max_steps as f64 {
        warn(
            "warmup_steps",
            message!(
                "the warm-up ends after max_steps = {steps}: learning_rate is never reached",
                steps = args.max_steps
            ),
        );
    }
    Ok(())
}

/// Checks the requirements of `load_best_model_at_end` and of early stopping, as in Transformers.
fn check_best(args: &TrainingArguments) -> Result<(), RecipeError> {
    let error = |key: &str, message: Message, help: Message| {
        Err(RecipeError::new(format!("training.{key}"), message).with_help(help))
    };
    if args.early_stopping_patience.is_some() && args.eval_strategy == IntervalStrategy::No {
        return error(
            "early_stopping_patience",
            message!("early_stopping_patience needs evaluations"),
            message!("set eval_strategy to \"steps\" or \"epoch\""),
        );
    }
    if !args.load_best_model_at_end {
        return Ok(());
    }
    let key = "load_best_model_at_end";
    if args.eval_strategy != args.save_strategy || args.eval_strategy == IntervalStrategy::No {
        return error(
            key,
            message!(
                "load_best_model_at_end needs eval_strategy and save_strategy to be the same, and not \"no\""
            ),
            message!("set eval_strategy = \"steps\", or both to \"epoch\""),
        );
    }
    let eval_steps = args.eval_steps.filter(|steps| *steps != 0.0).unwrap_or(args.logging_steps);
    let is_multiple = match (eval_steps < 1.0, args.save_steps < 1.0) {
        // The comparison is in millionths, because shares are not exact numbers.
        (true, true) => ((args.save_steps * 1e6).round() % (eval_steps * 1e6).round().max(1.0)) == 0.0,
        (false, false) => args.save_steps % eval_steps == 0.0,
        _ => false,
    };
    if args.eval_strategy == IntervalStrategy::Steps && !is_multiple {
        return error(
            key,
            message!("load_best_model_at_end needs save_steps to be a multiple of eval_steps"),
            message!("a checkpoint is the best only if it was evaluated"),
        );
    }
    Ok(())
}

/// Checks the type, the range and the state of every value of a section.
fn check_table(table: Table, values: &Json) -> Result<(), RecipeError> {
    for field in fields::of(table) {
        let Some(value) = values.get(field.name) else { continue };
        check(field, value)?;
        refuse(field, value)?;
    }
    Ok(())
}

/// Whether a regex is only a name. A name matches no path of a real model.
fn is_plain_name(pattern: &str) -> bool {
    !pattern.is_empty() && pattern.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
