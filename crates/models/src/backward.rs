//! Loss and gradients of a batch, computed through the whole model at once or a layer at a time.

use burn::tensor::{Gradients, Tensor};

use crate::{ForwardMode, Model, ModelError, Parameter, Targets, Tokens};

/// Gradients of a batch, in one graph or in one graph for each layer.
pub struct BatchGradients(Vec<Gradients>);

impl BatchGradients {
    /// Removes and returns a parameter's gradient, all elements row by row, or `None` if the loss does not depend on it. The parameter must still be
    /// the leaf that it was when the gradients were computed.
    pub fn take(&mut self, parameter: &Parameter<'_>) -> Option<Tensor<1>> {
        let found = self.0.iter_mut().filter_map(|gradients| parameter.gradient(gradients));
        // A weight that serves as embedding and as head has one gradient of each.
        found.reduce(|sum, gradient| sum + gradient)
    }
}

impl Model {
    /// Computes the loss of a batch, `[1]`, and the gradients of all trainable parameters, whose tensors are leaves of a graph from then on until
    /// [`Model::untrack`]. `loss` computes it from the residual stream `[batch * seq, hidden]`.
    ///
    /// With `checkpointing`, only the input of each layer is kept, and the rest is recomputed in the backward pass, a layer at a time. This takes
    /// memory for one layer's activations instead of all, and a third more time (Chen et al., 2016).
    ///
    /// # Errors
    ///
    /// The errors of [`Model::hidden_states`] and of `loss`.
    pub fn backward(
        &mut self,
        tokens: &Tokens,
        mode: ForwardMode,
        checkpointing: bool,
        loss: impl FnOnce(&Self, Tensor<2>) -> Result<Tensor<1>, ModelError>,
    ) -> Result<(Tensor<1>, BatchGradients), ModelError> {
        if !checkpointing {
            self.track();
            let loss = loss(self, self.hidden_states(tokens, mode)?)?;
            let gradients = loss.backward();
            return Ok((loss.inner(), BatchGradients(vec![gradients])));
        }
        self.check(tokens)?;
        self.untrack();
        let pass = self.pass(tokens, mode);
        let mut hidden = self.noisy(self.embed(tokens), tokens, mode);
        let mut inputs = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            inputs.push(hidden.clone());
            hidden = layer.forward(hidden, &pass, None);
        }

        self.track();
        let hidden = Tensor::from_inner(hidden).require_grad();
        let loss = loss(self, hidden.clone())?;
        let mut graphs = vec![loss.backward()];
        let mut flowing = taken(&hidden, &mut graphs);
        for (layer, input) in self.layers.iter().zip(inputs).rev() {
            let input = Tensor::from_inner(input).require_grad();
            let output = layer.forward(input.clone(), &pass, None);
            // The gradient of this sum with respect to `output` is the gradient that flows back into it.
            graphs.push((output * Tensor::from_inner(flowing)).sum().backward());
            flowing = taken(&input, &mut graphs);
        }
        if self.embedding_trains() {
            graphs.push((self.embed(tokens) * Tensor::from_inner(flowing)).sum().backward());
        }
        Ok((loss.inner(), BatchGradients(graphs)))
    }

    /// Like [`Model::backward`], with the loss of [`Model::loss`] divided by `divisor`.
    ///
    /// # Errors
    ///
    /// The errors of [`Model::hidden_states`] and [`Model::loss`].
    pub fn loss_and_gradients<'t>(
        &mut self,
        tokens: &Tokens,
        mode: ForwardMode,
        rows: &[i32],
        targets: impl Into<Targets<'t>>,
        divisor: f32,
        checkpointing: bool,
    ) -> Result<(Tensor<1>, BatchGradients), ModelError> {
        let targets = targets.into();
        self.backward(tokens, mode, checkpointing, |model, hidden| {
            Ok(model.loss_in(mode, hidden, rows, targets)? / divisor)
        })
    }
}

/// Returns the gradient of a leaf of the last graph.
fn taken(leaf: &Tensor<2>, graphs: &mut [Gradients]) -> Tensor<2> {
    let gradient = graphs.last_mut().and_then(|gradients| leaf.grad_remove(gradients));
    gradient.unwrap_or_else(|| leaf.clone().inner().zeros_like())
}
