//! Conversion of a setting to the text of an input and back: [`Recipe::set`] reads the text that is shown.

use lorelei_recipe::fields::Field;
use lorelei_recipe::{Kind, Recipe};
use serde_json::Value as Json;

/// The kind of a setting's input.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// True or false.
    Checkbox,
    /// One of a few words; a recipe from elsewhere may have another word.
    Select(Vec<&'static str>),
    /// A line of text that is a number.
    Number,
    /// A line of text.
    Text,
}

/// Returns the input for a kind of values. A number is typed as text, as a browser's number input hides what it cannot read.
pub fn input(kind: &Kind) -> Input {
    if let Some(words) = kind.choices() {
        return Input::Select(words);
    }
    match kind {
        Kind::Bool => Input::Checkbox,
        Kind::Int { .. } | Kind::Number(_) => Input::Number,
        Kind::Text
        | Kind::Choice { .. }
        | Kind::Init
        | Kind::Names
        | Kind::Targets
        | Kind::Indices
        | Kind::Ranks
        | Kind::Alphas
        | Kind::Columns
        | Kind::TokenIndices
        | Kind::SchedulerKwargs
        | Kind::Any => Input::Text,
    }
}

/// Returns the options of a select: the words of the setting, and the shown value if it is another one, such as `pissa_niter_16`.
pub fn options(words: &[&'static str], shown: &str) -> Vec<String> {
    let other = (!shown.is_empty() && !words.contains(&shown)).then_some(shown);
    words.iter().copied().chain(other).map(str::to_owned).collect()
}

/// Returns the text of a setting in a recipe; empty where the setting has its default.
pub fn shown(field: &Field, recipe: &Recipe) -> String {
    let Some(value) = value_of(field, recipe) else { return String::new() };
    if same(&value, &field.default_value()) {
        return String::new();
    }
    let plain = plain(&value);
    match reads_as(field, &plain, &value) {
        true => plain,
        false => literal(&value),
    }
}

/// Returns the text of a setting's default, which an empty input stands for.
pub fn default_text(field: &Field) -> String {
    match field.default_value() {
        Json::Null => "—".into(),
        Json::Object(map) if map.is_empty() => "—".into(),
        // A number is written as the table has it: `5e-5`, not `0.00005`.
        Json::Number(_) => field.default.to_string(),
        value => plain(&value),
    }
}

fn value_of(field: &Field, recipe: &Recipe) -> Option<Json> {
    let recipe = serde_json::to_value(recipe).ok()?;
    recipe.get(field.table.name())?.get(field.name).filter(|value| !value.is_null()).cloned()
}

fn reads_as(field: &Field, text: &str, value: &Json) -> bool {
    let mut recipe = Recipe::default();
    recipe.set(&format!("{}={text}", field.path())).is_ok()
        && value_of(field, &recipe).is_some_and(|read| same(&read, value))
}

/// Formats a value without quotes and brackets, as people type it.
fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => literal(other),
    }
}

/// Formats a value in TOML. JSON's strings and numbers are valid TOML.
fn literal(value: &Json) -> String {
    match value {
        Json::Array(list) => format!("[{}]", list.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Json::Object(map) => {
            let pairs =
                map.iter().map(|(key, value)| format!("{} = {}", Json::from(key.as_str()), literal(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        // A whole number is written `1` rather than `1.0`, as people type it.
        Json::Number(number) => match number.as_f64() {
            Some(value) if value.fract() == 0.0 && value.abs() < 1e15 => format!("{value}"),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// Compares two values; `1` and `1.0` are equal.
fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::layout::all_shown;

    fn after(assignment: &str) -> Recipe {
        let mut recipe = Recipe::default();
        recipe.set(assignment).unwrap_or_else(|error| panic!("{assignment}: {error}"));
        recipe
    }

    #[test]
    fn what_is_shown_reads_back_to_the_same() {
        for assignment in [
            "lora.r=16",
            "lora.target_modules=all-linear",
            "lora.target_modules=q_proj,v_proj",
            r#"lora.target_modules="q_proj""#,
            r#"lora.target_modules="[ab]""#,
            r#"lora.exclude_modules=["a b", "c"]"#,
            r#"lora.rank_pattern={ "q_proj" = 4 }"#,
            "lora.layers_to_transform=0,2",
            "lora.init_lora_weights=false",
            "lora.init_lora_weights=gaussian",
            "lora.init_lora_weights=pissa_niter_16",
            "training.learning_rate=2e-4",
            "training.lr_scheduler_kwargs={ num_cycles = 0.5 }",
            "training.output_dir=2024",
            r#"training.output_dir=" a = \"b\" ""#,
            "data.shuffle=false",
        ] {
            let recipe = after(assignment);
            let mut again = Recipe::default();
            for field in all_shown() {
                let text = shown(field, &recipe);
                again
                    .set(&format!("{}={text}", field.path()))
                    .unwrap_or_else(|error| panic!("{assignment}: {text}: {error}"));
            }
            assert_eq!(again, recipe, "{assignment}");
        }
    }

    #[test]
    fn a_default_is_an_empty_input_with_a_hint() {
        for field in all_shown() {
            assert_eq!(shown(field, &Recipe::default()), "", "{}", field.path());
            assert!(!default_text(field).is_empty(), "{}", field.path());
        }
    }

    #[test]
    fn a_select_has_every_word_that_a_recipe_may_have() {
        for field in all_shown() {
            let Input::Select(words) = input(&field.kind) else { continue };
            for word in &words {
                let text = shown(field, &after(&format!("{}={word}", field.path())));
                assert!(text.is_empty() || text == *word, "{}: {word} is shown as {text}", field.path());
                assert_eq!(options(&words, &text).len(), words.len(), "{}", field.path());
            }
        }
        let init = all_shown().find(|field| field.name == "init_lora_weights").expect("a field");
        let Input::Select(words) = input(&init.kind) else { panic!("no select") };
        assert!(words.contains(&"pissa") && words.contains(&"olora"), "{words:?}");
        let niter = shown(init, &after("lora.init_lora_weights=pissa_niter_16"));
        assert_eq!(options(&words, &niter).last().map(String::as_str), Some("pissa_niter_16"));
    }

    #[test]
    fn people_are_shown_what_they_would_type() {
        let find = |path: &str| all_shown().find(|field| field.path() == path).expect("a field");
        assert_eq!(
            shown(find("lora.target_modules"), &after("lora.target_modules=q_proj,v_proj")),
            "q_proj, v_proj"
        );
        assert_eq!(shown(find("lora.lora_alpha"), &after("lora.lora_alpha=32")), "32");
        assert_eq!(default_text(find("training.learning_rate")), "5e-5");
        assert_eq!(input(&find("lora.use_rslora").kind), Input::Checkbox);
    }
}
