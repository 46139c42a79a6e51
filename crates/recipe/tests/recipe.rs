//! Reading, writing and changing a recipe, and its errors.

use lorelei_recipe::fields::{self, State, Table};
use lorelei_recipe::{HostKind, IntervalStrategy, Recipe, TargetModules, features_markdown};
use serde_json::Value as Json;

const EXAMPLE: &str = r#"# A recipe
[model]
model_name_or_path = "HuggingFaceTB/SmolLM2-135M-Instruct"

[data]
train_file = "train.jsonl"
validation_split_percentage = 2.5
max_length = 256

[lora]
  r = 16
  lora_alpha = 32
  target_modules = ["q_proj", "v_proj"]
  layers_to_transform = 3
  rank_pattern = { "layers.0.self_attn.q_proj" = 2 }
  alpha_pattern.v_proj = 12.5

[training]
learning_rate = 2e-4
lr_scheduler_type = "cosine"
warmup_ratio = 0.03
max_steps = 100
evaluation_strategy = "steps"
dataloader_num_workers = 4
"#;

fn error(text: &str) -> String {
    Recipe::from_toml(text, "recipe.toml").unwrap_err().to_string()
}

#[test]
fn a_recipe_is_read() {
    let (recipe, warnings) = Recipe::from_toml(EXAMPLE, "recipe.toml").unwrap();
    assert_eq!(recipe.lora.r, 16);
    assert_eq!(recipe.lora.lora_alpha, 32.0);
    assert_eq!(recipe.lora.target_modules, Some(TargetModules::List(vec!["q_proj".into(), "v_proj".into()])));
    assert_eq!(recipe.lora.layers_to_transform, Some(vec![3]));
    assert_eq!(recipe.lora.rank("model.layers.0.self_attn.q_proj"), 2);
    assert_eq!(recipe.lora.alpha("model.layers.1.self_attn.v_proj"), 12.5);
    assert_eq!(recipe.data.validation_split_percentage, Some(2.5));
    assert_eq!(recipe.training.eval_strategy, lorelei_recipe::IntervalStrategy::Steps);
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["recipe.toml:24:1: dataloader_num_workers has no effect: it is about torch's loader"]
    );
    assert_eq!(Recipe::from_toml("", "f").unwrap(), (Recipe::default(), vec![]));
    assert_eq!(Recipe::from_json("{}", "f").unwrap(), (Recipe::default(), vec![]));
}

#[test]
fn what_is_written_reads_the_same() {
    for recipe in [Recipe::default(), Recipe::from_toml(EXAMPLE, "f").unwrap().0] {
        let toml = recipe.to_toml();
        assert_eq!(Recipe::from_toml(&toml, "f").unwrap(), (recipe.clone(), vec![]), "{toml}");
        let json = recipe.to_json();
        assert_eq!(Recipe::from_json(&json, "f").unwrap(), (recipe.clone(), vec![]), "{json}");
    }
    let mut seed = Recipe::default();
    seed.training.seed = u64::MAX;
    assert_eq!(seed.validate().unwrap_err().key, "training.seed");
}

#[test]
fn numbers_are_the_same_in_toml_and_json() {
    for number in
        ["5e-4", "0.000123456789012345678", "8.41e-21", "1.7976931348623157e308", "2.2250738585072011e-308"]
    {
        let (toml, _) = Recipe::from_toml(&format!("[training]\nlearning_rate = {number}"), "f").unwrap();
        let (json, _) =
            Recipe::from_json(&format!("{{\"training\": {{\"learning_rate\": {number}}}}}"), "f").unwrap();
        assert_eq!(toml.training.learning_rate.to_bits(), number.parse::<f64>().unwrap().to_bits());
        assert_eq!(toml, json);
    }
}

#[test]
fn an_error_says_where_what_and_the_way_out() {
    let errors = [
        (
            "\n\n[lora]\n  lora_aplha = 3",
            "recipe.toml:4:3: unknown key \"lora_aplha\" in [lora]; did you mean \"lora_alpha\"?",
        ),
        (
            "[training]\nrank = 3",
            "recipe.toml:2:1: unknown key \"rank\" in [training]; did you mean \"r\" under [lora]?",
        ),
        (
            "[lora]\nmax_steps = 3",
            "recipe.toml:2:1: unknown key \"max_steps\" in [lora]; it belongs under [training]",
        ),
        ("[lroa]\nr = 3", "recipe.toml:1:2: unknown table \"lroa\"; did you mean [lora]?"),
        ("r = 3", "recipe.toml:1:1: \"r\" stands outside of any table; put it under [lora]"),
        ("lora = 3", "recipe.toml:1:1: lora takes a table of settings"),
        ("[lora]\nr = \"8\"", "recipe.toml:2:1: r takes an integer, 1 to 4096, not the string \"8\""),
        ("[lora]\nr = 8.5", "recipe.toml:2:1: r takes an integer, 1 to 4096, not 8.5"),
        ("[lora]\nr = 0", "recipe.toml:2:1: r = 0 is out of range: 1 <= r <= 4096"),
        (
            "[lora]\nlora_dropout = 1.0",
            "recipe.toml:2:1: lora_dropout = 1.0 is out of range: 0 <= lora_dropout < 1",
        ),
        (
            "[lora]\nlora_alpha = nan",
            "recipe.toml:2:1: lora_alpha takes a number, x > 0; NaN is not a finite number",
        ),
        (
            "[lora]\nuse_qalora = true",
            "recipe.toml:2:1: use_qalora = true is not supported: QALoRA is not there yet; leave it out, or at its default, false",
        ),
        (
            "[lora]\ninit_lora_weights = \"corda\"",
            "recipe.toml:2:1: init_lora_weights = \"corda\" is not supported yet; init_lora_weights takes true, false, \"gaussian\", \"pissa\", \"pissa_niter_N\" or \"olora\"",
        ),
        (
            "[training]\nlr_scheduler_type = \"cosin\"",
            "recipe.toml:2:1: lr_scheduler_type = \"cosin\" is not one of its values; did you mean \"cosine\"?",
        ),
        (
            "[training]\neval_strategy = \"no\"\nevaluation_strategy = \"no\"",
            "recipe.toml:3:1: evaluation_strategy is another name of eval_strategy, which is given too",
        ),
        (
            "[training]\nlogging_steps = 2.5",
            "recipe.toml:2:1: logging_steps = 2.5 must be whole when it is more than 1",
        ),
        (
            "[lora]\nlayers_to_transform = [1]\ntarget_modules = '.*q_proj'",
            "recipe.toml:2:1: layers_to_transform cannot be used when target_modules is a regex; say which layers in the regex, or name the modules in a list",
        ),
    ];
    for (text, expected) in errors {
        assert_eq!(error(text), expected);
    }
    assert!(error("[lora\nr = 1").starts_with("recipe.toml:1:"), "{}", error("[lora\nr = 1"));
    assert!(error("[lora]\nrank_pattern = { x = 0 }").contains("out of range"));
    assert!(error("[lora]\ntarget_modules = \"(\"").contains("regex"));
    assert!(error("[lora]\nr = 99999999999999999999999").contains("out of range"));
    let json = |text| Recipe::from_json(text, "r.json").unwrap_err().to_string();
    assert_eq!(json("{\"lora\": {\n \"r\": true}}"), "r.json:2:2: r takes an integer, 1 to 4096, not true");
    assert_eq!(json("{\"lora\": {}, \"lora\": {}}"), "r.json:1:14: [lora] is given twice");
    assert!(json("{\"lora\": ").starts_with("r.json:1:9: this is not valid JSON"), "{}", json("{\"lora\": "));
}

#[test]
fn settings_that_do_nothing_give_a_warning() {
    let warned = |text: &str| {
        let (_, warnings) = Recipe::from_toml(text, "f").unwrap();
        warnings.into_iter().map(|warning| (warning.key, warning.line)).collect::<Vec<_>>()
    };
    let one = |key: &str, line| vec![(key.to_string(), line)];
    assert_eq!(warned("[training]\nwarmup_steps = 1\nwarmup_ratio = 0.1"), one("training.warmup_ratio", 3));
    assert_eq!(warned("[training]\nnum_train_epochs = 1\nmax_steps = 4"), one("training.max_steps", 3));
    assert_eq!(warned("[training]\neval_strategy = \"epoch\""), one("training.eval_strategy", 2));
    assert_eq!(
        warned("[training]\ntf32 = true\nbf16 = false\nreport_to = \"none\""),
        one("training.tf32", 2)
    );
    assert_eq!(warned("[training]\nddp_timeout = 1800\nreport_to = []\nlr_scheduler_kwargs = {}"), vec![]);
}

#[test]
fn one_setting_is_changed() {
    let mut recipe = Recipe::default();
    let list =
        |names: &[&str]| Some(TargetModules::List(names.iter().map(|name| name.to_string()).collect()));
    for text in
        ["lora.r=16", "lora.lora_alpha = 32", "training.eval_strategy=epoch", "data.train_file=my file.jsonl"]
    {
        assert_eq!(recipe.set(text).unwrap(), vec![]);
    }
    assert_eq!((recipe.lora.r, recipe.lora.lora_alpha), (16, 32.0));
    assert_eq!(recipe.data.train_file.as_deref(), Some("my file.jsonl"));
    recipe.set("data.train_file=2024").unwrap();
    assert_eq!(recipe.data.train_file.as_deref(), Some("2024"));
    recipe.set("data.train_file=\"a # b\"").unwrap();
    assert_eq!(recipe.data.train_file.as_deref(), Some("a # b"));
    for (text, expected) in [
        ("q_proj,v_proj", list(&["q_proj", "v_proj"])),
        ("q_proj", list(&["q_proj"])),
        ("[\"up\", 'down']", list(&["up", "down"])),
        ("all-linear", Some(TargetModules::Pattern("all-linear".into()))),
        (r".*\.(q|v)_proj{1,2}", Some(TargetModules::Pattern(r".*\.(q|v)_proj{1,2}".into()))),
    ] {
        recipe.set(&format!("lora.target_modules={text}")).unwrap();
        assert_eq!(recipe.lora.target_modules, expected, "{text}");
    }
    recipe.set("lora.layers_to_transform=0,2").unwrap();
    assert_eq!(recipe.lora.layers_to_transform, Some(vec![0, 2]));
    recipe.set("lora.rank_pattern={q_proj = 2}").unwrap();
    assert_eq!(recipe.lora.rank("q_proj"), 2);
    recipe.set("training.evaluation_strategy=no").unwrap();
    assert_eq!(recipe.training.eval_strategy, lorelei_recipe::IntervalStrategy::No);
    assert_eq!(recipe.set("training.tf32=true").unwrap().len(), 1);
    let before = recipe.clone();
    for (text, part) in [
        ("lora.r=0", "--set lora.r=0: r = 0 is out of range: 1 <= r <= 4096"),
        ("lora.r=many", "--set lora.r=many: r takes an integer, 1 to 4096, not the string \"many\""),
        ("lora.r=1\n[training]", "--set lora.r=1 [training]: r takes an integer"),
        ("lora.lora_alpha=nan", "NaN is not a finite number"),
        ("data.train_file=\"\"", "train_file is empty"),
        ("lora.lora_aplha=1", "did you mean \"lora_alpha\"?"),
        ("loar.r=1", "did you mean [lora]?"),
        ("lora.r", "a value is missing; write table.key=value, such as lora.r=16"),
        ("lora.use_qalora=true", "QALoRA is not there yet; leave it out, or at its default, false"),
        ("training.lr_scheduler_type=greedy", "not supported yet"),
    ] {
        let error = recipe.set(text).unwrap_err().to_string();
        assert!(error.contains(part) && !error.contains('\n'), "{text}: {error}");
    }
    assert_eq!(recipe, before);
    recipe.set("r=3").unwrap();
    assert_eq!(recipe.lora.r, 3);
    for text in ["lora.r=", "data.train_file=null", "training.learning_rate=.5", "training.fp16=False"] {
        assert_eq!(recipe.set(text).unwrap(), vec![]);
    }
    assert_eq!((recipe.lora.r, recipe.data.train_file, recipe.training.learning_rate), (8, None, 0.5));
}

#[test]
fn the_table_of_fields_fits_the_structures() {
    let defaults = serde_json::to_value(Recipe::default()).unwrap();
    for field in fields::all() {
        let default: Json =
            serde_json::from_str(field.default).unwrap_or_else(|_| panic!("{}", field.path()));
        for text in field.harmless {
            serde_json::from_str::<Json>(text).unwrap_or_else(|_| panic!("{}: {text}", field.path()));
        }
        let here = &defaults[field.table.name()][field.name];
        match field.state {
            // The setting is not written into a recipe, because its absence means the default.
            State::Supported if here.is_null() => {
                let said = serde_json::json!({ (field.table.name()): { (field.name): default } });
                let said: Recipe =
                    serde_json::from_value(said).unwrap_or_else(|e| panic!("{}: {e}", field.path()));
                assert!(said == Recipe::default() || field.default == "{}", "{}", field.path());
            }
            State::Supported => assert!(
                *here == default || here.as_f64().is_some() && here.as_f64() == default.as_f64(),
                "{}: {here} here",
                field.path()
            ),
            State::Renamed(to) => assert_eq!(fields::find(field.table, field.name).unwrap().name, to),
            State::Ignored(_) | State::Refused(_) => {}
        }
        assert_eq!(fields::of(field.table).iter().filter(|other| other.name == field.name).count(), 1);
        // Giving the default, whatever it is, changes nothing.
        if !default.is_null() {
            let text = serde_json::json!({ field.table.name(): { field.name: default } }).to_string();
            assert_eq!(Recipe::from_json(&text, "f").unwrap(), (Recipe::default(), vec![]), "{text}");
        }
    }
    for table in Table::ALL {
        for name in defaults[table.name()].as_object().unwrap().keys() {
            assert_eq!(fields::find(table, name).map(|field| field.name), Some(name.as_str()));
        }
    }
    // Every word that a choice accepts is accepted by the structs too.
    for field in fields::all() {
        if let lorelei_recipe::Kind::Choice { takes, .. } = field.kind {
            for word in takes {
                Recipe::default().set(&format!("{}={word}", field.path())).unwrap();
            }
        }
    }
}

#[test]
fn every_field_has_a_row_in_the_features() {
    let text = features_markdown();
    for field in fields::all() {
        assert_eq!(text.matches(&format!("\n| `{}` | ", field.name)).count(), 1, "{}", field.name);
    }
    assert!(
        text.starts_with("### [model]\n\n| Field | Default | Transformers default | State | Note |\n|---|")
    );
    assert!(text.contains(
        "| `use_qalora` | `false` | `false` | refused | Adapters for GPTQ weights with pooled inputs. QALoRA is not there yet. |"
    ));
    assert!(text.contains("| `r` | `8` | `8` | yes | Rank of the update. Takes an integer, 1 to 4096. |"));
    for line in text.lines().filter(|line| line.starts_with('|')) {
        assert_eq!(line.replace("\\|", "").matches('|').count(), 6, "{line}");
    }
}

#[test]
fn no_setting_of_peft_or_transformers_is_unknown() {
    let (mut lora, mut training) = (0, 0);
    for line in include_str!("fixtures/upstream_fields.txt").lines().filter(|line| !line.starts_with('#')) {
        let (table, rest) = line.split_once(' ').unwrap();
        let (name, default) = rest.split_once(' ').unwrap();
        let (table, count) = match table {
            "lora" => (Table::Lora, &mut lora),
            _ => (Table::Training, &mut training),
        };
        let field = fields::of(table).iter().find(|field| field.name == name).expect(name);
        let read = |text: &str| -> Json { serde_json::from_str(text).unwrap() };
        let (theirs, ours) = (read(default), read(field.upstream));
        // `gradient_checkpointing` and its alias: absent means false since it became an alias.
        let same = theirs == ours
            || theirs.as_f64().is_some() && theirs.as_f64() == ours.as_f64()
            || theirs.is_null() && name.ends_with("_checkpointing");
        assert!(same, "{name}: {theirs} there, {ours} here");
        *count += 1;
    }
    assert!(lora >= 40 && training >= 110, "{lora} {training}");
}

#[test]
fn what_a_program_made_is_checked_too() {
    let key = |change: fn(&mut Recipe)| {
        let mut recipe = Recipe::default();
        change(&mut recipe);
        recipe.validate().unwrap_err().key
    };
    assert_eq!(key(|recipe| recipe.lora.r = 0), "lora.r");
    assert_eq!(key(|recipe| recipe.lora.lora_dropout = f64::NAN), "lora.lora_dropout");
    assert_eq!(key(|recipe| recipe.lora.lora_alpha = f64::INFINITY), "lora.lora_alpha");
    assert_eq!(
        key(|recipe| recipe.lora.target_modules = Some(TargetModules::List(vec![]))),
        "lora.target_modules"
    );
    assert_eq!(key(|recipe| recipe.lora.layers_pattern = Some(vec!["h".into()])), "lora.layers_pattern");
    assert_eq!(
        key(|recipe| recipe.lora.alpha_pattern = [("q".into(), f64::NAN)].into()),
        "lora.alpha_pattern"
    );
    let dora = |recipe: &mut Recipe| (recipe.lora.use_dora, recipe.lora.lora_bias) = (true, true);
    assert_eq!(key(dora), "lora.lora_bias");
    let dropout = |recipe: &mut Recipe| (recipe.lora.use_dora, recipe.lora.lora_dropout) = (true, 0.1);
    assert_eq!(key(dropout), "lora.lora_dropout");
    let best = "training.load_best_model_at_end";
    assert_eq!(key(|recipe| recipe.training.load_best_model_at_end = true), best);
    let multiple = |recipe: &mut Recipe| {
        let training = &mut recipe.training;
        (training.load_best_model_at_end, training.eval_strategy) = (true, IntervalStrategy::Steps);
        (training.eval_steps, training.save_steps) = (Some(4.0), 10.0);
    };
    assert_eq!(key(multiple), best);
    let patience = |recipe: &mut Recipe| recipe.training.early_stopping_patience = Some(2);
    assert_eq!(key(patience), "training.early_stopping_patience");
    assert_eq!(
        key(|recipe| recipe.data.validation_split_percentage = Some(100.0)),
        "data.validation_split_percentage"
    );
    assert_eq!(
        key(|recipe| recipe.model.model_name_or_path = Some(String::new())),
        "model.model_name_or_path"
    );
    assert_eq!(key(|recipe| recipe.training.learning_rate = -1.0), "training.learning_rate");
    assert_eq!(key(|recipe| recipe.training.max_steps = 0), "training.max_steps");
    assert_eq!(key(|recipe| recipe.training.max_steps = -2), "training.max_steps");
    assert_eq!(key(|recipe| recipe.training.adam_beta2 = 1.0), "training.adam_beta2");
    assert_eq!(key(|recipe| recipe.training.eval_steps = Some(f64::NAN)), "training.eval_steps");
    assert_eq!(key(|recipe| recipe.training.logging_steps = 0.0), "training.logging_steps");
    let full = |recipe: &mut Recipe| {
        recipe.training.fp16 = true;
        recipe.training.finetuning_type = lorelei_recipe::FinetuningType::Full;
    };
    assert_eq!(key(full), "training.fp16");
    let kwargs = "training.lr_scheduler_kwargs";
    assert_eq!(key(|recipe| recipe.training.lr_scheduler_kwargs.power = Some(2.0)), kwargs);
    let mut both = Recipe::default();
    (both.training.fp16, both.training.bf16) = (true, true);
    assert!(both.validate().unwrap_err().to_string().contains("cannot both be true"));
    let mut schedule = Recipe::default();
    schedule.training.lr_scheduler_type = lorelei_recipe::LrSchedulerType::Cosine;
    schedule.training.lr_scheduler_kwargs.num_cycles = Some(f64::NAN);
    assert_eq!(schedule.validate().unwrap_err().key, kwargs);
    schedule.training.lr_scheduler_kwargs.num_cycles = Some(1.5);
    assert_eq!(schedule.validate().unwrap(), vec![]);
}

#[test]
fn loraplus_is_refused_on_embeddings_however_they_are_named() {
    let with = |targets: &str| {
        let text = format!("[lora]\ntarget_modules = {targets}\n[training]\nloraplus_lr_ratio = 16\n");
        Recipe::from_toml(&text, "f").map(drop).map_err(|error| error.key)
    };
    let refused = [
        "[\"embed_tokens\"]",
        "[\"q_proj\", \"model.embed_tokens\"]",
        "[\"word_embeddings\"]",
        "[\"wte\"]",
        "'.*embed_tokens'",
        "'.*(q_proj|wte)'",
        "'(bert|roberta)\\.embeddings\\..*'",
    ];
    for targets in refused {
        assert_eq!(with(targets), Err("training.loraplus_lr_ratio".into()), "{targets}");
    }
    for targets in ["[\"q_proj\"]", "\"all-linear\"", "'.*_proj'", "[\"my_embed_tokens_proj\"]"] {
        assert_eq!(with(targets), Ok(()), "{targets}");
    }
    // An excluded module is not a target.
    let excluded = "[lora]\ntarget_modules = [\"q_proj\", \"embed_tokens\"]\nexclude_modules = [\"embed_tokens\"]\n\
                    [training]\nloraplus_lr_ratio = 16\n";
    assert!(Recipe::from_toml(excluded, "f").is_ok());
}

#[test]
fn a_model_must_be_named_by_what_needs_one() {
    let (recipe, _) = Recipe::from_toml("[lora]\nr = 4\n", "f").unwrap();
    let error = recipe.model.name().unwrap_err();
    assert_eq!(error.key, "model.model_name_or_path");
    assert!(error.to_string().contains("builtin:tiny"), "{error}");
    let (recipe, _) = Recipe::from_toml(EXAMPLE, "f").unwrap();
    assert_eq!(recipe.model.name(), Ok("HuggingFaceTB/SmolLM2-135M-Instruct"));
}

#[test]
fn a_dtype_that_is_not_there_is_refused_by_the_reader() {
    let text = error("[model]\ndtype = \"float16\"");
    assert!(
        text.contains("dtype = \"float16\" is not supported yet; dtype takes \"auto\", \"float32\""),
        "{text}"
    );
}

#[test]
fn what_a_host_does_not_honour_is_said() {
    let unhonoured = |assignments: &[&str], host| {
        let mut recipe = Recipe::default();
        assignments.iter().for_each(|assignment| drop(recipe.set(assignment).unwrap()));
        (recipe.unhonoured(host), recipe.validate_for(host))
    };
    let ignored = [
        "training.output_dir=out",
        "training.report_to=tensorboard",
        "training.logging_dir=logs",
        "training.run_name=whale",
        "training.save_total_limit=3",
    ];
    for assignment in ignored {
        let (key, _) = assignment.split_once('=').unwrap();
        let (found, warnings) = unhonoured(&[assignment], HostKind::Page);
        assert_eq!(found.iter().map(|setting| setting.key()).collect::<Vec<_>>(), [key]);
        let warnings = warnings.unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].message.contains("has no effect in the page: "), "{warnings:?}");
        assert_eq!(unhonoured(&[assignment], HostKind::Program), (vec![], Ok(vec![])));
    }
    for assignment in ["training.finetuning_type=full", "model.adapter_name_or_path=out"] {
        let (_, result) = unhonoured(&[assignment], HostKind::Page);
        assert_eq!(result.unwrap_err().key, assignment.split_once('=').unwrap().0);
        assert_eq!(unhonoured(&[assignment], HostKind::Program), (vec![], Ok(vec![])));
    }
    // These values match what the page does anyway, or the default.
    for harmless in
        ["training.save_total_limit=1", "training.disable_tqdm=true", "training.finetuning_type=lora"]
    {
        assert_eq!(unhonoured(&[harmless], HostKind::Page), (vec![], Ok(vec![])), "{harmless}");
    }
    let honoured = |path: &str| {
        let field = fields::all().find(|field| field.path() == path).unwrap();
        (field.is_honoured_by(HostKind::Program), field.is_honoured_by(HostKind::Page))
    };
    assert_eq!(honoured("lora.r"), (true, true));
    assert_eq!(honoured("training.save_total_limit"), (true, false));
    assert_eq!(honoured("training.tf32"), (false, false));
}

#[test]
fn an_upload_is_kept_checked_and_not_for_the_page() {
    let text = "[training]\noutput_dir = \"/home/whale/my-songs/\"\npush_to_hub = true\nhub_private_repo = true\nhub_revision = \"v2\"\n";
    let (recipe, warnings) = Recipe::from_toml(text, "recipe.toml").unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(recipe.training.hub_name(), "my-songs");
    assert_eq!(Recipe::from_toml(&recipe.to_toml(), "again").unwrap().0, recipe);
    let refused = recipe.validate_for(HostKind::Page).unwrap_err().to_string();
    assert!(refused.contains("push_to_hub = true cannot be used in the page"), "{refused}");
    recipe.validate_for(HostKind::Program).unwrap();

    let with = |id: &str| {
        Recipe::from_toml(&format!("[training]\npush_to_hub = true\nhub_model_id = {id:?}\n"), "r.toml")
    };
    for good in ["songs", "whale/songs", "pod_1/so.ng-s"] {
        assert_eq!(with(good).unwrap().0.training.hub_name(), good);
    }
    for bad in ["a b", "a/b/c", "../x", "/x", "x/", "so--ng", "x.git", "https://huggingface.co/a/b"] {
        let error = with(bad).unwrap_err().to_string();
        assert!(error.contains("hub_model_id") && error.contains("owner/name"), "{bad}: {error}");
    }
    // The name of the folder has to be one too, before the run begins.
    let error = Recipe::from_toml("[training]\npush_to_hub = true\noutput_dir = \"my songs\"\n", "r.toml");
    assert!(error.unwrap_err().to_string().contains("my songs"));
    let (_, warnings) = Recipe::from_toml("[training]\nhub_model_id = \"a/b\"\n", "r.toml").unwrap();
    assert!(
        warnings.iter().any(|warning| warning.to_string().contains("push_to_hub is false")),
        "{warnings:?}"
    );
    // The older name.
    let (recipe, _) =
        Recipe::from_toml("[training]\npush_to_hub = true\npush_to_hub_model_id = \"x\"\n", "r.toml")
            .unwrap();
    assert_eq!(recipe.training.hub_model_id.as_deref(), Some("x"));
    let (_, warnings) = Recipe::from_toml("[training]\nhub_token = \"hf_secret\"\n", "r.toml").unwrap();
    let warning = warnings.iter().map(ToString::to_string).collect::<String>();
    assert!(warning.contains("HF_TOKEN") && !warning.contains("hf_secret"), "{warning}");
}

#[test]
fn a_recipe_for_others_has_no_folders() {
    let text = "[model]\nmodel_name_or_path = \"C:\\\\models\\\\whale.gguf\"\nadapter_name_or_path = \"owner/adapter\"\n\
                [data]\ntrain_file = \"../data/a.jsonl\"\nvalidation_file = \"b.jsonl\"\n\
                [training]\noutput_dir = \"/out/x/\"\nlogging_dir = \"/logs\"\npush_to_hub = true\nlearning_rate = 1e-3\n";
    let (recipe, _) = Recipe::from_toml(text, "recipe.toml").unwrap();
    let mut wanted = recipe.clone();
    wanted.model.model_name_or_path = Some("whale.gguf".into());
    wanted.data.train_file = Some("a.jsonl".into());
    (wanted.training.output_dir, wanted.training.logging_dir) = ("x".into(), Some("logs".into()));
    wanted.training.push_to_hub = false;
    assert_eq!(recipe.without_folders(), wanted);
    for name in ["builtin:tiny", "owner/base", "owner/base@v1"] {
        wanted.model.model_name_or_path = Some(name.into());
        assert_eq!(wanted.without_folders(), wanted);
    }
}

#[test]
fn changed_settings_are_those_that_are_not_the_defaults() {
    let text = "[model]\nmodel_name_or_path = \"builtin:tiny\"\n[lora]\nr = 8\ntarget_modules = [\"q_proj\"]\n\
                [training]\nmax_steps = 3\nwarmup_steps = 0\noptim = \"adamw_torch_fused\"\n";
    let (recipe, _) = Recipe::from_toml(text, "recipe.toml").unwrap();
    let changed: Vec<_> =
        recipe.changed().into_iter().map(|(field, value)| format!("{} = {value}", field.path())).collect();
    assert_eq!(
        changed,
        [
            "model.model_name_or_path = \"builtin:tiny\"",
            "lora.target_modules = [\"q_proj\"]",
            "training.max_steps = 3"
        ]
    );
    assert!(Recipe::default().changed().is_empty());
}
