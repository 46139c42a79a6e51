//! What a model is like, as far as a page or a plan needs to know it.

use lorelei_formats::{
    ModelConfig, TensorSource,
    config::{Activation, HeadNames, NormKind, Task},
};
use lorelei_models::{Weight, dense_learns};
use lorelei_protocol::{ClassifierInfo, Input, ModelInfo, ModuleInfo};
use lorelei_recipe::TaskType;

/// Describes the model that `tensors` and their configuration make, of which no weight is read. With `keep_packed`, the linear layers lie in the
/// blocks that the file has.
pub fn describe(
    name: &str,
    device: &str,
    has_chat_template: bool,
    config: &ModelConfig,
    tensors: &dyn TensorSource,
    keep_packed: bool,
) -> ModelInfo {
    let shapes = config.layer_linears();
    let inputs = [
        (config.names.attention.input.len(), Input::Attention),
        (1, Input::AttentionOutput),
        (config.names.mlp.input.len(), Input::Mlp),
        (1, Input::MlpOutput),
    ];
    let inputs = inputs.into_iter().flat_map(|(count, input)| std::iter::repeat_n(input, count));
    let of_layer: Vec<_> = shapes.iter().zip(inputs).collect();
    let modules: Vec<ModuleInfo> = (0..config.num_hidden_layers)
        .flat_map(|layer| {
            of_layer.iter().map(move |(shape, input)| ModuleInfo {
                path: config.layer_path(layer, shape.name),
                layer,
                size_in: shape.size_in,
                size_out: shape.size_out,
                input: *input,
            })
        })
        .collect();
    let all =
        config.expected_tensors().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum::<usize>();
    let packed = modules.iter().filter(|_| keep_packed && !config.stored_in_out).filter_map(|module| {
        let name = format!("{}.weight", module.path);
        let name = config.find(tensors, &name).unwrap_or(name);
        let form = Weight::packed_form(tensors, &name, [module.size_out, module.size_in])?;
        Some((module.size_in * module.size_out, form.bytes()))
    });
    let (packed, packed_bytes) = packed.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    ModelInfo {
        name: name.to_owned(),
        model_type: config.model_type.into(),
        writes_text: config.writes_text(),
        task_type: match config.task {
            Task::CausalLm => TaskType::CausalLm,
            Task::SequenceClassification => TaskType::SeqCls,
            Task::TokenClassification => TaskType::TokenCls,
            Task::FeatureExtraction => TaskType::FeatureExtraction,
        },
        classifiers: classifiers(config, tensors),
        num_labels: config.num_labels,
        device: device.to_owned(),
        parameters: all as u64,
        dense_parameters: (all - packed) as u64,
        packed_bytes: packed_bytes as u64,
        vocab_size: config.vocab_size,
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        num_hidden_layers: config.num_hidden_layers,
        heads: config.num_attention_heads,
        kv_heads: config.num_key_value_heads,
        head_dim: config.head_dim,
        swiglu: config.gated && config.activation == Activation::Silu,
        layer_norms: config.norm == NormKind::Layer,
        composed: !config.causal
            || config.attention_softcap.is_some()
            || config.layers.iter().any(|layer| layer.window.is_some()),
        max_position_embeddings: config.max_position_embeddings,
        has_chat_template,
        modules,
    }
}

fn classifiers(config: &ModelConfig, tensors: &dyn TensorSource) -> Vec<ClassifierInfo> {
    let hidden = config.hidden_size;
    let head = |task_type, names: HeadNames| {
        let is_there = |path: &str| config.find(tensors, &format!("{path}.weight")).is_some();
        let learns = names.dense.is_some_and(|(path, _)| dense_learns(path, is_there(path)));
        let before = if learns { hidden * hidden + hidden } else { 0 };
        ClassifierInfo { task_type, of_class: hidden + usize::from(names.bias), before }
    };
    vec![
        head(TaskType::SeqCls, config.names.sequence_head),
        head(TaskType::TokenCls, config.names.token_head),
    ]
}
