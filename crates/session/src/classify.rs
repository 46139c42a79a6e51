//! Classification of texts.

use lorelei_data::{Labels, Question, Tokenizer, collate, one_per_row};
use lorelei_models::{ForwardMode, Model, ModelError};
use lorelei_protocol::{LabelScore, TaggedWord, Verdict};
use lorelei_recipe::TruncationSide;
use lorelei_train::tokens;

use crate::Result;

/// Classifies a text, or a pair of texts, with a model that was trained on `labels`. An input of more than `max_length` tokens, or of more than
/// the model supports, is truncated at `side`, as in training.
///
/// # Errors
///
/// If the text has no tokens, or the device fails.
pub async fn classify(
    model: &Model,
    tokenizer: &Tokenizer,
    labels: &Labels,
    text: &str,
    text_pair: Option<&str>,
    max_length: usize,
    side: TruncationSide,
) -> Result<Verdict> {
    let max_length = max_length.min(model.config().longest_text());
    let Question { example, words } = labels.question(text, text_pair, tokenizer, max_length, side)?;
    let rows = one_per_row(vec![example]);
    let batch = tokens(&collate(&rows.iter().collect::<Vec<_>>(), 0));
    let hidden = model.hidden_states(&batch, ForwardMode::Evaluation)?;
    let asked = match labels {
        Labels::Tags(_) => words.iter().map(|(_, token)| *token as i32).collect(),
        _ => model.text_rows(&batch),
    };
    let logits = model.logits_of(hidden, &asked).await?;
    if logits.iter().any(|logit| !logit.is_finite()) {
        let problem = "the model's logits are no finite numbers: is its adapter the right one?";
        return Err(ModelError::Input(problem.to_owned()).into());
    }
    let ranked = |scores: Vec<f64>| {
        let of_class = |(at, score)| LabelScore { label: name(labels, at), score };
        let mut ranked: Vec<LabelScore> = scores.into_iter().enumerate().map(of_class).collect();
        ranked.sort_by(|one, other| other.score.total_cmp(&one.score));
        ranked
    };
    Ok(match labels {
        Labels::Number => {
            Verdict::Regression { value: f64::from(logits.first().copied().unwrap_or(f32::NAN)) }
        }
        Labels::Classes(_) => Verdict::SingleLabelClassification { classes: ranked(softmax(&logits)) },
        Labels::Several(_) | Labels::MultiHot(_) => {
            let sigmoid = |logit: &f32| 1.0 / (1.0 + f64::from(-logit).exp());
            Verdict::MultiLabelClassification { classes: ranked(logits.iter().map(sigmoid).collect()) }
        }
        Labels::Tags(names) => {
            let tagged =
                words.into_iter().zip(logits.chunks(names.len())).filter_map(|((word, _), logits)| {
                    let best = ranked(softmax(logits)).into_iter().next()?;
                    Some(TaggedWord { word, best })
                });
            Verdict::TokenClassification { words: tagged.collect() }
        }
    })
}

fn name(labels: &Labels, class: usize) -> String {
    labels.names().get(class).cloned().unwrap_or_else(|| class.to_string())
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|logit| f64::from(logit - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}
