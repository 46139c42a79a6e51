//! Instances of a script's class that derives from a library's and has an `__init__`: what that gives to the library's.

use std::rc::Rc;

use ruff_text_size::Ranged;

use super::functions::takes;
use super::run::{Run, span};
use super::value::{Argument, Change, Fields, Item, Kind, Val, What};

/// The arguments that an `__init__` gives to that of its base class.
#[derive(Default)]
pub(super) struct Given {
    arguments: Option<Vec<Argument>>,
    /// Whether it is certain that these are they: it is called once, in no branch of the `__init__`.
    is_certain: bool,
    /// Branches in which the instance is made.
    branch: usize,
}

impl Run<'_> {
    /// Takes the arguments of `super().__init__(...)`, if the `__init__` of a class is running.
    pub(super) fn give_to_base(&mut self, arguments: &[Argument]) {
        let branch = self.branch;
        if let Some(given) = self.given_to_base.last_mut() {
            given.is_certain = branch == given.branch && given.arguments.is_none();
            given.arguments = Some(arguments.to_vec());
        }
    }

    /// Creates an instance of a class whose method `init` is its `__init__`: a call of its base class, of a library, with the arguments that
    /// `init` gives to that, and the attributes that it sets. Where these are not certain, the call is open (`**`).
    pub(super) fn initialize(
        &mut self,
        class: usize,
        init: usize,
        base: Rc<str>,
        arguments: &[Argument],
        at: usize,
    ) -> Val {
        let Some(def) = self.functions.get(init).map(|function| function.def) else { return Val::UNKNOWN };
        let has_run = self.functions.get(init).is_some_and(|function| function.has_run);
        let fields = Rc::new(Fields::default());
        fields.class.set(Some(class));
        let given = match has_run {
            true => Given::default(),
            false => {
                self.given_to_base.push(Given { branch: self.branch, ..Given::default() });
                let receiver = Val::object(Kind::Fields(fields.clone()));
                self.call_once(init, arguments, Some(receiver), Some(class));
                self.given_to_base.pop().unwrap_or_default()
            }
        };
        let is_certain =
            given.is_certain && self.classes.get(class).is_some_and(|class| !class.overrides_init);
        let is_missing = given.arguments.is_none();
        let mut all = given.arguments.unwrap_or_default();
        let is_open = |all: &[Argument]| all.iter().any(|argument| argument.name.as_deref() == Some("**"));
        if is_missing || is_open(&all) {
            // Its own arguments reach the base class through `*args, **kwargs`, as far as is known.
            let has_positional = all.iter().any(|argument| argument.name.is_none());
            let passes = |argument: &&Argument| match argument.name.as_deref() {
                None => is_missing && !has_positional,
                Some(name) => {
                    !takes(&def.parameters, name)
                        && !all.iter().any(|known| known.name.as_deref() == Some(name))
                }
            };
            let mut own: Vec<Argument> = arguments.iter().filter(passes).cloned().collect();
            own.append(&mut all);
            all = own;
        }
        if !is_certain && !is_open(&all) {
            let span = span(def.name.range());
            let item = Item { val: Val::UNKNOWN, span: span.clone() };
            all.push(Argument { name: Some("**".into()), at: span.start, item });
        }
        let post_init = self.method(class, "__post_init__");
        let instance = self.record(base, None, at, all);
        self.set_fields(&instance, &fields, at);
        if let Some(post_init) = post_init {
            self.call_once(post_init, &[], Some(instance.clone()), Some(class));
        }
        instance
    }

    /// Sets the attributes of an instance that its `__init__` set.
    fn set_fields(&mut self, instance: &Val, fields: &Fields, at: usize) {
        let Some(call) = instance.call() else { return };
        let change = |name: Option<Rc<str>>, val: Val, certain: bool| Change {
            name,
            at,
            order: call.order,
            item: Item { val, span: at..at },
            certain,
        };
        let mut changes = call.changes.borrow_mut();
        let all = fields.all.borrow();
        changes.extend(all.iter().map(|(name, (val, times))| {
            change(Some(name.clone()), val.clone(), *times == 1 && !matches!(val.what, What::Unknown))
        }));
        if fields.lost.get() {
            changes.push(change(None, Val::UNKNOWN, false));
        }
    }
}
