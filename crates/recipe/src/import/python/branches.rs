//! Branches: what a name may stand for after alternatives of which one runs.

use std::collections::HashMap;
use std::rc::Rc;

use ruff_python_ast::Stmt;

use super::run::Run;
use super::value::{Val, What};

/// Objects that a name may stand for after a branch.
const MAX_EITHER: usize = 8;

impl<'a> Run<'a> {
    /// Runs what may not run: nothing in it is certain.
    pub(super) fn within_branch<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> T {
        self.branch += 1;
        let result = run(self);
        self.branch -= 1;
        result
    }

    /// Runs alternatives and merges what they bind. Returns whether all of them leave the block.
    pub(super) fn arms(&mut self, arms: &[&'a [Stmt]], is_complete: bool) -> bool {
        let mut outcomes: Vec<HashMap<(usize, &'a str), Val>> = Vec::new();
        let mut before: HashMap<(usize, &'a str), Option<Val>> = HashMap::new();
        let mut names: Vec<(usize, &'a str)> = Vec::new();
        let mut all_leave = is_complete;
        for arm in arms {
            let mark = self.log.len();
            let leaves = self.within_branch(|this| this.body(arm));
            let mut outcome = HashMap::new();
            for (scope, name, previous) in self.log.split_off(mark).into_iter().rev() {
                let values = &mut self.scopes[scope].values;
                let now = match previous.clone() {
                    Some(previous) => values.insert(name, previous),
                    None => values.remove(name),
                };
                outcome.entry((scope, name)).or_insert(now.unwrap_or(Val::UNKNOWN));
                if before.insert((scope, name), previous).is_none() {
                    names.push((scope, name));
                }
            }
            all_leave &= leaves;
            if !leaves {
                outcomes.push(outcome);
            }
        }
        for key in names {
            let previous = before.remove(&key).flatten();
            let mut all: Vec<Val> = Vec::new();
            for outcome in &outcomes {
                all.extend(outcome.get(&key).cloned().or_else(|| previous.clone()));
            }
            if !is_complete {
                all.extend(previous);
            }
            self.bind_in(key.0, key.1, merged(all));
        }
        all_leave
    }
}

/// Merges the values that a name may have after a branch.
pub(super) fn merged(all: Vec<Val>) -> Val {
    let mut different: Vec<Val> = Vec::new();
    for val in all {
        let parts = match &val.what {
            What::Either(parts) => parts.to_vec(),
            _ => vec![val],
        };
        for part in parts {
            if !different.iter().any(|known| known.same(&part)) {
                different.push(part);
            }
            if different.len() > MAX_EITHER {
                return Val::UNKNOWN;
            }
        }
    }
    let is_object = |val: &Val| val.is_object() || matches!(val.what, What::None);
    match different.as_slice() {
        [one] => one.clone(),
        _ if different.iter().all(is_object) && different.iter().any(Val::is_object) => {
            What::Either(Rc::new(different)).into()
        }
        _ => Val::UNKNOWN,
    }
}
