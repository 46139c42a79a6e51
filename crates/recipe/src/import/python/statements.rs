//! Statements, in their order.

use ruff_python_ast::{ExceptHandler, Stmt, StmtIf, StmtImport, StmtImportFrom, StmtWith};
use ruff_text_size::Ranged;

use super::bindings::is_main;
use super::run::{MAX_DEPTH, Run, span};
use super::value::{Val, What};

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

impl<'a> Run<'a> {
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

    /// Runs a statement. Returns whether it leaves the block.
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
            Stmt::With(stmt) => return self.with(stmt),
            Stmt::Import(stmt) => self.import(stmt),
            Stmt::ImportFrom(stmt) => self.import_from(stmt),
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

    fn with(&mut self, stmt: &'a StmtWith) -> bool {
        for item in &stmt.items {
            self.eval(&item.context_expr);
            if let Some(target) = &item.optional_vars {
                self.assign(target, &Val::UNKNOWN, span(target.range()));
            }
        }
        self.body(&stmt.body)
    }

    fn import(&mut self, stmt: &'a StmtImport) {
        for alias in &stmt.names {
            let first = alias.name.as_str().split('.').next().unwrap_or_default();
            match &alias.asname {
                Some(name) => self.bind(name.as_str(), Val::import(alias.name.as_str())),
                None => self.bind(first, Val::import(first)),
            }
        }
    }

    fn import_from(&mut self, stmt: &'a StmtImportFrom) {
        let module = stmt.module.as_ref().map(|module| module.as_str()).unwrap_or_default();
        let is_library = stmt.level == 0 && LIBRARIES.contains(&module.split('.').next().unwrap_or_default());
        for alias in &stmt.names {
            let name = alias.name.as_str();
            match name {
                "*" if is_library => {}
                "*" => self.forget(),
                _ => {
                    let known_as = alias.asname.as_ref().map_or(name, |name| name.as_str());
                    self.bind(known_as, Val::import(&format!("{module}.{name}")));
                }
            }
        }
    }

    /// Runs a statement that has branches.
    #[inline(never)]
    fn branching(&mut self, stmt: &'a Stmt) -> bool {
        match stmt {
            Stmt::If(stmt) if is_main(&stmt.test) => self.body(&stmt.body),
            Stmt::If(stmt) => self.conditional(stmt),
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

    fn conditional(&mut self, stmt: &'a StmtIf) -> bool {
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
}
