//! Reading rows, and showing them as the model receives them.

use lorelei_data::{
    Bar, DataError, DataErrorKind, Example, Labels, ShownToken, Statistics, Tokenizer, shown,
};
use lorelei_models::Purpose;
use lorelei_protocol::{
    BadRow, DataChoice, DataInfo, LONGEST_VALUE, LengthBar, PreviewRow, PreviewToken, Reply,
};
use lorelei_recipe::{DataSection, OnBadRow, TaskType};
use lorelei_session::{BadRows, Dataset, DatasetRequest, Result, RunData, SessionError};
use web_sys::File;

use crate::{host::Browser, port, state};

/// Largest number of bad rows that are reported.
const MAX_BAD_ROWS: usize = 100;

/// Number of bars in the histogram of lengths.
const BARS: usize = 24;

/// A request of the page to read data.
pub struct PreviewRequest {
    pub train: DataChoice,
    pub validation: Option<DataChoice>,
    pub section: DataSection,
    pub task_type: Option<TaskType>,
    pub seed: u64,
    pub rows: usize,
}

/// Reads the data. If it has no bad rows, the next run trains on it.
pub async fn preview(request: PreviewRequest, files: Vec<File>) -> Result<()> {
    let PreviewRequest { train, validation, section, task_type, seed, rows } = request;
    let loaded = state::with(|state| state.model.clone()).ok_or(SessionError::NoModel)?;
    let config = loaded.model.config();
    let task = Purpose { task: task_type, num_labels: None }.trained_task(config)?;
    let request = DatasetRequest {
        tokenizer: &loaded.tokenizer,
        vocab_size: config.vocab_size,
        task,
        section: &section,
        bad_rows: BadRows::List,
    };
    let mut data = Dataset::read(&Browser { files }, request, &train, validation.as_ref())?;
    let preview = preview_rows(&data, &loaded.tokenizer, rows)?;
    // Rows that the recipe lets be skipped are shown, and the others can be trained on. An error that ends a file prevents that.
    let skips = section.on_bad_row == OnBadRow::Skip;
    let usable = data.errors.iter().all(|error| skips && is_of_a_row(error));
    let errors = std::mem::take(&mut data.errors);
    let (truncated, skipped) =
        (data.train.truncated, data.train.skipped.iter().map(|place| place.line).collect());
    let run_data = data.split(&section, seed)?;
    let info = DataInfo {
        train_rows: if usable || !skips { run_data.train.len() } else { 0 },
        truncated,
        skipped,
        bad_rows: errors.iter().take(MAX_BAD_ROWS).map(bad_row).collect(),
        preview,
        classifies: task.classifies(),
        ..described(&run_data)
    };
    state::with(|state| state.data = usable.then_some(run_data));
    port::post(&Reply::Previewed(info));
    Ok(())
}

/// Returns the first rows as tokens.
fn preview_rows(data: &Dataset, tokenizer: &Tokenizer, rows: usize) -> Result<Vec<PreviewRow>> {
    let count = data.examples().extents().len().min(rows);
    let row = |at| Ok(preview_row(&*data.examples().example(at)?, tokenizer, data.labels.as_ref()));
    (0..count).map(row).collect()
}

fn preview_row(example: &Example, tokenizer: &Tokenizer, labels: Option<&Labels>) -> PreviewRow {
    let token = |(at, token): (usize, ShownToken)| PreviewToken {
        text: token.text,
        id: token.id,
        learnt: token.learnt,
        label: labels.and_then(|labels| labels.token_label(example, at)),
    };
    PreviewRow {
        tokens: shown(example, tokenizer).into_iter().enumerate().map(token).collect(),
        label: labels.and_then(|labels| labels.text_label(example)),
    }
}

/// Returns the counts and lengths of a run's rows.
fn described(data: &RunData) -> DataInfo {
    let statistics = Statistics::new(&data.train, &[], 1, 0.into(), BARS);
    let of = |number: fn(&Statistics) -> usize| statistics.as_ref().map(number).unwrap_or_default();
    let bar = |bar: &Bar| LengthBar { from: bar.from, to: bar.to, count: bar.count };
    DataInfo {
        validation_rows: data.validation.len(),
        tokens: of(|found| found.tokens),
        learnt_tokens: of(|found| found.learnt),
        labels: data.labels.as_ref().map(|labels| labels.names().to_vec()).unwrap_or_default(),
        listed_labels: data
            .labels
            .as_ref()
            .filter(|labels| labels.is_listed())
            .map(|labels| labels.listed().into()),
        lengths: statistics.iter().flat_map(|found| found.histogram.iter().map(bar)).collect(),
        median_length: of(|found| found.median),
        percentile_95: of(|found| found.percentile_95),
        longest: of(|found| found.longest),
        ..DataInfo::default()
    }
}

/// Whether an error is about one row only, so that the others can be used.
fn is_of_a_row(error: &DataError) -> bool {
    use DataErrorKind::{EmptyFile, NothingToLearn, Read};
    !matches!(error.kind, Read | EmptyFile | NothingToLearn)
}

fn bad_row(error: &DataError) -> BadRow {
    BadRow { line: error.line.unwrap_or(0), message: error.to_message().cut_at(LONGEST_VALUE) }
}
