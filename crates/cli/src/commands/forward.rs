//! `lorelei forward`: logits, loss and gradients, for comparison with those of another program.

use std::{collections::BTreeMap, fs::File, path::PathBuf};

use lorelei_data::{Example, collate, one_per_row};
use lorelei_formats::{
    Dtype, SafetensorsFile, TensorData, TensorSource, TensorSpec, config::Task, parameter_key, to_bytes,
};
use lorelei_models::{ForwardMode, Purpose, Storage};
use lorelei_train::tokens;
use miette::{Context, IntoDiagnostic, Result, miette};

use crate::{adapter, device::DeviceArguments, disk, report, source};

/// Arguments of `lorelei forward`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The model: a folder, a .gguf file or a hub id.
    #[arg(long)]
    pub model: String,
    /// A PEFT adapter's folder.
    #[arg(long)]
    pub adapter: Option<String>,
    /// Safetensors with input_ids, and perhaps attention_mask (padding on the right) and labels.
    #[arg(long)]
    pub input: PathBuf,
    /// Where logits, loss and gradients go.
    #[arg(long)]
    pub output: PathBuf,
    /// Write the gradient of every adapter tensor as grad.KEY, where KEY is PEFT's.
    #[arg(long)]
    pub gradients: bool,
    #[command(flatten)]
    pub device: DeviceArguments,
}

/// Runs the command.
///
/// # Errors
///
/// If the model, the adapter or the input is wrong, or the output cannot be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let name = arguments.input.display().to_string();
    let file = File::open(&arguments.input).into_diagnostic().wrap_err_with(|| name.clone())?;
    let input = SafetensorsFile::open(file, name.clone()).map_err(report)?;
    let shape = input.info("input_ids").map(|info| info.shape.clone()).unwrap_or_default();
    let [batch, seq] =
        <[usize; 2]>::try_from(shape).map_err(|_| miette!("{name}: input_ids must be [batch, seq]"))?;
    if batch == 0 || seq == 0 {
        return Err(miette!("{name}: input_ids is [{batch}, {seq}]: there must be a row and a token"));
    }
    let ids = input.read_i64("input_ids").map_err(report)?;
    let optional = |key: &str, default: i64| match input.info(key) {
        Some(_) => input.read_i64(key).map_err(report),
        None => Ok(vec![default; ids.len()]),
    };
    // The labels are a class for each row of a model that classifies texts, or else a label for each token.
    let of_texts = input.info("labels").filter(|info| info.shape == [batch]).is_some();
    let classes = if of_texts { input.read_i64("labels").map_err(report)? } else { Vec::new() };
    let mask = optional("attention_mask", 1)?;
    let labels = if of_texts { vec![-100; ids.len()] } else { optional("labels", -100)? };
    let types = match input.info("token_type_ids") {
        Some(_) => input.read_i64("token_type_ids").map_err(report)?,
        None => Vec::new(),
    };
    if mask.len() != ids.len() || labels.len() != ids.len() {
        return Err(miette!("{name}: attention_mask and labels must have the shape of input_ids"));
    }
    if ids.iter().any(|id| u32::try_from(*id).is_err()) {
        return Err(miette!("{name}: input_ids holds a number that is no token id"));
    }
    let rows = (0..batch).map(|row| {
        let length = mask[row * seq..][..seq].iter().rposition(|m| *m == 1).map_or(0, |last| last + 1);
        if length == 0 {
            return Err(miette!("{name}: row {row} has no token: its attention_mask is 0 everywhere"));
        }
        let span = row * seq..row * seq + length;
        if mask[span.clone()].contains(&0) {
            return Err(miette!("{name}: row {row} is padded on the left or inside; pad on the right"));
        }
        let input_ids = ids[span.clone()].iter().map(|id| *id as u32).collect();
        Ok(Example::tokens(input_ids, labels[span].to_vec()))
    });
    let rows = one_per_row(rows.collect::<Result<Vec<_>>>()?);
    let batch_rows = collate(&rows.iter().collect::<Vec<_>>(), 0);
    let device = arguments.device.choose()?;
    let purpose = match &arguments.adapter {
        Some(folder) => adapter::purpose(folder)?,
        None => Purpose::default(),
    };
    let mut model = source::load_for(&source::open(&arguments.model)?, &device, Storage::SINGLE, purpose)?;
    if let Some(folder) = &arguments.adapter {
        adapter::load(&mut model, folder)?;
    }
    if arguments.gradients {
        model.track();
    }
    let mut tokens = tokens(&batch_rows);
    // The columns of the file, up to the length of the longest row.
    let columns = |values: &[i64]| -> Vec<i32> {
        let row = |row: &[i64]| row[..batch_rows.seq_len].iter().map(|id| *id as i32).collect::<Vec<_>>();
        values.chunks(seq).flat_map(row).collect()
    };
    if types.len() == ids.len() {
        tokens.token_type_ids = columns(&types);
    }
    let hidden = model.hidden_states(&tokens, ForwardMode::Evaluation).map_err(report)?;
    let said = model.outputs(&tokens, hidden.clone());
    let said = if said.is_autodiff() { said.inner() } else { said };
    let width = said.dims()[1];
    let task = model.config().task;
    let (name_out, shape) = match task {
        Task::SequenceClassification => ("logits", vec![batch, width]),
        Task::FeatureExtraction => ("last_hidden_state", vec![batch, batch_rows.seq_len, width]),
        Task::CausalLm | Task::TokenClassification => ("logits", vec![batch, batch_rows.seq_len, width]),
    };
    let said = said.into_data().try_into_vec::<f32>().map_err(|e| miette!("{e:?}"))?;
    let mut out = vec![(spec(name_out, shape), said)];
    let (positions, targets) = match task {
        Task::CausalLm => batch_rows.next_tokens(),
        Task::SequenceClassification => {
            let rows = if classes.is_empty() { Vec::new() } else { model.text_rows(&tokens) };
            (rows, classes.iter().map(|class| *class as i32).collect())
        }
        Task::TokenClassification | Task::FeatureExtraction => {
            let labels = columns(&labels);
            let known = (0..).zip(&labels).filter(|(_, label)| **label != -100);
            known.map(|(row, label)| (row, *label)).unzip()
        }
    };
    if !targets.is_empty() {
        let loss = model.loss(hidden, &positions, &targets).map_err(report)? / targets.len() as f32;
        out.push((spec("loss", vec![]), loss.to_data().try_into_vec::<f32>().map_err(|e| miette!("{e:?}"))?));
        if arguments.gradients {
            let mut gradients = loss.backward();
            model.visit_parameters(&mut |name, parameter| {
                let shape = parameter.shape().to_vec();
                let values = match parameter.gradient(&mut gradients) {
                    Some(gradient) => gradient.into_data().try_into_vec::<f32>().unwrap_or_default(),
                    None => vec![0.0; shape.iter().product()],
                };
                out.push((spec(&format!("grad.{}", parameter_key(name)), shape), values));
            });
        }
    } else if arguments.gradients {
        return Err(miette!("{name} has no labels: there is no loss to take gradients of"));
    }
    let tensors: Vec<_> = out.iter().map(|(spec, values)| (spec.clone(), TensorData::F32(values))).collect();
    let bytes = to_bytes(&tensors, &BTreeMap::new()).map_err(report)?;
    let file = arguments.output.file_name().ok_or_else(|| miette!("--output names no file"))?;
    disk::save(disk::parent(&arguments.output), &[(file.to_string_lossy().into_owned(), bytes)])
        .map_err(report)
}

fn spec(name: &str, shape: Vec<usize>) -> TensorSpec {
    TensorSpec::new(name.to_owned(), Dtype::F32, shape)
}
