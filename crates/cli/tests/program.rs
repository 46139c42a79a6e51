//! Tests of the program in its intended use.

mod common;

use std::{collections::BTreeSet, fs, path::Path, process::Stdio};

use common::{Run, Said, fixture, lorelei, names, program};
use lorelei_formats::{SafetensorsFile, TensorSource};

fn open(path: &Path) -> SafetensorsFile<Vec<u8>> {
    SafetensorsFile::open(fs::read(path).unwrap(), path.display().to_string()).unwrap()
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("demo").display().to_string();
    let demo = ["demo", "--device", "cpu", "--set", "training.max_steps=3", "--output", &output];
    for arguments in [&["features"][..], &demo] {
        let mut command = program();
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let said = Said::of(child.wait_with_output().unwrap()).ok();
        assert!(!said.err.contains("panicked"), "{}", said.err);
    }
    assert!(Path::new(&output).join("adapter_model.safetensors").exists());
}

#[test]
fn a_run_that_was_cut_off_goes_on_to_the_same_bytes() {
    let (whole, cut) = (Run::new(), Run::new());
    let arguments = ["training.max_steps=6", "training.save_steps=2", "training.logging_steps=1"];
    whole.train(&arguments).ok();
    // The files of a run that was killed in its fifth step: a checkpoint, a log with a torn line, and no adapter.
    let output = cut.output();
    for name in ["checkpoint-2", "checkpoint-4"] {
        fs::create_dir_all(output.join(name)).unwrap();
        for file in fs::read_dir(whole.output().join(name)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), output.join(name).join(file.file_name())).unwrap();
        }
    }
    let log = fs::read_to_string(whole.output().join("trainer_log.jsonl")).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    fs::write(output.join("trainer_log.jsonl"), format!("{}\n{}", lines[..5].join("\n"), &lines[5][..20]))
        .unwrap();

    cut.resume(&arguments).ok();
    let adapter = |run: &Run| fs::read(run.output().join("adapter_model.safetensors")).unwrap();
    assert_eq!(adapter(&whole), adapter(&cut));
    let losses = |run: &Run| -> Vec<(u64, f64)> {
        let log = fs::read_to_string(run.output().join("trainer_log.jsonl")).unwrap();
        let line = |line: &str| -> serde_json::Value { serde_json::from_str(line).unwrap() };
        let pair = |line: serde_json::Value| (line["step"].as_u64().unwrap(), line["loss"].as_f64().unwrap());
        log.lines().map(line).map(pair).collect()
    };
    assert_eq!(losses(&whole), losses(&cut));

    // What would make something else of the checkpoint is refused.
    for (other, words) in [
        ("lora.lora_alpha=3", ["lora.lora_alpha", "begin anew"]),
        ("lora.use_rslora=true", ["lora.use_rslora", "begin anew"]),
        ("lora.init_lora_weights=pissa", ["lora.r", "begin anew"]),
    ] {
        cut.resume(&[&arguments[1..], &["training.max_steps=8", other]].concat()).refused(&words);
    }
    for (other, words) in [
        ("training.optim=sgd", ["exp_avg", "another optimizer"]),
        ("training.optim=lion", ["exp_avg_sq", "another optimizer"]),
    ] {
        let mut command = cut.command("train", &[&arguments[1..], &["training.max_steps=8", other]].concat());
        Said::of(command.args(["--resume-from-checkpoint", "--allow-changes"]).output().unwrap())
            .refused(&words);
    }
    assert_eq!(adapter(&whole), adapter(&cut));

    // A run without a checkpoint to resume from is refused before it begins.
    let empty = Run::new();
    empty.resume(&arguments).refused(&["there is no checkpoint"]);
    // An incomplete checkpoint is skipped with a warning, and the one before is taken.
    fs::remove_file(output.join("checkpoint-6/optimizer.safetensors")).unwrap();
    let weights = output.join("checkpoint-4/adapter_model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let said = cut.resume(&arguments).ok();
    for words in ["checkpoint-6 is passed over", "optimizer.safetensors", "checkpoint-4 is passed over"] {
        assert!(said.err.contains(words), "no {words:?} in\n{}", said.err);
    }
    assert_eq!(adapter(&whole), adapter(&cut));
    assert_eq!(losses(&whole), losses(&cut));
}

#[test]
fn the_demonstration_learns() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("demo");
    let said = lorelei(&[
        "demo",
        "--device",
        "cpu",
        "--set",
        "training.max_steps=20",
        "--output",
        &output.display().to_string(),
    ])
    .ok();
    let losses = said.out.lines().find(|line| line.starts_with("held-out loss")).expect(&said.out);
    let numbers: Vec<f64> = losses.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(numbers.len() == 2 && numbers[1] < numbers[0] - 0.5, "{losses}");
    for line in ["trainable params: ", "prompt  ", "before  ", "after   "] {
        assert!(said.out.lines().any(|l| l.starts_with(line)), "no {line:?} in\n{}", said.out);
    }
    assert_eq!(
        names(&output),
        ["README.md", "adapter_config.json", "adapter_model.safetensors", "recipe.toml", "trainer_log.jsonl"]
    );
    // The recipe that the run leaves can be run.
    let recipe = output.join("recipe.toml").display().to_string();
    let again = folder.path().join("again").display().to_string();
    let set = format!("training.output_dir={again}");
    lorelei(&["train", &recipe, "--device", "cpu", "--set", &set, "--set", "training.max_steps=1"]).ok();
}

#[test]
fn a_run_leaves_an_adapter_a_log_and_checkpoints() {
    let run = Run::new();
    run.train(&[
        "training.save_steps=2",
        "training.eval_strategy=steps",
        "data.validation_split_percentage=50",
    ])
    .ok();
    let out = run.path("out");
    assert_eq!(
        names(&out),
        [
            "README.md",
            "adapter_config.json",
            "adapter_model.safetensors",
            "checkpoint-2",
            "checkpoint-3",
            "eval_results.json",
            "recipe.toml",
            "trainer_log.jsonl"
        ]
    );
    assert_eq!(
        names(&out.join("checkpoint-2")),
        [
            "adapter_config.json",
            "adapter_model.safetensors",
            "manifest.json",
            "optimizer.safetensors",
            "trainer_state.json"
        ]
    );
    let log = fs::read_to_string(out.join("trainer_log.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // An evaluation is logged after the step that it follows.
    let evaluations: Vec<_> = lines.iter().skip(1).step_by(2).collect();
    for line in &evaluations {
        let [loss, perplexity] = ["eval_loss", "eval_perplexity"].map(|key| line[key].as_f64().unwrap());
        assert!((perplexity - loss.exp()).abs() < 1e-9 * perplexity, "{log}");
    }
    let results: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("eval_results.json")).unwrap()).unwrap();
    assert_eq!(results["perplexity"], evaluations.last().unwrap()["eval_perplexity"]);
    assert_eq!(evaluations.iter().map(|line| line["step"].as_u64()).collect::<Vec<_>>(), [1, 2, 3].map(Some));
    let steps: Vec<_> = lines.iter().step_by(2).collect();
    assert_eq!(steps.len(), 3);
    for (line, step) in steps.into_iter().zip(1..) {
        assert_eq!(line["step"], step);
        for key in [
            "epoch",
            "loss",
            "learning_rate",
            "grad_norm",
            "tokens_per_second",
            "elapsed_seconds",
            "remaining_seconds",
            "memory_bytes",
        ] {
            assert!(line[key].is_number(), "{key} in {line}");
        }
    }
    let config = json(&out.join("adapter_config.json"));
    assert_eq!((&config["peft_type"], &config["r"]), (&"LORA".into(), &4.into()));
    assert_eq!(config["base_model_name_or_path"], "builtin:tiny");

    // `params` names the tensors that the file has.
    let said = Said::of(run.command("params", &[]).output().unwrap()).ok();
    let mut lines = said.out.lines();
    assert!(lines.next().unwrap().starts_with("trainable params: "), "{}", said.out);
    let named: BTreeSet<String> = lines.map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    let saved = open(&out.join("adapter_model.safetensors"));
    let saved: BTreeSet<String> = saved.infos().iter().map(|info| info.name.clone()).collect();
    assert_eq!(named, saved);
}

#[test]
fn a_run_goes_on_from_an_adapter_and_repeats_itself() {
    let run = Run::new();
    run.train(&[]).ok();
    let adapter = |name: &str| fs::read(run.path(name).join("adapter_model.safetensors")).unwrap();
    let into = |name: &str| format!("training.output_dir={}", run.path(name).display());
    run.train(&[&into("same")]).ok();
    assert_eq!(adapter("out"), adapter("same"));
    let from = format!("model.adapter_name_or_path={}", run.path("out").display());
    run.train(&[&into("on"), &from]).ok();
    assert_ne!(adapter("out"), adapter("on"));
    // A learning rate of zero leaves the initial adapter as it is.
    run.train(&[&into("still"), &from, "training.learning_rate=0"]).ok();
    assert_eq!(adapter("out"), adapter("still"));
}

#[test]
fn forward_gives_peft_s_logits_loss_and_gradients() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.safetensors");
    let model = fixture("llama");
    let text = |path: &Path| path.display().to_string();
    lorelei(&[
        "forward",
        "--model",
        &text(&model),
        "--adapter",
        &text(&model.join("adapter")),
        "--input",
        &text(&model.join("ref.safetensors")),
        "--output",
        &text(&output),
        "--gradients",
        "--device",
        "cpu",
    ])
    .ok();
    let (got, want) = (open(&output), open(&model.join("adapter/ref.safetensors")));
    let mut compared = 0;
    for info in want.infos().iter().filter(|info| info.name.starts_with("grad.")) {
        let (got, want) = (got.read_f32(&info.name).unwrap(), want.read_f32(&info.name).unwrap());
        let scale = want.iter().fold(0f32, |max, value| max.max(value.abs()));
        assert!(got.iter().zip(&want).all(|(g, w)| (g - w).abs() <= 1e-4 * scale), "{}", info.name);
        compared += 1;
    }
    assert_eq!(compared, 8);
    let loss = json(&model.join("adapter/ref.json"))["loss"].as_f64().unwrap();
    assert!((f64::from(got.read_f32("loss").unwrap()[0]) - loss).abs() < 1e-5 * loss);
    assert_eq!(got.info("logits").unwrap().shape, want.info("logits").unwrap().shape);
}

#[test]
fn a_whole_model_is_trained_from_nothing_converted_and_trained_on() {
    let run = Run::new();
    let path = |name: &str| run.path(name).display().to_string();
    let text: String = ["the whale was white and the sea was wide", "a ship at sea, a ship at sea"]
        .iter()
        .cycle()
        .take(40)
        .map(|text| format!("{{\"text\": \"{text}\"}}\n"))
        .collect();
    fs::write(run.path("texts.jsonl"), text).unwrap();
    let mut config = json(&fixture("llama/config.json"));
    config["vocab_size"] = 270.into();
    fs::write(run.path("config.json"), config.to_string()).unwrap();
    lorelei(&["init", &path("config.json"), "--texts", &path("texts.jsonl"), &path("new")]).ok();
    assert_eq!(
        names(&run.path("new")),
        ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    );
    let (model, train) = (
        format!("model.model_name_or_path={}", path("new")),
        format!("data.train_file={}", path("texts.jsonl")),
    );
    run.train(&[
        &model,
        &train,
        "training.finetuning_type=full",
        "training.max_steps=20",
        "training.learning_rate=3e-3",
        "training.save_strategy=no",
    ])
    .ok();
    let log = fs::read_to_string(run.path("out/trainer_log.jsonl")).unwrap();
    let loss =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64().unwrap();
    let (first, last) = (loss(log.lines().next().unwrap()), loss(log.lines().last().unwrap()));
    assert!(last < first - 1.0, "{first} to {last}");
    let card = fs::read_to_string(run.path("out/README.md")).unwrap();
    for said in
        ["library_name: transformers\n", "# A fine-tuned model\n", "| 20 | ", "from_pretrained(\"out\")"]
    {
        assert!(card.contains(said), "no {said:?} in {card}");
    }
    // The folder of a full fine-tuning is a model.
    lorelei(&["convert", &path("out"), &path("half"), "--dtype", "float16"]).ok();
    let (whole, half) = (open(&run.path("out/model.safetensors")), open(&run.path("half/model.safetensors")));
    for info in whole.infos() {
        let (want, got) = (whole.read_f32(&info.name).unwrap(), half.read_f32(&info.name).unwrap());
        assert!(
            want.iter().zip(&got).all(|(w, g)| (w - g).abs() <= w.abs() / 1024.0 + 1e-7),
            "{}",
            info.name
        );
    }
    let model = format!("model.model_name_or_path={}", path("half"));
    run.train(&[&model, &format!("training.output_dir={}", path("adapter"))]).ok();
}

#[test]
fn devices_are_listed() {
    let said = lorelei(&["devices"]).ok();
    assert!(said.out.lines().next().unwrap().starts_with("cpu"), "{}", said.out);
    assert!(said.out.lines().any(|line| line.starts_with("wgpu:0")), "{}", said.out);
    lorelei(&["train", "none.toml", "--device", "gpu"]).refused(&["none.toml"]);
}

#[test]
fn drivers_print_nothing_where_there_is_no_session() {
    let mut devices = program();
    devices.arg("devices").env_remove("XDG_RUNTIME_DIR").env_remove("WAYLAND_DISPLAY");
    assert_eq!(Said::of(devices.output().unwrap()).ok().err, "");
}

#[test]
fn every_device_that_is_listed_can_be_chosen_and_no_other() {
    let said = lorelei(&["devices"]).ok();
    let listed: Vec<&str> = said.out.lines().map(|line| line.split(' ').next().unwrap()).collect();
    let generate = |device: &str| {
        let model = ["generate", "--model", "builtin:tiny", "--prompt", "the whale", "--max-new-tokens", "1"];
        lorelei(&[&model[..], &["--device", device]].concat())
    };
    for device in &listed {
        generate(device).ok();
    }
    let beyond = format!("wgpu:{}", listed.len() - 1);
    for unknown in [&beyond, "gpu", "wgpu:", "wgpu:-1"] {
        generate(unknown).refused(&[&format!("{unknown:?}"), "auto, cpu, wgpu, wgpu:0"]);
    }
}

#[test]
fn a_link_is_the_recipe() {
    let run = Run::new();
    let link = Said::of(
        run.command("link", &["lora.r=2"]).arg("--page").arg("http://localhost/x/").output().unwrap(),
    );
    let link = link.ok().out.trim().to_owned();
    assert!(link.starts_with("http://localhost/x/#r=1."), "{link}");
    let by_link = lorelei(&["params", "--link", &link]).ok().out;
    let by_file = Said::of(run.command("params", &["lora.r=2"]).output().unwrap()).ok().out;
    assert_eq!(by_link, by_file);
    lorelei(&["params", "--link", "http://localhost/#r=7.x"]).refused(&["version 7"]);
    lorelei(&["params", "--link", &link[..link.len() - 6]]).refused(&["damaged or cut short"]);
}

#[test]
fn generate_and_chat_speak_with_and_without_an_adapter() {
    let run = Run::new();
    run.train(&["training.max_steps=2"]).ok();
    let adapter = run.output().display().to_string();
    let model = ["--model", "builtin:tiny", "--adapter", &adapter, "--device", "cpu"];
    let asked = ["--prompt", "What is water?", "--max-new-tokens", "12"];
    let said = lorelei(&[&["generate"][..], &model, &asked, &["--compare"]].concat()).ok();
    let (without, with) = said.out.split_once("--- with the adapter").unwrap();
    assert!(without.starts_with("--- without the adapter\n") && !with.trim().is_empty(), "{}", said.out);
    assert!(said.err.contains("without the adapter: 12 tokens"), "{}", said.err);
    let alone = lorelei(&[&["generate"][..], &model[..2], &model[4..], &asked].concat()).ok().out;
    assert_eq!(without.strip_prefix("--- without the adapter\n").unwrap(), alone);

    // The answer contains neither the text that ends it nor what follows that text.
    let stop = alone.chars().nth(10).unwrap().to_string();
    let before = alone.split(&stop).next().unwrap();
    let stopped =
        lorelei(&[&["generate"][..], &model[..2], &model[4..], &asked, &["--stop", &stop]].concat());
    assert_eq!(stopped.ok().out, format!("{before}\n"));
    for wrong in [["--top-p", "2"], ["--temperature", "-1"]] {
        let asked = ["generate", "--model", "builtin:tiny", "--prompt", "x"];
        lorelei(&[&asked[..], &wrong].concat()).refused(&[wrong[0]]);
    }
    for (wrong, words) in
        [(["--seed", "-1"], "'-1' for '--seed <SEED>'"), (["--stop", ""], "'' for '--stop <STOP>'")]
    {
        let asked = ["generate", "--model", "builtin:tiny", "--prompt", "x"];
        let said = lorelei(&[&asked[..], &wrong].concat());
        assert!(said.code == Some(2) && said.err.contains(words), "{}", said.err);
    }

    let mut chat = program();
    chat.arg("chat").args(model).args(["--max-new-tokens", "8"]);
    chat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = chat.spawn().unwrap();
    let words = b"What is water?\n/adapter off\n/reset\nWhat is water?\n/quit\n";
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), words).unwrap();
    let said = Said::of(child.wait_with_output().unwrap()).ok();
    assert_eq!(said.err.matches("tokens/s").count(), 2, "{}", said.err);
}

#[test]
fn a_classifier_learns_classes_and_is_measured() {
    let run = Run::new();
    let (fish, bird) = ("a fish swims in the sea", "a bird flies in the air");
    let row = |text: &str, label: &str| serde_json::json!({ "text": text, "label": label }).to_string();
    let rows: Vec<String> =
        (0..12).map(|i| if i % 2 == 0 { row(fish, "water") } else { row(bird, "air") }).collect();
    run.data(&(rows.join("\n") + "\n"));
    let validation = run.path("validation.jsonl");
    fs::write(&validation, [row(fish, "water"), row(bird, "air")].join("\n")).unwrap();
    let validation = format!("data.validation_file={}", validation.display());
    let arguments = [
        "lora.task_type=SEQ_CLS",
        &validation,
        "training.max_steps=30",
        "training.eval_strategy=steps",
        "training.eval_steps=10",
        "training.eval_delay=15",
        "training.save_steps=10",
        "training.load_best_model_at_end=true",
        "training.metric_for_best_model=accuracy",
        "training.per_device_train_batch_size=4",
        "training.learning_rate=0.01",
    ];
    let said = run.train(&arguments).ok();
    assert!(said.out.contains("2 classes: air, water"), "{}", said.out);
    let results = json(&run.output().join("eval_results.json"));
    assert_eq!(
        (results["eval_accuracy"].as_f64(), results["eval_f1"].as_f64()),
        (Some(1.0), Some(1.0)),
        "{results}"
    );
    let state = json(&run.output().join("checkpoint-30").join("trainer_state.json"));
    assert_eq!(
        (state["best_metric"].as_f64(), state["best_global_step"].as_u64()),
        (Some(1.0), Some(20)),
        "{state}"
    );
    let evaluations =
        state["log_history"].as_array().unwrap().iter().filter(|line| line.get("eval_f1").is_some());
    assert_eq!(evaluations.count(), 2, "step 10 is before eval_delay");
    let card = fs::read_to_string(run.output().join("README.md")).unwrap();
    assert!(card.contains(r#"id2label={0: "air", 1: "water"}"#), "{card}");
    let config = json(&run.output().join("adapter_config.json"));
    assert_eq!(config["task_type"], "SEQ_CLS");
    assert_eq!(config["modules_to_save"], serde_json::json!(["classifier", "score"]));
    let adapter = open(&run.output().join("adapter_model.safetensors"));
    assert_eq!(adapter.info("base_model.model.score.weight").unwrap().shape[0], 2);

    // The program names the learnt classes, and refuses a file that names other classes.
    let adapter = run.output().display().to_string();
    let classify = |more: &[&str]| {
        let command = ["classify", "--device", "cpu", "--model", "builtin:tiny", "--adapter", &adapter];
        lorelei(&[&command[..], more].concat())
    };
    let line: serde_json::Value = serde_json::from_str(&classify(&["--json", bird]).ok().out).unwrap();
    assert_eq!(line["verdict"]["classes"][0]["label"], "air", "{line}");
    let chances = line["verdict"]["classes"].as_array().unwrap().iter();
    let sum: f64 = chances.map(|class| class["score"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{line}");
    let labels = run.output().join("labels.json");
    fs::write(&labels, r#"{"problem_type": "single_label_classification", "id2label": {"0": "air"}}"#)
        .unwrap();
    classify(&[fish]).refused(&["labels.json", "1 classes", "2"]);
    fs::write(&labels, "{").unwrap();
    classify(&[fish]).refused(&["labels.json", "no JSON"]);
    fs::remove_file(&labels).unwrap();
    let recipe = fs::read_to_string(run.output().join("recipe.toml")).unwrap();
    fs::write(run.output().join("recipe.toml"), "[data]\nmax_length = \"long\"\n").unwrap();
    let said = classify(&[fish]).ok();
    assert!(said.err.contains("recipe.toml:2") && said.err.contains("--max-length"), "{}", said.err);
    fs::write(run.output().join("recipe.toml"), recipe).unwrap();
    let said = classify(&[fish]).ok();
    assert!(said.out.starts_with("1 "), "a class without a name is its number: {}", said.out);

    // A classifier's metric is refused for a model of text.
    let text = ["training.metric_for_best_model=f1", "training.max_steps=1"];
    run.train(&text).refused(&["metric_for_best_model", "evaluations give loss"]);

    let adapter = run.output().display().to_string();
    lorelei(&[
        "generate",
        "--device",
        "cpu",
        "--model",
        "builtin:tiny",
        "--adapter",
        &adapter,
        "--prompt",
        "x",
    ])
    .refused(&["trained to classify", "lorelei classify"]);

    // A checkpoint is not resumed with other classes than its own.
    let (told, other) = (rows.join("\n").replace("water", "earth"), "training.max_steps=40");
    run.data(&(told.clone() + "\n"));
    fs::write(run.path("validation.jsonl"), told).unwrap();
    let refused = run.resume(&[&arguments[..2], &[other]].concat());
    refused.refused(&["trained for the classes air, water", "air, earth"]);
    run.data(&(rows.join("\n") + "\n"));

    // A label that is not in the training data is reported with its line.
    fs::write(run.path("validation.jsonl"), row("a stone", "earth")).unwrap();
    run.train(&arguments).refused(&["validation.jsonl:1", "earth", "air, water"]);
}

#[test]
fn numbers_several_classes_pairs_and_words_are_learnt() {
    // Trains, and classifies the texts in `ask`.
    let learns = |task: &str, rows: &[serde_json::Value], metric: &str, ask: &[&str]| {
        let run = Run::new();
        let rows = rows.iter().cycle().take(12).map(|row| row.to_string() + "\n").collect::<String>();
        run.data(&rows);
        let validation = run.path("validation.jsonl");
        fs::write(&validation, rows).unwrap();
        let (task, validation) =
            (format!("lora.task_type={task}"), format!("data.validation_file={}", validation.display()));
        let arguments = [
            &task,
            &validation,
            "training.max_steps=40",
            "training.eval_strategy=steps",
            "training.eval_steps=40",
            "training.eval_on_start=true",
            "training.save_strategy=no",
            "training.per_device_train_batch_size=4",
            "training.learning_rate=0.01",
        ];
        let said = run.train(&arguments);
        let log = fs::read_to_string(run.output().join("trainer_log.jsonl"));
        let said = said.ok();
        // The estimate before a run, with the labels of the data, equals the report of the run.
        let counted =
            |out: &str| out.lines().find(|line| line.contains("trainable params")).map(str::to_owned);
        let params = Said::of(run.command("params", &arguments).output().unwrap()).ok();
        assert!(counted(&said.out).is_some() && counted(&said.out) == counted(&params.out), "{}", params.out);
        let evaluations: Vec<serde_json::Value> = log
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter(|line| line["eval_loss"].is_number())
            .collect();
        let of =
            |line: &serde_json::Value| line[metric].as_f64().unwrap_or_else(|| panic!("no {metric}: {line}"));
        let card = fs::read_to_string(run.output().join("README.md")).unwrap();
        let head = open(&run.output().join("adapter_model.safetensors"));
        let labels = head.info("base_model.model.score.weight").unwrap().shape[0];
        let adapter = run.output().display().to_string();
        let command = ["classify", "--device", "cpu", "--model", "builtin:tiny", "--adapter", &adapter];
        let verdict = lorelei(&[&command[..], ask].concat()).ok().out;
        (of(&evaluations[0]), of(&evaluations[1]), said.out + &card, labels, verdict)
    };
    use serde_json::json;
    let (before, after, said, labels, verdict) = learns(
        "SEQ_CLS",
        &[json!({"text": "a fish swims", "label": 1.5}), json!({"text": "a bird flies", "label": -2.0})],
        "eval_loss",
        &["a fish swims"],
    );
    let number: f64 = verdict.split('\t').next().unwrap().parse().unwrap();
    assert!((number - 1.5).abs() < 0.5, "{verdict}");
    assert!(after < 0.1 && before > 1.0 && labels == 1, "{before} to {after}, {labels} labels");
    assert!(said.contains("mean squared error") && said.contains("num_labels=1)"), "{said}");
    let several = [
        json!({"text": "a fish swims", "label": ["water", "animal"]}),
        json!({"text": "a stone falls", "label": []}),
        json!({"text": "a bird flies", "label": ["animal"]}),
    ];
    let ask = ["a fish swims", "a stone falls"];
    let (_, after, said, labels, verdict) = learns("SEQ_CLS", &several, "eval_accuracy", &ask);
    let lines: Vec<&str> = verdict.lines().collect();
    assert!(lines[0].contains("water") && lines[0].contains("animal"), "{verdict}");
    assert_eq!(lines[1], "none\ta stone falls");
    assert!(after == 1.0 && labels == 2, "{after}, {labels} labels");
    assert!(
        said.contains("2 classes: animal, water") && said.contains("multi_label_classification"),
        "{said}"
    );
    let pairs = [
        json!({"text": "a fish", "text_pair": "it swims", "label": "true"}),
        json!({"text": "a fish", "text_pair": "it flies", "label": "false"}),
    ];
    let ask = ["--text-pair", "it flies", "a fish"];
    let (_, after, _, labels, verdict) = learns("SEQ_CLS", &pairs, "eval_accuracy", &ask);
    assert!(verdict.starts_with("false "), "{verdict}");
    assert!(after == 1.0 && labels == 2, "{after}, {labels} labels");
    let words = [
        json!({"tokens": ["the", "whale", "swims"], "ner_tags": ["O", "ANIMAL", "O"]}),
        json!({"tokens": ["a", "bird", "in", "Spain"], "ner_tags": ["O", "ANIMAL", "O", "PLACE"]}),
    ];
    let (_, after, said, labels, verdict) =
        learns("TOKEN_CLS", &words, "eval_accuracy", &["a bird in Spain"]);
    assert_eq!(verdict, "a/O bird/ANIMAL in/O Spain/PLACE\n");
    assert!(after == 1.0 && labels == 3, "{after}, {labels} labels");
    assert!(said.contains("3 classes: ANIMAL, O, PLACE"), "{said}");
}

/// The losses are those of `Trainer.evaluate` on the same rows and the same base model.
#[test]
fn an_evaluation_drops_its_last_batch_as_trainer_does() {
    let rows = include_str!("fixtures/tokens.jsonl");
    let evaluate = |size: usize, drops: bool| {
        let run = Run::new();
        run.data(rows);
        let (validation, size, drops) = (
            format!("data.validation_file={}", run.path("train.jsonl").display()),
            format!("training.per_device_eval_batch_size={size}"),
            format!("training.dataloader_drop_last={drops}"),
        );
        let arguments = [
            &validation,
            &size,
            &drops,
            "training.per_device_train_batch_size=2",
            "training.max_steps=1",
            "training.eval_strategy=steps",
            "training.eval_on_start=true",
            "training.save_strategy=no",
        ];
        let said = run.train(&arguments);
        let log = fs::read_to_string(run.output().join("trainer_log.jsonl")).unwrap_or_default();
        let line = log.lines().find(|line| line.contains("eval_loss")).map(str::to_owned);
        let line = line.map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
        (said, line.and_then(|line| line["eval_loss"].as_f64()))
    };
    for (size, drops, wanted) in
        [(2, true, 13.57704), (2, false, 13.35525), (3, true, 14.15301), (5, true, 13.27569)]
    {
        let (said, loss) = evaluate(size, drops);
        said.ok();
        let loss = loss.unwrap();
        assert!((loss - wanted).abs() < 2e-3, "{size} {drops}: {loss}, not {wanted}");
    }
    let (said, _) = evaluate(6, true);
    said.refused(&["5 validation rows do not fill one batch of 6", "dataloader_drop_last = false"]);
}

#[test]
fn fit_predicts_the_peak_and_says_what_would_be_less() {
    let run = Run::new();
    let long: String = (0..200).map(|_| "a ship at sea and a whale ").collect();
    run.data(&format!("{}\n", serde_json::json!({ "text": long })));
    let set = ["training.per_device_train_batch_size=4"];
    let said = Said::of(run.command("fit", &set).args(["--device", "cpu"]).output().unwrap()).ok();
    let number = |name: &str| -> f64 {
        let line =
            said.out.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{}", said.out));
        line[name.len()..].split_whitespace().next().unwrap().parse().unwrap()
    };
    // The same parameters as `params` and as the run itself.
    let counted = |out: &str| out.lines().find(|line| line.contains("trainable params")).map(str::to_owned);
    let params = Said::of(run.command("params", &set).output().unwrap()).ok();
    assert!(counted(&said.out).is_some() && counted(&said.out) == counted(&params.out), "{}", params.out);
    let parts = ["model", "adapter and optimizer", "activations", "scratch", "allocator"].map(number);
    assert!((parts.iter().sum::<f64>() - number("peak")).abs() <= 3.0, "{}", said.out);
    assert!(said.out.contains("4 x "), "{}", said.out);
    assert!(said.out.contains("--set training.gradient_checkpointing=true"), "{}", said.out);
    // The settings that it suggests are those that the recipe takes.
    let smaller = said.out.lines().find(|line| line.contains("per_device_train_batch_size=2")).unwrap();
    let assignments: Vec<&str> =
        smaller.split("--set ").skip(1).map(|part| part.split(' ').next().unwrap()).collect();
    let again = Said::of(run.command("fit", &assignments).args(["--device", "cpu"]).output().unwrap()).ok();
    assert!(again.out.contains("2 x "), "{}", again.out);
    Said::of(run.command("fit", &set).args(["--device", "cpu", "--memory", "1MB"]).output().unwrap())
        .refused(&["the run needs", "--memory is 1 MiB"]);
    // Curves need a terminal.
    Said::of(run.command("train", &[]).arg("--tui").output().unwrap()).refused(&["--tui needs a terminal"]);
}
