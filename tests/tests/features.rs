//! Tests that FEATURES.md describes what the recipe reader does.

#[test]
fn features_md_has_the_reader_s_own_tables() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../FEATURES.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, tables) = text.split_once("<!-- tables -->\n").expect("FEATURES.md has the marker");
    let wanted = lorelei_recipe::features_markdown();
    assert!(tables == wanted, "FEATURES.md is stale: put the output of `lorelei features` below its marker");
}

#[test]
fn the_examples_are_recipes_with_data_and_a_place_in_their_table() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let table = std::fs::read_to_string(format!("{folder}/README.md")).unwrap();
    let mut recipes = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let (recipe, warnings) = lorelei_recipe::Recipe::from_toml(&text, &name).unwrap();
        assert_eq!(warnings, [], "{name}");
        let kinds = ["chat-en", "chat-zh", "sentiment", "spam", "text"];
        assert!(
            kinds.iter().any(|kind| text.contains(&format!("examples/data.py {kind}\n"))),
            "{name}: its data"
        );
        assert!(recipe.data.train_file.is_some_and(|file| file.starts_with("data/")), "{name}");
        assert!(table.contains(&format!("`{name}`")), "{name} is not in the table");
        recipes += 1;
    }
    assert_eq!(table.matches(".toml`").count(), recipes, "recipes in the table");
}

/// LoRA+ is refused with an adapter on the embedding of any architecture, given by its whole path as a regex.
#[test]
fn every_architecture_s_embedding_is_known_to_the_recipe() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");
    let mut models = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let Ok(text) = std::fs::read_to_string(entry.unwrap().path().join("config.json")) else { continue };
        let config = lorelei_formats::ModelConfig::from_json(&text, "config.json").unwrap();
        let path = config.path(config.names.embedding);
        let mut recipe = lorelei_recipe::Recipe::default();
        recipe.set(&format!("lora.target_modules='^{path}'")).unwrap();
        recipe.set("training.loraplus_lr_ratio=16").unwrap();
        assert_eq!(recipe.validate().unwrap_err().key, "training.loraplus_lr_ratio", "{path}");
        models += 1;
    }
    assert!(models > 20, "{models}");
}
