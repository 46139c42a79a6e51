//! Bounds on the source of a chat template: minijinja parses, compiles and drops it by recursion, which a long chain or a deep nest takes through
//! the end of the stack. A browser has one of a mebibyte, and a panic there ends the page.

use minijinja::machinery::{Span, Token, Tokenizer};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Error, ErrorKind};

/// Maximum number of bytes of a template. The longest published ones have some 30,000.
const MAX_SOURCE: usize = 1 << 20;

/// Maximum depth of a place in a template: blocks, branches and brackets that it is in, and operators that its value goes through. Published
/// templates stay below 60.
const MAX_DEPTH: usize = 128;

/// How many operators an open block, and an open bracket, count for.
const BLOCK: usize = 3;
const BRACKET: usize = 4;

/// Beginning of the names of functions that this crate adds to a template.
pub(crate) const OWN_NAMES: &str = "lorelei_";

/// Reads the tokens of a source, each with its place.
///
/// # Errors
/// If a part of it is no token.
pub(crate) fn tokens<'s>(source: &'s str, syntax: &SyntaxConfig) -> Result<Vec<(Token<'s>, Span)>, Error> {
    let mut tokenizer = Tokenizer::new(source, "chat_template", false, syntax.clone());
    std::iter::from_fn(|| tokenizer.next_token().transpose()).collect()
}

/// Checks that a source can be parsed on a small stack.
///
/// # Errors
/// If it is too long or too deep, uses a name that is reserved or a tag that needs other templates, or a part of it is no token.
pub(crate) fn check(source: &str, syntax: &SyntaxConfig) -> Result<(), Error> {
    if source.len() > MAX_SOURCE {
        return Err(refusal(format!("it has {} bytes, more than {MAX_SOURCE}", source.len())));
    }
    match deepest(&tokens(source, syntax)?)? {
        (depth, line) if depth > MAX_DEPTH => Err(refusal(format!(
            "line {line}: its blocks, branches, brackets and operators are nested or chained too deeply"
        ))),
        _ => Ok(()),
    }
}

/// Returns the greatest depth of a place, and its line.
fn deepest(tokens: &[(Token, Span)]) -> Result<(usize, u16), Error> {
    let mut deepest = (0, 0);
    let mut blocks: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some((token, span)) = tokens.get(at) {
        at += 1;
        let end = match token {
            Token::BlockStart => |token: &Token| matches!(token, Token::BlockEnd),
            Token::VariableStart => |token: &Token| matches!(token, Token::VariableEnd),
            _ => continue,
        };
        let inside = tokens.get(at..).unwrap_or_default();
        let length = inside.iter().position(|(token, _)| end(token)).unwrap_or(inside.len());
        let inside = &inside[..length];
        at += length;
        let result = match (token, inside.first()) {
            (Token::BlockStart, Some((Token::Ident(word), _))) => open_or_close(word, inside, &mut blocks),
            _ => Ok(()),
        };
        let depth = result.and_then(|()| Ok(blocks.iter().sum::<usize>() + expression_depth(inside)?));
        let depth = depth.map_err(|error| at_line(error, span))?;
        deepest = deepest.max((depth, span.start_line));
    }
    Ok(deepest)
}

fn refusal(problem: String) -> Error {
    Error::new(ErrorKind::SyntaxError, problem)
}

/// Says the line of an error in its text: only minijinja can give an error a line of its own.
fn at_line(error: Error, span: &Span) -> Error {
    let detail = error.detail().unwrap_or_default();
    Error::new(error.kind(), format!("line {}: {detail}", span.start_line))
}

/// Follows the blocks that are open, each with the depth it counts for.
fn open_or_close(word: &str, inside: &[(Token, Span)], blocks: &mut Vec<usize>) -> Result<(), Error> {
    match word {
        "set" if inside.iter().any(|(token, _)| matches!(token, Token::Assign)) => {}
        "for" | "if" | "with" | "autoescape" | "filter" | "macro" | "call" | "set" | "generation" => {
            blocks.push(BLOCK);
        }
        // Each branch is a block inside the one before it.
        "elif" => {
            if let Some(block) = blocks.last_mut() {
                *block += BLOCK;
            }
        }
        "include" | "import" | "from" | "extends" | "block" => {
            return Err(refusal(format!(
                "`{{% {word} %}}` needs other templates, and a chat template stands alone"
            )));
        }
        _ if word.starts_with("end") => {
            blocks.pop();
        }
        _ => {}
    }
    Ok(())
}

/// The depth of what stands between two brackets, or between two commas of them.
#[derive(Default)]
struct Depth {
    /// Operators between operands: each takes what is before it one deeper.
    operators: usize,
    /// The operand that is read: its signs, attributes, subscripts, calls, filters, and the deepest of its brackets.
    operand: usize,
    /// The deepest operand before it.
    deepest: usize,
    /// The deepest part up to the last comma.
    part: usize,
}

impl Depth {
    fn operator(&mut self) {
        self.operators += 1;
        self.deepest = self.deepest.max(self.operand);
        self.operand = 0;
    }

    fn comma(&mut self) {
        self.part = self.total();
        (self.operators, self.operand, self.deepest) = (0, 0, 0);
    }

    fn total(&self) -> usize {
        self.part.max(self.operators + self.operand.max(self.deepest))
    }
}

/// Returns the depth of an expression.
fn expression_depth(tokens: &[(Token, Span)]) -> Result<usize, Error> {
    let mut open = vec![Depth::default()];
    let mut before: Option<&Token> = None;
    for (index, (token, _)) in tokens.iter().enumerate() {
        let Some(depth) = open.last_mut() else { break };
        match token {
            Token::BracketOpen | Token::ParenOpen | Token::BraceOpen => open.push(Depth::default()),
            Token::BracketClose | Token::ParenClose | Token::BraceClose => {
                let inner = if open.len() > 1 { open.pop() } else { None };
                if let (Some(inner), Some(depth)) = (inner, open.last_mut()) {
                    depth.operand = depth.operand.max(inner.total()) + BRACKET;
                }
            }
            Token::Comma => depth.comma(),
            Token::Dot | Token::Pipe => depth.operand += 1,
            Token::Ident("is") => depth.operand += 2,
            Token::Ident(name) if name.starts_with(OWN_NAMES) => {
                return Err(refusal(format!("the name {name} is reserved")));
            }
            // With nothing to choose from, minijinja divides by zero.
            Token::Ident("cycle") if cycles_nothing(&tokens[index..]) => {
                return Err(refusal("`loop.cycle` needs values to choose from, each an argument".to_owned()));
            }
            Token::Ident("if" | "else" | "and" | "or" | "in" | "not")
            | Token::Plus
            | Token::Minus
            | Token::Mul
            | Token::Div
            | Token::FloorDiv
            | Token::Pow
            | Token::Mod
            | Token::Tilde
            | Token::Colon
            | Token::Assign
            | Token::Eq
            | Token::Ne
            | Token::Gt
            | Token::Gte
            | Token::Lt
            | Token::Lte => depth.operator(),
            // A name behind a value begins something else.
            Token::Ident(_) if matches!(before, Some(Token::ParenClose | Token::BracketClose)) => {
                depth.operator()
            }
            _ => {}
        }
        before = Some(token);
    }
    // A bracket that stays open is an error, which the parser meets at the end.
    let whole = open.into_iter().rev().fold(0, |inner, mut depth| {
        depth.operand += inner;
        depth.total() + BRACKET
    });
    Ok(whole)
}

fn cycles_nothing(tokens: &[(Token, Span)]) -> bool {
    matches!(tokens, [_, (Token::ParenOpen, _), (Token::ParenClose | Token::Mul | Token::Pow, _), ..])
}
