//! Tokenizer of Python's source. It is lenient: a character that begins no other token is a sign, and reading continues.

use crate::source::Value;

/// A token and its place.
#[derive(Debug, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether the token is the first of an unindented line, outside of brackets.
    pub(super) first_of_line: bool,
}

/// Kind of a token.
#[derive(Debug, PartialEq)]
pub(super) enum Kind<'a> {
    Name(&'a str),
    Number(Value),
    Text(String),
    /// A formatted string, bytes, or another string whose value is not read.
    OtherText,
    Sign(char),
}

/// Returns the tokens of `text`, without comments.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut depth = 0usize;
    while let Some(first) = lexer.rest().chars().next() {
        let start = lexer.at;
        if first == '#' {
            lexer.at += lexer.rest().find('\n').unwrap_or(lexer.rest().len());
            continue;
        }
        if first.is_whitespace() || first == '\\' {
            lexer.at += first.len_utf8();
            continue;
        }
        let kind = lexer.word(first);
        match kind {
            Kind::Sign('(' | '[' | '{') => depth += 1,
            Kind::Sign(')' | ']' | '}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        let first_of_line = depth == 0 && (start == 0 || text.as_bytes()[start - 1] == b'\n');
        tokens.push(Token { kind, start, end: lexer.at, first_of_line });
    }
    tokens
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|letter| !fits(letter)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn word(&mut self, first: char) -> Kind<'a> {
        if first == '"' || first == '\'' {
            return self.string("");
        }
        if first.is_alphabetic() || first == '_' {
            let name = self.take_while(|letter| letter.is_alphanumeric() || letter == '_');
            let quoted = self.rest().starts_with(['"', '\'']);
            let prefix = name.len() <= 2 && name.bytes().all(|byte| b"rRuUbBfFtT".contains(&byte));
            return if quoted && prefix { self.string(name) } else { Kind::Name(name) };
        }
        let second = self.rest().chars().nth(1);
        if first.is_ascii_digit() || first == '.' && second.is_some_and(|next| next.is_ascii_digit()) {
            return self.number();
        }
        self.at += first.len_utf8();
        Kind::Sign(first)
    }

    fn number(&mut self) -> Kind<'a> {
        let start = self.at;
        self.take_while(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.'));
        let is_hex = self.text[start..self.at].starts_with("0x");
        if !is_hex && self.text[start..self.at].ends_with(['e', 'E']) && self.rest().starts_with(['+', '-']) {
            self.at += 1;
            self.take_while(|letter| letter.is_ascii_digit());
        }
        let digits = self.text[start..self.at].replace('_', "");
        let value = if is_hex {
            i64::from_str_radix(&digits[2..], 16).ok().map(Value::Int)
        } else {
            digits.parse().map(Value::Int).or_else(|_| digits.parse().map(Value::Float)).ok()
        };
        value.map_or(Kind::OtherText, Kind::Number)
    }

    /// Reads a string from its first quote on. `prefix` is the text before the quote.
    fn string(&mut self, prefix: &str) -> Kind<'a> {
        let quote = &self.rest()[..1];
        let triple = quote.repeat(3);
        let end = if self.rest().starts_with(&triple) { triple.as_str() } else { quote };
        self.at += end.len();
        let raw = prefix.contains(['r', 'R']);
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let Some(letter) = rest.chars().next() else { return Kind::OtherText };
            if rest.starts_with(end) {
                self.at += end.len();
                break;
            }
            // A string in single quotes ends with its line; the rest of the text is still Python.
            if letter == '\n' && end.len() == 1 {
                return Kind::OtherText;
            }
            self.at += letter.len_utf8();
            if letter != '\\' {
                text.push(letter);
                continue;
            }
            let Some(escaped) = self.rest().chars().next() else { return Kind::OtherText };
            self.at += escaped.len_utf8();
            match escaped {
                _ if raw => text.extend(['\\', escaped]),
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                '\\' | '\'' | '"' => text.push(escaped),
                '\n' => {}
                // These are rare in settings. The string's value is not read, rather than read wrongly.
                'x' | 'u' | 'U' | 'N' | 'a' | 'b' | 'f' | 'v' | '0'..='9' => {
                    self.at -= escaped.len_utf8();
                    return self.rest_of_string(end);
                }
                _ => text.extend(['\\', escaped]),
            }
        }
        match prefix.contains(['f', 'F', 'b', 'B', 't', 'T']) {
            true => Kind::OtherText,
            false => Kind::Text(text),
        }
    }

    /// Skips the rest of a string whose value is not read.
    fn rest_of_string(&mut self, end: &str) -> Kind<'a> {
        while let Some(letter) = self.rest().chars().next() {
            if self.rest().starts_with(end) {
                self.at += end.len();
                break;
            }
            self.at += letter.len_utf8();
            if letter == '\\'
                && let Some(escaped) = self.rest().chars().next()
            {
                self.at += escaped.len_utf8();
            }
        }
        Kind::OtherText
    }
}
