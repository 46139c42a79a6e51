//! Where the names of a scope are bound, and how often, found without running anything.

use std::collections::{HashMap, HashSet};

use ruff_python_ast::visitor::{Visitor, walk_except_handler, walk_expr, walk_pattern, walk_stmt};
use ruff_python_ast::{ExceptHandler, Expr, Parameters, Pattern, Stmt};

/// The names of a scope.
#[derive(Debug, Default)]
pub(super) struct Bindings<'a> {
    names: HashMap<&'a str, Binding>,
    /// Names that `global` takes from the module.
    pub(super) globals: HashSet<&'a str>,
    branch: usize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Binding {
    times: usize,
    uncertain: bool,
}

impl<'a> Bindings<'a> {
    /// Finds the names that a body binds. The body of `if __name__ == "__main__"` is no branch.
    pub(super) fn of(body: &'a [Stmt], parameters: Option<&'a Parameters>) -> Self {
        let mut bindings = Self::default();
        for parameter in parameters.into_iter().flat_map(|parameters| parameters.iter()) {
            bindings.bind(parameter.name().as_str());
        }
        bindings.visit_body(body);
        bindings
    }

    /// Binds names whose values are never known.
    pub(super) fn unknown(&mut self, names: &[&'a str]) {
        names.iter().for_each(|name| self.bind_unknown(name));
    }

    /// Whether the scope binds a name at all.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains_key(name) && !self.globals.contains(name)
    }

    /// Whether the scope binds a name once, in no branch or loop.
    pub(super) fn is_once(&self, name: &str) -> bool {
        self.names.get(name).is_some_and(|binding| binding.times == 1 && !binding.uncertain)
    }

    fn bind(&mut self, name: &'a str) {
        let uncertain = self.branch > 0;
        let binding = self.names.entry(name).or_default();
        binding.times += 1;
        binding.uncertain |= uncertain;
    }

    /// Binds a name to a value that is never known.
    fn bind_unknown(&mut self, name: &'a str) {
        let binding = self.names.entry(name).or_default();
        binding.times += 1;
        binding.uncertain = true;
    }

    fn targets(&mut self, target: &'a Expr, is_known: bool) {
        match target {
            Expr::Name(name) if is_known => self.bind(name.id.as_str()),
            Expr::Name(name) => self.bind_unknown(name.id.as_str()),
            Expr::Tuple(tuple) => tuple.elts.iter().for_each(|target| self.targets(target, is_known)),
            Expr::List(list) => list.elts.iter().for_each(|target| self.targets(target, is_known)),
            Expr::Starred(starred) => self.targets(&starred.value, false),
            other => self.visit_expr(other),
        }
    }

    fn within_branch(&mut self, visit: impl FnOnce(&mut Self)) {
        self.branch += 1;
        visit(self);
        self.branch -= 1;
    }
}

impl<'a> Visitor<'a> for Bindings<'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(function) => {
                self.bind(function.name.as_str());
                function.decorator_list.iter().for_each(|decorator| self.visit_decorator(decorator));
                for parameter in function.parameters.iter_non_variadic_params() {
                    if let Some(default) = parameter.default() {
                        self.visit_expr(default);
                    }
                }
            }
            Stmt::ClassDef(class) => self.bind(class.name.as_str()),
            Stmt::Assign(assign) => {
                self.visit_expr(&assign.value);
                assign.targets.iter().for_each(|target| self.targets(target, true));
            }
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    self.visit_expr(value);
                    self.targets(&assign.target, true);
                }
            }
            Stmt::AugAssign(assign) => {
                self.visit_expr(&assign.value);
                self.targets(&assign.target, false);
            }
            Stmt::Delete(delete) => delete.targets.iter().for_each(|target| self.targets(target, false)),
            Stmt::For(each) => {
                self.visit_expr(&each.iter);
                self.targets(&each.target, false);
                self.within_branch(|this| {
                    this.visit_body(&each.body);
                    this.visit_body(&each.orelse);
                });
            }
            Stmt::With(with) => {
                for item in &with.items {
                    self.visit_expr(&item.context_expr);
                    if let Some(target) = &item.optional_vars {
                        self.targets(target, false);
                    }
                }
                self.visit_body(&with.body);
            }
            Stmt::If(branch) if is_main(&branch.test) => self.visit_body(&branch.body),
            Stmt::If(_) | Stmt::While(_) | Stmt::Match(_) => self.within_branch(|this| walk_stmt(this, stmt)),
            Stmt::Try(attempt) => {
                self.within_branch(|this| {
                    this.visit_body(&attempt.body);
                    attempt.handlers.iter().for_each(|handler| this.visit_except_handler(handler));
                    this.visit_body(&attempt.orelse);
                });
                self.visit_body(&attempt.finalbody);
            }
            Stmt::Import(import) => {
                for alias in &import.names {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
                    self.bind(name.split('.').next().unwrap_or_default());
                }
            }
            Stmt::ImportFrom(import) => {
                for alias in &import.names {
                    self.bind(alias.asname.as_ref().unwrap_or(&alias.name).as_str());
                }
            }
            Stmt::Global(global) => self.globals.extend(global.names.iter().map(|name| name.as_str())),
            Stmt::Nonlocal(nonlocal) => {
                nonlocal.names.iter().for_each(|name| self.bind_unknown(name.as_str()));
            }
            _ => walk_stmt(self, stmt),
        }
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Named(named) = expr {
            self.targets(&named.target, false);
        }
        walk_expr(self, expr);
    }

    fn visit_except_handler(&mut self, handler: &'a ExceptHandler) {
        let ExceptHandler::ExceptHandler(inner) = handler;
        if let Some(name) = &inner.name {
            self.bind_unknown(name.as_str());
        }
        walk_except_handler(self, handler);
    }

    fn visit_pattern(&mut self, pattern: &'a Pattern) {
        let name = match pattern {
            Pattern::MatchAs(pattern) => pattern.name.as_ref(),
            Pattern::MatchStar(pattern) => pattern.name.as_ref(),
            Pattern::MatchMapping(pattern) => pattern.rest.as_ref(),
            _ => None,
        };
        if let Some(name) = name {
            self.bind_unknown(name.as_str());
        }
        walk_pattern(self, pattern);
    }
}

/// Whether a condition is `__name__ == "__main__"`.
pub(super) fn is_main(test: &Expr) -> bool {
    let Expr::Compare(compare) = test else { return false };
    let is_name = |expr: &Expr| matches!(expr, Expr::Name(name) if name.id.as_str() == "__name__");
    let is_text =
        |expr: &Expr| matches!(expr, Expr::StringLiteral(text) if text.value.to_str() == "__main__");
    match &*compare.comparators {
        [right] => is_name(&compare.left) && is_text(right) || is_text(&compare.left) && is_name(right),
        _ => false,
    }
}
