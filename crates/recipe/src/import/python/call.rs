//! Evaluates calls: Python's own functions that are certain, argparse and dataclasses, the script's functions and classes. Others are recorded.

use std::rc::Rc;

use ruff_python_ast::{Expr, ExprCall};
use ruff_text_size::Ranged;

use super::builtins;
use super::facts::CHANGING;
use super::run::{Run, span, with_origin};
use super::value::{Argument, Call, Fields, Item, Kind, MAX_SIZE, Val, What};

/// Most arguments of a call that are read.
const MAX_ARGUMENTS: usize = 1000;

/// What is called.
type Name = Rc<str>;

enum Callee {
    Named(Name),
    Method(Val, Name),
    Function(usize),
    Class(usize),
    Unknown,
}

impl<'a> Run<'a> {
    #[inline(never)]
    pub(super) fn call(&mut self, call: &'a ExprCall) -> Val {
        let callee = match &*call.func {
            Expr::Attribute(attribute) => {
                let base = self.eval(&attribute.value);
                self.callee_of(base, attribute.attr.as_str())
            }
            other => {
                let val = self.eval(other);
                callee(&val)
            }
        };
        let arguments = self.arguments(call);
        let at = span(call.range()).start;
        match &callee {
            Callee::Method(base, name) if &**name == "__init__" && is_super(base) => {
                self.give_to_base(&arguments);
                return What::None.into();
            }
            // `SFTConfig.__init__(self, ...)`
            Callee::Named(name) if name.ends_with(".__init__") => {
                self.give_to_base(arguments.get(1..).unwrap_or_default());
                return What::None.into();
            }
            _ => {}
        }
        match callee {
            Callee::Named(name) => self.named(&name, arguments, call),
            Callee::Method(base, name) => self.method_call(base, name, arguments, at),
            Callee::Function(number) => self.call_once(number, &arguments, None, None),
            Callee::Class(number) => self.instantiate(number, arguments, at, false),
            Callee::Unknown => Val::UNKNOWN,
        }
    }

    fn callee_of(&mut self, base: Val, name: &str) -> Callee {
        match base.kind() {
            Some(Kind::Import(module)) if module.len() + name.len() < 256 => {
                Callee::Named(format!("{module}.{name}").into())
            }
            _ => match &base.what {
                What::Either(all) => match all
                    .iter()
                    .filter(|val| matches!(val.kind(), Some(Kind::Import(_))))
                    .collect::<Vec<_>>()[..]
                {
                    [one] => self.callee_of(one.clone(), name),
                    _ => Callee::Method(base.clone(), name.into()),
                },
                _ => Callee::Method(base.clone(), name.into()),
            },
        }
    }

    #[inline(never)]
    fn arguments(&mut self, call: &'a ExprCall) -> Vec<Argument> {
        let mut all = Vec::new();
        let unknown = |at: usize, item: Item| Argument { name: Some("**".into()), at, item };
        for expr in &call.arguments.args {
            let at = span(expr.range());
            if let Expr::Starred(starred) = expr {
                let val = self.eval(&starred.value);
                match &val.what {
                    What::List(list) if all.len() < MAX_ARGUMENTS => {
                        all.extend(list.items.iter().cloned().map(|item| Argument {
                            name: None,
                            at: item.span.start,
                            item,
                        }))
                    }
                    _ => all.push(unknown(at.start, Item { val, span: at })),
                }
                continue;
            }
            let val = self.eval(expr);
            all.push(Argument { name: None, at: at.start, item: Item { val, span: at } });
        }
        for keyword in &call.arguments.keywords {
            let at = span(keyword.range());
            let item = Item { val: self.eval(&keyword.value), span: span(keyword.value.range()) };
            match (&keyword.arg, &item.val.what) {
                (Some(name), _) => {
                    all.push(Argument { name: Some(name.as_str().into()), at: at.start, item })
                }
                (None, What::Dict(dict)) if all.len() < MAX_ARGUMENTS => {
                    let mut given = std::collections::HashSet::new();
                    let mut entries = Vec::new();
                    let mut is_certain = true;
                    for (name, inner) in dict.entries.iter().rev() {
                        let Some(name) = name else {
                            is_certain = false;
                            entries.push(unknown(inner.span.start, inner.clone()));
                            continue;
                        };
                        if !given.insert(name.clone()) {
                            continue;
                        }
                        // A dictionary that is not known may replace what stands before it.
                        let val = if is_certain { inner.val.clone().settled() } else { Val::UNKNOWN };
                        let item = Item { val, span: inner.span.clone() };
                        entries.push(Argument { name: Some(name.clone()), at: item.span.start, item });
                    }
                    all.extend(entries.into_iter().rev());
                }
                (None, _) => all.push(unknown(at.start, Item { span: at, ..item })),
            }
        }
        if all.len() > MAX_ARGUMENTS {
            all.truncate(MAX_ARGUMENTS);
            let at = span(call.range()).start;
            all.push(unknown(at, Item { val: Val::UNKNOWN, span: at..at }));
        }
        all
    }

    /// Calls a name of another module, or one of Python's own.
    #[inline(never)]
    fn named(&mut self, name: &Name, arguments: Vec<Argument>, call: &'a ExprCall) -> Val {
        let at = span(call.range());
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_positional = arguments.iter().all(|argument| argument.name.is_none());
        match (&**name, arguments.as_slice()) {
            ("int" | "float" | "str" | "bool" | "len" | "abs" | "list" | "tuple", [one]) if is_positional => {
                return with_origin(builtins::function(name, &one.item.val.what), &[&one.item.val]);
            }
            ("list", []) => return Val::list(Vec::new(), false),
            ("dict", _) => return dict(&arguments),
            ("os.path.join", [_, ..]) if is_positional => {
                let parts: Vec<What> =
                    arguments.iter().map(|argument| argument.item.val.what.clone()).collect();
                let from: Vec<&Val> = arguments.iter().map(|argument| &argument.item.val).collect();
                return with_origin(builtins::joined_path(&parts), &from);
            }
            ("setattr", [object, attribute, value]) if is_positional => {
                let attribute = match &attribute.item.val.what {
                    What::Text(name) => Some(&**name),
                    _ => None,
                };
                self.set_attribute(&object.item.val, attribute, at.start, value.item.clone());
                return What::None.into();
            }
            ("vars" | "dataclasses.asdict" | "asdict", [one]) if is_positional => {
                return match one.item.val.kind() {
                    Some(Kind::Fields(fields)) if self.may_copy(fields.len()) => fields.dict(at),
                    _ => Val::UNKNOWN,
                };
            }
            ("exec" | "globals" | "locals", _) => {
                self.forget();
                return Val::UNKNOWN;
            }
            ("argparse.ArgumentParser" | "ArgumentParser", _) => {
                return Val::object(Kind::ArgumentParser(Rc::default()));
            }
            ("types.SimpleNamespace" | "SimpleNamespace" | "argparse.Namespace" | "Namespace", _) => {
                let fields = Fields::default();
                for argument in &arguments {
                    match argument.name.as_deref() {
                        Some("**") | None => fields.lost.set(true),
                        Some(name) => fields.define(name, argument.item.val.clone()),
                    }
                }
                return Val::object(Kind::Fields(Rc::new(fields)));
            }
            ("fire.Fire" | "Fire" | "typer.run", [one, ..]) => {
                if let Some(Kind::Function(number)) = one.item.val.kind() {
                    self.call_from_command_line(*number);
                }
                return Val::UNKNOWN;
            }
            _ => {}
        }
        let is_wanted = super::is_wanted(last) || matches!(last, "field" | "Field");
        let val = self.record(name.clone(), None, at.start, arguments);
        if !is_wanted {
            self.calls.pop();
        }
        val
    }

    /// Calls a method of a value.
    #[inline(never)]
    fn method_call(&mut self, base: Val, name: Name, arguments: Vec<Argument>, at: usize) -> Val {
        if CHANGING.contains(&&*name) {
            base.change();
        }
        let is_positional = arguments.iter().all(|argument| argument.name.is_none());
        let values = || arguments.iter().map(|argument| argument.item.val.what.clone()).collect::<Vec<_>>();
        match (base.kind(), &base.what) {
            (Some(Kind::ArgumentParser(parser)), _) => self.parser_method(&base, parser, &name, &arguments),
            (Some(Kind::Fields(fields)), _) => {
                let method = fields.class.get().and_then(|class| Some((class, self.method(class, &name)?)));
                match method {
                    Some((class, number)) if self.is_read_once(&name) => {
                        self.call_once(number, &arguments, Some(base.clone()), Some(class))
                    }
                    Some((_, number)) => self.call_function(number, None, Some(base.clone())),
                    None if matches!(&*name, "to_dict" | "dict" | "model_dump")
                        && self.may_copy(fields.len()) =>
                    {
                        fields.dict(at..at)
                    }
                    None => Val::UNKNOWN,
                }
            }
            (Some(Kind::Call(parser)), _) if is_dataclass_parser(parser) => {
                self.parsed_dataclasses(&parser.clone(), &name, &arguments, at)
            }
            (Some(_), _) | (_, What::Either(_)) => {
                let is_wanted = super::is_wanted(&name);
                let val = self.record(name, Some(base), at, arguments);
                if !is_wanted {
                    self.calls.pop();
                }
                val
            }
            (None, What::Dict(dict)) => match (&*name, values().as_slice()) {
                ("copy", []) => base.clone(),
                ("get", [What::Text(key), rest @ ..]) if is_positional => match dict.get(key) {
                    Some(item) => item.val.clone().settled(),
                    None if dict.entries.iter().any(|(name, _)| name.is_none()) => Val::UNKNOWN,
                    None => rest.first().cloned().unwrap_or(What::None).into(),
                },
                _ => Val::UNKNOWN,
            },
            (None, what) if is_positional => with_origin(builtins::method(what, &name, &values()), &[&base]),
            _ => Val::UNKNOWN,
        }
    }

    /// Calls a method of argparse's parser.
    fn parser_method(&mut self, base: &Val, parser: &Rc<Fields>, name: &str, arguments: &[Argument]) -> Val {
        match name {
            "add_argument" => {
                add_argument(parser, arguments);
                Val::UNKNOWN
            }
            "set_defaults" => {
                for argument in arguments {
                    if let Some(name) = argument.name.as_deref() {
                        let origin = Some(format!("the default of --{name}").into());
                        parser.define(name, Val { origin, ..argument.item.val.clone() });
                    }
                }
                Val::UNKNOWN
            }
            "add_argument_group" | "add_mutually_exclusive_group" => base.clone(),
            "parse_args" => Val::object(Kind::Fields(Rc::new(self.parsed(parser, arguments)))),
            "parse_known_args" => {
                let known = Val::object(Kind::Fields(Rc::new(self.parsed(parser, arguments))));
                let item = |val| Item { val, span: 0..0 };
                Val::list(vec![item(known), item(Val::UNKNOWN)], true)
            }
            _ => Val::UNKNOWN,
        }
    }

    /// Creates the instances that `HfArgumentParser` or `TrlParser` returns, from their classes' defaults.
    fn parsed_dataclasses(&mut self, parser: &Call, name: &str, arguments: &[Argument], at: usize) -> Val {
        let gives_arguments = arguments
            .iter()
            .any(|argument| matches!(argument.name.as_deref(), None | Some("args" | "args_filename" | "**")));
        if gives_arguments || !matches!(name, "parse_args_into_dataclasses" | "parse_args_and_config") {
            return Val::UNKNOWN;
        }
        let Some(classes) = parser.argument("dataclass_types", Some(0)) else { return Val::UNKNOWN };
        let classes: Vec<Val> = match &classes.item.val.what {
            What::List(list) => list.items.iter().map(|item| item.val.clone()).collect(),
            _ => vec![classes.item.val.clone()],
        };
        let mut items = Vec::new();
        for class in classes.into_iter().take(MAX_SIZE) {
            let val = match class.kind() {
                Some(Kind::Class(number)) => self.instantiate(*number, Vec::new(), at, true),
                Some(Kind::Import(name)) => self.record(name.clone(), None, at, Vec::new()),
                _ => Val::UNKNOWN,
            };
            if let Some(call) = val.call() {
                call.is_parsed.set(true);
            }
            items.push(Item { val, span: at..at });
        }
        if !arguments.is_empty() {
            items.push(Item { val: Val::UNKNOWN, span: at..at });
        }
        Val::list(items, true)
    }

    /// Returns the fields of argparse's namespace: the defaults, if no arguments are given in the script itself.
    fn parsed(&mut self, parser: &Fields, arguments: &[Argument]) -> Fields {
        let fields = self.copy_fields(parser);
        let is_empty = |what: &What| match what {
            What::None => true,
            What::List(list) => list.items.is_empty(),
            What::Text(text) => text.is_empty(),
            _ => false,
        };
        if !arguments.iter().all(|argument| is_empty(&argument.item.val.what)) {
            fields.lost.set(true);
        }
        fields
    }
}

fn is_super(val: &Val) -> bool {
    val.call().is_some_and(|call| &*call.name == "super")
}

fn callee(val: &Val) -> Callee {
    match val.kind() {
        Some(Kind::Import(name)) => Callee::Named(name.clone()),
        Some(Kind::Function(number)) => Callee::Function(*number),
        Some(Kind::Class(number)) => Callee::Class(*number),
        _ => match &val.what {
            What::Either(all) => {
                let is_callable = |val: &&Val| {
                    matches!(val.kind(), Some(Kind::Import(_) | Kind::Function(_) | Kind::Class(_)))
                };
                match all.iter().filter(is_callable).collect::<Vec<_>>().as_slice() {
                    [one] => callee(one),
                    _ => Callee::Unknown,
                }
            }
            _ => Callee::Unknown,
        },
    }
}

fn is_dataclass_parser(call: &Call) -> bool {
    matches!(call.last(), "HfArgumentParser" | "TrlParser")
}

/// Makes the dictionary of `dict(...)`.
fn dict(arguments: &[Argument]) -> Val {
    let mut entries = Vec::new();
    for argument in arguments {
        match (argument.name.as_deref(), &argument.item.val.what) {
            (None, What::Dict(inner)) => entries.extend(inner.entries.iter().cloned()),
            (None, _) => return Val::UNKNOWN,
            (Some("**"), _) => entries.push((None, argument.item.clone())),
            (Some(name), _) => entries.push((Some(name.into()), argument.item.clone())),
        }
    }
    Val::dict(entries)
}

/// Reads `parser.add_argument("--lr", type=float, default=2e-4)`.
fn add_argument(parser: &Fields, arguments: &[Argument]) {
    let named = |name: &str| {
        arguments
            .iter()
            .find(|argument| argument.name.as_deref() == Some(name))
            .map(|argument| &argument.item.val)
    };
    let flags: Vec<&str> = arguments
        .iter()
        .filter(|argument| argument.name.is_none())
        .filter_map(
            |argument| if let What::Text(text) = &argument.item.val.what { Some(&**text) } else { None },
        )
        .collect();
    let flag = flags.iter().find(|flag| flag.starts_with("--")).or(flags.first());
    let Some(flag) = flag else { return };
    let plain = flag.trim_start_matches('-').replace('-', "_");
    let name = match named("dest").map(|val| &val.what) {
        Some(What::Text(name)) => name.to_string(),
        _ => plain,
    };
    let action = match named("action").map(|val| &val.what) {
        Some(What::Text(action)) => action.to_string(),
        _ => String::new(),
    };
    let kind = match named("type").and_then(Val::kind) {
        Some(Kind::Import(kind)) => Some(kind.to_string()),
        _ => None,
    };
    let what = match (named("default"), action.as_str()) {
        // argparse converts a default that is a text.
        (Some(Val { what: What::Text(text), .. }), _) => match kind.as_deref() {
            None | Some("str") => What::Text(text.clone()),
            Some(kind) => builtins::function(kind, &What::Text(text.clone())).unwrap_or(What::Unknown),
        },
        (Some(default), _) => default.clone().settled().what,
        (None, "store_true") => What::Bool(false),
        (None, "store_false") => What::Bool(true),
        _ => What::Unknown,
    };
    let known = parser.get(&name).is_some();
    let what = if known { What::Unknown } else { what };
    parser.define(&name, Val { what, origin: Some(format!("the default of {flag}").into()) });
}
