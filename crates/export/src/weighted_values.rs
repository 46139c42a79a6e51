//! Arithmetic on the values of adapters that are combined, by PEFT's `utils/merge_utils.py`.

use crate::{Combination, MajoritySign};

/// Joins matrices `[rows, rank]` row by row.
pub(crate) fn side_by_side(tensors: &[Vec<f32>], ranks: &[usize], rows: usize) -> Vec<f32> {
    let row = |row: usize| {
        let parts = tensors.iter().zip(ranks);
        parts.flat_map(move |(values, rank)| values.get(row * rank..(row + 1) * rank).unwrap_or_default())
    };
    (0..rows).flat_map(row).copied().collect()
}

/// Fills up a half of rank `own` with zeros.
pub(crate) fn filled(mut values: Vec<f32>, half: usize, own: usize, rank: usize, size_in: usize) -> Vec<f32> {
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
pub(crate) fn sum(
    combination: Combination,
    tensors: &[Vec<f32>],
    weights: &[f32],
    majority: MajoritySign,
) -> Vec<f32> {
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
pub(crate) fn keep_largest(values: &mut [f32], density: f64) {
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
pub(crate) fn drop_at_random(values: &mut [f32], density: f64, random: &mut Random) {
    if density < 1.0 {
        scale_kept(values, density, || random.unit() < density);
    }
}

fn scale_kept(values: &mut [f32], density: f64, mut keep: impl FnMut() -> bool) {
    values.iter_mut().for_each(|value| *value = if keep() { *value / density as f32 } else { 0.0 });
}

/// SplitMix64 (Steele et al., 2014), begun by a seed, a tensor and an adapter: the same whatever is computed before.
pub(crate) struct Random(u64);

impl Random {
    pub fn of(seed: u64, key: &str, index: usize) -> Self {
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

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
