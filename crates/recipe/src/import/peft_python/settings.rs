//! The settings of a call: its arguments, with what the script sets afterwards, as values that a recipe can take.

use std::collections::HashSet;
use std::ops::Range;
use std::rc::Rc;

use super::super::collect::Collector;
use super::super::keys;
use super::super::python::shortened;
use super::super::python::value::{Call, Item, Kind, Val, What};
use crate::fields::Table;
use crate::source::{Entry, Node, Value};

/// Most attributes that a script may set on an object: they are compared with each other.
const MAX_CHANGES: usize = 500;

/// A setting of a call.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    /// Its name; `**` if that is not known.
    pub(super) name: Rc<str>,
    pub(super) at: usize,
    pub(super) item: Item,
    /// Why the value is not certain, if there are several.
    pub(super) doubt: Option<String>,
}

/// Returns the settings of a call. `positions` are the names of the arguments that are given without one. `until` is the order of the call that
/// takes what this one returns: what is set after it has no effect that is certain.
pub(super) fn settings(call: &Call, positions: &[&str], until: Option<usize>) -> Vec<Setting> {
    let mut all: Vec<Setting> = Vec::new();
    for (index, argument) in call.arguments.iter().enumerate() {
        let position = positions.get(index).copied();
        let name = argument.name.clone().or_else(|| position.map(Rc::from));
        let item = argument.item.clone();
        let doubt = name.is_none().then(|| format!("{} takes its arguments by name here", call.last()));
        all.push(Setting { name: name.unwrap_or_else(|| "**".into()), at: argument.at, item, doubt });
    }
    let changes = call.changes.borrow();
    for change in changes.iter().take(MAX_CHANGES) {
        let Some(name) = &change.name else {
            for setting in &mut all {
                setting.doubt = Some("attributes are set afterwards whose names are not known".into());
            }
            continue;
        };
        let times = changes.iter().filter(|other| other.name.as_ref() == Some(name)).take(2).count();
        let is_late = until.is_some_and(|until| change.order > until);
        let doubt = match (change.certain, times, is_late) {
            (true, 1, false) => None,
            (_, _, true) => Some("it is set again after it is used".to_owned()),
            _ => Some("it is set again, in a branch or more than once".to_owned()),
        };
        let new = Setting { name: name.clone(), at: change.at, item: change.item.clone(), doubt };
        match all.iter().position(|setting| setting.name == *name) {
            Some(at) => all[at] = new,
            None => all.push(new),
        }
    }
    if changes.len() > MAX_CHANGES {
        all.iter_mut()
            .for_each(|setting| setting.doubt = Some("too many attributes are set afterwards".into()));
    }
    all
}

/// Returns the settings of whichever of several calls counts: those that all agree in, and the others with the doubt.
pub(super) fn agreed(calls: &[Rc<Call>], positions: &[&str], until: Option<usize>) -> Vec<Setting> {
    let [first, others @ ..] = calls else { return Vec::new() };
    let others: Vec<Vec<Setting>> = others.iter().map(|call| settings(call, positions, until)).collect();
    let mut all = settings(first, positions, until);
    if others.is_empty() {
        return all;
    }
    let mut names: HashSet<Rc<str>> = all.iter().map(|setting| setting.name.clone()).collect();
    for setting in others.iter().flatten() {
        if names.insert(setting.name.clone()) {
            all.push(Setting { doubt: Some(String::new()), ..setting.clone() });
        }
    }
    let doubt = format!(
        "there are {} {}, which differ in it, and which one counts is not certain",
        calls.len(),
        first.last()
    );
    for setting in &mut all {
        let is_same = |other: &Vec<Setting>| {
            let mut found = other.iter().filter(|other| other.name == setting.name);
            found.next().is_some_and(|other| other.doubt.is_none() && other.item.val.same(&setting.item.val))
        };
        if setting.doubt.is_some() || !others.iter().all(is_same) {
            setting.doubt = Some(doubt.clone());
        }
    }
    all
}

impl Setting {
    /// Returns the value as a recipe reads it.
    ///
    /// # Errors
    /// If it is not certain: the reason.
    pub(super) fn node(&self, text: &str) -> Result<Node, String> {
        match &self.doubt {
            Some(doubt) => Err(doubt.clone()),
            None => node(&self.item.val, &self.item.span).ok_or_else(|| unknown(text, &self.item)),
        }
    }

    /// Returns the text, if the value is one for certain.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.item.val.what {
            What::Text(text) if self.doubt.is_none() => Some(text),
            _ => None,
        }
    }

    /// Whether the value is certainly one of these.
    pub(super) fn is(&self, values: &[Value]) -> bool {
        self.certain_node().is_some_and(|own| values.contains(&own.value))
    }

    fn certain_node(&self) -> Option<Node> {
        self.doubt.is_none().then(|| node(&self.item.val, &self.item.span)).flatten()
    }

    /// Imports the setting, or lists it as left out.
    pub(super) fn take(&self, collector: &mut Collector<'_>, text: &str, table: Table, name: &str) {
        if &*self.name == "**" {
            let shown = source_of(text, &self.item.span);
            let reason = self
                .doubt
                .clone()
                .unwrap_or_else(|| "what it adds is not certain, and nothing is executed".into());
            return collector.leave(&shown, self.at, reason);
        }
        match self.node(text) {
            Ok(node) => {
                let before = collector.taken(table, name).is_some();
                collector.take(table, name, self.at, &node);
                if let Some(origin) = &self.item.val.origin
                    && !before
                    && !matches!(node.value, Value::Null)
                {
                    collector.note(
                        &self.name,
                        self.at,
                        format!(
                            "{} is {origin} of the script, which its command line may replace",
                            self.name
                        ),
                    );
                }
            }
            Err(reason) => collector.leave(&self.name, self.at, reason),
        }
    }

    /// Lists the setting as left out, unless its value is certainly one of those that mean nothing.
    pub(super) fn leave(&self, collector: &mut Collector<'_>, harmless: &[Value], reason: &str) {
        if !self.is(harmless) {
            collector.leave(&self.name, self.at, reason);
        }
    }

    /// Lists the setting as left out, unless its value certainly asks for nothing: `None`, or one of these (as JSON).
    pub(super) fn list(&self, collector: &mut Collector<'_>, reason: &str, unless: &[&str]) {
        if !self.certain_node().is_some_and(|own| keys::asks_nothing(&own, unless)) {
            collector.leave(&self.name, self.at, reason);
        }
    }
}

/// Returns the source of a value, shortened.
pub(super) fn source_of(text: &str, span: &Range<usize>) -> String {
    match text.get(span.clone()).map(shortened) {
        Some(shown) if !shown.is_empty() => shown,
        _ => "its value".into(),
    }
}

fn unknown(text: &str, item: &Item) -> String {
    format!("{} has no value that is certain, and nothing is executed", source_of(text, &item.span))
}

/// Converts a value, if all of it is certain.
pub(super) fn node(val: &Val, span: &Range<usize>) -> Option<Node> {
    let value = match &val.what {
        What::None => Value::Null,
        What::Bool(flag) => Value::Bool(*flag),
        What::Int(number) => Value::Int(*number),
        What::Float(number) => Value::Float(*number),
        What::Text(text) => Value::Text(text.to_string()),
        What::List(list) => {
            let items = list.items.iter().map(|item| node(&item.val, &item.span));
            Value::List(items.collect::<Option<_>>()?)
        }
        What::Dict(dict) => {
            let mut entries: Vec<Entry> = Vec::new();
            for (name, item) in &dict.entries {
                let (name, inner) = (name.as_ref()?.to_string(), node(&item.val, &item.span)?);
                let entry = Entry { name, at: item.span.start, node: inner };
                match entries.iter_mut().find(|known| known.name == entry.name) {
                    Some(known) => *known = entry,
                    None => entries.push(entry),
                }
            }
            Value::Table(entries)
        }
        What::Object(_) => match val.kind() {
            Some(Kind::Import(name)) => word(name)?,
            _ => return None,
        },
        What::Unknown | What::Either(_) => return None,
    };
    Some(Node { span: span.clone(), value })
}

/// Returns the value of a member of an enumeration of PEFT or Transformers, or of a dtype of torch.
fn word(name: &str) -> Option<Value> {
    let name = name.strip_suffix(".value").unwrap_or(name);
    let (class, member) = name.rsplit_once('.')?;
    match class.rsplit('.').next()? {
        "TaskType" => Some(Value::Text(member.into())),
        "IntervalStrategy" | "EvaluationStrategy" | "SaveStrategy" | "SchedulerType" | "OptimizerNames" => {
            Some(Value::Text(member.to_lowercase()))
        }
        "torch" => match member {
            "float32" | "float" => Some(Value::Text("float32".into())),
            "float16" | "half" => Some(Value::Text("float16".into())),
            "bfloat16" => Some(Value::Text("bfloat16".into())),
            _ => None,
        },
        _ => None,
    }
}
