//! The modules of a model: each with its path, role and shape, from the configuration alone.
//!
//! Everything that iterates over a model uses this list: loading, visits of weights, adapters, parameter counts, memory. Its order is that of the
//! parameters in the optimizer and of the sections of a loaded model.

use serde::{Deserialize, Serialize};

use super::{
    HeadNames, ModelConfig, NormKind, SublayerNames, Task,
    mixer::{LayerModules, Mixer, attention_modules},
};

/// A module that holds parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Hugging Face's name: `model.layers.0.self_attn.q_proj`.
    pub path: String,
    /// Layer that contains the module.
    pub layer: Option<usize>,
    /// Purpose of the module.
    pub role: Role,
    /// Sizes of the module's parameters.
    pub shape: ModuleShape,
    /// Whether the module's weight is that of the embedding. If so, a checkpoint has no tensor of it.
    pub tied: bool,
    /// Whether a checkpoint may lack the module. If it does, the module is initialised at random.
    pub optional: bool,
}

/// Purpose of a module in its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Embedding of tokens.
    Embedding,
    /// Embedding of learnt positions.
    PositionEmbedding,
    /// Embedding of segments (`token_type_ids`).
    TokenTypeEmbedding,
    /// Norm of the sum of the embeddings.
    EmbeddingNorm,
    /// Part of a layer's attention.
    Attention(AttentionPart),
    /// Part of a layer's MLP.
    Mlp(MlpPart),
    /// Norm around a half of a layer.
    Norm(Sublayer, NormPlace),
    /// Norm after the last layer.
    FinalNorm,
    /// Language model's head.
    LmHead,
    /// Linear layer before the classes: BERT's pooler, or the dense layer of a head of its own.
    Pooler,
    /// Linear layer that computes the logits of the classes.
    Classifier,
}

/// Purpose of a module in attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AttentionPart {
    /// Projection to queries.
    Query,
    /// Projection to keys.
    Key,
    /// Projection to values.
    Value,
    /// Projection to queries, keys and values, in this order.
    QueryKeyValue,
    /// Projection of the output of attention.
    Output,
    /// Norm of each head's queries.
    QueryNorm,
    /// Norm of each head's keys.
    KeyNorm,
}

/// Purpose of a module in an MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MlpPart {
    /// Projection to the gate.
    Gate,
    /// Projection to the values that are multiplied by the gate.
    Up,
    /// Projection to gate and up, in this order.
    GateUp,
    /// First projection of an MLP without a gate.
    Input,
    /// Last projection.
    Output,
}

/// Place of a norm around a half of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NormPlace {
    /// Norm at the input of a half of a layer.
    Before,
    /// Norm of the output, before it is added to the residual stream.
    After,
    /// Norm of the residual stream, after the output has been added.
    Residual,
}

/// A half of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Sublayer {
    /// Mixer, the half that mixes tokens.
    Mixer,
    /// MLP, the half that changes each token by itself.
    Mlp,
}

/// Input of a linear layer of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    /// Input of the attention, read by queries, keys and values.
    Attention,
    /// Values mixed by the attention.
    AttentionOutput,
    /// Input of the MLP, read by gate and up.
    Mlp,
    /// Product of the MLP's two halves.
    MlpOutput,
}

/// Ways in which `target_modules` give a module an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoraTarget {
    /// By its name, and by `"all-linear"`.
    AllLinear,
    /// By its name alone.
    Named,
    /// Not at all: PEFT or this crate has no adapter for it.
    Never,
}

/// Sizes of a module's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModuleShape {
    /// `weight [rows, columns]`.
    Embedding {
        /// Number of tokens, positions or segments.
        rows: usize,
        /// Width of the residual stream.
        columns: usize,
    },
    /// `weight [size_out, size_in]`, `bias [size_out]`.
    Linear {
        /// Number of output values.
        size_out: usize,
        /// Number of input values.
        size_in: usize,
        /// Whether the layer has a bias.
        bias: bool,
        /// Whether the checkpoint stores the weight as `[size_in, size_out]` (GPT-2's `Conv1D`).
        in_out: bool,
    },
    /// `weight [size]`, `bias [size]`.
    Norm {
        /// Number of values that are normalised together.
        size: usize,
        /// Whether the norm has a bias.
        bias: bool,
    },
}

impl ModuleShape {
    /// Returns the shape of the weight in a checkpoint.
    pub fn weight(&self) -> Vec<usize> {
        match *self {
            Self::Embedding { rows, columns } => vec![rows, columns],
            Self::Linear { size_out, size_in, in_out: true, .. } => vec![size_in, size_out],
            Self::Linear { size_out, size_in, in_out: false, .. } => vec![size_out, size_in],
            Self::Norm { size, .. } => vec![size],
        }
    }

    /// Returns the number of elements of the bias, if there is one.
    pub fn bias(&self) -> Option<usize> {
        match *self {
            Self::Linear { size_out, bias: true, .. } => Some(size_out),
            Self::Norm { size, bias: true } => Some(size),
            Self::Embedding { .. } | Self::Linear { .. } | Self::Norm { .. } => None,
        }
    }

    /// Returns the number of elements of the weight.
    pub fn weight_elements(&self) -> u64 {
        self.weight().iter().fold(1, |product: u64, size| product.saturating_mul(*size as u64))
    }

    /// Returns the number of elements of weight and bias.
    pub fn elements(&self) -> u64 {
        self.weight_elements().saturating_add(self.bias().unwrap_or(0) as u64)
    }
}

impl Module {
    /// Returns the checkpoint names and shapes of the module's tensors, weight and bias.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let mut tensors = Vec::new();
        if !self.tied {
            tensors.push((format!("{}.weight", self.path), self.shape.weight()));
        }
        if let Some(size) = self.shape.bias() {
            tensors.push((format!("{}.bias", self.path), vec![size]));
        }
        tensors
    }

    /// Returns the last part of the path, by which `target_modules` names the module.
    pub fn last_name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or(&self.path)
    }

    /// Returns the way in which `target_modules` give the module an adapter.
    pub fn lora_target(&self) -> LoraTarget {
        match self.role {
            Role::Attention(AttentionPart::QueryNorm | AttentionPart::KeyNorm) => LoraTarget::Never,
            Role::Attention(_) | Role::Mlp(_) | Role::Pooler => LoraTarget::AllLinear,
            // The embedding is no linear layer, and "all-linear" leaves the output layer out.
            Role::Embedding | Role::LmHead => LoraTarget::Named,
            Role::PositionEmbedding
            | Role::TokenTypeEmbedding
            | Role::EmbeddingNorm
            | Role::Norm(..)
            | Role::FinalNorm
            | Role::Classifier => LoraTarget::Never,
        }
    }
}

impl Role {
    /// Whether the module is the embedding of tokens or the language model's head.
    pub fn is_embedding_or_head(self) -> bool {
        matches!(self, Self::Embedding | Self::LmHead)
    }

    /// Returns the input of a linear layer of a block, or `None` for other modules.
    pub fn input(self) -> Option<Input> {
        match self {
            Self::Attention(part) => match part {
                AttentionPart::Query
                | AttentionPart::Key
                | AttentionPart::Value
                | AttentionPart::QueryKeyValue => Some(Input::Attention),
                AttentionPart::Output => Some(Input::AttentionOutput),
                AttentionPart::QueryNorm | AttentionPart::KeyNorm => None,
            },
            Self::Mlp(MlpPart::Gate | MlpPart::Up | MlpPart::GateUp | MlpPart::Input) => Some(Input::Mlp),
            Self::Mlp(MlpPart::Output) => Some(Input::MlpOutput),
            Self::Embedding
            | Self::PositionEmbedding
            | Self::TokenTypeEmbedding
            | Self::EmbeddingNorm
            | Self::Norm(..)
            | Self::FinalNorm
            | Self::LmHead
            | Self::Pooler
            | Self::Classifier => None,
        }
    }

    /// Whether the module comes before the first layer.
    pub fn is_before_layers(self) -> bool {
        matches!(
            self,
            Self::Embedding | Self::PositionEmbedding | Self::TokenTypeEmbedding | Self::EmbeddingNorm
        )
    }
}

impl ModelConfig {
    /// Returns every module of the model for its task.
    pub fn modules(&self) -> Vec<Module> {
        let mut modules = self.body();
        modules.extend(self.head(self.task));
        modules
    }

    /// Returns the modules that the model has for any task, from the embedding to the final norm.
    pub fn body(&self) -> Vec<Module> {
        let (names, hidden) = (self.names, self.hidden_size);
        let module = |name: &str, role, shape| plain(self.path(name), None, role, shape);
        let embedding = |rows| ModuleShape::Embedding { rows, columns: hidden };
        let norm = self.norm_shape(hidden);
        let mut modules = vec![module(names.embedding, Role::Embedding, embedding(self.vocab_size))];
        let positions = self.max_position_embeddings;
        modules
            .extend(names.positions.map(|name| module(name, Role::PositionEmbedding, embedding(positions))));
        let types = self.token_types;
        modules
            .extend(names.token_types.map(|name| module(name, Role::TokenTypeEmbedding, embedding(types))));
        modules.extend(names.embedding_norm.map(|name| module(name, Role::EmbeddingNorm, norm)));
        for (index, mixer) in self.layers.iter().enumerate() {
            self.layer(index, mixer, &mut modules);
        }
        modules.extend(names.final_norm.map(|name| module(name, Role::FinalNorm, norm)));
        modules
    }

    /// Appends the modules of layer `index`: linear layers in the order of the forward pass, then norms.
    fn layer(&self, index: usize, mixer: &Mixer, modules: &mut Vec<Module>) {
        let names = self.names;
        let LayerModules { linears, norms } = match mixer {
            Mixer::Attention(_) => attention_modules(self),
        };
        let around = |sublayer, names: SublayerNames| {
            let roles = [
                (Role::Norm(sublayer, NormPlace::Before), names.norm_before),
                (Role::Norm(sublayer, NormPlace::After), names.norm_after),
                (Role::Norm(sublayer, NormPlace::Residual), names.norm_residual),
            ];
            roles
                .into_iter()
                .filter_map(|(role, name)| Some((role, name?, self.norm_shape(self.hidden_size))))
        };
        let linears = linears.into_iter().chain(self.mlp_modules());
        let norms =
            around(Sublayer::Mixer, names.attention).chain(around(Sublayer::Mlp, names.mlp)).chain(norms);
        let all = linears.chain(norms);
        modules.extend(
            all.map(|(role, name, shape)| plain(self.layer_path(index, name), Some(index), role, shape)),
        );
    }

    /// Returns the linear layers of an MLP.
    fn mlp_modules(&self) -> Vec<(Role, &'static str, ModuleShape)> {
        let (hidden, wide, bias) = (self.hidden_size, self.intermediate_size, self.biases.mlp);
        let names = self.names.mlp;
        let inputs = match (self.gated, names.input.len()) {
            (true, 1) => vec![(Role::Mlp(MlpPart::GateUp), wide.saturating_mul(2))],
            (true, _) => vec![(Role::Mlp(MlpPart::Gate), wide), (Role::Mlp(MlpPart::Up), wide)],
            (false, _) => vec![(Role::Mlp(MlpPart::Input), wide)],
        };
        let inputs = names.input.iter().zip(inputs);
        inputs
            .map(|(name, (role, size))| (role, *name, self.linear_shape(size, hidden, bias)))
            .chain([(Role::Mlp(MlpPart::Output), names.output, self.linear_shape(hidden, wide, bias))])
            .collect()
    }

    /// Returns the modules of the model's head for `task`.
    pub fn head(&self, task: Task) -> Vec<Module> {
        let names = self.names;
        match task {
            Task::FeatureExtraction => Vec::new(),
            Task::CausalLm => {
                let shape = linear(self.vocab_size, self.hidden_size, false);
                let head = plain(names.head.to_owned(), None, Role::LmHead, shape);
                vec![Module { tied: self.tie_word_embeddings, ..head }]
            }
            Task::SequenceClassification => self.classifying_head(names.sequence_head),
            Task::TokenClassification => self.classifying_head(names.token_head),
        }
    }

    fn classifying_head(&self, HeadNames { dense, output, bias }: HeadNames) -> Vec<Module> {
        let (hidden, labels) = (self.hidden_size, self.num_labels);
        let module =
            |path: &str, role, shape| Module { optional: true, ..plain(path.to_owned(), None, role, shape) };
        let dense = dense.map(|(path, _)| module(path, Role::Pooler, linear(hidden, hidden, true)));
        let output = module(output, Role::Classifier, linear(labels, hidden, bias));
        dense.into_iter().chain([output]).collect()
    }

    /// Returns the shape of a linear layer of a block.
    pub(super) fn linear_shape(&self, size_out: usize, size_in: usize, bias: bool) -> ModuleShape {
        ModuleShape::Linear { size_out, size_in, bias, in_out: self.stored_in_out }
    }

    /// Returns the shape of a norm of `size` values.
    pub(super) fn norm_shape(&self, size: usize) -> ModuleShape {
        let bias = match self.norm {
            NormKind::Layer => true,
            NormKind::Rms | NormKind::RmsPlusOne => false,
        };
        ModuleShape::Norm { size, bias }
    }
}

fn linear(size_out: usize, size_in: usize, bias: bool) -> ModuleShape {
    ModuleShape::Linear { size_out, size_in, bias, in_out: false }
}

/// Returns a module with its own tensor in every checkpoint.
fn plain(path: String, layer: Option<usize>, role: Role, shape: ModuleShape) -> Module {
    Module { path, layer, role, shape, tied: false, optional: false }
}
