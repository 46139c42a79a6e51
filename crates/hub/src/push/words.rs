//! Why a hub does not take an upload, in words with the way out.

use crate::answer::Answer;

/// Length of the longest message of a hub that is quoted, in characters.
const LONGEST_QUOTE: usize = 300;

/// Whose answers are put into words.
pub struct Words<'w> {
    /// Address of the hub.
    pub endpoint: &'w str,
    /// Page of the repository.
    pub page: &'w str,
    /// Name of the token: its variable or file.
    pub token: &'w str,
}

/// Says that there is no token.
pub fn no_token(endpoint: &str) -> String {
    format!(
        "an upload needs a token that may write: make one at {endpoint}/settings/tokens, and set HF_TOKEN to it"
    )
}

impl Words<'_> {
    /// Formats a refusal.
    pub fn of(&self, answer: &Answer<'_>) -> String {
        let Self { endpoint, page, token } = self;
        let (status, code) = (answer.status, answer.error_code.unwrap_or_default());
        let reason = match (status, code) {
            (401, _) => format!(
                "the hub does not know the token in {token}: make one that may write at {endpoint}/settings/tokens, and set HF_TOKEN to it"
            ),
            (403, _) => format!(
                "the token in {token} may not write to {page}: set HF_TOKEN to one with the role `write`, or with write access to this \
                 repository, of an account that the owner lets write"
            ),
            (404, "RevisionNotFound") => format!("{page} has no such branch"),
            (404, _) => format!("there is no repository at {page} that the token in {token} gives access to"),
            (409 | 412, _) => format!("{page} has changed in the meantime: run this again"),
            (413 | 507, _) => "the hub has no room for so much".to_owned(),
            (429, _) => {
                "too many requests: wait a little, then run this again to go on from there".to_owned()
            }
            (408 | 500..=599, _) => {
                "the server is out of order or busy: run this again later to go on from there".to_owned()
            }
            (400 | 422, _) => "the hub does not take what was sent".to_owned(),
            _ => format!("an answer that was not asked for: is {endpoint} the address of a hub?"),
        };
        let quote: Option<String> =
            answer.error_message.map(|message| message.chars().take(LONGEST_QUOTE).collect());
        match quote.filter(|quote| !quote.trim().is_empty()) {
            Some(quote) => format!("HTTP {status}: {reason} (the hub says: {quote})"),
            None => format!("HTTP {status}: {reason}"),
        }
    }
}
