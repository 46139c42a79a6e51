//! Marks in the output of a chat template: where each turn begins and ends, and what `{% generation %}` blocks enclose.
//!
//! A template writes the turns in a loop over the messages. [`instrument`] adds calls to the beginning of each loop and behind its end; they write
//! marks into the output, and [`read`] takes them out again. So one rendering tells the text of every turn, whatever the template does with its
//! contents.

use std::ops::Range;
use std::sync::Arc;

use minijinja::value::{Enumerator, Kwargs, Object, ObjectRepr, Rest};
use minijinja::{Environment, Error, State, Value};

use crate::template_values::Measure;

/// Name of the function that marks the assistant's text in a template.
const GENERATION: &str = "lorelei_generation";

/// Name of the function that marks the beginning of a turn.
const TURN: &str = "lorelei_turn";

/// Name of the function that marks the end of a loop over turns.
const LOOP_END: &str = "lorelei_loop_end";

/// Name of a function that does nothing with its argument.
const READ: &str = "lorelei_read";

/// Marks around the rendered text of a `{% generation %}` block. Unicode reserves these characters for use inside a program.
const BEGIN: char = '\u{FDD0}';
const END: char = '\u{FDD1}';

/// Begins the mark of a turn, which goes on with `loop.message` (and `!` inside a captured block) up to [`CLOSE`].
const TURN_MARK: char = '\u{FDD2}';

/// Begins the mark of the end of a loop, which goes on with its number up to [`CLOSE`].
const LOOP_MARK: char = '\u{FDD3}';
const CLOSE: char = '\u{FDD4}';

/// Whether a text has one of the characters that are reserved for marks.
pub(crate) fn has_marks(text: &str) -> bool {
    !text.is_ascii() && text.contains(|letter: char| ('\u{FDD0}'..='\u{FDD4}').contains(&letter))
}

/// A message as a template sees it: a map that knows its place in the conversation.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) index: usize,
    /// The fields, a map.
    pub(crate) fields: Value,
    /// Number of values in the fields, and of bytes of text.
    pub(crate) values: usize,
    pub(crate) text: usize,
}

impl Turn {
    /// Creates the message at a place in the conversation.
    pub(crate) fn new(index: usize, fields: Value) -> Self {
        let mut measure = Measure::new();
        let is_small = measure.read(&fields, 0).is_ok();
        let (values, text) = if is_small { measure.read_so_far() } else { (usize::MAX, 0) };
        Self { index, fields, values, text }
    }
}

impl Object for Turn {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.fields.as_object()?.get_value(key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.fields.as_object().map_or(Enumerator::Empty, |fields| fields.enumerate())
    }
}

/// Adds the functions that write marks to the environment of a template.
pub(crate) fn add_functions(environment: &mut Environment<'static>) {
    environment.add_function(GENERATION, |state: &mut State, options: Kwargs| -> Result<Value, Error> {
        let caller: Value = options.get("caller")?;
        let text = caller.call(state, &[])?;
        Ok(Value::from_safe_string(format!("{BEGIN}{text}{END}")))
    });
    let turn = |state: &mut State, number: u32, captured: bool, of: Rest<Value>, _caller: Kwargs| {
        // A call block passes its body, too.
        let Some(turn) = of.iter().find_map(|value| value.downcast_object_ref::<Turn>()) else {
            return Value::from("");
        };
        state.set_temp(&format!("{TURN}{number}"), Value::from(true));
        let captured = if captured { "!" } else { "" };
        Value::from_safe_string(format!("{TURN_MARK}{number}.{}{captured}{CLOSE}", turn.index))
    };
    let loop_end = |state: &mut State, number: u32, _caller: Kwargs| match state
        .set_temp(&format!("{TURN}{number}"), Value::from(false))
    {
        Some(began) if began.is_true() => Value::from_safe_string(format!("{LOOP_MARK}{number}{CLOSE}")),
        _ => Value::from(""),
    };
    environment.add_function(READ, |_value: &Value| Value::from(()));
    environment.add_function(TURN, turn);
    environment.add_function(LOOP_END, loop_end);
}

/// The source of a template with calls of the functions that write marks.
pub(crate) struct Instrumented {
    /// The source with calls for `{% generation %}` blocks only, which other engines do not know.
    pub(crate) plain: String,
    /// The source that marks turns, too.
    pub(crate) marked: String,
    /// Whether there are `{% generation %}` blocks.
    pub(crate) generates: bool,
}

/// A block of a template that is open.
#[derive(Clone, Copy, PartialEq)]
enum Block {
    Loop(u32),
    /// A block whose output is a value, which the template may inspect.
    Captured,
    /// A `{% generation %}` block, which becomes a captured one.
    Generation,
}

/// Adds calls to the source of a template. White space around the tags stays what it was: each call takes over what the tag before it says of the
/// white space behind it.
pub(crate) fn instrument(source: &str) -> Instrumented {
    let mut out = Instrumented {
        plain: String::with_capacity(source.len()),
        marked: String::with_capacity(2 * source.len()),
        generates: false,
    };
    let mut open: Vec<Block> = Vec::new();
    // What each loop assigns.
    let mut loops: Vec<String> = Vec::new();
    let mut rest = source;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(piece_length(rest));
        rest = after;
        let Some(tag) = Tag::read(piece) else {
            out.plain.push_str(piece);
            out.marked.push_str(piece);
            continue;
        };
        let (mut plain, mut behind) = (piece.to_owned(), None);
        match tag.word {
            "generation" => {
                plain = tag.renamed(&format!("call {GENERATION}()"));
                out.generates = true;
                open.push(Block::Generation);
            }
            "endgeneration" => {
                plain = tag.renamed("endcall");
                close(&mut open, |block| block == Block::Generation);
            }
            "for" => {
                let captured = open.iter().any(|block| !matches!(block, Block::Loop(_)));
                let (number, names) = (loops.len() as u32, targets(tag.rest));
                behind = Some(format!("{TURN}({number}, {captured}{names})"));
                open.push(Block::Loop(number));
                loops.push(names);
            }
            "endfor" => {
                if let Some(Block::Loop(number)) = close(&mut open, |block| matches!(block, Block::Loop(_))) {
                    behind = Some(format!("{LOOP_END}({number})"));
                }
            }
            "macro" | "call" | "filter" => open.push(Block::Captured),
            "set" if !tag.rest.contains('=') => open.push(Block::Captured),
            "set" if open.contains(&Block::Generation) => plain = tag.reading_namespace(),
            // A loop over numbers takes each message by its number.
            "set" => {
                if let Some(Block::Loop(number)) = open.last()
                    && let Some(name) = loops.get(*number as usize).and_then(|names| taken(tag.rest, names))
                {
                    behind = Some(format!("{TURN}({number}, false, {name})"));
                }
            }
            "endmacro" | "endcall" | "endfilter" | "endset" => {
                close(&mut open, |block| block == Block::Captured);
            }
            "raw" => {
                let (raw, after) = rest.split_at(raw_length(rest));
                plain.push_str(raw);
                rest = after;
            }
            _ => {}
        }
        out.plain.push_str(&plain);
        match behind {
            None => out.marked.push_str(&plain),
            Some(call) => {
                let (before, control) = (tag.without_control(), tag.control);
                out.marked.push_str(&format!("{before}%}}{{% call {call} %}}{{% endcall {control}%}}"));
            }
        }
    }
    out
}

/// Closes the innermost block that `is_meant`, and those inside it.
fn close(open: &mut Vec<Block>, is_meant: impl Fn(Block) -> bool) -> Option<Block> {
    let at = open.iter().rposition(|block| is_meant(*block))?;
    let block = open[at];
    open.truncate(at);
    Some(block)
}

/// A `{% ... %}` tag.
struct Tag<'s> {
    piece: &'s str,
    word: &'s str,
    /// What follows the word, without the end of the tag.
    rest: &'s str,
    /// `-` or `+` before the end of the tag, or nothing.
    control: &'s str,
}

impl<'s> Tag<'s> {
    fn read(piece: &'s str) -> Option<Self> {
        let inside = piece.strip_prefix("{%")?.strip_suffix("%}")?;
        let body = inside.strip_suffix(['-', '+']).unwrap_or(inside);
        let control = &inside[body.len()..];
        let body = body.strip_prefix(['-', '+']).unwrap_or(body).trim_start();
        let end = body.find(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
        let (word, rest) = body.split_at(end.unwrap_or(body.len()));
        Some(Self { piece, word, rest, control })
    }

    /// Returns the tag without its end.
    fn without_control(&self) -> &'s str {
        &self.piece[..self.piece.len() - "%}".len() - self.control.len()]
    }

    /// Returns a `set` tag with one before it that reads the namespace whose attribute is set: a block that becomes a call sees only those names of
    /// the template that it reads.
    fn reading_namespace(&self) -> String {
        let target = self.rest.split('=').next().unwrap_or_default();
        match target.split_once('.') {
            None => self.piece.to_owned(),
            Some((name, _)) => {
                let begin = &self.piece[..self.without_control().len() - self.rest.len() - self.word.len()];
                format!("{begin}do {READ}({}) %}}{{% set{}{}%}}", name.trim(), self.rest, self.control)
            }
        }
    }

    /// Returns the tag with another word.
    fn renamed(&self, word: &str) -> String {
        let lead = self.without_control().len() - self.rest.len() - self.word.len();
        format!("{}{word}{}{}%}}", &self.piece[..lead], self.rest, self.control)
    }
}

/// Returns the names that a loop assigns, as further arguments of a call.
fn targets(rest: &str) -> String {
    let Some(at) = rest.find(" in ").or_else(|| rest.find(" in\n")) else { return String::new() };
    let is_name = |name: &&str| {
        name.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
            && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
    };
    let names = rest[..at].split([',', '(', ')']).map(str::trim).filter(is_name);
    names.map(|name| format!(", {name}")).collect()
}

/// Returns the name that `set` gives to an item of a list, `name = list[number]`, whose number is what a loop assigns.
fn taken<'s>(rest: &'s str, assigned: &str) -> Option<&'s str> {
    let (name, value) = rest.split_once('=')?;
    let (list, number) = value.trim().strip_suffix(']')?.split_once('[')?;
    let is_name = |text: &str| text.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    let is_assigned = !assigned.is_empty() && assigned == format!(", {}", number.trim());
    (is_assigned && is_name(list.trim()) && is_name(name.trim())).then(|| name.trim())
}

/// Returns the length of the first piece of a source: text up to a tag, or a tag, an expression or a comment whole.
fn piece_length(source: &str) -> usize {
    let begins = |text: &str| ["{%", "{{", "{#"].iter().any(|sign| text.starts_with(sign));
    if !begins(source) {
        let braces = source.match_indices('{').map(|(at, _)| at);
        return braces.into_iter().find(|at| begins(&source[*at..])).unwrap_or(source.len());
    }
    let end = match source.as_bytes().get(1) {
        Some(b'#') => source.find("#}").map(|at| at + 2),
        Some(b'{') => code_length(source, "}}"),
        _ => code_length(source, "%}"),
    };
    end.unwrap_or(source.len())
}

/// Returns the length of a tag or an expression up to its `end`, which strings and brackets inside it may hold, too.
fn code_length(source: &str, end: &str) -> Option<usize> {
    let bytes = source.as_bytes();
    let (mut at, mut depth, mut quote) = (2, 0usize, None);
    while let Some(&byte) = bytes.get(at) {
        match (quote, byte) {
            (Some(_), b'\\') => at += 1,
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, _) if depth == 0 && bytes[at..].starts_with(end.as_bytes()) => {
                return Some(at + end.len());
            }
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'(' | b'[' | b'{') => depth += 1,
            (None, b')' | b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Returns the length of the text of a raw block.
fn raw_length(source: &str) -> usize {
    let ends = source.match_indices("{%").map(|(at, _)| at);
    let is_end =
        |at: &usize| source[at + 2..].trim_start_matches(['-', '+']).trim_start().starts_with("endraw");
    ends.into_iter().find(is_end).unwrap_or(source.len())
}

/// A rendering without its marks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Marked {
    /// The text.
    pub(crate) text: String,
    /// Bytes that `{% generation %}` blocks enclose. A block inside a block is a part of it.
    pub(crate) generated: Vec<Range<usize>>,
    /// Bytes of each message's turn. `None` where it has none, or several.
    pub(crate) turns: Vec<Option<Range<usize>>>,
    /// Whether a mark stood in a captured block, where the template may have seen it.
    pub(crate) captured: bool,
}

/// Takes the marks out of a rendering of `count` messages.
pub(crate) fn read(marked: &str, count: usize) -> Marked {
    let mut out = Marked { text: String::with_capacity(marked.len()), ..Marked::default() };
    let mut pieces: Vec<(usize, Range<usize>)> = Vec::new();
    // The loops that the current place is in, each with its turn. The outermost owns the text.
    let mut loops: Vec<(u32, usize)> = Vec::new();
    let (mut depth, mut begun, mut turn_start) = (0usize, 0, 0);
    let mut rest = marked;
    while let Some(at) = rest.find([BEGIN, END, TURN_MARK, LOOP_MARK]) {
        out.text.push_str(&rest[..at]);
        let here = out.text.len();
        let mut letters = rest[at..].chars();
        let sign = letters.next();
        rest = letters.as_str();
        match sign {
            Some(BEGIN) => {
                begun = if depth == 0 { here } else { begun };
                depth += 1;
                continue;
            }
            Some(END) => {
                depth = depth.saturating_sub(1);
                if depth == 0 && begun < here {
                    out.generated.push(begun..here);
                }
                continue;
            }
            _ => {}
        }
        let Some((words, after)) = rest.split_once(CLOSE) else { break };
        rest = after;
        out.captured |= words.ends_with('!');
        let (number, index) = words.trim_end_matches('!').split_once('.').unwrap_or((words, ""));
        let Ok(number) = number.parse::<u32>() else { continue };
        let owner = loops.first().map(|(_, index)| *index);
        if let Some(place) = loops.iter().position(|(open, _)| *open == number) {
            loops.truncate(place);
        }
        if let (Some(TURN_MARK), Ok(index)) = (sign, index.parse()) {
            loops.push((number, index));
            // A turn inside another turn's is a part of it.
            if loops.len() > 1 {
                continue;
            }
        } else if !loops.is_empty() {
            continue;
        }
        if let Some(owner) = owner {
            pieces.push((owner, turn_start..here));
        }
        turn_start = here;
    }
    out.text.push_str(rest);
    if let Some((_, owner)) = loops.first() {
        pieces.push((*owner, turn_start..out.text.len()));
    }
    out.turns = turns(&out.text, &pieces, count);
    out
}

/// Returns the one piece of each message that has words.
fn turns(text: &str, pieces: &[(usize, Range<usize>)], count: usize) -> Vec<Option<Range<usize>>> {
    let mut found: Vec<(usize, Option<Range<usize>>)> = vec![(0, None); count];
    for (index, range) in pieces {
        if let Some((times, turn)) = found.get_mut(*index)
            && !text[range.clone()].trim().is_empty()
        {
            *times += 1;
            *turn = Some(range.clone());
        }
    }
    found.into_iter().map(|(times, turn)| turn.filter(|_| times == 1)).collect()
}
