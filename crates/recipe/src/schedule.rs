//! The learning rate of every step: `transformers.get_scheduler`, in the order of its operations, so that the doubles
//! are the same.
//!
//! A scheduler of torch gives the factor for a number of steps already taken; the optimizer's first step uses the
//! factor of 0. Here, too, `step` counts the optimizer steps taken before.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::kind::{Bounds, Complaint, Kind, MAX_INTEGER, NOT_NEGATIVE, POSITIVE, SHARE};
use crate::suggest::nearest;
use crate::{RecipeError, TrainingArguments};

/// Course of the learning rate: Transformers' `SchedulerType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LrSchedulerType {
    /// Warm-up, then straight to 0.
    #[default]
    Linear,
    /// Warm-up, then down along a cosine (`num_cycles`, 0.5 is down once).
    Cosine,
    /// Warm-up, then down along a cosine several times (`num_cycles`).
    CosineWithRestarts,
    /// Warm-up, then down to `lr_end` by a `power`.
    Polynomial,
    /// Always the same; no warm-up.
    Constant,
    /// Warm-up, then always the same.
    ConstantWithWarmup,
    /// Warm-up, then down by the square root of the steps (`timescale`).
    InverseSqrt,
    /// Warm-up, then down along a cosine to `min_lr` or `min_lr_rate`.
    CosineWithMinLr,
    /// Warm-up, a level part, then down for `num_decay_steps`.
    WarmupStableDecay,
}

/// `lr_scheduler_kwargs`: further settings of a schedule. Which schedule takes which is in
/// [`LrSchedulerType::keywords`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct LrSchedulerKwargs {
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "crate::number::whole_option")]
    pub num_cycles: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "crate::number::whole_option")]
    pub power: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr_end: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timescale: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_lr: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_lr_rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_decay_steps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_stable_steps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_lr_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_type: Option<Ramp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay_type: Option<Ramp>,
}

/// The form of a rise or fall of `warmup_stable_decay`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Ramp {
    #[serde(rename = "linear")]
    Linear,
    #[serde(rename = "cosine")]
    Cosine,
    #[serde(rename = "1-sqrt")]
    OneMinusSqrt,
}

/// A schedule with everything that it depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Its course.
    pub kind: LrSchedulerType,
    /// Its further settings.
    pub kwargs: LrSchedulerKwargs,
    /// The learning rate at factor 1.
    pub base_lr: f64,
    /// Optimizer steps of warm-up.
    pub warmup_steps: u64,
    /// Optimizer steps in all.
    pub total_steps: u64,
}

/// The learning rate that optimizer step `step_index + 1` uses, for a schedule without further settings.
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
    /// The learning rate that optimizer step `step_index + 1` uses. Defined past the end, too, where a cosine rises
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

/// `num_cycles` waves over a progress from 0 to 1, between 1 and 0.
fn cosine(num_cycles: f64, progress: f64) -> f64 {
    0.5 * (1.0 + (PI * num_cycles * 2.0 * progress).cos())
}

impl LrSchedulerType {
    /// The name in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Cosine => "cosine",
            Self::CosineWithRestarts => "cosine_with_restarts",
            Self::Polynomial => "polynomial",
            Self::Constant => "constant",
            Self::ConstantWithWarmup => "constant_with_warmup",
            Self::InverseSqrt => "inverse_sqrt",
            Self::CosineWithMinLr => "cosine_with_min_lr",
            Self::WarmupStableDecay => "warmup_stable_decay",
        }
    }

    /// The settings in `lr_scheduler_kwargs` that this schedule takes.
    pub fn keywords(self) -> &'static [&'static str] {
        match self {
            Self::Linear | Self::Constant | Self::ConstantWithWarmup => &[],
            Self::Cosine | Self::CosineWithRestarts => &["num_cycles"],
            Self::Polynomial => &["lr_end", "power"],
            Self::InverseSqrt => &["timescale"],
            Self::CosineWithMinLr => &["num_cycles", "min_lr", "min_lr_rate"],
            Self::WarmupStableDecay => &[
                "num_decay_steps",
                "num_stable_steps",
                "min_lr_ratio",
                "num_cycles",
                "warmup_type",
                "decay_type",
            ],
        }
    }
}

const COUNT: Kind = Kind::Int { min: 0, max: MAX_INTEGER };
const RAMP: Kind = Kind::Choice { takes: &["linear", "cosine", "1-sqrt"], later: &[] };
/// More would let the cosine's argument lose its meaning, and is surely a mistake.
const CYCLES: Kind = Kind::Number(Bounds { max: 1e6, ..NOT_NEGATIVE });

const KEYWORDS: [(&str, Kind); 11] = [
    ("num_cycles", CYCLES),
    ("power", Kind::Number(NOT_NEGATIVE)),
    ("lr_end", Kind::Number(NOT_NEGATIVE)),
    ("timescale", Kind::Int { min: 1, max: MAX_INTEGER }),
    ("min_lr", Kind::Number(NOT_NEGATIVE)),
    ("min_lr_rate", Kind::Number(SHARE)),
    ("num_decay_steps", COUNT),
    ("num_stable_steps", COUNT),
    ("min_lr_ratio", Kind::Number(SHARE)),
    ("warmup_type", RAMP),
    ("decay_type", RAMP),
];

impl LrSchedulerKwargs {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The names of all settings.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        KEYWORDS.iter().map(|(name, _)| *name)
    }

    pub(crate) fn check(name: &str, value: &Json) -> Result<(), Complaint> {
        let Json::Object(map) = value else { return Err(Kind::SchedulerKwargs.wrong_type(name, value)) };
        for (key, value) in map {
            let Some((_, kind)) = KEYWORDS.iter().find(|(known, _)| known == key) else {
                let help = match nearest(key, Self::names()) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => format!("{name} takes {}", Kind::SchedulerKwargs.describe()),
                };
                return Err(Complaint::new(format!("unknown key {key:?} in {name}")).help(help));
            };
            if !value.is_null() {
                kind.check(&format!("{name}.{key}"), value)?;
            }
        }
        Ok(())
    }
}

/// Checks that the schedule takes what is in `lr_scheduler_kwargs`, and has what it needs.
pub(crate) fn validate(args: &TrainingArguments) -> Result<(), RecipeError> {
    let (kind, kwargs) = (args.lr_scheduler_type, &args.lr_scheduler_kwargs);
    let wrong = |message: String| Err(RecipeError::new("training.lr_scheduler_kwargs", message));
    if let Ok(Json::Object(given)) = serde_json::to_value(kwargs)
        && let Some(other) = given.keys().find(|key| !kind.keywords().contains(&key.as_str()))
    {
        let takes = if kind.keywords().is_empty() { "nothing".into() } else { kind.keywords().join(", ") };
        return wrong(format!("the schedule {:?} does not take {other:?}; it takes {takes}", kind.name()));
    }
    // serde writes a number that is not finite as null.
    if let Ok(Json::Object(given)) = serde_json::to_value(kwargs)
        && let Some((key, _)) = given.iter().find(|(_, value)| value.is_null())
    {
        return wrong(format!("{key} is not a finite number"));
    }
    match kind {
        LrSchedulerType::CosineWithMinLr if kwargs.min_lr.is_some() == kwargs.min_lr_rate.is_some() => {
            wrong("cosine_with_min_lr needs one of min_lr and min_lr_rate".into())
        }
        LrSchedulerType::CosineWithMinLr if kwargs.min_lr.is_some_and(|lr| lr > args.learning_rate) => {
            wrong(format!(
                "min_lr = {:?} is above learning_rate = {:?}",
                kwargs.min_lr.unwrap_or_default(),
                args.learning_rate
            ))
        }
        LrSchedulerType::CosineWithMinLr
            if kwargs.min_lr.is_some() && !POSITIVE.contains(args.learning_rate) =>
        {
            wrong("min_lr needs a learning_rate above 0".into())
        }
        LrSchedulerType::WarmupStableDecay if kwargs.num_decay_steps.is_none() => {
            wrong("warmup_stable_decay needs num_decay_steps".into())
        }
        LrSchedulerType::Polynomial if args.learning_rate <= kwargs.lr_end.unwrap_or(1e-7) => wrong(format!(
            "lr_end = {:?} must be below learning_rate = {:?}",
            kwargs.lr_end.unwrap_or(1e-7),
            args.learning_rate
        )),
        _ => Ok(()),
    }
}
