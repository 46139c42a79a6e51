//! What a hub's answers mean. The error codes are those that `huggingface_hub`'s `hf_raise_for_status` reads.

use std::{fmt, time::Duration};

use crate::retry::asked_wait;

/// Length of the longest message of a hub that is quoted, in characters.
const LONGEST_QUOTE: usize = 300;

/// The parts of an answer that say what it means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Status.
    pub status: u16,
    /// Value of `X-Error-Code`.
    pub error_code: Option<&'a str>,
    /// Value of `X-Error-Message`.
    pub error_message: Option<&'a str>,
    /// Value of `Retry-After`.
    pub retry_after: Option<&'a str>,
    /// Value of `RateLimit`.
    pub rate_limit: Option<&'a str>,
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// The file, or the part of it that was asked for, follows.
    Content,
    /// The model is there and has no such file.
    Absent,
    /// The file is elsewhere.
    Elsewhere,
    /// The part that was asked for is not there: the file is another one, or shorter.
    OutOfRange,
    /// The server is busy or broken, and may answer in a while.
    Busy {
        /// The wait that it asks for.
        wait: Option<Duration>,
        /// The reason for an error where it stays so.
        refusal: Refusal,
    },
    /// The file is not to be had.
    Refused(Refusal),
}

impl Answer<'_> {
    /// Returns what the answer means. Only 404 is absence, and only where it is the file that is not found.
    pub fn meaning(&self) -> Meaning {
        let refused = |reason| Meaning::Refused(self.refusal(reason));
        match (self.status, self.error_code.unwrap_or_default()) {
            (200 | 206, _) => Meaning::Content,
            (301 | 302 | 303 | 307 | 308, _) => Meaning::Elsewhere,
            (416, _) => Meaning::OutOfRange,
            (408 | 429 | 500..=599, _) => Meaning::Busy {
                wait: asked_wait(self.retry_after, self.rate_limit),
                refusal: self.refusal(if self.status == 429 { Reason::TooMany } else { Reason::Broken }),
            },
            (400..=499, "GatedRepo") => refused(Reason::Gated),
            (400..=499, "RevisionNotFound") => refused(Reason::NoRevision),
            (400..=499, _) if self.says("Access to this resource is disabled") => refused(Reason::Disabled),
            (401, _) if self.says("Invalid credentials") => refused(Reason::BadToken),
            (400..=499, "RepoNotFound") | (401, _) => refused(Reason::NoRepository),
            (403, _) => refused(Reason::Forbidden),
            (404, _) => Meaning::Absent,
            _ => refused(Reason::Status),
        }
    }

    fn says(&self, words: &str) -> bool {
        self.error_message.is_some_and(|message| message.contains(words))
    }

    fn refusal(&self, reason: Reason) -> Refusal {
        let quote = self.error_message.map(|message| message.chars().take(LONGEST_QUOTE).collect());
        Refusal {
            status: self.status,
            reason,
            quote: quote.filter(|quote: &String| !quote.trim().is_empty()),
        }
    }
}

/// Why a hub does not give a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    status: u16,
    reason: Reason,
    /// The hub's own message.
    quote: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Gated,
    NoRepository,
    NoRevision,
    Disabled,
    BadToken,
    Forbidden,
    TooMany,
    Broken,
    Status,
}

/// How the client says who the user is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// With the token that this names, such as `HF_TOKEN`.
    Token(String),
    /// With no token, though it could send one.
    Anonymous,
    /// Never: a page sends no token.
    Impossible,
}

/// A refusal in words, for a model and a login.
struct Words<'a> {
    refusal: &'a Refusal,
    model_page: &'a str,
    login: &'a Login,
}

impl Refusal {
    /// Returns the refusal in words with the way out. `model_page` is the address where people see the model.
    pub fn words(&self, model_page: &str, login: &Login) -> String {
        let words = Words { refusal: self, model_page, login };
        match &self.quote {
            Some(quote) => format!("{words} (the hub says: {quote})"),
            None => words.to_string(),
        }
    }
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refusal: Refusal { status, reason, .. }, model_page, login } = self;
        write!(f, "HTTP {status}: ")?;
        let without = "pick the model's files from your disk instead";
        match (reason, login) {
            (Reason::Gated, Login::Token(token)) => write!(
                f,
                "the model is gated, and the account of the token in {token} has no access: ask for it at {model_page}"
            ),
            (Reason::Gated, Login::Anonymous) => write!(
                f,
                "the model is gated: ask for access at {model_page}, and set HF_TOKEN to a token of that account"
            ),
            (Reason::Gated, Login::Impossible) => {
                write!(f, "the model is gated and needs a login ({model_page}): {without}")
            }
            (Reason::NoRepository, Login::Token(token)) => write!(
                f,
                "there is no such model ({model_page}), or it is private and the token in {token} gives no access to it"
            ),
            (Reason::NoRepository, Login::Anonymous) => write!(
                f,
                "there is no such model ({model_page}), or it is private or gated: set HF_TOKEN to a token that has access to it"
            ),
            (Reason::NoRepository, Login::Impossible) => {
                write!(f, "the model does not exist, or needs a login ({model_page}): {without}")
            }
            (Reason::NoRevision, _) => {
                write!(f, "the model has no such revision: {model_page} lists its branches and tags")
            }
            (Reason::Disabled, _) => write!(f, "the hub has disabled the model ({model_page})"),
            (Reason::BadToken, Login::Token(token)) => {
                write!(
                    f,
                    "the hub does not know the token in {token}: make a new one, or unset it for a public model"
                )
            }
            (Reason::Forbidden | Reason::BadToken, Login::Impossible) => {
                write!(f, "no access ({model_page}): {without}")
            }
            (Reason::Forbidden, Login::Token(token)) => {
                write!(f, "the token in {token} has no access: {model_page} says who has")
            }
            (Reason::Forbidden | Reason::BadToken, Login::Anonymous) => {
                write!(f, "no access without a token: set HF_TOKEN to one that has access to {model_page}")
            }
            (Reason::TooMany, _) => {
                write!(f, "too many requests: wait a little, then load it again to go on from there")
            }
            (Reason::Broken, _) => write!(f, "the server is out of order or busy: try again later"),
            (Reason::Status, _) => {
                write!(f, "an answer that was not asked for: is this the address of a hub?")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(status: u16, code: &str, message: &str) -> Meaning {
        let text = |text: &'static str| (!text.is_empty()).then_some(text);
        let (code, message) = (code.to_owned().leak(), message.to_owned().leak());
        Answer { status, error_code: text(code), error_message: text(message), ..Answer::default() }.meaning()
    }

    fn words(status: u16, code: &str, message: &str, login: &Login) -> String {
        match meaning(status, code, message) {
            Meaning::Refused(refusal) | Meaning::Busy { refusal, .. } => {
                refusal.words("https://hub/o/m", login)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_a_file_that_is_not_found_is_absent() {
        assert_eq!(meaning(404, "EntryNotFound", ""), Meaning::Absent);
        assert_eq!(meaning(404, "", ""), Meaning::Absent);
        for status in 100..600 {
            let is_absent = meaning(status, "", "") == Meaning::Absent;
            assert_eq!(is_absent, status == 404, "{status}");
            let is_content = meaning(status, "EntryNotFound", "") == Meaning::Content;
            assert_eq!(is_content, [200, 206].contains(&status), "{status}");
        }
        for code in ["RepoNotFound", "RevisionNotFound", "GatedRepo"] {
            assert!(matches!(meaning(404, code, ""), Meaning::Refused(_)), "{code}");
        }
        for status in [408, 429, 500, 502, 503, 504, 599] {
            assert!(matches!(meaning(status, "", ""), Meaning::Busy { .. }), "{status}");
        }
        for status in [204, 300, 304, 305, 399, 400, 410, 418] {
            assert!(matches!(meaning(status, "", ""), Meaning::Refused(_)), "{status}");
        }
        let busy = Answer { status: 429, retry_after: Some("3"), ..Answer::default() }.meaning();
        assert!(matches!(busy, Meaning::Busy { wait: Some(wait), .. } if wait.as_secs() == 3));
    }

    #[test]
    fn refusals_name_the_way_out() {
        let token = Login::Token("HF_TOKEN".into());
        for (status, code, message, login, says) in [
            (401, "GatedRepo", "", Login::Anonymous, &["401", "gated", "HF_TOKEN", "https://hub/o/m"][..]),
            (403, "GatedRepo", "ask them", token.clone(), &["403", "gated", "HF_TOKEN", "o/m", "ask them"]),
            (401, "GatedRepo", "", Login::Impossible, &["gated", "login", "from your disk"]),
            (401, "RepoNotFound", "", Login::Anonymous, &["no such model", "private", "HF_TOKEN"]),
            (401, "", "", Login::Impossible, &["401", "login", "does not exist"]),
            (404, "RepoNotFound", "", token.clone(), &["404", "no such model", "HF_TOKEN"]),
            (404, "RevisionNotFound", "", Login::Anonymous, &["no such revision"]),
            (
                401,
                "",
                "Invalid credentials in Authorization header",
                token.clone(),
                &["does not know", "HF_TOKEN"],
            ),
            (403, "", "Access to this resource is disabled.", token.clone(), &["disabled"]),
            (403, "", "", token, &["403", "has no access"]),
            (429, "", "", Login::Anonymous, &["429", "too many requests"]),
            (503, "", "", Login::Anonymous, &["503", "later"]),
            (304, "", "", Login::Anonymous, &["304", "not asked for"]),
        ] {
            let words = words(status, code, message, &login);
            for said in says {
                assert!(words.contains(said), "no {said:?} in {words}");
            }
        }
        assert!(words(403, "", &"x".repeat(9000), &Login::Anonymous).len() < 600);
    }
}
