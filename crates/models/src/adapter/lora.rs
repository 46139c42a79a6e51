//! LoRA (Hu et al., 2021) on a linear layer, as in PEFT.

use burn::tensor::Tensor;
use lorelei_formats::AdapterPart;
use lorelei_kernels::Dropout;
use lorelei_recipe::{InitLoraWeights, LoraConfig};

use super::AdapterPlace;
use crate::{
    Dora, ForwardMode, Linear, Parameter, ParameterTraits, Weight,
    init::{Draw, fnv1a},
    precision::{cast, dtype, to_f32},
};

/// The addition `s·drop(x)·Aᵀ·Bᵀ` to a linear layer's output for `x`.
#[derive(Debug, Clone)]
pub struct LoraAdapter {
    /// Matrix `A` `[r, in]`.
    pub a: Tensor<2>,
    /// Matrix `B` `[out, r]`.
    pub b: Tensor<2>,
    /// Bias `[out]` of `B`, with `lora_bias`.
    pub bias: Option<Tensor<1>>,
    /// Magnitudes of DoRA, with `use_dora`.
    pub dora: Option<Dora>,
    /// Initial `(A, B)` that were subtracted from the base weight (PiSSA, OLoRA).
    pub beginning: Option<(Tensor<2>, Tensor<2>)>,
    /// Factor `s`: `lora_alpha / r`, or `lora_alpha / sqrt(r)` with rsLoRA.
    pub scale: f32,
    /// Probability that an element of the adapter's input is dropped in training.
    pub dropout: f32,
    /// Number that makes this adapter's dropout masks differ from those of other adapters.
    pub dropout_stream: u64,
}

impl LoraAdapter {
    /// Creates an adapter with `A` random and `B` zero, or initialised by `init_lora_weights`.
    pub(super) fn fresh(config: &LoraConfig, place: AdapterPlace<'_>, weight: &Weight) -> Self {
        let AdapterPlace { path, rank, seed, device } = place;
        let (size_in, size_out) = weight.sizes();
        let draw = Draw::new(seed, path);
        let bound = 1.0 / (size_in as f64).sqrt();
        let a = match config.init_lora_weights {
            InitLoraWeights::Gaussian => {
                draw.tensor([rank, size_in], device, |draw| draw.normal(1.0 / rank as f64))
            }
            InitLoraWeights::Bool(_) | InitLoraWeights::Pissa(_) | InitLoraWeights::Olora => {
                draw.tensor([rank, size_in], device, |draw| draw.uniform(bound))
            }
        };
        // PEFT keeps torch.nn.Linear's initialisation of `B`, or sets it to zero.
        let is_random = config.init_lora_weights == InitLoraWeights::Bool(false);
        let bound = 1.0 / (rank as f64).sqrt();
        let b = match is_random {
            true => {
                let draw = Draw::new(seed, &AdapterPart::LoraB.parameter(path));
                draw.tensor([size_out, rank], device, |draw| draw.uniform(bound))
            }
            false => Tensor::zeros([size_out, rank], device),
        };
        let bias = config.lora_bias.then(|| match is_random {
            true => {
                let draw = Draw::new(seed, &AdapterPart::LoraBBias.parameter(path));
                draw.tensor([size_out], device, |draw| draw.uniform(bound))
            }
            false => Tensor::zeros([size_out], device),
        });
        let mut lora = Self {
            a,
            b,
            bias,
            dora: None,
            beginning: None,
            scale: config.scaling(path) as f32,
            dropout: config.lora_dropout as f32,
            dropout_stream: fnv1a(path),
        };
        lora.dora = config.use_dora.then(|| Dora::new(weight, &lora));
        lora
    }

    /// Initialises the adapter with `a` and `b`, and subtracts their product from the layer's weight.
    pub(crate) fn begin_as(&mut self, a: Tensor<2>, b: Tensor<2>, weight: &mut Weight) {
        *weight = weight.plus(b.clone().matmul(a.clone()) * -self.scale);
        (self.a, self.b) = (a.clone(), b.clone());
        self.beginning = Some((a, b));
        self.dora = self.dora.is_some().then(|| Dora::new(weight, self));
    }

    pub(super) fn forward(&self, weight: &Weight, x: Tensor<2>, mode: ForwardMode) -> Tensor<2> {
        let y = weight.adapted(x, self, self.dropout_of(mode));
        let dtype = dtype(&y);
        let y = match &self.dora {
            None => y,
            Some(dora) => y * cast(dora.factors(weight, self), dtype),
        };
        match &self.bias {
            None => y,
            Some(bias) => y + cast(bias.clone().unsqueeze() * self.scale, dtype),
        }
    }

    pub(super) fn visit(&mut self, path: &str, visit: &mut dyn FnMut(&str, Parameter<'_>)) {
        visit(&AdapterPart::LoraA.parameter(path), Parameter::matrix(&mut self.a));
        let b = Parameter::matrix(&mut self.b).with(ParameterTraits { decays: true, loraplus: true });
        visit(&AdapterPart::LoraB.parameter(path), b);
        if let Some(bias) = &mut self.bias {
            visit(&AdapterPart::LoraBBias.parameter(path), Parameter::vector(bias));
        }
        if let Some(dora) = &mut self.dora {
            // Transformers excludes biases and norms from the decay by their names, and a magnitude has neither name.
            let traits = ParameterTraits { decays: true, loraplus: true };
            let magnitude = Parameter::vector(&mut dora.magnitude).with(traits);
            visit(&AdapterPart::MagnitudeVector.parameter(path), magnitude);
        }
    }

    pub(super) fn merge(self, linear: &mut Linear) {
        let factors = self.dora.as_ref().map(|dora| dora.factors(&linear.weight, &self));
        let change = self.b.matmul(self.a) * self.scale;
        linear.weight = match factors {
            None => linear.weight.plus(change),
            Some(factors) => {
                let dense = linear.weight.dense();
                let dtype = dtype(&dense);
                Weight::Dense(cast((to_f32(dense) + change) * factors.transpose(), dtype))
            }
        };
        if let Some(bias) = self.bias.map(|bias| bias * self.scale) {
            linear.bias = Some(match linear.bias.take() {
                None => cast(bias, dtype(&linear.weight.dense())),
                Some(own) => cast(to_f32(own.clone()) + bias, dtype(&own)),
            });
        }
    }

    fn dropout_of(&self, mode: ForwardMode) -> Dropout {
        match mode {
            ForwardMode::Training { dropout_seed } if self.dropout > 0.0 => Dropout {
                p: self.dropout,
                // An odd multiplier keeps the streams of neighbouring adapters and steps apart.
                seed: dropout_seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(self.dropout_stream),
            },
            ForwardMode::Training { .. } | ForwardMode::Evaluation => Dropout::NONE,
        }
    }
}
