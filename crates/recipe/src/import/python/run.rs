//! Runs a script as far as it is certain: statements in their order, branches as possibilities, functions where they are called. Nothing is
//! executed but arithmetic of literals; the result are the calls with their arguments.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use ruff_python_ast::{ExceptHandler, Expr, Parameters, Stmt, StmtClassDef, StmtFunctionDef};
use ruff_text_size::{Ranged, TextRange};

use super::bindings::{Bindings, Facts, is_main};
use super::value::{Argument, Call, Change, Fields, Item, Kind, Val, What};

/// Depth of expressions, blocks and calls together.
const MAX_DEPTH: usize = 250;
/// Calls within calls of the script's functions.
const MAX_CALLS: usize = 16;
/// Objects that a name may stand for after a branch.
const MAX_EITHER: usize = 8;
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
enum ScopeKind {
    Module,
    Function,
    Class,
    /// Of a lambda or comprehension.
    Inner,
}

struct Scope<'a> {
    kind: ScopeKind,
    parent: usize,
    bindings: Rc<Bindings<'a>>,
    values: HashMap<&'a str, Val>,
}

pub(super) struct Function<'a> {
    def: &'a StmtFunctionDef,
    scope: usize,
    has_run: bool,
    /// What it returns, once it has run.
    result: Val,
    /// What its `return` statements give so far.
    returns: Vec<Val>,
}

pub(super) struct Class<'a> {
    pub(super) fields: Rc<Fields>,
    /// Names of the fields that its constructor takes, in order.
    pub(super) order: Vec<&'a str>,
    methods: HashMap<&'a str, usize>,
    /// The class of a library that it derives from.
    pub(super) base: Option<Rc<str>>,
}

pub(super) struct Run<'a> {
    facts: Facts<'a>,
    scopes: Vec<Scope<'a>>,
    current: usize,
    functions: Vec<Function<'a>>,
    pub(super) classes: Vec<Class<'a>>,
    pub(super) calls: Vec<Rc<Call>>,
    /// Values that were bound in branches, to be merged after them: the scope, the name and the value before.
    log: Vec<(usize, &'a str, Option<Val>)>,
    branch: usize,
    reached: bool,
    depth: usize,
    nested_calls: usize,
    order: usize,
    running: Vec<usize>,
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

    /// Runs statements. Returns whether the last one leaves them: `return`, `raise`, `break`, `continue`.
    fn body(&mut self, body: &'a [Stmt]) -> bool {
        if self.depth > MAX_DEPTH {
            return false;
        }
        self.depth += 1;
        let leaves = body.iter().any(|stmt| self.stmt(stmt));
        self.depth -= 1;
        leaves
    }

    #[inline(never)]
    fn stmt(&mut self, stmt: &'a Stmt) -> bool {
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

    /// Defines a function. Its body runs where it is called.
    fn define(&mut self, def: &'a StmtFunctionDef) {
        for decorator in &def.decorator_list {
            self.eval(&decorator.expression);
        }
        let number = self.functions.len();
        self.functions.push(Function {
            def,
            scope: self.current,
            has_run: false,
            result: Val::UNKNOWN,
            returns: Vec::new(),
        });
        self.bind(def.name.as_str(), Val::object(Kind::Function(number)));
    }

    fn class(&mut self, def: &'a StmtClassDef) {
        for decorator in &def.decorator_list {
            self.eval(&decorator.expression);
        }
        let (mut base, mut fields, mut order, mut methods) =
            (None, Fields::default(), Vec::new(), HashMap::new());
        for parent in def.arguments.iter().flat_map(|arguments| arguments.args.iter()) {
            let parent = self.eval(parent);
            match parent.kind() {
                Some(Kind::Class(parent)) => {
                    let parent = &self.classes[*parent];
                    fields = parent.fields.copied();
                    order.clone_from(&parent.order);
                    methods.clone_from(&parent.methods);
                    base = base.or_else(|| parent.base.clone());
                }
                Some(Kind::Import(name)) => base = base.or_else(|| Some(name.clone())),
                _ => {}
            }
        }
        let scope = self.scopes.len();
        self.scopes.push(Scope {
            kind: ScopeKind::Class,
            parent: self.current,
            bindings: Rc::new(Bindings::of(&def.body, None)),
            values: HashMap::new(),
        });
        let outer = std::mem::replace(&mut self.current, scope);
        for stmt in &def.body {
            if let Stmt::AnnAssign(assign) = stmt
                && let Expr::Name(name) = &*assign.target
            {
                if !order.contains(&name.id.as_str()) && order.len() < 1000 {
                    order.push(name.id.as_str());
                }
                if let Some(value) = &assign.value {
                    let val = self.field_default(value);
                    self.bind(name.id.as_str(), val);
                }
                continue;
            }
            self.stmt(stmt);
        }
        self.current = outer;
        let values: Vec<(&'a str, Val)> =
            self.scopes[scope].values.iter().map(|(name, val)| (*name, val.clone())).collect();
        for (name, val) in values {
            match val.kind() {
                Some(Kind::Function(function)) => drop(methods.insert(name, *function)),
                _ if val.is_object() || self.scopes[scope].bindings.is_once(name) => fields.define(name, val),
                _ => fields.define(name, Val::UNKNOWN),
            }
        }
        let number = self.classes.len();
        self.classes.push(Class { fields: Rc::new(fields), order, methods, base });
        self.bind(def.name.as_str(), Val::object(Kind::Class(number)));
    }

    /// Returns the default of a dataclass's field: the value, or the default of `field(default=...)`.
    fn field_default(&mut self, value: &'a Expr) -> Val {
        let val = self.eval(value);
        let Some(call) = val.call().filter(|call| matches!(call.last(), "field" | "Field")) else {
            return val;
        };
        if let Some(default) = call.argument("default", (call.last() == "Field").then_some(0)) {
            return default.item.val.clone();
        }
        let Expr::Call(expr) = value else { return Val::UNKNOWN };
        let factory = expr
            .arguments
            .keywords
            .iter()
            .find(|keyword| keyword.arg.as_ref().is_some_and(|name| name.as_str() == "default_factory"));
        match factory.map(|keyword| &keyword.value) {
            Some(Expr::Lambda(lambda)) if lambda.parameters.is_none() => self.eval(&lambda.body),
            Some(Expr::Name(name)) if name.id.as_str() == "list" => Val::list(Vec::new(), false),
            Some(Expr::Name(name)) if name.id.as_str() == "dict" => Val::dict(Vec::new()),
            _ => Val::UNKNOWN,
        }
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

    /// Runs the body of a function, unless it ran before, and returns what it returns if that is an object. `arguments` are those of its only
    /// call; without them no parameter is known. `receiver` is the value of `self`.
    pub(super) fn call_function(
        &mut self,
        number: usize,
        arguments: Option<&[Argument]>,
        receiver: Option<Val>,
    ) -> Val {
        let Some(function) = self.functions.get_mut(number) else { return Val::UNKNOWN };
        if function.has_run {
            return function.result.clone();
        }
        if self.nested_calls >= MAX_CALLS {
            return Val::UNKNOWN;
        }
        function.has_run = true;
        let (def, parent) = (function.def, function.scope);
        let values = self.parameters(&def.parameters, arguments, receiver);
        let scope = self.scopes.len();
        self.scopes.push(Scope {
            kind: ScopeKind::Function,
            parent,
            bindings: Rc::new(Bindings::of(&def.body, Some(&def.parameters))),
            values: HashMap::new(),
        });
        let outer = std::mem::replace(&mut self.current, scope);
        self.nested_calls += 1;
        self.running.push(number);
        for (name, val) in values {
            self.bind(name, val);
        }
        let leaves = self.body(&def.body);
        self.running.pop();
        self.nested_calls -= 1;
        self.current = outer;
        let function = &mut self.functions[number];
        if !leaves {
            function.returns.push(What::None.into());
        }
        if !def.is_async {
            function.result = returned(std::mem::take(&mut function.returns));
        }
        function.result.clone()
    }

    /// Matches the arguments of a call with the parameters of a function.
    fn parameters(
        &mut self,
        parameters: &'a Parameters,
        arguments: Option<&[Argument]>,
        receiver: Option<Val>,
    ) -> Vec<(&'a str, Val)> {
        let mut values = Vec::new();
        let mut receiver = receiver;
        let is_open =
            arguments.is_none_or(|all| all.iter().any(|argument| argument.name.as_deref() == Some("**")));
        let mut positional = arguments.unwrap_or_default().iter().filter(|argument| argument.name.is_none());
        let count = parameters.posonlyargs.len() + parameters.args.len();
        for (index, parameter) in parameters.iter_non_variadic_params().enumerate() {
            let name = parameter.name().as_str();
            let default = parameter.default().map(|default| self.eval(default));
            if let Some(receiver) = receiver.take().filter(|_| index == 0) {
                values.push((name, receiver));
                continue;
            }
            let by_position = if index < count { positional.next() } else { None };
            let by_name = || {
                let mut all = arguments.unwrap_or_default().iter();
                all.find(|argument| argument.name.as_deref() == Some(name))
            };
            let val = match by_position.or_else(by_name) {
                Some(argument) => argument.item.val.clone(),
                None if is_open => Val::UNKNOWN,
                None => default.unwrap_or(Val::UNKNOWN),
            };
            values.push((name, val));
        }
        for parameter in parameters.vararg.iter().chain(&parameters.kwarg) {
            values.push((parameter.name.as_str(), Val::UNKNOWN));
        }
        values
    }

    /// Calls a function of the script by its name in the text. Its parameters are known if that is the only place that mentions it.
    pub(super) fn call_once(
        &mut self,
        number: usize,
        arguments: &[Argument],
        receiver: Option<Val>,
        class: Option<usize>,
    ) -> Val {
        let Some(function) = self.functions.get(number) else { return Val::UNKNOWN };
        let name = match class {
            Some(_) => None,
            None => Some(function.def.name.as_str()),
        };
        let is_only = name.is_none_or(|name| self.facts.reads.get(name) == Some(&1));
        let is_plain = function.def.decorator_list.is_empty();
        match is_only && is_plain {
            true => self.call_function(number, Some(arguments), receiver),
            false => {
                // What is changed in place within the function is changed for its callers.
                for argument in arguments {
                    self.change_parameter(number, argument);
                }
                self.call_function(number, None, receiver)
            }
        }
    }

    fn change_parameter(&self, number: usize, argument: &Argument) {
        let parameters = &self.functions[number].def.parameters;
        if parameters.iter().any(|parameter| self.facts.changed.contains(parameter.name().as_str())) {
            argument.item.val.change();
        }
    }

    /// Runs a function whose parameters are given on the command line (`fire.Fire(train)`): their defaults count.
    pub(super) fn call_from_command_line(&mut self, number: usize) {
        let Some(function) = self.functions.get(number) else { return };
        let parameters = &function.def.parameters;
        let mut arguments = Vec::new();
        for parameter in parameters.iter_non_variadic_params() {
            let Some(default) = parameter.default() else { continue };
            let mut val = self.eval(default);
            val.origin = Some(format!("the default of --{}", parameter.name().as_str()).into());
            let item = Item { val, span: span(default.range()) };
            arguments.push(Argument {
                name: Some(parameter.name().as_str().into()),
                at: item.span.start,
                item,
            });
        }
        self.call_function(number, Some(&arguments), None);
    }

    /// Creates an instance of a class of the script. A class that derives from a library's is a call of that one.
    pub(super) fn instantiate(
        &mut self,
        number: usize,
        arguments: Vec<Argument>,
        at: usize,
        from_command_line: bool,
    ) -> Val {
        let Some(class) = self.classes.get(number) else { return Val::UNKNOWN };
        let origin = |name: &str| from_command_line.then(|| Rc::from(format!("the default of --{name}")));
        if let Some(base) = &class.base
            && super::is_wanted(base.rsplit('.').next().unwrap_or_default())
        {
            let (base, mut all) = (base.clone(), arguments);
            for name in &class.order {
                if all.iter().any(|argument| argument.name.as_deref() == Some(name)) {
                    continue;
                }
                if let Some(mut val) = class.fields.get(name) {
                    val.origin = origin(name).or(val.origin);
                    let item = Item { val, span: at..at };
                    all.push(Argument { name: Some((*name).into()), at, item });
                }
            }
            return self.record(base, None, at, all);
        }
        let fields = class.fields.copied();
        let methods = class.methods.get("__init__").copied();
        for (index, name) in class.order.iter().enumerate() {
            let given = arguments.iter().find(|argument| argument.name.as_deref() == Some(name));
            let by_position = || arguments.get(index).filter(|argument| argument.name.is_none());
            match given.or_else(by_position) {
                Some(argument) => fields.define(name, argument.item.val.clone()),
                None if arguments.iter().any(|argument| argument.name.as_deref() == Some("**")) => {
                    fields.define(name, Val::UNKNOWN);
                }
                None => {
                    if let (Some(mut val), Some(origin)) = (fields.get(name), origin(name)) {
                        val.origin = Some(origin);
                        fields.define(name, val);
                    }
                }
            }
        }
        fields.class.set(Some(number));
        let instance = Val::object(Kind::Fields(Rc::new(fields)));
        if let Some(init) = methods {
            let has_run = self.functions.get(init).is_some_and(|function| function.has_run);
            match has_run {
                // The second instance's fields are not followed.
                true => {
                    if let Some(Kind::Fields(fields)) = instance.kind() {
                        fields.lost.set(true);
                    }
                }
                false => drop(self.call_once(init, &arguments, Some(instance.clone()), Some(number))),
            }
        }
        instance
    }

    /// Returns the function that is a method of a class.
    pub(super) fn method(&self, class: usize, name: &str) -> Option<usize> {
        self.classes.get(class)?.methods.get(name).copied()
    }

    /// Whether the names that are read often include this one more than once.
    pub(super) fn is_read_once(&self, name: &str) -> bool {
        self.facts.reads.get(name) == Some(&1)
    }
}

/// Returns what a function returns, if that is an object or several: other results are not followed.
fn returned(returns: Vec<Val>) -> Val {
    let is_object = |val: &Val| match &val.what {
        What::List(list) => list.items.iter().any(|item| item.val.is_object()),
        _ => val.is_object(),
    };
    match merged(returns) {
        val if is_object(&val) => val,
        _ => Val::UNKNOWN,
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
