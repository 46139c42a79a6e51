//! Limits the nesting of Python's source before it is parsed: the parser, the tree's destructor and what reads the tree recurse with it, and a
//! browser's worker has a stack of one megabyte.

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::Mode;
use ruff_python_parser::lexer::lex;

/// Largest depth of an expression: its brackets and its operators in a row.
const MAX_DEPTH: usize = 200;
/// Largest depth of indentation. Python's own limit is the same.
const MAX_INDENTS: usize = 100;

/// Checks the nesting of a text. Returns the place from which on it is too deep.
pub(super) fn check(text: &str) -> Result<(), usize> {
    indentation(text)?;
    if !is_deep(text) {
        return Ok(());
    }
    // The lexer does not tell its place, so that the shortest text that is too deep is searched for.
    let (mut fits, mut deep) = (0, text.len());
    while deep - fits > 1 {
        let mut middle = fits.midpoint(deep);
        while !text.is_char_boundary(middle) {
            middle -= 1;
        }
        if middle <= fits {
            break;
        }
        if is_deep(text.get(..middle).unwrap_or_default()) {
            deep = middle;
        } else {
            fits = middle;
        }
    }
    Err(fits)
}

/// Checks the depth of the indentation of all lines. Lines within brackets count too, because the parser leaves a bracket that is not closed.
fn indentation(text: &str) -> Result<(), usize> {
    let (mut widths, mut at): (Vec<usize>, usize) = (Vec::new(), 0);
    for line in text.split_inclusive('\n') {
        let rest = line.trim_start_matches([' ', '\t', '\u{c}']);
        let width = line.len() - rest.len();
        if !rest.trim_end().is_empty() && !rest.starts_with('#') {
            while widths.last().is_some_and(|last| *last >= width) {
                widths.pop();
            }
            if width > 0 {
                widths.push(width);
            }
            if widths.len() > MAX_INDENTS {
                return Err(at);
            }
        }
        at += line.len();
    }
    Ok(())
}

/// What a level of brackets has of operators.
#[derive(Default, Clone, Copy)]
struct Level {
    /// Operators since the last comma.
    chain: usize,
    /// Lambdas: a comma does not end one.
    lambdas: usize,
}

fn is_deep(text: &str) -> bool {
    let mut lexer = lex(text, Mode::Ipython);
    let mut levels = vec![Level::default()];
    let mut depth = 0usize;
    loop {
        let kind = lexer.next_token();
        let Some(level) = levels.last_mut() else { return true };
        match kind {
            TokenKind::EndOfFile => return false,
            TokenKind::Name
            | TokenKind::Int
            | TokenKind::Float
            | TokenKind::Complex
            | TokenKind::String
            | TokenKind::FStringStart
            | TokenKind::FStringMiddle
            | TokenKind::FStringEnd
            | TokenKind::TStringStart
            | TokenKind::TStringMiddle
            | TokenKind::TStringEnd
            | TokenKind::Comment
            | TokenKind::NonLogicalNewline
            | TokenKind::IpyEscapeCommand
            | TokenKind::Colon
            | TokenKind::Equal
            | TokenKind::Unknown
            | TokenKind::Indent
            | TokenKind::Dedent => {}
            TokenKind::Comma => {
                depth -= level.chain;
                level.chain = 0;
            }
            TokenKind::Newline | TokenKind::Semi => {
                levels.clear();
                levels.push(Level::default());
                depth = 0;
            }
            TokenKind::Lpar | TokenKind::Lsqb | TokenKind::Lbrace => {
                levels.push(Level::default());
                depth += 1;
            }
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace => {
                let inner = *level;
                if levels.len() > 1 {
                    depth -= 1 + inner.chain + inner.lambdas;
                    levels.pop();
                }
                // A call of a call, a subscript of a subscript.
                if let Some(outer) = levels.last_mut() {
                    outer.chain += 1;
                    depth += 1;
                }
            }
            TokenKind::Lambda => {
                level.lambdas += 1;
                depth += 1;
            }
            _ => {
                level.chain += 1;
                depth += 1;
            }
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
}

/// Whether every bracket is closed by its own kind, and the text has no character that Python has not. Where that is not so, Ruff's parser may take
/// IPython's command for part of an expression, which it does not survive.
pub(super) fn is_regular(text: &str) -> bool {
    let mut lexer = lex(text, Mode::Ipython);
    let mut open = Vec::new();
    loop {
        let kind = lexer.next_token();
        let opened_by = match kind {
            TokenKind::EndOfFile => return open.is_empty(),
            TokenKind::Unknown => return false,
            TokenKind::Lpar | TokenKind::Lsqb | TokenKind::Lbrace => {
                open.push(kind);
                continue;
            }
            TokenKind::Rpar => TokenKind::Lpar,
            TokenKind::Rsqb => TokenKind::Lsqb,
            TokenKind::Rbrace => TokenKind::Lbrace,
            _ => continue,
        };
        if open.pop() != Some(opened_by) {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_code_is_not_deep() {
        let list = format!("x = [{}]\n", "a.b(c[0] + 1) * 2, ".repeat(10_000));
        let lines = "x = a.b.c(d)(e)[f] + g if h else -i ** j\n".repeat(10_000);
        for text in [list, lines, "if a:\n  if b:\n    c\n".repeat(1000)] {
            assert_eq!(check(&text), Ok(()));
        }
    }

    #[test]
    fn the_place_is_where_the_nesting_is_too_deep() {
        let text = format!("x = 1\ny = {}", "(".repeat(1000));
        assert_eq!(check(&text), Err("x = 1\ny = ".len() + MAX_DEPTH));
    }
}
