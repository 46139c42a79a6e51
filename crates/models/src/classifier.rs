//! The head that classifies texts or tokens.

use burn::tensor::{Tensor, activation};
use lorelei_formats::config::{HeadNames, Squash, Task};

use crate::{
    ForwardMode, Linear, Model, ModelError, Tokens, init::Draw, load::HEAD_DEVIATION, precision::single,
};

/// A classifying head.
#[derive(Debug, Clone)]
pub(crate) struct Classifier {
    /// What stands before the classes: the pooler, or the head's own.
    pub(crate) dense: Option<Linear>,
    /// `[labels, hidden]`. It learns whole, as PEFT's `modules_to_save` makes it.
    pub(crate) output: Linear,
    /// Whether `dense` is the head's own, and so learns whole with it.
    pub(crate) dense_learns: bool,
    /// Whether a checkpoint lacked `dense`, so that it begins at random.
    pub(crate) fresh_dense: bool,
    /// Whether it lacked `output`.
    pub(crate) fresh_output: bool,
}

/// The modules that PEFT trains whole for a classifying task, whatever the recipe names. It asks how a path ends, and so means DistilBERT's
/// `pre_classifier` too.
const CLASSIFIER_HEADS: [&str; 2] = ["classifier", "score"];

/// Whether what stands before the classes, at `path`, learns whole with them: as a part of the head, or because the checkpoint does not have it and
/// it begins at random. Nobody else could make the same of that, unless it is saved with the adapter.
pub fn dense_learns(path: &str, is_there: bool) -> bool {
    learns_whole(path) || !is_there
}

/// Whether a part of a classifying head learns whole with it.
pub(crate) fn learns_whole(path: &str) -> bool {
    path.split('.').any(|part| CLASSIFIER_HEADS.iter().any(|whole| part.ends_with(whole)))
}

impl Classifier {
    /// Logits `[n, labels]` of residual-stream rows `[n, hidden]`.
    pub(crate) fn forward(&self, names: &HeadNames, rows: Tensor<2>, mode: ForwardMode) -> Tensor<2> {
        let rows = match (&self.dense, names.dense) {
            (Some(dense), Some((_, squash))) => {
                let rows = dense.forward(rows, mode);
                match squash {
                    Squash::Tanh => rows.tanh(),
                    Squash::Relu => activation::relu(rows),
                }
            }
            _ => rows,
        };
        self.output.forward(rows, mode)
    }
}

impl Model {
    /// What of a classifier `modules_to_save` names: the heads, and a pooler that the checkpoint lacked.
    pub fn whole_modules(&self) -> Vec<String> {
        let mut modules: Vec<String> = CLASSIFIER_HEADS.map(str::to_owned).into();
        let dense = self.config.classifier().and_then(|names| names.dense);
        if let (Some(head), Some((path, _))) = (&self.classifier, dense)
            && head.dense_learns
            && !learns_whole(path)
        {
            modules.extend(path.rsplit('.').nth(1).map(str::to_owned));
        }
        modules
    }

    /// Draws what the checkpoint lacked of a classifying head by `seed`.
    pub(crate) fn draw_head(&mut self, seed: u64) {
        let (device, names) = (self.device.clone(), self.config.classifier());
        let (Some(head), Some(names)) = (&self.classifier, names) else { return };
        let (fresh_dense, fresh_output) = (head.fresh_dense, head.fresh_output);
        let output = format!("{}.weight", names.output);
        self.visit_classifier(false, &mut |name, mut parameter| {
            let fresh = if name == output { fresh_output } else { fresh_dense };
            if let [rows, columns] = parameter.shape()[..]
                && fresh
            {
                let draw = |draw: &mut Draw| draw.normal(HEAD_DEVIATION);
                let drawn: Tensor<2> = Draw::new(seed, name).tensor([rows, columns], &device, draw);
                parameter.assign(drawn.reshape([rows * columns]));
            }
        });
    }

    /// The rows of the residual stream that say what each text is: of an encoder the first token's, else the last one's. Texts in their order;
    /// a row that packs several has one for each.
    pub fn text_rows(&self, tokens: &Tokens) -> Vec<i32> {
        let mut rows = Vec::new();
        for start in (0..tokens.batch).map(|row| row * tokens.seq) {
            let segments = &tokens.segment_ids[start..start + tokens.seq];
            for at in (0..tokens.seq).filter(|&at| segments[at] != 0) {
                let first = at == 0 || segments[at - 1] != segments[at];
                let last = at + 1 == tokens.seq || segments[at + 1] != segments[at];
                if if self.config.causal { last } else { first } {
                    rows.push((start + at) as i32);
                }
            }
        }
        rows
    }

    /// The logits `[rows, labels]` of some rows of the residual stream, on the host.
    ///
    /// # Errors
    ///
    /// If the device fails.
    pub async fn logits_of(&self, hidden: Tensor<2>, rows: &[i32]) -> Result<Vec<f32>, ModelError> {
        let failed =
            |error: String| ModelError::Input(format!("the device failed while classifying: {error}"));
        let logits = self.logits(hidden.select(0, self.index(rows))).into_data_async().await;
        let logits = logits.map_err(|error| failed(format!("{error:?}")))?;
        Ok(logits.iter::<f32>().collect())
    }

    /// What the model says of a batch: logits of every token `[batch * seq, vocab or labels]`, of every text `[texts, labels]`, or the
    /// residual stream `[batch * seq, hidden]`, by its task. For looking, not for training: see [`Model::loss`].
    pub fn outputs(&self, tokens: &Tokens, hidden: Tensor<2>) -> Tensor<2> {
        match self.config.task {
            Task::CausalLm | Task::TokenClassification => self.logits(hidden),
            Task::SequenceClassification => {
                let rows = self.text_rows(tokens);
                self.logits(hidden.select(0, self.index(&rows)))
            }
            Task::FeatureExtraction => single(self.normed(hidden)),
        }
    }
}
