//! `lorelei init`: an untrained model, for training from nothing.

use std::{collections::BTreeMap, fs, path::PathBuf};

use burn::tensor::Device;
use lorelei_data::{Row, Tokenizer, train_byte_level_bpe};
use lorelei_formats::{Dtype, ModelConfig};
use lorelei_models::Model;
use lorelei_recipe::DataSection;
use miette::{Context, IntoDiagnostic, Result, miette};

use crate::{data_files, model_folder, report};

/// Arguments of `lorelei init`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The config.json of the model to make: a Llama's.
    pub config: PathBuf,
    /// Rows of {"text"} (JSONL, JSON, CSV or plain text): a byte-level BPE tokenizer of `vocab_size` tokens is trained on them.
    #[arg(long)]
    pub texts: PathBuf,
    /// The folder to write.
    pub output: PathBuf,
    /// Draws the weights.
    #[arg(long, default_value_t = 42, allow_negative_numbers = true)]
    pub seed: u64,
}

/// The padding token and the two marks of ChatML. A text begins with the second token and ends with the third.
const SPECIAL_TOKENS: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] \
                      + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}\
                      {{ '<|im_start|>assistant\n' }}{% endif %}";

/// Runs the command.
///
/// # Errors
///
/// If the configuration or the texts cannot be read, the texts are too few for the vocabulary, or the folder cannot be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let name = arguments.config.display().to_string();
    let config_text =
        fs::read_to_string(&arguments.config).into_diagnostic().wrap_err_with(|| name.clone())?;
    let config = ModelConfig::from_json(&config_text, &name).map_err(report)?;
    let fields: serde_json::Value = serde_json::from_str(&config_text).into_diagnostic()?;
    // Transformers' default.
    let initializer_range = fields["initializer_range"].as_f64().unwrap_or(0.02);

    let texts_name = arguments.texts.display().to_string();
    let mut texts = Vec::new();
    for row in data_files::open(&texts_name, &DataSection::default())? {
        match row.map_err(report)? {
            (_, Row::Text(text) | Row::Labelled { text, .. }) => texts.push(text),
            (line, _) => return Err(miette!("{texts_name}, line {line}: expected a row of {{\"text\"}}")),
        }
    }
    let tokenizer =
        train_byte_level_bpe(texts.into_iter(), config.vocab_size, &SPECIAL_TOKENS, Some("<|im_start|>"))
            .map_err(report)?;
    let tokenizer_config = serde_json::json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
        "model_max_length": config.max_position_embeddings, "clean_up_tokenization_spaces": false,
        "chat_template": CHATML,
    });
    let size = Tokenizer::from_files(tokenizer.as_bytes(), None, None).map_err(report)?.vocab_size();
    if size != config.vocab_size {
        return Err(miette!(
            "{texts_name} gives a tokenizer of {size} tokens, {name} wants vocab_size = {}: give more text, or \
             a vocab_size between 259 and {size}",
            config.vocab_size
        ));
    }

    let mut model =
        Model::random(config.clone(), initializer_range, arguments.seed, &Device::flex()).map_err(report)?;
    let mut weights = BTreeMap::new();
    model.visit_weights(&mut |name, weight| {
        weights.insert(name.to_owned(), weight.flat().into_data().try_into_vec::<f32>().unwrap_or_default());
    });
    let companions = [
        ("config.json".to_owned(), config_text.into_bytes()),
        ("tokenizer.json".to_owned(), tokenizer.into_bytes()),
        ("tokenizer_config.json".to_owned(), format!("{tokenizer_config:#}\n").into_bytes()),
    ];
    let read = |name: &str| Ok(weights.remove(name).unwrap_or_default());
    model_folder::write(&arguments.output, &config, Dtype::F32, read, &companions)?;
    say!("wrote {}: random weights, {size} tokens", arguments.output.display());
    Ok(())
}
