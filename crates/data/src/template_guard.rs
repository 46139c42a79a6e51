//! Calls in the source of a chat template that bound what it builds.
//!
//! minijinja's fuel pays for instructions and for the bytes and slots that they produce, not for the depth of a value, nor for reading what it shares:
//! a list of eight times the same list, twelve times over, is small and takes a year to write down. [`guard`] adds the filters of
//! [`template_values`](crate::template_values) wherever a value may have become larger or deeper than what it was made of, and wherever one is read
//! whole without being paid for: at lists, maps and tuples, behind `set`, and at operands of `+`, `*`, `~` and comparisons that may be lists.

use minijinja::Error;
use minijinja::machinery::{Span, Token};
use minijinja::syntax::SyntaxConfig;

use crate::template_source::tokens;
use crate::template_values::{FACTOR, HELD, KEPT};

/// Filters that read the whole of a value.
const READERS: [&str; 20] = [
    "join",
    "sort",
    "unique",
    "groupby",
    "dictsort",
    "map",
    "reject",
    "min",
    "max",
    "sum",
    "pprint",
    "format",
    "indent",
    "string",
    "upper",
    "lower",
    "capitalize",
    "title",
    "replace",
    "select",
];

/// Filters whose result may have a value more often than what it was made of.
const BUILDERS: [&str; 6] = ["map", "batch", "slice", "zip", "chain", "groupby"];

/// Returns the source with calls that bound the values. Its lines stay where they are.
///
/// # Errors
/// If a part of it is no token.
pub(crate) fn guard(source: &str, syntax: &SyntaxConfig) -> Result<String, Error> {
    let tokens = tokens(source, syntax)?;
    let mut additions: Vec<(usize, String)> = Vec::new();
    let mut rest = tokens.as_slice();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let is_tag = match first.0 {
            Token::BlockStart => true,
            Token::VariableStart => false,
            _ => continue,
        };
        let is_end = |(token, _): &(Token, Span)| matches!(token, Token::BlockEnd | Token::VariableEnd);
        let (inside, after) = rest.split_at(rest.iter().position(is_end).unwrap_or(rest.len()));
        rest = after;
        if is_tag {
            guard_tag(source, inside, &mut additions)
        } else {
            Guard::all(inside, false, &mut additions)
        }
    }
    additions.sort_by_key(|(at, _)| *at);
    let mut out = String::with_capacity(source.len() + 64 * additions.len());
    let mut done = 0;
    for (at, addition) in additions {
        out.push_str(source.get(done..at).unwrap_or_default());
        out.push_str(&addition);
        done = at;
    }
    out.push_str(source.get(done..).unwrap_or_default());
    Ok(out)
}

type Tokens<'t, 's> = &'t [(Token<'s>, Span)];

fn start(token: &(Token, Span)) -> usize {
    token.1.start_offset as usize
}

fn end(token: &(Token, Span)) -> usize {
    token.1.end_offset as usize
}

fn guard_tag(source: &str, tokens: Tokens, additions: &mut Vec<(usize, String)>) {
    let Some(((Token::Ident(word), _), rest)) = tokens.split_first() else { return };
    match *word {
        "if" | "elif" | "with" | "autoescape" => Guard::all(rest, false, additions),
        "for" => {
            let names = rest.iter().position(|(token, _)| matches!(token, Token::Ident("in")));
            Guard::all(rest.get(names.map_or(0, |at| at + 1)..).unwrap_or_default(), false, additions);
        }
        "set" => match rest.iter().position(|(token, _)| matches!(token, Token::Assign)) {
            Some(at) => guard_assignment(source, &rest[..at], &rest[at + 1..], additions),
            None => Guard::all(rest, true, additions),
        },
        "call" => {
            // The names that the block takes.
            let names = matches!(rest.first(), Some((Token::ParenOpen, _)))
                .then(|| rest.iter().position(|(token, _)| matches!(token, Token::ParenClose)));
            Guard::all(&rest[names.flatten().map_or(0, |at| at + 1)..], true, additions);
        }
        "macro" | "do" | "filter" => Guard::all(rest, true, additions),
        _ => {}
    }
}

/// Guards what `set` keeps: the whole value, where it may have been built; and what a namespace keeps in any case, since it outlives its block.
fn guard_assignment(source: &str, target: Tokens, value: Tokens, additions: &mut Vec<(usize, String)>) {
    let (Some(first), Some(last)) = (value.first(), value.last()) else { return };
    let is_literal = matches!(value, [(Token::Str(_) | Token::Int(_) | Token::Float(_), _)])
        || matches!(value, [(Token::Ident("true" | "false" | "none" | "True" | "False" | "None"), _)]);
    let is_built = |(token, _): &(Token, Span)| {
        matches!(
            token,
            Token::ParenOpen
                | Token::BracketOpen
                | Token::BraceOpen
                | Token::Pipe
                | Token::Plus
                | Token::Mul
                | Token::Comma
        )
    };
    let filter = match target.iter().any(|(token, _)| matches!(token, Token::Dot)) {
        true if !is_literal => HELD,
        false if value.iter().any(is_built) => KEPT,
        _ => "",
    };
    if !filter.is_empty() && source.get(start(first)..end(last)).is_some() {
        additions.push((start(first), "(".to_owned()));
        Guard::all(value, false, additions);
        additions.push((end(last), format!(")|{filter}")));
    } else {
        Guard::all(value, false, additions);
    }
}

/// Kind of a pair of brackets.
#[derive(Clone, Copy, PartialEq)]
enum Bracket {
    /// No bracket: a whole expression.
    None,
    /// Parentheses around an expression or a tuple.
    Group,
    List,
    Map,
    Subscript,
    /// Arguments. `loop.changed` compares and keeps them.
    Call {
        changed: bool,
    },
}

/// The operators that may build or read lists.
#[derive(Clone, Copy, PartialEq)]
enum Operator {
    Add,
    Multiply,
    Concatenate,
    Compare,
    Other,
}

/// A value between operators.
#[derive(Clone, Copy)]
struct Operand {
    end: usize,
    /// Set if it is written out, without a name.
    literal: bool,
    /// Set if it may have been built of other values.
    built: bool,
    filter: Option<&'static str>,
}

/// Content between two brackets, as far as it has been read.
struct Level {
    bracket: Bracket,
    operand: Option<Operand>,
    /// The operand before the operator, and the operator.
    left: Option<(Operand, Operator)>,
    /// Set if a list may have been added to another.
    adds: bool,
    commas: bool,
    colons: bool,
    /// Set if everything in it is written out.
    literal: bool,
    operators: bool,
}

impl Level {
    fn new(bracket: Bracket) -> Self {
        Self {
            bracket,
            operand: None,
            left: None,
            adds: false,
            commas: false,
            colons: false,
            literal: true,
            operators: false,
        }
    }
}

/// Reads an expression, and notes where filters are added.
struct Guard<'a> {
    levels: Vec<Level>,
    additions: &'a mut Vec<(usize, String)>,
    /// Set if the outermost operand is no value, but a call or a name that must stay as it is.
    bare: bool,
}

impl<'a> Guard<'a> {
    fn all(tokens: Tokens, bare: bool, additions: &'a mut Vec<(usize, String)>) {
        let mut guard = Self { levels: vec![Level::new(Bracket::None)], additions, bare };
        for at in 0..tokens.len() {
            guard.token(tokens, at);
        }
        while guard.levels.len() > 1 {
            guard.levels.pop();
        }
        guard.finish(Operator::Other);
        guard.settle();
    }

    fn level(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(Level::new(Bracket::None));
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    fn token(&mut self, tokens: Tokens, at: usize) {
        let (token, next) = (&tokens[at], tokens.get(at + 1).map(|(token, _)| token));
        let before = |back: usize| at.checked_sub(back).and_then(|at| tokens.get(at)).map(|(token, _)| token);
        let is_name = matches!(before(1), Some(Token::Dot | Token::Pipe | Token::Ident("is")))
            || matches!((before(2), before(1)), (Some(Token::Ident("is")), Some(Token::Ident("not"))));
        let tested = matches!(before(2), Some(Token::Ident("is")))
            || matches!((before(3), before(2)), (Some(Token::Ident("is")), Some(Token::Ident("not"))));
        let is_value = self.level().operand.is_some() && !tested;
        match &token.0 {
            Token::Ident(_) if is_name && !matches!(token.0, Token::Ident("not")) => {
                self.extend(token, false, false)
            }
            Token::Ident("is") => self.extend(token, false, false),
            Token::Ident("not") if matches!(before(1), Some(Token::Ident("is"))) => {}
            Token::Ident("not") if matches!(next, Some(Token::Ident("in"))) => {}
            Token::Ident("not") => self.separate(),
            Token::Ident("and" | "or" | "if" | "else" | "recursive") => self.separate(),
            Token::Ident("in") | Token::Eq | Token::Ne | Token::Lt | Token::Lte | Token::Gt | Token::Gte => {
                self.finish(Operator::Compare);
            }
            Token::Ident("true" | "false" | "none" | "True" | "False" | "None") => {
                self.extend(token, true, false)
            }
            Token::Ident(_) => {
                if is_value {
                    self.separate();
                }
                self.extend(token, false, false);
            }
            Token::Str(_) | Token::String(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_) => {
                self.extend(token, true, false);
            }
            Token::Plus => self.finish(Operator::Add),
            Token::Tilde => self.finish(Operator::Concatenate),
            Token::Mul => self.finish(Operator::Multiply),
            Token::Minus | Token::Div | Token::FloorDiv | Token::Pow | Token::Mod => {
                self.finish(Operator::Other)
            }
            Token::Dot => self.extend(token, false, false),
            Token::Pipe => self.filter(token, next),
            Token::Comma => {
                self.level().commas = true;
                self.separate();
            }
            Token::Colon => self.colon(),
            Token::Assign => {
                // The name of an argument.
                self.level().operand = None;
                self.separate();
            }
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => {
                let changed =
                    matches!((before(2), before(1)), (Some(Token::Dot), Some(Token::Ident("changed"))));
                let bracket = match (&token.0, is_value || (tested && matches!(token.0, Token::ParenOpen))) {
                    (Token::ParenOpen, true) => Bracket::Call { changed },
                    (Token::ParenOpen, false) => Bracket::Group,
                    (Token::BracketOpen, true) => Bracket::Subscript,
                    (Token::BracketOpen, false) => Bracket::List,
                    _ => Bracket::Map,
                };
                let builds = matches!(before(1), Some(Token::Ident("dict" | "namespace")));
                if bracket == (Bracket::Call { changed: false }) && builds {
                    self.extend(token, false, true);
                }
                self.levels.push(Level::new(bracket));
            }
            Token::ParenClose | Token::BracketClose | Token::BraceClose => self.close(token),
            _ => {}
        }
    }

    /// Makes a token part of the operand.
    fn extend(&mut self, token: &(Token, Span), literal: bool, built: bool) {
        let level = self.level();
        let before = level.operand.unwrap_or(Operand { end: 0, literal: true, built: false, filter: None });
        level.operand = Some(Operand {
            end: end(token),
            literal: before.literal && literal,
            built: before.built || built,
            filter: before.filter,
        });
    }

    fn filter(&mut self, token: &(Token, Span), next: Option<&Token>) {
        let name = match next {
            Some(Token::Ident(name)) => *name,
            _ => "",
        };
        if READERS.contains(&name) && self.level().operand.is_some_and(|operand| !operand.literal) {
            self.additions.push((start(token), format!("|{KEPT}")));
        }
        self.extend(token, false, BUILDERS.contains(&name));
    }

    /// Ends the operand at an operator.
    fn finish(&mut self, operator: Operator) {
        let level = self.level();
        let Some(mut right) = level.operand.take() else {
            // A sign.
            return;
        };
        level.literal &= right.literal;
        level.operators = true;
        if let Some((mut left, between)) = level.left.take() {
            let both = !left.literal && !right.literal;
            let filter = match between {
                Operator::Multiply => Some(FACTOR),
                Operator::Concatenate => Some(KEPT),
                Operator::Add | Operator::Compare if both => Some(KEPT),
                _ => None,
            };
            level.adds |= both && between == Operator::Add;
            if filter.is_some() {
                left.filter = if left.filter == Some(FACTOR) { left.filter } else { filter };
                right.filter = filter;
            }
            self.add(left);
        }
        self.level().left = Some((right, operator));
    }

    /// Ends the operand where no operator follows.
    fn separate(&mut self) {
        let operators = self.level().operators;
        self.finish(Operator::Other);
        self.level().operators |= operators;
        self.settle();
    }

    /// Adds the filter of the last operand.
    fn settle(&mut self) {
        if let Some((mut last, _)) = self.level().left.take() {
            if self.level().bracket == (Bracket::Call { changed: true }) && !last.literal {
                last.filter = last.filter.or(Some(KEPT));
            }
            self.add(last);
        }
    }

    fn add(&mut self, operand: Operand) {
        let filter = operand.filter.filter(|filter| *filter == FACTOR || !operand.literal);
        let filter = filter.or(operand.built.then_some(KEPT));
        if let Some(filter) = filter
            && !(self.bare && self.levels.len() == 1)
        {
            self.additions.push((operand.end, format!("|{filter}")));
        }
    }

    /// Ends a key, or a part of a slice.
    fn colon(&mut self) {
        let level = self.level();
        level.colons = true;
        if level.bracket == Bracket::Map
            && let Some(key) = &mut level.operand
            && !key.literal
        {
            key.filter = Some(KEPT);
        }
        self.separate();
    }

    fn close(&mut self, token: &(Token, Span)) {
        let level = self.level();
        if level.bracket == Bracket::Subscript
            && !level.colons
            && let Some(index) = &mut level.operand
            && !index.literal
        {
            index.filter = Some(KEPT);
        }
        self.separate();
        if self.levels.len() < 2 {
            return;
        }
        let Some(inner) = self.levels.pop() else { return };
        match inner.bracket {
            Bracket::List | Bracket::Map => self.extend(token, inner.literal, !inner.literal),
            Bracket::Group => {
                self.extend(token, inner.literal, !inner.literal && (inner.commas || inner.adds))
            }
            Bracket::Subscript | Bracket::Call { .. } | Bracket::None => self.extend(token, false, false),
        }
    }
}
