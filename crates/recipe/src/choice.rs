//! Settings that take one of a few words: [`choices!`] makes an enum from rows `Variant = "word"`, with everything that is derived from the words.

/// Makes an enum whose variants are written as words.
///
/// Each row is `Variant = "word"`. The enum gets serde's traits in these words, `ALL`, `name()`, and its `KIND` for the table of settings.
/// `later ["word"]` lists words that PEFT or Transformers accept and Lorelei does not yet. With `gives name -> Type`, each row ends with
/// `=> value`, and the enum gets a method `name` that returns the value.
macro_rules! choices {
    ($(#[$outer:meta])* pub enum $Name:ident gives $data:ident -> $Data:ty {
        $($(#[$attr:meta])* $Variant:ident = $word:literal => $value:expr,)+
    } $($later:tt)*) => {
        crate::choice::choices! {
            $(#[$outer])* pub enum $Name { $($(#[$attr])* $Variant = $word,)+ } $($later)*
        }

        impl $Name {
            pub(crate) const fn $data(self) -> $Data {
                match self { $(Self::$Variant => $value),+ }
            }
        }
    };
    ($(#[$outer:meta])* pub enum $Name:ident {
        $($(#[$attr:meta])* $Variant:ident = $word:literal,)+
    } $(later [$($later:literal),* $(,)?])?) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $Name {
            $($(#[$attr])* #[serde(rename = $word)] $Variant,)+
        }

        impl $Name {
            /// All values, in the order in which they are listed to people.
            pub const ALL: &'static [Self] = &[$(Self::$Variant),+];

            pub(crate) const KIND: crate::Kind =
                crate::Kind::Choice { takes: &[$($word),+], later: &[$($($later),*)?] };

            /// Returns the word of the value in a file.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$Variant => $word),+ }
            }

            /// Returns the word as JSON, for the table of settings.
            #[allow(dead_code, reason = "not every choice is a default")]
            pub(crate) const fn json(self) -> &'static str {
                match self { $(Self::$Variant => concat!("\"", $word, "\"")),+ }
            }
        }
    };
}

pub(crate) use choices;
