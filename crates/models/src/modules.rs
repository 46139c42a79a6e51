//! The model's linear layers and learning tensors by their Hugging Face names.

use burn::tensor::Tensor;

use crate::{Linear, Llama, Parameter, Weight, llama::Layer};

impl Layer {
    /// Each linear layer with its path inside the block, in the order of the forward pass.
    pub(crate) fn linears(&self) -> [(&'static str, &Linear); 7] {
        [
            ("self_attn.q_proj", &self.q_proj),
            ("self_attn.k_proj", &self.k_proj),
            ("self_attn.v_proj", &self.v_proj),
            ("self_attn.o_proj", &self.o_proj),
            ("mlp.gate_proj", &self.gate_proj),
            ("mlp.up_proj", &self.up_proj),
            ("mlp.down_proj", &self.down_proj),
        ]
    }

    /// As [`Self::linears`].
    pub(crate) fn linears_mut(&mut self) -> [(&'static str, &mut Linear); 7] {
        [
            ("self_attn.q_proj", &mut self.q_proj),
            ("self_attn.k_proj", &mut self.k_proj),
            ("self_attn.v_proj", &mut self.v_proj),
            ("self_attn.o_proj", &mut self.o_proj),
            ("mlp.gate_proj", &mut self.gate_proj),
            ("mlp.up_proj", &mut self.up_proj),
            ("mlp.down_proj", &mut self.down_proj),
        ]
    }
}

impl Llama {
    /// Every linear layer of the blocks with its path (`model.layers.0.self_attn.q_proj`).
    pub fn linears(&self) -> impl Iterator<Item = (String, &Linear)> {
        self.layers
            .iter()
            .enumerate()
            .flat_map(|(index, layer)| layer.linears().map(|(part, linear)| (path(index, part), linear)))
    }

    /// As [`Llama::linears`], with the block's number.
    pub(crate) fn linears_mut(&mut self) -> impl Iterator<Item = (usize, String, &mut Linear)> {
        self.layers.iter_mut().enumerate().flat_map(|(index, layer)| {
            layer.linears_mut().map(|(part, linear)| (index, path(index, part), linear))
        })
    }

    /// Calls `visit` with the name and the tensor of everything that learns: adapters' `A` and `B` (by the module's path and
    /// `lora_A` or `lora_B`), or every weight by its checkpoint name after [`Llama::finetune_all`].
    pub fn visit_parameters(&mut self, visit: &mut dyn FnMut(&str, Parameter<'_>)) {
        if self.learns_whole {
            self.visit_weights(visit);
            return;
        }
        for (_, path, linear) in self.linears_mut() {
            if let Some(lora) = &mut linear.lora {
                visit(&format!("{path}.lora_A"), Parameter::Matrix(&mut lora.a));
                visit(&format!("{path}.lora_B"), Parameter::Matrix(&mut lora.b));
            }
        }
    }

    /// Calls `visit` with every weight of the base by its checkpoint name. Packed ones are left out: they cannot learn.
    pub fn visit_weights(&mut self, visit: &mut dyn FnMut(&str, Parameter<'_>)) {
        visit("model.embed_tokens.weight", Parameter::Matrix(&mut self.embed_tokens));
        for (index, layer) in self.layers.iter_mut().enumerate() {
            for (part, linear) in layer.linears_mut() {
                let path = path(index, part);
                if let Weight::Dense(weight) = &mut linear.weight {
                    visit(&format!("{path}.weight"), Parameter::Matrix(weight));
                }
                if let Some(bias) = &mut linear.bias {
                    visit(&format!("{path}.bias"), Parameter::Vector(bias));
                }
            }
            let mut norm = |part: &str, weight: &mut Tensor<1>| {
                visit(&path(index, part), Parameter::Vector(weight));
            };
            norm("input_layernorm.weight", &mut layer.input_layernorm);
            norm("post_attention_layernorm.weight", &mut layer.post_attention_layernorm);
        }
        visit("model.norm.weight", Parameter::Vector(&mut self.norm));
        if let Some(head) = &mut self.lm_head {
            visit("lm_head.weight", Parameter::Matrix(head));
        }
    }

    /// Makes every weight learn: full fine-tuning, without adapters.
    pub fn finetune_all(&mut self) {
        self.learns_whole = true;
    }

    /// `(trainable, all)` parameters as PEFT counts them: adapters count among all.
    pub fn parameter_counts(&mut self) -> (usize, usize) {
        let mut trainable = 0;
        self.visit_parameters(&mut |_, p| trainable += p.shape().num_elements());
        let mut all = 0;
        self.visit_weights(&mut |_, p| all += p.shape().num_elements());
        for (_, linear) in self.linears() {
            if let Weight::Packed { form, .. } = &linear.weight {
                all += form.size_in * form.size_out;
            }
        }
        (trainable, if self.learns_whole { all } else { all + trainable })
    }
}

fn path(index: usize, part: &str) -> String {
    format!("model.layers.{index}.{part}")
}
