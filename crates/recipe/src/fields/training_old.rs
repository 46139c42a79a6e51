//! Fields that `TrainingArguments` has in Transformers 4 and no longer in 5, and that a recipe does not keep. They are read because recipes
//! live longer than releases.

use super::State::*;
use super::training::{METRICS, TOKEN};
use super::{Field, others};

const SCRIPT: &str = "an output folder is never cleared";
const DEVICE: &str = "the device is chosen where the run is started";
const APEX: &str = "it chose between implementations of mixed precision";

pub(super) const OTHERS: &[Field] = others! { Training;
    evaluation_strategy: "\"no\"" upstream "\"no\", removed in 4.46", Renamed("eval_strategy"), "The older name of eval_strategy.";
    per_gpu_train_batch_size: "null" upstream "null, removed in 5", Renamed("per_device_train_batch_size"), "The older name of per_device_train_batch_size.";
    per_gpu_eval_batch_size: "null" upstream "null, removed in 5", Renamed("per_device_eval_batch_size"), "The older name of per_device_eval_batch_size.";
    overwrite_output_dir: "false" upstream "false, removed in 5", Ignored(SCRIPT), "Clear the output folder first.";
    save_safetensors: "true" upstream "true, removed in 5", Ignored("files are always safetensors"), "Save safetensors rather than pickles.";
    group_by_length: "false" upstream "false, removed in 5", Refused("its newer name is train_sampling_strategy = \"group_by_length\""), "Batch examples of like length.";
    adafactor: "false" upstream "false, removed in 5", Refused("say optim = \"adafactor\""), "Use Adafactor.";
    no_cuda: "false" upstream "false, removed in 5", Ignored(DEVICE), "Train on the processor.";
    use_mps_device: "false" upstream "false, removed in 5", Ignored(DEVICE), "Train on Metal.";
    fp16_opt_level: "\"O1\"" upstream "\"O1\", removed in 5", Ignored(APEX), "Level of Apex.";
    half_precision_backend: "\"auto\"" upstream "\"auto\", removed in 5", Ignored(APEX), "Implementation of mixed precision.";
    fp16_backend: "\"auto\"" upstream "\"auto\", removed in 5", Ignored(APEX), "Implementation of mixed precision.";
    jit_mode_eval: "false" upstream "false, removed in 5", Ignored("it is about how torch runs"), "Trace the model for evaluation.";
    use_ipex: "false" upstream "false, removed in 5", Ignored("it is about how torch runs"), "Intel's extension.";
    torchdynamo: "null" upstream "null, removed in 5", Ignored("it is about how torch runs"), "Backend of the compiler.";
    tpu_num_cores: "null" upstream "null, removed in 5", Ignored("there is one device"), "Cores of a TPU.";
    tpu_metrics_debug: "false" upstream "false, removed in 5", Ignored("there is one device"), "Metrics of a TPU.";
    mp_parameters: "\"\"" upstream "\"\", removed in 5", Ignored("there is one device"), "SageMaker's model parallelism.";
    ray_scope: "\"last\"" upstream "\"last\", removed in 5", Ignored("there is no search"), "Scope of a Ray search.";
    past_index: "-1" upstream "-1, removed in 5", Refused("no model here hands its past on"), "Where the model returns its past.";
    fsdp_min_num_params: "0" upstream "0, removed in 5", Ignored("it only counts with fsdp"), "Setting of fsdp.";
    fsdp_transformer_layer_cls_to_wrap: "null" upstream "null, removed in 5", Ignored("it only counts with fsdp"), "Setting of fsdp.";
    include_inputs_for_metrics: "false" upstream "false, removed in 5", Ignored(METRICS), "Inputs of compute_metrics.";
    include_tokens_per_second: "false" upstream "false, removed in 5", Ignored("it is about what is reported"), "Count tokens per second.";
    split_batches: "null" upstream "null, removed in 4.46" also ["false"], Ignored("there is one device"), "Split a batch over the devices.";
    dispatch_batches: "null" upstream "null, removed in 4.46" also ["false"], Ignored("there is one device"), "Read on one process for all.";
    push_to_hub_model_id: "null" upstream "null, removed in 5", Renamed("hub_model_id"), "The older name of hub_model_id.";
    push_to_hub_organization: "null" upstream "null, removed in 5", Refused("write hub_model_id = \"organization/name\""), "Whose repository to upload to.";
    push_to_hub_token: "null" upstream "null, removed in 5", Ignored(TOKEN), "The token for uploads.";
    use_legacy_prediction_loop: "false" upstream "false, removed in 5", Ignored(METRICS), "The older evaluation loop.";
};
