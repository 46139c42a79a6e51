//! `[training]`: what `TrainingArguments` had in Transformers 4 and no longer has in 5. Recipes live longer than
//! releases.

use super::State::*;
use super::{Field, rows};
use crate::kind::Kind::*;
use crate::kind::SHARE;

const SCRIPT: &str = "an output folder is never cleared";
const DEVICE: &str = "the device is chosen where the run is started";
const APEX: &str = "it chose between implementations of mixed precision";

pub(super) const FIELDS: &[Field] = rows! { Training;
    warmup_ratio: Number(SHARE) => "0.0" theirs "0.0, removed in 5", Supported, "Warm-up as a share of all steps; warmup_steps wins.";
    evaluation_strategy: Any => "\"no\"" theirs "\"no\", removed in 4.46", Renamed("eval_strategy"), "The older name of eval_strategy.";
    per_gpu_train_batch_size: Any => "null" theirs "null, removed in 5", Renamed("per_device_train_batch_size"), "The older name of per_device_train_batch_size.";
    per_gpu_eval_batch_size: Any => "null" theirs "null, removed in 5", Renamed("per_device_eval_batch_size"), "The older name of per_device_eval_batch_size.";
    overwrite_output_dir: Any => "false" theirs "false, removed in 5", Ignored(SCRIPT), "Clear the output folder first.";
    logging_dir: Text => "null" theirs "null, removed in 5", Supported, "Folder of TensorBoard's files; absent, runs in output_dir.";
    save_safetensors: Any => "true" theirs "true, removed in 5", Ignored("files are always safetensors"), "Save safetensors rather than pickles.";
    group_by_length: Any => "false" theirs "false, removed in 5", Refused("its newer name is train_sampling_strategy = \"group_by_length\""), "Batch examples of like length.";
    adafactor: Any => "false" theirs "false, removed in 5", Refused("say optim = \"adafactor\""), "Use Adafactor.";
    no_cuda: Any => "false" theirs "false, removed in 5", Ignored(DEVICE), "Train on the processor.";
    use_mps_device: Any => "false" theirs "false, removed in 5", Ignored(DEVICE), "Train on Metal.";
    fp16_opt_level: Any => "\"O1\"" theirs "\"O1\", removed in 5", Ignored(APEX), "Level of Apex.";
    half_precision_backend: Any => "\"auto\"" theirs "\"auto\", removed in 5", Ignored(APEX), "Implementation of mixed precision.";
    fp16_backend: Any => "\"auto\"" theirs "\"auto\", removed in 5", Ignored(APEX), "Implementation of mixed precision.";
    jit_mode_eval: Any => "false" theirs "false, removed in 5", Ignored("it is about how torch runs"), "Trace the model for evaluation.";
    use_ipex: Any => "false" theirs "false, removed in 5", Ignored("it is about how torch runs"), "Intel's extension.";
    torchdynamo: Any => "null" theirs "null, removed in 5", Ignored("it is about how torch runs"), "Backend of the compiler.";
    tpu_num_cores: Any => "null" theirs "null, removed in 5", Ignored("there is one device"), "Cores of a TPU.";
    tpu_metrics_debug: Any => "false" theirs "false, removed in 5", Ignored("there is one device"), "Metrics of a TPU.";
    mp_parameters: Any => "\"\"" theirs "\"\", removed in 5", Ignored("there is one device"), "SageMaker's model parallelism.";
    ray_scope: Any => "\"last\"" theirs "\"last\", removed in 5", Ignored("there is no search"), "Scope of a Ray search.";
    past_index: Any => "-1" theirs "-1, removed in 5", Refused("no model here hands its past on"), "Where the model returns its past.";
    fsdp_min_num_params: Any => "0" theirs "0, removed in 5", Ignored("it only counts with fsdp"), "Setting of fsdp.";
    fsdp_transformer_layer_cls_to_wrap: Any => "null" theirs "null, removed in 5", Ignored("it only counts with fsdp"), "Setting of fsdp.";
    include_inputs_for_metrics: Any => "false" theirs "false, removed in 5", Ignored("evaluation gives the loss only"), "Inputs of compute_metrics.";
    include_tokens_per_second: Any => "false" theirs "false, removed in 5", Ignored("it is about what is reported"), "Count tokens per second.";
    split_batches: Any => "null" theirs "null, removed in 4.46" also ["false"], Ignored("there is one device"), "Split a batch over the devices.";
    dispatch_batches: Any => "null" theirs "null, removed in 4.46" also ["false"], Ignored("there is one device"), "Read on one process for all.";
    push_to_hub_model_id: Any => "null" theirs "null, removed in 5", Ignored("nothing is uploaded"), "The repository to upload to.";
    push_to_hub_organization: Any => "null" theirs "null, removed in 5", Ignored("nothing is uploaded"), "Whose repository to upload to.";
    push_to_hub_token: Any => "null" theirs "null, removed in 5", Ignored("nothing is uploaded"), "The token for uploads.";
    use_legacy_prediction_loop: Any => "false" theirs "false, removed in 5", Ignored("evaluation gives the loss only"), "The older evaluation loop.";
};
