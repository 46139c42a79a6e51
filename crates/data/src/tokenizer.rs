//! A Hugging Face tokenizer with the additions of its config: special tokens by name, the beginning token, the chat template.

use std::{ops::Range, sync::OnceLock};

use lorelei_recipe::TruncationSide;
use tokenizers::{
    Encoding, PostProcessor as _, TruncationDirection, TruncationParams, TruncationStrategy,
    tokenizer::truncate_encodings,
};

use crate::chat::{ChatTemplate, Conversation, DEFAULT_TEMPLATE, Message, Rendered};
use crate::end_tokens::SpecialTokens;
use crate::error::{DataError, DataErrorKind};
use crate::panics::caught;
use crate::tokenizer_check;
use crate::tokenizer_config::TokenizerConfig;

/// The files of a model that say how it reads and writes text. Only `tokenizer` must be there.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenizerFiles<'f> {
    /// Bytes of `tokenizer.json`.
    pub tokenizer: &'f [u8],
    /// Text of `tokenizer_config.json`.
    pub tokenizer_config: Option<&'f str>,
    /// Text of `special_tokens_map.json`.
    pub special_tokens_map: Option<&'f str>,
    /// Text of `chat_template.jinja`, which takes precedence over the template of `tokenizer_config.json`.
    pub chat_template: Option<&'f str>,
    /// Text of `additional_chat_templates/tool_use.jinja`, for conversations with tools.
    pub tool_use_template: Option<&'f str>,
    /// Text of `config.json`.
    pub config: Option<&'f str>,
    /// Text of `generation_config.json`.
    pub generation_config: Option<&'f str>,
}

/// Converts text to token ids and back, by the model's own files.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    config: TokenizerConfig,
    special: SpecialTokens,
    /// The chat template, compiled once. An error in it matters only when a conversation is rendered.
    chat: Result<ChatTemplate, DataError>,
    /// The template for conversations with tools, where the model has a separate one.
    tool_use: Option<Result<ChatTemplate, DataError>>,
    /// Cached result of [`Self::spaces_words`].
    spaces_words: OnceLock<bool>,
}

/// Tokens with the special ones around them.
pub(crate) struct Surrounded {
    pub(crate) ids: Vec<u32>,
    /// Text of a pair that each token belongs to.
    pub(crate) type_ids: Vec<u32>,
    /// Word that each token belongs to.
    pub(crate) words: Vec<Option<usize>>,
    /// Whether something was cut off.
    pub(crate) was_cut: bool,
}

fn refused(problem: String, help: &str) -> DataError {
    DataError::new(DataErrorKind::Tokenizer, problem, help)
}

impl Tokenizer {
    /// Builds a tokenizer from the contents of `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja`, like [`Self::open`].
    ///
    /// # Errors
    ///
    /// The errors of [`Self::open`].
    pub fn from_files(
        tokenizer_json: &[u8],
        tokenizer_config_json: Option<&str>,
        chat_template: Option<&str>,
    ) -> Result<Self, DataError> {
        Self::open(&TokenizerFiles {
            tokenizer: tokenizer_json,
            tokenizer_config: tokenizer_config_json,
            chat_template,
            ..TokenizerFiles::default()
        })
    }

    /// Builds a tokenizer from a model's files. Truncation and padding in `tokenizer.json` are switched off: they are left over from whoever saved it,
    /// and the recipe sets both.
    ///
    /// # Errors
    ///
    /// If `tokenizer.json` cannot be used, or another file is not a JSON object.
    pub fn open(files: &TokenizerFiles<'_>) -> Result<Self, DataError> {
        let unreadable = |problem: &dyn std::fmt::Display| {
            refused(
                format!("tokenizer.json cannot be read: {problem}"),
                "the file must be a Hugging Face fast tokenizer; download it again",
            )
        };
        tokenizer_check::check(files.tokenizer).map_err(|problem| unreadable(&problem))?;
        let mut inner = caught(|| tokenizers::Tokenizer::from_bytes(files.tokenizer))
            .map_err(|panic| unreadable(&panic))?
            .map_err(|error| unreadable(&error))?;
        inner
            .with_truncation(None)
            .map_err(|error| refused(format!("tokenizer.json: truncation: {error}"), ""))?;
        inner.with_padding(None);
        let mut config = match files.tokenizer_config {
            Some(json) => TokenizerConfig::parse(json)?,
            None => TokenizerConfig::default(),
        };
        if let Some(template) = files.chat_template.filter(|template| !template.is_empty()) {
            config.chat_template = Some(template.to_owned());
            config.tool_use_template = None;
        }
        if let Some(template) = files.tool_use_template.filter(|template| !template.is_empty()) {
            config.tool_use_template = Some(template.to_owned());
        }
        let special = SpecialTokens::find(&mut inner, &config, files)?;
        let compile = |source: &str| ChatTemplate::compile(source, &special.by_name, false);
        let mut tokenizer = Self {
            inner,
            chat: compile(config.chat_template.as_deref().unwrap_or_default()),
            tool_use: config.tool_use_template.as_deref().map(compile),
            config,
            special: special.clone(),
            spaces_words: OnceLock::new(),
        };
        if tokenizer.uses_default_template() {
            let adds_bos = tokenizer.adds_bos();
            tokenizer.chat = ChatTemplate::compile(DEFAULT_TEMPLATE, &special.by_name, adds_bos);
        }
        Ok(tokenizer)
    }

    /// Encodes `text` as token ids. With `add_special_tokens` the ids include the special tokens that the model expects around a plain text (the
    /// beginning token of Llama, `[CLS]` and `[SEP]` of BERT). A rendered chat already has its own and needs none.
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>, DataError> {
        let encoding = encoded(|| self.inner.encode_fast(text, add_special_tokens))?;
        let mut ids = encoding.get_ids().to_vec();
        if let Some(bos) = self.bos_id().filter(|_| add_special_tokens) {
            match self.config.add_bos_token {
                // A tokenizer.json converted from another format may lack the post-processor that adds the token.
                Some(true) if ids.first() != Some(&bos) => ids.insert(0, bos),
                // A tokenizer.json may also have one although the config sets false. A beginning token written in the text itself stays.
                Some(false) if ids.first() == Some(&bos) && !self.starts_with_bos(text) => {
                    ids.remove(0);
                }
                _ => {}
            }
        }
        Ok(ids)
    }

    /// Like [`Self::encode`], but of a text that is far longer than `max_length` tokens only the part that is kept when it is cut is certain to be
    /// there. There are more tokens than `max_length` all the same.
    pub(crate) fn encode_kept(
        &self,
        text: &str,
        max_length: usize,
        side: TruncationSide,
    ) -> Result<Vec<u32>, DataError> {
        kept_part(text, max_length, side, |text| self.encode(text, true))
    }

    /// Encodes one text or two with the special tokens around them, cut to `max_length` tokens in all. The longer of two texts is cut, like with
    /// Transformers' `truncation=True`; the special tokens stay.
    pub(crate) fn encode_texts(
        &self,
        text: &str,
        text_pair: Option<&str>,
        max_length: usize,
        side: TruncationSide,
    ) -> Result<Surrounded, DataError> {
        let plain =
            |text: &str| kept_part(text, max_length, side, |text| encoded(|| self.inner.encode(text, false)));
        self.surround(plain(text)?, text_pair.map(plain).transpose()?, max_length, side)
    }

    /// Encodes words with the special tokens around them, cut to `max_length` tokens in all.
    pub(crate) fn encode_words(
        &self,
        words: &[String],
        max_length: usize,
        side: TruncationSide,
    ) -> Result<Surrounded, DataError> {
        let space = if self.spaces_words()? { " " } else { "" };
        let words: Vec<String> = words.iter().map(|word| format!("{space}{word}")).collect();
        let encoding = encoded(|| self.inner.encode(words, false))?;
        self.surround(encoding, None, max_length, side)
    }

    /// Whether a word's space belongs to its token (GPT-2, RoBERTa), so that a word without one continues another. Found by a trial, once.
    fn spaces_words(&self) -> Result<bool, DataError> {
        if let Some(known) = self.spaces_words.get() {
            return Ok(*known);
        }
        let ids = |words: &[&str]| match encoded(|| self.inner.encode(words, false)) {
            Ok(encoding) => Ok(encoding.get_ids().to_vec()),
            Err(error) => Err(error),
        };
        let whole = ids(&["a b"])?;
        let spaced = ids(&["a", " b"])? == whole && ids(&["a", "b"])? != whole;
        Ok(*self.spaces_words.get_or_init(|| spaced))
    }

    fn surround(
        &self,
        text: Encoding,
        pair: Option<Encoding>,
        max_length: usize,
        side: TruncationSide,
    ) -> Result<Surrounded, DataError> {
        let lacks_bos = self.config.add_bos_token == Some(true)
            && encoded(|| self.inner.post_process(Encoding::default(), None, true))
                .is_ok_and(|around| around.is_empty());
        let bos = self.bos_id().filter(|_| lacks_bos);
        let around = self.inner.get_post_processor().map_or(0, |added| added.added_tokens(pair.is_some()))
            + usize::from(bos.is_some());
        let room = max_length.checked_sub(around + 1).ok_or_else(|| {
            refused(
                format!("max_length = {max_length} has no room for a text: {around} tokens stand around it"),
                "raise data.max_length",
            )
        })? + 1;
        let length = text.len() + pair.as_ref().map_or(0, Encoding::len);
        let first = text.get_ids().first().copied();
        let (text, pair) = match length > room {
            false => (text, pair),
            true => {
                let direction = match side {
                    TruncationSide::Left => TruncationDirection::Left,
                    TruncationSide::Right => TruncationDirection::Right,
                };
                let params = TruncationParams {
                    max_length: room,
                    strategy: TruncationStrategy::LongestFirst,
                    stride: 0,
                    direction,
                };
                let (mut text, mut pair) = encoded(|| truncate_encodings(text, pair, &params))?;
                // The part that was cut off is kept as overflow, and would be laid out in every combination.
                text.take_overflowing();
                pair.as_mut().map(Encoding::take_overflowing);
                (text, pair)
            }
        };
        let whole = encoded(|| self.inner.post_process(text, pair, true))?;
        let word = |word: &Option<u32>| word.map(|word| word as usize);
        let mut all = Surrounded {
            ids: whole.get_ids().to_vec(),
            type_ids: whole.get_type_ids().to_vec(),
            words: whole.get_word_ids().iter().map(word).collect(),
            was_cut: length > room,
        };
        if let Some(bos) = bos {
            all.ids.insert(0, bos);
            all.type_ids.insert(0, 0);
            all.words.insert(0, None);
        } else if self.config.add_bos_token == Some(false)
            && self.bos_id().is_some_and(|bos| all.ids.first() == Some(&bos) && first != Some(bos))
        {
            all.ids.remove(0);
            all.type_ids.remove(0);
            all.words.remove(0);
        }
        Ok(all)
    }

    fn starts_with_bos(&self, text: &str) -> bool {
        self.bos_token().is_some_and(|bos| text.trim_start().starts_with(bos))
    }

    /// Encodes `text` without added special tokens. Returns the token ids, and the bytes of `text` that each came from. A token of only spaces may
    /// have an empty range, and several byte tokens of one character share its range.
    pub(crate) fn encode_with_offsets(&self, text: &str) -> Result<(Vec<u32>, Vec<Range<usize>>), DataError> {
        let encoding = encoded(|| self.inner.encode(text, false))?;
        let offsets = encoding.get_offsets().iter().map(|&(start, end)| start..end).collect();
        Ok((encoding.get_ids().to_vec(), offsets))
    }

    /// Decodes `ids` to text. Unknown ids are left out, and so are special tokens with `skip_special_tokens`.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String, DataError> {
        caught(|| self.inner.decode(ids, skip_special_tokens).map_err(|error| error.to_string()))
            .unwrap_or_else(|panic| {
                Err(format!("{panic}; a setting of tokenizer.json does not fit these tokens"))
            })
            .map_err(|problem| refused(format!("the tokenizer cannot decode these ids: {problem}"), ""))
    }

    /// Number of tokens, added ones included. A model's embedding may have more rows (padding), never fewer.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Whether `encode(text, true)` puts the beginning token first.
    fn adds_bos(&self) -> bool {
        let first = self.encode("", true).ok().and_then(|ids| ids.first().copied());
        first.is_some() && first == self.bos_id()
    }

    /// Whether a plain text begins with the beginning token: `add_bos_token` of the config or, where the config lacks it, the behaviour of
    /// `tokenizer.json`.
    pub fn add_bos_token(&self) -> bool {
        self.config.add_bos_token.unwrap_or_else(|| self.adds_bos())
    }

    /// Renders the conversation with its chat template. With `add_generation_prompt` the text includes the beginning of the assistant's next turn.
    /// The text has its special tokens and is to be encoded without adding any.
    pub fn apply_chat_template(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, DataError> {
        self.apply_chat_template_to(&Conversation::from(messages.to_vec()), add_generation_prompt)
    }

    /// Like [`Self::apply_chat_template`], but with tools and variables of the template.
    pub fn apply_chat_template_to(
        &self,
        conversation: &Conversation,
        add_generation_prompt: bool,
    ) -> Result<String, DataError> {
        self.render(conversation, conversation.messages.len(), add_generation_prompt)
    }

    /// Renders the first `turns` of a conversation with its chat template.
    pub(crate) fn render(
        &self,
        conversation: &Conversation,
        turns: usize,
        add_generation_prompt: bool,
    ) -> Result<String, DataError> {
        self.template(conversation)?.render(conversation, turns, add_generation_prompt)
    }

    /// Renders a conversation with its chat template, and finds the text of its turns.
    pub(crate) fn render_marked(&self, conversation: &Conversation) -> Result<Rendered, DataError> {
        self.template(conversation)?.render_marked(conversation)
    }

    /// The template for a conversation.
    fn template(&self, conversation: &Conversation) -> Result<&ChatTemplate, DataError> {
        let chat = match &self.tool_use {
            Some(template) if conversation.tools.is_some() => template,
            _ => &self.chat,
        };
        chat.as_ref().map_err(Clone::clone)
    }

    /// Encodes a user's message, up to the beginning of the assistant's answer.
    pub fn encode_prompt(&self, prompt: &str) -> Result<Vec<u32>, DataError> {
        let message = Message::new("user", prompt);
        self.encode(&self.apply_chat_template(&[message], true)?, false)
    }

    /// Whether the model has no template of its own, so that its chat format is this crate's ChatML.
    pub fn uses_default_template(&self) -> bool {
        self.config.chat_template.is_none()
    }

    /// Sets the current time for `strftime_now`, in seconds since 1970 (UTC). The default is the moment when the tokenizer was loaded. In a browser,
    /// where there is no clock to ask, the function stays undefined, and templates that test for it use their own date. A run that is to give the
    /// same tokens tomorrow sets it.
    pub fn with_now(mut self, seconds: i64) -> Self {
        self.chat = self.chat.map(|chat| chat.with_now(seconds));
        self.tool_use = self.tool_use.map(|chat| chat.map(|chat| chat.with_now(seconds)));
        self
    }

    /// The model's chat template, where it has one.
    pub fn chat_template(&self) -> Option<&str> {
        self.config.chat_template.as_deref()
    }

    fn special(&self, name: &str) -> Option<&str> {
        self.special.by_name.get(name).map(String::as_str)
    }

    fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Beginning-of-sequence token.
    pub fn bos_token(&self) -> Option<&str> {
        self.special("bos_token")
    }

    /// Id of the beginning-of-sequence token.
    pub fn bos_id(&self) -> Option<u32> {
        self.token_id(self.bos_token()?)
    }

    /// End-of-sequence token.
    pub fn eos_token(&self) -> Option<&str> {
        self.special("eos_token")
    }

    /// Id of the end-of-sequence token.
    pub fn eos_id(&self) -> Option<u32> {
        self.token_id(self.eos_token()?)
    }

    /// Ids that end an answer: every `eos_token_id` of the model's files, and the end token. Empty where the files name none.
    pub fn stop_ids(&self) -> &[u32] {
        &self.special.stop_ids
    }

    /// Whether a text is one special token.
    pub(crate) fn is_special(&self, text: &str) -> bool {
        text.len() <= self.special.longest && self.inner.get_added_vocabulary().is_special_token(text)
    }

    /// Returns the beginning of a special token that stands across the byte `at` of a text.
    pub(crate) fn special_token_at(&self, text: &str, at: usize) -> Option<usize> {
        let (before, after) = text.as_bytes().split_at_checked(at)?;
        let added = self.inner.get_added_tokens_decoder();
        let across = |token: &tokenizers::AddedToken| {
            let token = token.content.as_bytes();
            (1..token.len()).find(|cut| before.ends_with(&token[..*cut]) && after.starts_with(&token[*cut..]))
        };
        added.values().filter_map(across).max().map(|cut| at - cut)
    }

    /// Padding token, or the end-of-sequence token where there is none.
    pub fn pad_token(&self) -> Option<&str> {
        self.special("pad_token").or_else(|| self.eos_token())
    }

    /// Id of the padding token, or of the end-of-sequence token where the vocabulary lacks it.
    pub fn pad_id(&self) -> Option<u32> {
        self.pad_token().and_then(|pad| self.token_id(pad)).or_else(|| self.eos_id())
    }
}

/// Number of bytes of a text that are encoded at once, whatever `max_length`: the library takes some 200 bytes of memory for each.
const WINDOW: usize = 1 << 20;

/// The same of a text that must be encoded whole.
const WHOLE: usize = 8 << 20;

/// Bytes of text that are encoded for each token that is kept. Few tokens are longer.
const BYTES_PER_TOKEN: usize = 64;

/// Tokens at the end of an encoded part that the rest of the text might change.
const UNCERTAIN: usize = 64;

/// Checks the size of a text that must be encoded whole.
///
/// # Errors
///
/// If it is far longer than `max_length` tokens.
pub(crate) fn check_size(bytes: usize, max_length: usize) -> Result<(), DataError> {
    let most = WHOLE.max(max_length.saturating_mul(BYTES_PER_TOKEN));
    if bytes <= most {
        return Ok(());
    }
    Err(DataError::new(
        DataErrorKind::BadRow,
        format!(
            "the row has {bytes} bytes of text, and at most {most} are encoded for max_length = {max_length}"
        ),
        "split it, or leave it out: most of it would be cut off",
    ))
}

/// Encodes the part of a text that is kept when it is cut to `max_length` tokens.
fn kept_part<T: Tokens>(
    text: &str,
    max_length: usize,
    side: TruncationSide,
    encode: impl Fn(&str) -> Result<T, DataError>,
) -> Result<T, DataError> {
    for window in [WINDOW, WHOLE].map(|window| window.max(max_length.saturating_mul(BYTES_PER_TOKEN))) {
        if text.len() <= window {
            return encode(text);
        }
        let part = match side {
            TruncationSide::Right => &text[..text.floor_char_boundary(window)],
            TruncationSide::Left => &text[text.ceil_char_boundary(text.len() - window)..],
        };
        let tokens = encode(part)?;
        if tokens.count() > max_length.saturating_add(UNCERTAIN) {
            return Ok(tokens);
        }
    }
    check_size(text.len(), max_length)?;
    encode(text)
}

trait Tokens {
    fn count(&self) -> usize;
}

impl Tokens for Vec<u32> {
    fn count(&self) -> usize {
        self.len()
    }
}

impl Tokens for Encoding {
    fn count(&self) -> usize {
        self.len()
    }
}

/// Returns the parts of a text that are encoded one by one, each beginning with a space where there is one.
pub(crate) fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut end = rest.floor_char_boundary(WINDOW);
        if end < rest.len() {
            end = rest[..end].rfind([' ', '\n']).filter(|at| *at > 0).unwrap_or(end);
        }
        let (part, after) = rest.split_at(end);
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}

/// Runs a step of the encoding.
fn encoded<T>(step: impl FnOnce() -> Result<T, tokenizers::Error>) -> Result<T, DataError> {
    let refuse =
        |problem: String, help| refused(format!("the tokenizer cannot encode a text: {problem}"), help);
    match caught(step) {
        Ok(result) => result.map_err(|error| {
            refuse(error.to_string(), "its vocabulary may lack the unknown token that tokenizer.json names")
        }),
        Err(panic) => Err(refuse(panic, "tokenizer.json is damaged; download it again")),
    }
}
