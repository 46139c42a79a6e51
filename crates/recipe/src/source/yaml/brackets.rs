//! Lists and mappings in brackets over several lines.

/// Returns the text with the line ends (and comments) inside of brackets as spaces, so that every byte keeps its place. `None` if no line
/// ends inside of brackets, or if brackets stay open.
pub(super) fn joined(text: &str) -> Option<String> {
    let mut joined = String::with_capacity(text.len());
    let (mut depth, mut quote, mut comment, mut changed) = (0_usize, None, false, false);
    // What stands before decides whether a bracket or a quotation mark begins something, or is a part of a word.
    let mut before = '\n';
    for letter in text.chars() {
        let is_space = matches!(before, ' ' | '\t' | '\n');
        match letter {
            '\n' => comment = false,
            _ if comment => {}
            _ if quote.is_some() => quote = quote.filter(|mark| *mark != letter || before == '\\'),
            '#' if is_space => comment = true,
            '\'' | '"' if is_space || matches!(before, '[' | '{' | ',') => quote = Some(letter),
            '[' | '{' if is_space || matches!(before, '[' | '{' | ',') => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > 0 && (comment || letter == '\n') {
            changed = true;
            joined.extend(std::iter::repeat_n(' ', letter.len_utf8()));
        } else {
            joined.push(letter);
        }
        before = letter;
    }
    (changed && depth == 0).then_some(joined)
}
