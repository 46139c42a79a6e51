//! `adapter_config.json`, and the target modules of an adapter.

use lorelei_recipe::{LoraConfig, PeftConfig, Recipe, TargetModules};
use serde_json::Value as Json;

const PLAIN: &str = include_str!("fixtures/adapter_config.json");
const PATTERNS: &str = include_str!("fixtures/adapter_config_patterns.json");
const REGEX: &str = include_str!("fixtures/adapter_config_regex.json");
const LAYERS: &str = include_str!("fixtures/adapter_config_layers.json");

fn names(config: &Json) -> Vec<String> {
    match &config["target_modules"] {
        Json::Array(list) => list.iter().map(|name| name.as_str().unwrap().to_string()).collect(),
        _ => vec!["not".into(), "written".into()],
    }
}

#[test]
fn what_peft_wrote_is_read_and_written_as_it_was() {
    for theirs in [PLAIN, PATTERNS, REGEX, LAYERS] {
        let expected: Json = serde_json::from_str(theirs).unwrap();
        let PeftConfig { lora: config, base_model: base, .. } =
            LoraConfig::from_peft_json(theirs, "adapter_config.json").unwrap();
        assert_eq!(base.as_deref(), Some("tiny/llama"));
        let ours = config.to_peft_json("tiny/llama", &names(&expected));
        let found: Json = serde_json::from_str(&ours).unwrap();
        let keys = |value: &Json| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&found), keys(&expected));
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&found[key], value, "{key}");
        }
        assert_eq!(ours, theirs, "the text itself");
    }
}

#[test]
fn an_alpha_that_is_not_whole_stays_so() {
    let config = LoraConfig { lora_alpha: 12.5, lora_dropout: 0.05, ..Default::default() };
    let text = config.to_peft_json("owner/base@v1", &["q_proj".into()]);
    assert!(
        text.contains("\"base_model_name_or_path\": \"owner/base\"") && text.contains("\"revision\": \"v1\"")
    );
    assert!(config.to_peft_json("./odd@place", &[]).contains("\"./odd@place\""));
    let text = config.to_peft_json("base", &["q_proj".into()]);
    assert!(text.contains("\"lora_alpha\": 12.5,") && text.contains("\"lora_dropout\": 0.05,"), "{text}");
    assert!(text.contains("\"task_type\": null,") && text.contains("\"inference_mode\": true,"), "{text}");
    let all =
        LoraConfig { target_modules: Some(TargetModules::Pattern("all-linear".into())), ..config.clone() };
    assert!(all.to_peft_json("base", &["up".into()]).contains("\"target_modules\": [\n    \"up\"\n  ]"));
    // One layer's module must not become every layer's in the file.
    let one = LoraConfig { target_modules: Some(TargetModules::List(vec!["layers.0.up".into()])), ..config };
    let again = LoraConfig::from_peft_json(&one.to_peft_json("base", &["up".into()]), "a.json").unwrap().lora;
    assert_eq!(again, one);
}

#[test]
fn patterns_are_python_s_with_look_around() {
    let config = |pattern: &str| {
        let mut config: Json = serde_json::from_str(PLAIN).unwrap();
        config["target_modules"] = pattern.into();
        LoraConfig::from_peft_json(&config.to_string(), "a.json").unwrap().lora
    };
    let paths = [
        "model.embed_tokens",
        "model.layers.0.self_attn.q_proj",
        "model.layers.10.self_attn.o_proj",
        "model.layers.3.mlp.up_proj",
        "lm_head",
    ];
    for (pattern, selected) in [
        (r"^(?!.*(lm_head|embed)).*(q_proj|o_proj)$", &[1, 2][..]),
        (r"^(model\.layers(?=\.).*\.(q_proj|v_proj|down_proj))$", &[1]),
        (r".*(?<!mlp)\.\w+_proj", &[1, 2]),
        (r"(?P<stem>model)\.layers\.(?P<n>\d)(?P=n)?\..*", &[1, 3]),
        (r"model\.layers\.(\d)\1?\..*", &[1, 3]),
        (r"(?i).*\.Q_PROJ\Z", &[1]),
        (r".*\.layers\.[0-9]{,1}\..*proj", &[1, 3]),
    ] {
        let config = config(pattern);
        let found: Vec<usize> =
            (0..paths.len()).filter(|at| config.selects(paths[*at], false, None)).collect();
        assert_eq!(found, selected, "{pattern}");
    }
    let error = LoraConfig::from_peft_json(r#"{"peft_type": "LORA", "target_modules": "(?!"}"#, "a.json")
        .unwrap_err();
    assert_eq!((error.key.as_str(), error.line), ("target_modules", 1), "{error}");
}

#[test]
fn keys_of_a_newer_peft_are_warned_of_if_they_switch_something_on() {
    let text = r#"{
  "peft_type": "LORA", "peft_version": "0.29.0", "r": 4,
  "use_hyperlora": true,
  "lora_gate": "sigmoid",
  "later_a": null, "later_b": false, "later_c": "", "later_d": [], "later_e": {}
}"#;
    let read = LoraConfig::from_peft_json(text, "adapter_config.json").unwrap();
    let warned: Vec<(&str, usize)> =
        read.warnings.iter().map(|warning| (&warning.key[..], warning.line)).collect();
    assert_eq!(warned, [("use_hyperlora", 3), ("lora_gate", 4)]);
    assert!(read.warnings[0].message.contains("PEFT 0.29.0 wrote the file"), "{}", read.warnings[0]);
    assert_eq!(LoraConfig::from_peft_json(PLAIN, "a.json").unwrap().warnings, []);
}

#[test]
fn names_and_patterns_that_match_nothing_are_warned_of() {
    let read = |text: &str| Recipe::from_toml(text, "r.toml").unwrap().0.lora;
    let modules = ["layers.0.q_proj", "layers.0.k_proj", "layers.0.up"];
    let warned = |text: &str| {
        let warnings = read(text).unmatched(&modules, &modules[..1], 1);
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        warned("[lora]\nrank_pattern = { q_porj = 32 }\nalpha_pattern = { k_proj = 1, \".*q_proj\" = 2 }"),
        [
            r#"lora.rank_pattern: "q_porj" matches no module that gets an adapter; is "q_proj" meant?"#,
            r#"lora.alpha_pattern: "k_proj" matches no module that gets an adapter; is "q_proj" meant?"#,
        ]
    );
    assert_eq!(
        warned("[lora]\ntarget_modules = [\"q_proj\", \"query\"]\nexclude_modules = [\"kproj\"]"),
        [
            r#"lora.target_modules: "query" matches no module of this model"#,
            r#"lora.exclude_modules: "kproj" matches no module of this model; is "k_proj" meant?"#,
        ]
    );
    assert_eq!(
        warned("[lora]\nexclude_modules = \"kproj\""),
        [r#"lora.exclude_modules: "kproj" matches no module of this model; is "k_proj" meant?"#]
    );
    assert_eq!(warned("[lora]\nexclude_modules = \".*k_pro.\""), [""; 0]);
    assert_eq!(
        warned("[lora]\nlayers_to_transform = [0, 1]"),
        [r#"lora.layers_to_transform: "1" matches none of the model's 1 layers, which are counted from 0"#]
    );
    assert_eq!(
        warned("[lora]\ntarget_modules = [\"q_proj\", \"layers.0.up\"]\nlayers_to_transform = [-1]"),
        [""; 0]
    );
}

#[test]
fn what_we_do_not_have_is_an_error_that_names_it() {
    let change = |key: &str, value: Json| {
        let mut config: Json = serde_json::from_str(PLAIN).unwrap();
        config[key] = value;
        LoraConfig::from_peft_json(&serde_json::to_string_pretty(&config).unwrap(), "a.json")
    };
    for (key, value) in [
        ("use_qalora", true.into()),
        ("bias", "some".into()),
        ("init_lora_weights", "corda".into()),
        ("init_lora_weights", "pissa_niter_x".into()),
        ("trainable_token_indices", serde_json::json!([-1])),
        ("task_type", "QUESTION_ANS".into()),
        ("peft_type", "IA3".into()),
        ("r", 0.into()),
        ("r", "8".into()),
    ] {
        let error = change(key, value).unwrap_err();
        assert_eq!(error.key, key);
        assert!(error.line > 1 && error.to_string().contains(key), "{error}");
    }
    let error = change("use_qalora", true.into()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a.json:43:3: use_qalora = true is not supported: QALoRA is not there yet; leave it out, or at its default, false"
    );
    for (key, value) in [
        ("a_later_setting", serde_json::json!({ "x": [1] })),
        ("modules_to_save", serde_json::json!([])),
        ("modules_to_save", serde_json::json!(["lm_head"])),
        ("bias", "all".into()),
        ("init_lora_weights", "pissa_niter_16".into()),
        ("init_lora_weights", "olora".into()),
        ("trainable_token_indices", serde_json::json!([3, 1])),
        ("trainable_token_indices", serde_json::json!({ "embed_tokens": [3, 1] })),
        ("task_type", "SEQ_CLS".into()),
        ("loftq_config", Json::Null),
        ("fan_in_fan_out", true.into()),
        ("init_lora_weights", "gaussian".into()),
        ("init_lora_weights", false.into()),
        ("peft_version", "0.9".into()),
        ("use_dora", true.into()),
        ("lora_bias", true.into()),
    ] {
        change(key, value).unwrap();
    }
    let old = r#"{"peft_type": "LORA", "r": 16, "lora_alpha": 32.0, "target_modules": "all-linear"}"#;
    let PeftConfig { lora: config, base_model: base, .. } =
        LoraConfig::from_peft_json(old, "old.json").unwrap();
    assert_eq!((config.r, config.lora_alpha, base), (16, 32.0, None));
    assert!(LoraConfig::from_peft_json("[1]", "x").is_err() && LoraConfig::from_peft_json("", "x").is_err());
}

#[test]
fn patterns_give_rank_alpha_and_scale() {
    let mut config = LoraConfig::from_peft_json(PATTERNS, "a.json").unwrap().lora;
    let module = |layer: usize, rest: &str| format!("model.layers.{layer}.{rest}");
    let found =
        |config: &LoraConfig, path: &str| (config.rank(path), config.alpha(path), config.scaling(path));
    assert_eq!(found(&config, &module(0, "self_attn.q_proj")), (2, 8.0, 4.0));
    assert_eq!(found(&config, &module(1, "self_attn.q_proj")), (4, 1.0, 0.25));
    assert_eq!(found(&config, &module(0, "self_attn.v_proj")), (4, 8.0, 2.0));
    assert_eq!(found(&config, &module(1, "self_attn.v_proj")), (3, 8.0, 8.0 / 3.0));
    assert_eq!(found(&config, &module(1, "mlp.down_proj")), (6, 24.0, 4.0));
    // A name must match a whole part of a path, not the end of another name.
    assert_eq!(found(&config, &module(1, "mlp.xdown_proj")), (4, 8.0, 2.0));
    config.use_rslora = true;
    assert_eq!(config.scaling(&module(0, "self_attn.v_proj")), 4.0);
}

#[test]
fn modules_are_selected_as_in_peft() {
    let selected = |config: &LoraConfig| -> Vec<String> {
        let mut paths = vec!["model.embed_tokens".to_string(), "lm_head".to_string()];
        for layer in 0..2 {
            for name in ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.down_proj"] {
                paths.push(format!("model.layers.{layer}.{name}"));
            }
        }
        paths.retain(|path| path != "model.embed_tokens" && config.selects(path, path == "lm_head", None));
        paths.iter().map(|path| path.replace("model.layers.", "")).collect()
    };
    let read = |text: &str| LoraConfig::from_peft_json(text, "a.json").unwrap().lora;
    assert_eq!(
        selected(&read(PLAIN)),
        ["0.self_attn.q_proj", "0.self_attn.v_proj", "1.self_attn.q_proj", "1.self_attn.v_proj"]
    );
    assert_eq!(selected(&read(REGEX)), ["1.self_attn.q_proj", "1.self_attn.k_proj"]);
    assert_eq!(selected(&read(LAYERS)), ["1.self_attn.q_proj", "1.self_attn.v_proj", "1.mlp.down_proj"]);
    let all = LoraConfig {
        target_modules: Some(TargetModules::Pattern("ALL-linear".into())),
        ..Default::default()
    };
    assert_eq!(selected(&all).len(), 8);
    let except = LoraConfig { exclude_modules: Some(TargetModules::List(vec!["k_proj".into()])), ..all };
    assert_eq!(selected(&except).len(), 6);
    assert!(selected(&LoraConfig::default()).is_empty());
    let filled = LoraConfig::default().with_default_targets("llama").unwrap();
    assert_eq!(selected(&filled), selected(&read(PLAIN)));
    assert!(LoraConfig::default().with_default_targets("glm").is_err());
}
