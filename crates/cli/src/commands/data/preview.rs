//! `lorelei data preview`.

use std::{fmt::Write as _, io::IsTerminal};

use lorelei_data::{Encoded, ShownToken, Tokenizer, shown};
use lorelei_formats::config::Task;
use lorelei_recipe::Recipe;
use lorelei_session::first_examples;
use miette::Result;

use super::tokenizer;
use crate::{
    file_system::FileSystem,
    prepared::{dataset_request, train_file},
    recipe_file::RecipeArguments,
    report,
};

/// Arguments of `lorelei data preview`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// How many rows.
    #[arg(long, default_value_t = 3, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    rows: u32,
    /// Colours: auto takes them where the output is a terminal and NO_COLOR is not set.
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    color: Color,
    /// Print the number of each token.
    #[arg(long)]
    ids: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    fn is_on(self) -> bool {
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::io::stdout().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        }
    }
}

/// Runs the command.
///
/// # Errors
///
/// If the recipe, the model's tokenizer or the data is wrong.
pub fn run(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe.read()?;
    let (tokenizer, vocab_size, task) = tokenizer(&recipe)?;
    let encoded = first(&recipe, &tokenizer, vocab_size, task, arguments.rows as usize)?;
    let color = arguments.color.is_on();
    for error in &encoded.errors {
        say_err!("bad row: {error}");
    }
    for place in &encoded.skipped {
        say_err!("{place}: nothing to learn, left out");
    }
    for (number, example) in encoded.examples.iter().enumerate() {
        let tokens = shown(example, &tokenizer);
        let learnt = tokens.iter().filter(|token| token.learnt).count();
        say!("example {}: {} tokens, {learnt} learnt", number + 1, tokens.len());
        say!("{}\n", text(&tokens, color, arguments.ids));
    }
    match color {
        true => say!("{LEARNT}green{END} is learnt; shades alternate from token to token"),
        false => say!("[[...]] is learnt; | stands between tokens"),
    }
    Ok(())
}

fn first(
    recipe: &Recipe,
    tokenizer: &Tokenizer,
    vocab_size: usize,
    task: Task,
    count: usize,
) -> Result<Encoded> {
    let request = dataset_request(recipe, tokenizer, vocab_size, task);
    first_examples(&FileSystem, request, train_file(recipe)?, count).map_err(report)
}

const LEARNT: &str = "\x1b[1;32m";
const LEARNT_TOO: &str = "\x1b[1;92;4m";
const OTHER: &str = "\x1b[2m";
const OTHER_TOO: &str = "\x1b[2;4m";
const END: &str = "\x1b[0m";

/// Formats the tokens one after the other, with a line end after each token that has one.
fn text(tokens: &[ShownToken], color: bool, ids: bool) -> String {
    let mut out = String::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| &tokens[before]);
        let shown = readable(&token.text, ids.then_some(token.id));
        // Escapes end before a line does, so that a pager that shows single lines shows them as they are.
        let (words, line_end) = match shown.strip_suffix('\n') {
            Some(words) => (words, "\n"),
            None => (shown.as_str(), ""),
        };
        if color {
            let style = match (token.learnt, at % 2) {
                (true, 0) => LEARNT,
                (true, _) => LEARNT_TOO,
                (false, 0) => OTHER,
                (false, _) => OTHER_TOO,
            };
            let _ = write!(out, "{style}{words}{END}{line_end}");
            continue;
        }
        let was_learnt = before.is_some_and(|before| before.learnt);
        out.push_str(match (was_learnt, token.learnt) {
            (false, true) => "[[",
            (true, false) => "]]",
            _ if at > 0 => "|",
            _ => "",
        });
        let _ = write!(out, "{words}{line_end}");
    }
    if !color && tokens.last().is_some_and(|token| token.learnt) {
        out.push_str("]]");
    }
    out
}

/// Returns a token's text with the characters that a terminal would obey or swallow written out.
fn readable(text: &str, id: Option<u32>) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '\n' => out.push('⏎'),
            '\t' => out.push('→'),
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {
                let _ = write!(out, "{}", letter.escape_unicode());
            }
            _ if letter.is_control() => {
                let _ = write!(out, "{}", letter.escape_unicode());
            }
            _ => out.push(letter),
        }
    }
    if let Some(id) = id {
        let _ = write!(out, "⟨{id}⟩");
    }
    if text.ends_with('\n') {
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str, learnt: bool) -> ShownToken {
        ShownToken { text: text.into(), id: 7, learnt }
    }

    #[test]
    fn what_is_learnt_is_marked_with_colours_and_without() {
        let tokens = [token("a", false), token("b\n", false), token(" c", true), token("\x1b[2J", true)];
        assert_eq!(text(&tokens, false, false), "a|b⏎\n[[ c|\\u{1b}[2J]]");
        assert_eq!(text(&tokens[..3], false, true), "a⟨7⟩|b⏎⟨7⟩\n[[ c⟨7⟩]]");
        assert_eq!(text(&[token("a", true), token("b", false)], false, false), "[[a]]b");
        let colored = text(&tokens, true, false);
        assert_eq!(
            colored,
            format!("{OTHER}a{END}{OTHER_TOO}b⏎{END}\n{LEARNT} c{END}{LEARNT_TOO}\\u{{1b}}[2J{END}")
        );
    }
}
