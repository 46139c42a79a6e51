//! Recipes in links.

use lorelei_recipe::{Recipe, decode_link, encode_link};
use proptest::prelude::*;

fn recipe(set: &[&str]) -> Recipe {
    let mut recipe = Recipe::default();
    for assignment in set {
        recipe.set(assignment).unwrap();
    }
    recipe
}

fn refused(link: &str, words: &str) {
    let error = decode_link(link).unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
}

fn packed(json: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    format!("r=1.{}", URL_SAFE_NO_PAD.encode(miniz_oxide::deflate::compress_to_vec(json.as_bytes(), 9)))
}

#[test]
fn there_and_back() {
    for set in [
        &[][..],
        &["lora.r=16", "training.learning_rate=3e-4", "lora.target_modules=all-linear"],
        &[
            "model.model_name_or_path=<b>&\"模型\"",
            "data.validation_split_percentage=5",
            "lora.rank_pattern={ a = 4 }",
        ],
    ] {
        let recipe = recipe(set);
        let link = encode_link(&recipe);
        assert_eq!(decode_link(&link).unwrap(), recipe);
        assert_eq!(decode_link(&format!("#{link}")).unwrap(), recipe);
        assert_eq!(decode_link(&format!("http://localhost:8080/?x=1#{link}")).unwrap(), recipe);
        assert!(link.bytes().all(|b| b.is_ascii_alphanumeric() || b"=.-_".contains(&b)), "{link}");
    }
    // The link contains only the settings that differ from the defaults.
    assert!(encode_link(&Recipe::default()).len() < 12);
    assert!(encode_link(&recipe(&["lora.r=16"])).len() < 48);
}

#[test]
fn what_is_no_recipe_is_refused_in_words() {
    refused("", "no recipe");
    refused("#section", "no recipe");
    refused("#r=2.abc", "version 2");
    refused("#r=1.a!b", "damaged");
    refused("#r=1.", "damaged");
    refused(&format!("#r=1.{}", "A".repeat(10 << 20)), "bytes long");
    let link = encode_link(&recipe(&["lora.r=16", "training.learning_rate=3e-4"]));
    refused(&link[..link.len() - 8], "damaged");
    // The link decompresses to 16 MiB of blanks.
    refused(&packed(&" ".repeat(16 << 20)), "unpacks to more than");
    refused(&packed("{\"lora\": {\"r\": 0}}"), "out of range");
    refused(&packed("{\"lora\": {\"rank\": 4}}"), "unknown key");
    refused(&packed("[1]"), "link");
}

proptest! {
    #[test]
    fn nothing_panics(text in "\\PC{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_link(&text);
        let _ = decode_link(&format!("#r=1.{text}"));
        let _ = decode_link(&packed(&String::from_utf8_lossy(&bytes)));
    }
}
