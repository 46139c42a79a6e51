//! Head that classifies texts or tokens.

use burn::tensor::{Tensor, activation};
use lorelei_formats::{
    config::{HeadNames, Role, Squash, Task},
    peft,
};
use lorelei_recipe::message;

use crate::{
    ForwardMode, Linear, Model, ModelError, Tokens, init::Draw, load::HEAD_DEVIATION, precision::to_f32,
};

/// A classification head.
#[derive(Debug, Clone)]
pub(crate) struct Classifier {
    /// Linear layer before the classes: the pooler, or the head's own.
    pub(crate) dense: Option<Linear>,
    /// Linear layer `[labels, hidden]` that computes the logits. It is fully trained, as in PEFT's `modules_to_save`.
    pub(crate) output: Linear,
    /// Whether `dense` is fully trained too.
    pub(crate) dense_trains: bool,
    /// Paths of the two layers that the checkpoint lacks, so that they are initialised at random.
    pub(crate) missing: Vec<String>,
}

impl Classifier {
    /// Computes logits `[n, labels]` of residual-stream rows `[n, hidden]`.
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
    /// Returns the names for `modules_to_save` of a classifier's fully trained modules: the heads, and a pooler that the checkpoint lacks.
    pub fn whole_modules(&self) -> Vec<String> {
        let mut modules: Vec<String> = peft::CLASSIFIER_HEADS.map(str::to_owned).into();
        let missing = self.missing_modules();
        let pooler = self.modules.iter().find(|module| {
            module.role == Role::Pooler
                && missing.contains(&module.path)
                && !peft::is_classifier_head(&module.path)
        });
        modules.extend(pooler.and_then(|pooler| pooler.path.rsplit('.').nth(1).map(str::to_owned)));
        modules
    }

    /// Returns the paths of the modules of a classification head that the checkpoint lacks.
    pub(crate) fn missing_modules(&self) -> &[String] {
        self.classifier.as_ref().map_or(&[], |head| &head.missing)
    }

    /// Draws the weights of a classification head that the checkpoint lacks, by `seed`.
    pub(crate) fn draw_head(&mut self, seed: u64) {
        let (device, missing) = (self.device.clone(), self.missing_modules().to_vec());
        self.visit_modules(&|module| missing.contains(&module.path), &mut |name, mut parameter| {
            if let [rows, columns] = parameter.shape()[..] {
                let draw = |draw: &mut Draw| draw.normal(HEAD_DEVIATION);
                let drawn: Tensor<2> = Draw::new(seed, name).tensor([rows, columns], &device, draw);
                parameter.assign(drawn.reshape([rows * columns]));
            }
        });
    }

    /// Returns the row of the residual stream that classifies each text: the first token's for an encoder, else the last token's. Texts are in their
    /// order; a row that packs several texts has one such row for each.
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

    /// Returns the logits `[rows, labels]` of some rows of the residual stream, on the host.
    ///
    /// # Errors
    ///
    /// If the device fails.
    pub async fn logits_of(&self, hidden: Tensor<2>, rows: &[i32]) -> Result<Vec<f32>, ModelError> {
        let logits = self.logits(hidden.select(0, self.index(rows))).into_data_async().await;
        let logits = logits.map_err(|error| ModelError::device(message!("classifying"), error))?;
        Ok(logits.iter::<f32>().collect())
    }

    /// Returns the outputs of the model for a batch by its task: logits of every token `[batch * seq, vocab or labels]`, logits of every text
    /// `[texts, labels]`, or the residual stream `[batch * seq, hidden]`. They are for inspection; training uses [`Model::loss`].
    pub fn outputs(&self, tokens: &Tokens, hidden: Tensor<2>) -> Tensor<2> {
        match self.config.task {
            Task::CausalLm | Task::TokenClassification => self.logits(hidden),
            Task::SequenceClassification => {
                let rows = self.text_rows(tokens);
                self.logits(hidden.select(0, self.index(&rows)))
            }
            Task::FeatureExtraction => to_f32(self.normed(hidden)),
        }
    }
}
