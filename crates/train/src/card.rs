//! The README that goes with an adapter.

use lorelei_data::Labels;
use lorelei_recipe::{Recipe, TaskType, id_and_revision};

/// A model card in the form that hubs read: which base the adapter is for, how it was trained, and how it is loaded. `labels` are a
/// classifier's.
pub fn model_card(recipe: &Recipe, labels: Option<&Labels>) -> String {
    let (base, revision) = id_and_revision(recipe.model.model_name_or_path.as_deref().unwrap_or_default());
    // YAML and Python read a JSON string as it is, whatever is in it.
    let quoted = serde_json::Value::from(base);
    let (class, options) = match recipe.lora.task_type {
        Some(TaskType::SeqCls) => ("AutoModelForSequenceClassification", classes(labels)),
        Some(TaskType::TokenCls) => ("AutoModelForTokenClassification", classes(labels)),
        _ => ("AutoModelForCausalLM", String::new()),
    };
    let revision = revision.map(|revision| format!(", revision={}", serde_json::Value::from(revision)));
    let options = revision.unwrap_or_default() + &options;
    format!(
        "---\nlibrary_name: peft\nbase_model: {quoted}\ntags:\n- lora\n- lorelei\n---\n\n\
         # A LoRA adapter\n\n\
         For the model `{}`. Trained with Lorelei {} by `recipe.toml`; `trainer_log.jsonl` has how it went.\n\n\
         ```python\n\
         from peft import PeftModel\n\
         from transformers import {class}\n\n\
         model = {class}.from_pretrained({quoted}{options})\n\
         model = PeftModel.from_pretrained(model, \"this folder\")\n\
         ```\n\n\
         ## Recipe\n\n```toml\n{}```\n",
        base.replace('`', "'"),
        env!("CARGO_PKG_VERSION"),
        recipe.to_toml(),
    )
}

/// How `from_pretrained` is told of them.
fn classes(labels: Option<&Labels>) -> String {
    let Some(labels) = labels else { return String::new() };
    let problem = match labels {
        Labels::Number => return ", num_labels=1".to_owned(),
        Labels::Several(_) => ", problem_type=\"multi_label_classification\"",
        Labels::Classes(_) | Labels::Tags(_) => "",
    };
    let named = labels
        .names()
        .iter()
        .enumerate()
        .map(|(number, label)| format!("{number}: {}", serde_json::Value::from(label.as_str())));
    let named = named.collect::<Vec<_>>().join(", ");
    format!(", num_labels={}, id2label={{{named}}}{problem}", labels.num_labels())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_says_how_the_adapter_is_loaded() {
        let mut recipe = Recipe::default();
        let card = model_card(&recipe, None);
        assert!(card.contains("AutoModelForCausalLM.from_pretrained(\"builtin:tiny\")\n"), "{card}");
        recipe.lora.task_type = Some(TaskType::SeqCls);
        let names = vec!["air".into(), "\"sea\"".into()];
        let card = model_card(&recipe, Some(&Labels::Classes(names.clone())));
        assert!(card.contains("import AutoModelForSequenceClassification\n"), "{card}");
        assert!(card.contains(r#"num_labels=2, id2label={0: "air", 1: "\"sea\""})"#), "{card}");
        let card = model_card(&recipe, Some(&Labels::Several(names)));
        assert!(card.contains(r#"}, problem_type="multi_label_classification")"#), "{card}");
        assert!(model_card(&recipe, Some(&Labels::Number)).contains("(\"builtin:tiny\", num_labels=1)"));
    }
}
