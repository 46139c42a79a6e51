//! FEATURES.md says what the recipe reader does.

#[test]
fn features_md_has_the_reader_s_own_tables() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../FEATURES.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, tables) = text.split_once("<!-- tables -->\n").expect("FEATURES.md has the marker");
    let wanted = lorelei_recipe::features_markdown();
    assert!(tables == wanted, "FEATURES.md is stale: put the output of `lorelei features` below its marker");
}
