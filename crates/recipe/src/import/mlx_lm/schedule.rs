//! mlx's schedules of the learning rate: `{name: cosine_decay, warmup: 100, arguments: [1e-5, 1000, 1e-7]}`. Their steps are optimizer steps.

use super::super::collect::Collector;
use super::super::keys::{Keys, number, table_of, text};
use super::super::node_of;
use crate::fields::Table::Training;
use crate::source::{Entry, Node, Value};

/// Returns the first of the schedule's arguments, which is the learning rate.
pub(super) fn rate(schedule: &Entry) -> Option<f64> {
    let Value::Table(parts) = &schedule.node.value else { return None };
    let arguments = parts.iter().find(|part| part.name == "arguments")?;
    match &arguments.node.value {
        Value::List(list) => list.first().and_then(number),
        _ => None,
    }
}

/// Imports a schedule of a run of so many `steps`.
pub(super) fn import(collector: &mut Collector<'_>, entry: &Entry, steps: i64) {
    let Entry { name, at, node } = entry;
    let Value::Table(parts) = &node.value else {
        return collector.leave(name, *at, "it takes a table with name and arguments");
    };
    let parts = Keys::new(collector, parts);
    let arguments: Vec<f64> = match parts.get("arguments").map(|entry| &entry.node.value) {
        Some(Value::List(list)) => list.iter().map_while(number).collect(),
        _ => Vec::new(),
    };
    let warmup = parts.whole("warmup").unwrap_or(0).max(0);
    for part in parts.iter() {
        match part.name.as_str() {
            "name" | "arguments" | "warmup" | "warmup_init" => {}
            other => collector.leave(
                other,
                part.at,
                "a schedule of mlx-lm has name, arguments, warmup and warmup_init",
            ),
        }
    }
    let course = match (parts.get("name").and_then(|part| text(&part.node)), arguments.as_slice()) {
        (Some("cosine_decay"), [from, length, rest @ ..]) => {
            Course::new(*from, rest.first().copied().unwrap_or(0.0), *length, "cosine")
        }
        (Some("linear_schedule"), [from, to, length]) if from > to => {
            Course::new(*from, *to, *length, "linear")
        }
        (Some("linear_schedule"), [from, to, length]) if *from == 0.0 && warmup == 0 => {
            match (*to > 0.0 && to.is_finite()).then(|| steps_of(*length)).flatten() {
                Some(length) => return rising(collector, entry, *to, length),
                None => None,
            }
        }
        (given, [from, ..]) => {
            begins(collector, entry, &parts, warmup, 0.0);
            constant(collector, entry, *from, warmup);
            let given = given.unwrap_or("it").to_owned();
            return collector.leave(
                name,
                *at,
                format!("{given} is not among the schedules here: learning_rate stays at its first argument, after the warm-up"),
            );
        }
        _ => {
            return collector.leave(
                name,
                *at,
                "it has no arguments that are numbers: learning_rate stays the same",
            );
        }
    };
    let Some(course) = course else {
        return collector.leave(
            name,
            *at,
            "its arguments are not a learning rate above 0, a rate between 0 and that, and a number of steps: learning_rate stays the same",
        );
    };
    // A warm-up of warmup_stable_decay begins at the lowest rate.
    begins(collector, entry, &parts, warmup, course.to);
    course.take(collector, entry, warmup, steps);
}

/// Says it where the warm-up begins at another rate than mlx-lm's.
fn begins(collector: &mut Collector<'_>, entry: &Entry, parts: &Keys<'_>, warmup: i64, here: f64) {
    let theirs = parts.number("warmup_init").unwrap_or(0.0);
    if warmup > 0 && theirs != here {
        let at = parts.get("warmup_init").map_or(entry.at, |part| part.at);
        collector.note(
            "warmup_init",
            at,
            format!("the warm-up begins at {here:e} here, and at {theirs:e} in mlx-lm (warmup_init)"),
        );
    }
}

/// A fall from one learning rate to another in so many optimizer steps, after which the last one stays.
struct Course {
    from: f64,
    to: f64,
    length: i64,
    ramp: &'static str,
}

/// Returns a number of steps: a whole number from 1 on that a run can have.
fn steps_of(length: f64) -> Option<i64> {
    (length.fract() == 0.0 && (1.0..=1e12).contains(&length)).then_some(length as i64)
}

impl Course {
    /// Returns a course, if the arguments make one: a fall from a rate above 0, in a number of steps.
    fn new(from: f64, to: f64, length: f64, ramp: &'static str) -> Option<Self> {
        let is_fall = from.is_finite() && from > 0.0 && (0.0..=from).contains(&to);
        Some(Self { from, to, length: steps_of(length).filter(|_| is_fall)?, ramp })
    }

    /// Imports the course: as one of the schedules that end with the run where it does, else as `warmup_stable_decay`, which need not. After
    /// a warm-up mlx's course begins a step later than Transformers' do.
    fn take(&self, collector: &mut Collector<'_>, entry: &Entry, warmup: i64, steps: i64) {
        let Entry { at, node, .. } = entry;
        set(collector, entry, "learning_rate", Value::Float(self.from));
        let ends_with_the_run = warmup == 0 && self.length == steps;
        let (kind, kwargs) = match (ends_with_the_run, self.ramp) {
            (true, "linear") if self.to == 0.0 => ("linear", Vec::new()),
            (true, "cosine") if self.to == 0.0 => ("cosine", Vec::new()),
            (true, "cosine") => ("cosine_with_min_lr", vec![("min_lr", Value::Float(self.to))]),
            _ => {
                // The rounding makes 1e-7 of 1e-5 a hundredth, not a double's 0.009999999999999998.
                let share = (self.to / self.from * 1e12).round() / 1e12;
                let stable = if warmup > 0 { 1 } else { 0 };
                let kwargs = vec![
                    ("num_decay_steps", Value::Int(self.length)),
                    ("num_stable_steps", Value::Int(stable)),
                    ("min_lr_ratio", Value::Float(share)),
                    ("decay_type", Value::Text(self.ramp.into())),
                ];
                ("warmup_stable_decay", kwargs)
            }
        };
        if warmup > 0 {
            set(collector, entry, "warmup_steps", Value::Int(warmup));
        }
        // Where its arguments are refused, so is the schedule.
        if !kwargs.is_empty() {
            collector.take(Training, "lr_scheduler_kwargs", *at, &table_of(node, *at, &kwargs));
        }
        if kwargs.is_empty() || collector.taken(Training, "lr_scheduler_kwargs").is_some() {
            set(collector, entry, "lr_scheduler_type", Value::Text(kind.into()));
        }
        let needed = warmup.saturating_add(self.length);
        if needed > steps {
            let message = format!("the schedule needs {needed} optimizer steps, and the run has {steps}");
            collector.note("lr_schedule", *at, message);
        }
    }
}

/// Imports a rise from 0, which is a warm-up.
fn rising(collector: &mut Collector<'_>, entry: &Entry, to: f64, length: i64) {
    set(collector, entry, "learning_rate", Value::Float(to));
    set(collector, entry, "warmup_steps", Value::Int(length));
    set(collector, entry, "lr_scheduler_type", Value::Text("constant_with_warmup".into()));
}

fn constant(collector: &mut Collector<'_>, entry: &Entry, rate: f64, warmup: i64) {
    set(collector, entry, "learning_rate", Value::Float(rate));
    if warmup > 0 {
        set(collector, entry, "warmup_steps", Value::Int(warmup));
        set(collector, entry, "lr_scheduler_type", Value::Text("constant_with_warmup".into()));
    }
}

fn set(collector: &mut Collector<'_>, entry: &Entry, name: &str, value: Value) {
    let node: Node = node_of(&entry.node, value);
    collector.take(Training, name, entry.at, &node);
}
