//! The README that goes with an adapter.

use lorelei_data::Labels;
use lorelei_recipe::{Recipe, TaskType, id_and_revision};

/// The place where a card's reader finds the base model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base<'a> {
    /// A model on the hub: its id and its revision.
    Hub(&'a str, Option<&'a str>),
    /// A model that is not known to be on the hub: a folder, a file, or a model that is built into Lorelei.
    Local(&'a str),
}

/// Formats a model card as hubs read it, with the metadata of PEFT's `create_or_update_model_card`. The card describes the base model of the
/// adapter, how the adapter was trained, and how to load it. If `base_is_on_hub`, the recipe's base model is on the hub, and the metadata
/// contain its id. Else it is a folder or file, and the metadata do not name it, because the hub accepts only ids. `labels` are a classifier's.
pub fn model_card(recipe: &Recipe, base_is_on_hub: bool, labels: Option<&Labels>) -> String {
    let name = recipe.model.model_name_or_path.as_deref().unwrap_or_default();
    let base = match base_is_on_hub {
        true => {
            let (id, revision) = id_and_revision(name);
            Base::Hub(id, revision)
        }
        false => Base::Local(name),
    };
    let task = recipe.lora.task_type.unwrap_or(TaskType::CausalLm);
    format!(
        "{}\n# A LoRA adapter\n\n{} Trained with Lorelei {} by `recipe.toml`; `trainer_log.jsonl` has how it went.\n\n\
         {}\n## Recipe\n\n```toml\n{}```\n",
        metadata(base, task),
        about(base),
        env!("CARGO_PKG_VERSION"),
        loading(base, task, &recipe.training.output_dir, labels),
        recipe.to_toml(),
    )
}

/// Quotes any text as a JSON string, which YAML and Python read too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Formats a name as code in Markdown.
fn code(name: &str) -> String {
    format!("`{}`", name.replace('`', "'"))
}

/// Formats the YAML at the head of a card.
fn metadata(base: Base, task: TaskType) -> String {
    let (base_model, base_tag) = match base {
        Base::Hub(id, _) => (
            format!("base_model: {}\n", quoted(id)),
            format!("- {}\n", quoted(&format!("base_model:adapter:{id}"))),
        ),
        Base::Local(_) => (String::new(), String::new()),
    };
    let pipeline_tag = classes_of(task).1;
    format!(
        "---\nlibrary_name: peft\n{base_model}pipeline_tag: {pipeline_tag}\n\
         tags:\n{base_tag}- lora\n- lorelei\n- transformers\n---\n"
    )
}

/// Formats the sentence that names the adapter's base model.
fn about(base: Base) -> String {
    let convert =
        |name| format!("`lorelei convert {name} FOLDER` writes it as a folder that Transformers loads.");
    match base {
        Base::Hub(id, None) => format!("For the model {}.", code(id)),
        Base::Hub(id, Some(revision)) => format!("For the model {} at {}.", code(id), code(revision)),
        Base::Local(name) if name.starts_with("builtin:") => {
            format!("For the model {}, which Lorelei carries: {}", code(name), convert(name))
        }
        Base::Local(name) => {
            let way = if name.to_lowercase().ends_with(".gguf") {
                convert("FILE.gguf") + " "
            } else {
                String::new()
            };
            format!(
                "For the model that was at {} where it was trained. {way}If the model is on a hub, add its id to the lines above: \
                 `base_model: owner/name`.",
                code(name)
            )
        }
    }
}

/// Formats the Python code that loads the adapter from `output_dir`, where it was saved.
fn loading(base: Base, task: TaskType, output_dir: &str, labels: Option<&Labels>) -> String {
    let (class, _) = classes_of(task);
    let (base, revision) = match base {
        Base::Hub(id, revision) => (quoted(id), revision),
        Base::Local(_) => (quoted("path/to/the/base/model"), None),
    };
    let revision = revision.map(|revision| format!(", revision={}", quoted(revision))).unwrap_or_default();
    let classes = match task {
        TaskType::SeqCls | TaskType::TokenCls => classes(labels),
        _ => String::new(),
    };
    format!(
        "```python\n\
         from peft import PeftModel\n\
         from transformers import {class}\n\n\
         model = {class}.from_pretrained({base}{revision}{classes})\n\
         # The folder with adapter_config.json, or the id that it has on a hub.\n\
         model = PeftModel.from_pretrained(model, {})\n\
         ```\n",
        quoted(output_dir),
    )
}

/// Returns the class of Transformers that loads a model for a task, and the hub's `pipeline_tag` of the task.
fn classes_of(task: TaskType) -> (&'static str, &'static str) {
    match task {
        TaskType::CausalLm => ("AutoModelForCausalLM", "text-generation"),
        TaskType::SeqCls => ("AutoModelForSequenceClassification", "text-classification"),
        TaskType::TokenCls => ("AutoModelForTokenClassification", "token-classification"),
        TaskType::FeatureExtraction => ("AutoModel", "feature-extraction"),
    }
}

/// Formats a classifier's labels as arguments of `from_pretrained`.
fn classes(labels: Option<&Labels>) -> String {
    let Some(labels) = labels else { return String::new() };
    let problem = match labels {
        Labels::Number => return ", num_labels=1".to_owned(),
        Labels::Several(_) | Labels::MultiHot(_) => ", problem_type=\"multi_label_classification\"",
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

    fn of(name: &str, is_on_hub: bool) -> String {
        let mut recipe = Recipe::default();
        recipe.model.model_name_or_path = Some(name.into());
        recipe.training.output_dir = "out/\"whale\"".into();
        model_card(&recipe, is_on_hub, None)
    }

    /// The YAML at the head.
    fn head(card: &str) -> &str {
        card.strip_prefix("---\n").unwrap().split_once("---\n").unwrap().0
    }

    #[test]
    fn a_card_names_a_base_on_the_hub_as_peft_does() {
        let card = of("owner/base@v1", true);
        let wanted = "library_name: peft\nbase_model: \"owner/base\"\npipeline_tag: text-generation\n\
                      tags:\n- \"base_model:adapter:owner/base\"\n- lora\n- lorelei\n- transformers\n";
        assert_eq!(head(&card), wanted);
        assert!(card.contains("For the model `owner/base` at `v1`. Trained"), "{card}");
        assert!(card.contains("from_pretrained(\"owner/base\", revision=\"v1\")\n"), "{card}");
        assert!(card.contains(r#"PeftModel.from_pretrained(model, "out/\"whale\"")"#), "{card}");
    }

    #[test]
    fn a_card_names_no_path_as_a_base_on_the_hub() {
        for name in ["builtin:tiny", "/models/whale", "models/whale", "C:\\models\\whale.GGUF"] {
            let card = of(name, false);
            assert!(!head(&card).contains("base_model"), "{card}");
            assert!(card.contains("For the model ") && card.contains(&format!("`{name}`")), "{card}");
            assert!(
                card.contains("AutoModelForCausalLM.from_pretrained(\"path/to/the/base/model\")\n"),
                "{card}"
            );
            let converts = card.contains("`lorelei convert ");
            assert_eq!(converts, name != "/models/whale" && name != "models/whale", "{card}");
        }
    }

    #[test]
    fn a_card_says_what_the_classes_are() {
        let mut recipe = Recipe::default();
        recipe.model.model_name_or_path = Some("owner/base".into());
        recipe.lora.task_type = Some(TaskType::SeqCls);
        let names = vec!["air".into(), "\"sea\"".into()];
        let card = model_card(&recipe, true, Some(&Labels::Classes(names.clone().into())));
        assert!(card.contains("import AutoModelForSequenceClassification\n"), "{card}");
        assert!(head(&card).contains("pipeline_tag: text-classification\n"), "{card}");
        assert!(card.contains(r#"num_labels=2, id2label={0: "air", 1: "\"sea\""})"#), "{card}");
        let card = model_card(&recipe, true, Some(&Labels::Several(names.into())));
        assert!(card.contains(r#"}, problem_type="multi_label_classification")"#), "{card}");
        let card = model_card(&recipe, true, Some(&Labels::Number));
        assert!(card.contains("(\"owner/base\", num_labels=1)"), "{card}");
    }
}
