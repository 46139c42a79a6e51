//! Names and attributes: how they get their values, and which values are certain.

use std::ops::Range;
use std::rc::Rc;

use ruff_python_ast::Expr;
use ruff_text_size::Ranged;

use super::run::{Run, ScopeKind, span};
use super::value::{Change, Item, Kind, Val, What};

impl<'a> Run<'a> {
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

    /// Binds a name of a scope. In a branch, remembers the value before.
    pub(super) fn bind_in(&mut self, scope: usize, name: &'a str, val: Val) {
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

    /// Says that the elements of a list or dictionary may be changed, where each is bound to a name.
    pub(super) fn change_elements(&self, val: &Val) {
        match &val.what {
            What::List(list) => list.items.iter().for_each(|item| item.val.change()),
            What::Dict(dict) => dict.entries.iter().for_each(|(_, item)| item.val.change()),
            _ => {}
        }
    }
}
