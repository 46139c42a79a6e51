//! A recipe in a link: the fragment of a page's address, after its `#`.
//!
//! The fragment is `r=1.` and then, in base64url without padding, the deflated JSON of the settings that differ from the defaults. 1 is the
//! version of this format. The JSON is read with the checks of a file, so that a link cannot contain anything that a file could not.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use miniz_oxide::{
    deflate::compress_to_vec,
    inflate::{TINFLStatus, decompress_to_vec_with_limit},
};
use serde_json::{Map, Value as Json};

use crate::{Message, Recipe, RecipeError, message};

/// Prefix of a link of this version.
const PREFIX: &str = "r=1.";
/// Maximum length of a fragment, in bytes: more than browsers keep in an address.
const MAX_FRAGMENT: usize = 64 * 1024;
/// Maximum length of the decompressed JSON, in bytes.
const MAX_JSON: usize = 256 * 1024;

/// Returns the fragment of a recipe, without `#`. [`decode_link`] reads it back to an equal recipe.
pub fn encode_link(recipe: &Recipe) -> String {
    let different = different(recipe).to_string();
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(compress_to_vec(different.as_bytes(), 9)))
}

/// Reads the recipe from a whole address, or from its fragment with or without `#`.
///
/// # Errors
///
/// If it is too long, of another version, cut short, or contains anything that a recipe file may not contain.
pub fn decode_link(link: &str) -> Result<Recipe, RecipeError> {
    let refuse = |message: Message, help: Message| RecipeError {
        file: "link".into(),
        ..RecipeError::new("", message).with_help(help)
    };
    let fragment = link.rsplit_once('#').map_or(link, |(_, fragment)| fragment).trim();
    if fragment.len() > MAX_FRAGMENT {
        let message = message!(
            "the link is {length} bytes long; at most {most} are read",
            length = fragment.len(),
            most = MAX_FRAGMENT
        );
        return Err(refuse(message, message!("share the recipe as a file")));
    }
    let Some(packed) = fragment.strip_prefix(PREFIX) else {
        let version =
            fragment.strip_prefix("r=").and_then(|rest| rest.split_once('.')).map(|(version, _)| version);
        return Err(match version {
            Some(version) if !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit()) => refuse(
                message!("the link has version {version} of the form; this program reads version 1", version),
                message!("use a newer Lorelei"),
            ),
            _ => refuse(
                message!("the link holds no recipe"),
                message!("a recipe's link has #r=1. and then letters and digits"),
            ),
        });
    };
    let cut = || message!("copy the whole link again");
    let packed = URL_SAFE_NO_PAD.decode(packed).map_err(|error| {
        let reason = error.to_string();
        refuse(message!("the link is damaged or cut short: {reason}", reason), cut())
    })?;
    let json = decompress_to_vec_with_limit(&packed, MAX_JSON).map_err(|error| match error.status {
        TINFLStatus::HasMoreOutput => {
            let message = message!("the link unpacks to more than {most} bytes", most = MAX_JSON);
            refuse(message, message!("share the recipe as a file"))
        }
        _ => refuse(message!("the link is damaged or cut short"), cut()),
    })?;
    let json = String::from_utf8(json)
        .map_err(|_| refuse(message!("the link is damaged: its text is not UTF-8"), cut()))?;
    Recipe::from_json(&json, "link").map(|(recipe, _)| recipe)
}

/// Returns the settings that are not the default, section by section.
fn different(recipe: &Recipe) -> Json {
    let sections = |recipe: &Recipe| match serde_json::to_value(recipe) {
        Ok(Json::Object(sections)) => sections,
        _ => Map::new(),
    };
    let (ours, defaults) = (sections(recipe), sections(&Recipe::default()));
    let mut kept = Map::new();
    for (table, values) in ours {
        let Json::Object(values) = values else { continue };
        let values: Map<_, _> =
            values.into_iter().filter(|(name, value)| defaults[&table].get(name) != Some(value)).collect();
        if !values.is_empty() {
            kept.insert(table, Json::Object(values));
        }
    }
    Json::Object(kept)
}
