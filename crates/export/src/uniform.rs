//! One rank and one scale for every module, for readers that know no others.

use lorelei_formats::AdapterPart;
use lorelei_recipe::{Message, message};

use crate::{AdaptedModule, ExportError, PeftAdapter, adapter::scaled};

/// The rank and the scale that every module of an adapter gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Uniform {
    /// The largest rank: matrices of a smaller one are padded with zeros.
    pub rank: usize,
    /// The factor of `B A`: what differs in a module is folded into its `B`.
    pub scale: f64,
}

/// What making an adapter uniform changed, for a notice.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Changes {
    pub folded: bool,
    pub padded: bool,
}

impl Uniform {
    /// Returns the uniform rank of an adapter, and its scale: the modules' own if it is the same for all, else that of the configuration.
    pub fn of(adapter: &PeftAdapter) -> Self {
        let rank = adapter.modules().iter().map(|module| module.rank).max().unwrap_or(adapter.lora.r).max(1);
        let mut scales = adapter.modules().iter().map(|module| adapter.scaling(module));
        let first = scales.next().unwrap_or(1.0);
        let scale = match scales.all(|scale| scale == first) {
            true => first,
            false => adapter.lora.lora_alpha / rank as f64,
        };
        Self { rank, scale }
    }

    /// Returns the factor that a module's `B` takes in.
    pub fn factor(&self, adapter: &PeftAdapter, module: &AdaptedModule) -> f32 {
        adapter.fold(module, self.scale)
    }

    /// Reads a module's matrices, `A [rank, in]` and `B [out, rank]`, with the factor in `B` and zeros for what the rank lacks.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn matrices(
        &self,
        adapter: &PeftAdapter,
        module: &AdaptedModule,
        changes: &mut Changes,
    ) -> Result<(Vec<f32>, Vec<f32>), ExportError> {
        let (mut a, b) = adapter.matrices(module)?;
        let factor = self.factor(adapter, module);
        let b = scaled(b, factor);
        changes.folded |= factor != 1.0;
        if module.rank == self.rank {
            return Ok((a, b));
        }
        changes.padded = true;
        a.resize(self.rank * module.size_in, 0.0);
        let mut wide = Vec::with_capacity(self.rank * module.size_out);
        for row in b.chunks(module.rank) {
            wide.extend_from_slice(row);
            wide.resize(wide.len() + self.rank - module.rank, 0.0);
        }
        Ok((a, wide))
    }

    /// Reads the bias of a module's `B`, which the scale multiplies too.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn bias(&self, adapter: &PeftAdapter, module: &AdaptedModule) -> Result<Vec<f32>, ExportError> {
        Ok(scaled(adapter.read(module, AdapterPart::LoraBBias)?, self.factor(adapter, module)))
    }
}

impl Changes {
    /// Returns a notice for the user, if anything changed.
    pub fn notice(self) -> Option<Message> {
        match (self.folded, self.padded) {
            (false, false) => None,
            (true, false) => Some(message!(
                "scales that this form has no place for (rsLoRA, alpha_pattern, an alpha that is no whole number) are folded into B"
            )),
            (false, true) => Some(message!("smaller ranks are padded with zeros to the largest")),
            (true, true) => Some(message!(
                "scales that this form has no place for (rsLoRA, alpha_pattern, an alpha that is no whole number) are folded into B, and smaller ranks padded with zeros to the largest"
            )),
        }
    }
}
