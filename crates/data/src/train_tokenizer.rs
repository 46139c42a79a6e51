//! Trains a tokenizer, for models that start from scratch.

use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer};

use crate::error::{DataError, DataErrorKind};

/// Trains a byte-level BPE tokenizer like GPT-2's and returns its `tokenizer.json`. Ids are the special tokens in their order, the 256 bytes, then
/// merges until `vocab_size` or until no pair occurs twice. Every text can be encoded, so there is no unknown token. With `begins_text` plain texts
/// get that special token first. The same texts give the same file.
///
/// # Errors
///
/// If `begins_text` is not among the special tokens, or training fails.
pub fn train_byte_level_bpe(
    texts: impl Iterator<Item = String>,
    vocab_size: usize,
    special_tokens: &[&str],
    begins_text: Option<&str>,
) -> Result<String, DataError> {
    let refuse = |problem: String| DataError::new(DataErrorKind::Tokenizer, problem, "");
    let mut trainer: TrainerWrapper = BpeTrainer::builder()
        .vocab_size(vocab_size)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(special_tokens.iter().map(|&token| AddedToken::from(token, true)).collect())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build()
        .into();
    // The trainer's threads need an iterator that is `Send`; the caller's need not be.
    let texts: Vec<String> = texts.collect();
    let byte_level = ByteLevel::new(false, true, true);
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(byte_level)).with_decoder(Some(byte_level));
    if let Some(token) = begins_text {
        let id = special_tokens.iter().position(|special| *special == token);
        let id = id.ok_or_else(|| refuse(format!("{token} is not among the special tokens")))? as u32;
        let template = TemplateProcessing::builder()
            .try_single(format!("{token} $A"))
            .map_err(|error| refuse(format!("{token} cannot begin a text: {error}")))?
            .special_tokens(vec![(token.to_owned(), id)])
            .build()
            .map_err(|error| refuse(format!("{token} cannot begin a text: {error}")))?;
        tokenizer.with_post_processor(Some(template));
    }
    tokenizer
        .train(&mut trainer, texts.into_iter())
        .and_then(|tokenizer| tokenizer.to_string(false))
        .map_err(|error| refuse(format!("training failed: {error}")))
}
