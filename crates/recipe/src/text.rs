//! What people are told, in the languages of the page.

/// A text in English and in Simplified Chinese.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bilingual {
    /// English.
    pub english: &'static str,
    /// Simplified Chinese.
    pub chinese: &'static str,
}
