//! `[lora]`: PEFT 0.21's `LoraConfig`, every field.

use super::State::*;
use super::{Field, rows};
use crate::kind::Kind::*;
use crate::kind::{BELOW_ONE, MAX_RANK, POSITIVE};

pub(super) const FIELDS: &[Field] = rows! { Lora;
    r: Int { min: 1, max: MAX_RANK } => "8", Supported, "Rank of the update.";
    lora_alpha: Number(POSITIVE) => "8", Supported, "Numerator of the scale alpha / r.";
    lora_dropout: Number(BELOW_ONE) => "0.0", Supported, "Probability of dropping an input of A.";
    target_modules: Targets => "null", Supported, "The modules that get an adapter; absent, PEFT's default for the architecture.";
    exclude_modules: Targets => "null", Supported, "Modules to leave out.";
    use_rslora: Bool => "false", Supported, "Scale by alpha / sqrt(r).";
    rank_pattern: Ranks => "{}", Supported, "Ranks of single modules.";
    alpha_pattern: Alphas => "{}", Supported, "Alphas of single modules.";
    layers_to_transform: Indices => "null", Supported, "The layers that get an adapter.";
    layers_pattern: Names => "null", Supported, "The name before a layer's number.";
    init_lora_weights: Init => "true", Supported,
        "How A and B begin. pissa and olora take them from the base weights; what is saved is a plain adapter of twice the rank, which fits the base as it was. corda, loftq, lora_ga, eva, orthogonal and mica are refused.";
    task_type: Choice { takes: &["CAUSAL_LM", "SEQ_CLS", "TOKEN_CLS", "FEATURE_EXTRACTION"], later: &["SEQ_2_SEQ_LM", "QUESTION_ANS"] }
        => "null", Supported, "What the model is for.";
    bias: Choice { takes: &["none", "all", "lora_only"], later: &[] } => "\"none\"", Supported, "Which biases are trained too.";
    inference_mode: Any => "false" also ["true"], Ignored("PEFT sets it when it saves"), "Whether the adapter is only used, not trained.";

    fan_in_fan_out: Bool => "false", Ignored("the model itself says how its weights are stored"),
        "Whether the base weight is stored [in, out].";
    modules_to_save: Names => "null", Supported, "Modules trained whole and saved with the adapter.";
    use_dora: Bool => "false", Supported, "Weight-decomposed adaptation (DoRA).";
    lora_bias: Bool => "false", Supported, "Whether B has a bias.";
    trainable_token_indices: TokenIndices => "null", Supported, "Tokens whose embeddings are trained.";
    target_parameters: Any => "null" also ["[]"], Refused("adapters of bare parameters (fused experts) are not there yet"),
        "Parameters, rather than modules, that get an adapter.";
    ensure_weight_tying: Any => "false", Refused("adapters of tied embeddings are not there yet"), "Keep tied weights tied.";
    layer_replication: Any => "null" also ["[]"], Refused("stacking copies of layers is not there yet"), "Ranges of layers to repeat.";
    loftq_config: Any => "{}", Refused("LoftQ changes the base weights and is not there"), "Settings of LoftQ.";
    eva_config: Any => "null", Refused("EVA initialisation is not there yet"), "Settings of EVA.";
    corda_config: Any => "null", Refused("CorDA changes the base weights and is not there"), "Settings of CorDA.";
    lora_ga_config: Any => "null", Refused("LoRA-GA changes the base weights and is not there"), "Settings of LoRA-GA.";
    velora_config: Any => "null", Refused("VeLoRA is not there yet"), "Settings of VeLoRA.";
    monteclora_config: Any => "null", Refused("MonteCLoRA is not there yet"), "Settings of MonteCLoRA.";
    kasa_config: Any => "null", Refused("KaSA changes the base weights and is not there"), "Settings of KaSA.";
    arrow_config: Any => "null", Refused("Arrow routing is not there yet"), "Settings of Arrow routing.";
    use_bdlora: Any => "null" also ["false"], Refused("block-diagonal LoRA is not there yet"), "Settings of block-diagonal LoRA.";
    alora_invocation_tokens: Any => "null" also ["[]"], Refused("activated LoRA is not there yet"), "Tokens that switch the adapter on.";
    use_qalora: Any => "false", Refused("QALoRA is not there yet"), "Adapters for GPTQ weights with pooled inputs.";
    qalora_group_size: Any => "16", Ignored("it only counts with use_qalora"), "Group size of QALoRA.";
    megatron_config: Any => "null", Refused("Megatron's parallel layers are not there"), "Settings of Megatron.";
    megatron_core: Any => "\"megatron.core\"", Ignored("it only counts with megatron_config"), "The Megatron package.";
    runtime_config: Any => "{\"ephemeral_gpu_offload\":false}" also ["{}"], Ignored("it says how PEFT runs, and is never saved"), "PEFT's runtime settings.";

    peft_type: Any => "\"LORA\"", Refused("only LoRA adapters are trained"), "The kind of adapter.";
    peft_version: Any => "null", Ignored("it says which PEFT wrote the file"), "The version of PEFT.";
    auto_mapping: Any => "null", Ignored("it names Python classes"), "The Python class of the base model.";
    base_model_name_or_path: Any => "null", Ignored("the base model is model.model_name_or_path"), "The base model of the adapter.";
    revision: Any => "null", Ignored("the base model is model.model_name_or_path"), "The revision of the base model.";
};
