//! Rules from experience about a whole run: settings that are allowed and probably not intended. Each rule has its source.

use crate::optimizer_names::QLORA;
use crate::{
    FinetuningType, IntervalStrategy, LoraConfig, LrSchedulerType, Recipe, StepPlan, TrainingArguments,
};

/// A rule that a run does not follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The setting, such as `training.learning_rate`.
    pub key: &'static str,
    /// The message: what is unusual, and what to try.
    pub message: String,
    /// Source of the rule.
    pub source: &'static str,
}

const RSLORA: &str = "Kalajdzievski, rsLoRA, 2023";
const TRAINER: &str = "Transformers' Trainer";
const BATCH: &str =
    "Schulman et al., LoRA Without Regret, 2025: LoRA loses more in large batches than full fine-tuning";
const WARM_UP: &str = "Goyal et al., Accurate, Large Minibatch SGD, 2017; Hugging Face's LoRA examples";
const BY_HEART: &str = "Touvron et al., Llama 2, 2023, section 3.1: two epochs, as more overfits";

/// Returns the rules that a run does not follow. Rules about numbers of steps need the `plan`, which needs the data.
pub fn hints(recipe: &Recipe, plan: Option<&StepPlan>) -> Vec<Hint> {
    let Recipe { lora, training, .. } = recipe;
    let mut hints = Vec::new();
    let mut hint = |key, message: String, source| hints.push(Hint { key, message, source });
    rates(training, &mut hint);
    if training.finetuning_type == FinetuningType::Lora {
        adapter(lora, &mut hint);
    }
    let batch = training.per_device_train_batch_size.saturating_mul(training.gradient_accumulation_steps);
    if batch > 128 {
        hint(
            "training.gradient_accumulation_steps",
            format!("{batch} rows a step are many: 8 to 64 learn as much from fewer rows"),
            BATCH,
        );
    }
    if training.max_steps <= 0 && training.num_train_epochs > 5.0 {
        let message = format!(
            "{:?} passes learn small data by heart: watch the loss on rows held out",
            training.num_train_epochs
        );
        hint("training.num_train_epochs", message, BY_HEART);
    }
    if let Some(plan) = plan {
        steps(training, plan, &mut hint);
    }
    hints
}

fn rates(training: &TrainingArguments, hint: &mut impl FnMut(&'static str, String, &'static str)) {
    let Some(usual) = training.optim.learning_rates() else { return };
    let (usual, method) = match training.finetuning_type {
        FinetuningType::Lora => (usual.lora, "LoRA"),
        FinetuningType::Full => (usual.full, "full fine-tuning"),
    };
    let (key, rate, optim) = ("training.learning_rate", training.learning_rate, training.optim.name());
    let mut say = |word: &str, why: &str, source| {
        let why = if why.is_empty() { String::new() } else { format!("; {why}") };
        let message = format!("{rate:e} is {word} for {method} with {optim}: {} is usual{why}", usual.range);
        hint(key, message, source);
    };
    let (highest, why, source) = usual.high;
    if rate > highest {
        say("high", why, source);
    }
    if let Some((lowest, why, source)) = usual.low
        && rate < lowest
    {
        say("low", why, source);
    }
}

fn adapter(lora: &LoraConfig, hint: &mut impl FnMut(&'static str, String, &'static str)) {
    let ratio = lora.lora_alpha / lora.r as f64;
    if !lora.use_rslora && !(0.5..=8.0).contains(&ratio) {
        let message = format!(
            "alpha / r = {ratio:.3} scales the update; 1 to 4 is usual, so lora_alpha = {} to {}",
            lora.r,
            4 * lora.r
        );
        hint("lora.lora_alpha", message, QLORA);
    }
    if lora.r >= 64 && !lora.use_rslora {
        let message = format!(
            "with r = {} alpha / r makes each direction learn little: use_rslora scales by alpha / sqrt(r)",
            lora.r
        );
        hint("lora.use_rslora", message, RSLORA);
    }
    if lora.lora_dropout > 0.2 {
        let message =
            format!("lora_dropout = {:?} is high: 0.05 to 0.1, and 0 for much data", lora.lora_dropout);
        hint("lora.lora_dropout", message, QLORA);
    }
}

fn steps(
    training: &TrainingArguments,
    plan: &StepPlan,
    hint: &mut impl FnMut(&'static str, String, &'static str),
) {
    let total = plan.total_steps;
    let never = |strategy, steps: f64| strategy == IntervalStrategy::Steps && steps > total as f64;
    if never(training.save_strategy, training.save_steps) {
        let message = format!(
            "save_steps = {} never comes in {total} steps: a run that is cut off begins anew",
            training.save_steps
        );
        hint("training.save_steps", message, TRAINER);
    }
    if never(training.logging_strategy, training.logging_steps) && !training.logging_first_step {
        let message = format!(
            "logging_steps = {} never comes in {total} steps: no loss is reported",
            training.logging_steps
        );
        hint("training.logging_steps", message, TRAINER);
    }
    let eval_steps = training.eval_steps.unwrap_or(training.logging_steps);
    if never(training.eval_strategy, eval_steps) {
        let message =
            format!("eval_steps = {eval_steps} never comes in {total} steps: only the end is evaluated");
        hint("training.eval_steps", message, TRAINER);
    }
    let micro_batches = plan.micro_batches_per_epoch;
    if training.gradient_accumulation_steps > micro_batches {
        let message = format!(
            "an epoch has {micro_batches} micro-batches: a step never gathers gradient_accumulation_steps = {}",
            training.gradient_accumulation_steps
        );
        hint("training.gradient_accumulation_steps", message, TRAINER);
    }
    let constant = training.lr_scheduler_type == LrSchedulerType::Constant;
    if plan.warmup_steps == 0 && total >= 100 && !constant {
        hint(
            "training.warmup_ratio",
            "no warm-up: 0.03 to 0.1 keeps the first steps from doing harm".into(),
            WARM_UP,
        );
    }
    if plan.warmup_steps >= total && total > 1 && !constant {
        let message = format!("all {total} steps are warm-up: learning_rate is never reached");
        hint("training.warmup_ratio", message, WARM_UP);
    }
}
