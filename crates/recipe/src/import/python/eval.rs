//! Evaluates expressions: the values of names, attributes and arithmetic. The calls on the way are recorded.

use ruff_python_ast::{
    Comprehension, ConversionFlag, Expr, ExprBoolOp, ExprCompare, ExprDict, ExprFString, FStringPart,
    InterpolatedStringElement, Number,
};
use ruff_text_size::Ranged;

use super::branches::merged;
use super::builtins;
use super::fold;
use super::run::{Run, span, with_origin};
use super::value::{Item, Kind, Val, What};

impl<'a> Run<'a> {
    /// Evaluates an expression of any kind.
    #[inline(never)]
    pub(super) fn expression(&mut self, expr: &'a Expr) -> Val {
        match expr {
            Expr::Name(name) => self.lookup(name.id.as_str()),
            Expr::StringLiteral(text) => What::from(text.value.to_str()).into(),
            Expr::NumberLiteral(number) => match &number.value {
                Number::Int(number) => {
                    number.as_i64().map_or(Val::UNKNOWN, |number| What::Int(number).into())
                }
                Number::Float(number) => What::Float(*number).into(),
                Number::Complex { .. } => Val::UNKNOWN,
            },
            Expr::BooleanLiteral(flag) => What::Bool(flag.value).into(),
            Expr::NoneLiteral(_) => What::None.into(),
            Expr::Call(call) => self.call(call),
            Expr::Attribute(attribute) => {
                let base = self.eval(&attribute.value);
                self.attribute(&base, attribute.attr.as_str(), expr)
            }
            Expr::Subscript(subscript) => {
                let base = self.eval(&subscript.value);
                let key = self.eval(&subscript.slice);
                match &base.what {
                    What::Object(_) => Val::object(Kind::Element(base, key.what)),
                    what => {
                        let origin = base.origin.clone();
                        fold::element(what, &key.what).map_or(Val::UNKNOWN, |val| Val {
                            origin: val.origin.or(origin).or(key.origin),
                            what: val.what,
                        })
                    }
                }
            }
            Expr::List(list) => self.sequence(&list.elts, false),
            Expr::Set(set) => self.sequence(&set.elts, false),
            Expr::Tuple(tuple) => self.sequence(&tuple.elts, true),
            Expr::Dict(dict) => self.dictionary(dict),
            _ => self.operation(expr),
        }
    }

    #[inline(never)]
    fn operation(&mut self, expr: &'a Expr) -> Val {
        match expr {
            Expr::BinOp(binary) => {
                let left = self.eval(&binary.left);
                let right = self.eval(&binary.right);
                with_origin(fold::binary(&left.what, binary.op, &right.what), &[&left, &right])
            }
            Expr::UnaryOp(unary) => {
                let operand = self.eval(&unary.operand);
                with_origin(fold::unary(unary.op, &operand.what), &[&operand])
            }
            Expr::BoolOp(op) => self.boolean(op),
            Expr::Compare(compare) => self.comparison(compare),
            Expr::If(conditional) => {
                let test = self.eval(&conditional.test);
                match fold::truth(&test.what) {
                    Some(truth) => {
                        let (taken, other) = match truth {
                            true => (&conditional.body, &conditional.orelse),
                            false => (&conditional.orelse, &conditional.body),
                        };
                        self.within_branch(|this| this.eval(other));
                        let val = self.eval(taken);
                        Val { origin: val.origin.or(test.origin), what: val.what }
                    }
                    None => {
                        let body = self.within_branch(|this| this.eval(&conditional.body));
                        let orelse = self.within_branch(|this| this.eval(&conditional.orelse));
                        merged(vec![body, orelse])
                    }
                }
            }
            Expr::Named(named) => {
                let val = self.eval(&named.value);
                self.assign(&named.target, &val, span(named.value.range()));
                val
            }
            Expr::FString(text) => self.formatted(text),
            Expr::Starred(starred) => {
                self.eval(&starred.value);
                Val::UNKNOWN
            }
            Expr::Await(inner) => self.eval(&inner.value),
            _ => {
                self.others(expr);
                Val::UNKNOWN
            }
        }
    }

    /// Evaluates what never has a value here, for the calls in it.
    #[inline(never)]
    fn others(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Lambda(lambda) => {
                let parameters = lambda.parameters.iter().flat_map(|parameters| parameters.iter());
                let names = parameters.map(|parameter| parameter.name().as_str()).collect();
                self.in_inner(names, |this| drop(this.eval(&lambda.body)));
            }
            Expr::ListComp(all) => self.comprehension(&all.generators, &[&all.elt]),
            Expr::SetComp(all) => self.comprehension(&all.generators, &[&all.elt]),
            Expr::Generator(all) => self.comprehension(&all.generators, &[&all.elt]),
            Expr::DictComp(all) => {
                let parts: Vec<&'a Expr> = all.key.iter().map(|key| &**key).chain([&*all.value]).collect();
                self.comprehension(&all.generators, &parts);
            }
            Expr::Yield(inner) => {
                if let Some(value) = &inner.value {
                    self.eval(value);
                }
            }
            Expr::YieldFrom(inner) => drop(self.eval(&inner.value)),
            Expr::Slice(slice) => {
                for part in slice.lower.iter().chain(&slice.upper).chain(&slice.step) {
                    self.eval(part);
                }
            }
            _ => {}
        }
    }

    fn comprehension(&mut self, generators: &'a [Comprehension], parts: &[&'a Expr]) {
        let mut names = Vec::new();
        for generator in generators {
            targets(&generator.target, &mut names);
        }
        self.in_inner(names, |this| {
            for generator in generators {
                this.eval(&generator.iter);
                generator.ifs.iter().for_each(|test| drop(this.eval(test)));
            }
            parts.iter().for_each(|part| drop(this.eval(part)));
        });
    }

    fn sequence(&mut self, elements: &'a [Expr], is_tuple: bool) -> Val {
        let mut items = Vec::new();
        let mut is_known = true;
        for element in elements {
            match element {
                Expr::Starred(starred) => match self.eval(&starred.value).what {
                    What::List(list) if items.len() < super::value::MAX_SIZE => {
                        items.extend(list.items.iter().cloned())
                    }
                    _ => is_known = false,
                },
                _ => items.push(Item { val: self.eval(element), span: span(element.range()) }),
            }
        }
        if is_known { Val::list(items, is_tuple) } else { Val::UNKNOWN }
    }

    fn dictionary(&mut self, dict: &'a ExprDict) -> Val {
        let mut entries = Vec::new();
        let mut is_known = true;
        for entry in &dict.items {
            let key = entry.key.as_ref().map(|key| self.eval(key));
            let item = Item { val: self.eval(&entry.value), span: span(entry.value.range()) };
            match (key.map(|key| key.what), &item.val.what) {
                (Some(What::Text(key)), _) => entries.push((Some(key), item)),
                (Some(_), _) => is_known = false,
                (None, What::Dict(inner)) if entries.len() < super::value::MAX_SIZE => {
                    entries.extend(inner.entries.iter().cloned());
                }
                (None, _) => entries.push((None, item)),
            }
        }
        if is_known { Val::dict(entries) } else { Val::UNKNOWN }
    }

    fn boolean(&mut self, op: &'a ExprBoolOp) -> Val {
        let stops_at = op.op == ruff_python_ast::BoolOp::Or;
        let mut result: Option<Val> = None;
        let mut is_known = true;
        for (index, value) in op.values.iter().enumerate() {
            let is_decided = result.is_some();
            let val = match index == 0 || is_known && !is_decided {
                true => self.eval(value),
                false => self.within_branch(|this| this.eval(value)),
            };
            if is_decided || !is_known {
                continue;
            }
            let is_last = index + 1 == op.values.len();
            match fold::truth(&val.what) {
                _ if is_last => result = Some(val),
                Some(truth) if truth == stops_at => result = Some(val),
                Some(_) => {}
                None => is_known = false,
            }
        }
        result.filter(|_| is_known).unwrap_or(Val::UNKNOWN)
    }

    fn comparison(&mut self, compare: &'a ExprCompare) -> Val {
        let mut left = self.eval(&compare.left);
        let origin = left.origin.clone();
        let mut result = Some(true);
        for (op, right) in compare.ops.iter().zip(compare.comparators.iter()) {
            let right = self.eval(right);
            result = match result {
                Some(true) => fold::compare(&left.what, *op, &right.what),
                decided => decided,
            };
            left = right;
        }
        result.map_or(Val::UNKNOWN, |result| Val { what: What::Bool(result), origin })
    }

    fn formatted(&mut self, text: &'a ExprFString) -> Val {
        let mut parts: Option<Vec<String>> = Some(Vec::new());
        let mut origin = None;
        for part in &text.value {
            let elements = match part {
                FStringPart::Literal(literal) => {
                    if let Some(parts) = &mut parts {
                        parts.push(literal.value.to_string());
                    }
                    continue;
                }
                FStringPart::FString(inner) => &inner.elements,
            };
            for element in elements {
                let shown = match element {
                    InterpolatedStringElement::Literal(literal) => Some(literal.value.to_string()),
                    InterpolatedStringElement::Interpolation(inner) => {
                        let val = self.eval(&inner.expression);
                        origin = origin.or(val.origin);
                        let is_plain = inner.format_spec.is_none()
                            && inner.debug_text.is_none()
                            && matches!(inner.conversion, ConversionFlag::None | ConversionFlag::Str);
                        if is_plain { builtins::shown(&val.what) } else { None }
                    }
                };
                match (shown, &mut parts) {
                    (Some(shown), Some(parts)) => parts.push(shown),
                    _ => parts = None,
                }
            }
        }
        let joined =
            parts.and_then(|parts| fold::text(&parts.iter().map(String::as_str).collect::<Vec<_>>()));
        joined.map_or(Val::UNKNOWN, |what| Val { what, origin })
    }

    /// Returns `base.name`.
    fn attribute(&mut self, base: &Val, name: &str, expr: &Expr) -> Val {
        match base.kind() {
            Some(Kind::Import(module)) => Val::import(&format!("{module}.{name}")),
            Some(Kind::Fields(fields)) if name == "__dict__" => fields.dict(span(expr.range())),
            Some(Kind::Fields(fields)) => fields.get(name).unwrap_or(Val::UNKNOWN),
            Some(Kind::Class(class)) => {
                self.classes.get(*class).and_then(|class| class.fields.get(name)).unwrap_or(Val::UNKNOWN)
            }
            // What a call was given can be read from what it returns: `config.r`.
            Some(Kind::Call(call)) => match call.argument(name, None) {
                Some(argument) if call.changes.borrow().is_empty() && super::is_wanted(call.last()) => {
                    argument.item.val.clone().settled()
                }
                _ => Val::object(Kind::Attribute(base.clone())),
            },
            Some(_) => Val::object(Kind::Attribute(base.clone())),
            None => match &base.what {
                // `try: from trl import SFTConfig` and `except ImportError: SFTConfig = None`.
                What::Either(all) => match all.iter().filter_map(Val::kind).collect::<Vec<_>>().as_slice() {
                    [Kind::Import(module)] => Val::import(&format!("{module}.{name}")),
                    _ => Val::UNKNOWN,
                },
                _ => Val::UNKNOWN,
            },
        }
    }
}

fn targets<'a>(target: &'a Expr, names: &mut Vec<&'a str>) {
    match target {
        Expr::Name(name) => names.push(name.id.as_str()),
        Expr::Tuple(tuple) => tuple.elts.iter().for_each(|target| targets(target, names)),
        Expr::List(list) => list.elts.iter().for_each(|target| targets(target, names)),
        Expr::Starred(starred) => targets(&starred.value, names),
        _ => {}
    }
}
