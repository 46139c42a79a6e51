//! What holds for a whole script, found without running anything: which names hold a list or dictionary that is changed in place, which a function
//! may bind, and how often each is read.

use std::collections::{HashMap, HashSet};

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, ExprContext, Stmt};

/// Methods that change a list or dictionary in place.
pub(super) const CHANGING: &[&str] = &[
    "append",
    "extend",
    "insert",
    "remove",
    "pop",
    "clear",
    "sort",
    "reverse",
    "update",
    "setdefault",
    "popitem",
    "add",
    "discard",
    "__setitem__",
    "__delitem__",
];

/// What holds for the whole script.
#[derive(Debug, Default)]
pub(super) struct Facts<'a> {
    /// Names that a function declares global or nonlocal: it may bind them at any time.
    pub(super) shared: HashSet<&'a str>,
    /// Names and attributes of lists and dictionaries that are changed in place.
    pub(super) changed: HashSet<&'a str>,
    /// How often names and attributes are read.
    pub(super) reads: HashMap<&'a str, usize>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(body: &'a [Stmt]) -> Self {
        let mut facts = Self::default();
        facts.visit_body(body);
        facts
    }

    fn change(&mut self, mut target: &'a Expr) {
        loop {
            target = match target {
                Expr::Subscript(subscript) => &subscript.value,
                Expr::Attribute(attribute) => {
                    self.changed.insert(attribute.attr.as_str());
                    &attribute.value
                }
                Expr::Name(name) => {
                    self.changed.insert(name.id.as_str());
                    return;
                }
                _ => return,
            };
        }
    }

    fn assigned(&mut self, target: &'a Expr) {
        match target {
            Expr::Subscript(_) => self.change(target),
            Expr::Tuple(tuple) => tuple.elts.iter().for_each(|target| self.assigned(target)),
            Expr::List(list) => list.elts.iter().for_each(|target| self.assigned(target)),
            _ => {}
        }
    }
}

impl<'a> Visitor<'a> for Facts<'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Global(global) => self.shared.extend(global.names.iter().map(|name| name.as_str())),
            Stmt::Nonlocal(nonlocal) => self.shared.extend(nonlocal.names.iter().map(|name| name.as_str())),
            Stmt::Assign(assign) => assign.targets.iter().for_each(|target| self.assigned(target)),
            Stmt::AnnAssign(assign) => self.assigned(&assign.target),
            Stmt::AugAssign(assign) => self.change(&assign.target),
            Stmt::Delete(delete) => delete.targets.iter().for_each(|target| self.assigned(target)),
            Stmt::For(each) => self.assigned(&each.target),
            _ => {}
        }
        walk_stmt(self, stmt);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Name(name) if name.ctx == ExprContext::Load => {
                *self.reads.entry(name.id.as_str()).or_default() += 1;
            }
            Expr::Attribute(attribute) if attribute.ctx == ExprContext::Load => {
                *self.reads.entry(attribute.attr.as_str()).or_default() += 1;
            }
            Expr::Call(call) => {
                if let Expr::Attribute(method) = &*call.func
                    && CHANGING.contains(&method.attr.as_str())
                {
                    self.change(&method.value);
                }
            }
            _ => {}
        }
        walk_expr(self, expr);
    }
}
