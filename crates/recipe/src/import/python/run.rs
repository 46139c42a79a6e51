//! Runs a script as far as it is certain: statements in their order, branches as possibilities, functions where they are called. Nothing is
//! executed but arithmetic of literals; the result are the calls with their arguments.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use ruff_python_ast::{ExceptHandler, Expr, Stmt, StmtFunctionDef};
use ruff_text_size::{Ranged, TextRange};

use super::bindings::{Bindings, Facts, is_main};
use super::value::{Argument, Call, Change, Fields, Item, Kind, Val, What};

/// Depth of expressions, blocks and calls together.
const MAX_DEPTH: usize = 250;
/// Objects that a name may stand for after a branch.
const MAX_EITHER: usize = 8;
/// Fields and methods that all classes and instances may copy from others.
const MAX_COPIED: usize = 200_000;
/// Libraries whose names, taken with `*`, do not replace a script's own.
const LIBRARIES: &[&str] = &[
    "peft",
    "transformers",
    "trl",
    "unsloth",
    "unsloth_zoo",
    "datasets",
    "torch",
    "typing",
    "dataclasses",
    "os",
    "math",
    "numpy",
    "accelerate",
    "bitsandbytes",
    "evaluate",
    "huggingface_hub",
    "sklearn",
];

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ScopeKind {
    Module,
    Function,
    Class,
    /// Of a lambda or comprehension.
    Inner,
}

pub(super) struct Scope<'a> {
    pub(super) kind: ScopeKind,
    pub(super) parent: usize,
    pub(super) bindings: Rc<Bindings<'a>>,
    pub(super) values: HashMap<&'a str, Val>,
}

pub(super) struct Function<'a> {
    pub(super) def: &'a StmtFunctionDef,
    pub(super) scope: usize,
    pub(super) has_run: bool,
    /// What it returns, once it has run.
    pub(super) result: Val,
    /// What its `return` statements give so far.
    pub(super) returns: Vec<Val>,
}

pub(super) struct Class<'a> {
    pub(super) fields: Rc<Fields>,
    /// Names of the fields that its constructor takes, in order.
    pub(super) order: Vec<&'a str>,
    pub(super) methods: HashMap<&'a str, usize>,
    /// The class of a library that it derives from.
    pub(super) base: Option<Rc<str>>,
    /// Whether its `__init__` stands before that of another class of the script.
    pub(super) overrides_init: bool,
}

pub(super) struct Run<'a> {
    pub(super) facts: Facts<'a>,
    pub(super) scopes: Vec<Scope<'a>>,
    pub(super) current: usize,
    pub(super) functions: Vec<Function<'a>>,
    pub(super) classes: Vec<Class<'a>>,
    pub(super) calls: Vec<Rc<Call>>,
    /// Values that were bound in branches, to be merged after them: the scope, the name and the value before.
    log: Vec<(usize, &'a str, Option<Val>)>,
    pub(super) branch: usize,
    reached: bool,
    depth: usize,
    pub(super) nested_calls: usize,
    order: usize,
    pub(super) running: Vec<usize>,
    /// What each `__init__` that runs gave to that of its base class so far.
    pub(super) given_to_base: Vec<super::initialize::Given>,
    /// Fields and methods that classes and instances have copied so far.
    copied: usize,
}

pub(super) fn span(range: TextRange) -> Range<usize> {
    range.start().to_usize()..range.end().to_usize()
}

/// Runs a module and returns its calls, in their order.
pub(super) fn run(body: &[Stmt]) -> Vec<Rc<Call>> {
    let module = Scope {
        kind: ScopeKind::Module,
        parent: 0,
        bindings: Rc::new(Bindings::of(body, None)),
        values: HashMap::new(),
    };
    let mut run = Run {
        facts: Facts::of(body),
        scopes: vec![module],
        current: 0,
        functions: Vec::new(),
        classes: Vec::new(),
        calls: Vec::new(),
        log: Vec::new(),
        branch: 0,
        reached: true,
        depth: 0,
        nested_calls: 0,
        order: 0,
        running: Vec::new(),
        given_to_base: Vec::new(),
        copied: 0,
    };
    run.body(body);
    // Functions that nothing here calls.
    run.reached = false;
    let mut at = 0;
    while at < run.functions.len() {
        run.call_function(at, None, None);
        at += 1;
    }
    run.calls
}

impl<'a> Run<'a> {
    pub(super) fn is_certain(&self) -> bool {
        self.branch == 0 && self.reached
    }

    /// Counts fields and methods that are to be copied. Returns whether they may be.
    pub(super) fn may_copy(&mut self, count: usize) -> bool {
        self.copied = self.copied.saturating_add(count);
        self.copied <= MAX_COPIED
    }

    /// Copies fields into a new object. Of an object beyond what may be copied, none is known.
    pub(super) fn copy_fields(&mut self, fields: &Fields) -> Fields {
        if self.may_copy(fields.len()) {
            return fields.copied();
        }
        let lost = Fields::default();
        lost.lost.set(true);
        lost
    }

    /// Runs statements. Returns whether the last one leaves them: `return`, `raise`, `break`, `continue`.
    pub(super) fn body(&mut self, body: &'a [Stmt]) -> bool {
        if self.depth > MAX_DEPTH {
            return false;
        }
        self.depth += 1;
        let leaves = body.iter().any(|stmt| self.stmt(stmt));
        self.depth -= 1;
        leaves
    }

    #[inline(never)]
    pub(super) fn stmt(&mut self, stmt: &'a Stmt) -> bool {
        match stmt {
            Stmt::FunctionDef(def) => self.define(def),
            Stmt::ClassDef(def) => self.class(def),
            Stmt::Return(stmt) => {
                let val = stmt.value.as_ref().map_or(What::None.into(), |value| self.eval(value));
                if let Some(function) = self.running.last() {
                    self.functions[*function].returns.push(val);
                }
                return true;
            }
            Stmt::Raise(stmt) => {
                stmt.exc.iter().chain(&stmt.cause).for_each(|expr| drop(self.eval(expr)));
                return true;
            }
            Stmt::Break(_) | Stmt::Continue(_) => return true,
            Stmt::Expr(stmt) => drop(self.eval(&stmt.value)),
            Stmt::Assign(stmt) => {
                let val = self.eval(&stmt.value);
                stmt.targets.iter().for_each(|target| self.assign(target, &val, span(stmt.value.range())));
            }
            Stmt::AnnAssign(stmt) => {
                if let Some(value) = &stmt.value {
                    let val = self.eval(value);
                    self.assign(&stmt.target, &val, span(value.range()));
                }
            }
            Stmt::AugAssign(stmt) => {
                self.eval(&stmt.value);
                self.assign(&stmt.target, &Val::UNKNOWN, span(stmt.value.range()));
            }
            Stmt::Delete(stmt) => {
                stmt.targets
                    .iter()
                    .for_each(|target| self.assign(target, &Val::UNKNOWN, span(target.range())));
            }
            Stmt::Assert(stmt) => {
                self.eval(&stmt.test);
            }
            Stmt::With(stmt) => {
                for item in &stmt.items {
                    self.eval(&item.context_expr);
                    if let Some(target) = &item.optional_vars {
                        self.assign(target, &Val::UNKNOWN, span(target.range()));
                    }
                }
                return self.body(&stmt.body);
            }
            Stmt::Import(stmt) => {
                for alias in &stmt.names {
                    let first = alias.name.as_str().split('.').next().unwrap_or_default();
                    match &alias.asname {
                        Some(name) => self.bind(name.as_str(), Val::import(alias.name.as_str())),
                        None => self.bind(first, Val::import(first)),
                    }
                }
            }
            Stmt::ImportFrom(stmt) => {
                let module = stmt.module.as_ref().map(|module| module.as_str()).unwrap_or_default();
                for alias in &stmt.names {
                    let name = alias.name.as_str();
                    if name == "*" {
                        if stmt.level > 0
                            || !LIBRARIES.contains(&module.split('.').next().unwrap_or_default())
                        {
                            self.forget();
                        }
                        continue;
                    }
                    let known_as = alias.asname.as_ref().map_or(name, |name| name.as_str());
                    self.bind(known_as, Val::import(&format!("{module}.{name}")));
                }
            }
            // `%run settings.py` runs another file in this one's names.
            Stmt::IpyEscapeCommand(stmt) => {
                if stmt.value.trim_start().starts_with("run ") {
                    self.forget();
                }
            }
            _ => return self.branching(stmt),
        }
        false
    }

    /// Runs a statement that has branches.
    #[inline(never)]
    fn branching(&mut self, stmt: &'a Stmt) -> bool {
        match stmt {
            Stmt::If(stmt) if is_main(&stmt.test) => self.body(&stmt.body),
            Stmt::If(stmt) => {
                self.eval(&stmt.test);
                let mut arms: Vec<&'a [Stmt]> = vec![&stmt.body];
                let mut has_else = false;
                for clause in &stmt.elif_else_clauses {
                    match &clause.test {
                        Some(test) => drop(self.within_branch(|this| this.eval(test))),
                        None => has_else = true,
                    }
                    arms.push(&clause.body);
                }
                self.arms(&arms, has_else)
            }
            Stmt::For(stmt) => {
                let each = self.eval(&stmt.iter);
                self.change_elements(&each);
                self.assign(&stmt.target, &Val::UNKNOWN, span(stmt.target.range()));
                self.arms(&[&stmt.body], false);
                self.arms(&[&stmt.orelse], false);
                false
            }
            Stmt::While(stmt) => {
                self.eval(&stmt.test);
                self.arms(&[&stmt.body], false);
                self.arms(&[&stmt.orelse], false);
                false
            }
            Stmt::Try(stmt) => {
                self.arms(&[&stmt.body], false);
                self.arms(&[&stmt.orelse], false);
                for ExceptHandler::ExceptHandler(handler) in &stmt.handlers {
                    self.arms(&[&handler.body], false);
                }
                self.body(&stmt.finalbody)
            }
            Stmt::Match(stmt) => {
                self.eval(&stmt.subject);
                for case in &stmt.cases {
                    if let Some(guard) = &case.guard {
                        self.within_branch(|this| this.eval(guard));
                    }
                }
                let arms: Vec<&'a [Stmt]> = stmt.cases.iter().map(|case| &*case.body).collect();
                self.arms(&arms, false)
            }
            _ => false,
        }
    }

    pub(super) fn within_branch<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> T {
        self.branch += 1;
        let result = run(self);
        self.branch -= 1;
        result
    }

    /// Runs alternatives and merges what they bind. Returns whether all of them leave the block.
    fn arms(&mut self, arms: &[&'a [Stmt]], is_complete: bool) -> bool {
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

    /// Assigns a value to a target.
    pub(super) fn assign(&mut self, target: &'a Expr, val: &Val, at: Range<usize>) {
        match target {
            Expr::Name(name) => self.bind(name.id.as_str(), val.clone()),
            Expr::Tuple(tuple) => self.unpack(&tuple.elts, val, at),
            Expr::List(list) => self.unpack(&list.elts, val, at),
            Expr::Starred(starred) => self.assign(&starred.value, &Val::UNKNOWN, at),
            Expr::Attribute(attribute) => {
                let base = self.eval(&attribute.value);
                let item = Item { val: val.clone(), span: at };
                self.set_attribute(&base, Some(attribute.attr.as_str()), span(target.range()).start, item);
            }
            Expr::Subscript(subscript) => {
                self.eval(&subscript.value).change();
                self.eval(&subscript.slice);
            }
            _ => {}
        }
    }

    fn unpack(&mut self, targets: &'a [Expr], val: &Val, at: Range<usize>) {
        let is_plain = !targets.iter().any(|target| matches!(target, Expr::Starred(_)));
        for (index, target) in targets.iter().enumerate() {
            let part = match &val.what {
                What::List(list) if is_plain && list.items.len() == targets.len() => {
                    list.items.get(index).map_or(Val::UNKNOWN, |item| item.val.clone())
                }
                What::Object(_) if is_plain => match i64::try_from(index) {
                    Ok(index) => Val::object(Kind::Element(val.clone(), What::Int(index))),
                    Err(_) => Val::UNKNOWN,
                },
                _ => Val::UNKNOWN,
            };
            self.assign(target, &part, at.clone());
        }
    }

    /// Sets an attribute of an object; `None` for a name that is not known.
    pub(super) fn set_attribute(&mut self, base: &Val, name: Option<&str>, at: usize, item: Item) {
        if name.is_some_and(|name| self.facts.changed.contains(name)) {
            item.val.change();
        }
        self.order += 1;
        let certain = self.is_certain();
        match (&base.what, base.kind()) {
            (What::Either(all), _) => {
                for base in all.iter() {
                    self.within_branch(|this| this.set_attribute(base, name, at, item.clone()));
                }
            }
            (_, Some(Kind::Call(call))) => {
                let name = name.map(Rc::from);
                call.changes.borrow_mut().push(Change { name, at, order: self.order, item, certain });
            }
            (_, Some(Kind::Fields(fields))) => match name {
                Some(name) => fields.set(name, item.val, certain),
                None => fields.lost.set(true),
            },
            (_, Some(Kind::Class(class))) => {
                let fields = &self.classes[*class].fields;
                match name {
                    Some(name) => fields.set(name, item.val, certain),
                    None => fields.lost.set(true),
                }
            }
            _ => {}
        }
    }

    /// Binds a name of the current scope.
    pub(super) fn bind(&mut self, name: &'a str, val: Val) {
        let scope = match &self.scopes[self.current] {
            scope if scope.bindings.globals.contains(name) => 0,
            scope if scope.kind == ScopeKind::Inner => scope.parent,
            _ => self.current,
        };
        if self.facts.changed.contains(name) {
            val.change();
        }
        self.bind_in(scope, name, val);
    }

    fn bind_in(&mut self, scope: usize, name: &'a str, val: Val) {
        let previous = self.scopes[scope].values.insert(name, val);
        if self.branch > 0 {
            self.log.push((scope, name, previous));
        }
    }

    /// Returns the value of a name.
    pub(super) fn lookup(&self, name: &str) -> Val {
        let mut at = self.current;
        loop {
            let scope = &self.scopes[at];
            let visible = scope.kind != ScopeKind::Class || at == self.current;
            if visible && scope.bindings.has(name) {
                let Some(val) = scope.values.get(name) else { return Val::UNKNOWN };
                let is_shared = self.facts.shared.contains(name) && scope.kind != ScopeKind::Class;
                let is_certain = scope.bindings.is_once(name) && !is_shared;
                return match val.is_object() || is_certain {
                    true => val.clone().settled(),
                    false => Val::UNKNOWN,
                };
            }
            if scope.kind == ScopeKind::Module {
                break;
            }
            at = scope.parent;
        }
        // A name that only a function's `global` binds is none of a library's.
        if self.facts.shared.contains(name) { Val::UNKNOWN } else { Val::import(name) }
    }

    /// Forgets the values of the module's names: another file may have bound them.
    pub(super) fn forget(&mut self) {
        for val in self.scopes[0].values.values_mut().filter(|val| !val.is_object()) {
            *val = Val::UNKNOWN;
        }
    }

    fn change_elements(&self, val: &Val) {
        match &val.what {
            What::List(list) => list.items.iter().for_each(|item| item.val.change()),
            What::Dict(dict) => dict.entries.iter().for_each(|(_, item)| item.val.change()),
            _ => {}
        }
    }

    /// Evaluates an expression in a scope of its own, whose parameters are not known.
    pub(super) fn in_inner(&mut self, names: Vec<&'a str>, eval: impl FnOnce(&mut Self)) {
        let mut bindings = Bindings::default();
        bindings.unknown(&names);
        let scope = self.scopes.len();
        self.scopes.push(Scope {
            kind: ScopeKind::Inner,
            parent: self.current,
            bindings: Rc::new(bindings),
            values: HashMap::new(),
        });
        let outer = std::mem::replace(&mut self.current, scope);
        self.within_branch(eval);
        self.current = outer;
    }

    /// Evaluates an expression. Its calls are recorded, whether its value is known or not.
    pub(super) fn eval(&mut self, expr: &'a Expr) -> Val {
        if self.depth > MAX_DEPTH {
            return Val::UNKNOWN;
        }
        self.depth += 1;
        let val = self.expression(expr);
        self.depth -= 1;
        val
    }

    /// Records a call.
    pub(super) fn record(
        &mut self,
        name: Rc<str>,
        base: Option<Val>,
        at: usize,
        arguments: Vec<Argument>,
    ) -> Val {
        self.order += 1;
        let call = Rc::new(Call {
            name,
            base,
            at,
            order: self.order,
            arguments,
            certain: self.is_certain(),
            is_parsed: Default::default(),
            changes: Default::default(),
        });
        self.calls.push(call.clone());
        Val::object(Kind::Call(call))
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

/// Keeps the first origin of the values that a result is made from.
pub(super) fn with_origin(what: Option<What>, from: &[&Val]) -> Val {
    match what {
        Some(what) => Val { what, origin: from.iter().find_map(|val| val.origin.clone()) },
        None => Val::UNKNOWN,
    }
}
