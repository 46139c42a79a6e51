//! Tests of wrong input: each error names its place and a way out, and nothing panics or is half-written.

mod common;

use std::{fs, path::Path, process::Command};

use common::{Run, Said, fixture, lorelei, names, program};
use lorelei_formats::{Dtype, SafetensorsFile, TensorData, TensorSource, TensorSpec, to_bytes};

#[test]
fn a_recipe_s_mistakes_are_shown_where_they_are() {
    let run = Run::new();
    let text = fs::read_to_string(run.path("recipe.toml")).unwrap();
    fs::write(run.path("recipe.toml"), text.replace("r = 4", "r = 4\nlora_aplha = 8")).unwrap();
    run.train(&[]).refused(&["recipe.toml:7", "lora_aplha", "did you mean \"lora_alpha\"?"]);
    fs::write(run.path("recipe.toml"), text.replace("r = 4", "r = 0")).unwrap();
    run.train(&[]).refused(&["recipe.toml:6", "r = 0 is out of range: 1 <= r"]);
    fs::write(run.path("recipe.toml"), "[model\n").unwrap();
    run.train(&[]).refused(&["recipe.toml:1"]);
    lorelei(&["train", "missing.toml"]).refused(&["missing.toml"]);
    fs::write(run.path("recipe.toml"), &text).unwrap();
    run.train(&["lora.rank=8"]).refused(&["lora.rank"]);
    run.train(&["data.train_file=nowhere.jsonl"]).refused(&["nowhere.jsonl"]);
    run.train(&["data.train_file=builtin:french"]).refused(&["builtin:french", "builtin:english"]);
    run.train(&["model.model_name_or_path="]).refused(&["names no model", "builtin:tiny"]);
    run.train(&["model.model_name_or_path=builtin:huge"]).refused(&["builtin:huge", "builtin:tiny"]);
    run.train(&["model.model_name_or_path=./nowhere"]).refused(&["./nowhere"]);
    run.train(&["lora.target_modules=[\"query\"]"]).refused(&["query", "q_proj"]);
    assert!(!run.path("out").exists());
}

#[test]
fn an_upload_that_would_fail_is_refused_before_the_run() {
    let run = Run::new();
    let without_token = |mut command: Command| {
        command.env("HF_HOME", run.path("hf")).env("HF_ENDPOINT", "http://127.0.0.1:9");
        for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"] {
            command.env_remove(name);
        }
        Said::of(command.output().unwrap())
    };
    let train = |set: &[&str]| without_token(run.command("train", set));
    train(&["training.push_to_hub=true"]).refused(&["push_to_hub", "HF_TOKEN", "/settings/tokens"]);
    train(&["training.push_to_hub=true", "training.hub_model_id=a b"]).refused(&["a b", "owner/name"]);
    assert!(!run.path("out").exists());
    let push = |folder: &Path| {
        let mut command = program();
        command.arg("push").arg(folder).arg("whale/songs");
        without_token(command)
    };
    push(run.folder.path()).refused(&["adapter_config.json", "no result to upload"]);
    run.train(&[]).ok();
    push(&run.output()).refused(&["HF_TOKEN", "/settings/tokens"]);
}

#[test]
fn a_bad_row_is_named_by_file_and_line() {
    let good = "{\"text\": \"a ship\"}\n";
    for (row, words) in [
        ("{\"text\": \"a", &["train.jsonl:2", "JSON"][..]),
        ("[1, 2]", &["train.jsonl:2", "object"]),
        ("{\"words\": \"a ship\"}", &["train.jsonl:2", "no known field", "words", "messages"]),
        ("{\"text\": \"\"}", &["train.jsonl:2", "no tokens"]),
        ("{\"messages\": [{\"role\": \"user\"}]}", &["train.jsonl:2", "content"]),
        ("{\"input_ids\": [1, 9999], \"labels\": [1, 2]}", &["train.jsonl:2", "9999", "vocabulary"]),
        ("{\"input_ids\": [1, 2, 3], \"labels\": [1]}", &["train.jsonl:2", "labels"]),
        ("{\"input_ids\": [1, 2, 3], \"attention_mask\": [1, 0, 1]}", &["train.jsonl:2", "attention_mask"]),
    ] {
        let run = Run::new();
        run.data(&format!("{good}{row}\n"));
        run.train(&[]).refused(words);
        assert!(!run.path("out").exists(), "{row}");
    }
    let run = Run::new();
    run.data("{\"input_ids\": [1, 2, 3], \"labels\": [-100, -100, -100]}\n");
    run.train(&[]).refused(&["train.jsonl", "every label is masked"]);
    run.data("");
    run.train(&[]).refused(&["train.jsonl", "no rows"]);
    fs::write(run.path("train.jsonl"), b"{\"text\": \"\xFF\"}\n").unwrap();
    run.train(&[]).refused(&["train.jsonl:1", "UTF-8"]);
}

/// Writes a copy of the tiny Llama whose weights are `bytes`.
fn model_with(run: &Run, bytes: &[u8]) -> String {
    let folder = run.path("model");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(fixture("llama/config.json"), folder.join("config.json")).unwrap();
    fs::write(folder.join("model.safetensors"), bytes).unwrap();
    format!("model.model_name_or_path={}", folder.display())
}

#[test]
fn a_broken_safetensors_file_is_refused() {
    let whole = fs::read(fixture("llama/model.safetensors")).unwrap();
    let header = |json: &str| [(json.len() as u64).to_le_bytes().to_vec(), json.as_bytes().to_vec()].concat();
    let tensor = |shape: &str, end: &str| {
        header(&format!(
            "{{\"a\": {{\"dtype\": \"F32\", \"shape\": {shape}, \"data_offsets\": [0, {end}]}}}}"
        ))
    };
    let files = [
        Vec::new(),
        vec![0; 4],
        whole[..whole.len() - 1].to_vec(),
        whole[..100].to_vec(),
        u64::MAX.to_le_bytes().to_vec(),
        header("{]"),
        tensor("[4611686018427387904, 4611686018427387904]", "16"),
        tensor("[2]", "18446744073709551615"),
        tensor("[-1]", "4"),
        header(
            "{\"a\": {\"dtype\": \"F32\", \"shape\": [0], \"data_offsets\": [0, 0]}, \"a\": {\"dtype\": \"F32\", \"shape\": [0], \"data_offsets\": [0, 0]}}",
        ),
    ];
    for bytes in files {
        let run = Run::new();
        let model = model_with(&run, &bytes);
        Said::of(run.command("params", &[&model]).output().unwrap()).refused(&["model.safetensors"]);
    }
    // A valid file of another shape.
    let run = Run::new();
    let model = model_with(&run, &whole);
    let config = fs::read_to_string(fixture("llama/config.json")).unwrap();
    let config = config.replace("\"intermediate_size\": 128", "\"intermediate_size\": 96");
    fs::write(run.path("model/config.json"), config).unwrap();
    Said::of(run.command("params", &[&model]).output().unwrap()).refused(&["[128, 64]", "[96, 64]"]);
}

#[test]
fn a_broken_gguf_file_is_refused() {
    let run = Run::new();
    let path = run.path("model.gguf");
    let model = format!("model.model_name_or_path={}", path.display());
    let magic = b"GGUF".to_vec();
    let counts = |tensors: u64, keys: u64| {
        [
            magic.clone(),
            3u32.to_le_bytes().to_vec(),
            tensors.to_le_bytes().to_vec(),
            keys.to_le_bytes().to_vec(),
        ]
        .concat()
    };
    for bytes in
        [Vec::new(), magic.clone(), b"GGML".to_vec(), counts(1 << 60, 0), counts(0, 1 << 60), counts(1, 1)]
    {
        fs::write(&path, bytes).unwrap();
        Said::of(run.command("params", &[&model]).output().unwrap()).refused(&["model.gguf"]);
    }
}

#[test]
fn an_adapter_of_another_model_or_rank_is_refused() {
    let run = Run::new();
    let adapter = format!("model.adapter_name_or_path={}", fixture("llama/adapter").display());
    run.train(&[&adapter]).refused(&["adapter_model.safetensors", "lora_A", "another model, rank"]);
    let folder = run.path("adapter");
    fs::create_dir(&folder).unwrap();
    let config = fs::read_to_string(fixture("llama/adapter/adapter_config.json")).unwrap();
    fs::write(folder.join("adapter_config.json"), config.replace("\"r\": 4", "\"r\": 8")).unwrap();
    fs::copy(fixture("llama/adapter/adapter_model.safetensors"), folder.join("adapter_model.safetensors"))
        .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_lorelei"))
        .args(["forward", "--device", "cpu", "--model"])
        .arg(fixture("llama"))
        .arg("--adapter")
        .arg(&folder)
        .arg("--input")
        .arg(fixture("llama/ref.safetensors"))
        .arg("--output")
        .arg(run.path("out.safetensors"))
        .output()
        .unwrap();
    Said::of(output).refused(&["[4, 64]", "[8, 64]"]);
    assert!(!run.path("out.safetensors").exists());
    run.train(&["model.adapter_name_or_path=nowhere"]).refused(&["nowhere", "PEFT"]);
}

#[cfg(unix)]
#[test]
fn a_full_disk_at_the_save_leaves_the_old_adapter() {
    let run = Run::new();
    run.train(&[]).ok();
    let path = run.path("out/adapter_model.safetensors");
    let (before, files) = (fs::read(&path).unwrap(), names(&run.path("out")));
    assert!(before.len() > 8 * 1024);
    // Files may have 4 KiB and no more; the signal that would kill is ignored, so that the write fails as on a full disk.
    let command = run.command("train", &["training.learning_rate=0.1", "training.max_steps=2"]);
    let mut limited = Command::new("bash");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$@\"", "bash"]);
    limited.arg(command.get_program()).args(command.get_args()).env("NO_COLOR", "1");
    Said::of(limited.output().unwrap()).refused(&["cannot save", "adapter_model.safetensors", "output_dir"]);
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(names(&run.path("out")), files);
}

#[test]
fn a_run_that_diverges_saves_nothing() {
    let run = Run::new();
    run.train(&["training.learning_rate=1e38", "training.max_grad_norm=0", "training.max_steps=10"])
        .refused(&["diverged", "learning_rate"]);
    assert!(!run.path("out/adapter_model.safetensors").exists());
}

#[test]
fn values_at_their_ends() {
    let run = Run::new();
    run.train(&["lora.lora_dropout=1"]).refused(&["lora_dropout = 1 is out of range: 0 <= lora_dropout < 1"]);
    // A rank above the layer's size gives what it gives in PEFT: more parameters than the layer has.
    run.train(&["lora.r=512", "training.max_steps=1", "training.save_strategy=no"]).ok();
    let config = fs::read_to_string(run.output().join("adapter_config.json")).unwrap();
    assert!(config.contains("\"r\": 512"), "{config}");
    // 512 rows of 192 inputs and of the outputs, in two modules of four layers, four bytes each.
    let size = fs::metadata(run.output().join("adapter_model.safetensors")).unwrap().len();
    assert!(size > 4 * 512 * 192 * 4 * 2, "{size} bytes");
    // No token precedes a row's only token.
    run.data("{\"input_ids\": [5]}\n{\"input_ids\": [5, 6]}\n");
    let said = run.train(&["training.max_steps=1"]).ok();
    assert!(said.err.contains("1 rows have nothing to learn and are left out (lines 1)"), "{}", said.err);
    run.data("{\"input_ids\": [5]}\n");
    run.train(&[]).refused(&["train.jsonl", "every label is masked"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_is_named_before_the_run() {
    let run = Run::new();
    // Not even root can create a folder there.
    let said = run.train(&["training.output_dir=/proc/lorelei"]);
    said.refused(&["cannot make training.output_dir /proc/lorelei"]);
}

/// Writes a copy of the tiny Llama whose tensor `name` has `value` at `index`, into `folder`.
fn with_weight(folder: &Path, name: &str, index: usize, value: f32) {
    fs::create_dir_all(folder).unwrap();
    for file in fs::read_dir(fixture("llama")).unwrap().map(|file| file.unwrap().path()) {
        if file.is_file() {
            fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
        }
    }
    let path = folder.join("model.safetensors");
    let file = SafetensorsFile::open(fs::read(&path).unwrap(), "model").unwrap();
    let tensors: Vec<_> =
        file.infos().iter().map(|info| (info.clone(), file.read_f32(&info.name).unwrap())).collect();
    let changed = tensors.into_iter().map(|(info, mut values)| {
        if info.name == name {
            values[index] = value;
        }
        (TensorSpec::new(info.name.clone(), Dtype::F32, info.shape.as_slice()), values)
    });
    let changed: Vec<_> = changed.collect();
    let tensors: Vec<_> =
        changed.iter().map(|(spec, values)| (spec.clone(), TensorData::F32(values))).collect();
    fs::write(&path, to_bytes(&tensors, &Default::default()).unwrap()).unwrap();
}

/// Runs `lorelei forward` on rows of the token 3 with an attention mask.
fn forward(folder: &Path, model: &Path, shape: [usize; 2], mask: &[i64]) -> Said {
    let (input, output) = (folder.join("in.safetensors"), folder.join("out.safetensors"));
    let spec = |name: &str| TensorSpec::new(name, Dtype::I64, shape.as_slice());
    let ids = vec![3; mask.len()];
    let tensors =
        [(spec("input_ids"), TensorData::I64(&ids)), (spec("attention_mask"), TensorData::I64(mask))];
    fs::write(&input, to_bytes(&tensors, &Default::default()).unwrap()).unwrap();
    let mut command = program();
    command.args(["forward", "--device", "cpu", "--model"]).arg(model);
    Said::of(command.arg("--input").arg(&input).arg("--output").arg(&output).output().unwrap())
}

#[test]
fn a_weight_that_is_no_number_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (model, name) = (folder.path().join("model"), "model.layers.1.mlp.up_proj.weight");
    for (value, shown) in [(f32::NAN, "NaN"), (f32::NEG_INFINITY, "-inf")] {
        with_weight(&model, name, 7, value);
        forward(folder.path(), &model, [1, 2], &[1, 1]).refused(&[name, shown, "at index 7"]);
    }
    with_weight(&model, name, 7, f32::MAX / 1e30);
    forward(folder.path(), &model, [1, 2], &[1, 1]).ok();
}

#[test]
fn forward_refuses_rows_without_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let forward = |shape, mask: &[i64]| forward(folder.path(), &fixture("llama"), shape, mask);
    forward([1, 0], &[]).refused(&["in.safetensors", "[1, 0]"]);
    forward([0, 2], &[]).refused(&["in.safetensors", "[0, 2]"]);
    forward([0, 0], &[]).refused(&["in.safetensors", "[0, 0]"]);
    forward([2, 2], &[1, 0, 0, 0]).refused(&["row 1 has no token"]);
    assert!(!folder.path().join("out.safetensors").exists());
    forward([2, 2], &[1, 0, 1, 1]).ok();
}
