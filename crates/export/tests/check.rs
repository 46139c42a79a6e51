//! What readers do with adapters of the fixtures.

mod common;

use common::{adapter, config, edited, made};
use lorelei_export::{Finding, PeftAdapter, Reader, Verdict, check};

fn found(adapter: &PeftAdapter, model: &str, reader: Reader) -> Vec<Finding> {
    check(adapter, Some(&config(model)), reader).unwrap()
}

fn has(findings: &[Finding], verdict: Verdict, words: &str) -> bool {
    findings.iter().any(|finding| finding.verdict == verdict && finding.message.contains(words))
}

#[test]
fn what_each_reader_refuses_ignores_and_needs() {
    use Reader::{LlamaCpp, Mlx, Ollama, Peft, Vllm};
    use Verdict::{Hint, Ignored, Refused};
    for (case, reader, verdict, words) in [
        ("llama/dora", Vllm, Refused, "DoRA"),
        ("llama/dora", LlamaCpp, Refused, "DoRA"),
        ("llama/dora", Ollama, Refused, "DoRA"),
        ("llama/dora", Mlx, Hint, "--to mlx"),
        ("llama/lora_bias", Vllm, Refused, "biases"),
        ("llama_bias/bias_all", Vllm, Refused, "biases"),
        ("llama/trainable_tokens", Vllm, Refused, "trainable_tokens_delta"),
        ("llama/modules_to_save", Vllm, Refused, "lm_head.weight"),
        ("llama_classes/adapter", Vllm, Refused, "modules_to_save"),
        ("llama/modules_to_save", Mlx, Refused, "lm_head.weight"),
        ("llama/rank_alpha_pattern", Vllm, Ignored, "--fold"),
        ("llama/pissa", Vllm, Ignored, "PiSSA"),
        ("llama/pissa", Peft, Hint, "path_initial_model_for_weight_conversion"),
        ("llama/adapter", Vllm, Hint, "--enable-lora"),
        ("llama/adapter", LlamaCpp, Hint, "--to gguf-lora"),
        ("llama/adapter", Ollama, Hint, "--to ollama"),
        ("llama_classes/adapter", LlamaCpp, Refused, "trained to classify"),
        ("llama_classes/adapter", Peft, Hint, "num_labels"),
        ("qwen2/tied_ends", LlamaCpp, Refused, "one tensor"),
        ("qwen2/tied_ends", Vllm, Hint, "one tensor"),
        ("bert_features/adapter", Ollama, Refused, "type bert"),
        ("chatglm/adapter", Mlx, Refused, "type chatglm"),
    ] {
        let (model, _) = case.split_once('/').unwrap();
        let findings = found(&adapter(case), model, reader);
        assert!(has(&findings, verdict, words), "{case} {reader:?}: {findings:?}");
    }
}

#[test]
fn what_works_as_it_is_has_no_complaint() {
    for (case, reader) in [
        ("llama/rslora", Reader::Vllm),
        ("llama/adapter", Reader::Vllm),
        ("llama/adapter", Reader::Peft),
        ("llama/rank_alpha_pattern", Reader::LlamaCpp),
        ("llama/rslora", Reader::Mlx),
    ] {
        let (model, _) = case.split_once('/').unwrap();
        let findings = found(&adapter(case), model, reader);
        assert!(
            findings.iter().all(|finding| finding.verdict == Verdict::Hint),
            "{case} {reader:?}: {findings:?}"
        );
    }
}

#[test]
fn vllms_rank_is_the_next_that_it_has_kernels_for() {
    for (rank, flag) in [
        (4, "--enable-lora"),
        (16, "--enable-lora"),
        (17, "--max-lora-rank 32"),
        (300, "--max-lora-rank 320"),
    ] {
        // The tensors keep their rank of 4; the largest rank of the configuration decides.
        let config = |text: &str| {
            let pattern = "\"rank_pattern\": {\n    \"q_proj\": 4,\n    \"v_proj\": 4\n  }";
            text.replace("\"r\": 4", &format!("\"r\": {rank}")).replace("\"rank_pattern\": {}", pattern)
        };
        let findings = found(&edited("llama/adapter", config).unwrap(), "llama", Reader::Vllm);
        assert!(findings.iter().any(|finding| finding.message.ends_with(flag)), "{rank}: {findings:?}");
    }
}

#[test]
fn an_adapter_of_another_base_or_with_odd_values_is_named() {
    for (model, words) in [("smollm3", "maps 64 values to 128"), ("gpt2", "has no module model.layers.0")] {
        for reader in [Reader::Peft, Reader::Vllm] {
            let findings = found(&adapter("llama/adapter_all_linear"), model, reader);
            assert!(has(&findings, Verdict::Refused, words), "{model} {reader:?}: {findings:?}");
        }
    }
    let infinite = |tensors: &mut Vec<common::Named>| *tensors[0].2.last_mut().unwrap() = f32::INFINITY;
    let odd = made("llama/adapter", |_| {}, infinite).unwrap();
    for (_, reader) in Reader::ALL {
        let error = check(&odd, Some(&common::config("llama")), reader).unwrap_err().to_string();
        assert!(error.contains("made.safetensors") && error.contains("inf"), "{reader:?}: {error}");
    }
}

#[test]
fn without_a_base_the_rest_is_checked() {
    let findings = check(&adapter("llama/dora"), None, Reader::LlamaCpp).unwrap();
    assert!(has(&findings, Verdict::Refused, "DoRA") && findings.len() == 1, "{findings:?}");
    let findings = check(&adapter("llama/adapter"), None, Reader::Mlx).unwrap();
    assert!(has(&findings, Verdict::Hint, "--base"), "{findings:?}");
}

#[test]
fn an_adapter_that_lacks_modules_or_classifies_another_base_is_named() {
    let without_layer =
        |tensors: &mut Vec<common::Named>| tensors.retain(|(name, ..)| !name.contains("layers.1."));
    let half = made("llama/adapter", |_| {}, without_layer).unwrap();
    let findings = found(&half, "llama", Reader::Peft);
    assert!(has(&findings, Verdict::Ignored, "model.layers.1.self_attn.q_proj"), "{findings:?}");
    let findings = found(&adapter("llama_classes/adapter"), "gpt2", Reader::Peft);
    assert!(has(&findings, Verdict::Refused, "has no module model.layers.0"), "{findings:?}");
}

#[test]
fn copies_of_the_bases_weights_are_no_training() {
    let copy = |tensors: &mut Vec<common::Named>| {
        let weight = common::named("llama/model.safetensors");
        let (_, shape, values) =
            weight.into_iter().find(|(name, ..)| name == "model.embed_tokens.weight").unwrap();
        tensors.push(("base_model.model.model.embed_tokens.base_layer.weight".into(), shape, values));
    };
    let adapter = made("llama/embedding_lm_head", |_| {}, copy).unwrap();
    for reader in [Reader::LlamaCpp, Reader::Mlx, Reader::Vllm] {
        let findings = found(&adapter, "llama", reader);
        assert!(findings.iter().all(|one| one.verdict != Verdict::Refused), "{reader:?}: {findings:?}");
    }
    // One of a resized vocabulary is none.
    let resized = |tensors: &mut Vec<common::Named>| {
        tensors.push((
            "base_model.model.model.embed_tokens.base_layer.weight".into(),
            vec![2, 64],
            vec![0.0; 128],
        ));
    };
    let adapter = made("llama/embedding_lm_head", |_| {}, resized).unwrap();
    let error = check(&adapter, Some(&config("llama")), Reader::Mlx).unwrap_err().to_string();
    assert!(error.contains("its vocabulary was resized"), "{error}");
}
