//! TRL's own arguments, which its scripts (`SFTConfig(...)`) and its YAML files give by the same names.

use super::collect::Collector;
use super::keys::Fate::{List, Read, Take};
use super::keys::{self, Known, names, text};
use super::node_of;
use crate::fields::Table::{self, Data, Lora, Model};
use crate::source::{Entry, Node, Value};

const QUANTIZED: &str = "the base is kept as its file has it: name a GGUF file to train over packed weights";
const READING: &str = "it is about how the rows are read, not about which";

/// Arguments of TRL 1.16's `SFTConfig` that are not Transformers', and those of releases before it.
pub(super) const SFT: Known = &[
    ("max_length", Take(Data, "max_length")),
    ("max_seq_length", Take(Data, "max_length")),
    ("packing", Take(Data, "packing")),
    ("packing_strategy", List("whole rows share a sequence here, as with \"bfd\"", &["\"bfd\"", "\"ffd\""])),
    ("padding_free", List("the numbers are the same; packing = true does without padding", &["false"])),
    ("pad_to_multiple_of", Take(Data, "pad_to_multiple_of")),
    ("eval_packing", List("validation rows are packed as the rows of training are", &[])),
    ("completion_only_loss", Take(Data, "completion_only_loss")),
    ("assistant_only_loss", Take(Data, "assistant_only_loss")),
    ("dataset_text_field", Read),
    ("dataset_kwargs", List("the rows are prepared here as TRL does without it", &["{}"])),
    ("dataset_num_proc", List(READING, &[])),
    ("dataset_batch_size", List(READING, &[])),
    ("num_of_sequences", List(READING, &[])),
    ("chars_per_token", List(READING, &[])),
    ("infinite", List("a run has as many epochs as it says", &["false"])),
    ("shuffle_dataset", List("each epoch takes the rows in a new order in any case", &["false"])),
    ("truncation_mode", Read),
    ("loss_type", List("the loss is the negative log-likelihood", &["\"nll\"", "\"chunked_nll\""])),
    ("activation_offloading", List("gradient_checkpointing = true saves memory here", &["false"])),
    ("chat_template_path", List("the model's own chat template is used", &[])),
    ("eos_token", List("the model's own end token is used", &[])),
    ("pad_token", List("padding is masked, whichever token it is", &[])),
    ("router_aux_loss_coef", List("there is no loss of a router here", &["0"])),
    ("trust_remote_code", List("no code of a model's folder is run", &["false"])),
    ("use_liger", List("the kernels here are our own", &["false"])),
];

/// Arguments of TRL's `ModelConfig`.
pub(super) const MODEL_CONFIG: Known = &[
    ("model_name_or_path", Read),
    ("model_revision", Read),
    ("dtype", Take(Model, "dtype")),
    ("torch_dtype", Take(Model, "dtype")),
    ("trust_remote_code", List("no code of a model's folder is run", &["false"])),
    ("attn_implementation", List("the kernels here are our own", &[])),
    ("use_peft", List("it takes true or false", &["true", "false"])),
    ("lora_r", Take(Lora, "r")),
    ("lora_alpha", Take(Lora, "lora_alpha")),
    ("lora_dropout", Take(Lora, "lora_dropout")),
    ("lora_target_modules", Read),
    ("lora_target_parameters", Take(Lora, "target_parameters")),
    ("lora_modules_to_save", Take(Lora, "modules_to_save")),
    ("lora_task_type", Read),
    ("use_rslora", Take(Lora, "use_rslora")),
    ("use_dora", Take(Lora, "use_dora")),
    ("load_in_8bit", List(QUANTIZED, &["false"])),
    ("load_in_4bit", List(QUANTIZED, &["false"])),
    ("bnb_4bit_quant_type", List(QUANTIZED, &["\"nf4\""])),
    ("bnb_4bit_quant_storage", List(QUANTIZED, &[])),
    ("use_bnb_nested_quant", List(QUANTIZED, &["false"])),
];

/// Why a length that is null is left out.
pub(super) const UNCUT: &str = "without a length TRL cuts no row; rows are cut at [data] max_length here, 1024 tokens unless it is given: write \
                                the length of the longest row";

/// Sets the defaults of `SFTConfig` that are neither Transformers' nor a recipe's.
pub(super) fn imply_arguments(collector: &mut Collector<'_>) {
    collector.imply(Table::Training, "learning_rate", 2e-5);
    collector.imply(Table::Training, "logging_steps", 10);
    collector.imply(Table::Training, "gradient_checkpointing", true);
}

/// Sets the defaults of `ModelConfig` for an adapter, which are not PEFT's.
pub(super) fn imply_adapter(collector: &mut Collector<'_>) {
    collector.imply(Table::Lora, "r", 16);
    collector.imply(Table::Lora, "lora_alpha", 32);
    collector.imply(Table::Lora, "lora_dropout", 0.05);
}

/// Imports an argument of `SFTConfig` whose value means something else here. Returns whether it is one.
pub(super) fn read(collector: &mut Collector<'_>, entry: &Entry) -> bool {
    match (entry.name.as_str(), &entry.node.value) {
        ("dataset_text_field", _) => text_field(collector, entry),
        ("truncation_mode", _) => truncation(collector, entry),
        ("pad_to_multiple_of", Value::Text(word)) if word == "auto" => {}
        ("max_length" | "max_seq_length", Value::Null) => collector.leave(&entry.name, entry.at, UNCUT),
        _ => return false,
    }
    true
}

/// Imports the name of the column of texts: `[data] columns` has it.
fn text_field(collector: &mut Collector<'_>, Entry { name, at, node }: &Entry) {
    match &node.value {
        Value::Null => {}
        Value::Text(column) if matches!(column.as_str(), "text" | "") => {}
        Value::Text(column) => {
            let columns = keys::table_of(node, *at, &[("text", Value::Text(column.clone()))]);
            collector.take(Table::Data, "columns", *at, &columns);
        }
        _ => collector.leave(name, *at, "it takes a column's name"),
    }
}

fn truncation(collector: &mut Collector<'_>, Entry { name, at, node }: &Entry) {
    let side = match text(node) {
        Some("keep_end") => "left",
        Some("keep_start") => "right",
        _ => return collector.leave(name, *at, "it is \"keep_start\" or \"keep_end\""),
    };
    let side = node_of(node, Value::Text(side.into()));
    collector.take_as(Table::Data, "truncation_side", name, *at, &side);
}

/// Returns the value of `lora_target_modules` as PEFT gets it: TRL makes a list of one its only text, a regex or `all-linear`. The name of a
/// module stays in its list: as a regex it would match no path.
pub(super) fn targets(node: &Node) -> Node {
    let is_name = |name: &str| {
        name != "all-linear" && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
    };
    match names(node).as_slice() {
        [one] if !is_name(one) => node_of(node, Value::Text(one.clone())),
        _ => node.clone(),
    }
}
