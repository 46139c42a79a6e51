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

use crate::{AdaptedModule, ExportError, PeftAdapter, adapter::listed};

/// Name of the form in errors.
const FORM: &str = "a weighted adapter";

/// Way in which adapters are combined: PEFT's `combination_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combination {
    /// The matrices side by side: exactly the weighted sum, with the sum of the ranks.
    Cat,
    /// The weighted sum of `A` and of `B`, each by the root of its weight.
    Linear,
    /// The largest values of each, and of those the ones with the sign of the majority (Yadav et al., 2023).
    Ties,
    /// Values left out at random and the rest scaled up, then as `Linear` (Yu et al., 2023).
    DareLinear,
    /// Values left out at random and the rest scaled up, then the signs of `Ties`.
    DareTies,
    /// The largest values of each, then as `Linear`.
    MagnitudePrune,
}

impl Combination {
    /// Every combination by PEFT's name.
    pub const ALL: [(&'static str, Combination); 6] = [
        ("linear", Combination::Linear),
        ("cat", Combination::Cat),
        ("ties", Combination::Ties),
        ("dare_linear", Combination::DareLinear),
        ("dare_ties", Combination::DareTies),
        ("magnitude_prune", Combination::MagnitudePrune),
    ];

    /// Returns the combination of this name.
    ///
    /// # Errors
    /// If there is none, or PEFT's decomposes matrices (`svd`).
    pub fn by_name(name: &str) -> Result<Self, ExportError> {
        let known = Self::ALL.iter().find(|(known, _)| *known == name);
        let names = Self::ALL.map(|(name, _)| name).join(", ");
        known.map(|(_, kind)| *kind).ok_or_else(|| {
            let help = match name.ends_with("svd") {
                true => format!(
                    "singular values are not computed here: write {names} (cat is exact too), or use PEFT"
                ),
                false => format!("write one of {names}"),
            };
            ExportError::adapter("combination_type", format!("{name:?} is not known"), help)
        })
    }

    fn prunes(self) -> bool {
        !matches!(self, Self::Cat | Self::Linear)
    }

    fn is_random(self) -> bool {
        matches!(self, Self::DareLinear | Self::DareTies)
    }
}

/// Rule by which the majority's sign is found: PEFT's `majority_sign_method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MajoritySign {
    /// The sign of the sum.
    #[default]
    Total,
    /// The sign that more adapters have.
    Frequency,
}

impl MajoritySign {
    /// Every rule by PEFT's name.
    pub const ALL: [(&'static str, MajoritySign); 2] =
        [("total", MajoritySign::Total), ("frequency", MajoritySign::Frequency)];
}

/// Options of a weighted adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedOptions {
    /// Way in which adapters are combined.
    pub combination: Combination,
    /// Weight of each adapter, which may be negative.
    pub weights: Vec<f64>,
    /// Share of the values that are kept, where some are left out.
    pub density: Option<f64>,
    /// Rule by which the majority's sign is found.
    pub majority_sign: MajoritySign,
    /// Seed of the random numbers of DARE.
    pub seed: u64,
}

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
    let tasks = tasks(adapters, options);
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
        let values = combined(task, *half, rank, combination, options, &spec.name)?;
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
        if !adapter.others().is_empty() {
            return no(format!("{file} has parameters of the base beside it ({})", listed(adapter.others())));
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

/// Joins matrices `[rows, rank]` row by row.
fn side_by_side(tensors: &[Vec<f32>], ranks: &[usize], rows: usize) -> Vec<f32> {
    let row = |row: usize| {
        let parts = tensors.iter().zip(ranks);
        parts.flat_map(move |(values, rank)| values.get(row * rank..(row + 1) * rank).unwrap_or_default())
    };
    (0..rows).flat_map(row).copied().collect()
}

/// Fills up a half of rank `own` with zeros.
fn filled(mut values: Vec<f32>, half: usize, own: usize, rank: usize, size_in: usize) -> Vec<f32> {
    if own >= rank || own == 0 {
        return values;
    }
    if half == 0 {
        values.resize(rank * size_in, 0.0);
        return values;
    }
    let zeros = std::iter::repeat_n(0.0, rank - own);
    values.chunks(own).flat_map(|row| row.iter().copied().chain(zeros.clone())).collect()
}

/// Adds up tensors, of which `Ties` takes only the values with the sign of the majority, and their mean.
fn sum(combination: Combination, tensors: &[Vec<f32>], weights: &[f32], majority: MajoritySign) -> Vec<f32> {
    let count = tensors.first().map_or(0, Vec::len);
    let column = |place: usize| {
        tensors.iter().zip(weights).filter_map(move |(values, weight)| Some((*values.get(place)?, *weight)))
    };
    let by_sign = matches!(combination, Combination::Ties | Combination::DareTies);
    let sign = |value: f32| if value == 0.0 { 0.0 } else { value.signum() };
    let one = |place: usize| {
        if !by_sign {
            return column(place).map(|(value, weight)| value * weight).sum::<f32>();
        }
        let size: f32 = match majority {
            MajoritySign::Total => column(place).map(|(value, _)| value).sum(),
            MajoritySign::Frequency => column(place).map(|(value, _)| sign(value)).sum(),
        };
        let chosen = if size >= 0.0 { 1.0 } else { -1.0 };
        let (mut total, mut kept) = (0.0f32, 0.0f32);
        for (value, weight) in column(place).filter(|(value, _)| sign(*value) == chosen) {
            total += value * weight;
            kept += 1.0;
        }
        total / kept.max(1.0)
    };
    (0..count).map(one).collect()
}

/// Keeps the share `density` of the values that are largest in magnitude; of equal ones the first.
fn keep_largest(values: &mut [f32], density: f64) {
    if density >= 1.0 {
        return;
    }
    let kept = (density * values.len() as f64) as usize;
    let mut order: Vec<usize> = (0..values.len()).collect();
    let size = |place: &usize| values.get(*place).map_or(0.0, |value| value.abs());
    order.sort_by(|a, b| size(b).total_cmp(&size(a)));
    for place in order.into_iter().skip(kept) {
        if let Some(value) = values.get_mut(place) {
            *value = 0.0;
        }
    }
}

/// Keeps each value with probability `density`, divided by it, so that the expected value stays.
fn drop_at_random(values: &mut [f32], density: f64, random: &mut Random) {
    if density < 1.0 {
        scale_kept(values, density, || random.unit() < density);
    }
}

fn scale_kept(values: &mut [f32], density: f64, mut keep: impl FnMut() -> bool) {
    values.iter_mut().for_each(|value| *value = if keep() { *value / density as f32 } else { 0.0 });
}

/// SplitMix64 (Steele et al., 2014), begun by a seed, a tensor and an adapter: the same whatever is computed before.
struct Random(u64);

impl Random {
    fn of(seed: u64, key: &str, index: usize) -> Self {
        // FNV-1a.
        let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(seed ^ hash.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// Returns a number of `[0, 1)`.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
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
        Some(TargetModules::List(names)) if adapter.lora.layers_to_transform.is_none() => Some(names.clone()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_masks_make_pefts_dare() {
        let table: Value = serde_json::from_str(include_str!("../tests/fixtures/weighted.json")).unwrap();
        let group = &table["groups"]["same"];
        let adapters = group["adapters"].as_array().unwrap();
        let numbers = |tensor: &Value| -> Vec<f32> {
            tensor["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
        };
        let mut cases = 0;
        for merged in group["merged"].as_array().unwrap() {
            let kind = Combination::by_name(merged["combination_type"].as_str().unwrap()).unwrap();
            if !kind.is_random() {
                continue;
            }
            let majority = match merged["majority_sign_method"].as_str() {
                Some("frequency") => MajoritySign::Frequency,
                _ => MajoritySign::Total,
            };
            let density = merged["density"].as_f64().unwrap();
            let mut masks = merged["masks"].as_array().unwrap().iter();
            // The masks are in the order of the modules, A before B.
            for (key, wanted) in merged["tensors"].as_object().unwrap() {
                let (mut tensors, mut weights) = (Vec::new(), Vec::new());
                for (adapter, weight) in adapters.iter().zip(merged["weights"].as_array().unwrap()) {
                    let Some(tensor) = adapter["tensors"].get(key) else { continue };
                    let rank = adapter["r"].as_f64().unwrap();
                    let root = adapter["use_rslora"].as_bool().unwrap();
                    let scale =
                        adapter["lora_alpha"].as_f64().unwrap() / if root { rank.sqrt() } else { rank };
                    let scaled = weight.as_f64().unwrap() * scale;
                    let negative = scaled < 0.0 && key.contains("_A");
                    weights.push(scaled.abs().sqrt() as f32 * if negative { -1.0 } else { 1.0 });
                    let mut values = numbers(tensor);
                    let mut mask = masks.next().unwrap().as_str().unwrap().bytes();
                    scale_kept(&mut values, density, || mask.next() == Some(b'1'));
                    assert_eq!(mask.next(), None);
                    tensors.push(values);
                }
                let ours = sum(kind, &tensors, &weights, majority);
                for (ours, peft) in ours.iter().zip(numbers(wanted)) {
                    assert!((ours - peft).abs() < 1e-5, "{kind:?} {key}: {ours} {peft}");
                }
            }
            assert!(masks.next().is_none());
            cases += 1;
        }
        assert_eq!(cases, 3);
    }

    #[test]
    fn a_random_share_is_kept_and_the_mean_stays() {
        let seed =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        println!("seed {seed}");
        let count = 100_000;
        for density in [0.1, 0.5, 0.9] {
            let mut values = vec![1.0f32; count];
            drop_at_random(&mut values, density, &mut Random::of(seed, "a", 0));
            let kept = values.iter().filter(|value| **value != 0.0).count() as f64 / count as f64;
            // Six standard deviations.
            let wide = 6.0 * (density * (1.0 - density) / count as f64).sqrt();
            assert!((kept - density).abs() < wide, "{kept} of {density}");
            assert!(
                values.iter().all(|value| *value == 0.0 || (f64::from(*value) * density - 1.0).abs() < 1e-6)
            );
            let mut again = vec![1.0f32; count];
            drop_at_random(&mut again, density, &mut Random::of(seed, "a", 0));
            assert!(again == values);
            drop_at_random(&mut again, 1.0, &mut Random::of(seed, "a", 1));
            assert!(again == values);
            let mut other = vec![1.0f32; count];
            drop_at_random(&mut other, density, &mut Random::of(seed, "a", 1));
            assert!(other != values);
        }
    }
}
