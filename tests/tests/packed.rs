//! Tests of models whose weights stay in GGUF's blocks: they give the numbers of the same model unpacked, on the CPU and on wgpu.

use burn::tensor::{Device, DeviceKind};
use half::f16;
use lorelei_formats::{
    FormatError, ModelConfig, SafetensorsFile, StoredDtype, TensorInfo, TensorSource, gguf::GgmlType,
};
use lorelei_models::{Model, Storage, Weight, read_adapter};
use lorelei_recipe::LoraConfig;
use lorelei_tests::{assert_close, examples, fixture, open};
use lorelei_train::tokens;

/// A checkpoint whose linear layers are stored in blocks of Q8_0.
struct Quantised {
    file: SafetensorsFile<Vec<u8>>,
    infos: Vec<TensorInfo>,
}

impl Quantised {
    fn new(file: SafetensorsFile<Vec<u8>>) -> Self {
        let mut infos = file.infos().to_vec();
        for info in &mut infos {
            if info.name.ends_with("_proj.weight") {
                info.dtype = StoredDtype::Blocks(GgmlType::Q8_0);
            }
        }
        Self { file, infos }
    }
}

/// Quantises values to a block: its scale and its bytes.
fn block(values: &[f32]) -> (f16, Vec<i8>) {
    let largest = values.iter().fold(0f32, |max, value| max.max(value.abs()));
    let scale = f16::from_f32(largest / 127.0);
    let quantised = |value: &f32| (value / scale.to_f32()).round().clamp(-127.0, 127.0) as i8;
    (scale, values.iter().map(quantised).collect())
}

impl TensorSource for Quantised {
    fn infos(&self) -> &[TensorInfo] {
        &self.infos
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.infos.iter().find(|info| info.name == name)
    }

    fn read_i64(&self, name: &str) -> Result<Vec<i64>, FormatError> {
        self.file.read_i64(name)
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>, FormatError> {
        let values = self.file.read_f32(name)?;
        Ok(match self.info(name).map(|info| info.dtype) {
            Some(StoredDtype::Blocks(_)) => values
                .chunks(32)
                .flat_map(|values| {
                    let (scale, bytes) = block(values);
                    bytes.into_iter().map(move |byte| scale.to_f32() * f32::from(byte))
                })
                .collect(),
            _ => values,
        })
    }

    fn read_blocks(&self, name: &str) -> Result<Option<Vec<u8>>, FormatError> {
        let mut stored = Vec::new();
        for values in self.file.read_f32(name)?.chunks(32) {
            let (scale, bytes) = block(values);
            stored.extend(scale.to_le_bytes());
            stored.extend(bytes.into_iter().map(|byte| byte as u8));
        }
        Ok(Some(stored))
    }
}

#[test]
fn packed_weights_change_nothing() {
    let folder = fixture("llama");
    let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let adapter = folder.join("adapter");
    let lora = std::fs::read_to_string(adapter.join("adapter_config.json")).unwrap();
    let lora = LoraConfig::from_peft_json(&lora, "adapter_config.json").unwrap().lora;
    let values = std::fs::read(adapter.join("adapter_model.safetensors")).unwrap();
    let values = read_adapter(&values, "adapter_model.safetensors").unwrap();
    let rows = lorelei_data::one_per_row(examples(&folder.join("ref.safetensors")));
    let batch = lorelei_data::collate(&rows.iter().collect::<Vec<_>>(), 0);
    let (positions, targets) = batch.next_tokens();

    for (device_name, device) in [("cpu", Device::flex()), ("wgpu", Device::wgpu(DeviceKind::DefaultDevice))]
    {
        let results = [false, true].map(|keep_packed| {
            let source = Quantised::new(open(&folder.join("model.safetensors")));
            let config = ModelConfig::from_json(&config, "config.json").unwrap();
            let mut model = Model::load(
                config,
                &source,
                &device,
                Storage { keep_packed, ..Storage::SINGLE },
                &mut |_| {},
            )
            .unwrap();
            let packed = model.linears().filter(|(_, linear)| matches!(linear.weight, Weight::Packed { .. }));
            assert_eq!(packed.count(), if keep_packed { 14 } else { 0 });
            model.inject_lora(&lora, 1).unwrap();
            model.set_adapter(&values).unwrap();
            let counts = model.parameter_counts();
            let mode = lorelei_models::ForwardMode::Training { dropout_seed: 0 };
            let (loss, mut gradients) = model
                .loss_and_gradients(&tokens(&batch), mode, &positions, &targets, 1.0, keep_packed)
                .unwrap();
            let mut all = vec![loss.into_data().try_into_vec::<f32>().unwrap()];
            model.visit_parameters(&mut |name, parameter| {
                let gradient = gradients.take(&parameter).expect(name);
                all.push(gradient.into_data().try_into_vec::<f32>().unwrap());
            });
            model.merge_and_unload();
            let hidden =
                model.hidden_states(&tokens(&batch), lorelei_models::ForwardMode::Evaluation).unwrap();
            all.push(hidden.into_data().try_into_vec::<f32>().unwrap());
            (counts, all)
        });
        let [(counts, dense), (packed_counts, packed)] = results;
        assert_eq!(counts, packed_counts);
        for (index, (dense, packed)) in dense.iter().zip(&packed).enumerate() {
            assert_close(&format!("{device_name} {index}"), packed, dense, 2e-5);
        }
    }
}
