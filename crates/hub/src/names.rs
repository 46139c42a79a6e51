//! Names that a hub or a user gives and that become paths or addresses: nothing that could lead out of its folder is one.

use thiserror::Error;

/// Length of the longest name that is accepted, in bytes: file systems allow 255, and a suffix is added to some names.
const LONGEST: usize = 200;
/// Names of devices, which Windows opens in place of files, whatever their suffix.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// A name that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} is {name:?}, which is not a plain name and is not used as one")]
pub struct NameError {
    /// What is named, such as `the hub's ETag`.
    what: &'static str,
    /// The name, cut where it is long.
    name: String,
}

impl NameError {
    fn new(what: &'static str, name: &str) -> Self {
        Self { what, name: name.chars().take(LONGEST).collect() }
    }
}

/// The `ETag` of a file: its checksum where the hub is Hugging Face's, anything elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag {
    /// The tag without quotation marks.
    pub value: String,
    /// Whether it is one for files that only mean the same (`W/"…"`).
    pub is_weak: bool,
}

impl EntityTag {
    /// Parses the value of an `ETag` or `X-Linked-ETag` header.
    ///
    /// # Errors
    ///
    /// If it cannot be a file's name.
    pub fn parse(header: &str) -> Result<Self, NameError> {
        let header = header.trim();
        let (is_weak, quoted) = match header.strip_prefix("W/") {
            Some(rest) => (true, rest),
            None => (false, header),
        };
        let value = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(quoted);
        // These suffixes are those of other files in the same folder.
        let is_taken = [".incomplete", ".lock"].iter().any(|suffix| value.to_lowercase().ends_with(suffix));
        match is_plain(value) && !is_taken {
            true => Ok(Self { value: value.to_owned(), is_weak }),
            false => Err(NameError::new("the hub's ETag", header)),
        }
    }
}

/// Returns the commit that a hub's `X-Repo-Commit` header names.
///
/// # Errors
///
/// If it cannot be a folder's name.
pub fn commit(header: &str) -> Result<&str, NameError> {
    let name = header.trim();
    is_plain(name).then_some(name).ok_or_else(|| NameError::new("the hub's commit", header))
}

/// Whether a revision is a whole commit, which never comes to mean another one.
pub fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// Returns the name of a file of a repository, which may be in a folder there: `config.json`, `1_Pooling/config.json`.
///
/// # Errors
///
/// If it could lead out of the repository.
pub fn file_name(name: &str) -> Result<&str, NameError> {
    is_path(name).then_some(name).ok_or_else(|| NameError::new("the file", name))
}

/// Returns a revision: a branch, a tag, a commit, or a name such as `refs/pr/1`.
///
/// # Errors
///
/// If it could lead out of the folder of references.
pub fn revision(name: &str) -> Result<&str, NameError> {
    is_path(name).then_some(name).ok_or_else(|| NameError::new("the revision", name))
}

/// Splits a repository's id into owner and name, by the rules of `huggingface_hub`'s `validate_repo_id`.
///
/// # Errors
///
/// If it is not of the form `owner/name`.
pub fn owner_and_name(id: &str) -> Result<(&str, &str), NameError> {
    lorelei_recipe::owner_and_name(id).ok_or_else(|| NameError::new("the hub id (owner/name)", id))
}

/// Encodes a name for the path of an address. Slashes are kept.
pub fn encoded_path(name: &str) -> String {
    encoded(name, |byte| byte == b'/')
}

/// Encodes a name as one segment of an address's path. Slashes are encoded too.
pub fn encoded_segment(name: &str) -> String {
    encoded(name, |_| false)
}

/// Returns the name that [`encoded_segment`] or [`encoded_path`] has encoded. `None` where it is not encoded so.
pub fn decoded(encoded: &str) -> Option<String> {
    let mut parts = encoded.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        // A sign is no digit.
        let is_hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hexadecimal)?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

fn encoded(name: &str, is_kept: impl Fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || is_kept(byte) {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Whether a header's value is one name of plain letters.
fn is_plain(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._+=~".contains(&byte);
    name.bytes().all(allowed) && is_segment(name) && !name.starts_with('.') && !name.contains("..")
}

fn is_path(name: &str) -> bool {
    name.split('/').all(is_segment)
}

/// Whether a name is that of one file or folder on every system.
fn is_segment(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let is_numbered = ["com", "lpt"].iter().any(|port| {
        stem.strip_prefix(port)
            .is_some_and(|digit| digit.len() == 1 && digit.bytes().all(|digit| digit.is_ascii_digit()))
    });
    !name.is_empty()
        && name.len() <= LONGEST
        && !name.chars().any(|c| c.is_control() || "\\:*?\"<>|".contains(c))
        && !name.ends_with(['.', ' '])
        && !DEVICES.contains(&stem.as_str())
        && !is_numbered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_understood_as_huggingface_hub_understands_them() {
        let tag = |header| EntityTag::parse(header).map(|tag| (tag.value, tag.is_weak));
        assert_eq!(tag("\"a1b2\""), Ok(("a1b2".into(), false)));
        assert_eq!(tag("W/\"a1b2\""), Ok(("a1b2".into(), true)));
        assert_eq!(tag("a1b2"), Ok(("a1b2".into(), false)));
        assert_eq!(tag(" \"65a1-1f\" "), Ok(("65a1-1f".into(), false)));
        for bad in [
            "",
            "\"\"",
            "\"W/abc\"",
            "\"../../x\"",
            "\"/etc/x\"",
            "\"..\"",
            "\".x\"",
            "\"a\\b\"",
            "\"C:x\"",
            "\"a.incomplete\"",
            "\"a.LOCK\"",
            "\"NUL\"",
            "\"com1.x\"",
            "\"a b\"",
            "\"é\"",
            "\"\0\"",
            "\"a\"b\"",
        ] {
            assert!(tag(bad).is_err(), "{bad:?}");
        }
        let message = EntityTag::parse("\"../../x\"").unwrap_err().to_string();
        assert!(message.contains("ETag") && message.contains("../../x"), "{message}");
        assert!(EntityTag::parse(&"a".repeat(4000)).unwrap_err().to_string().len() < 400);
    }

    #[test]
    fn commits_files_revisions_and_ids() {
        let name = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(commit(name), Ok(name));
        assert!(is_commit(name) && !is_commit("main") && !is_commit(&name[1..]));
        for bad in ["", "../x", "/x", "a/b", "..", "a\\b"] {
            assert!(commit(bad).is_err(), "{bad:?}");
        }
        for good in [
            "config.json",
            "1_Pooling/config.json",
            "model 1.safetensors",
            "模型.safetensors",
            ".gitattributes",
        ] {
            assert_eq!(file_name(good), Ok(good));
        }
        for bad in [
            "",
            "/x",
            "x/",
            "a//b",
            "../x",
            "a/../b",
            ".",
            "a/.",
            "a\\b",
            "C:x",
            "a\nb",
            "nul",
            "x/NUL.json",
            "x.",
            "x ",
        ] {
            assert!(file_name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(revision("refs/pr/1"), Ok("refs/pr/1"));
        assert!(revision("refs/../../x").is_err());
        assert_eq!(owner_and_name("lorelei/tiny.1_2-x"), Ok(("lorelei", "tiny.1_2-x")));
        for bad in ["tiny", "a/b/c", "/b", "a/", "../b", "a/..", "a/-b", "a/b--c", "a/b.", "a b/c", "a/b?x"] {
            assert!(owner_and_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_are_encoded() {
        assert_eq!(encoded_path("a b/模.json"), "a%20b/%E6%A8%A1.json");
        assert_eq!(encoded_segment("refs/pr/1?#%"), "refs%2Fpr%2F1%3F%23%25");
        assert_eq!(decoded("refs%2Fpr%2f1"), Some("refs/pr/1".into()));
        for bad in ["%", "a%2", "%zz", "%+1", "%FF", "%1é", "%é"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_is_one_segment_and_is_decoded_to_itself(name in ".*") {
            let encoded = encoded_segment(&name);
            proptest::prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)));
            proptest::prop_assert_eq!(decoded(&encoded), Some(name.clone()));
            proptest::prop_assert_eq!(decoded(&encoded_path(&name)), Some(name));
        }
    }
}
