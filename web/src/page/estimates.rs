//! Estimates of the run, updated while the user types.

use leptos::prelude::*;
use lorelei_estimate::{self as estimate, Memory, ModelShape, ParameterCounts, RowShape, Saving};

use super::state::Page;
use crate::logic::format::{bytes, grouped, percent};
use crate::logic::texts::{Texts, fill};

/// Shows the estimates.
pub fn estimates(page: Page) -> impl IntoView {
    let figure = move |test_id: &'static str, text: fn(&Texts) -> &'static str, value: fn(Page) -> String| {
        view! {
            <div>
                <dt>{move || text(page.t())}</dt>
                <dd data-testid=test_id>{move || value(page)}</dd>
            </div>
        }
    };
    view! {
        <dl class="facts estimates">
            {figure("estimate-trainable", |t| t.trainable, trainable)}
            {figure("estimate-steps", |t| t.steps, steps)}
            {figure("estimate-effective-batch", |t| t.effective_batch, |page| {
                page.form.recipe.with(|recipe| grouped(estimate::effective_batch(recipe)))
            })}
            {figure("estimate-memory", |t| t.memory, |page| {
                memory(page).map_or_else(|| "—".into(), |memory| fill(page.t().about, &[("size", &size(memory.total()))]))
            })}
        </dl>
        <p class="hint">{move || memory(page).map(|memory| parts(page, &memory))}</p>
        <p class="hint" data-testid="estimate-memory-savings">{move || less(page)}</p>
        <p class="warning" data-testid="estimate-memory-warning" aria-live="polite">{move || too_large(page)}</p>
        <p class="warning" data-testid="estimate-trainable-warning" aria-live="polite">
            {move || parameters(page).filter(|parameters| parameters.trainable == 0).map(|_| page.t().no_module)}
        </p>
    }
}

/// Returns the model's shape, with the number of classes of the data.
fn described(page: Page) -> Option<ModelShape> {
    let mut shape = page.model.info.get()?.shape.clone();
    if let Some(data) = page.data.info().filter(|data| data.classifies) {
        shape.set_num_labels(data.labels.len().max(1));
    }
    Some(shape)
}

fn parameters(page: Page) -> Option<ParameterCounts> {
    let shape = described(page)?;
    page.form.recipe.with(|recipe| estimate::parameters(recipe, &shape)).ok()
}

fn memory(page: Page) -> Option<Memory> {
    let shape = described(page)?;
    page.form.recipe.with(|recipe| {
        let mut memory = estimate::memory(recipe, &shape, RowShape::largest(recipe, &shape)).ok()?;
        if recipe.training.fp16 || recipe.training.bf16 {
            // The page keeps the model as it was loaded, beside the one that is trained.
            memory.weights += shape.dense_parameters() as f64 * 4.0;
        }
        Some(memory)
    })
}

/// Returns the settings that would need less memory, each with the memory that it would need.
fn less(page: Page) -> Option<String> {
    let shape = described(page)?;
    let savings = page
        .form
        .recipe
        .with(|recipe| estimate::savings(recipe, &shape, RowShape::largest(recipe, &shape)).ok())?;
    let line = |saving: &Saving| format!("{} → {}", saving.assignments.join(", "), size(saving.total));
    let lines: Vec<String> = savings.iter().map(line).collect();
    (!lines.is_empty()).then(|| fill(page.t().memory_less, &[("ways", &lines.join("; "))]))
}

fn trainable(page: Page) -> String {
    let Some(ParameterCounts { trainable, all }) = parameters(page) else { return "—".into() };
    format!("{} ({})", grouped(trainable), percent(trainable as f64, all as f64))
}

fn steps(page: Page) -> String {
    let rows = page.data.info().map_or(0, |info| info.train_rows);
    let plan = page.form.recipe.with(|recipe| estimate::steps(recipe, rows));
    match plan {
        Ok(plan) if rows > 0 => fill(
            page.t().steps_warmup,
            &[("steps", &grouped(plan.total_steps)), ("warmup", &grouped(plan.warmup_steps))],
        ),
        _ => "—".into(),
    }
}

fn parts(page: Page, memory: &Memory) -> String {
    fill(
        page.t().memory_parts,
        &[
            ("weights", &size(memory.weights)),
            ("learning", &size(memory.learning)),
            ("activations", &size(memory.activations)),
            ("scratch", &size(memory.scratch + memory.slack)),
        ],
    )
}

/// Returns a warning if a buffer of the run is too large. A browser does not report a GPU's memory, but it does report the largest size of a buffer.
fn too_large(page: Page) -> Option<String> {
    let memory = memory(page)?;
    let on_gpu = page.model.info.with(|info| info.as_ref().is_some_and(|info| info.device != "CPU"));
    let gpu = page
        .trainer
        .capabilities
        .with(|capabilities| capabilities.as_ref().and_then(|found| found.webgpu.clone()));
    let limit =
        gpu.filter(|_| on_gpu).map(|gpu| gpu.max_buffer_size.min(gpu.max_storage_buffer_binding_size))?;
    (limit > 0 && memory.largest > limit as f64).then(|| {
        fill(page.t().buffer_too_large, &[("size", &size(memory.largest)), ("limit", &bytes(limit))])
    })
}

fn size(value: f64) -> String {
    bytes(value as u64)
}
