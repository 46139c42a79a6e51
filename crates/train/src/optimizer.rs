//! The optimizer over the learning tensors laid end to end, so that norms, clipping and AdamW's update are a few operations however many
//! adapters there are. The other optimizers' updates are in `optimizers`.

use burn::tensor::{Device, Tensor, TensorData};
use lorelei_kernels::{AdamWStep, adamw};
use lorelei_models::{BatchGradients, Model, Parameter, ParameterTraits};
use lorelei_recipe::{Optimizer as Kind, TrainingArguments};

use crate::{
    Checkpoint, TrainError,
    optimizers::{Span, Update, update},
};

/// What the parameters of a group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Traits {
    /// Whether weight decay applies.
    decays: bool,
    /// Whether LoRA+'s ratio applies: to `B` and to vectors, as PEFT's `create_loraplus_optimizer` has it.
    fast: bool,
}

impl Traits {
    const ALL: [Self; 4] = [
        Self { decays: true, fast: false },
        Self { decays: true, fast: true },
        Self { decays: false, fast: false },
        Self { decays: false, fast: true },
    ];

    fn of(parameter: &Parameter<'_>, plus: Option<f64>) -> Self {
        let ParameterTraits { decays, loraplus } = parameter.traits();
        Self { decays, fast: plus.is_some() && loraplus }
    }
}

/// Parameters with one weight decay and one learning rate, end to end.
struct Group {
    traits: Traits,
    spans: Vec<Span>,
    theta: Tensor<1>,
    /// AdamW's first moments; see [`Span`] for the others.
    m: Tensor<1>,
    /// AdamW's second moments.
    v: Tensor<1>,
    /// Sum of the gradients since the last step.
    grad: Option<Tensor<1>>,
    /// That of the last step, to look into where its norm is not finite.
    last_grad: Option<Tensor<1>>,
}

/// The optimizer with clipping by global norm, as Transformers' `Trainer` runs it.
pub struct Optimizer {
    kind: Kind,
    loraplus_lr_ratio: Option<f64>,
    groups: Vec<Group>,
    step: u32,
    weight_decay: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    max_grad_norm: f64,
}

/// What is kept of the past by parameter name, for a checkpoint: of AdamW `(exp_avg, exp_avg_sq)`, on the host. Other optimizers keep
/// less, and what one does not keep is empty.
pub type Moments = Vec<(String, Vec<f32>, Vec<f32>)>;

impl Optimizer {
    /// Takes over the present values of everything in `model` that learns.
    pub fn new(model: &mut Model, arguments: &TrainingArguments) -> Self {
        let device = model.device().clone();
        let mut groups = Vec::new();
        for traits in Traits::ALL {
            let (mut spans, mut values) = (Vec::<Span>::new(), Vec::new());
            let (mut total, mut state) = (0, [0, 0]);
            model.visit_parameters(&mut |name, parameter| {
                if Traits::of(&parameter, arguments.loraplus_lr_ratio) == traits {
                    let span = Span::new(arguments.optim, name, &parameter.shape(), total, state);
                    (total, state) = (span.elements.end, [span.state[0].end, span.state[1].end]);
                    spans.push(span);
                    values.push(parameter.flat());
                }
            });
            if total > 0 {
                // A tensor has an element at least.
                let [m, v] = state.map(|size| Tensor::zeros([size.max(1)], &device));
                let theta = Tensor::cat(values, 0);
                groups.push(Group { traits, spans, theta, m, v, grad: None, last_grad: None });
            }
        }
        Self {
            kind: arguments.optim,
            loraplus_lr_ratio: arguments.loraplus_lr_ratio,
            groups,
            step: 0,
            weight_decay: arguments.weight_decay,
            beta1: arguments.adam_beta1,
            beta2: arguments.adam_beta2,
            epsilon: arguments.adam_epsilon,
            max_grad_norm: arguments.max_grad_norm,
        }
    }

    /// Adds the gradients of one micro-batch. The model's parameters must still be the leaves of that graph.
    pub fn accumulate(&mut self, model: &mut Model, gradients: &mut BatchGradients) {
        let device = model.device().clone();
        for group in &mut self.groups {
            let mut parts = Vec::with_capacity(group.spans.len());
            let plus = self.loraplus_lr_ratio;
            model.visit_parameters(&mut |_, parameter: Parameter<'_>| {
                if Traits::of(&parameter, plus) == group.traits {
                    let count = parameter.shape().num_elements();
                    let grad = gradients.take(&parameter);
                    parts.push(grad.unwrap_or_else(|| Tensor::zeros([count], &device)));
                }
            });
            let grad = Tensor::cat(parts, 0);
            group.grad = Some(match group.grad.take() {
                None => grad,
                Some(sum) => sum + grad,
            });
        }
    }

    /// The global norm of the gradients as they were accumulated, `[1]`, still on the device.
    pub fn gradient_norm(&self, device: &Device) -> Tensor<1> {
        let squares =
            self.groups.iter().filter_map(|group| group.grad.clone()).map(|grad| (grad.clone() * grad).sum());
        squares.reduce(|sum, square| sum + square).unwrap_or_else(|| Tensor::zeros([1], device)).sqrt()
    }

    /// Forgets the gradients: a step that is not taken.
    pub fn skip(&mut self) {
        self.groups.iter_mut().for_each(|group| group.last_grad = group.grad.take());
    }

    /// Divides the gradients by `loss_scale`, clips them by their norm (as [`Self::gradient_norm`] gave it), updates, writes the new values into
    /// `model` and forgets the gradients. Where the norm is not finite, the values stay as they were.
    pub fn step(&mut self, model: &mut Model, learning_rate: f64, norm: &Tensor<1>, loss_scale: f64) {
        self.step += 1;
        let device = model.device().clone();
        for group in &mut self.groups {
            let Some(grad) = group.grad.take() else { continue };
            group.last_grad = Some(grad.clone());
            let ratio = self.loraplus_lr_ratio.filter(|_| group.traits.fast).unwrap_or(1.0);
            let learning_rate = learning_rate * ratio;
            let weight_decay = if group.traits.decays { self.weight_decay } else { 0.0 };
            let take = |tensor: &mut Tensor<1>| std::mem::replace(tensor, Tensor::empty([1], &device));
            let (theta, m, v) = (take(&mut group.theta), take(&mut group.m), take(&mut group.v));
            if !matches!(self.kind, Kind::AdamwTorch | Kind::AdamwTorchFused) {
                let grad = clipped(grad / loss_scale, &(norm.clone() / loss_scale), self.max_grad_norm);
                let (beta1, beta2, step) = (self.beta1, self.beta2, self.step);
                let rule = Update { kind: self.kind, lr: learning_rate, beta1, beta2, weight_decay, step };
                (group.theta, [group.m, group.v]) = update(rule, &group.spans, theta, [m, v], grad);
                continue;
            }
            let step = AdamWStep {
                lr: learning_rate,
                beta1: self.beta1,
                beta2: self.beta2,
                epsilon: self.epsilon as f32,
                weight_decay,
                step: self.step,
                unscale: (1.0 / loss_scale) as f32,
                max_grad_norm: self.max_grad_norm as f32,
            };
            (group.theta, group.m, group.v) = adamw(theta, m, v, grad, norm.clone(), step);
        }
        self.write(model);
    }

    /// The first parameter whose gradient at the last step is not finite, and one of its values that is not.
    ///
    /// # Errors
    ///
    /// If the device cannot be read.
    pub async fn broken_gradient(&self) -> Result<Option<(String, f64)>, String> {
        for group in &self.groups {
            let Some(grad) = &group.last_grad else { continue };
            let values = host(grad).await?;
            for Span { name, elements, .. } in &group.spans {
                if let Some(bad) = values[elements.clone()].iter().find(|value| !value.is_finite()) {
                    return Ok(Some((name.clone(), f64::from(*bad))));
                }
            }
        }
        Ok(None)
    }

    /// Writes the values into the model.
    fn write(&self, model: &mut Model) {
        for group in &self.groups {
            let mut spans = group.spans.iter();
            model.visit_parameters(&mut |_, mut parameter| {
                if Traits::of(&parameter, self.loraplus_lr_ratio) == group.traits
                    && let Some(span) = spans.next()
                {
                    let values = group.theta.clone().narrow(0, span.elements.start, span.elements.len());
                    parameter.assign(values);
                }
            });
        }
    }

    /// Takes over a checkpoint's moments and step.
    ///
    /// # Errors
    ///
    /// If it has no moments for a parameter, or of another size; then nothing is taken over.
    pub fn restore(&mut self, checkpoint: &Checkpoint, device: &Device) -> Result<(), TrainError> {
        let mut restored = Vec::new();
        for group in &self.groups {
            let (mut m, mut v) = (Vec::new(), Vec::new());
            for Span { name, state, .. } in &group.spans {
                let found = checkpoint.moments.iter().find(|(known, ..)| known == name);
                let empty = (name.clone(), Vec::new(), Vec::new());
                let keeps = !(state[0].is_empty() && state[1].is_empty());
                let (_, mean, square) = match found {
                    None if keeps => {
                        return Err(TrainError::Checkpoint(format!("it has no moments of {name}")));
                    }
                    None => &empty,
                    Some(found) => found,
                };
                if mean.len() != state[0].len() || square.len() != state[1].len() {
                    let (found, count) = (mean.len() + square.len(), state[0].len() + state[1].len());
                    return Err(TrainError::Checkpoint(format!(
                        "of {name} it has {found} numbers for the optimizer, which keeps {count}"
                    )));
                }
                m.extend_from_slice(mean);
                v.extend_from_slice(square);
            }
            let tensor = |mut values: Vec<f32>| {
                values.resize(values.len().max(1), 0.0);
                let count = values.len();
                Tensor::<1>::from_data(TensorData::new(values, [count]), device)
            };
            restored.push((tensor(m), tensor(v)));
        }
        for (group, (m, v)) in self.groups.iter_mut().zip(restored) {
            (group.m, group.v) = (m, v);
        }
        self.step = checkpoint.step as u32;
        Ok(())
    }

    /// The moments on the host.
    ///
    /// # Errors
    ///
    /// If the device cannot be read.
    pub async fn moments(&self) -> Result<Moments, String> {
        let mut moments = Vec::new();
        for group in &self.groups {
            let m = host(&group.m).await?;
            let v = host(&group.v).await?;
            for Span { name, state: [first, second], .. } in &group.spans {
                moments.push((name.clone(), m[first.clone()].to_vec(), v[second.clone()].to_vec()));
            }
        }
        Ok(moments)
    }

    /// Puts values by name, as [`Self::values`] gave them, in the place of the present ones, here and in `model`.
    pub fn set_values(&mut self, model: &mut Model, values: &[(String, Vec<f32>)]) {
        let device = model.device().clone();
        for group in &mut self.groups {
            let of =
                |span: &Span| values.iter().find(|(name, _)| *name == span.name).map(|(_, values)| values);
            let found: Option<Vec<&Vec<f32>>> = group.spans.iter().map(of).collect();
            let Some(found) = found else { continue };
            let flat: Vec<f32> = found.into_iter().flatten().copied().collect();
            if flat.len() == group.theta.dims()[0] {
                let count = flat.len();
                group.theta = Tensor::from_data(TensorData::new(flat, [count]), &device);
            }
        }
        self.write(model);
    }

    /// The values on the host, by name.
    ///
    /// # Errors
    ///
    /// If the device cannot be read.
    pub async fn values(&self) -> Result<Vec<(String, Vec<f32>)>, String> {
        let mut values = Vec::new();
        for group in &self.groups {
            let theta = host(&group.theta).await?;
            for span in &group.spans {
                values.push((span.name.clone(), theta[span.elements.clone()].to_vec()));
            }
        }
        Ok(values)
    }
}

/// `torch.nn.utils.clip_grad_norm_`; a maximum of 0 does not clip.
fn clipped(grad: Tensor<1>, norm: &Tensor<1>, max_grad_norm: f64) -> Tensor<1> {
    if max_grad_norm == 0.0 {
        return grad;
    }
    let factor = ((norm.clone() + 1e-6).recip() * max_grad_norm).clamp_max(1.0);
    grad * factor
}

/// A tensor's elements, row by row.
pub(crate) async fn host<const D: usize>(tensor: &Tensor<D>) -> Result<Vec<f32>, String> {
    let data = tensor.to_data_async().await.map_err(|error| format!("{error:?}"))?;
    data.try_into_vec::<f32>().map_err(|error| format!("{error:?}"))
}
