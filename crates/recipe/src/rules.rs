//! Rules from experience about a whole run: settings that are allowed and probably not intended. Each rule has its source.

use crate::fields::{self, State};
use crate::optimizer_names::{OptimizerNames, QLORA};
use crate::{
    FinetuningType, IntervalStrategy, LoraConfig, LrSchedulerType, Message, Recipe, StepPlan,
    TrainingArguments, message,
};

/// A rule that a run does not follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The setting, such as `training.learning_rate`.
    pub key: &'static str,
    /// The message: what is unusual, and what to try.
    pub message: Message,
    /// Source of the rule.
    pub source: Message,
}

impl Hint {
    /// Returns the message with its source.
    pub fn to_message(&self) -> Message {
        message!("{message} ({source})", message = &self.message, source = &self.source)
    }
}

/// Takes the rules that are not followed: setting, message and source.
type Say<'s> = dyn FnMut(&'static str, Message, Message) + 's;

const RSLORA: Message = message!("Kalajdzievski, rsLoRA, 2023");
const TRAINER: Message = message!("Transformers' Trainer");
const BATCH: Message = message!(
    "Schulman et al., LoRA Without Regret, 2025: LoRA loses more in large batches than full fine-tuning"
);
const WARM_UP: Message =
    message!("Goyal et al., Accurate, Large Minibatch SGD, 2017; Hugging Face's LoRA examples");
const BY_HEART: Message =
    message!("Touvron et al., Llama 2, 2023, section 3.1: two epochs, as more overfits");

/// Returns the texts that messages take from tables: the reasons of settings that have no effect or are refused, and the words of the optimizers'
/// usual rates. All other templates stand in calls of [`message!`].
pub fn table_texts() -> impl Iterator<Item = &'static str> {
    let reasons = fields::all().filter_map(|field| match field.state {
        State::Ignored(reason) | State::Refused(reason) => Some(reason),
        State::Supported | State::Renamed(_) => None,
    });
    let usual = OptimizerNames::ALL.iter().filter_map(|optim| optim.learning_rates());
    let rates = usual.flat_map(|rates| [rates.lora, rates.full]).flat_map(|usual| {
        let (_, high, of_high) = usual.high;
        let low = usual.low.into_iter().flat_map(|(_, why, source)| [why, source]);
        [usual.range, high, of_high].into_iter().chain(low)
    });
    reasons.chain(rates).chain([QLORA]).filter(|text| !text.is_empty())
}

/// Returns the rules that a run does not follow. Rules about numbers of steps need the `plan`, which needs the data.
pub fn hints(recipe: &Recipe, plan: Option<&StepPlan>) -> Vec<Hint> {
    let Recipe { lora, training, .. } = recipe;
    let mut hints = Vec::new();
    let mut hint = |key, message, source| hints.push(Hint { key, message, source });
    rates(training, &mut hint);
    if training.finetuning_type == FinetuningType::Lora {
        adapter(lora, &mut hint);
    }
    let batch = training.per_device_train_batch_size.saturating_mul(training.gradient_accumulation_steps);
    if batch > 128 {
        hint(
            "training.gradient_accumulation_steps",
            message!("{batch} rows a step are many: 8 to 64 learn as much from fewer rows", batch),
            BATCH,
        );
    }
    if training.max_steps <= 0 && training.num_train_epochs > 5.0 {
        let message = message!(
            "{passes} passes learn small data by heart: watch the loss on rows held out",
            passes = ?training.num_train_epochs
        );
        hint("training.num_train_epochs", message, BY_HEART);
    }
    if let Some(plan) = plan {
        steps(training, plan, &mut hint);
    }
    hints
}

fn rates(training: &TrainingArguments, hint: &mut Say<'_>) {
    let Some(usual) = training.optim.learning_rates() else { return };
    let (usual, method) = match training.finetuning_type {
        FinetuningType::Lora => (usual.lora, message!("LoRA")),
        FinetuningType::Full => (usual.full, message!("full fine-tuning")),
    };
    let (key, rate, optim) = ("training.learning_rate", training.learning_rate, training.optim.name());
    let (range, rate_shown) = (Message::fixed(usual.range), format!("{rate:e}"));
    let mut say = |message: Message, why: &'static str, source: &'static str| {
        let why = Message::fixed(why);
        let message = if why.is_empty() { message } else { message!("{message}; {why}", message, why) };
        hint(key, message, Message::fixed(source));
    };
    let (highest, why, source) = usual.high;
    if rate > highest {
        let message = message!(
            "{rate} is high for {method} with {optim}: {range} is usual",
            rate = &rate_shown,
            method = &method,
            optim,
            range = &range
        );
        say(message, why, source);
    }
    if let Some((lowest, why, source)) = usual.low
        && rate < lowest
    {
        let message = message!(
            "{rate} is low for {method} with {optim}: {range} is usual",
            rate = rate_shown,
            method,
            optim,
            range
        );
        say(message, why, source);
    }
}

fn adapter(lora: &LoraConfig, hint: &mut Say<'_>) {
    let ratio = lora.lora_alpha / lora.r as f64;
    if !lora.use_rslora && !(0.5..=8.0).contains(&ratio) {
        let message = message!(
            "alpha / r = {ratio} scales the update; 1 to 4 is usual, so lora_alpha = {least} to {most}",
            ratio = format!("{ratio:.3}"),
            least = lora.r,
            most = 4 * lora.r
        );
        hint("lora.lora_alpha", message, Message::fixed(QLORA));
    }
    if lora.r >= 64 && !lora.use_rslora {
        let message = message!(
            "with r = {rank} alpha / r makes each direction learn little: use_rslora scales by alpha / sqrt(r)",
            rank = lora.r
        );
        hint("lora.use_rslora", message, RSLORA);
    }
    if lora.lora_dropout > 0.2 {
        let message = message!("lora_dropout = {value} is high: 0.05 to 0.1, and 0 for much data", value = ?lora.lora_dropout);
        hint("lora.lora_dropout", message, Message::fixed(QLORA));
    }
}

fn steps(training: &TrainingArguments, plan: &StepPlan, hint: &mut Say<'_>) {
    let total = plan.total_steps;
    let never = |strategy, steps: f64| strategy == IntervalStrategy::Steps && steps > total as f64;
    if never(training.save_strategy, training.save_steps) {
        let message = message!(
            "save_steps = {steps} never comes in {total} steps: a run that is cut off begins anew",
            steps = training.save_steps,
            total
        );
        hint("training.save_steps", message, TRAINER);
    }
    if never(training.logging_strategy, training.logging_steps) && !training.logging_first_step {
        let message = message!(
            "logging_steps = {steps} never comes in {total} steps: no loss is reported",
            steps = training.logging_steps,
            total
        );
        hint("training.logging_steps", message, TRAINER);
    }
    let eval_steps = training.eval_steps.unwrap_or(training.logging_steps);
    if never(training.eval_strategy, eval_steps) {
        let message = message!(
            "eval_steps = {steps} never comes in {total} steps: only the end is evaluated",
            steps = eval_steps,
            total
        );
        hint("training.eval_steps", message, TRAINER);
    }
    let micro_batches = plan.micro_batches_per_epoch;
    if training.gradient_accumulation_steps > micro_batches {
        let message = message!(
            "an epoch has {micro_batches} micro-batches: a step never gathers gradient_accumulation_steps = {steps}",
            micro_batches,
            steps = training.gradient_accumulation_steps
        );
        hint("training.gradient_accumulation_steps", message, TRAINER);
    }
    let constant = training.lr_scheduler_type == LrSchedulerType::Constant;
    if plan.warmup_steps == 0 && total >= 100 && !constant {
        hint(
            "training.warmup_ratio",
            message!("no warm-up: 0.03 to 0.1 keeps the first steps from doing harm"),
            WARM_UP,
        );
    }
    if plan.warmup_steps >= total && total > 1 && !constant {
        let message = message!("all {total} steps are warm-up: learning_rate is never reached", total);
        hint("training.warmup_ratio", message, WARM_UP);
    }
}
