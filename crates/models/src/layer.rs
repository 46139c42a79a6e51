//! A layer: a mixer and an MLP around the residual stream.

use burn::tensor::{FloatDType, Tensor};
use lorelei_formats::{
    ModelConfig,
    config::{NormPlace, Residual, Role, Sublayer},
};

use crate::{
    Linear, ModelError,
    cache::LayerCache,
    load::LoadedModules,
    mixer::Mixer,
    mlp::Mlp,
    model::Pass,
    modules::ModuleMut,
    norm::Norm,
    precision::{cast, to_f32},
};

/// A layer of a model.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    residual: Residual,
    residual_scale: f32,
    pub(crate) mixer: Mixer,
    mixer_norms: SublayerNorms,
    mlp: Mlp,
    mlp_norms: SublayerNorms,
}

/// Norms around a half of a layer.
#[derive(Debug, Clone)]
struct SublayerNorms {
    before: Option<Norm>,
    after: Option<Norm>,
    residual: Option<Norm>,
}

impl Layer {
    /// Loads layer `index`.
    pub(crate) fn load(
        config: &ModelConfig,
        index: usize,
        modules: &mut LoadedModules,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            residual: config.residual,
            residual_scale: config.scalars.residual_scale as f32,
            mixer: Mixer::load(config, index, modules)?,
            mixer_norms: SublayerNorms::load(Sublayer::Mixer, index, modules),
            mlp: Mlp::load(config, index, modules)?,
            mlp_norms: SublayerNorms::load(Sublayer::Mlp, index, modules),
        })
    }

    /// Returns the module with `role` in the layer, or `None` for roles outside of layers.
    pub(crate) fn module_mut(&mut self, role: Role) -> Option<ModuleMut<'_>> {
        match role {
            Role::Attention(part) => match &mut self.mixer {
                Mixer::Attention(attention) => attention.module_mut(part),
            },
            Role::Mlp(part) => self.mlp.module_mut(part),
            Role::Norm(Sublayer::Mixer, place) => self.mixer_norms.norm_mut(place),
            Role::Norm(Sublayer::Mlp, place) => self.mlp_norms.norm_mut(place),
            Role::Embedding
            | Role::PositionEmbedding
            | Role::TokenTypeEmbedding
            | Role::EmbeddingNorm
            | Role::FinalNorm
            | Role::LmHead
            | Role::Pooler
            | Role::Classifier => None,
        }
    }

    /// Returns the linear layer with `role` in the layer, or `None` for other roles.
    pub(crate) fn linear(&self, role: Role) -> Option<&Linear> {
        match role {
            Role::Attention(part) => match &self.mixer {
                Mixer::Attention(attention) => attention.linear(part),
            },
            Role::Mlp(part) => self.mlp.linear(part),
            Role::Embedding
            | Role::PositionEmbedding
            | Role::TokenTypeEmbedding
            | Role::EmbeddingNorm
            | Role::Norm(..)
            | Role::FinalNorm
            | Role::LmHead
            | Role::Pooler
            | Role::Classifier => None,
        }
    }

    /// Computes the residual stream after the layer. With `known`, the batch is one row that continues the cached text and is appended to the cache.
    pub(crate) fn forward(
        &self,
        hidden: Tensor<2>,
        pass: &Pass,
        known: Option<&mut LayerCache>,
    ) -> Tensor<2> {
        let (mixer_norms, mlp_norms) = (&self.mixer_norms, &self.mlp_norms);
        let read = mixer_norms.read(hidden.clone(), self.mixer.dtype());
        let scale = self.residual_scale;
        match self.residual {
            Residual::Sequential => {
                let hidden = mixer_norms.add(hidden, self.mixer.forward(read, pass, known), scale);
                let read = mlp_norms.read(hidden.clone(), self.mlp.dtype());
                mlp_norms.add(hidden, self.mlp.forward(read, pass.mode), scale)
            }
            Residual::Parallel => {
                let for_mlp = match mlp_norms.before {
                    None => read.clone(),
                    Some(_) => mlp_norms.read(hidden.clone(), self.mlp.dtype()),
                };
                let hidden = mixer_norms.add(hidden, self.mixer.forward(read, pass, known), scale);
                mlp_norms.add(hidden, self.mlp.forward(for_mlp, pass.mode), scale)
            }
        }
    }
}

impl SublayerNorms {
    fn load(sublayer: Sublayer, index: usize, modules: &mut LoadedModules) -> Self {
        let mut norm = |place| modules.norm(Some(index), Role::Norm(sublayer, place));
        Self {
            before: norm(NormPlace::Before),
            after: norm(NormPlace::After),
            residual: norm(NormPlace::Residual),
        }
    }

    fn norm_mut(&mut self, place: NormPlace) -> Option<ModuleMut<'_>> {
        let norm = match place {
            NormPlace::Before => &mut self.before,
            NormPlace::After => &mut self.after,
            NormPlace::Residual => &mut self.residual,
        };
        norm.as_mut().map(ModuleMut::Norm)
    }

    /// Returns the input of the half whose weights are of `dtype`.
    fn read(&self, hidden: Tensor<2>, dtype: Option<FloatDType>) -> Tensor<2> {
        // Linear layers need numbers of their weights' type also if there is no norm to convert them.
        let read = Norm::apply(&self.before, hidden);
        match dtype {
            Some(dtype) => cast(read, dtype),
            None => read,
        }
    }

    /// Returns the residual stream plus `scale` times the half's output.
    fn add(&self, hidden: Tensor<2>, change: Tensor<2>, scale: f32) -> Tensor<2> {
        let change = to_f32(Norm::apply(&self.after, change));
        let change = if scale == 1.0 { change } else { change * scale };
        to_f32(Norm::apply(&self.residual, hidden + change))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::{ForwardMode, Model, Tokens};

    fn config(residual: Residual) -> ModelConfig {
        let json = r#"{
            "model_type": "llama", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
            "num_attention_heads": 2
        }"#;
        ModelConfig { residual, ..ModelConfig::from_json(json, "config.json").expect("a configuration") }
    }

    /// Computes the output of the layer of a random model, with the weights whose names end in one of `silent` set to zero.
    fn output(config: ModelConfig, silent: &[&str]) -> Vec<f32> {
        let mut model = Model::random(config, 0.5, 7, &Device::flex()).expect("a model");
        model.visit_weights(&mut |name, mut parameter| {
            if silent.iter().any(|end| name.ends_with(end)) {
                let count = parameter.shape().num_elements();
                parameter.assign_host(vec![0.0; count], &Device::flex());
            }
        });
        let tokens = Tokens::single(vec![3, 1, 4, 1, 5]);
        let hidden = model.hidden_states(&tokens, ForwardMode::Evaluation).expect("hidden states");
        hidden.into_data().iter::<f32>().collect()
    }

    /// Returns the largest difference between the whole output and the stream plus what each half adds alone.
    fn interplay(residual: Residual) -> f32 {
        let (o, down) = ("o_proj.weight", "down_proj.weight");
        let of = |silent: &[&str]| output(config(residual), silent);
        let (whole, mixed, changed, stream) = (of(&[]), of(&[down]), of(&[o]), of(&[o, down]));
        let away = (0..whole.len()).map(|at| whole[at] - mixed[at] - changed[at] + stream[at]);
        away.fold(0.0, |most, away| most.max(away.abs()))
    }

    #[test]
    fn parallel_halves_read_the_same_stream() {
        assert!(interplay(Residual::Parallel) < 1e-4, "{}", interplay(Residual::Parallel));
        assert!(interplay(Residual::Sequential) > 1e-2, "{}", interplay(Residual::Sequential));
    }

    #[test]
    fn an_mlp_without_a_norm_reads_what_the_mixer_reads() {
        let two_norms = config(Residual::Parallel);
        let mut one_norm = two_norms.clone();
        one_norm.names.mlp.norm_before = None;
        // Both norms are initialised with ones.
        assert_eq!(output(one_norm, &[]), output(two_norms, &[]));
    }
}
