//! A model's `config.json`: its sizes, and the differences between its architecture and others.
//!
//! Both styles are read: that of Transformers 4 and the hub (`rope_theta`, `rope_scaling`) and that of Transformers 5 (`rope_parameters`). Names and
//! defaults are those of Transformers' own configurations. An architecture is one file in `config/architectures`, which maps its `config.json` and
//! its names to a [`ModelConfig`].

mod architectures;
mod checkpoint;
mod decoder;
mod design;
mod fields;
mod mixer;
mod plan;
mod read_rope;
mod rope;

use crate::{FormatError, Place};
pub use design::{
    Activation, Biases, HeadNames, Names, NormKind, Residual, Scalars, Squash, SublayerNames, Task,
};
use fields::Fields;
pub use mixer::{AttentionKind, Mixer};
pub use plan::{AttentionPart, Input, LoraTarget, MlpPart, Module, ModuleShape, NormPlace, Role, Sublayer};
pub use rope::{Rope, RopeScaling};

/// Shape and design of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Transformers' name of the architecture.
    pub model_type: &'static str,
    /// Number of rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of query heads.
    pub num_attention_heads: usize,
    /// Number of key and value heads, each shared by the same number of query heads.
    pub num_key_value_heads: usize,
    /// Width of a head, an even number.
    pub head_dim: usize,
    /// Longest context that the model is made for, in tokens.
    pub max_position_embeddings: usize,
    /// Whether the output projection shares the weight of the embedding.
    pub tie_word_embeddings: bool,
    /// Token at the beginning of a text.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text.
    pub eos_token_id: Vec<u32>,
    /// Token that pads a batch.
    pub pad_token_id: Option<u32>,
    /// Names of the model's parts.
    pub names: Names,
    /// Kind of the model's norms.
    pub norm: NormKind,
    /// Number added to the mean square or the variance in a norm.
    pub norm_eps: f64,
    /// Activation of the MLP.
    pub activation: Activation,
    /// Whether the MLP's activation is multiplied by a second projection of its input.
    pub gated: bool,
    /// Linear layers that have biases.
    pub biases: Biases,
    /// Whether the linear layers of the blocks are stored as `[in, out]` in the file (GPT-2's `Conv1D`).
    pub stored_in_out: bool,
    /// Factors and caps of scores, embeddings and logits.
    pub scalars: Scalars,
    /// Order of the halves of a layer.
    pub residual: Residual,
    /// Whether a token sees only the tokens before it.
    pub causal: bool,
    /// Row of the learnt positions at which a text begins.
    pub position_offset: usize,
    /// Number of rows of the embedding of segments; 0 if there is none.
    pub token_types: usize,
    /// Purpose of the model.
    pub task: Task,
    /// Number of classes of a classification head.
    pub num_labels: usize,
    /// Rotary embeddings, from which each layer uses one.
    pub ropes: Vec<Rope>,
    /// Mixer of each layer, `[num_hidden_layers]`.
    pub layers: Vec<Mixer>,
}

impl ModelConfig {
    /// Reads the text of a `config.json`. Errors use `file_name` as the name of the file.
    ///
    /// # Errors
    /// When the text is not a JSON object, describes another kind of model, or lacks a size or has an impossible one.
    pub fn from_json(text: &str, file_name: &str) -> Result<Self, FormatError> {
        let fields = Fields::parse(text, file_name)?;
        let config = architectures::read(&fields)?;
        config.check_total(&fields)?;
        Ok(config)
    }

    /// Returns the configuration of the model for another task; a classifier has `num_labels` classes.
    ///
    /// # Errors
    /// When the task of an encoder is to predict the next token.
    pub fn for_task(mut self, task: Task, num_labels: usize) -> Result<Self, FormatError> {
        if task == Task::CausalLm && !self.has_lm_head() {
            let problem = format!("a {} model does not generate text", self.model_type);
            let help = "give it a task_type of SEQ_CLS, TOKEN_CLS or FEATURE_EXTRACTION";
            let place = Place::Key("model_type".to_owned());
            return Err(FormatError::unsupported("config.json", place, problem, help));
        }
        (self.task, self.num_labels) = (task, num_labels);
        Ok(self)
    }

    /// Whether the architecture has a language model's head; an encoder has none.
    pub fn has_lm_head(&self) -> bool {
        !self.names.head.is_empty()
    }

    /// Returns the length of the longest text that the model is made for, in tokens.
    pub fn longest_text(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.position_offset)
    }

    /// Returns the names of the classification head, if the model has one.
    pub fn classifier(&self) -> Option<HeadNames> {
        match self.task {
            Task::SequenceClassification => Some(self.names.sequence_head),
            Task::TokenClassification => Some(self.names.token_head),
            Task::CausalLm | Task::FeatureExtraction => None,
        }
    }

    /// Whether the model has a language model's head that is not the embedding.
    pub fn has_own_head(&self) -> bool {
        self.task == Task::CausalLm && !self.tie_word_embeddings
    }

    /// Returns the prefix of the names of all parts but a head's; it is empty if there is no head.
    fn prefix(&self) -> &'static str {
        if self.task == Task::FeatureExtraction { "" } else { self.names.prefix }
    }

    /// Returns the full name of a part outside the layers.
    pub fn path(&self, part: &str) -> String {
        format!("{}{part}", self.prefix())
    }

    /// Returns the full name of a part of layer `index`.
    pub fn layer_path(&self, index: usize, part: &str) -> String {
        format!("{}{}.{index}.{part}", self.prefix(), self.names.layers)
    }

    /// Refuses sizes that are possible one by one, but together make a model that no machine holds, or overflow `usize` on a 32-bit machine.
    fn check_total(&self, fields: &Fields<'_>) -> Result<(), FormatError> {
        const MOST: u64 = 1 << 42;
        let modules = self.modules();
        let total = modules.iter().fold(0, |sum: u64, module| sum.saturating_add(module.shape.elements()));
        let fits =
            |module: &Module| usize::try_from(module.shape.weight_elements().saturating_mul(4)).is_ok();
        if total > MOST || !modules.iter().all(fits) {
            let problem = format!(
                "the sizes make a model of {total} parameters, too many for this machine (hidden_size {}, vocab_size {}, intermediate_size {}, \
                 {} layers of {} heads of {})",
                self.hidden_size,
                self.vocab_size,
                self.intermediate_size,
                self.num_hidden_layers,
                self.num_attention_heads,
                self.head_dim
            );
            return Err(fields.wrong("hidden_size", problem));
        }
        Ok(())
    }
}

/// Returns the `model_type`, and refuses settings that no architecture supports.
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
