//! An adapter merged into its base, as a Hugging Face folder.
//!
//! Each tensor of the base is read as f32, changed, and written before the next is read. The sums are those of PEFT's `merge_and_unload`: `W + s·B·A`,
//! and what DoRA, trained embeddings, biases and fully trained modules make of them. Where an embedding or a tied head has something of its own, they
//! become two tensors, so that the merged model computes what base and adapter did.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

use lorelei_formats::{
    Dtype, FormatError, ModelConfig, ModelSource, SafetensorsWriter, StoredDtype, TensorSpec,
};
use lorelei_recipe::{Message, message};
use serde_json::{Map, json};

use crate::{
    ExportError, PeftAdapter,
    adapter::{listed, refuse_large},
    companion_files::merged_companions,
    export::{created, put},
    merge_plan::{Merge, Plan, purposed},
};

/// Returns the name of the form in errors.
pub(crate) fn form() -> Message {
    message!("a merged model")
}

/// Options of a merged model.
#[derive(Debug, Clone)]
pub struct MergeOptions<'a> {
    /// Storage format of the weights: F32, F16 or BF16.
    pub dtype: Dtype,
    /// Number of bytes of tensors that a file holds at most, unless one tensor has more.
    pub max_shard_bytes: u64,
    /// Text of a classifier's `labels.json`, if the run saved one: Transformers' `problem_type` and `id2label`.
    pub labels: Option<&'a str>,
}

impl MergeOptions<'_> {
    /// Size of a shard where nothing else is asked for, in bytes.
    pub const SHARD_BYTES: u64 = 5_000_000_000;
    /// Formats that can be written, by Transformers' names.
    pub const DTYPES: [(&'static str, Dtype); 3] =
        [("float32", Dtype::F32), ("float16", Dtype::F16), ("bfloat16", Dtype::BF16)];

    /// Returns Transformers' name of the format.
    pub(crate) fn dtype_name(&self) -> &'static str {
        Self::DTYPES.iter().find(|(_, dtype)| *dtype == self.dtype).map_or("float32", |(name, _)| name)
    }
}

/// Creates a file of an export by its name in the folder. The files are created one after the other, and each is written whole.
pub type CreateFile<'a> = dyn FnMut(&str) -> std::io::Result<Box<dyn Write>> + 'a;

/// Writes the merged model: its weights in shards, and `config.json`, tokenizer, templates and generation settings. Returns notices for the user.
///
/// # Errors
/// If the adapter does not fit the base or holds something that the base has no place for, a tensor cannot be read, or writing fails.
pub fn write_merged(
    adapter: &PeftAdapter,
    base: &ModelSource,
    options: &MergeOptions<'_>,
    create: &mut CreateFile<'_>,
) -> Result<Vec<Message>, ExportError> {
    adapter.refuse_unconverted(form())?;
    let config = purposed(adapter, base.model_config()?)?;
    let modules = config.modules();
    let plan = Plan::new(adapter, base, &config, &modules)?;
    plan.check_base()?;
    let shards = shards(&plan, options);
    let untied = plan.merges.iter().any(|merge| merge.untied);
    let companions = merged_companions(base, &config, options, untied)?;
    write_shards(&plan, &shards, create)?;
    for (name, bytes) in companions {
        put(create, &name, &bytes)?;
    }
    Ok(notices(base, &config, untied))
}

/// Refuses what [`write_merged`] would refuse, as far as names and shapes tell it.
pub(crate) fn check_merged(adapter: &PeftAdapter, base: &ModelSource) -> Result<(), ExportError> {
    adapter.refuse_unconverted(form())?;
    let config = purposed(adapter, base.model_config()?)?;
    Plan::new(adapter, base, &config, &config.modules())?.check_base()
}

fn notices(base: &ModelSource, config: &ModelConfig, untied: bool) -> Vec<Message> {
    let untied = untied.then(untied_ends);
    left_out(base, config).into_iter().chain(untied).chain(rounded_base(base)).collect()
}

/// Returns the notice of an embedding and a head that the base has as one tensor, and the merged model as two.
pub(crate) fn untied_ends() -> Message {
    message!(
        "embedding and head of the base are one tensor, and two in the merged model: only one of them has the adapter's changes, or they have different ones"
    )
}

/// Returns the notice of a base in blocks, whose merged weights are its rounded ones.
pub(crate) fn rounded_base(base: &ModelSource) -> Option<Message> {
    let blocks = base.tensors.infos().iter().filter_map(|info| match info.dtype {
        StoredDtype::Blocks(ggml_type) => Some(ggml_type.to_string()),
        StoredDtype::Plain(_) => None,
    });
    let blocks: BTreeSet<String> = blocks.collect();
    let kinds = blocks.into_iter().collect::<Vec<_>>().join(", ");
    (!kinds.is_empty()).then(|| {
        message!(
            "the base is quantised ({kinds}): the merged weights are its rounded ones; merge into the original model to lose nothing",
            kinds
        )
    })
}

/// Returns the tensors of each file.
fn shards(plan: &Plan<'_>, options: &MergeOptions<'_>) -> Vec<Vec<TensorSpec>> {
    let mut shards: Vec<Vec<TensorSpec>> = Vec::new();
    let mut size = 0u64;
    for (name, shape) in plan.merges.iter().flat_map(Merge::tensors) {
        let bytes =
            shape.iter().fold(options.dtype.size() as u64, |size, &dim| size.saturating_mul(dim as u64));
        if shards.is_empty() || size.saturating_add(bytes) > options.max_shard_bytes {
            shards.push(Vec::new());
            size = 0;
        }
        size = size.saturating_add(bytes);
        if let Some(shard) = shards.last_mut() {
            shard.push(TensorSpec::new(name, options.dtype, shape));
        }
    }
    shards.retain(|shard| !shard.is_empty());
    shards
}

/// Writes the files of weights, and their index if there are several.
fn write_shards(
    plan: &Plan<'_>,
    shards: &[Vec<TensorSpec>],
    create: &mut CreateFile<'_>,
) -> Result<(), ExportError> {
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let (mut places, mut total) = (Map::new(), 0u64);
    for (index, specs) in shards.iter().enumerate() {
        let file = match shards.len() {
            1 => ModelSource::WEIGHTS.to_owned(),
            count => format!("model-{:05}-of-{count:05}.safetensors", index + 1),
        };
        let out = created(create, &file)?;
        let mut writer = SafetensorsWriter::new(out, specs, &metadata)?;
        for spec in writer.order().to_vec() {
            let values = plan.merged(&spec.name)?;
            refuse_overflow(&spec, &values)?;
            writer.write_f32(&spec.name, &values).map_err(|error| of_file(error, &file))?;
            let bytes = spec.shape.iter().fold(spec.dtype.size() as u64, |size, &dim| size * dim as u64);
            total += bytes;
            places.insert(spec.name, json!(file));
        }
        writer.finish().map_err(|error| of_file(error, &file))?;
    }
    if shards.len() > 1 {
        places.sort_keys();
        let index = json!({ "metadata": { "total_size": total }, "weight_map": places });
        put(create, ModelSource::INDEX, format!("{index:#}\n").as_bytes())?;
    }
    Ok(())
}

fn of_file(mut error: FormatError, file: &str) -> ExportError {
    file.clone_into(&mut error.file);
    error.into()
}

/// Returns a notice of the base's tensors that the merged model does not have.
pub(crate) fn left_out(base: &ModelSource, config: &ModelConfig) -> Option<Message> {
    let names = config.unexpected_tensors(&*base.tensors);
    let count = names.len();
    (count > 0).then(|| {
        message!(
            "{count} tensors of the base model have no place in the merged one: {names}",
            count,
            names = listed(&names)
        )
    })
}

/// Refuses values that are not finite, or would be infinite in the format.
fn refuse_overflow(spec: &TensorSpec, values: &[f32]) -> Result<(), ExportError> {
    let most = if spec.dtype == Dtype::F16 { 65504.0 } else { f32::MAX };
    refuse_large(form(), &spec.name, &spec.dtype, most, values)
}
