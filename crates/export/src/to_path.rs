//! Exports on a file system: everything is written beside its place, and moved there when it is whole.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use lorelei_formats::{
    Dtype, ModelConfig, ModelSource, SafetensorsFile, SafetensorsWriter, StoredDtype, TensorSpec,
    gguf::{GgmlType, Gguf, GgufValue},
    write_adapter,
};

use crate::{
    ExportError, GgufLoraOptions, ImportedAdapter, MLX_TENSORS, MergeOptions, MergedGgufOptions, PeftAdapter,
    Turn, modelfile, read_gguf_lora, read_mlx, recognise_template, write_folded, write_gguf_lora,
    write_merged, write_merged_gguf, write_mlx,
};

/// Names of PEFT's files.
const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter_model.safetensors";
/// Names of the files that go with a PEFT adapter, if a run has them.
pub const PEFT_COMPANIONS: [&str; 3] = ["README.md", "recipe.toml", "labels.json"];
/// Names of Ollama's files.
const MODELFILE: &str = "Modelfile";
const OLLAMA_ADAPTER: &str = "adapter.gguf";

/// Opens the adapter in a folder.
///
/// # Errors
/// If the folder has no adapter, or its files do not fit together.
pub fn open_adapter(folder: &Path) -> Result<PeftAdapter, ExportError> {
    let has = |name: &str| folder.join(name).exists();
    let shown = folder.display().to_string();
    let missing = |name: &str| {
        let checkpoints = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut checkpoints =
            checkpoints.filter(|entry| entry.file_name().to_string_lossy().starts_with("checkpoint-"));
        let help = match checkpoints.next() {
            _ if has("adapter_model.bin") => {
                "it is in PyTorch's own format: load it with PEFT, and save it again".to_owned()
            }
            _ if has(MLX_TENSORS) => {
                format!("it is mlx-lm's: `lorelei convert {shown} FOLDER --base MODEL` makes it PEFT's")
            }
            _ if has("model.safetensors") || has(ModelSource::INDEX) => {
                "it is a whole model, which needs no export".to_owned()
            }
            Some(checkpoint) => format!(
                "did the run finish? Its checkpoints have adapters of their own, such as {}",
                checkpoint.path().display()
            ),
            None => "is it the folder of a run, or of a PEFT adapter?".to_owned(),
        };
        ExportError::adapter(&*shown, format!("it has no {name}"), help)
    };
    for name in [CONFIG, TENSORS] {
        if !has(name) {
            return Err(missing(name));
        }
    }
    let (config, tensors) = (folder.join(CONFIG), folder.join(TENSORS));
    let name = tensors.display().to_string();
    let source = Box::new(SafetensorsFile::open(open(&tensors)?, &*name)?);
    PeftAdapter::open(&read(&config)?, &config.display().to_string(), source, &name)
}

/// Whether a folder holds an adapter that mlx-lm trained.
pub fn is_mlx_adapter(folder: &Path) -> bool {
    folder.join(MLX_TENSORS).is_file() && folder.join(CONFIG).is_file()
}

/// Returns the base model that the configuration of an adapter of mlx-lm names.
///
/// # Errors
/// If it cannot be read, or names none.
pub fn mlx_base(folder: &Path) -> Result<String, ExportError> {
    let config: serde_json::Value = serde_json::from_str(&read(&folder.join(CONFIG))?).unwrap_or_default();
    let named = config.get("model").and_then(serde_json::Value::as_str);
    named.map(str::to_owned).ok_or_else(|| {
        let shown = folder.join(CONFIG).display().to_string();
        ExportError::adapter(shown, "it names no model", "name the base model with --base")
    })
}

/// Returns the files of PEFT's adapter for an adapter of mlx-lm, whose base is `base_name` with the configuration `base`.
///
/// # Errors
/// If the adapter's files cannot be read, do not fit together, or do not fit the base.
pub fn peft_files_of_mlx(
    folder: &Path,
    base: &ModelConfig,
    base_name: &str,
) -> Result<Vec<(String, Vec<u8>)>, ExportError> {
    let (config, tensors) = (folder.join(CONFIG), folder.join(MLX_TENSORS));
    let name = tensors.display().to_string();
    let source = SafetensorsFile::open(open(&tensors)?, &*name)?;
    let config_name = config.display().to_string();
    peft_files(read_mlx(&read(&config)?, &config_name, &source, &name, base, Some(base_name))?)
}

/// Whether a file is a GGUF adapter, not a GGUF model.
pub fn is_gguf_adapter(path: &Path) -> bool {
    let file = File::open(path).ok().filter(|_| path.is_file());
    let file = file.and_then(|file| Gguf::open(file, "").ok());
    file.is_some_and(|file| {
        file.metadata().get("general.type").and_then(GgufValue::as_str) == Some("adapter")
    })
}

/// Returns the files of PEFT's adapter for a GGUF adapter, whose base is `base_name` with the configuration `base`.
///
/// # Errors
/// If the file cannot be read, is no LoRA adapter, or does not fit the base.
pub fn peft_files_of_gguf(
    path: &Path,
    base: &ModelConfig,
    base_name: &str,
) -> Result<Vec<(String, Vec<u8>)>, ExportError> {
    let file = Gguf::open(open(path)?, path.display().to_string())?;
    peft_files(read_gguf_lora(&file, base, base_name)?)
}

fn peft_files(imported: ImportedAdapter) -> Result<Vec<(String, Vec<u8>)>, ExportError> {
    let tensors = write_adapter(&imported.tensors)?;
    Ok(vec![(TENSORS.to_owned(), tensors), (CONFIG.to_owned(), imported.config.into_bytes())])
}

fn unreadable(path: &Path, error: &io::Error) -> ExportError {
    let help = "check that it is there, and a readable file of UTF-8";
    ExportError::adapter(path.display().to_string(), error.to_string(), help)
}

fn read(path: &Path) -> Result<String, ExportError> {
    fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

fn open(path: &Path) -> Result<File, ExportError> {
    File::open(path).map_err(|error| unreadable(path, &error))
}

/// A form of an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportKind {
    /// PEFT's folder.
    Peft,
    /// A GGUF adapter: one file.
    GgufLora,
    /// The adapter merged into its base: a Hugging Face folder.
    Merged,
    /// The adapter merged into its base: one GGUF file.
    Gguf,
    /// mlx-lm's folder.
    Mlx,
    /// A folder with a Modelfile and a GGUF adapter.
    Ollama,
}

impl ExportKind {
    /// Every kind by its name on a command line.
    pub const ALL: [(&'static str, ExportKind); 6] = [
        ("peft", ExportKind::Peft),
        ("gguf-lora", ExportKind::GgufLora),
        ("merged", ExportKind::Merged),
        ("gguf", ExportKind::Gguf),
        ("mlx", ExportKind::Mlx),
        ("ollama", ExportKind::Ollama),
    ];

    /// Returns the name on a command line.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// Returns the path of an export of the run `run` where none is asked for: beside the run, or in the current folder for one from a hub.
    pub fn default_output(self, run: &str) -> PathBuf {
        let run = run.trim_end_matches(['/', '\\']);
        let run = match Path::new(run).exists() {
            true => run,
            false => run.rsplit('/').next().unwrap_or(run),
        };
        match self {
            Self::GgufLora => PathBuf::from(format!("{run}-lora.gguf")),
            Self::Gguf => PathBuf::from(format!("{run}-merged.gguf")),
            kind => PathBuf::from(format!("{run}-{}", kind.name())),
        }
    }

    /// Whether an export of this kind has a file of this name.
    fn writes(self, name: &str) -> bool {
        match self {
            Self::Peft => name == TENSORS || name == CONFIG || PEFT_COMPANIONS.contains(&name),
            Self::Mlx => name == MLX_TENSORS || name == CONFIG,
            Self::Ollama => name == MODELFILE || name == OLLAMA_ADAPTER,
            Self::Merged => {
                let is_weights = name.starts_with("model") && name.ends_with(".safetensors");
                is_weights
                    || name == "config.json"
                    || name == ModelSource::INDEX
                    || ModelSource::OPTIONAL.contains(&name)
            }
            Self::GgufLora | Self::Gguf => false,
        }
    }

    /// Whether an export of this kind is one file.
    fn is_file(self) -> bool {
        matches!(self, Self::GgufLora | Self::Gguf)
    }

    /// Returns the storage format of this name, or the usual one if none is asked for. The names are ggml's and Transformers'.
    ///
    /// # Errors
    /// If the kind has no such format.
    pub fn dtype(self, name: Option<&str>) -> Result<ExportDtype, ExportError> {
        let known: &[ExportDtype] = match self {
            Self::Peft => &[ExportDtype::F32],
            Self::GgufLora | Self::Ollama => {
                &[ExportDtype::F32, ExportDtype::F16, ExportDtype::BF16, ExportDtype::Q8_0]
            }
            Self::Gguf => &[
                ExportDtype::Own,
                ExportDtype::F32,
                ExportDtype::F16,
                ExportDtype::BF16,
                ExportDtype::Q8_0,
                ExportDtype::Q4_0,
                ExportDtype::Q4_1,
                ExportDtype::Q5_0,
                ExportDtype::Q5_1,
            ],
            Self::Merged => &[ExportDtype::BF16, ExportDtype::F16, ExportDtype::F32],
            Self::Mlx => &[ExportDtype::F32, ExportDtype::F16, ExportDtype::BF16],
        };
        let Some(name) = name else { return Ok(known.first().copied().unwrap_or(ExportDtype::F32)) };
        let found = known.iter().find(|dtype| dtype.names().contains(&name.to_lowercase().as_str()));
        found.copied().ok_or_else(|| {
            let names = known.iter().map(|dtype| dtype.names()[0]).collect::<Vec<_>>().join(", ");
            ExportError::adapter(
                "--dtype",
                format!("{} has no format {name:?}", self.name()),
                format!("write {names}"),
            )
        })
    }
}

/// Storage format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportDtype {
    /// That of each tensor of the base.
    Own,
    /// 32-bit floats.
    F32,
    /// IEEE half floats.
    F16,
    /// Upper halves of 32-bit floats.
    BF16,
    /// ggml's blocks of 32 signed bytes.
    Q8_0,
    /// ggml's blocks of 32 numbers of 4 bits and a scale.
    Q4_0,
    /// ggml's blocks of 32 numbers of 4 bits, a scale and a least value.
    Q4_1,
    /// ggml's blocks of 32 numbers of 5 bits and a scale.
    Q5_0,
    /// ggml's blocks of 32 numbers of 5 bits, a scale and a least value.
    Q5_1,
}

impl ExportDtype {
    fn names(self) -> [&'static str; 2] {
        match self {
            Self::Own => ["own", "auto"],
            Self::F32 => ["float32", "f32"],
            Self::F16 => ["float16", "f16"],
            Self::BF16 => ["bfloat16", "bf16"],
            Self::Q8_0 => ["q8_0", "q8"],
            Self::Q4_0 => ["q4_0"; 2],
            Self::Q4_1 => ["q4_1"; 2],
            Self::Q5_0 => ["q5_0"; 2],
            Self::Q5_1 => ["q5_1"; 2],
        }
    }

    /// Returns ggml's format; `None` for that of the base.
    fn ggml(self) -> Option<GgmlType> {
        Some(match self {
            Self::Own => return None,
            Self::F32 => GgmlType::F32,
            Self::F16 => GgmlType::F16,
            Self::BF16 => GgmlType::BF16,
            Self::Q8_0 => GgmlType::Q8_0,
            Self::Q4_0 => GgmlType::Q4_0,
            Self::Q4_1 => GgmlType::Q4_1,
            Self::Q5_0 => GgmlType::Q5_0,
            Self::Q5_1 => GgmlType::Q5_1,
        })
    }

    fn plain(self) -> Dtype {
        match self {
            Self::F16 => Dtype::F16,
            Self::BF16 => Dtype::BF16,
            _ => Dtype::F32,
        }
    }
}

/// What to export, and where to.
pub struct ExportRequest<'a> {
    /// The form.
    pub kind: ExportKind,
    /// The storage format, of [`ExportKind::dtype`].
    pub dtype: ExportDtype,
    /// The file or folder to write.
    pub output: &'a Path,
    /// Files and folders that the export is made of, which it must not replace.
    pub sources: &'a [&'a Path],
    /// Whether a previous export of the same kind that stands at `output` is replaced.
    pub overwrite: bool,
    /// Whether a PEFT adapter gets one rank and one scale.
    pub fold: bool,
    /// Name of the adapter.
    pub name: &'a str,
    /// The base as Ollama's FROM names it.
    pub from: &'a str,
    /// Text of a classifier's `labels.json`, if there is one.
    pub labels: Option<&'a str>,
    /// Files to copy beside a PEFT adapter.
    pub companions: &'a [(String, Vec<u8>)],
    /// Formats a conversation with the beginning of an answer by the base's chat template, without the token at the beginning of a text; `None` if the
    /// template refuses it.
    pub chat: &'a dyn Fn(&[Turn<'_>]) -> Option<String>,
}

/// Exports an adapter for `base`. Returns notices for the user. Nothing stands at the output until all of it is written, and what stood there before
/// is kept if anything fails.
///
/// # Errors
/// If something stands at the output and is not to be replaced, the form cannot hold the adapter, or reading or writing fails.
pub fn export_to_path(
    adapter: &PeftAdapter,
    base: &ModelSource,
    request: &ExportRequest<'_>,
) -> Result<Vec<String>, ExportError> {
    request.refuse_existing()?;
    let aside = Aside::new(request.output)?;
    let place = aside.place();
    let notices = match request.kind {
        ExportKind::GgufLora => {
            let mut out = create(&place)?;
            let notices = request.gguf_lora(adapter, base, &mut out)?;
            sync(out, &place)?;
            notices
        }
        ExportKind::Gguf => {
            let options =
                MergedGgufOptions { ggml_type: request.dtype.ggml(), name: request.name.to_owned() };
            let (out, notices) = write_merged_gguf(adapter, base, &options, create(&place)?)?;
            sync(out, &place)?;
            notices
        }
        kind => {
            fs::create_dir(&place).map_err(|source| failed(&place, source))?;
            match kind {
                ExportKind::Peft => request.peft(adapter, &place)?,
                ExportKind::Mlx => request.mlx(adapter, base, &place)?,
                ExportKind::Ollama => request.ollama(adapter, base, &place)?,
                ExportKind::Merged | ExportKind::GgufLora | ExportKind::Gguf => {
                    request.merged(adapter, base, &place)?
                }
            }
        }
    };
    aside.settle(request.output)?;
    Ok(notices)
}

impl ExportRequest<'_> {
    /// Refuses an output that stands already, unless it is to be replaced, and ever one that is a source.
    fn refuse_existing(&self) -> Result<(), ExportError> {
        let shown = self.output.display().to_string();
        if !self.output.exists() {
            return Ok(());
        }
        let real = |path: &Path| fs::canonicalize(path).ok();
        let output = real(self.output);
        // Replacing a folder removes what it contains.
        let holds = |source: &&Path| {
            real(source).zip(output.as_ref()).is_some_and(|(source, output)| source.starts_with(output))
        };
        if self.sources.iter().any(holds) {
            let problem = "it is, or contains, what is to be exported";
            return Err(ExportError::adapter(shown, problem, "choose another --output"));
        }
        if !self.overwrite {
            let help = "choose another --output, or replace it with --overwrite";
            return Err(ExportError::adapter(shown, "it is there already", help));
        }
        match self.foreign().map_err(|source| failed(self.output, source))? {
            None => Ok(()),
            Some(problem) => {
                let help = "choose another --output, or remove it yourself";
                Err(ExportError::adapter(shown, problem, help))
            }
        }
    }

    /// Says what stands at the output that no export of this kind has written, so that `--overwrite` removes nothing else.
    fn foreign(&self) -> io::Result<Option<String>> {
        let is_file = self.kind.is_file();
        match (self.output.is_dir(), is_file) {
            (true, true) => return Ok(Some("it is a folder, and the export is a file".to_owned())),
            (false, false) => return Ok(Some("it is a file, and the export is a folder".to_owned())),
            (false, true) => {
                let mut magic = Vec::new();
                File::open(self.output)?.take(4).read_to_end(&mut magic)?;
                return Ok((magic != b"GGUF").then(|| "it is no GGUF file".to_owned()));
            }
            (true, false) => {}
        }
        for entry in fs::read_dir(self.output)? {
            let entry = entry?;
            let name = entry.file_name();
            if entry.path().is_dir() || !self.kind.writes(&name.to_string_lossy()) {
                return Ok(Some(format!("it holds {}, which no export writes", name.to_string_lossy())));
            }
        }
        Ok(None)
    }

    fn gguf_lora(
        &self,
        adapter: &PeftAdapter,
        base: &ModelSource,
        out: &mut impl Write,
    ) -> Result<Vec<String>, ExportError> {
        let ggml_type = self.dtype.ggml().unwrap_or(GgmlType::F32);
        let options = GgufLoraOptions { ggml_type, name: self.name.to_owned() };
        Ok(write_gguf_lora(adapter, &base.model_config()?, &options, out)?.1)
    }

    fn peft(&self, adapter: &PeftAdapter, folder: &Path) -> Result<Vec<String>, ExportError> {
        let place = folder.join(TENSORS);
        let out = create(&place)?;
        let (out, config, notices) = match self.fold {
            true => write_folded(adapter, out)?,
            false => (copied(adapter, out)?, adapter.config().to_owned(), Vec::new()),
        };
        sync(out, &place)?;
        put(folder, CONFIG, config.as_bytes())?;
        for (name, bytes) in self.companions {
            put(folder, name, bytes)?;
        }
        Ok(notices)
    }

    fn mlx(
        &self,
        adapter: &PeftAdapter,
        base: &ModelSource,
        folder: &Path,
    ) -> Result<Vec<String>, ExportError> {
        let place = folder.join(MLX_TENSORS);
        let (out, config, notices) =
            write_mlx(adapter, &base.model_config()?, self.dtype.plain(), create(&place)?)?;
        sync(out, &place)?;
        put(folder, CONFIG, config.as_bytes())?;
        Ok(notices)
    }

    fn ollama(
        &self,
        adapter: &PeftAdapter,
        base: &ModelSource,
        folder: &Path,
    ) -> Result<Vec<String>, ExportError> {
        let place = folder.join(OLLAMA_ADAPTER);
        let mut out = create(&place)?;
        let mut notices = self.gguf_lora(adapter, base, &mut out)?;
        sync(out, &place)?;
        let template = recognise_template(self.chat);
        let (text, more) = modelfile(self.from, OLLAMA_ADAPTER, template.as_ref());
        put(folder, MODELFILE, text.as_bytes())?;
        notices.extend(more);
        Ok(notices)
    }

    fn merged(
        &self,
        adapter: &PeftAdapter,
        base: &ModelSource,
        folder: &Path,
    ) -> Result<Vec<String>, ExportError> {
        let options = MergeOptions {
            dtype: self.dtype.plain(),
            max_shard_bytes: MergeOptions::SHARD_BYTES,
            labels: self.labels,
        };
        let mut create = |name: &str| {
            let file = BufWriter::new(File::create(folder.join(name))?);
            Ok(Box::new(file) as Box<dyn Write>)
        };
        let notices = write_merged(adapter, base, &options, &mut create)?;
        for entry in fs::read_dir(folder).map_err(|source| failed(folder, source))?.flatten() {
            let synced = File::open(entry.path()).and_then(|file| file.sync_all());
            synced.map_err(|source| failed(&entry.path(), source))?;
        }
        Ok(notices)
    }
}

/// Copies the tensors of an adapter in their own formats.
fn copied<W: Write>(adapter: &PeftAdapter, out: W) -> Result<W, ExportError> {
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
    Ok(writer.finish()?)
}

fn failed(path: &Path, source: io::Error) -> ExportError {
    ExportError::Output { file: path.display().to_string(), source }
}

fn create(path: &Path) -> Result<BufWriter<File>, ExportError> {
    File::create(path).map(BufWriter::new).map_err(|source| failed(path, source))
}

/// Brings a written file onto the disk.
fn sync(out: BufWriter<File>, path: &Path) -> Result<(), ExportError> {
    let synced = out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
    synced.map_err(|source| failed(path, source))
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
    let path = folder.join(name);
    let mut out = create(&path)?;
    out.write_all(bytes).map_err(|source| failed(&path, source))?;
    sync(out, &path)
}

/// A temporary folder beside an output, in which the output is made. It is removed with what is in it, unless that is moved away.
struct Aside(tempfile::TempDir);

impl Aside {
    fn new(output: &Path) -> Result<Self, ExportError> {
        let parent =
            output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(|source| failed(parent, source))?;
        let folder = tempfile::Builder::new().suffix(".tmp").tempdir_in(parent);
        folder.map(Self).map_err(|source| failed(output, source))
    }

    /// Returns the path at which the output is made.
    fn place(&self) -> PathBuf {
        self.0.path().join("export")
    }

    /// Moves the output to its place. What stood there is moved aside first, and back if the move fails.
    fn settle(self, output: &Path) -> Result<(), ExportError> {
        let old = self.0.path().join("old");
        let replaces = output.exists();
        if replaces {
            fs::rename(output, &old).map_err(|source| failed(output, source))?;
        }
        if let Err(source) = fs::rename(self.place(), output) {
            if replaces {
                let _ = fs::rename(&old, output);
            }
            return Err(failed(output, source));
        }
        let parent =
            output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let _ = File::open(parent).and_then(|folder| folder.sync_all());
        Ok(())
    }
}
