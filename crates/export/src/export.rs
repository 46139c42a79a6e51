//! Exports of every kind, into files that a host creates: in a folder of the program's, or in an archive of the page's.

use std::io::Write;

use lorelei_formats::{Dtype, ModelSource, SafetensorsWriter, StoredDtype, TensorSpec, gguf::GgmlType};
use lorelei_recipe::Message;

use crate::{
    CreateFile, ExportDtype, ExportError, ExportKind, GgufLoraOptions, MLX_TENSORS, MergeOptions,
    MergedGgufOptions, PeftAdapter, Turn,
    folded::check_folded,
    gguf_lora,
    kind::{CONFIG, GGUF_ADAPTER, GGUF_MODEL, MODELFILE, TENSORS},
    merged::check_merged,
    merged_gguf::check_merged_gguf,
    mlx, modelfile, recognise_template, write_folded, write_gguf_lora, write_merged, write_merged_gguf,
    write_mlx,
};

/// What to export.
#[derive(Clone)]
pub struct Export<'a> {
    /// The form.
    pub kind: ExportKind,
    /// The storage format, of [`ExportKind::dtype`].
    pub dtype: ExportDtype,
    /// Whether a PEFT adapter gets one rank and one scale.
    pub fold: bool,
    /// Name of the adapter.
    pub name: &'a str,
    /// The base as Ollama's FROM names it.
    pub from: &'a str,
    /// Text of a classifier's `labels.json`, if there is one.
    pub labels: Option<&'a str>,
    /// Files to write beside a PEFT adapter or a merged model.
    pub companions: &'a [(String, Vec<u8>)],
    /// Formats a conversation with the beginning of an answer by the base's chat template, without the token at the beginning of a text; `None` if the
    /// template refuses it.
    pub chat: &'a dyn Fn(&[Turn<'_>]) -> Option<String>,
}

impl Export<'_> {
    /// Writes the files of the export, one after the other; a GGUF is one. Returns notices for the user.
    ///
    /// # Errors
    /// If the form cannot hold the adapter, it does not fit the base, or reading or writing fails.
    pub fn write(
        &self,
        adapter: &PeftAdapter,
        base: &ModelSource,
        create: &mut CreateFile<'_>,
    ) -> Result<Vec<Message>, ExportError> {
        match self.kind {
            ExportKind::Peft => self.peft(adapter, create),
            ExportKind::GgufLora => self.gguf_lora(adapter, base, create),
            ExportKind::Gguf => self.gguf(adapter, base, create),
            ExportKind::Mlx => self.mlx(adapter, base, create),
            ExportKind::Ollama => self.ollama(adapter, base, create),
            ExportKind::Merged => {
                let notices = write_merged(adapter, base, &self.merge_options(), create)?;
                self.put_companions(create)?;
                Ok(notices)
            }
        }
    }

    fn merge_options(&self) -> MergeOptions<'_> {
        MergeOptions {
            dtype: self.dtype.plain(),
            max_shard_bytes: MergeOptions::SHARD_BYTES,
            labels: self.labels,
        }
    }

    fn peft(&self, adapter: &PeftAdapter, create: &mut CreateFile<'_>) -> Result<Vec<Message>, ExportError> {
        let out = created(create, TENSORS)?;
        let (config, notices) = match self.fold {
            true => {
                let (_, config, notices) = write_folded(adapter, out)?;
                (config, notices)
            }
            false => {
                copy(adapter, out)?;
                (adapter.config().to_owned(), Vec::new())
            }
        };
        put(create, CONFIG, config.as_bytes())?;
        self.put_companions(create)?;
        Ok(notices)
    }

    fn put_companions(&self, create: &mut CreateFile<'_>) -> Result<(), ExportError> {
        self.companions.iter().try_for_each(|(name, bytes)| put(create, name, bytes))
    }

    fn gguf_lora(
        &self,
        adapter: &PeftAdapter,
        base: &ModelSource,
        create: &mut CreateFile<'_>,
    ) -> Result<Vec<Message>, ExportError> {
        let options = GgufLoraOptions {
            ggml_type: self.dtype.ggml().unwrap_or(GgmlType::F32),
            name: self.name.to_owned(),
        };
        let out = created(create, GGUF_ADAPTER)?;
        Ok(write_gguf_lora(adapter, &base.model_config()?, &options, out)?.1)
    }

    fn gguf(
        &self,
        adapter: &PeftAdapter,
        base: &ModelSource,
        create: &mut CreateFile<'_>,
    ) -> Result<Vec<Message>, ExportError> {
        let options = MergedGgufOptions { ggml_type: self.dtype.ggml(), name: self.name.to_owned() };
        let out = created(create, GGUF_MODEL)?;
        Ok(write_merged_gguf(adapter, base, &options, out)?.1)
    }

    fn mlx(
        &self,
        adapter: &PeftAdapter,
        base: &ModelSource,
        create: &mut CreateFile<'_>,
    ) -> Result<Vec<Message>, ExportError> {
        let out = created(create, MLX_TENSORS)?;
        let (_, config, notices) = write_mlx(adapter, &base.model_config()?, self.dtype.plain(), out)?;
        put(create, CONFIG, config.as_bytes())?;
        Ok(notices)
    }

    fn ollama(
        &self,
        adapter: &PeftAdapter,
        base: &ModelSource,
        create: &mut CreateFile<'_>,
    ) -> Result<Vec<Message>, ExportError> {
        let mut notices = self.gguf_lora(adapter, base, create)?;
        let template = recognise_template(self.chat);
        let (text, more) = modelfile(self.from, GGUF_ADAPTER, template.as_ref());
        put(create, MODELFILE, text.as_bytes())?;
        notices.extend(more);
        Ok(notices)
    }
}

/// Refuses what an export of this kind would refuse of an adapter for `base`, without writing it. What depends on single values, such as one that is too
/// large for a storage format, is found by the export alone.
///
/// # Errors
/// The errors of [`Export::write`], as far as names, shapes and settings tell them.
pub fn check_export(
    kind: ExportKind,
    fold: bool,
    adapter: &PeftAdapter,
    base: &ModelSource,
) -> Result<(), ExportError> {
    match kind {
        ExportKind::Peft if fold => check_folded(adapter),
        ExportKind::Peft => Ok(()),
        ExportKind::GgufLora | ExportKind::Ollama => {
            gguf_lora::check_gguf_lora(adapter, &base.model_config()?)
        }
        ExportKind::Mlx => mlx::check_mlx(adapter, &base.model_config()?),
        ExportKind::Merged => check_merged(adapter, base),
        ExportKind::Gguf => check_merged_gguf(adapter, base),
    }
}

/// Copies the tensors of an adapter in their own formats.
fn copy(adapter: &PeftAdapter, out: impl Write) -> Result<(), ExportError> {
    let infos = adapter.tensors().infos();
    let spec = |info: &lorelei_formats::TensorInfo| {
        let dtype = match info.dtype {
            StoredDtype::Plain(dtype) => dtype,
            StoredDtype::Blocks(_) => Dtype::F32,
        };
        TensorSpec::new(info.name.clone(), dtype, info.shape.clone())
    };
    let specs: Vec<TensorSpec> = infos.iter().map(spec).collect();
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let mut writer = SafetensorsWriter::new(out, &specs, &metadata)?;
    for spec in writer.order().to_vec() {
        writer.write_f32(&spec.name, &adapter.read_key(&spec.name)?)?;
    }
    writer.finish()?;
    Ok(())
}

/// Creates a file by its name.
pub(crate) fn created(create: &mut CreateFile<'_>, name: &str) -> Result<Box<dyn Write>, ExportError> {
    create(name).map_err(|source| ExportError::Output { file: name.to_owned(), source })
}

/// Writes a small file whole.
pub(crate) fn put(create: &mut CreateFile<'_>, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
    let mut out = created(create, name)?;
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(|source| ExportError::Output { file: name.to_owned(), source })
}
