//! PEFT 0.21's `LoraConfig`: the fields that a recipe does not keep.

use super::State::*;
use super::{Field, others};

pub(super) const OTHERS: &[Field] = others! { Lora;
    inference_mode: "false" also ["true"], Ignored("PEFT sets it when it saves"), "Whether the adapter is only used, not trained.";
    target_parameters: "null" also ["[]"], Refused("adapters of bare parameters (fused experts) are not there yet"), "Parameters, rather than modules, that get an adapter.";
    layer_replication: "null" also ["[]"], Refused("stacking copies of layers is not there yet"), "Ranges of layers to repeat.";
    loftq_config: "{}", Refused("LoftQ changes the base weights and is not there"), "Settings of LoftQ.";
    eva_config: "null", Refused("EVA initialisation is not there yet"), "Settings of EVA.";
    corda_config: "null", Refused("CorDA changes the base weights and is not there"), "Settings of CorDA.";
    lora_ga_config: "null", Refused("LoRA-GA changes the base weights and is not there"), "Settings of LoRA-GA.";
    velora_config: "null", Refused("VeLoRA is not there yet"), "Settings of VeLoRA.";
    monteclora_config: "null", Refused("MonteCLoRA is not there yet"), "Settings of MonteCLoRA.";
    kasa_config: "null", Refused("KaSA changes the base weights and is not there"), "Settings of KaSA.";
    arrow_config: "null", Refused("Arrow routing is not there yet"), "Settings of Arrow routing.";
    use_bdlora: "null" also ["false"], Refused("block-diagonal LoRA is not there yet"), "Settings of block-diagonal LoRA.";
    alora_invocation_tokens: "null" also ["[]"], Refused("activated LoRA is not there yet"), "Tokens that switch the adapter on.";
    use_qalora: "false", Refused("QALoRA is not there yet"), "Adapters for GPTQ weights with pooled inputs.";
    qalora_group_size: "16", Ignored("it only counts with use_qalora"), "Group size of QALoRA.";
    megatron_config: "null", Refused("Megatron's parallel layers are not there"), "Settings of Megatron.";
    megatron_core: "\"megatron.core\"", Ignored("it only counts with megatron_config"), "The Megatron package.";
    runtime_config: "{\"ephemeral_gpu_offload\":false}" also ["{}"], Ignored("it says how PEFT runs, and is never saved"), "PEFT's runtime settings.";
    peft_type: "\"LORA\"", Refused("only LoRA adapters are trained"), "The kind of adapter.";
    peft_version: "null", Ignored("it says which PEFT wrote the file"), "The version of PEFT.";
    auto_mapping: "null", Ignored("it names Python classes"), "The Python class of the base model.";
    base_model_name_or_path: "null", Ignored("the base model is model.model_name_or_path"), "The base model of the adapter.";
    revision: "null", Ignored("the base model is model.model_name_or_path"), "The revision of the base model.";
};
