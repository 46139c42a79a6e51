//! The `config.json` of a BERT model that is stored in a GGUF file.

use serde_json::{Map, Value, json};

use super::GgufValue;
use super::model::GgufModel;
use crate::{FormatError, Place, ReadAt, TensorSource};

/// llama.cpp's name for the weight of the classification head.
const CLASSIFIER: &str = "classifier.weight";

impl<R: ReadAt> GgufModel<R> {
    pub(super) fn bert_config(&self) -> Result<Value, FormatError> {
        let types = self.info("embeddings.token_type_embeddings.weight");
        let tokenizer = self.gguf.optional("tokenizer.ggml.model", GgufValue::as_str, "text")?;
        // llama.cpp uses the same name for RoBERTa, whose positions it renumbers, and for DistilBERT, which has no token types.
        let kin = match (types, tokenizer) {
            (None, _) => Some("DistilBERT"),
            (_, Some("gpt2" | "t5")) => Some("RoBERTa"),
            _ => None,
        };
        if let Some(kin) = kin {
            return Err(FormatError::unsupported(
                self.gguf.file_name(),
                Place::Key("general.architecture".to_owned()),
                format!("it is not BERT itself but its kin ({kin}), which is not read from GGUF"),
                "use the original safetensors",
            ));
        }
        let mut config = json!({
            "architectures": ["BertModel"],
            "attention_probs_dropout_prob": 0.1,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "hidden_size": self.number("embedding_length")?,
            "intermediate_size": self.number("feed_forward_length")?,
            "layer_norm_eps": self.float("attention.layer_norm_epsilon")?,
            "max_position_embeddings": self.number("context_length")?,
            "model_type": "bert",
            "num_attention_heads": self.number("attention.head_count")?,
            "num_hidden_layers": self.number("block_count")?,
            "pad_token_id": self.token_id("padding")?.unwrap_or(0),
            "position_embedding_type": "absolute",
            "torch_dtype": self.torch_dtype(),
            "type_vocab_size": types.and_then(|info| info.shape.first()),
            "vocab_size": self.vocab_size()?,
        });
        if let Some(classes) = self.info(CLASSIFIER).and_then(|info| info.shape.first()) {
            config["architectures"] = json!(["BertForSequenceClassification"]);
            config["id2label"] = self.class_names(*classes)?;
        }
        Ok(config)
    }

    fn class_names(&self, classes: usize) -> Result<Value, FormatError> {
        const MOST: usize = 1 << 20;
        if classes > MOST {
            let problem = format!("it tells {classes} classes apart; at most {MOST} can be read");
            let place = Place::Tensor("cls.output.weight".to_owned());
            return Err(FormatError::corrupt(self.gguf.file_name(), place, problem));
        }
        let key = self.key("classifier.output_labels");
        let named = self.gguf.optional(&key, GgufValue::as_strings, "list of texts")?.unwrap_or_default();
        let name = |class: usize| named.get(class).cloned().unwrap_or_else(|| format!("LABEL_{class}"));
        let names: Map<String, Value> =
            (0..classes).map(|class| (class.to_string(), name(class).into())).collect();
        Ok(Value::Object(names))
    }
}
