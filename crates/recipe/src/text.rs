//! Texts for users, in the languages of the page.

/// A text in English and in Simplified Chinese.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bilingual {
    /// The text in English.
    pub english: &'static str,
    /// The text in Simplified Chinese.
    pub chinese: &'static str,
}
