//! A Llama's `config.json`.
//!
//! Both styles are read: Transformers 4's and the hub's (`rope_theta`, `rope_scaling`) and Transformers 5's
//! (`rope_parameters`). Names and defaults are those of Transformers' `LlamaConfig`.

mod fields;
mod rope;

use crate::{FormatError, Place};
use fields::Fields;
pub use rope::{RopeScaling, inv_freq};

/// The model types that can be read.
const KNOWN_TYPES: &str = "llama";
const DEFAULT_THETA: f64 = 10_000.0;

/// The shape of a Llama.
#[derive(Debug, Clone, PartialEq)]
pub struct LlamaConfig {
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads, each shared by as many query heads.
    pub num_key_value_heads: usize,
    /// Width of a head; even.
    pub head_dim: usize,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_eps: f64,
    /// The base of the rotary frequencies.
    pub rope_theta: f64,
    /// How the rotary frequencies are stretched for long contexts.
    pub rope_scaling: RopeScaling,
    /// The longest context the model is made for, in tokens.
    pub max_position_embeddings: usize,
    /// Whether the output projection is the embedding.
    pub tie_word_embeddings: bool,
    /// Whether q, k, v and o have biases.
    pub attention_bias: bool,
    /// Whether gate, up and down have biases.
    pub mlp_bias: bool,
    /// The token that begins a text.
    pub bos_token_id: Option<u32>,
    /// The tokens that end one.
    pub eos_token_id: Vec<u32>,
    /// The token that fills a batch up.
    pub pad_token_id: Option<u32>,
}

impl LlamaConfig {
    /// Reads the text of a `config.json`, which errors call `file_name`.
    ///
    /// # Errors
    /// When it is no JSON object, describes another kind of model, lacks a size or has one that makes no sense.
    pub fn from_json(text: &str, file_name: &str) -> Result<Self, FormatError> {
        let fields = Fields::parse(text, file_name)?;
        check_type(&fields)?;

        let hidden_size = fields.size("hidden_size", 1 << 20)?;
        let num_attention_heads = fields.size("num_attention_heads", 1 << 16)?;
        let num_key_value_heads =
            fields.optional_size("num_key_value_heads", 1 << 16)?.unwrap_or(num_attention_heads);
        if num_attention_heads % num_key_value_heads != 0 {
            let problem = format!("{num_attention_heads} attention heads cannot share {num_key_value_heads}");
            return Err(fields.wrong("num_key_value_heads", problem));
        }
        let head_dim = match fields.optional_size("head_dim", 1 << 16)? {
            Some(head_dim) => head_dim,
            None if hidden_size % num_attention_heads == 0 => hidden_size / num_attention_heads,
            None => {
                let problem = format!("{hidden_size} cannot be cut into {num_attention_heads} heads");
                return Err(fields.wrong("hidden_size", problem));
            }
        };
        if head_dim % 2 != 0 {
            return Err(fields.wrong("head_dim", format!("heads of {head_dim} values have no two halves")));
        }
        let max_position_embeddings =
            fields.optional_size("max_position_embeddings", 1 << 31)?.unwrap_or(2048);
        let (rope_theta, rope_scaling) = read_rope(&fields, max_position_embeddings)?;

        let config = Self {
            vocab_size: fields.size("vocab_size", 1 << 26)?,
            hidden_size,
            intermediate_size: fields.size("intermediate_size", 1 << 22)?,
            num_hidden_layers: fields.size("num_hidden_layers", 1 << 12)?,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            rms_norm_eps: fields.optional_positive("rms_norm_eps")?.unwrap_or(1e-6),
            rope_theta,
            rope_scaling,
            max_position_embeddings,
            tie_word_embeddings: fields.flag("tie_word_embeddings")?,
            attention_bias: fields.flag("attention_bias")?,
            mlp_bias: fields.flag("mlp_bias")?,
            bos_token_id: fields.token("bos_token_id", Some(1))?,
            eos_token_id: fields.tokens("eos_token_id", 2)?,
            pad_token_id: fields.token("pad_token_id", None)?,
        };
        config.check_total(&fields)?;
        Ok(config)
    }

    /// Every tensor that the model's file must hold, by Hugging Face's names, with row-major shapes.
    ///
    /// `lm_head.weight` is left out when it is the embedding.
    pub fn expected_tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (hidden, wide) = (self.hidden_size, self.intermediate_size);
        let queries = self.num_attention_heads * self.head_dim;
        let keys = self.num_key_value_heads * self.head_dim;
        let linears = [
            ("self_attn.q_proj", queries, hidden, self.attention_bias),
            ("self_attn.k_proj", keys, hidden, self.attention_bias),
            ("self_attn.v_proj", keys, hidden, self.attention_bias),
            ("self_attn.o_proj", hidden, queries, self.attention_bias),
            ("mlp.gate_proj", wide, hidden, self.mlp_bias),
            ("mlp.up_proj", wide, hidden, self.mlp_bias),
            ("mlp.down_proj", hidden, wide, self.mlp_bias),
        ];

        let mut tensors = vec![("model.embed_tokens.weight".to_owned(), vec![self.vocab_size, hidden])];
        for layer in 0..self.num_hidden_layers {
            let name = |rest: &str| format!("model.layers.{layer}.{rest}");
            tensors.push((name("input_layernorm.weight"), vec![hidden]));
            tensors.push((name("post_attention_layernorm.weight"), vec![hidden]));
            for (linear, out, input, bias) in linears {
                tensors.push((name(&format!("{linear}.weight")), vec![out, input]));
                if bias {
                    tensors.push((name(&format!("{linear}.bias")), vec![out]));
                }
            }
        }
        tensors.push(("model.norm.weight".to_owned(), vec![hidden]));
        if !self.tie_word_embeddings {
            tensors.push(("lm_head.weight".to_owned(), vec![self.vocab_size, hidden]));
        }
        tensors
    }

    /// The rotary frequencies in radians a token, `[head_dim / 2]`, the fastest first.
    pub fn inv_freq(&self) -> Vec<f32> {
        inv_freq(self.rope_theta, self.head_dim, &self.rope_scaling)
    }

    /// Sizes that are each possible can still make a model that no machine holds, or overflow a 32-bit one's `usize`.
    fn check_total(&self, fields: &Fields<'_>) -> Result<(), FormatError> {
        const MOST: u128 = 1 << 42;
        let [vocab, hidden, wide, layers, heads, kv_heads, head_dim] = [
            self.vocab_size,
            self.hidden_size,
            self.intermediate_size,
            self.num_hidden_layers,
            self.num_attention_heads,
            self.num_key_value_heads,
            self.head_dim,
        ]
        .map(|size| size as u128);
        let matrices =
            [vocab * hidden, wide * hidden, heads * head_dim * hidden, kv_heads * head_dim * hidden];
        let total = 2 * matrices[0] + layers * (3 * matrices[1] + 2 * matrices[2] + 2 * matrices[3]);
        let fits = matrices.into_iter().all(|values| usize::try_from(4 * values).is_ok());
        if total > MOST || !fits {
            let problem = format!("the sizes make a model of {total} parameters, too many for this machine");
            return Err(fields.wrong("hidden_size", problem));
        }
        Ok(())
    }
}

fn check_type(fields: &Fields<'_>) -> Result<(), FormatError> {
    match fields.text("model_type")? {
        Some("llama") => {}
        Some(other) => {
            let problem = format!(
                "models of type {:?} are not supported (supported: {KNOWN_TYPES})",
                crate::error::Shortened(other)
            );
            return Err(fields.unsupported("model_type", problem, "use a model of a supported type"));
        }
        None => {
            let file = fields.file;
            let problem = format!("it is not there (known types: {KNOWN_TYPES})");
            let help = "use the config.json of a Transformers model";
            return Err(FormatError::missing(file, Place::Key("model_type".to_owned()), problem, help));
        }
    }
    if let Some(other) = fields.text("hidden_act")?.filter(|&act| act != "silu") {
        let problem = format!("activation {:?} is not supported, only silu", crate::error::Shortened(other));
        return Err(fields.unsupported("hidden_act", problem, "use a model with silu"));
    }
    if fields.get("quantization_config").is_some() {
        let problem = "the weights are stored in a quantised format of their own";
        let help = "use the unquantised model, or a GGUF of it";
        return Err(fields.unsupported("quantization_config", problem.to_owned(), help));
    }
    Ok(())
}

/// The rotary base and scaling, from whichever place has them; Transformers asks in this order too.
fn read_rope(fields: &Fields<'_>, max_position_embeddings: usize) -> Result<(f64, RopeScaling), FormatError> {
    let rope = match fields.object("rope_scaling")? {
        Some(rope) => Some(rope),
        None => fields.object("rope_parameters")?,
    };
    let theta_outside = fields.optional_positive("rope_theta")?.unwrap_or(DEFAULT_THETA);
    refuse_partial_rotation(fields)?;
    let Some(rope) = rope else {
        return Ok((theta_outside, RopeScaling::Default));
    };
    refuse_partial_rotation(&rope)?;
    let theta = rope.optional_positive("rope_theta")?.unwrap_or(theta_outside);
    let kind = match rope.text("rope_type")? {
        Some(kind) => Some(kind),
        None => rope.text("type")?,
    };
    let scaling = match kind {
        None | Some("default") => RopeScaling::Default,
        Some("linear") => RopeScaling::Linear { factor: rope.positive("factor")? },
        Some("llama3") => RopeScaling::Llama3 {
            factor: rope.positive("factor")?,
            low_freq_factor: rope.positive("low_freq_factor")?,
            high_freq_factor: rope.positive("high_freq_factor")?,
            original_max_position_embeddings: rope
                .optional_size("original_max_position_embeddings", 1 << 31)?
                .unwrap_or(max_position_embeddings),
        },
        Some(other) => {
            let problem = format!(
                "rotary scaling {:?} is not supported (supported: default, linear, llama3)",
                crate::error::Shortened(other)
            );
            return Err(rope.unsupported("rope_type", problem, "use a model with a supported scaling"));
        }
    };
    if let RopeScaling::Llama3 { low_freq_factor, high_freq_factor, .. } = scaling
        && low_freq_factor >= high_freq_factor
    {
        let problem = format!("{high_freq_factor} is not above low_freq_factor {low_freq_factor}");
        return Err(rope.wrong("high_freq_factor", problem));
    }
    Ok((theta, scaling))
}

fn refuse_partial_rotation(fields: &Fields<'_>) -> Result<(), FormatError> {
    const KEY: &str = "partial_rotary_factor";
    match fields.optional_positive(KEY)? {
        Some(factor) if factor != 1.0 => {
            let problem = format!("only {factor} of each head would be rotated");
            Err(fields.unsupported(KEY, problem, "use a model whose heads are rotated whole"))
        }
        _ => Ok(()),
    }
}
