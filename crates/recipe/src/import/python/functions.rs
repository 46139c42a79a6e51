//! The functions and classes of a script: their definition, and what a call of one does.

use std::collections::HashMap;
use std::rc::Rc;

use ruff_python_ast::{Expr, Parameters, Stmt, StmtClassDef, StmtFunctionDef};
use ruff_text_size::Ranged;

use super::bindings::Bindings;
use super::branches::merged;
use super::run::{Class, Function, Run, Scope, ScopeKind, span};
use super::value::{Argument, Fields, Item, Kind, Val, What};

/// Calls within calls of the script's functions.
const MAX_CALLS: usize = 16;

impl<'a> Run<'a> {
    /// Defines a function. Its body runs where it is called.
    pub(super) fn define(&mut self, def: &'a StmtFunctionDef) {
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

    pub(super) fn class(&mut self, def: &'a StmtClassDef) {
        for decorator in &def.decorator_list {
            self.eval(&decorator.expression);
        }
        let (mut base, mut fields, mut order, mut methods) =
            (None, Fields::default(), Vec::new(), HashMap::new());
        for parent in def.arguments.iter().flat_map(|arguments| arguments.args.iter()) {
            let parent = self.eval(parent);
            match parent.kind() {
                Some(Kind::Class(parent)) => {
                    let Some(class) = self.classes.get(*parent) else { continue };
                    base = base.or_else(|| class.base.clone());
                    let (inherited, size) = (class.fields.clone(), class.order.len() + class.methods.len());
                    fields = self.copy_fields(&inherited);
                    if self.may_copy(size)
                        && let Some(class) = self.classes.get(*parent)
                    {
                        order.clone_from(&class.order);
                        methods.clone_from(&class.methods);
                    } else {
                        fields.lost.set(true);
                    }
                }
                Some(Kind::Import(name)) => base = base.or_else(|| Some(name.clone())),
                _ => {}
            }
        }
        let inherits_init = methods.contains_key("__init__");
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
        // Pydantic's settings may come from the environment.
        if base.as_deref().is_some_and(|base: &str| base.ends_with("BaseSettings")) {
            fields.lost.set(true);
        }
        let number = self.classes.len();
        let overrides_init = inherits_init && self.scopes[scope].values.contains_key("__init__");
        self.classes.push(Class { fields: Rc::new(fields), order, methods, base, overrides_init });
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
        let items = positional.map(|argument| argument.item.clone()).collect();
        let (rest, named) = match is_open {
            true => (Val::UNKNOWN, Val::UNKNOWN),
            false => (Val::list(items, true), other_keywords(parameters, arguments.unwrap_or_default())),
        };
        values.extend(parameters.vararg.iter().map(|parameter| (parameter.name.as_str(), rest.clone())));
        values.extend(parameters.kwarg.iter().map(|parameter| (parameter.name.as_str(), named.clone())));
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
            if let Some(init) = class.methods.get("__init__").copied() {
                return self.initialize(number, init, base.clone(), &arguments, at);
            }
            let init = class.methods.get("__post_init__").copied();
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
            if class.fields.lost.get() {
                let item = Item { val: Val::UNKNOWN, span: at..at };
                all.push(Argument { name: Some("**".into()), at, item });
            }
            let instance = self.record(base, None, at, all);
            if let Some(init) = init {
                self.call_once(init, &[], Some(instance.clone()), Some(number));
            }
            return instance;
        }
        let inherited = class.fields.clone();
        let fields = self.copy_fields(&inherited);
        let Some(class) = self.classes.get(number) else { return Val::UNKNOWN };
        let methods = class.methods.get("__init__").or(class.methods.get("__post_init__")).copied();
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

    /// Whether the script reads a name in one place only.
    pub(super) fn is_read_once(&self, name: &str) -> bool {
        self.facts.reads.get(name) == Some(&1)
    }
}

/// Makes the dictionary that a function's `**parameter` is bound to: the keyword arguments that no parameter takes.
fn other_keywords(parameters: &Parameters, arguments: &[Argument]) -> Val {
    let others = arguments.iter().filter_map(|argument| {
        let name = argument.name.as_ref().filter(|name| !takes(parameters, name))?;
        Some((Some(name.clone()), argument.item.clone()))
    });
    Val::dict(others.collect())
}

/// Whether a function has a parameter of this name.
pub(super) fn takes(parameters: &Parameters, name: &str) -> bool {
    parameters.iter_non_variadic_params().any(|parameter| parameter.name().as_str() == name)
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
