//! Several adapters in one, with weights: PEFT's `add_weighted_adapter`.
//!
//! The formulas are those of PEFT's `utils/merge_utils.py`. An adapter that lacks a module has no part in it. The result has the scale 1 (`lora_alpha`
//! is `r`); PEFT keeps the first adapter's `use_rslora` beside it, which would multiply the result by `√r`, and is left out here.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

use lorelei_formats::{AdapterPart, Dtype, SafetensorsWriter, TensorSpec};
use lorelei_recipe::TargetModules;
use serde_json::{Value, json};

use crate::{
    AdaptedModule, Combination, ExportError, PeftAdapter, WeightedOptions,
    adapter::{listed, transposed},
    weighted_values::{Random, drop_at_random, filled, keep_largest, side_by_side, sum},
};

/// Name of the form in errors.
const FORM: &str = "a weighted adapter";

/// A module's adapters, each with its weight times its scale.
struct Task<'a> {
    module: &'a AdaptedModule,
    parts: Vec<(&'a PeftAdapter, &'a AdaptedModule, f64)>,
}

/// Writes the combined adapter in f32, a tensor at a time. Returns the output, the text of its `adapter_config.json`, and notices for the user.
///
/// # Errors
/// If the adapters do not fit each other or the options, have something beside their matrices, or reading or writing fails.
pub fn write_weighted<W: Write>(
    adapters: &[PeftAdapter],
    options: &WeightedOptions,
    out: W,
) -> Result<(W, String, Vec<String>), ExportError> {
    let Some(first) = adapters.first() else {
        return Err(ExportError::adapter("adapters", "there are none", "name at least two"));
    };
    let mut notices = Vec::new();
    // As PEFT does it.
    let combination = if adapters.len() == 1 { Combination::Linear } else { options.combination };
    check(adapters, options, combination)?;
    let rank = rank(adapters, combination)?;
    let bases: BTreeSet<String> = adapters.iter().filter_map(PeftAdapter::base_name).collect();
    if bases.len() > 1 {
        let names = Vec::from_iter(bases);
        notices.push(format!(
            "the adapters name different base models ({}): the result fits one at most",
            listed(&names)
        ));
    }
    let copies: Vec<&String> = adapters.iter().flat_map(PeftAdapter::base_copies).collect();
    if !copies.is_empty() {
        notices.push(format!(
            "{}: the base's own weights, which PEFT saves beside an adapter of them, are left out",
            listed(&copies)
        ));
    }
    let tasks = tasks(adapters, options);
    let tied = tied_ends(adapters, &tasks)?;
    let mut specs = Vec::new();
    for task in tasks.values() {
        let AdaptedModule { size_in, size_out, .. } = *task.module;
        let [a, b] = halves(task.module);
        specs.push(TensorSpec::new(a.key(&task.module.path), Dtype::F32, vec![rank, size_in]));
        specs.push(TensorSpec::new(b.key(&task.module.path), Dtype::F32, vec![size_out, rank]));
    }
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let mut writer = SafetensorsWriter::new(out, &specs, &metadata)?;
    let keys: BTreeMap<String, (&Task<'_>, usize)> = tasks
        .values()
        .flat_map(|task| [0, 1].map(|half| (halves(task.module)[half].key(&task.module.path), (task, half))))
        .collect();
    for spec in writer.order().to_vec() {
        let Some((task, half)) = keys.get(&spec.name) else { continue };
        let values = match &tied {
            // The head's A is the embedding's B, transposed, and the other way round.
            Some((embedding, head)) if task.module.path == *head => {
                let Some(task) = tasks.get(embedding.as_str()) else { continue };
                let (other, key) = (1 - *half, halves(task.module)[1 - *half].key(embedding));
                let columns = if other == 0 { task.module.size_in } else { rank };
                transposed(&combined(task, other, rank, combination, options, &key)?, columns)
            }
            _ => combined(task, *half, rank, combination, options, &spec.name)?,
        };
        writer.write_f32(&spec.name, &values)?;
    }
    Ok((writer.finish()?, config(first, adapters, &tasks, rank)?, notices))
}

fn check(
    adapters: &[PeftAdapter],
    options: &WeightedOptions,
    combination: Combination,
) -> Result<(), ExportError> {
    let odd = |key: &str, problem: String, help: &str| Err(ExportError::adapter(key, problem, help));
    if options.weights.len() != adapters.len() {
        let problem = format!("{} weights for {} adapters", options.weights.len(), adapters.len());
        return odd("weights", problem, "give one for each, in their order");
    }
    if let Some(weight) = options.weights.iter().find(|weight| !weight.is_finite()) {
        return odd("weights", format!("{weight} is no weight"), "write a number");
    }
    match (options.density, combination.prunes()) {
        (None, true) => {
            return odd(
                "density",
                "it is not given".to_owned(),
                "write the share of the values to keep, such as 0.5",
            );
        }
        (Some(_), false) => {
            let help = "leave it out, or combine with ties, dare_linear, dare_ties or magnitude_prune";
            return odd("density", "nothing is left out in this combination".to_owned(), help);
        }
        (Some(density), true) if !(density > 0.0 && density <= 1.0) => {
            return odd("density", format!("{density} is no share"), "write a number above 0, and 1 at most");
        }
        _ => {}
    }
    for adapter in adapters {
        adapter.refuse_unconverted(FORM.into())?;
        let no = |problem: String| {
            Err(ExportError::inexpressible(
                FORM,
                problem,
                "merge one into the base (`lorelei export --to merged`), and train on that",
            ))
        };
        let file = adapter.file_name();
        let beside = adapter.trained_beside();
        if !beside.is_empty() {
            return no(format!("{file} has parameters of the base beside it ({})", listed(&beside)));
        }
        let part = |part| adapter.modules().iter().find(|module| module.has(part)).map(|module| &module.path);
        if let Some(path) = part(AdapterPart::MagnitudeVector) {
            return no(format!("{file} is DoRA, and {path} has magnitudes"));
        }
        if let Some(path) = part(AdapterPart::LoraBBias) {
            return no(format!("{file} has a bias of B (lora_bias) in {path}"));
        }
    }
    fit(adapters)
}

/// Refuses adapters whose modules have different sizes.
fn fit(adapters: &[PeftAdapter]) -> Result<(), ExportError> {
    let mut sizes: BTreeMap<&str, (&AdaptedModule, &str)> = BTreeMap::new();
    for adapter in adapters {
        for module in adapter.modules() {
            let (known, file) = *sizes.entry(&module.path).or_insert((module, adapter.file_name()));
            let size = |module: &AdaptedModule| (module.size_in, module.size_out, module.is_embedding);
            if size(known) != size(module) {
                let problem = format!("{} has other sizes than in {file}", module.path);
                let help = "combine adapters of one base model";
                return Err(ExportError::adapter(adapter.file_name(), problem, help));
            }
        }
    }
    Ok(())
}

/// Returns the rank of the result: the adapters' own, or of matrices side by side the sum.
fn rank(adapters: &[PeftAdapter], combination: Combination) -> Result<usize, ExportError> {
    let ranks: Vec<usize> = adapters
        .iter()
        .map(|adapter| {
            adapter.modules().iter().map(|module| module.rank).max().unwrap_or(0).max(adapter.lora.r)
        })
        .collect();
    if combination == Combination::Cat {
        return Ok(ranks.iter().sum());
    }
    let mut of_module: BTreeMap<&str, usize> = BTreeMap::new();
    let same = adapters
        .iter()
        .flat_map(PeftAdapter::modules)
        .all(|module| *of_module.entry(&module.path).or_insert(module.rank) == module.rank);
    match ranks.first() {
        Some(rank) if same && ranks.iter().all(|other| other == rank) => Ok(*rank),
        _ => {
            let help = "combine them with cat, which is exact";
            Err(ExportError::adapter(
                "adapters",
                format!("their ranks are {ranks:?}, and must be the same"),
                help,
            ))
        }
    }
}

fn tasks<'a>(adapters: &'a [PeftAdapter], options: &WeightedOptions) -> BTreeMap<&'a str, Task<'a>> {
    let mut tasks: BTreeMap<&str, Task<'a>> = BTreeMap::new();
    for (adapter, weight) in adapters.iter().zip(&options.weights) {
        for module in adapter.modules() {
            let task = tasks.entry(&module.path).or_insert(Task { module, parts: Vec::new() });
            task.parts.push((adapter, module, *weight));
        }
    }
    tasks
}

/// Returns the paths of an embedding and a head that have one adapter in every file, as `ensure_weight_tying` trains them.
///
/// # Errors
/// If their matrices cannot be read.
fn tied_ends(
    adapters: &[PeftAdapter],
    tasks: &BTreeMap<&str, Task<'_>>,
) -> Result<Option<(String, String)>, ExportError> {
    let path = |is: fn(&AdaptedModule) -> bool| {
        tasks.values().find(|task| is(task.module)).map(|task| task.module.path.clone())
    };
    let embedding = path(|module| module.is_embedding);
    let head = path(|module| module.path.rsplit('.').next() == Some("lm_head"));
    let (Some(embedding), Some(head)) = (embedding, head) else { return Ok(None) };
    for adapter in adapters {
        let of = |path: &str| adapter.modules().iter().find(|module| module.path == path);
        let is_tied = match (of(&embedding), of(&head)) {
            (Some(embedding), Some(head)) => adapter.has_one_adapter(embedding, head)?,
            (None, None) => true,
            _ => false,
        };
        if !is_tied {
            return Ok(None);
        }
    }
    Ok(Some((embedding, head)))
}

fn halves(module: &AdaptedModule) -> [AdapterPart; 2] {
    match module.is_embedding {
        true => [AdapterPart::LoraEmbeddingA, AdapterPart::LoraEmbeddingB],
        false => [AdapterPart::LoraA, AdapterPart::LoraB],
    }
}

/// Computes a half of a module: `A [rank, in]` or `B [out, rank]`, filled up with zeros.
fn combined(
    task: &Task<'_>,
    half: usize,
    rank: usize,
    combination: Combination,
    options: &WeightedOptions,
    key: &str,
) -> Result<Vec<f32>, ExportError> {
    let part = halves(task.module).get(half).copied().unwrap_or(AdapterPart::LoraA);
    let mut tensors = Vec::new();
    let mut weights = Vec::new();
    let mut ranks = Vec::new();
    for (adapter, module, weight) in &task.parts {
        let scaled = weight * adapter.scaling(module);
        let root = scaled.abs().sqrt() as f32;
        // The sign is on one side alone.
        weights.push(if half == 0 && scaled < 0.0 { -root } else { root });
        let mut values = adapter.read(module, part)?;
        if combination == Combination::Cat && half == 0 {
            let (weight, scale) = (*weight as f32, adapter.scaling(module) as f32);
            values.iter_mut().for_each(|value| *value = *value * weight * scale);
        }
        tensors.push(values);
        ranks.push(module.rank);
    }
    let (values, own) = match combination {
        Combination::Cat if half == 0 => (tensors.concat(), ranks.iter().sum()),
        Combination::Cat => (side_by_side(&tensors, &ranks, task.module.size_out), ranks.iter().sum()),
        _ => {
            let density = options.density.unwrap_or(1.0);
            for (index, values) in tensors.iter_mut().enumerate() {
                match combination.is_random() {
                    true => drop_at_random(values, density, &mut Random::of(options.seed, key, index)),
                    false if combination.prunes() => keep_largest(values, density),
                    false => {}
                }
            }
            (
                sum(combination, &tensors, &weights, options.majority_sign),
                ranks.first().copied().unwrap_or(rank),
            )
        }
    };
    Ok(filled(values, half, own, rank, task.module.size_in))
}

/// Returns the first adapter's configuration with the new rank, the scale 1 and all modules.
fn config(
    first: &PeftAdapter,
    adapters: &[PeftAdapter],
    tasks: &BTreeMap<&str, Task<'_>>,
    rank: usize,
) -> Result<String, ExportError> {
    let mut config = first.config_json()?;
    let plain = adapters.iter().map(|adapter| match &adapter.lora.target_modules {
        Some(TargetModules::List(names))
            if adapter.lora.layers_to_transform.is_none() && adapter.lora.exclude_modules.is_none() =>
        {
            Some(names.clone())
        }
        _ => None,
    });
    // Names select the modules as long as every adapter has them in all layers; else each is named in full.
    let names: Option<Vec<Vec<String>>> = plain.collect();
    let targets: BTreeSet<String> = match names {
        Some(names) => names.into_iter().flatten().collect(),
        None => tasks.keys().map(|path| (*path).to_owned()).collect(),
    };
    for (key, value) in [
        ("r", json!(rank)),
        ("lora_alpha", json!(rank)),
        ("rank_pattern", json!({})),
        ("alpha_pattern", json!({})),
        ("use_rslora", json!(false)),
        ("target_modules", json!(targets)),
        ("layers_to_transform", Value::Null),
        ("layers_pattern", Value::Null),
        ("exclude_modules", Value::Null),
        ("init_lora_weights", json!(true)),
        ("modules_to_save", Value::Null),
    ] {
        config.insert(key.to_owned(), value);
    }
    Ok(format!("{:#}\n", Value::Object(config)))
}
