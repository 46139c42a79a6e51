//! A model as plain data, for estimates.

use lorelei_estimate::ModelShape;
use lorelei_formats::{ModelConfig, TensorSource};

use crate::Weight;

/// Describes the model of `source` and its configuration, without reading a weight. With `keep_packed`, the linear layers stay in the file's blocks.
pub fn model_shape(config: &ModelConfig, source: &dyn TensorSource, keep_packed: bool) -> ModelShape {
    ModelShape::new(config, source, |name, sizes| {
        let form = keep_packed.then(|| Weight::packed_form(source, name, sizes)).flatten()?;
        Some(form.bytes() as u64)
    })
}
