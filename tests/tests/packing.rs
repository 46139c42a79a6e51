//! Tests that packing changes only the speed: the loss and the adapter's gradients of rows that share a sequence are those of the separate rows.

use burn::tensor::{Device, DeviceKind};
use lorelei_data::{SequenceRow, collate, one_per_row, pack};
use lorelei_formats::ModelConfig;
use lorelei_models::{ForwardMode, Model, Storage, read_adapter};
use lorelei_recipe::LoraConfig;
use lorelei_tests::{assert_close, examples, fixture, open};
use lorelei_train::tokens;

/// Returns the loss and the gradients of all parameters.
fn numbers(arch: &str, rows: &[SequenceRow], device: &Device) -> Vec<Vec<f32>> {
    let folder = fixture(arch);
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let config = ModelConfig::from_json(&read("config.json"), "config.json").unwrap();
    let source = open(&folder.join("model.safetensors"));
    let mut model = Model::load(config, &source, device, Storage::SINGLE, &mut |_| {}).unwrap();
    let lora =
        LoraConfig::from_peft_json(&read("adapter/adapter_config.json"), "adapter_config.json").unwrap().lora;
    model.inject_lora(&lora, 1).unwrap();
    let values = std::fs::read(folder.join("adapter/adapter_model.safetensors")).unwrap();
    model.set_adapter(&read_adapter(&values, "adapter_model.safetensors").unwrap()).unwrap();
    let batch = collate(&rows.iter().collect::<Vec<_>>(), 0);
    let (positions, targets) = batch.next_tokens();
    let mode = ForwardMode::Training { dropout_seed: 0 };
    let items = targets.len() as f32;
    let (loss, mut gradients) =
        model.loss_and_gradients(&tokens(&batch), mode, &positions, &targets, items, false).unwrap();
    let mut all = vec![loss.into_data().try_into_vec::<f32>().unwrap()];
    model.visit_parameters(&mut |name, parameter| {
        let gradient = gradients.take(&parameter).expect(name);
        all.push(gradient.into_data().try_into_vec::<f32>().unwrap());
    });
    all
}

#[test]
fn packed_rows_have_the_loss_and_the_gradients_of_the_rows_alone() {
    // These architectures have full attention, a sliding window, and absolute positions.
    for arch in ["llama", "qwen2_window", "gpt2"] {
        let examples = examples(&fixture(arch).join("ref.safetensors"));
        let alone = one_per_row(examples.clone());
        let packed = pack(examples, alone.iter().map(SequenceRow::num_tokens).sum());
        assert!(packed.len() == 1 && alone.len() > 1, "{arch}");
        for (name, device) in [("cpu", Device::flex()), ("wgpu", Device::wgpu(DeviceKind::DefaultDevice))] {
            let (packed, alone) = (numbers(arch, &packed, &device), numbers(arch, &alone, &device));
            assert!(alone[0][0] > 0.0 && alone.len() > 2);
            for (index, (packed, alone)) in packed.iter().zip(&alone).enumerate() {
                assert_close(&format!("{arch} {name} {index}"), packed, alone, 2e-5);
            }
        }
    }
}
