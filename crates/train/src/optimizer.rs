//! AdamW over the learning tensors laid end to end, so that norms, clipping and the update are a few operations however many
//! adapters there are.

use burn::tensor::{Device, Tensor, TensorData};
use lorelei_kernels::{AdamWStep, adamw};
use lorelei_models::{BatchGradients, Model, Parameter};
use lorelei_recipe::TrainingArguments;

use crate::{Checkpoint, TrainError};

/// Parameters with one weight decay, end to end.
struct Group {
    decays: bool,
    /// Name, first element and number of elements of each.
    spans: Vec<(String, usize, usize)>,
    theta: Tensor<1>,
    m: Tensor<1>,
    v: Tensor<1>,
    /// Sum of the gradients since the last step.
    grad: Option<Tensor<1>>,
}

/// The optimizer: `torch.optim.AdamW` with clipping by global norm, as Transformers' `Trainer` runs it.
pub struct Optimizer {
    groups: Vec<Group>,
    step: u32,
    weight_decay: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    max_grad_norm: f64,
}

/// Moments by parameter name, for a checkpoint: `(exp_avg, exp_avg_sq)` on the host.
pub type Moments = Vec<(String, Vec<f32>, Vec<f32>)>;

impl Optimizer {
    /// Takes over the present values of everything in `model` that learns.
    pub fn new(model: &mut Model, arguments: &TrainingArguments) -> Self {
        let device = model.device().clone();
        let mut groups = Vec::new();
        for decays in [true, false] {
            let (mut spans, mut values, mut total) = (Vec::new(), Vec::new(), 0);
            model.visit_parameters(&mut |name, parameter| {
                if parameter.decays() == decays {
                    let count = parameter.shape().num_elements();
                    spans.push((name.to_owned(), total, count));
                    values.push(parameter.flat());
                    total += count;
                }
            });
            if total > 0 {
                let zeros = |device: &Device| Tensor::zeros([total], device);
                let theta = Tensor::cat(values, 0);
                groups.push(Group { decays, spans, theta, m: zeros(&device), v: zeros(&device), grad: None });
            }
        }
        Self {
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
            model.visit_parameters(&mut |_, parameter: Parameter<'_>| {
                if parameter.decays() == group.decays {
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

    /// Clips, updates, writes the new values into `model` and forgets the gradients. Returns the global norm before clipping,
    /// `[1]`, still on the device.
    pub fn step(&mut self, model: &mut Model, learning_rate: f64) -> Tensor<1> {
        self.step += 1;
        let device = model.device().clone();
        let squares =
            self.groups.iter().filter_map(|group| group.grad.clone()).map(|grad| (grad.clone() * grad).sum());
        let norm =
            squares.reduce(|sum, square| sum + square).unwrap_or_else(|| Tensor::zeros([1], &device)).sqrt();
        for group in &mut self.groups {
            let Some(grad) = group.grad.take() else { continue };
            let step = AdamWStep {
                lr: learning_rate,
                beta1: self.beta1,
                beta2: self.beta2,
                epsilon: self.epsilon as f32,
                weight_decay: if group.decays { self.weight_decay } else { 0.0 },
                step: self.step,
                unscale: 1.0,
                max_grad_norm: self.max_grad_norm as f32,
            };
            let take = |tensor: &mut Tensor<1>| std::mem::replace(tensor, Tensor::empty([1], &device));
            let (theta, m, v) = (take(&mut group.theta), take(&mut group.m), take(&mut group.v));
            (group.theta, group.m, group.v) = adamw(theta, m, v, grad, norm.clone(), step);
        }
        self.write(model);
        norm
    }

    /// Writes the values into the model.
    fn write(&self, model: &mut Model) {
        for group in &self.groups {
            let mut spans = group.spans.iter();
            model.visit_parameters(&mut |_, mut parameter| {
                if parameter.decays() == group.decays
                    && let Some((_, start, count)) = spans.next()
                {
                    let values = group.theta.clone().narrow(0, *start, *count);
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
            for (name, _, count) in &group.spans {
                let found = checkpoint.moments.iter().find(|(known, ..)| known == name);
                let (_, mean, square) =
                    found.ok_or_else(|| TrainError::Checkpoint(format!("it has no moments of {name}")))?;
                if mean.len() != *count || square.len() != *count {
                    let found = mean.len();
                    return Err(TrainError::Checkpoint(format!(
                        "{name} has {found} moments, the model {count}"
                    )));
                }
                m.extend_from_slice(mean);
                v.extend_from_slice(square);
            }
            let tensor = |values: Vec<f32>| {
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
            for (name, start, count) in &group.spans {
                let span = *start..start + count;
                moments.push((name.clone(), m[span.clone()].to_vec(), v[span].to_vec()));
            }
        }
        Ok(moments)
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
            for (name, start, count) in &group.spans {
                values.push((name.clone(), theta[*start..start + count].to_vec()));
            }
        }
        Ok(values)
    }
}

/// A flat tensor's elements.
async fn host(tensor: &Tensor<1>) -> Result<Vec<f32>, String> {
    let data = tensor.to_data_async().await.map_err(|error| format!("{error:?}"))?;
    data.try_into_vec::<f32>().map_err(|error| format!("{error:?}"))
}
