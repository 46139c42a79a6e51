//! A run: the trainer with the page as its host.

use lorelei_data::{LABELS_FILE, Labels, Padding, Tokenizer};
use lorelei_models::{AdapterValues, Model, Purpose, read_adapter};
use lorelei_protocol::{Event, InterruptedRun, LogLine, Reply, SamplePrompt, Sampled, Warned};
use lorelei_recipe::{FinetuningType, Recipe};
use lorelei_train::{Checkpoint, Host, Job, Sample, SaveError, Signal, base_dtype, objective, train};

use crate::{browser, data::Data, desk, port, store};

/// The logged steps and the evaluations, a line each, in the zip and beside a checkpoint.
pub const LOG: &str = "trainer_log.jsonl";

/// What the page wants of the run that goes on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Control {
    /// Hold before the next step.
    pub paused: bool,
    /// End before the next step.
    pub stop: bool,
}

/// What a run left.
#[derive(Clone)]
pub struct Trained {
    /// The model with its adapter.
    pub model: Model,
    /// The recipe that was run.
    pub recipe: Recipe,
    /// The adapter's files.
    pub files: Vec<(String, Vec<u8>)>,
    /// The logged steps, a line each.
    pub log: String,
    /// What a classifier's labels are.
    pub labels: Option<Labels>,
}

/// Trains the loaded model on the data last read.
pub async fn start(recipe: Recipe, resume: bool, sample: Option<SamplePrompt>) -> Result<(), String> {
    if !browser::lock_run().await? {
        return Err("another tab of this page is training: stop it there, or wait until it is done".into());
    }
    desk::with(|desk| desk.control = Some(Control::default()));
    let result = run(recipe, resume, sample).await;
    desk::with(|desk| desk.control = None);
    browser::unlock_run();
    result
}

async fn run(recipe: Recipe, resume: bool, sample: Option<SamplePrompt>) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    recipe.validate().map_err(|error| text(&error))?;
    if recipe.training.finetuning_type == FinetuningType::Full {
        return Err(
            "training.finetuning_type = \"full\" trains every weight: the page trains adapters only".into()
        );
    }
    let loaded = desk::with(|desk| desk.model.clone()).ok_or("load a model first")?;
    let Data { train: rows, validation, labels, task } = desk::with(|desk| desk.data.clone())
        .ok_or("there is no data to train on: choose some, and put bad rows right")?;
    let mut purpose = Purpose::of(&recipe);
    if purpose.trained_task(loaded.model.config()).map_err(|error| text(&error))? != task {
        return Err("the data were read for another lora.task_type: wait until they are read again".into());
    }
    purpose.num_labels = labels.as_ref().map(Labels::num_labels);
    let dtype = base_dtype(&recipe.training, loaded.model.device()).await;
    let (dtype, warning) = dtype.map_err(|error| text(&error))?;
    if let Some(message) = warning {
        port::post(&Reply::Event { event: Event::Warned(Warned { message }) });
    }
    let model = loaded.model.with_head(purpose, &*loaded.source.tensors).map_err(|error| text(&error))?;
    let mut model = model.in_dtype(dtype);
    let target_modules =
        model.inject_lora(&recipe.lora, recipe.training.seed).map_err(|error| text(&error))?;
    model.begin_from_weights(&recipe.lora, recipe.training.seed).await.map_err(|error| text(&error))?;
    let mut log = String::new();
    let checkpoint = match resume {
        false => None,
        true => {
            let run = store::interrupted().await?.ok_or("there is no run to go on with")?;
            if let Some(labels) = &labels {
                let before = store::checkpoint_file(&run, LABELS_FILE).await?;
                if before != labels.to_json().into_bytes() {
                    return Err("the run that was cut off learnt other classes than the data have now: choose its own data, or forget it".into());
                }
            }
            model.set_adapter(&adapter(&run).await?).map_err(|error| text(&error))?;
            let state = String::from_utf8_lossy(&store::checkpoint_file(&run, "trainer_state.json").await?)
                .into_owned();
            let optimizer = store::checkpoint_file(&run, "optimizer.safetensors").await?;
            log = String::from_utf8_lossy(&store::checkpoint_file(&run, LOG).await?).into_owned();
            Some(Checkpoint::read(optimizer, &state).map_err(|error| text(&error))?)
        }
    };
    // A classifier answers no prompts.
    let sample = sample.filter(|_| !task.classifies()).map(|sample| {
        let prompt = loaded.tokenizer.encode_prompt(&sample.prompt).map_err(|error| text(&error))?;
        let stop = loaded.tokenizer.eos_id().into_iter().collect();
        Ok::<_, String>(Sample { every: sample.every, prompt, max_new_tokens: sample.max_new_tokens, stop })
    });
    let mut job = Job {
        model,
        lora: Some(recipe.lora.clone()),
        target_modules,
        base_model: loaded.name.clone(),
        arguments: recipe.training.clone(),
        objective: objective(labels.as_ref()),
        train: rows,
        validation,
        shuffle: recipe.data.shuffle,
        padding: Padding {
            id: loaded.tokenizer.pad_id().unwrap_or(0),
            multiple_of: recipe.data.pad_to_multiple_of.unwrap_or(1),
        },
        checkpoint,
        sample: sample.transpose()?,
    };
    let mut host = Page {
        recipe: recipe.clone(),
        tokenizer: loaded.tokenizer.clone(),
        total_steps: 0,
        files: Vec::new(),
        log,
        labels: labels.as_ref().map(Labels::to_json),
    };
    train(&mut job, &mut host).await.map_err(|error| text(&error))?;
    let Page { files, log, .. } = host;
    desk::with(|desk| desk.trained = Some(Trained { model: job.model, recipe, files, log, labels }));
    store::forget().await
}

/// The adapter of an interrupted run's checkpoint.
async fn adapter(run: &InterruptedRun) -> Result<AdapterValues, String> {
    let bytes = store::checkpoint_file(run, "adapter_model.safetensors").await?;
    read_adapter(&bytes, "adapter_model.safetensors").map_err(|error| error.to_string())
}

/// The page as the trainer's host.
struct Page {
    recipe: Recipe,
    tokenizer: Tokenizer,
    total_steps: usize,
    files: Vec<(String, Vec<u8>)>,
    log: String,
    /// What a classifier's `labels.json` holds.
    labels: Option<String>,
}

impl Host for Page {
    fn event(&mut self, event: &Event) {
        let mut event = event.clone();
        match &mut event {
            Event::Started(started) => {
                self.total_steps = started.total_steps;
                port::post(&Reply::Event { event });
                // Of a run that goes on, what was logged before.
                for line in self.log.lines().filter_map(|line| serde_json::from_str::<LogLine>(line).ok()) {
                    port::post(&Reply::Event { event: line.into() });
                }
                return;
            }
            Event::Sampled(Sampled { ids, text, .. }) => {
                *text = self.tokenizer.decode(ids, true).unwrap_or_default()
            }
            _ => {}
        }
        if let Some(line) = LogLine::of(&event).and_then(|line| serde_json::to_string(&line).ok()) {
            self.log += &line;
            self.log.push('\n');
        }
        port::post(&Reply::Event { event });
    }

    fn seconds(&self) -> f64 {
        js_sys::Date::now() / 1000.0
    }

    fn memory_bytes(&self) -> u64 {
        browser::heap_bytes()
    }

    /// Lets the page's messages in, and holds the run while it wants so.
    async fn next_step(&mut self) -> Signal {
        browser::tick().await;
        loop {
            match desk::with(|desk| desk.control).unwrap_or_default() {
                Control { stop: true, .. } => return Signal::Stop,
                Control { paused: true, .. } => browser::sleep(50.0).await,
                Control { .. } => return Signal::Continue,
            }
        }
    }

    async fn save(&mut self, directory: &str, files: Vec<(String, Vec<u8>)>) -> Result<(), SaveError> {
        let Some(step) = directory.strip_prefix("checkpoint-").and_then(|step| step.parse().ok()) else {
            self.files = files;
            return Ok(());
        };
        let mut files = files;
        files.push((LOG.to_owned(), self.log.clone().into_bytes()));
        files.extend(self.labels.iter().map(|json| (LABELS_FILE.to_owned(), json.clone().into_bytes())));
        let run = InterruptedRun { recipe: self.recipe.clone(), step, total_steps: self.total_steps };
        // A run in a tab is not given up because its checkpoint does not fit.
        if let Err(error) = store::checkpoint(&run, &files).await {
            let message = format!("the checkpoint of step {step} is not kept: {error}. The run goes on");
            port::post(&Reply::Event { event: Event::Warned(Warned { message }) });
        }
        Ok(())
    }
}
