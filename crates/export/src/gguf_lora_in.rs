//! The way back from a GGUF LoRA adapter to PEFT's files.

use std::collections::{BTreeMap, BTreeSet};

use lorelei_formats::{
    Adapter, AdapterPart, AdapterTensor, ModelConfig, ReadAt,
    config::{Module, ModuleShape},
    gguf::{Gguf, GgufValue, gguf_name},
};
use lorelei_recipe::{LoraConfig, TargetModules, TaskType};

use crate::{
    ExportError, ImportedAdapter,
    adapter::{listed, transposed},
    llama_cpp::{architecture, interleaved_heads},
    mlx::{targets, tie_head},
};

/// Reads a GGUF LoRA adapter as PEFT's. `base` is the configuration of the base model, whose name is `base_name`.
///
/// llama.cpp multiplies by `alpha / r` with the rank of each tensor, which is PEFT's rule for `rank_pattern`; an alpha of 0 is a factor of 1.
///
/// # Errors
/// If the file is no LoRA adapter, a half is missing, or it does not fit the base.
pub fn read_gguf_lora<R: ReadAt>(
    file: &Gguf<R>,
    base: &ModelConfig,
    base_name: &str,
) -> Result<ImportedAdapter, ExportError> {
    let wrong = |problem: String, help: &str| Err(ExportError::adapter(file.file_name(), problem, help));
    let text = |key: &str| file.metadata().get(key).and_then(GgufValue::as_str);
    if text("general.type") != Some("adapter") || text("adapter.type").is_some_and(|kind| kind != "lora") {
        let help =
            "give the file that llama.cpp's convert_lora_to_gguf.py or `lorelei export --to gguf-lora` wrote";
        return wrong("it is no LoRA adapter".to_owned(), help);
    }
    let its_own = file.architecture()?;
    let help = "give the base model that the adapter was trained for (--base)";
    if architecture(base.model_type).map(|known| known.name) != Some(its_own) {
        let problem =
            format!("it is for a model of architecture {its_own:?}, and the base is {}", base.model_type);
        return wrong(problem, help);
    }
    let alpha = match file.metadata().get("adapter.lora.alpha") {
        None => 0.0,
        Some(value) => match value.as_f64().filter(|alpha| alpha.is_finite() && *alpha >= 0.0) {
            Some(alpha) => alpha,
            None => return wrong(format!("its adapter.lora.alpha is {value:?}"), "convert it again"),
        },
    };
    let modules = base.modules();
    let mut unused: BTreeSet<&str> = file.tensors().iter().map(|tensor| tensor.name.as_str()).collect();
    // The loader of llama.cpp passes over these.
    unused.retain(|name| !name.ends_with("_norm.weight"));
    let mut adapter = Adapter::new();
    let mut ranks: BTreeMap<&str, usize> = BTreeMap::new();
    for module in &modules {
        let Some(name) = gguf_name(module) else { continue };
        let [a, b] = ["a", "b"].map(|half| format!("{name}.weight.lora_{half}"));
        let found = [&a, &b].map(|half| unused.remove(half.as_str()));
        match found {
            [false, false] => {}
            [true, true] => {
                let rank = read_pair(file, base, module, &a, &b, &mut adapter)?;
                ranks.insert(&module.path, rank);
            }
            _ => {
                return wrong(
                    format!("only one of {a} and {b} is there"),
                    "convert it again: the file is not whole",
                );
            }
        }
    }
    if !unused.is_empty() {
        let names: Vec<&str> = unused.into_iter().collect();
        return wrong(format!("{} belongs to no module of the base model", listed(&names)), help);
    }
    let Some(rank) = usual_rank(&ranks) else {
        return wrong("it holds no tensors".to_owned(), "convert it again: the file is not whole");
    };
    let odd = ranks.iter().filter(|(_, own)| **own != rank);
    let rank_pattern: BTreeMap<String, usize> = odd.map(|(path, own)| ((*path).to_owned(), *own)).collect();
    let alpha_pattern = match alpha == 0.0 {
        true => rank_pattern.iter().map(|(path, rank)| (path.clone(), *rank as f64)).collect(),
        false => Default::default(),
    };
    let mut lora = LoraConfig {
        r: rank,
        lora_alpha: if alpha == 0.0 { rank as f64 } else { alpha },
        fan_in_fan_out: base.stored_in_out,
        task_type: Some(TaskType::CausalLm),
        rank_pattern: rank_pattern.into_iter().collect(),
        alpha_pattern,
        ..LoraConfig::default()
    };
    lora.target_modules = Some(TargetModules::List(targets(&ranks, &modules)));
    if base.tie_word_embeddings {
        lora.ensure_weight_tying = tie_head(&mut adapter, &modules);
    }
    Ok(ImportedAdapter { config: lora.to_peft_json(base_name, &[]), tensors: adapter })
}

/// Returns the rank that most modules have.
fn usual_rank(ranks: &BTreeMap<&str, usize>) -> Option<usize> {
    let count = |rank: usize| ranks.values().filter(|own| **own == rank).count();
    ranks.values().copied().max_by_key(|rank| (count(*rank), *rank))
}

/// Reads the halves of a module into PEFT's layouts. Returns their rank.
fn read_pair<R: ReadAt>(
    file: &Gguf<R>,
    base: &ModelConfig,
    module: &Module,
    a: &str,
    b: &str,
    adapter: &mut Adapter,
) -> Result<usize, ExportError> {
    let shape = |name: &str| file.tensor(name).map(|tensor| tensor.shape.clone()).unwrap_or_default();
    let (shape_a, shape_b) = (shape(a), shape(b));
    let (size_out, size_in, is_embedding) = match module.shape {
        ModuleShape::Linear { size_out, size_in, .. } => (size_out, size_in, false),
        ModuleShape::Embedding { rows, columns } => (columns, rows, true),
        ModuleShape::Norm { size, .. } => (size, 0, false),
    };
    let rank = match (is_embedding, &shape_a[..]) {
        (false, [rank, _]) | (true, [_, rank]) => *rank,
        _ => 0,
    };
    let wanted = if is_embedding { [size_in, rank] } else { [rank, size_in] };
    if rank == 0 || shape_a != wanted || shape_b != [size_out, rank] {
        let problem = format!("{a} {shape_a:?} and {b} {shape_b:?} do not fit the base's {}", module.path);
        let help = "give the base model that the adapter was trained for (--base)";
        return Err(ExportError::adapter(file.file_name(), problem, help));
    }
    let (mut values_a, mut values_b) = (file.read_f32(a)?, file.read_f32(b)?);
    if is_embedding {
        values_a = transposed(&values_a, rank);
    }
    if let Some(heads) = interleaved_heads(base, module.role) {
        values_b = parted(&values_b, rank, heads);
    }
    let (part_a, part_b) = match is_embedding {
        true => (AdapterPart::LoraEmbeddingA, AdapterPart::LoraEmbeddingB),
        false => (AdapterPart::LoraA, AdapterPart::LoraB),
    };
    let mut insert = |part: AdapterPart, shape: Vec<usize>, values| {
        adapter.insert(part.key(&module.path), AdapterTensor { shape, values });
    };
    insert(part_a, vec![rank, size_in], values_a);
    insert(part_b, vec![size_out, rank], values_b);
    Ok(rank)
}

/// Undoes llama.cpp's interleaving of rows: of each head, rows `0, 2, 4, …`, then `1, 3, 5, …`.
fn parted(values: &[f32], columns: usize, heads: usize) -> Vec<f32> {
    let columns = columns.max(1);
    let head = (values.len() / heads.max(1)).max(1);
    let mut turned = Vec::with_capacity(values.len());
    for head in values.chunks(head) {
        for first in [0, 1] {
            head.chunks(columns).skip(first).step_by(2).for_each(|row| turned.extend_from_slice(row));
        }
    }
    turned
}
