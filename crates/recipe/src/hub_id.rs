//! Names that are a hub's ids, and not paths.

/// A name of the form `owner/name`, or `owner/name@revision`.
///
/// A folder may have such a name too. Whoever has a file system looks there first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubId<'a> {
    /// The repository's id, `owner/name`.
    pub id: &'a str,
    /// The branch, tag or commit, if the name has one.
    pub revision: Option<&'a str>,
}

impl<'a> HubId<'a> {
    /// Parses a name. Returns `None` for any other: a path, `builtin:tiny`, a bare name such as `gpt2`.
    pub fn parse(name: &'a str) -> Option<Self> {
        let (id, revision) = match name.split_once('@') {
            Some((id, revision)) => (id, Some(revision)),
            None => (name, None),
        };
        owner_and_name(id)?;
        (revision != Some("")).then_some(Self { id, revision })
    }

    /// Returns the name with a revision. Not if it has one: they may differ.
    pub(crate) fn at(self, revision: &str) -> Option<String> {
        (self.revision.is_none() && !revision.is_empty()).then(|| format!("{}@{revision}", self.id))
    }
}

/// Splits a repository's id, `owner/name`, by the rules of `huggingface_hub`'s `validate_repo_id`. Both parts are needed here, and have at most 96
/// bytes each, so that a folder of the cache can have their name.
pub fn owner_and_name(id: &str) -> Option<(&str, &str)> {
    // `--` separates owner and name in the cache.
    let is_allowed = !["..", "--"].iter().any(|pair| id.contains(pair)) && !id.ends_with(".git");
    id.split_once('/').filter(|(owner, name)| is_allowed && is_part(owner) && is_part(name))
}

fn is_part(part: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    !part.is_empty()
        && part.len() <= 96
        && part.chars().all(allowed)
        && !part.starts_with(['.', '-'])
        && !part.ends_with(['.', '-'])
}

/// Splits a hub id with a revision into the two. Returns any other name whole.
pub fn id_and_revision(name: &str) -> (&str, Option<&str>) {
    HubId::parse(name).map_or((name, None), |HubId { id, revision }| (id, revision))
}

/// Whether the name of a data set is a path, and not a name on the hub (`imdb`, `owner/name`) or an address.
pub(crate) fn is_path(name: &str) -> bool {
    let is_address = name.contains("://");
    let has_folders = name.contains(['/', '\\']) && owner_and_name(name).is_none();
    name.starts_with(['.', '~']) || has_folders && !is_address
}
