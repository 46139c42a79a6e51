//! The learning rate of every step: `transformers.get_scheduler`, in the order of its operations, so that the doubles
//! are the same.
//!
//! A scheduler of torch gives the factor for a number of steps already taken; the optimizer's first step uses the
//! factor of 0. Here, too, `step` counts the optimizer steps taken before.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::choice::choices;
use crate::kind::{Bounds, Complaint, Kind, MAX_INTEGER, NOT_NEGATIVE, POSITIVE, SHARE};
use crate::suggest::nearest;
use crate::{Message, RecipeError, TrainingArguments, message};

choices! {
    /// Course of the learning rate: Transformers' `SchedulerType`. A row ends with the settings in `lr_scheduler_kwargs` that it takes.
    #[derive(Default)]
    pub enum LrSchedulerType gives keywords -> &'static [&'static str] {
        /// Warm-up, then straight to 0.
        #[default]
        Linear = "linear" => &[],
        /// Warm-up, then down along a cosine (`num_cycles`, 0.5 is down once).
        Cosine = "cosine" => &["num_cycles"],
        /// Always the same; no warm-up.
        Constant = "constant" => &[],
        /// Warm-up, then always the same.
        ConstantWithWarmup = "constant_with_warmup" => &[],
        /// Warm-up, then down along a cosine several times (`num_cycles`).
        CosineWithRestarts = "cosine_with_restarts" => &["num_cycles"],
        /// Warm-up, then down to `lr_end` by a `power`.
        Polynomial = "polynomial" => &["lr_end", "power"],
        /// Warm-up, then down by the square root of the steps (`timescale`).
        InverseSqrt = "inverse_sqrt" => &["timescale"],
        /// Warm-up, then down along a cosine to `min_lr` or `min_lr_rate`.
        CosineWithMinLr = "cosine_with_min_lr" => &["num_cycles", "min_lr", "min_lr_rate"],
        /// Warm-up, a level part, then down for `num_decay_steps`.
        WarmupStableDecay = "warmup_stable_decay" =>
            &["num_decay_steps", "num_stable_steps", "min_lr_ratio", "num_cycles", "warmup_type", "decay_type"],
    }
    later ["cosine_warmup_with_min_lr", "reduce_lr_on_plateau", "greedy"]
}

/// Declares the settings of a schedule, `name: Type, Kind;`.
macro_rules! keywords {
    ($(#[$outer:meta])* pub struct $Name:ident { $($(#[$attr:meta])* $name:ident: $type:ty, $kind:expr;)+ }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $Name {
            $($(#[$attr])* #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<$type>,)+
        }

        /// Names and kinds of the settings.
        const KEYWORDS: &[(&str, Kind)] = &[$((stringify!($name), $kind)),+];
    };
}

const COUNT: Kind = Kind::Int { min: 0, max: MAX_INTEGER };
/// Range of `num_cycles`. With a larger value the cosine's argument loses its precision; it is surely a mistake.
const CYCLES: Kind = Kind::Number(Bounds { max: 1e6, ..NOT_NEGATIVE });

keywords! {
    /// `lr_scheduler_kwargs`: further settings of a schedule. The rows of [`LrSchedulerType`] list which schedule takes which.
    pub struct LrSchedulerKwargs {
        /// Number of waves of a cosine.
        #[serde(serialize_with = "crate::number::whole_option")]
        num_cycles: f64, CYCLES;
        /// Exponent of a polynomial.
        #[serde(serialize_with = "crate::number::whole_option")]
        power: f64, Kind::Number(NOT_NEGATIVE);
        /// Learning rate at the end of a polynomial.
        lr_end: f64, Kind::Number(NOT_NEGATIVE);
        /// Time scale of an inverse square root, in steps.
        timescale: u64, Kind::Int { min: 1, max: MAX_INTEGER };
        /// Lowest learning rate.
        min_lr: f64, Kind::Number(NOT_NEGATIVE);
        /// Lowest learning rate, as a share of the highest.
        min_lr_rate: f64, Kind::Number(SHARE);
        /// Number of steps of the decay.
        num_decay_steps: u64, COUNT;
        /// Number of steps of the constant part.
        num_stable_steps: u64, COUNT;
        /// Lowest learning rate, as a share of the highest.
        min_lr_ratio: f64, Kind::Number(SHARE);
        /// Form of the warm-up.
        warmup_type: Ramp, Ramp::KIND;
        /// Form of the decay.
        decay_type: Ramp, Ramp::KIND;
    }
}

choices! {
    /// The form of a rise or fall of `warmup_stable_decay`.
    pub enum Ramp {
        /// Straight.
        Linear = "linear",
        /// Half a wave.
        Cosine = "cosine",
        /// By the square root of the steps.
        OneMinusSqrt = "1-sqrt",
    }
}

/// A schedule with everything that it depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Course of the learning rate.
    pub kind: LrSchedulerType,
    /// Further settings of the schedule.
    pub kwargs: LrSchedulerKwargs,
    /// The learning rate at factor 1.
    pub base_lr: f64,
    /// Number of optimizer steps of warm-up.
    pub warmup_steps: u64,
    /// Total number of optimizer steps.
    pub total_steps: u64,
}

/// Returns the learning rate of optimizer step `step_index + 1`, for a schedule without further settings.
pub fn learning_rate(
    kind: LrSchedulerType,
    base_lr: f64,
    step_index: u64,
    warmup_steps: u64,
    total_steps: u64,
) -> f64 {
    let kwargs = LrSchedulerKwargs::default();
    Schedule { kind, kwargs, base_lr, warmup_steps, total_steps }.learning_rate(step_index)
}

impl Schedule {
    /// Returns the learning rate of optimizer step `step_index + 1`. It is defined past the end, too, where a cosine rises
    /// again.
    pub fn learning_rate(&self, step_index: u64) -> f64 {
        self.base_lr * self.factor(step_index)
    }

    fn factor(&self, step_index: u64) -> f64 {
        let (kwargs, step) = (&self.kwargs, step_index as f64);
        let (warmup, total) = (self.warmup_steps as f64, self.total_steps as f64);
        match self.kind {
            LrSchedulerType::Constant => return 1.0,
            LrSchedulerType::WarmupStableDecay => return self.warmup_stable_decay(step),
            _ if step < warmup => return step / warmup.max(1.0),
            _ => {}
        }
        let progress = (step - warmup) / (total - warmup).max(1.0);
        match self.kind {
            LrSchedulerType::Constant
            | LrSchedulerType::WarmupStableDecay
            | LrSchedulerType::ConstantWithWarmup => 1.0,
            LrSchedulerType::Linear => ((total - step) / (total - warmup).max(1.0)).max(0.0),
            LrSchedulerType::Cosine => cosine(kwargs.num_cycles.unwrap_or(0.5), progress).max(0.0),
            LrSchedulerType::CosineWithRestarts if progress >= 1.0 => 0.0,
            LrSchedulerType::CosineWithRestarts => {
                let within = (kwargs.num_cycles.unwrap_or(1.0) * progress) % 1.0;
                (0.5 * (1.0 + (PI * within).cos())).max(0.0)
            }
            LrSchedulerType::CosineWithMinLr => {
                let rate = kwargs.min_lr.map(|lr| lr / self.base_lr).or(kwargs.min_lr_rate).unwrap_or(0.0);
                (cosine(kwargs.num_cycles.unwrap_or(0.5), progress) * (1.0 - rate) + rate).max(0.0)
            }
            LrSchedulerType::Polynomial => {
                let (end, power) = (kwargs.lr_end.unwrap_or(1e-7), kwargs.power.unwrap_or(1.0));
                let decay_steps = total - warmup;
                // At the very end of a schedule that is all warm-up, Transformers divides by zero.
                if step > total || decay_steps <= 0.0 {
                    return end / self.base_lr;
                }
                let remaining = 1.0 - (step - warmup) / decay_steps;
                ((self.base_lr - end) * remaining.powf(power) + end) / self.base_lr
            }
            LrSchedulerType::InverseSqrt => {
                let default = if self.warmup_steps == 0 { 10_000 } else { self.warmup_steps };
                let timescale = kwargs.timescale.unwrap_or(default) as f64;
                1.0 / ((step + (timescale - warmup)) / timescale).sqrt()
            }
        }
    }

    fn warmup_stable_decay(&self, step: f64) -> f64 {
        let (kwargs, warmup) = (&self.kwargs, self.warmup_steps as f64);
        let least = kwargs.min_lr_ratio.unwrap_or(0.0);
        let decay = kwargs.num_decay_steps.unwrap_or(0) as f64;
        let stable =
            kwargs.num_stable_steps.map_or(self.total_steps as f64 - warmup - decay, |steps| steps as f64);
        let factor = if step < warmup {
            let progress = step / warmup.max(1.0);
            match kwargs.warmup_type.unwrap_or(Ramp::Linear) {
                Ramp::Linear => progress,
                Ramp::Cosine => 0.5 * (1.0 - (PI * progress).cos()),
                Ramp::OneMinusSqrt => 1.0 - (1.0 - progress).sqrt(),
            }
        } else if step < warmup + stable {
            return 1.0;
        } else if step < warmup + stable + decay {
            let progress = (step - warmup - stable) / decay.max(1.0);
            match kwargs.decay_type.unwrap_or(Ramp::Cosine) {
                Ramp::Linear => 1.0 - progress,
                Ramp::Cosine => cosine(kwargs.num_cycles.unwrap_or(0.5), progress),
                Ramp::OneMinusSqrt => 1.0 - progress.sqrt(),
            }
        } else {
            return least;
        };
        (factor * (1.0 - least) + least).max(0.0)
    }
}

/// Returns the factor, between 1 and 0, of `num_cycles` waves of a cosine at a progress from 0 to 1.
fn cosine(num_cycles: f64, progress: f64) -> f64 {
    0.5 * (1.0 + (PI * num_cycles * 2.0 * progress).cos())
}

impl LrSchedulerKwargs {
    /// Whether no setting is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the names of all settings.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        KEYWORDS.iter().map(|(name, _)| *name)
    }

    pub(crate) fn check(name: &str, value: &Json) -> Result<(), Complaint> {
        let Json::Object(map) = value else { return Err(Kind::SchedulerKwargs.wrong_type(name, value)) };
        for (key, value) in map {
            let Some((_, kind)) = KEYWORDS.iter().find(|(known, _)| known == key) else {
                let help = match nearest(key, Self::names()) {
                    Some(near) => message!("did you mean {near}?", ?near),
                    None => Kind::SchedulerKwargs.taken_by(name),
                };
                return Err(Complaint::new(message!("unknown key {key} in {name}", ?key, name)).help(help));
            };
            if !value.is_null() {
                kind.check(&format!("{name}.{key}"), value)?;
            }
        }
        Ok(())
    }
}

/// Checks that the schedule takes the settings in `lr_scheduler_kwargs`, and has those that it needs.
pub(crate) fn validate(args: &TrainingArguments) -> Result<(), RecipeError> {
    let (kind, kwargs) = (args.lr_scheduler_type, &args.lr_scheduler_kwargs);
    let wrong = |message: Message| Err(RecipeError::new("training.lr_scheduler_kwargs", message));
    if let Ok(Json::Object(given)) = serde_json::to_value(kwargs)
        && let Some(other) = given.keys().find(|key| !kind.keywords().contains(&key.as_str()))
    {
        let takes = match kind.keywords() {
            [] => message!("nothing"),
            keywords => keywords.join(", ").into(),
        };
        return wrong(message!(
            "the schedule {schedule} does not take {key}; it takes {takes}",
            schedule = ?kind.name(),
            key = ?other,
            takes
        ));
    }
    // serde writes a number that is not finite as null.
    if let Ok(Json::Object(given)) = serde_json::to_value(kwargs)
        && let Some((key, _)) = given.iter().find(|(_, value)| value.is_null())
    {
        return wrong(message!("{name} is not a finite number", name = key));
    }
    match kind {
        LrSchedulerType::CosineWithMinLr if kwargs.min_lr.is_some() == kwargs.min_lr_rate.is_some() => {
            wrong(message!("cosine_with_min_lr needs one of min_lr and min_lr_rate"))
        }
        LrSchedulerType::CosineWithMinLr if kwargs.min_lr.is_some_and(|lr| lr > args.learning_rate) => {
            wrong(message!(
                "min_lr = {least} is above learning_rate = {rate}",
                least = ?kwargs.min_lr.unwrap_or_default(),
                rate = ?args.learning_rate
            ))
        }
        LrSchedulerType::CosineWithMinLr
            if kwargs.min_lr.is_some() && !POSITIVE.contains(args.learning_rate) =>
        {
            wrong(message!("min_lr needs a learning_rate above 0"))
        }
        LrSchedulerType::WarmupStableDecay if kwargs.num_decay_steps.is_none() => {
            wrong(message!("warmup_stable_decay needs num_decay_steps"))
        }
        LrSchedulerType::Polynomial if args.learning_rate <= kwargs.lr_end.unwrap_or(1e-7) => {
            wrong(message!(
                "lr_end = {end} must be below learning_rate = {rate}",
                end = ?kwargs.lr_end.unwrap_or(1e-7),
                rate = ?args.learning_rate
            ))
        }
        _ => Ok(()),
    }
}
