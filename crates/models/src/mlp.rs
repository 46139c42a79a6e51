//! MLP of a layer, the half that changes each token by itself.

use burn::tensor::{FloatDType, Tensor, activation};
use lorelei_formats::{
    ModelConfig,
    config::{Activation, MlpPart, Role},
};
use lorelei_kernels as kernels;

use crate::{ForwardMode, Linear, ModelError, load::LoadedModules, modules::ModuleMut};

/// Projections and activation of an MLP.
#[derive(Debug, Clone)]
pub(crate) struct Mlp {
    /// Projections to gate and up, one projection to both, or the only input projection.
    input: Vec<Linear>,
    output: Linear,
    /// Whether the activation is multiplied by a second projection of the input.
    gated: bool,
    activation: Activation,
    intermediate_size: usize,
}

impl Mlp {
    /// Loads the MLP of layer `index`.
    pub(crate) fn load(
        config: &ModelConfig,
        index: usize,
        modules: &mut LoadedModules,
    ) -> Result<Self, ModelError> {
        let mut linear = |part| modules.linear(Some(index), Role::Mlp(part));
        let parts = [MlpPart::GateUp, MlpPart::Gate, MlpPart::Up, MlpPart::Input];
        let input = parts.into_iter().filter_map(&mut linear).collect();
        let output =
            linear(MlpPart::Output).ok_or_else(|| LoadedModules::lacks(Role::Mlp(MlpPart::Output)))?;
        Ok(Self {
            input,
            output,
            gated: config.gated,
            activation: config.activation,
            intermediate_size: config.intermediate_size,
        })
    }

    /// Returns the module with the role `part`.
    pub(crate) fn module_mut(&mut self, part: MlpPart) -> Option<ModuleMut<'_>> {
        let linear = match part {
            MlpPart::GateUp | MlpPart::Gate | MlpPart::Input => self.input.first_mut(),
            MlpPart::Up => self.input.get_mut(1),
            MlpPart::Output => Some(&mut self.output),
        };
        linear.map(ModuleMut::Linear)
    }

    /// Returns the linear layer with the role `part`.
    pub(crate) fn linear(&self, part: MlpPart) -> Option<&Linear> {
        match part {
            MlpPart::GateUp | MlpPart::Gate | MlpPart::Input => self.input.first(),
            MlpPart::Up => self.input.get(1),
            MlpPart::Output => Some(&self.output),
        }
    }

    /// Returns the type of the weights, or `None` if they are packed.
    pub(crate) fn dtype(&self) -> Option<FloatDType> {
        self.output.dtype()
    }

    /// Maps `x [n, hidden]` to `[n, hidden]`.
    pub(crate) fn forward(&self, x: Tensor<2>, mode: ForwardMode) -> Tensor<2> {
        let wide = self.intermediate_size;
        let parts: Vec<Tensor<2>> = self.input.iter().map(|linear| linear.forward(x.clone(), mode)).collect();
        let active = if self.gated {
            let [gate, up] = split(parts, [wide; 2]);
            match self.activation {
                Activation::Silu => kernels::swiglu(gate, up),
                other => activated(gate, other) * up,
            }
        } else {
            let [x] = split(parts, [wide]);
            activated(x, self.activation)
        };
        self.output.forward(active, mode)
    }
}

/// Splits the output of one fused layer, or returns the outputs of several layers: `[n, size]` for each of `sizes`.
pub(crate) fn split<const N: usize>(parts: Vec<Tensor<2>>, sizes: [usize; N]) -> [Tensor<2>; N] {
    match <[Tensor<2>; N]>::try_from(parts) {
        Ok(parts) => parts,
        Err(fused) => {
            let mut from = 0;
            sizes.map(|size| {
                let part = fused[0].clone().slice_dim(1, from..from + size);
                from += size;
                part
            })
        }
    }
}

fn activated(x: Tensor<2>, kind: Activation) -> Tensor<2> {
    match kind {
        Activation::Silu => activation::silu(x),
        // burn's own function has the gradient of its approximation.
        Activation::Gelu => x.clone() * 0.5 * ((x / std::f64::consts::SQRT_2).erf() + 1.0),
        Activation::Relu => activation::relu(x),
        Activation::GeluTanh => {
            // Hendrycks and Gimpel, 2016.
            let cubic = x.clone() * x.clone() * x.clone() * 0.044_715;
            let inner = (x.clone() + cubic) * (2.0 / std::f64::consts::PI).sqrt();
            x * 0.5 * (inner.tanh() + 1.0)
        }
    }
}
