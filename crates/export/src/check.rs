//! What a program will refuse of an adapter, or silently leave out, and the flags to give it.

use lorelei_formats::{
    AdapterPart, Dtype, ModelConfig,
    config::{ModuleShape, Role},
    gguf::GgmlType,
    peft::is_classifier_head,
};

use lorelei_recipe::Message;

use crate::{
    ExportError, GgufLoraOptions, PeftAdapter, adapter::listed, gguf_lora::refuse_parts,
    merge_plan::purposed, mlx, write_gguf_lora, write_mlx,
};

/// A program that reads adapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// PEFT.
    Peft,
    /// vLLM, which reads PEFT's folder.
    Vllm,
    /// llama.cpp, and LM Studio, which is built on it: GGUF adapters.
    LlamaCpp,
    /// Ollama: GGUF adapters too.
    Ollama,
    /// mlx-lm.
    Mlx,
}

impl Reader {
    /// Every reader by its name on a command line.
    pub const ALL: [(&'static str, Reader); 5] = [
        ("peft", Reader::Peft),
        ("vllm", Reader::Vllm),
        ("llamacpp", Reader::LlamaCpp),
        ("ollama", Reader::Ollama),
        ("mlx", Reader::Mlx),
    ];
}

/// What a reader does with an adapter, or with a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is refused.
    Refused,
    /// It is left out without a word, and the answers are others.
    Ignored,
    /// It works if it is done so.
    Hint,
}

impl Verdict {
    /// Returns the word for a list of findings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Ignored => "silently ignored",
            Self::Hint => "do",
        }
    }
}

/// A finding about an adapter and a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What happens.
    pub verdict: Verdict,
    /// What it happens to, and the way out.
    pub message: String,
}

/// Ranks for which vLLM has kernels (`--max-lora-rank`), and the one that it has room for if it is not told.
const VLLM_RANKS: [usize; 9] = [1, 8, 16, 32, 64, 128, 256, 320, 512];
const VLLM_DEFAULT_RANK: usize = 16;

/// Says what `reader` will refuse or silently leave out of an adapter. With the configuration of its base, what depends on the model is found too.
///
/// # Errors
/// If the adapter's tensors cannot be read.
pub fn check(
    adapter: &PeftAdapter,
    base: Option<&ModelConfig>,
    reader: Reader,
) -> Result<Vec<Finding>, ExportError> {
    let mut findings = Vec::new();
    match reader {
        Reader::Peft => {
            of_folder(adapter, base, &mut findings)?;
            of_peft(adapter, &mut findings);
        }
        Reader::Vllm => {
            of_folder(adapter, base, &mut findings)?;
            of_vllm(adapter, base, &mut findings);
        }
        Reader::LlamaCpp | Reader::Ollama => of_gguf(adapter, base, reader, &mut findings)?,
        Reader::Mlx => of_mlx(adapter, base, &mut findings)?,
    }
    findings.sort_by_key(|finding| finding.verdict);
    Ok(findings)
}

fn push(findings: &mut Vec<Finding>, verdict: Verdict, message: impl Into<String>) {
    findings.push(Finding { verdict, message: message.into() });
}

/// Compares an adapter with its base and reads its values, for readers that take PEFT's folder as it is; another form does both when it is written.
fn of_folder(
    adapter: &PeftAdapter,
    base: Option<&ModelConfig>,
    findings: &mut Vec<Finding>,
) -> Result<(), ExportError> {
    adapter.tensors().infos().iter().try_for_each(|info| adapter.read_key(&info.name).map(drop))?;
    let Some(base) = base else {
        without_base(None, true, findings);
        return Ok(());
    };
    let config = purposed(adapter, base.clone())?;
    let modules = config.modules();
    let lacks = modules.iter().filter(|module| {
        let is_selected = adapter.lora.selects(&module.path, module.role == Role::LmHead, module.layer);
        let is_linear = matches!(module.shape, ModuleShape::Linear { .. });
        is_linear && is_selected && !adapter.modules().iter().any(|adapted| adapted.path == module.path)
    });
    let lacks: Vec<&String> = lacks.map(|module| &module.path).collect();
    if !lacks.is_empty() {
        let message = format!(
            "the configuration selects {}, and the file has no adapter for it: PEFT loads it with a warning, and those modules stay as they begin",
            listed(&lacks)
        );
        push(findings, Verdict::Ignored, message);
    }
    let misfits = adapter.modules().iter().filter_map(|module| match adapter.base_module(module, &modules) {
        Err(ExportError::Adapter { problem, .. }) => Some(problem.to_string()),
        _ => None,
    });
    let misfits: Vec<String> = misfits.collect();
    if !misfits.is_empty() {
        let message = format!("{}: give the base model that the adapter was trained for", listed(&misfits));
        push(findings, Verdict::Refused, message);
    }
    Ok(())
}

/// PEFT reads everything that is its own. What is said of it are keys that are unknown here.
fn of_peft(adapter: &PeftAdapter, findings: &mut Vec<Finding>) {
    for warning in &adapter.warnings {
        push(
            findings,
            Verdict::Hint,
            format!("check {}: it is unknown here, and a PEFT that does not know it refuses it", warning.key),
        );
    }
    if adapter.lora.init_lora_weights.changes_the_base() {
        let message = "convert it: at every load PEFT decomposes the base's weights anew, which takes long and fits this very base only \
                       (save_pretrained(…, path_initial_model_for_weight_conversion=…))";
        push(findings, Verdict::Hint, message);
    }
    if adapter.others().iter().any(|key| is_classifier_head(key)) {
        push(
            findings,
            Verdict::Hint,
            "load the base as a classifier (AutoModelForSequenceClassification or …TokenClassification, num_labels=…)",
        );
    }
}

fn of_vllm(adapter: &PeftAdapter, base: Option<&ModelConfig>, findings: &mut Vec<Finding>) {
    let lora = &adapter.lora;
    let has = |part| adapter.modules().iter().any(|module| module.has(part));
    if lora.use_dora || has(AdapterPart::MagnitudeVector) {
        push(
            findings,
            Verdict::Refused,
            "DoRA: serve it merged into its base (`lorelei export --to merged`)",
        );
    }
    if lora.lora_bias || has(AdapterPart::LoraBBias) || lora.bias != lorelei_recipe::Bias::None {
        push(
            findings,
            Verdict::Refused,
            "trained biases: serve it merged into its base (`lorelei export --to merged`)",
        );
    }
    let mut others = adapter.trained_beside();
    others.retain(|key| !is_classifier_head(key));
    if !others.is_empty() {
        let message = format!(
            "what was trained of the base beside it ({}): serve it merged (`lorelei export --to merged`)",
            listed(&others)
        );
        push(findings, Verdict::Refused, message);
    }
    // Its PEFTHelper takes none, a classifier's head neither.
    if others.is_empty() && lora.modules_to_save.as_ref().is_some_and(|names| !names.is_empty()) {
        let message = "modules_to_save: serve it merged into its base (`lorelei export --to merged`)";
        push(findings, Verdict::Refused, message);
    }
    if lora.init_lora_weights.changes_the_base() {
        let message = "that PiSSA or OLoRA changed the base: convert it to a plain adapter first";
        push(findings, Verdict::Ignored, message);
    }
    let ranks = || adapter.modules().iter().map(|module| module.rank);
    // It computes lora_alpha / r (or / √r) for all modules.
    let mut scales = adapter.modules().iter().map(|module| adapter.scaling(module));
    let assumed = lora.lora_alpha / if lora.use_rslora { (lora.r as f64).sqrt() } else { lora.r as f64 };
    if scales.any(|scale| scale != assumed) {
        let message =
            "alpha_pattern and rank_pattern: fold them in first (`lorelei export --to peft --fold`)";
        push(findings, Verdict::Ignored, message);
    }
    let rank = ranks().max().unwrap_or(lora.r).max(lora.r);
    match VLLM_RANKS.iter().find(|limit| **limit >= rank) {
        None => push(
            findings,
            Verdict::Refused,
            format!("a rank of {rank}: vLLM takes up to 512; serve it merged (`lorelei export --to merged`)"),
        ),
        Some(limit) if *limit > VLLM_DEFAULT_RANK => {
            push(findings, Verdict::Hint, format!("give vLLM --enable-lora --max-lora-rank {limit}"));
        }
        Some(_) => push(findings, Verdict::Hint, "give vLLM --enable-lora"),
    }
    let tied = base.is_some_and(|base| base.tie_word_embeddings);
    let ends =
        adapter.modules().iter().filter(|module| module.is_embedding || module.path.ends_with("lm_head"));
    let ends: Vec<&String> = ends.map(|module| &module.path).collect();
    if !ends.is_empty() {
        let why = if tied { ", which are one tensor in this model" } else { "" };
        let message = format!(
            "serve it merged if vLLM refuses {}: only some of its models take adapters of embedding and head{why}",
            listed(&ends)
        );
        push(findings, Verdict::Hint, message);
    }
}

fn of_gguf(
    adapter: &PeftAdapter,
    base: Option<&ModelConfig>,
    reader: Reader,
    findings: &mut Vec<Finding>,
) -> Result<(), ExportError> {
    let found = match base {
        None => refuse_parts(adapter).map(|()| Vec::new()),
        Some(base) => {
            let options = GgufLoraOptions { ggml_type: GgmlType::F32, name: String::new() };
            write_gguf_lora(adapter, base, &options, std::io::sink()).map(|(_, notices)| notices)
        }
    };
    let works = refused(found, findings)?;
    without_base(base, works, findings);
    if !works {
        return Ok(());
    }
    let message = match reader {
        Reader::Ollama => {
            "write a GGUF adapter and its Modelfile (`lorelei export --to ollama`), then `ollama create NAME -f Modelfile`: of PEFT's own \
             files Ollama reads two architectures only, and neither rsLoRA nor a scale of a module's own"
        }
        _ => {
            "write a GGUF adapter (`lorelei export --to gguf-lora`), then `llama-cli -m BASE.gguf --lora ADAPTER.gguf`: PEFT's own files are not read"
        }
    };
    push(findings, Verdict::Hint, message);
    Ok(())
}

fn of_mlx(
    adapter: &PeftAdapter,
    base: Option<&ModelConfig>,
    findings: &mut Vec<Finding>,
) -> Result<(), ExportError> {
    let found = match base {
        None => mlx::refuse_parts(adapter).map(|()| Vec::new()),
        Some(base) => write_mlx(adapter, base, Dtype::F32, std::io::sink()).map(|(_, _, notices)| notices),
    };
    let works = refused(found, findings)?;
    without_base(base, works, findings);
    if works {
        let message = "write mlx-lm's files (`lorelei export --to mlx`), then `mlx_lm.generate --model BASE --adapter-path FOLDER`: PEFT's own files are not read";
        push(findings, Verdict::Hint, message);
    }
    Ok(())
}

/// Adds the refusal of a form. Returns whether there is none.
fn refused(
    found: Result<Vec<Message>, ExportError>,
    findings: &mut Vec<Finding>,
) -> Result<bool, ExportError> {
    match found {
        Ok(_) => Ok(true),
        Err(ExportError::Inexpressible { problem, help, .. }) => {
            push(findings, Verdict::Refused, format!("{problem}: {help}"));
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn without_base(base: Option<&ModelConfig>, works: bool, findings: &mut Vec<Finding>) {
    if base.is_none() && works {
        push(findings, Verdict::Hint, "name the base model (`--base`) to have its architecture checked too");
    }
}
