//! Names and patterns of `[lora]` that match no module of a model. PEFT passes over them in silence.

use std::fmt;

use crate::suggest::nearest;
use crate::targets::{end_pattern, matches, whole_pattern};
use crate::{LoraConfig, Message, TargetModules, message};

/// A name or pattern of `[lora]` that matches no module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmatched {
    /// The setting, such as `lora.rank_pattern`.
    pub setting: &'static str,
    /// The name or pattern.
    pub name: String,
    /// What it does not match, and what may be meant.
    problem: Message,
}

impl Unmatched {
    /// Returns the message: the setting, the name, what it does not match, and what may be meant.
    pub fn message(&self) -> Message {
        let Self { setting, name, problem } = self;
        message!("{setting}: {name} matches {problem}", setting = *setting, ?name, problem)
    }
}

impl fmt::Display for Unmatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}

impl LoraConfig {
    /// Returns each name of `target_modules` and `exclude_modules`, and the regex of the latter, that matches none of the `modules`, and each key of
    /// `rank_pattern` and `alpha_pattern` that matches none of the `adapted` ones. Both are lists of paths. Returns also each number of
    /// `layers_to_transform` beyond the `layers` of the model.
    pub fn unmatched(&self, modules: &[&str], adapted: &[&str], layers: usize) -> Vec<Unmatched> {
        let mut found = Vec::new();
        for (key, targets) in
            [("lora.target_modules", &self.target_modules), ("lora.exclude_modules", &self.exclude_modules)]
        {
            let names = match targets {
                Some(TargetModules::List(names)) => &names[..],
                Some(TargetModules::Pattern(pattern)) if key == "lora.exclude_modules" => {
                    let fits = whole_pattern(pattern);
                    if !fits.is_ok_and(|fits| modules.iter().any(|path| matches(&fits, path))) {
                        found.push(unmatched(key, pattern, message!("no module of this model"), modules));
                    }
                    &[]
                }
                // That a pattern selects no module is an error elsewhere.
                Some(TargetModules::Pattern(_)) | None => &[],
            };
            for name in names {
                let one = TargetModules::List(vec![name.clone()]);
                if !modules.iter().any(|path| one.names(path)) {
                    found.push(unmatched(key, name, message!("no module of this model"), modules));
                }
            }
        }
        let beyond = |number: &&i64| usize::try_from(**number).is_ok_and(|number| number >= layers);
        for number in self.layers_to_transform.iter().flatten().filter(beyond) {
            let problem = message!("none of the model's {layers} layers, which are counted from 0", layers);
            found.push(Unmatched { setting: "lora.layers_to_transform", name: number.to_string(), problem });
        }
        let keys = self.rank_pattern.keys().map(|name| ("lora.rank_pattern", name));
        for (key, name) in keys.chain(self.alpha_pattern.keys().map(|name| ("lora.alpha_pattern", name))) {
            let pattern = end_pattern(name);
            if !pattern.is_ok_and(|pattern| adapted.iter().any(|path| matches(&pattern, path))) {
                found.push(unmatched(key, name, message!("no module that gets an adapter"), adapted));
            }
        }
        found
    }
}

fn unmatched(setting: &'static str, name: &str, what: Message, paths: &[&str]) -> Unmatched {
    let last_names = paths.iter().filter_map(|path| path.rsplit('.').next());
    let problem = match nearest(name, last_names) {
        Some(near) => message!("{what}; is {near} meant?", what, ?near),
        None => what,
    };
    Unmatched { setting, name: name.to_owned(), problem }
}
