//! The messages of the crates below in Chinese, by their English templates. Texts of the page itself are in `texts.rs`.

use lorelei_recipe::fields;

mod data;
mod export;
mod recipe;
mod shared;
mod tables;
mod trainer;

/// Makes a module's `WORDS` of rows `"English template" => "Chinese template";`.
macro_rules! words {
    ($($english:literal => $chinese:literal;)*) => {
        pub(super) const WORDS: &[(&str, &str)] = &[$(($english, $chinese)),*];
    };
}

use words;

const TABLES: [&[(&str, &str)]; 6] =
    [shared::WORDS, recipe::WORDS, data::WORDS, trainer::WORDS, export::WORDS, tables::WORDS];

/// Returns the Chinese template for an English one.
pub fn template(english: &str) -> Option<&'static str> {
    let mut rows = TABLES.into_iter().flatten();
    let known = rows.find(|(known, _)| *known == english).map(|(_, chinese)| *chinese);
    known.or_else(|| {
        // The reasons why a host does not honour a setting stand with the setting, in both languages.
        let mut reasons = fields::all().filter_map(|field| field.limit).map(|limit| limit.reason);
        reasons.find(|reason| reason.english == english).map(|reason| reason.chinese)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// Folder of the crates in the source tree.
    const CRATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates");

    /// Returns the `{names}` of a template, sorted.
    fn names(template: &str) -> BTreeSet<&str> {
        let is_name =
            |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        template
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split_once('}'))
            .map(|(name, _)| name)
            .filter(is_name)
            .collect()
    }

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            match path.is_dir() {
                true => sources(&path, found),
                false if path.extension().is_some_and(|end| end == "rs") => found.push(path),
                false => {}
            }
        }
    }

    /// Reads a string literal, without its first quote, as rustc does.
    fn literal(source: &str) -> String {
        let (mut text, mut letters) = (String::new(), source.chars().peekable());
        while let Some(letter) = letters.next() {
            match letter {
                '"' => return text,
                '\\' => match letters.next() {
                    Some('\n') => while letters.next_if(|letter| letter.is_whitespace()).is_some() {},
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some(letter @ ('"' | '\\' | '\'')) => text.push(letter),
                    other => panic!("an escape that this test does not know: {other:?}"),
                },
                letter => text.push(letter),
            }
        }
        panic!("a literal without an end: {source}")
    }

    /// Returns the templates of all calls of `message!` in the crates, each with a file that has it.
    fn templates() -> BTreeMap<String, PathBuf> {
        let mut files = Vec::new();
        for entry in fs::read_dir(CRATES).unwrap().map(Result::unwrap) {
            sources(&entry.path().join("src"), &mut files);
        }
        let mut found = BTreeMap::new();
        for file in files {
            let source = fs::read_to_string(&file).unwrap();
            let is_code = |line: &&str| !line.trim_start().starts_with("//");
            let source = source.lines().filter(is_code).collect::<Vec<_>>().join("\n");
            for call in source.split("message!(").skip(1).map(str::trim_start) {
                // The macro's own rules.
                if call.starts_with(['@', '$']) {
                    continue;
                }
                let call = call.strip_prefix('"').unwrap_or_else(|| panic!("{}: {call:.60}", file.display()));
                found.insert(literal(call), file.clone());
            }
        }
        found
    }

    #[test]
    fn every_message_has_its_chinese_words() {
        let found = templates();
        // As many as there are, so that a change of the sources' form that hides them is seen.
        assert!(found.len() > 400, "only {} templates were found", found.len());
        let lacking: Vec<_> = found.iter().filter(|(english, _)| template(english).is_none()).collect();
        assert!(lacking.is_empty(), "no Chinese in web/src/logic/chinese for {lacking:#?}");
        for text in lorelei_recipe::table_texts() {
            assert!(template(text).is_some(), "no Chinese in web/src/logic/chinese/tables.rs for {text:?}");
        }
    }

    #[test]
    fn every_row_is_of_a_message_and_names_its_values() {
        let (found, texts) = (templates(), Vec::from_iter(lorelei_recipe::table_texts()));
        let mut seen = BTreeSet::new();
        for (english, chinese) in TABLES.into_iter().flatten() {
            assert!(seen.insert(english), "{english:?} stands twice");
            assert!(!chinese.trim().is_empty(), "{english:?}");
            assert_eq!(names(english), names(chinese), "{english:?}");
            let is_said = found.contains_key(*english) || texts.contains(english);
            assert!(is_said, "nothing says {english:?}: remove it");
        }
    }

    #[test]
    fn literals_are_read_as_rustc_reads_them() {
        assert_eq!(literal("a \\\"b\\\" \\\n   c\\\\\", d"), "a \"b\" c\\");
        assert_eq!(Vec::from_iter(names("{a}{b_c} { ... } {\"x\"} {a}")), ["a", "b_c"]);
    }
}
