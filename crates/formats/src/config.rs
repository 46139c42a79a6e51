//! A model's `config.json`: its sizes, and what sets its architecture apart from the others.
//!
//! Both styles are read: Transformers 4's and the hub's (`rope_theta`, `rope_scaling`) and Transformers 5's
//! (`rope_parameters`). Names and defaults are those of Transformers' own configurations. An architecture is one file in
//! `config/architectures`, which maps its `config.json` and its names to a [`ModelConfig`].

mod architectures;
mod decoder;
mod design;
mod fields;
mod read_rope;
mod rope;

use std::collections::BTreeSet;

use crate::{FormatError, Place, TensorSource};
pub use design::{
    Activation, Biases, HeadNames, LayerKind, LinearShape, Names, NormKind, Squash, SublayerNames, Task,
};
use fields::Fields;
pub use rope::{Rope, RopeScaling};

/// The shape and the design of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Transformers' name of the architecture.
    pub model_type: &'static str,
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
    /// The longest context the model is made for, in tokens.
    pub max_position_embeddings: usize,
    /// Whether the output projection is the embedding.
    pub tie_word_embeddings: bool,
    /// The token that begins a text.
    pub bos_token_id: Option<u32>,
    /// The tokens that end one.
    pub eos_token_id: Vec<u32>,
    /// The token that fills a batch up.
    pub pad_token_id: Option<u32>,
    /// What its parts are called.
    pub names: Names,
    /// How its norms work.
    pub norm: NormKind,
    /// Added to the mean square or the variance in a norm.
    pub norm_eps: f64,
    /// The MLP's activation.
    pub activation: Activation,
    /// Whether the MLP's activation is multiplied by a second projection of its input.
    pub gated: bool,
    /// Which linear layers have biases.
    pub biases: Biases,
    /// Whether the linear layers of the blocks lie `[in, out]` in the file (GPT-2's `Conv1D`).
    pub stored_in_out: bool,
    /// What the scores of queries and keys are multiplied by.
    pub attention_scale: f64,
    /// Scores are kept below it by `cap·tanh(score / cap)`.
    pub attention_softcap: Option<f64>,
    /// Logits likewise.
    pub logits_softcap: Option<f64>,
    /// What embeddings are multiplied by.
    pub embedding_scale: f64,
    /// Whether a token sees only those before it.
    pub causal: bool,
    /// The row of the learnt positions that a text begins at.
    pub position_offset: usize,
    /// Rows of the embedding of segments; 0 where there is none.
    pub token_types: usize,
    /// What the model is for.
    pub task: Task,
    /// The classes of a classifying head.
    pub num_labels: usize,
    /// The rotary embeddings that the layers choose from.
    pub ropes: Vec<Rope>,
    /// What differs from layer to layer, `[num_hidden_layers]`.
    pub layers: Vec<LayerKind>,
}

impl ModelConfig {
    /// Reads the text of a `config.json`, which errors call `file_name`.
    ///
    /// # Errors
    /// When it is no JSON object, describes another kind of model, lacks a size or has one that makes no sense.
    pub fn from_json(text: &str, file_name: &str) -> Result<Self, FormatError> {
        let fields = Fields::parse(text, file_name)?;
        let config = architectures::read(&fields)?;
        config.check_total(&fields)?;
        Ok(config)
    }

    /// The model for another task; a classifier tells `num_labels` classes apart.
    ///
    /// # Errors
    /// When an encoder is to predict the next token.
    pub fn for_task(mut self, task: Task, num_labels: usize) -> Result<Self, FormatError> {
        if task == Task::CausalLm && !self.writes_text() {
            let problem = format!("a {} model does not generate text", self.model_type);
            let help = "give it a task_type of SEQ_CLS, TOKEN_CLS or FEATURE_EXTRACTION";
            let place = Place::Key("model_type".to_owned());
            return Err(FormatError::unsupported("config.json", place, problem, help));
        }
        (self.task, self.num_labels) = (task, num_labels);
        Ok(self)
    }

    /// Whether the architecture has a language model's head: an encoder has none.
    pub fn writes_text(&self) -> bool {
        !self.names.head.is_empty()
    }

    /// Tokens of the longest text that the model is made for.
    pub fn longest_text(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.position_offset)
    }

    /// The head that classifies, where the model has one.
    pub fn classifier(&self) -> Option<HeadNames> {
        match self.task {
            Task::SequenceClassification => Some(self.names.sequence_head),
            Task::TokenClassification => Some(self.names.token_head),
            Task::CausalLm | Task::FeatureExtraction => None,
        }
    }

    /// The tensors of the classifying head. A checkpoint may lack them: then they begin at random.
    pub fn head_tensors(&self) -> Vec<(String, Vec<usize>)> {
        let Some(HeadNames { dense, output, bias }) = self.classifier() else { return Vec::new() };
        let (hidden, labels) = (self.hidden_size, self.num_labels);
        let mut tensors = vec![(format!("{output}.weight"), vec![labels, hidden])];
        if bias {
            tensors.push((format!("{output}.bias"), vec![labels]));
        }
        if let Some((dense, _)) = dense {
            tensors.push((format!("{dense}.weight"), vec![hidden, hidden]));
            tensors.push((format!("{dense}.bias"), vec![hidden]));
        }
        tensors
    }

    /// What `source` calls the tensor `name`. Checkpoints of a base model lack the prefix that a model with a head has, and those of a
    /// model with a head have one that a base model lacks; BERT's oldest call a LayerNorm's weight and bias gamma and beta.
    pub fn find(&self, source: &dyn TensorSource, name: &str) -> Option<String> {
        let prefix = self.names.prefix;
        let bare = name.strip_prefix(prefix);
        let forms = [Some(name.to_owned()), bare.map(str::to_owned), Some(format!("{prefix}{name}"))];
        forms.into_iter().flatten().find_map(|form| {
            let old = |new: &str, old: &str| form.strip_suffix(new).map(|stem| format!("{stem}{old}"));
            let older = old("LayerNorm.weight", "LayerNorm.gamma")
                .or_else(|| old("LayerNorm.bias", "LayerNorm.beta"));
            [Some(form.clone()), older].into_iter().flatten().find(|form| source.info(form).is_some())
        })
    }

    /// The tensors of `source` that the model has no use for: those of other heads, or of another model.
    pub fn unexpected_tensors(&self, source: &dyn TensorSource) -> Vec<String> {
        // What old checkpoints keep though it follows from the configuration.
        const COMPUTED: [&str; 5] =
            [".attn.bias", ".attn.masked_bias", "inv_freq", "position_ids", "token_type_ids"];
        let known: BTreeSet<String> = self
            .expected_tensors()
            .into_iter()
            .chain(self.head_tensors())
            .filter_map(|(name, _)| self.find(source, &name))
            .collect();
        let tied = format!("{}.weight", self.names.head);
        let names = source.infos().iter().map(|info| info.name.as_str());
        let expected = |name: &str| {
            known.contains(name)
                || COMPUTED.iter().any(|end| name.ends_with(end))
                || self.tie_word_embeddings && name == tied
        };
        names.filter(|name| !expected(name)).map(str::to_owned).collect()
    }

    /// Every tensor that the model's file must hold, by Hugging Face's names, with the shapes that it has there (row-major).
    ///
    /// The head's is left out when it is the embedding.
    pub fn expected_tensors(&self) -> Vec<(String, Vec<usize>)> {
        let Self { names, hidden_size: hidden, head_dim, .. } = self;
        let mut tensors = vec![(self.path(names.embedding) + ".weight", vec![self.vocab_size, *hidden])];
        let norm = |tensors: &mut Vec<_>, path: String, size: usize| {
            if self.norm == NormKind::Layer {
                tensors.push((format!("{path}.bias"), vec![size]));
            }
            tensors.push((path + ".weight", vec![size]));
        };
        if let Some(positions) = names.positions {
            tensors.push((self.path(positions) + ".weight", vec![self.max_position_embeddings, *hidden]));
        }
        if let Some(types) = names.token_types {
            tensors.push((self.path(types) + ".weight", vec![self.token_types, *hidden]));
        }
        if let Some(name) = names.embedding_norm {
            norm(&mut tensors, self.path(name), *hidden);
        }
        for layer in 0..self.num_hidden_layers {
            for (name, size) in names.layer_norms(*hidden, *head_dim) {
                norm(&mut tensors, self.layer_path(layer, name), size);
            }
            for LinearShape { name, size_out, size_in, bias } in self.layer_linears() {
                let path = self.layer_path(layer, name);
                let shape =
                    if self.stored_in_out { vec![size_in, size_out] } else { vec![size_out, size_in] };
                tensors.push((format!("{path}.weight"), shape));
                if bias {
                    tensors.push((format!("{path}.bias"), vec![size_out]));
                }
            }
        }
        if let Some(name) = names.final_norm {
            norm(&mut tensors, self.path(name), *hidden);
        }
        if self.has_own_head() {
            tensors.push((format!("{}.weight", names.head), vec![self.vocab_size, *hidden]));
        }
        tensors
    }

    /// The linear layers of a block in the order of the forward pass: the attention's input and output, the MLP's.
    pub fn layer_linears(&self) -> Vec<LinearShape> {
        let Self { names, hidden_size: hidden, intermediate_size: wide, biases, .. } = self;
        let queries = self.num_attention_heads * self.head_dim;
        let keys = self.num_key_value_heads * self.head_dim;
        let attention = match names.attention.input.len() {
            1 => vec![queries + 2 * keys],
            _ => vec![queries, keys, keys],
        };
        let mlp = match (self.gated, names.mlp.input.len()) {
            (true, 1) => vec![2 * wide],
            (true, _) => vec![*wide; 2],
            (false, _) => vec![*wide],
        };
        let mut linears = Vec::new();
        let mut add = |name, size_out, size_in, bias| {
            linears.push(LinearShape { name, size_out, size_in, bias });
        };
        for (name, size) in names.attention.input.iter().zip(attention) {
            add(name, size, *hidden, biases.attention_input);
        }
        add(names.attention.output, *hidden, queries, biases.attention_output);
        for (name, size) in names.mlp.input.iter().zip(mlp) {
            add(name, size, *hidden, biases.mlp);
        }
        add(names.mlp.output, *hidden, *wide, biases.mlp);
        linears
    }

    /// Whether there is a language model's head that is not the embedding.
    pub fn has_own_head(&self) -> bool {
        self.task == Task::CausalLm && !self.tie_word_embeddings
    }

    /// What stands before the names of all parts but a head's: nothing where there is no head.
    fn prefix(&self) -> &'static str {
        if self.task == Task::FeatureExtraction { "" } else { self.names.prefix }
    }

    /// The whole name of a part outside the layers.
    pub fn path(&self, part: &str) -> String {
        format!("{}{part}", self.prefix())
    }

    /// The whole name of a part of layer `index`.
    pub fn layer_path(&self, index: usize, part: &str) -> String {
        format!("{}{}.{index}.{part}", self.prefix(), self.names.layers)
    }

    /// Sizes that are each possible can still make a model that no machine holds, or overflow a 32-bit one's `usize`.
    fn check_total(&self, fields: &Fields<'_>) -> Result<(), FormatError> {
        const MOST: u128 = 1 << 42;
        let [vocab, hidden, wide, layers, heads, kv_heads, head_dim, positions] = [
            self.vocab_size,
            self.hidden_size,
            self.intermediate_size,
            self.num_hidden_layers,
            self.num_attention_heads,
            self.num_key_value_heads,
            self.head_dim,
            self.max_position_embeddings,
        ]
        .map(|size| size as u128);
        let positions = if self.names.positions.is_some() { positions * hidden } else { 0 };
        let matrices =
            [vocab * hidden, 2 * wide * hidden, (heads + 2 * kv_heads) * head_dim * hidden, positions];
        let total = 2 * matrices[0] + layers * (2 * matrices[1] + 2 * matrices[2]) + positions;
        let fits = matrices.into_iter().all(|values| usize::try_from(4 * values).is_ok());
        if total > MOST || !fits {
            let problem = format!("the sizes make a model of {total} parameters, too many for this machine");
            return Err(fields.wrong("hidden_size", problem));
        }
        Ok(())
    }
}

/// The `model_type`, and nothing that no architecture can do.
fn model_type<'a>(fields: &'a Fields<'_>, known: &str) -> Result<&'a str, FormatError> {
    let Some(model_type) = fields.text("model_type")? else {
        let problem = format!("it is not there (known types: {known})");
        let help = "use the config.json of a Transformers model";
        return Err(FormatError::missing(fields.file, Place::Key("model_type".to_owned()), problem, help));
    };
    if fields.get("quantization_config").is_some() {
        let problem = "the weights are stored in a quantised format of their own";
        let help = "use the unquantised model, or a GGUF of it";
        return Err(fields.unsupported("quantization_config", problem.to_owned(), help));
    }
    Ok(model_type)
}
