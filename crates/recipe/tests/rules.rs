//! Hints about a whole run before it begins.

use lorelei_recipe::{Recipe, StepPlan, fields, hints};

fn keys(settings: &[&str], rows: Option<usize>) -> Vec<&'static str> {
    let mut recipe = Recipe::default();
    // This run gets no hints.
    for setting in [
        "training.learning_rate=2e-4",
        "training.warmup_ratio=0.1",
        "training.save_steps=10",
        "training.logging_steps=10",
    ] {
        recipe.set(setting).unwrap();
    }
    settings.iter().for_each(|setting| drop(recipe.set(setting).unwrap()));
    let plan = rows.map(|rows| StepPlan::new(rows, &recipe.training).unwrap());
    let hints = hints(&recipe, plan.as_ref());
    for hint in &hints {
        assert!(fields::all().any(|field| field.path() == hint.key), "{hint:?}");
        assert!(!hint.source.is_empty() && !hint.message.is_empty());
    }
    hints.iter().map(|hint| hint.key).collect()
}

#[test]
fn a_usual_run_needs_no_word() {
    assert_eq!(keys(&[], Some(1000)), [""; 0]);
    assert_eq!(
        keys(
            &["training.learning_rate=5e-4", "lora.r=8", "lora.lora_alpha=32", "lora.lora_dropout=0.05"],
            Some(1000)
        ),
        [""; 0]
    );
    assert_eq!(keys(&["training.finetuning_type=full", "training.learning_rate=2e-5"], Some(1000)), [""; 0]);
}

#[test]
fn each_rule_is_about_its_setting() {
    let cases: &[(&[&str], usize, &str)] = &[
        (&["training.learning_rate=5e-5"], 1000, "training.learning_rate"),
        (&["training.learning_rate=0.01"], 1000, "training.learning_rate"),
        (&["training.finetuning_type=full"], 1000, "training.learning_rate"),
        (&["lora.lora_alpha=1"], 1000, "lora.lora_alpha"),
        (&["lora.lora_alpha=200"], 1000, "lora.lora_alpha"),
        (&["lora.r=64", "lora.lora_alpha=64"], 1000, "lora.use_rslora"),
        (&["lora.lora_dropout=0.5"], 1000, "lora.lora_dropout"),
        (&["training.gradient_accumulation_steps=20"], 1000, "training.gradient_accumulation_steps"),
        // The run has three steps: an interval of ten steps would give another hint.
        (
            &["training.gradient_accumulation_steps=16", "training.save_steps=1", "training.logging_steps=1"],
            100,
            "training.gradient_accumulation_steps",
        ),
        (&["training.num_train_epochs=10"], 1000, "training.num_train_epochs"),
        (&["training.save_steps=500"], 100, "training.save_steps"),
        (&["training.logging_steps=500"], 100, "training.logging_steps"),
        (&["training.eval_strategy=steps", "training.eval_steps=500"], 100, "training.eval_steps"),
        (&["training.warmup_ratio=0"], 1000, "training.warmup_ratio"),
        (&["training.warmup_ratio=1"], 1000, "training.warmup_ratio"),
    ];
    for (settings, rows, key) in cases {
        assert_eq!(keys(settings, Some(*rows)), [*key], "{settings:?}");
    }
    // Without the data there are no hints about steps.
    assert_eq!(keys(&["training.save_steps=500"], None), [""; 0]);
}

#[test]
fn each_optimizer_has_its_own_learning_rates() {
    let said = |optim: &str, rate: &str, finetuning: &str| {
        let settings = [
            format!("training.optim={optim}"),
            format!("training.learning_rate={rate}"),
            format!("training.finetuning_type={finetuning}"),
        ];
        !keys(&settings.each_ref().map(String::as_str), None).is_empty()
    };
    for optim in ["adamw_torch", "adamw_torch_fused", "adafactor"] {
        assert!(!said(optim, "2e-4", "lora") && said(optim, "5e-5", "lora") && said(optim, "1e-2", "lora"));
    }
    // Lion needs rates that are 3 to 10 times lower: AdamW's rates are high for it, and rates that are low for AdamW are usual.
    for optim in ["lion", "lion_32bit"] {
        assert!(!said(optim, "5e-5", "lora") && said(optim, "5e-4", "lora") && said(optim, "5e-6", "lora"));
        assert!(!said(optim, "5e-6", "full") && said(optim, "5e-5", "full"));
    }
    assert!(!said("adamw_torch", "5e-5", "full") && said("adamw_torch", "5e-4", "full"));
    assert!(!said("adafactor", "5e-4", "full") && said("adafactor", "5e-3", "full"));
    // The step of gradient descent is proportional to the gradient, so that no range is usual.
    assert!(!said("sgd", "0.1", "lora") && !said("sgd", "1e-5", "lora"));
}
