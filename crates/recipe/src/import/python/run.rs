//! Runs a script as far as it is certain: statements in their order, branches as possibilities, functions where they are called. Nothing is
//! executed but arithmetic of literals; the result are the calls with their arguments. Here is the state of a run; what it does with statements
//! ([`super::statements`]), branches ([`super::branches`]), names ([`super::names`]) and expressions ([`super::eval`]) is beside it.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use ruff_python_ast::{Expr, Stmt, StmtFunctionDef};
use ruff_text_size::TextRange;

use super::bindings::Bindings;
use super::facts::Facts;
use super::value::{Argument, Call, Fields, Kind, Val, What};

/// Depth of expressions, blocks and calls together.
pub(super) const MAX_DEPTH: usize = 250;
/// Fields and methods that all classes and instances may copy from others.
const MAX_COPIED: usize = 200_000;
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
    pub(super) log: Vec<(usize, &'a str, Option<Val>)>,
    pub(super) branch: usize,
    reached: bool,
    pub(super) depth: usize,
    pub(super) nested_calls: usize,
    pub(super) order: usize,
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

/// Keeps the first origin of the values that a result is made from.
pub(super) fn with_origin(what: Option<What>, from: &[&Val]) -> Val {
    match what {
        Some(what) => Val { what, origin: from.iter().find_map(|val| val.origin.clone()) },
        None => Val::UNKNOWN,
    }
}
