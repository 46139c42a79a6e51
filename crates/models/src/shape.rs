//! A model as plain data, for estimates.

use lorelei_estimate::ModelShape;
use lorelei_formats::{ModelConfig, TensorSource};

use crate::Weight;

/// Describes the model that `source` and its configuration make, of which no weight is read. With `keep_packed`, the linear layers stay in the
/// blocks that the file has.
pub fn model_shape(config: &ModelConfig, source: &dyn TensorSource, keep_packed: bool) -> ModelShape {
    ModelShape::new(config, source, |name, sizes| {
        let form = keep_packed.then(|| Weight::packed_form(source, name, sizes)).flatten()?;
        Some(form.bytes() as u64)
    })
}
