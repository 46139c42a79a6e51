//! A model's tensors in a checkpoint: which are required, which may be missing, and their names there.

use std::collections::BTreeSet;

use super::{ModelConfig, Module};
use crate::TensorSource;

impl ModelConfig {
    /// Returns the names and shapes (row-major) of the tensors that every checkpoint of the model contains.
    pub fn expected_tensors(&self) -> Vec<(String, Vec<usize>)> {
        self.modules().iter().filter(|module| !module.optional).flat_map(Module::tensors).collect()
    }

    /// Whether `source` has every tensor of `module`, in its shape.
    pub fn has_module(&self, source: &dyn TensorSource, module: &Module) -> bool {
        module.tensors().iter().all(|(name, shape)| self.has_tensor(source, name, shape))
    }

    /// Whether `source` has the tensor `name`, in this shape.
    pub fn has_tensor(&self, source: &dyn TensorSource, name: &str, shape: &[usize]) -> bool {
        let found =
            self.find(source, name).and_then(|name| source.info(&name).map(|info| info.shape == shape));
        found.unwrap_or(false)
    }

    /// Returns the name of the tensor `name` in `source`. Checkpoints of a base model lack the prefix of a model with a head, and those of a model
    /// with a head have a prefix that a base model lacks. The oldest BERT checkpoints call a LayerNorm's weight and bias gamma and beta.
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

    /// Returns the tensors of `source` that the model does not use: those of other heads, or of another model.
    pub fn unexpected_tensors(&self, source: &dyn TensorSource) -> Vec<String> {
        // Tensors that old checkpoints store although they follow from the configuration.
        const COMPUTED: [&str; 5] =
            [".attn.bias", ".attn.masked_bias", "inv_freq", "position_ids", "token_type_ids"];
        let modules = self.modules();
        let tensors = modules.iter().flat_map(Module::tensors);
        let known: BTreeSet<String> = tensors.filter_map(|(name, _)| self.find(source, &name)).collect();
        // A model saved by another program may store the head although it is the embedding.
        let tied = self.tie_word_embeddings.then(|| format!("{}.weight", self.names.head));
        let expected = |name: &str| {
            known.contains(name)
                || COMPUTED.iter().any(|end| name.ends_with(end))
                || tied.as_deref() == Some(name)
        };
        let names = source.infos().iter().map(|info| info.name.as_str());
        names.filter(|name| !expected(name)).map(str::to_owned).collect()
    }
}
