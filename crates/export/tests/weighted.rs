//! Weighted adapters against PEFT's `add_weighted_adapter`.

mod common;

use common::{adapter, apart};
use lorelei_export::{Combination, ExportError, MajoritySign, PeftAdapter, WeightedOptions, write_weighted};
use lorelei_formats::{Adapter, AdapterTensor, Dtype, SafetensorsFile, TensorSource, write_adapter};
use serde_json::{Value, json};

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
}

/// Opens an adapter of the table.
fn opened(entry: &Value) -> PeftAdapter {
    let tensors = entry["tensors"].as_object().unwrap().iter().map(|(key, tensor)| {
        let shape = tensor["shape"].as_array().unwrap().iter().map(|size| size.as_u64().unwrap() as usize);
        (key.clone(), AdapterTensor { shape: shape.collect(), values: numbers(&tensor["values"]) })
    });
    let bytes = write_adapter(&tensors.collect::<Adapter>()).unwrap();
    let mut config = json!({"peft_type": "LORA", "base_model_name_or_path": "owner/base"});
    for key in ["r", "lora_alpha", "use_rslora", "target_modules"] {
        config[key] = entry[key].clone();
    }
    let file = SafetensorsFile::open(bytes, "a").unwrap();
    PeftAdapter::open(&config.to_string(), "adapter_config.json", Box::new(file), "a").unwrap()
}

fn options(name: &str, weights: &[f64], density: Option<f64>) -> WeightedOptions {
    WeightedOptions {
        combination: Combination::by_name(name).unwrap(),
        weights: weights.to_vec(),
        density,
        majority_sign: MajoritySign::Total,
        seed: 42,
    }
}

/// Tensors, configuration and notices.
type Merged = (SafetensorsFile<Vec<u8>>, Value, Vec<String>);

fn merged(adapters: &[PeftAdapter], options: &WeightedOptions) -> Result<Merged, ExportError> {
    let (bytes, config, notices) = write_weighted(adapters, options, Vec::new())?;
    Ok((SafetensorsFile::open(bytes, "m").unwrap(), serde_json::from_str(&config).unwrap(), notices))
}

#[test]
fn numbers_are_pefts() {
    let table: Value = serde_json::from_str(include_str!("fixtures/weighted.json")).unwrap();
    let mut cases = 0;
    for group in table["groups"].as_object().unwrap().values() {
        let adapters: Vec<PeftAdapter> = group["adapters"].as_array().unwrap().iter().map(opened).collect();
        for case in group["merged"].as_array().unwrap() {
            let name = case["combination_type"].as_str().unwrap();
            let weights: Vec<f64> =
                case["weights"].as_array().unwrap().iter().map(|weight| weight.as_f64().unwrap()).collect();
            let mut options = options(name, &weights, case["density"].as_f64());
            let sign = case["majority_sign_method"].as_str().unwrap();
            options.majority_sign = MajoritySign::ALL.iter().find(|(known, _)| *known == sign).unwrap().1;
            let (file, config, notices) = merged(&adapters, &options).unwrap();
            assert!(notices.is_empty(), "{notices:?}");
            assert_eq!((&config["r"], &config["lora_alpha"]), (&case["r"], &case["lora_alpha"]), "{name}");
            assert_eq!(config["target_modules"], json!(["embed", "first", "second"]));
            let tensors = case["tensors"].as_object().unwrap();
            assert_eq!(file.infos().len(), tensors.len(), "{name}");
            for (key, tensor) in tensors {
                assert_eq!(json!(file.info(key).unwrap().shape), tensor["shape"], "{name} {key}");
                // Which values DARE leaves out is random: `given_masks_make_pefts_dare` has given ones.
                if name.starts_with("dare") {
                    continue;
                }
                let off = apart(&file.read_f32(key).unwrap(), &numbers(&tensor["values"]));
                assert!(off < 1e-5, "{name} {key}: {off}");
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 36);
}

#[test]
fn cat_is_the_weighted_sum_and_opens_again() {
    let adapters =
        [adapter("llama/rank_alpha_pattern"), adapter("llama/rslora"), adapter("llama/layers_to_transform")];
    let weights = [0.5, -1.0, 2.0];
    let (bytes, config, _) = write_weighted(&adapters, &options("cat", &weights, None), Vec::new()).unwrap();
    let file = SafetensorsFile::open(bytes, "m").unwrap();
    let sum = PeftAdapter::open(&config, "adapter_config.json", Box::new(file), "m").unwrap();
    for module in sum.modules() {
        let change = |adapter: &PeftAdapter, module: &lorelei_export::AdaptedModule, weight: f64| {
            let (a, b) = adapter.matrices(module).unwrap();
            common::product(&b, &a, module.rank, (adapter.scaling(module) * weight) as f32)
        };
        let mut wanted = vec![0.0; module.size_in * module.size_out];
        for (adapter, weight) in adapters.iter().zip(weights) {
            if let Some(own) = adapter.modules().iter().find(|own| own.path == module.path) {
                wanted.iter_mut().zip(change(adapter, own, weight)).for_each(|(sum, value)| *sum += value);
            }
        }
        assert!(apart(&change(&sum, module, 1.0), &wanted) < 1e-5, "{}", module.path);
    }
}

#[test]
fn a_seed_decides_what_dare_leaves_out() {
    let two = || [adapter("llama/adapter"), adapter("llama/adapter")];
    let with = |seed| {
        let options = WeightedOptions { seed, ..options("dare_linear", &[0.5, 0.5], Some(0.5)) };
        write_weighted(&two(), &options, Vec::new()).unwrap().0
    };
    assert!(with(1) == with(1) && with(1) != with(2));
}

#[test]
fn what_peft_does_not_combine_is_refused() {
    let error = |adapters: &[PeftAdapter], options: &WeightedOptions| {
        merged(adapters, options).map(|_| ()).unwrap_err().to_string()
    };
    let two = [adapter("llama/adapter"), adapter("llama/rslora")];
    let half = [0.5, 0.5];
    for (name, weights, density, words) in [
        ("cat", &[1.0][..], None, "1 weights for 2 adapters"),
        ("cat", &[1.0, f64::NAN], None, "NaN is no weight"),
        ("cat", &half, Some(0.5), "nothing is left out"),
        ("ties", &half, None, "density: it is not given"),
        ("dare_ties", &half, Some(0.0), "0 is no share"),
        ("ties", &half, Some(1.5), "1.5 is no share"),
    ] {
        let said = error(&two, &options(name, weights, density));
        assert!(said.contains(words), "{said}");
    }
    for (folder, words) in [
        ("llama/dora", "is DoRA"),
        ("llama/lora_bias", "lora_bias"),
        ("llama/modules_to_save", "parameters of the base"),
        ("llama/pissa", "PiSSA"),
        ("mistral/adapter", "has other sizes than in"),
    ] {
        let said = error(&[adapter("llama/adapter"), adapter(folder)], &options("cat", &half, None));
        assert!(said.contains(words), "{folder}: {said}");
    }
    let patterned = [adapter("llama/adapter"), adapter("llama/rank_alpha_pattern")];
    assert!(error(&patterned, &options("linear", &half, None)).contains("combine them with cat"));
    assert!(error(&[], &options("cat", &[], None)).contains("there are none"));
    for name in ["svd", "ties_svd", "average"] {
        let said = Combination::by_name(name).unwrap_err().to_string();
        assert!(said.contains("linear, cat, ties"), "{said}");
    }
}

#[test]
fn tied_ends_stay_tied() {
    let adapters = || [adapter("smollm3/tied_adapter"), adapter("smollm3/tied_adapter")];
    for (name, combination) in Combination::ALL {
        let options = WeightedOptions {
            combination,
            weights: vec![0.7, 0.4],
            density: (!matches!(combination, Combination::Cat | Combination::Linear)).then_some(0.5),
            majority_sign: MajoritySign::Total,
            seed: 3,
        };
        let (bytes, config, _) = write_weighted(&adapters(), &options, Vec::new()).unwrap();
        let tensors = SafetensorsFile::open(bytes, "both").unwrap();
        let both = PeftAdapter::open(&config, "adapter_config.json", Box::new(tensors), "both").unwrap();
        let config = common::config("smollm3");
        // mlx-lm takes them only if they are one.
        lorelei_export::write_mlx(&both, &config, Dtype::F32, Vec::new())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
