//! The scalars of an AdamW step.

/// Hyperparameters and number of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay of the running mean of gradients.
    pub beta1: f64,
    /// Decay of the running mean of squared gradients.
    pub beta2: f64,
    /// Number added to the denominator to keep it away from zero.
    pub epsilon: f32,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Number of the step, counted from 1.
    pub step: u32,
    /// Factor of the gradient, applied before everything else: one over the loss scale.
    pub unscale: f32,
    /// Largest global norm of the gradient over all vectors; 0 disables clipping.
    pub max_grad_norm: f32,
}

impl AdamWStep {
    /// Returns the factor of the parameters by decoupled weight decay: `1 - lr·λ`.
    pub fn keep(&self) -> f32 {
        (1.0 - self.lr * self.weight_decay) as f32
    }

    /// Returns the bias-corrected learning rate: `lr / (1 - β₁ᵗ)`.
    pub fn rate(&self) -> f32 {
        (self.lr / (1.0 - self.beta1.powi(self.step as i32))) as f32
    }

    /// Returns the bias correction of the second moment's root: `1 / sqrt(1 - β₂ᵗ)`.
    pub fn inverse_root_correction2(&self) -> f32 {
        (1.0 / (1.0 - self.beta2.powi(self.step as i32)).sqrt()) as f32
    }
}
