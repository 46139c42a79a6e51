//! Looks in `tokenizer.json` for what the library takes for granted and panics without.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Checks the contents of `tokenizer.json`. Whatever else is wrong with it, the library says.
///
/// # Errors
///
/// The problem.
pub(crate) fn check(json: &[u8]) -> Result<(), String> {
    let file = match serde_json::from_slice::<File>(json) {
        Ok(file) => file,
        // The library takes for granted that a part which is no decoder is at least JSON.
        Err(error) if error.is_syntax() || error.is_eof() => return Err(error.to_string()),
        Err(_) => return Ok(()),
    };
    for (what, part) in [
        ("normalizer", &file.normalizer),
        ("pre_tokenizer", &file.pre_tokenizer),
        ("post_processor", &file.post_processor),
        ("decoder", &file.decoder),
    ] {
        check_part(part).map_err(|problem| format!("{what}: {problem}"))?;
    }
    let model = file.model;
    if model.vocab.has_empty && model.is_unigram() {
        return Err("model: a token of the vocabulary is empty".to_owned());
    }
    if !model.merges.is_some {
        return Ok(());
    }
    let prefix = model.continuing_subword_prefix.as_deref().unwrap_or_default();
    let merges = match prefix {
        "" => model.merges,
        // The prefix may stand behind the merges, so they are read once more.
        _ => merges_with(json, prefix).unwrap_or(model.merges),
    };
    if let Some(token) = merges.lacking {
        return Err(format!(
            "model: the merge of {token:?} takes off continuing_subword_prefix {prefix:?}, which is not its beginning"
        ));
    }
    if merges.longest > model.vocab.longest {
        return Err(format!(
            "model: a merge gives a token of {} bytes, and the longest of the vocabulary has {}",
            merges.longest, model.vocab.longest
        ));
    }
    Ok(())
}

/// Reads the merges of a model with a prefix.
fn merges_with(json: &[u8], prefix: &str) -> Option<Merges> {
    let file = serde_json::from_slice::<Value>(json).ok()?;
    MergesReader(prefix).deserialize(file.get("model")?.get("merges")?).ok()
}

/// Checks a part of the way that a text takes, and the parts of it.
fn check_part(part: &Value) -> Result<(), String> {
    let number = |name: &str| part.get(name).and_then(Value::as_u64);
    match part.get("type").and_then(Value::as_str) {
        Some("FixedLength") if number("length") == Some(0) => {
            return Err("FixedLength: length is 0".to_owned());
        }
        // The library takes as many characters off a shorter token; on native targets that is caught.
        Some("Strip") if cfg!(target_arch = "wasm32") && number("stop").is_some_and(|stop| stop > 0) => {
            return Err("Strip: stop is not supported in a browser".to_owned());
        }
        Some("Precompiled") => check_charsmap(part.get("precompiled_charsmap"))?,
        Some("TemplateProcessing") => check_template(part)?,
        _ => {}
    }
    let lists = ["normalizers", "pretokenizers", "processors", "decoders"];
    let inner = lists.iter().filter_map(|name| part.get(name)?.as_array()).flatten();
    inner.into_iter().try_for_each(check_part)
}

/// Checks that each special token of a template is described, and that the template of one text has no second.
fn check_template(part: &Value) -> Result<(), String> {
    let described = part.get("special_tokens").and_then(Value::as_object);
    let length = |token: &Value, name: &str| token.get(name).and_then(Value::as_array).map(Vec::len);
    for (name, token) in described.into_iter().flatten() {
        if length(token, "ids") != length(token, "tokens") {
            return Err(format!("TemplateProcessing: {name} has not as many ids as tokens"));
        }
    }
    for (form, texts) in [("single", 1), ("pair", 2)] {
        for piece in part.get(form).and_then(Value::as_array).into_iter().flatten() {
            let id = |kind: &str| piece.get(kind).and_then(|piece| piece.get("id")).and_then(Value::as_str);
            if let Some(token) = id("SpecialToken")
                && !described.is_some_and(|described| described.contains_key(token))
            {
                return Err(format!("TemplateProcessing: {token} of {form} is not among special_tokens"));
            }
            if texts == 1 && id("Sequence") == Some("B") {
                return Err("TemplateProcessing: single has a second text".to_owned());
            }
        }
    }
    Ok(())
}

/// Checks a table of SentencePiece: the length in bytes of a trie, the trie, and the texts that its leaves point into.
fn check_charsmap(charsmap: Option<&Value>) -> Result<(), String> {
    let text = charsmap.and_then(Value::as_str).ok_or("Precompiled: precompiled_charsmap is no text")?;
    let bytes = base64(text).ok_or("Precompiled: precompiled_charsmap is not base64")?;
    let (head, rest) =
        bytes.split_first_chunk::<4>().ok_or("Precompiled: precompiled_charsmap is cut off")?;
    let length = u32::from_le_bytes(*head) as usize;
    let (trie, texts) =
        rest.split_at_checked(length).ok_or("Precompiled: precompiled_charsmap is cut off")?;
    let units: Vec<u32> = trie.as_chunks::<4>().0.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
    let texts = std::str::from_utf8(texts).ok().filter(|_| length.is_multiple_of(4));
    match texts.and_then(|texts| walk_trie(&units, texts)) {
        Some(()) => Ok(()),
        None => Err("Precompiled: precompiled_charsmap is damaged".to_owned()),
    }
}

/// Visits every node of a double array (Darts) as a search may, and returns `None` where one lies outside.
fn walk_trie(units: &[u32], texts: &str) -> Option<()> {
    let unit = |at: usize| units.get(at).copied();
    let base = |at: usize, unit: u32| at ^ ((unit >> 10) << ((unit & 1 << 9) >> 6)) as usize;
    let mut visited = vec![false; units.len()];
    let mut open = vec![base(0, unit(0)?)];
    while let Some(base_of_node) = open.pop() {
        for letter in 1..=255 {
            let at = base_of_node ^ letter;
            let child = unit(at)?;
            if (child & (1 << 31 | 0xff)) as usize != letter || std::mem::replace(visited.get_mut(at)?, true)
            {
                continue;
            }
            let next = base(at, child);
            if child >> 8 & 1 == 1 && !texts.is_char_boundary((unit(next)? & !(1 << 31)) as usize) {
                return None;
            }
            open.push(next);
        }
    }
    Some(())
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes().map(|letter| match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    });
    let digits: Vec<u8> = digits.collect::<Option<_>>()?;
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let group = |group: &[u8]| {
        let bits =
            group.iter().fold(0u32, |bits, digit| bits << 6 | u32::from(*digit)) << (6 * (4 - group.len()));
        bits.to_be_bytes()[1..group.len()].to_vec()
    };
    Some(digits.chunks(4).flat_map(group).collect())
}

#[derive(Deserialize)]
struct File<'f> {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    #[serde(borrow, default)]
    model: Model<'f>,
}

#[derive(Deserialize, Default)]
struct Model<'f> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'f, str>>,
    #[serde(borrow, default)]
    continuing_subword_prefix: Option<Cow<'f, str>>,
    #[serde(default)]
    vocab: Vocabulary,
    #[serde(default)]
    merges: Merges,
    #[serde(default)]
    unk_id: Option<IgnoredAny>,
}

impl Model<'_> {
    fn is_unigram(&self) -> bool {
        self.kind.as_deref() == Some("Unigram") || self.unk_id.is_some()
    }
}

/// What matters of a vocabulary: a map of ids, or a list of tokens and scores.
#[derive(Default)]
struct Vocabulary {
    longest: usize,
    has_empty: bool,
}

impl Vocabulary {
    fn count(&mut self, token: &str) {
        self.longest = self.longest.max(token.len());
        self.has_empty |= token.is_empty();
    }
}

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Vocabulary;
            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a vocabulary")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocabulary, A::Error> {
                let mut found = Vocabulary::default();
                while let Some((token, _)) = map.next_entry::<Cow<str>, IgnoredAny>()? {
                    found.count(&token);
                }
                Ok(found)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vocabulary, A::Error> {
                let mut found = Vocabulary::default();
                while let Some((token, _)) = list.next_element::<(Cow<str>, IgnoredAny)>()? {
                    found.count(&token);
                }
                Ok(found)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// What matters of merges.
#[derive(Default)]
struct Merges {
    is_some: bool,
    /// Number of bytes of the longest token that a merge gives.
    longest: usize,
    /// A token that lacks the prefix which a merge takes off.
    lacking: Option<String>,
}

/// Reads merges that take a prefix off their second token.
struct MergesReader<'p>(&'p str);

#[derive(Deserialize)]
#[serde(untagged)]
enum Merge<'f> {
    Pair(#[serde(borrow)] Cow<'f, str>, #[serde(borrow)] Cow<'f, str>),
    /// Two tokens with a space between.
    Words(#[serde(borrow)] Cow<'f, str>),
}

impl<'de> Visitor<'de> for MergesReader<'_> {
    type Value = Merges;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("merges")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Merges, A::Error> {
        let mut found = Merges { is_some: true, ..Merges::default() };
        while let Some(merge) = list.next_element::<Merge>()? {
            let (first, second) = match &merge {
                Merge::Pair(first, second) => (first.as_ref(), second.as_ref()),
                Merge::Words(words) => match words.split_once(' ') {
                    Some(pair) => pair,
                    None => continue,
                },
            };
            match second.get(self.0.len()..) {
                Some(rest) => found.longest = found.longest.max(first.len() + rest.len()),
                None => found.lacking = found.lacking.or_else(|| Some(second.to_owned())),
            }
        }
        Ok(found)
    }
}

impl<'de> DeserializeSeed<'de> for MergesReader<'_> {
    type Value = Merges;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Merges, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Deserialize<'de> for Merges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(MergesReader(""))
    }
}
