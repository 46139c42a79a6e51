//! The licence of a base model, as far as its files tell it.

use lorelei_formats::{ModelSource, gguf::GgufValue};

/// Returns the licence that a model's card names in the metadata at its head: an id such as `apache-2.0`, or `other`.
pub fn license_of(card: &str) -> Option<String> {
    let mut lines = card.trim_start_matches('\u{feff}').lines();
    lines.next().filter(|line| line.trim_end() == "---")?;
    let mut head = lines.take_while(|line| line.trim_end() != "---");
    let value = head.find_map(|line| line.strip_prefix("license:"))?;
    license_id(value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']))
}

/// Returns the licence that the keys of a GGUF file name. Other models' files do not name theirs.
pub fn license_in(source: &ModelSource) -> Option<String> {
    let keys = source.tensors.gguf_contents()?.metadata();
    license_id(keys.get("general.license").and_then(GgufValue::as_str)?)
}

/// Returns a licence's id, unless it is a text that is none.
pub fn license_id(id: &str) -> Option<String> {
    let belongs = |c: char| c.is_ascii_alphanumeric() || "-._+".contains(c);
    (!id.is_empty() && id.len() <= 64 && id.chars().all(belongs)).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_is_that_of_the_metadata() {
        let of = |card: &str| license_of(card);
        assert_eq!(of("---\nlanguage: en\nlicense: apache-2.0\n---\n# X\n").as_deref(), Some("apache-2.0"));
        assert_eq!(of("---\r\nlicense: \"mit\" # so\r\n---\r\n").as_deref(), Some("mit"));
        assert_eq!(of("---\nlicense: other\nlicense_name: its-own\n---\n").as_deref(), Some("other"));
        for none in [
            "",
            "license: mit",
            "---\n---\nlicense: mit\n",
            "---\nlicense:\n- mit\n---\n",
            "---\nlicense: a b\n---\n",
        ] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }
}
