//! Parser of the calls in a piece of Python: their names, keyword arguments and literal values. Nothing is executed, and
//! a value that is not a literal is returned as its text.

use std::collections::HashMap;

use crate::source::{Entry, Node, Value};

use super::python_tokens::{Kind, Token, tokens};

/// Maximum nesting depth: deeper than any configuration, and shallow enough for any stack.
const MAX_DEPTH: usize = 64;
/// Maximum length of a literal that a name may stand for, in bytes.
const MAX_NAMED: usize = 512;

/// A call: `name(...)`.
#[derive(Debug, PartialEq)]
pub(super) struct Call {
    /// Name with its dots: `AutoModelForCausalLM.from_pretrained`.
    pub(super) name: String,
    pub(super) at: usize,
    pub(super) arguments: Vec<Argument>,
}

/// An argument of a call: `name=value`, or a value alone.
#[derive(Debug, PartialEq)]
pub(super) struct Argument {
    pub(super) name: Option<String>,
    pub(super) at: usize,
    /// The value, or its text if it is not a literal.
    pub(super) value: Result<Node, String>,
}

/// Returns the calls in `text` whose dotted name `wanted` accepts.
pub(super) fn calls(text: &str, wanted: impl Fn(&str) -> bool) -> Vec<Call> {
    let tokens = tokens(text);
    let mut reader = Reader { text, tokens: &tokens, at: 0, names: HashMap::new() };
    reader.names = reader.assignments();
    let mut calls = Vec::new();
    while reader.at < tokens.len() {
        let start = reader.at;
        let defined = start > 0 && matches!(&tokens[start - 1].kind, Kind::Name("def" | "class"));
        match reader.dotted() {
            Some(name) if !defined && reader.is('(') && wanted(&name) => {
                let at = tokens[start].start;
                reader.at += 1;
                let arguments = reader.arguments();
                calls.push(Call { name, at, arguments });
            }
            Some(_) => {}
            None => reader.at = start + 1,
        }
    }
    calls
}

struct Reader<'a> {
    text: &'a str,
    tokens: &'a [Token<'a>],
    at: usize,
    /// Values of `name = literal` at the start of a line. The last one counts.
    names: HashMap<&'a str, Node>,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<&'a Kind<'a>> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn is(&self, sign: char) -> bool {
        self.peek() == Some(&Kind::Sign(sign))
    }

    /// Reads a dotted name: `a.b.c`.
    fn dotted(&mut self) -> Option<String> {
        let Some(Kind::Name(first)) = self.peek() else { return None };
        let mut name = (*first).to_owned();
        self.at += 1;
        while self.is('.')
            && let Some(Kind::Name(next)) = self.tokens.get(self.at + 1).map(|token| &token.kind)
        {
            name.push('.');
            name.push_str(next);
            self.at += 2;
        }
        Some(name)
    }

    /// Reads the module's assignments `name = literal`.
    fn assignments(&mut self) -> HashMap<&'a str, Node> {
        let mut names = HashMap::new();
        for at in 0..self.tokens.len() {
            let (Kind::Name(name), true) = (&self.tokens[at].kind, self.tokens[at].first_of_line) else {
                continue;
            };
            let sign = |offset: usize| self.tokens.get(at + offset).map(|token| &token.kind);
            if sign(1) != Some(&Kind::Sign('=')) || sign(2) == Some(&Kind::Sign('=')) {
                continue;
            }
            self.at = at + 2;
            let literal = self.literal(0);
            let ended = self
                .tokens
                .get(self.at)
                .is_none_or(|next| next.first_of_line || next.kind == Kind::Sign(';'));
            match literal {
                Ok(node) if ended && node.span.len() <= MAX_NAMED => names.insert(*name, node),
                // The value is no longer known.
                _ => names.remove(name),
            };
        }
        self.at = 0;
        names
    }

    /// Reads the arguments up to the closing bracket, and the bracket.
    fn arguments(&mut self) -> Vec<Argument> {
        let mut arguments = Vec::new();
        while let Some(token) = self.tokens.get(self.at) {
            // A bracket of another kind does not match: the text is malformed, and the call ends.
            if matches!(token.kind, Kind::Sign(')' | ']' | '}')) {
                self.at += 1;
                break;
            }
            if token.kind == Kind::Sign(',') {
                self.at += 1;
                continue;
            }
            let (at, mut name) = (token.start, None);
            if let Kind::Name(keyword) = token.kind
                && self.tokens.get(self.at + 1).is_some_and(|next| next.kind == Kind::Sign('='))
                && self.tokens.get(self.at + 2).is_none_or(|next| next.kind != Kind::Sign('='))
            {
                name = Some(keyword.to_owned());
                self.at += 2;
            }
            arguments.push(Argument { name, at, value: self.value() });
        }
        arguments
    }

    /// Reads a literal, or a name that stands for one, up to the next comma or closing bracket of this level.
    fn value(&mut self) -> Result<Node, String> {
        let start = self.at;
        let read = match self.peek() {
            Some(Kind::Name(name)) if self.names.contains_key(name) && !self.continues(self.at + 1) => {
                self.at += 1;
                Ok(self.names[name].clone())
            }
            _ => self.literal(0),
        };
        if let Ok(node) = read
            && !self.continues(self.at)
        {
            return Ok(node);
        }
        self.at = start;
        self.skip();
        let from = self.tokens.get(start).map_or(self.text.len(), |token| token.start);
        let to = self.tokens[start..self.at].last().map_or(from, |token| token.end);
        Err(shortened(self.text.get(from..to).unwrap_or_default()))
    }

    /// Whether an expression continues at this token.
    fn continues(&self, at: usize) -> bool {
        !matches!(
            self.tokens.get(at).map(|token| &token.kind),
            None | Some(Kind::Sign(',' | ')' | ']' | '}'))
        )
    }

    /// Skips to the next comma or closing bracket of this level.
    fn skip(&mut self) {
        let mut depth = 0usize;
        while let Some(kind) = self.peek() {
            match kind {
                Kind::Sign('(' | '[' | '{') => depth += 1,
                Kind::Sign(')' | ']' | '}') if depth == 0 => break,
                Kind::Sign(')' | ']' | '}') => depth -= 1,
                Kind::Sign(',') if depth == 0 => break,
                _ => {}
            }
            self.at += 1;
        }
    }

    fn literal(&mut self, depth: usize) -> Result<Node, ()> {
        let token = self.tokens.get(self.at).filter(|_| depth < MAX_DEPTH).ok_or(())?;
        let start = token.start;
        let value = match &token.kind {
            Kind::Number(value) => {
                self.at += 1;
                value.clone()
            }
            Kind::Text(_) => {
                let mut text = String::new();
                while let Some(Kind::Text(part)) = self.peek() {
                    text.push_str(part);
                    self.at += 1;
                }
                Value::Text(text)
            }
            Kind::Sign(sign @ ('-' | '+')) => {
                self.at += 1;
                match (sign, self.literal(depth + 1)?.value) {
                    ('-', Value::Int(number)) => Value::Int(number.checked_neg().ok_or(())?),
                    ('-', Value::Float(number)) => Value::Float(-number),
                    ('+', value @ (Value::Int(_) | Value::Float(_))) => value,
                    _ => return Err(()),
                }
            }
            Kind::Sign('[') => Value::List(self.items(']', depth)?.0),
            Kind::Sign('(') => match self.items(')', depth)? {
                // Parentheses around one value do not make a tuple.
                (mut list, false) if list.len() == 1 => list.remove(0).value,
                (list, _) => Value::List(list),
            },
            Kind::Sign('{') => self.braces(depth)?,
            Kind::Name(_) => word(&self.dotted().ok_or(())?).ok_or(())?,
            _ => return Err(()),
        };
        let end = self.tokens[..self.at].last().map_or(start, |token| token.end);
        Ok(Node { span: start..end.max(start), value })
    }

    /// Reads values up to `end`, and returns whether there was a comma.
    fn items(&mut self, end: char, depth: usize) -> Result<(Vec<Node>, bool), ()> {
        self.at += 1;
        let (mut items, mut comma) = (Vec::new(), false);
        while !self.is(end) {
            items.push(self.literal(depth + 1)?);
            if self.is(',') {
                comma = true;
                self.at += 1;
            } else if !self.is(end) {
                return Err(());
            }
        }
        self.at += 1;
        Ok((items, comma))
    }

    /// Reads a dictionary with strings for keys, or a set.
    fn braces(&mut self, depth: usize) -> Result<Value, ()> {
        self.at += 1;
        let (mut items, mut entries) = (Vec::new(), Vec::new());
        while !self.is('}') {
            let first = self.literal(depth + 1)?;
            if self.is(':') {
                self.at += 1;
                let Value::Text(name) = first.value else { return Err(()) };
                entries.push(Entry { name, at: first.span.start, node: self.literal(depth + 1)? });
            } else {
                items.push(first);
            }
            if self.is(',') {
                self.at += 1;
            } else if !self.is('}') {
                return Err(());
            }
        }
        self.at += 1;
        match (items.is_empty(), entries.is_empty()) {
            (true, _) => Ok(Value::Table(entries)),
            (false, true) => Ok(Value::List(items)),
            (false, false) => Err(()),
        }
    }
}

/// Returns the value of a name that is a constant, or a member of an enumeration of PEFT or Transformers.
fn word(name: &str) -> Option<Value> {
    Some(match name {
        "None" => Value::Null,
        "True" => Value::Bool(true),
        "False" => Value::Bool(false),
        _ => {
            let (class, member) = name.rsplit_once('.')?;
            match class.rsplit('.').next()? {
                "TaskType" => Value::Text(member.into()),
                "IntervalStrategy" | "EvaluationStrategy" | "SaveStrategy" | "SchedulerType"
                | "OptimizerNames" => Value::Text(member.to_lowercase()),
                "torch" if matches!(member, "float32" | "float16" | "bfloat16") => Value::Text(member.into()),
                _ => return None,
            }
        }
    })
}

/// Shortens a text to one line of at most 60 characters.
fn shortened(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
