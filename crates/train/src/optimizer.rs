//! The optimizer. It concatenates the trainable tensors, so that norms, clipping and updates take only a few operations, whatever the number
//! of adapters.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::{Device, Tensor, TensorData};
use lorelei_estimate::{optimizer_of, optimizer_state};
use lorelei_kernels::concatenate;
use lorelei_models::{BatchGradients, Model, Parameter, ParameterTraits};
use lorelei_recipe::{OptimizerNames, TrainingArguments, message};

use crate::{
    Checkpoint, TrainError,
    optimizers::{Flat, Span, Step, UpdateRule, rule},
};

/// Key of a group: the properties that its parameters share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct GroupKey {
    optimizer: OptimizerNames,
    /// Whether weight decay applies.
    decays: bool,
    /// Whether LoRA+'s ratio applies. It applies to `B` and to vectors, as in PEFT's `create_loraplus_optimizer`.
    takes_ratio: bool,
}

impl GroupKey {
    fn of(parameter: &Parameter<'_>, arguments: &TrainingArguments) -> Self {
        let ParameterTraits { decays, loraplus } = parameter.traits();
        Self {
            optimizer: optimizer_of(arguments.optim, &parameter.shape()),
            decays,
            takes_ratio: arguments.loraplus_lr_ratio.is_some() && loraplus,
        }
    }
}

/// Concatenated parameters with the same rule, weight decay and learning rate.
struct Group {
    key: GroupKey,
    rule: Box<dyn UpdateRule>,
    spans: Vec<Span>,
    flat: Flat,
    /// Sum of the gradients since the last step.
    grad: Option<Tensor<1>>,
    /// Gradient of the last step. It is searched if its norm is not finite.
    last_grad: Option<Tensor<1>>,
}

/// The optimizer with clipping by global norm, as Transformers' `Trainer` runs it.
pub struct Optimizer {
    arguments: TrainingArguments,
    groups: Vec<Group>,
    step: u32,
}

/// State of an optimizer, on the host. A key consists of the state's and the parameter's name: `exp_avg.model...lora_A`.
pub type OptimizerState = BTreeMap<String, Vec<f32>>;

impl Optimizer {
    /// Creates an optimizer with the present values of all trainable parameters of `model`.
    pub fn new(model: &mut Model, arguments: &TrainingArguments) -> Self {
        let device = model.device().clone();
        let mut members: Vec<(GroupKey, GroupBuilder)> = Vec::new();
        model.visit_parameters(&mut |name, parameter| {
            let key = GroupKey::of(&parameter, arguments);
            let at = members.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
                members.push((key, GroupBuilder::new(rule(key.optimizer, arguments), key.optimizer)));
                members.len() - 1
            });
            members[at].1.add(name, &parameter);
        });
        Self {
            arguments: arguments.clone(),
            groups: members.into_iter().map(|(key, builder)| builder.build(key, &device)).collect(),
            step: 0,
        }
    }

    /// Adds the gradients of one micro-batch. The model's parameters must still be the leaves of the graph of `gradients`.
    pub fn accumulate(&mut self, model: &mut Model, gradients: &mut BatchGradients) {
        let device = model.device().clone();
        for group in &mut self.groups {
            let mut parts = Vec::with_capacity(group.spans.len());
            model.visit_parameters(&mut |_, parameter: Parameter<'_>| {
                if GroupKey::of(&parameter, &self.arguments) == group.key {
                    let count = parameter.shape().num_elements();
                    let grad = gradients.take(&parameter);
                    parts.push(grad.unwrap_or_else(|| Tensor::zeros([count], &device)));
                }
            });
            let grad = concatenate(parts);
            group.grad = Some(match group.grad.take() {
                None => grad,
                Some(sum) => sum + grad,
            });
        }
    }

    /// Computes the global norm `[1]` of the accumulated gradients, on the device. The loss scale is not divided out.
    pub fn gradient_norm(&self, device: &Device) -> Tensor<1> {
        let squares =
            self.groups.iter().filter_map(|group| group.grad.clone()).map(|grad| (grad.clone() * grad).sum());
        squares.reduce(|sum, square| sum + square).unwrap_or_else(|| Tensor::zeros([1], device)).sqrt()
    }

    /// Skips a step: discards the gradients.
    pub fn skip(&mut self) {
        self.groups.iter_mut().for_each(|group| group.last_grad = group.grad.take());
    }

    /// Takes a step: divides the gradients by `loss_scale`, clips them by `norm` (from [`Self::gradient_norm`]), updates the values, writes them
    /// into `model` and discards the gradients. If the norm is not finite, AdamW's values stay unchanged.
    pub fn step(&mut self, model: &mut Model, learning_rate: f64, norm: &Tensor<1>, loss_scale: f64) {
        self.step += 1;
        for group in &mut self.groups {
            let Some(grad) = group.grad.take() else { continue };
            group.last_grad = Some(grad.clone());
            let ratio = self.arguments.loraplus_lr_ratio.filter(|_| group.key.takes_ratio).unwrap_or(1.0);
            let step = Step {
                learning_rate: learning_rate * ratio,
                weight_decay: if group.key.decays { self.arguments.weight_decay } else { 0.0 },
                step: self.step,
                norm: norm.clone(),
                loss_scale,
                max_grad_norm: self.arguments.max_grad_norm,
            };
            // The rule owns the tensors during the update, so that it can update them in place.
            let flat = std::mem::replace(&mut group.flat, Flat::empty(&norm.device()));
            group.flat = group.rule.update(&step, &group.spans, flat, grad);
        }
        self.write(model);
    }

    /// Returns the first parameter whose gradient at the last step is not finite, and a value of this gradient that is not finite.
    ///
    /// # Errors
    ///
    /// If the device cannot be read.
    pub async fn broken_gradient(&self) -> Result<Option<(String, f64)>, String> {
        for group in &self.groups {
            let Some(grad) = &group.last_grad else { continue };
            let values = to_host(grad).await?;
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
                if GroupKey::of(&parameter, &self.arguments) == group.key
                    && let Some(span) = spans.next()
                {
                    let theta = group.flat.theta.clone();
                    parameter.assign(theta.narrow(0, span.elements.start, span.elements.len()));
                }
            });
        }
    }

    /// Restores the state and the step of a checkpoint.
    ///
    /// # Errors
    ///
    /// If the checkpoint has no state for a parameter, or a state of another size. The optimizer is then unchanged.
    pub fn restore(&mut self, checkpoint: &Checkpoint, device: &Device) -> Result<(), TrainError> {
        self.check_keys(checkpoint)?;
        let mut restored = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let mut states = vec![Vec::new(); group.flat.states.len()];
            for span in &group.spans {
                for ((name, range), values) in span.states.iter().zip(&mut states) {
                    values.extend_from_slice(kept(checkpoint, name, span, range.len())?);
                }
            }
            restored.push(states.into_iter().map(|values| to_device(values, device)).collect());
        }
        for (group, states) in self.groups.iter_mut().zip(restored) {
            group.flat.states = states;
        }
        self.step = checkpoint.step as u32;
        Ok(())
    }

    /// Refuses a checkpoint with state that this optimizer does not keep: it is of another optimizer, or of other parameters.
    fn check_keys(&self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        let spans = || self.groups.iter().flat_map(|group| &group.spans);
        let keys: BTreeSet<String> = spans()
            .flat_map(|span| span.states.iter().map(|(state, _)| format!("{state}.{}", span.name)))
            .collect();
        match checkpoint.optimizer.keys().find(|key| !keys.contains(*key)) {
            None => Ok(()),
            Some(key) => Err(TrainError::Checkpoint(message!(
                "it has {key}, which optim = {optim} does not keep here: it was made with another optimizer, or trains other parameters",
                key,
                optim = ?self.arguments.optim.name()
            ))),
        }
    }

    /// Reads the optimizer's state to the host.
    ///
    /// # Errors
    ///
    /// If the device cannot be read.
    pub async fn state(&self) -> Result<OptimizerState, String> {
        let mut state = OptimizerState::new();
        for group in &self.groups {
            for (at, tensor) in group.flat.states.iter().enumerate() {
                let values = to_host(tensor).await?;
                for span in &group.spans {
                    if let Some((name, range)) = span.states.get(at) {
                        state.insert(format!("{name}.{}", span.name), values[range.clone()].to_vec());
                    }
                }
            }
        }
        Ok(state)
    }

    /// Replaces the present values by those given by name, in the form of [`Self::values`], here and in `model`.
    pub fn set_values(&mut self, model: &mut Model, values: &[(String, Vec<f32>)]) {
        let device = model.device().clone();
        for group in &mut self.groups {
            let of =
                |span: &Span| values.iter().find(|(name, _)| *name == span.name).map(|(_, values)| values);
            let found: Option<Vec<&Vec<f32>>> = group.spans.iter().map(of).collect();
            let Some(found) = found else { continue };
            let flat: Vec<f32> = found.into_iter().flatten().copied().collect();
            if flat.len() == group.flat.theta.dims()[0] {
                group.flat.theta = to_device(flat, &device);
            }
        }
        self.write(model);
    }

    /// Reads the values to the host, by name.
    ///
    /// # Errors
    ///
    /// If the device cannot be read.
    pub async fn values(&self) -> Result<Vec<(String, Vec<f32>)>, String> {
        let mut values = Vec::new();
        for group in &self.groups {
            let theta = to_host(&group.flat.theta).await?;
            for span in &group.spans {
                values.push((span.name.clone(), theta[span.elements.clone()].to_vec()));
            }
        }
        Ok(values)
    }
}

/// Builder of a group, which collects its parameters.
struct GroupBuilder {
    rule: Box<dyn UpdateRule>,
    optimizer: OptimizerNames,
    spans: Vec<Span>,
    values: Vec<Tensor<1>>,
    /// Number of elements of the values so far.
    count: usize,
    /// Number of elements of each state so far.
    state_counts: Vec<usize>,
}

impl GroupBuilder {
    fn new(rule: Box<dyn UpdateRule>, optimizer: OptimizerNames) -> Self {
        Self { rule, optimizer, spans: Vec::new(), values: Vec::new(), count: 0, state_counts: Vec::new() }
    }

    fn add(&mut self, name: &str, parameter: &Parameter<'_>) {
        let shape = parameter.shape().to_vec();
        let state = optimizer_state(self.optimizer, &shape);
        self.state_counts.resize(self.state_counts.len().max(state.len()), 0);
        let states = state.into_iter().zip(&mut self.state_counts).map(|((name, size), count)| {
            *count += size;
            (name, *count - size..*count)
        });
        let states = states.collect();
        let elements = self.count..self.count + shape.iter().product::<usize>();
        self.count = elements.end;
        self.spans.push(Span { name: name.to_owned(), shape, elements, states });
        self.values.push(parameter.flat());
    }

    fn build(self, key: GroupKey, device: &Device) -> Group {
        let Self { rule, spans, values, state_counts, .. } = self;
        let states = state_counts.into_iter().map(|count| Tensor::zeros([count], device)).collect();
        let flat = Flat { theta: Tensor::cat(values, 0), states };
        Group { key, rule, spans, flat, grad: None, last_grad: None }
    }
}

impl Flat {
    fn empty(device: &Device) -> Self {
        Self { theta: Tensor::empty([1], device), states: Vec::new() }
    }
}

/// Returns the state of a parameter in a checkpoint, by the state's name.
fn kept<'c>(
    checkpoint: &'c Checkpoint,
    state: &str,
    span: &Span,
    count: usize,
) -> Result<&'c [f32], TrainError> {
    let name = &span.name;
    let Some(values) = checkpoint.optimizer.get(&format!("{state}.{name}")) else {
        return Err(TrainError::Checkpoint(message!("it has no moments of {name} ({state})", name, state)));
    };
    if values.len() != count {
        let found = values.len();
        return Err(TrainError::Checkpoint(message!(
            "of {name} it has {found} numbers for the optimizer's {state}, which keeps {count}",
            name,
            found,
            state,
            count
        )));
    }
    Ok(values)
}

fn to_device(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// Reads a tensor's elements to the host, in row-major order.
pub(crate) async fn to_host<const D: usize>(tensor: &Tensor<D>) -> Result<Vec<f32>, String> {
    let data = tensor.to_data_async().await.map_err(|error| format!("{error:?}"))?;
    data.try_into_vec::<f32>().map_err(|error| format!("{error:?}"))
}
