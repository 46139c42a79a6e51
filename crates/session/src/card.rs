//! The README that goes with an adapter, or with a model.

use lorelei_data::Labels;
use lorelei_protocol::LogLine;
use lorelei_recipe::{Recipe, TaskType, id_and_revision};

use crate::{FinishedRun, ResultKind, card_results::results, card_uses};

/// The place where a card's reader finds the base model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base<'a> {
    /// A model on the hub: its id and its revision.
    Hub(&'a str, Option<&'a str>),
    /// A model that is not known to be on the hub: a folder, a file, or a model that is built into Lorelei.
    Local(&'a str),
}

impl<'a> Base<'a> {
    /// Returns what a command line names the base by.
    fn place(self) -> &'a str {
        match self {
            Self::Hub(id, _) => id,
            Self::Local(_) => "path/to/the/base/model",
        }
    }

    fn revision(self) -> Option<&'a str> {
        match self {
            Self::Hub(_, revision) => revision,
            Self::Local(_) => None,
        }
    }
}

/// Formats a model card as hubs read it: the base model and its licence, what the result was trained on and how it went, the settings, and how it is
/// loaded. An adapter's metadata are those of PEFT's `create_or_update_model_card`; a whole model is a fine-tune of its base to a hub. If the recipe's base
/// model is on the hub, the metadata contain its id. Else it is a folder or file, and the metadata do not name it, because the hub accepts only ids. The
/// card names no folders of this machine.
pub fn model_card(run: &FinishedRun<'_>) -> String {
    let recipe = &run.recipe.without_folders();
    let name = recipe.model.model_name_or_path.as_deref().unwrap_or_default();
    let base = match run.base_is_on_hub {
        true => {
            let (id, revision) = id_and_revision(name);
            Base::Hub(id, revision)
        }
        false => Base::Local(name),
    };
    let task = recipe.lora.task_type.unwrap_or(TaskType::CausalLm);
    let folder = run.result.folder(recipe);
    let (loaded, uses) = match run.result {
        ResultKind::Adapter => (
            loading(base, task, &folder, run.labels),
            card_uses::elsewhere(recipe, base.place(), base.revision()),
        ),
        ResultKind::Model | ResultKind::Merged => {
            (loading_whole(task, &folder), card_uses::of_whole(&folder))
        }
    };
    let uses = Some(uses).filter(|_| task == TaskType::CausalLm).unwrap_or_default();
    let title = match run.result {
        ResultKind::Adapter => "A LoRA adapter",
        ResultKind::Model => "A fine-tuned model",
        ResultKind::Merged => "A LoRA adapter, merged into its base model",
    };
    format!(
        "{}\n# {title}\n\n{}{} Trained with Lorelei {} by `recipe.toml`.\n\n{}\n## Use it\n\n{loaded}{uses}\n\
         ## Settings that are not the defaults\n\n{}\n## Recipe\n\n```toml\n{}```\n",
        metadata(base, run.result, task, run.license),
        about(base, run.result),
        run.license.map(license).unwrap_or_default(),
        env!("CARGO_PKG_VERSION"),
        training(run, recipe),
        settings(recipe),
        recipe.to_toml(),
    )
}

/// Formats the sentence about the licence of the base model.
fn license(license: &str) -> String {
    match license {
        "other" => " The base model has a licence of its own: see its card.".to_owned(),
        license => format!(" The licence of the base model: {}.", code(license)),
    }
}

/// Formats what the adapter was trained on, and how it went.
fn training(run: &FinishedRun<'_>, recipe: &Recipe) -> String {
    let rows = if recipe.data.packing { "packed sequences" } else { "rows" };
    let rows = run.num_examples.map(|count| format!("{count} {rows}"));
    let mut lines = match (recipe.data.train_file.as_deref().map(code), rows) {
        (Some(file), Some(rows)) => vec![format!("- Trained on {file}: {rows}")],
        (Some(one), None) | (None, Some(one)) => vec![format!("- Trained on {one}")],
        (None, None) => Vec::new(),
    };
    let logged: Vec<LogLine> = run.log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let step = logged.iter().rev().find_map(|line| match line {
        LogLine::Step(step) => Some(step),
        LogLine::Evaluated(_) => None,
    });
    let evaluation = logged.iter().rev().find_map(|line| match line {
        LogLine::Evaluated(evaluation) => Some(evaluation),
        LogLine::Step(_) => None,
    });
    if let Some(step) = step {
        lines.push(format!(
            "- Last logged training loss: {:.4}, at step {}, epoch {:.2}",
            step.loss, step.step, step.epoch
        ));
    }
    if let Some(evaluation) = evaluation {
        let metrics = evaluation.metrics.iter().map(|(name, value)| format!("{name} {value:.4}"));
        let metrics = metrics.collect::<Vec<_>>().join(", ");
        lines.push(format!("- Last evaluation, at step {}: {metrics}", evaluation.step));
    }
    lines.iter().map(|line| format!("{line}\n")).collect::<String>() + &results(&logged)
}

/// Formats the settings that are not the defaults as a table. Those that the card tells elsewhere are left out.
fn settings(recipe: &Recipe) -> String {
    const TOLD: [&str; 4] = ["model_name_or_path", "train_file", "validation_file", "output_dir"];
    let cell = |text: &str| code(text).replace('|', "\\|");
    let rows = recipe.changed().into_iter().filter(|(field, _)| !TOLD.contains(&field.name));
    let rows =
        rows.map(|(field, value)| format!("| {} | {} |\n", cell(&field.path()), cell(&value.to_string())));
    format!("| Setting | Value |\n|---|---|\n{}", rows.collect::<String>())
}

/// Quotes any text as a JSON string, which YAML and Python read too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Formats a name as code in Markdown.
fn code(name: &str) -> String {
    format!("`{}`", name.replace('`', "'"))
}

/// Line of a hub's metadata with a whole model's relation to its base. A model that an adapter was merged into has it, too: `merge` is a merge of several
/// models.
const RELATION: &str = "base_model_relation: finetune";

/// Formats the YAML at the head of a card.
fn metadata(base: Base, result: ResultKind, task: TaskType, license: Option<&str>) -> String {
    let (library, tags) = match result {
        ResultKind::Adapter => ("peft", "- lora\n- lorelei\n- transformers\n"),
        ResultKind::Model => ("transformers", "- lorelei\n"),
        ResultKind::Merged => ("transformers", "- lora\n- lorelei\n"),
    };
    let (base_model, base_tag) = match (base, result) {
        (Base::Hub(id, _), ResultKind::Adapter) => (
            format!("base_model: {}\n", quoted(id)),
            format!("- {}\n", quoted(&format!("base_model:adapter:{id}"))),
        ),
        (Base::Hub(id, _), _) => (format!("base_model: {}\n{RELATION}\n", quoted(id)), String::new()),
        (Base::Local(_), _) => (String::new(), String::new()),
    };
    let pipeline_tag = classes_of(task).1;
    let license = license.map(|license| format!("license: {}\n", quoted(license))).unwrap_or_default();
    format!(
        "---\nlibrary_name: {library}\n{license}{base_model}pipeline_tag: {pipeline_tag}\ntags:\n{base_tag}{tags}---\n"
    )
}

/// Formats the sentence that names the base model.
fn about(base: Base, result: ResultKind) -> String {
    let is_adapter = result == ResultKind::Adapter;
    let of = if is_adapter { "For" } else { "Fine-tuned from" };
    // Who has a whole model needs no base.
    let convert = |name| match is_adapter {
        true => format!("`lorelei convert {name} FOLDER` writes it as a folder that Transformers loads."),
        false => String::new(),
    };
    match base {
        Base::Hub(id, None) => format!("{of} the model {}.", code(id)),
        Base::Hub(id, Some(revision)) => format!("{of} the model {} at {}.", code(id), code(revision)),
        Base::Local(name) if name.starts_with("builtin:") => {
            let convert = convert(name);
            let end = if convert.is_empty() { "." } else { ": " };
            format!("{of} the model {}, which Lorelei carries{end}{convert}", code(name))
        }
        Base::Local(name) => {
            let is_gguf = name.to_lowercase().ends_with(".gguf");
            let way = Some(convert("FILE.gguf")).filter(|way| is_gguf && !way.is_empty());
            let way = way.map(|way| way + " ").unwrap_or_default();
            let relation = if is_adapter { String::new() } else { format!(" and `{RELATION}`") };
            format!(
                "{of} the model that was at {} where it was trained. {way}If the model is on a hub, add its id to the lines above: \
                 `base_model: owner/name`{relation}.",
                code(name)
            )
        }
    }
}

/// Formats the Python code that loads a whole model, which has its tokenizer and its classes in its `folder`.
fn loading_whole(task: TaskType, folder: &str) -> String {
    let (class, _) = classes_of(task);
    let folder = quoted(folder);
    format!(
        "```python\n\
         from transformers import AutoTokenizer, {class}\n\n\
         # The folder with config.json, or the id that it has on a hub.\n\
         model = {class}.from_pretrained({folder})\n\
         tokenizer = AutoTokenizer.from_pretrained({folder})\n\
         ```\n"
    )
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

    const LOG: &str = "{\"step\":2,\"epoch\":1.0,\"loss\":1.5,\"learning_rate\":0.1,\"grad_norm\":1.0,\"tokens_per_second\":1.0,\
                       \"elapsed_seconds\":1.0,\"remaining_seconds\":0.0,\"memory_bytes\":0}\n\
                       {\"step\":2,\"epoch\":1.0,\"eval_runtime\":1.0,\"eval_samples_per_second\":1.0,\"eval_loss\":1.25}\ntorn";

    fn run<'r>(recipe: &'r Recipe, base_is_on_hub: bool, labels: Option<&'r Labels>) -> FinishedRun<'r> {
        FinishedRun {
            recipe,
            result: ResultKind::Adapter,
            base_is_on_hub,
            labels,
            num_examples: Some(12),
            log: LOG,
            license: base_is_on_hub.then_some("apache-2.0"),
        }
    }

    fn of(name: &str, is_on_hub: bool) -> String {
        of_result(name, is_on_hub, ResultKind::Adapter)
    }

    fn of_result(name: &str, is_on_hub: bool, result: ResultKind) -> String {
        let mut recipe = Recipe::default();
        recipe.model.model_name_or_path = Some(name.into());
        recipe.data.train_file = Some("/home/whale/songs.jsonl".into());
        recipe.training.output_dir = "/out/\"whale\"".into();
        recipe.lora.r = 20;
        model_card(&FinishedRun { result, ..run(&recipe, is_on_hub, None) })
    }

    /// The YAML at the head.
    fn head(card: &str) -> &str {
        card.strip_prefix("---\n").unwrap().split_once("---\n").unwrap().0
    }

    #[test]
    fn a_card_names_a_base_on_the_hub_as_peft_does() {
        let card = of("owner/base@v1", true);
        let wanted = "library_name: peft\nlicense: \"apache-2.0\"\nbase_model: \"owner/base\"\npipeline_tag: text-generation\n\
                      tags:\n- \"base_model:adapter:owner/base\"\n- lora\n- lorelei\n- transformers\n";
        assert_eq!(head(&card), wanted);
        assert!(
            card.contains(
                "For the model `owner/base` at `v1`. The licence of the base model: `apache-2.0`. Trained"
            ),
            "{card}"
        );
        assert!(card.contains("from_pretrained(\"owner/base\", revision=\"v1\")\n"), "{card}");
        assert!(card.contains(r#"PeftModel.from_pretrained(model, "\"whale\"")"#), "{card}");
    }

    #[test]
    fn a_card_says_what_it_was_trained_on_and_how_it_went_and_names_no_folders() {
        let card = of("/models/whale", false);
        for said in [
            "- Trained on `songs.jsonl`: 12 rows\n",
            "- Last logged training loss: 1.5000, at step 2, epoch 1.00\n",
            "- Last evaluation, at step 2: eval_loss 1.2500\n",
            "| `lora.r` | `20` |\n",
            "--max-lora-rank 32",
            "--to gguf-lora",
            "--to gguf --output",
            "--to ollama",
            "--to mlx",
        ] {
            assert!(card.contains(said), "no {said:?} in {card}");
        }
        for other in ["/home", "/out", "/models", "`training.output_dir`"] {
            assert!(!card.contains(other), "{other} in {card}");
        }
    }

    #[test]
    fn a_card_names_no_path_as_a_base_on_the_hub() {
        for (name, shown) in [
            ("builtin:tiny", "builtin:tiny"),
            ("/models/whale", "whale"),
            ("C:\\models\\whale.GGUF", "whale.GGUF"),
        ] {
            let card = of(name, false);
            assert!(!head(&card).contains("base_model") && !head(&card).contains("license"), "{card}");
            assert!(card.contains("For the model ") && card.contains(&format!("`{shown}`")), "{card}");
            assert!(
                card.contains("AutoModelForCausalLM.from_pretrained(\"path/to/the/base/model\")\n"),
                "{card}"
            );
            let converts = card.contains("`lorelei convert ");
            assert_eq!(converts, name != "/models/whale", "{card}");
        }
    }

    #[test]
    fn a_whole_model_s_card_is_that_of_a_fine_tune() {
        for (result, title, folder, tags) in [
            (ResultKind::Model, "A fine-tuned model", "whale", "- lorelei\n"),
            (
                ResultKind::Merged,
                "A LoRA adapter, merged into its base model",
                "whale-merged",
                "- lora\n- lorelei\n",
            ),
        ] {
            let mut recipe = Recipe::default();
            recipe.model.model_name_or_path = Some("owner/base@v1".into());
            recipe.training.output_dir = "/out/whale".into();
            let card = model_card(&FinishedRun { result, ..run(&recipe, true, None) });
            let wanted = format!(
                "library_name: transformers\nlicense: \"apache-2.0\"\nbase_model: \"owner/base\"\nbase_model_relation: finetune\n\
                 pipeline_tag: text-generation\ntags:\n{tags}"
            );
            assert_eq!(head(&card), wanted);
            for said in [
                &*format!(
                    "# {title}\n\nFine-tuned from the model `owner/base` at `v1`. The licence of the base model: `apache-2.0`."
                ),
                "from transformers import AutoTokenizer, AutoModelForCausalLM\n",
                &*format!("model = AutoModelForCausalLM.from_pretrained(\"{folder}\")\n"),
                &*format!("tokenizer = AutoTokenizer.from_pretrained(\"{folder}\")\n"),
                &*format!("vllm serve {folder}\n"),
                &*format!(
                    "python convert_hf_to_gguf.py {folder} --outfile model.gguf\nllama-cli --model model.gguf\n"
                ),
                "- Trained on 12 rows\n",
            ] {
                assert!(card.contains(said), "no {said:?} in {card}");
            }
            for other in ["peft", "PeftModel", "lorelei export", "/out"] {
                assert!(!card.contains(other), "{other} in {card}");
            }
            let card = of_result("/models/whale.gguf", false, result);
            assert!(!head(&card).contains("base_model"), "{card}");
            assert!(card.contains("`base_model: owner/name` and `base_model_relation: finetune`"), "{card}");
            let card = of_result("builtin:tiny", false, result);
            assert!(
                card.contains("Fine-tuned from the model `builtin:tiny`, which Lorelei carries. Trained"),
                "{card}"
            );
            recipe.lora.task_type = Some(TaskType::TokenCls);
            let card = model_card(&FinishedRun { result, ..run(&recipe, true, None) });
            assert!(card.contains("import AutoTokenizer, AutoModelForTokenClassification\n"), "{card}");
            assert!(!card.contains("llama-cli"), "{card}");
        }
    }

    #[test]
    fn a_card_has_the_curves_and_no_number_of_rows_that_is_not_known() {
        let mut recipe = Recipe::default();
        let log = LOG.replace("torn", "")
            + LOG.lines().next().unwrap().replace("\"step\":2", "\"step\":4").as_str();
        let known = FinishedRun { log: &log, ..run(&recipe, true, None) };
        let card = model_card(&known);
        let table = "| Step | Epoch | Training loss | Validation loss |\n|---|---|---|---|\n| 2 | 1.00 | 1.5000 | 1.2500 |\n\
                     | 4 | 1.00 | 1.5000 | |\n\n## Use it\n";
        assert!(card.contains(&format!("eval_loss 1.2500\n\n{table}")), "{card}");
        let unknown = FinishedRun { num_examples: None, ..known };
        assert!(!model_card(&unknown).contains("Trained on"), "{}", model_card(&unknown));
        recipe.data.train_file = Some("songs.jsonl".into());
        let unknown = FinishedRun { num_examples: None, ..run(&recipe, true, None) };
        assert!(model_card(&unknown).contains("- Trained on `songs.jsonl`\n"), "{}", model_card(&unknown));
    }

    #[test]
    fn a_card_says_what_the_classes_are() {
        let mut recipe = Recipe::default();
        recipe.model.model_name_or_path = Some("owner/base".into());
        recipe.lora.task_type = Some(TaskType::SeqCls);
        let names = vec!["air".into(), "\"sea\"".into()];
        let card = model_card(&run(&recipe, true, Some(&Labels::Classes(names.clone().into()))));
        assert!(card.contains("import AutoModelForSequenceClassification\n"), "{card}");
        assert!(head(&card).contains("pipeline_tag: text-classification\n"), "{card}");
        assert!(card.contains(r#"num_labels=2, id2label={0: "air", 1: "\"sea\""})"#), "{card}");
        assert!(!card.contains("gguf-lora"), "{card}");
        let card = model_card(&run(&recipe, true, Some(&Labels::Several(names.into()))));
        assert!(card.contains(r#"}, problem_type="multi_label_classification")"#), "{card}");
        let card = model_card(&run(&recipe, true, Some(&Labels::Number)));
        assert!(card.contains("(\"owner/base\", num_labels=1)"), "{card}");
    }
}
