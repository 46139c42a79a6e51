//! Exports on a file system: everything is written beside its place, and moved there when it is whole.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use lorelei_formats::{
    ModelConfig, ModelSource, SafetensorsFile,
    gguf::{Gguf, GgufValue},
    write_adapter,
};
use lorelei_recipe::Message;

use crate::{
    Export, ExportError, ExportKind, ImportedAdapter, MLX_TENSORS, PeftAdapter,
    kind::{CONFIG, GGUF_ADAPTER, MERGED_COMPANIONS, MODELFILE, PEFT_COMPANIONS, TENSORS},
    read_gguf_lora, read_mlx,
};

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
                "it is a whole model, which `--to merged` and `--to gguf` write in another format".to_owned()
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

/// Returns true for the path of a model's folder or of its GGUF file, which is no adapter's.
pub fn is_whole_model(path: &Path) -> bool {
    let has = |name: &str| path.join(name).is_file();
    let is_folder = !has(CONFIG) && (has(ModelSource::WEIGHTS) || has(ModelSource::INDEX));
    let is_gguf = || path.extension().is_some_and(|extension| extension == "gguf") && !is_gguf_adapter(path);
    is_folder || (path.is_file() && is_gguf())
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
    refuse_pipe(path)?;
    fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

/// Refuses what is no file, such as a pipe, which may never end.
fn refuse_pipe(path: &Path) -> Result<(), ExportError> {
    match path.exists() && !path.is_file() {
        false => Ok(()),
        true => Err(ExportError::adapter(path.display().to_string(), "it is no file", "give a regular file")),
    }
}

fn open(path: &Path) -> Result<File, ExportError> {
    refuse_pipe(path)?;
    File::open(path).map_err(|error| unreadable(path, &error))
}

impl ExportKind {
    /// Returns the path of an export of the run `run` where none is asked for: beside the run, or in the current folder for one from a hub.
    pub fn default_output(self, run: &str) -> PathBuf {
        let run = run.trim_end_matches(['/', '\\']);
        let run = match Path::new(run).exists() {
            true => run,
            false => run.rsplit('/').next().unwrap_or(run),
        };
        PathBuf::from(self.output_name(run))
    }

    /// Whether an export of this kind has a file of this name.
    fn writes(self, name: &str) -> bool {
        match self {
            Self::Peft => name == TENSORS || name == CONFIG || PEFT_COMPANIONS.contains(&name),
            Self::Mlx => name == MLX_TENSORS || name == CONFIG,
            Self::Ollama => name == MODELFILE || name == GGUF_ADAPTER,
            Self::Merged => {
                let is_weights = name.starts_with("model") && name.ends_with(".safetensors");
                is_weights
                    || name == "config.json"
                    || name == ModelSource::INDEX
                    || ModelSource::OPTIONAL.contains(&name)
                    || MERGED_COMPANIONS.contains(&name)
            }
            Self::GgufLora | Self::Gguf => false,
        }
    }
}

/// What to export, and where to.
pub struct ExportRequest<'a> {
    /// What to export.
    pub export: Export<'a>,
    /// The file or folder to write.
    pub output: &'a Path,
    /// Files and folders that the export is made of, which it must not replace.
    pub sources: &'a [&'a Path],
    /// Whether a previous export of the same kind that stands at `output` is replaced.
    pub overwrite: bool,
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
) -> Result<Vec<Message>, ExportError> {
    request.refuse_existing()?;
    let aside = Aside::new(request.output)?;
    let place = aside.place();
    let is_file = request.export.kind.is_file();
    if !is_file {
        fs::create_dir(&place).map_err(|source| failed(&place, source))?;
    }
    let mut files = Vec::new();
    let mut create = |name: &str| {
        let path = if is_file { place.clone() } else { place.join(name) };
        let file = BufWriter::new(File::create(&path)?);
        files.push(path);
        Ok(Box::new(file) as Box<dyn Write>)
    };
    let notices = request.export.write(adapter, base, &mut create)?;
    for path in files {
        let synced = File::open(&path).and_then(|file| file.sync_all());
        synced.map_err(|source| failed(&path, source))?;
    }
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
        let is_file = self.export.kind.is_file();
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
            if entry.path().is_dir() || !self.export.kind.writes(&name.to_string_lossy()) {
                return Ok(Some(format!("it holds {}, which no export writes", name.to_string_lossy())));
            }
        }
        Ok(None)
    }
}

fn failed(path: &Path, source: io::Error) -> ExportError {
    ExportError::Output { file: path.display().to_string(), source }
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
