//! Finds a model's special tokens as Transformers' `AutoTokenizer` finds them, and the tokens that end an answer as `generate` finds them.

use std::collections::{BTreeMap, HashSet};

use lorelei_recipe::message;
use serde_json::{Map, Value};
use tokenizers::AddedToken;

use crate::error::{DataError, DataErrorKind};
use crate::tokenizer::TokenizerFiles;
use crate::tokenizer_config::{TokenizerConfig, object, special_tokens};

/// The special tokens of a tokenizer, and the ids that end an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SpecialTokens {
    /// `bos_token`, `eos_token`, `pad_token`, ... by name. Templates see them as variables.
    pub(crate) by_name: BTreeMap<String, String>,
    /// Ids that end an answer, without repeats: those of `generation_config.json`, or else of `config.json`, and the end token.
    pub(crate) stop_ids: Vec<u32>,
    /// Number of bytes of the longest special token of the tokenizer.
    pub(crate) longest: usize,
}

/// Classes of tokenizers in Transformers with the tokens that they have where the files name none: beginning, end, padding, unknown.
const CLASSES: &[(&str, [Option<&str>; 4])] = &[
    ("AlbertTokenizer", [Some("[CLS]"), Some("[SEP]"), Some("<pad>"), Some("<unk>")]),
    ("BertTokenizer", [None, None, Some("[PAD]"), Some("[UNK]")]),
    ("BigBirdTokenizer", [Some("<s>"), Some("</s>"), Some("<pad>"), Some("<unk>")]),
    ("BlenderbotTokenizer", [Some("<s>"), Some("</s>"), Some("<pad>"), Some("<unk>")]),
    ("CamembertTokenizer", [Some("<s>"), Some("</s>"), Some("<pad>"), Some("<unk>")]),
    ("CodeLlamaTokenizer", [Some("<s>"), Some("</s>"), None, Some("<unk>")]),
    ("CohereTokenizer", [Some("<BOS_TOKEN>"), Some("<|END_OF_TURN_TOKEN|>"), Some("<PAD>"), Some("<UNK>")]),
    ("DebertaTokenizer", [Some("[CLS]"), Some("[SEP]"), Some("[PAD]"), Some("[UNK]")]),
    ("DebertaV2Tokenizer", [Some("[CLS]"), Some("[SEP]"), Some("[PAD]"), Some("[UNK]")]),
    ("GPT2Tokenizer", [Some("<|endoftext|>"), Some("<|endoftext|>"), None, Some("<|endoftext|>")]),
    (
        "GPTNeoXTokenizer",
        [Some("<|endoftext|>"), Some("<|endoftext|>"), Some("<|padding|>"), Some("<|endoftext|>")],
    ),
    ("GemmaTokenizer", [Some("<bos>"), Some("<eos>"), Some("<pad>"), Some("<unk>")]),
    ("LlamaTokenizer", [Some("<s>"), Some("</s>"), None, Some("<unk>")]),
    ("MPNetTokenizer", [Some("<s>"), Some("</s>"), Some("<pad>"), Some("[UNK]")]),
    ("Qwen2Tokenizer", [None, Some("<|endoftext|>"), Some("<|endoftext|>"), Some("<|endoftext|>")]),
    ("Qwen3_5Tokenizer", [None, Some("<|endoftext|>"), Some("<|endoftext|>"), Some("<|endoftext|>")]),
    ("RobertaTokenizer", [Some("<s>"), Some("</s>"), Some("<pad>"), Some("<unk>")]),
    ("T5Tokenizer", [None, Some("</s>"), Some("<pad>"), Some("<unk>")]),
    ("XGLMTokenizer", [Some("<s>"), Some("</s>"), Some("<pad>"), Some("<unk>")]),
    ("XLMRobertaTokenizer", [Some("<s>"), Some("</s>"), Some("<pad>"), Some("<unk>")]),
];

/// Names of the tokens in [`CLASSES`].
const NAMES: [&str; 4] = ["bos_token", "eos_token", "pad_token", "unk_token"];

/// Classes that Transformers takes for a `model_type` where the files name none.
const CLASS_OF_TYPE: &[(&str, &str)] = &[
    ("bert", "BertTokenizer"),
    ("codegen", "GPT2Tokenizer"),
    ("cohere", "CohereTokenizer"),
    ("cohere2", "CohereTokenizer"),
    ("deberta", "DebertaTokenizer"),
    ("deberta-v2", "DebertaV2Tokenizer"),
    ("distilbert", "BertTokenizer"),
    ("electra", "BertTokenizer"),
    ("gemma", "GemmaTokenizer"),
    ("gemma2", "GemmaTokenizer"),
    ("gemma3", "GemmaTokenizer"),
    ("gemma3_text", "GemmaTokenizer"),
    ("gpt2", "GPT2Tokenizer"),
    ("gpt_neo", "GPT2Tokenizer"),
    ("gpt_neox", "GPTNeoXTokenizer"),
    ("gptj", "GPT2Tokenizer"),
    ("mpt", "GPTNeoXTokenizer"),
    ("opt", "GPT2Tokenizer"),
    ("phi", "GPT2Tokenizer"),
    ("qwen2", "Qwen2Tokenizer"),
    ("qwen3", "Qwen2Tokenizer"),
    ("roberta", "RobertaTokenizer"),
    ("starcoder2", "GPT2Tokenizer"),
    ("xlm-roberta", "XLMRobertaTokenizer"),
];

impl SpecialTokens {
    /// Finds the special tokens of a model, and adds to `tokenizer` those that its own file does not list: tokens of `added_tokens_decoder`, and named
    /// tokens that are in the vocabulary, so that each is one token wherever it stands in a text.
    ///
    /// A name's token is that of `tokenizer_config.json`, or of `special_tokens_map.json` where the former has no `added_tokens_decoder`; or else the
    /// default of the tokenizer's class, if it is in the vocabulary. The end token is otherwise the first `eos_token_id` of `generation_config.json`
    /// or `config.json`, which `AutoTokenizer` does not read: a row that is to end needs one.
    ///
    /// # Errors
    ///
    /// If a file is not a JSON object, or the tokenizer refuses a token.
    pub(crate) fn find(
        tokenizer: &mut tokenizers::Tokenizer,
        config: &TokenizerConfig,
        files: &TokenizerFiles<'_>,
    ) -> Result<Self, DataError> {
        let parse = |text: Option<&str>, name| text.map_or(Ok(Map::new()), |text| object(text, name));
        let map = special_tokens(&parse(files.special_tokens_map, "special_tokens_map.json")?);
        let model = parse(files.config, "config.json")?;
        let generation = parse(files.generation_config, "generation_config.json")?;

        add(tokenizer, config.added_tokens.iter().flatten().cloned(), "tokenizer_config.json")?;
        let mut named = config.special_tokens.clone();
        for (name, token) in map {
            match config.added_tokens {
                None => {
                    named.insert(name, token);
                }
                Some(_) => {
                    named.entry(name).or_insert(token);
                }
            }
        }
        for (name, token) in defaults(config, &model) {
            if tokenizer.token_to_id(token).is_some() {
                named.entry(name.to_owned()).or_insert_with(|| Some(token.to_owned()));
            }
        }
        let mut by_name: BTreeMap<String, String> =
            named.into_iter().filter_map(|(name, token)| Some((name, token?))).collect();
        let known = by_name.values().filter(|token| tokenizer.token_to_id(token).is_some());
        let known: Vec<AddedToken> = known.map(|token| AddedToken::from(token.clone(), true)).collect();
        add(tokenizer, known.into_iter(), "tokenizer_config.json or special_tokens_map.json")?;

        let mut stop_ids = ids(generation.get("eos_token_id"));
        if stop_ids.is_empty() {
            stop_ids = ids(model.get("eos_token_id"));
        }
        let named_end = by_name.get("eos_token").and_then(|token| tokenizer.token_to_id(token));
        let end = match named_end {
            Some(end) => Some(end),
            None => {
                stop_ids.iter().find_map(|id| Some((*id, tokenizer.id_to_token(*id)?))).map(|(id, token)| {
                    by_name.insert("eos_token".to_owned(), token);
                    id
                })
            }
        };
        stop_ids.extend(end);
        let mut seen = HashSet::new();
        stop_ids.retain(|id| seen.insert(*id));
        let added = tokenizer.get_added_tokens_decoder();
        let special = added.values().filter(|token| token.special);
        let longest = special.map(|token| token.content.len()).max().unwrap_or(0);
        Ok(Self { by_name, stop_ids, longest })
    }
}

/// Returns the tokens that the tokenizer's class has by default.
fn defaults(
    config: &TokenizerConfig,
    model: &Map<String, Value>,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    let text = |name: &str| model.get(name).and_then(Value::as_str);
    let of_type = || {
        let found = CLASS_OF_TYPE.iter().find(|(model_type, _)| Some(*model_type) == text("model_type"));
        found.map(|(_, class)| *class)
    };
    let class = config.tokenizer_class.as_deref().or_else(|| text("tokenizer_class")).or_else(of_type);
    let class = class.map(|class| class.strip_suffix("Fast").unwrap_or(class));
    let tokens = CLASSES.iter().find(|(name, _)| Some(*name) == class).map(|(_, tokens)| tokens);
    let named = tokens.into_iter().flat_map(|tokens| NAMES.into_iter().zip(tokens));
    named.filter_map(|(name, token)| Some((name, (*token)?)))
}

/// Adds the tokens of a file that the tokenizer does not have as added tokens yet.
fn add(
    tokenizer: &mut tokenizers::Tokenizer,
    tokens: impl Iterator<Item = AddedToken>,
    file: &str,
) -> Result<(), DataError> {
    let known = tokenizer.get_added_tokens_decoder();
    let known: HashSet<&str> = known.values().map(|added| added.content.as_str()).collect();
    let missing: Vec<AddedToken> = tokens.filter(|token| !known.contains(token.content.as_str())).collect();
    // The order gives new tokens their ids.
    for alike in missing.chunk_by(|one, other| one.special == other.special) {
        let result = match alike.iter().all(|token| token.special) {
            true => tokenizer.add_special_tokens(alike.to_vec()),
            false => tokenizer.add_tokens(alike.to_vec()),
        };
        result.map_err(|error| {
            DataError::new(
                DataErrorKind::Tokenizer,
                message!(
                    "the tokenizer refuses an added token of {file}: {reason}",
                    file,
                    reason = error.to_string()
                ),
                "",
            )
        })?;
    }
    Ok(())
}

/// Returns the ids of `eos_token_id`, which is a number or a list of numbers.
fn ids(value: Option<&Value>) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(id).collect(),
        Some(one) => id(one).into_iter().collect(),
        None => Vec::new(),
    }
}
