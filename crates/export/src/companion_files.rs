//! The files beside a merged model's weights.

use lorelei_formats::{ModelConfig, ModelSource, config::Task};
use lorelei_recipe::message;
use serde_json::{Map, Value, json};

use crate::{ExportError, MergeOptions};

/// Returns the base's companion files for the merged model: `config.json` has the task, the classes, and whether embedding and head are one tensor.
pub(crate) fn merged_companions(
    base: &ModelSource,
    config: &ModelConfig,
    options: &MergeOptions<'_>,
    untied: bool,
) -> Result<Vec<(String, Vec<u8>)>, ExportError> {
    let mut files = base.companions(options.dtype_name())?;
    for (name, bytes) in &mut files {
        if name == "config.json" {
            let mut json = object(&String::from_utf8_lossy(bytes), "config.json")?;
            if untied {
                json.insert("tie_word_embeddings".to_owned(), json!(false));
            }
            if let Some(class) = class_name(config) {
                json.insert("architectures".to_owned(), json!([class]));
            }
            if config.task.classifies() {
                describe_classifier(&mut json, config, options.labels)?;
            }
            *bytes = format!("{:#}\n", Value::Object(json)).into_bytes();
        }
    }
    Ok(files)
}

fn object(text: &str, file: &str) -> Result<Map<String, Value>, ExportError> {
    serde_json::from_str(text)
        .map_err(|error| ExportError::adapter(file, format!("no JSON object: {error}"), "save it again"))
}

/// Values of `problem_type` that Transformers knows.
const PROBLEMS: [&str; 3] = ["regression", "single_label_classification", "multi_label_classification"];

/// Sets `id2label`, `label2id` and `problem_type`: the run's, else the base's own names of as many classes, else Transformers' `LABEL_0` and so on.
///
/// # Errors
/// If the run's names are not one for each class.
fn describe_classifier(
    json: &mut Map<String, Value>,
    config: &ModelConfig,
    labels: Option<&str>,
) -> Result<(), ExportError> {
    let fits = |named: &Map<String, Value>| {
        named.len() == config.num_labels
            && (0..config.num_labels).all(|id| named.get(&id.to_string()).is_some_and(Value::is_string))
    };
    let own = json.get("id2label").and_then(Value::as_object).filter(|named| fits(named)).cloned();
    let numbered = || {
        let name = |id: usize| (id.to_string(), json!(format!("LABEL_{id}")));
        (0..config.num_labels).map(name).collect()
    };
    let mut id2label: Map<String, Value> = own.unwrap_or_else(numbered);
    if let Some(labels) = labels {
        let labels = object(labels, "labels.json")?;
        if let Some(Value::Object(named)) = labels.get("id2label").filter(|named| !named.is_null()) {
            if !fits(named) {
                let problem = message!(
                    "it names {named} classes, and the classifier has {count}, from 0 on",
                    named = named.len(),
                    count = config.num_labels
                );
                let help = message!("use the file that was saved with the adapter, or remove it");
                return Err(ExportError::adapter("labels.json", problem, help));
            }
            id2label = named.clone();
        }
        let problem = labels.get("problem_type").and_then(Value::as_str);
        if let Some(problem) = problem.filter(|problem| PROBLEMS.contains(problem)) {
            json.insert("problem_type".to_owned(), json!(problem));
        }
    }
    let number = |id: &String| id.parse::<usize>().unwrap_or(0);
    let label2id: Map<String, Value> = id2label
        .iter()
        .filter_map(|(id, label)| Some((label.as_str()?.to_owned(), json!(number(id)))))
        .collect();
    json.insert("label2id".to_owned(), Value::Object(label2id));
    json.insert("id2label".to_owned(), Value::Object(id2label));
    json.remove("num_labels");
    Ok(())
}

/// Returns Transformers' class of a classifier or of a model without a head; a language model's is the base's own.
fn class_name(config: &ModelConfig) -> Option<String> {
    let stem = match config.model_type {
        "llama" => "Llama",
        "mistral" => "Mistral",
        "qwen2" => "Qwen2",
        "qwen3" => "Qwen3",
        "smollm3" => "SmolLM3",
        "gemma" => "Gemma",
        "gemma2" => "Gemma2",
        "gemma3_text" => "Gemma3Text",
        "phi3" => "Phi3",
        "glm" => "Glm",
        "glm4" => "Glm4",
        "gpt2" => "GPT2",
        "bert" => "Bert",
        "roberta" => "Roberta",
        "xlm-roberta" => "XLMRoberta",
        "distilbert" => "DistilBert",
        _ => return None,
    };
    let task = match config.task {
        Task::SequenceClassification => "ForSequenceClassification",
        Task::TokenClassification => "ForTokenClassification",
        Task::FeatureExtraction => "Model",
        Task::CausalLm => return None,
    };
    Some(format!("{stem}{task}"))
}
