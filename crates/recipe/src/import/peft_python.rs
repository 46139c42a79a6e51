//! Import of Python and notebooks: scripts for PEFT, Transformers, TRL and Unsloth.
//!
//! What the run is given counts: the trainer's model, rows, arguments and adapter. Without a trainer, the calls in the text are the run.

mod adapter;
mod model;
pub(super) mod names;
mod rows;
mod settings;
mod training;

use std::rc::Rc;

use super::collect::Collector;
use super::python::notebook::Notebook;
use super::python::value::{Argument, Call, Val, What};
use super::{ImportFormat, Imported, python};
use crate::source::Source;
use crate::{RecipeError, Warning};

use names::Refused;
pub(super) use names::is_wanted;

/// Most calls that are compared with each other.
const MAX_CALLS: usize = 400;

/// The tool that a script is for: its defaults count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tool {
    Transformers,
    Trl,
    Unsloth,
}

/// What describes the run.
struct Found<'a> {
    text: &'a str,
    calls: &'a [Rc<Call>],
    tool: Tool,
    trainer: Option<Rc<Call>>,
    /// The calls of which one makes the run's arguments.
    arguments: Vec<Rc<Call>>,
    /// Whether the run's arguments are known to be among them, or that there are none.
    arguments_are_known: bool,
    unused_arguments: Vec<Rc<Call>>,
    /// What the trainer's model is made of.
    made: model::Made,
    /// Calls of `get_peft_model` that make the trainer's model.
    wrapped: Vec<Rc<Call>>,
    /// All calls that load a model.
    loads: Vec<Rc<Call>>,
}

impl Found<'_> {
    /// Returns the calls of a name, the last part of a dotted one.
    fn calls_of<'b>(&'b self, name: &'static str) -> impl Iterator<Item = &'b Rc<Call>> {
        self.calls.iter().filter(move |call| call.last() == name)
    }

    /// Whether a parser of the script makes a class of a library from the command line.
    fn is_parsed(&self, class: &str) -> bool {
        use python::value::Kind;
        let is_class = |val: &Val| matches!(val.kind(), Some(Kind::Import(name)) if name.rsplit('.').next() == Some(class));
        let parsers = self.calls_of("TrlParser").chain(self.calls_of("HfArgumentParser"));
        parsers.filter_map(|parser| parser.argument("dataclass_types", Some(0))).any(|argument| {
            match &argument.item.val.what {
                What::List(list) => list.items.iter().any(|item| is_class(&item.val)),
                _ => is_class(&argument.item.val),
            }
        })
    }

    /// Whether a tokenizer is the model's own: it is loaded with the model, or by the same name.
    fn is_own_tokenizer(&self, val: &Val) -> bool {
        use python::value::Kind;
        let load = |val: &Val| match val.kind() {
            Some(Kind::Call(call)) => Some(call.clone()),
            Some(Kind::Element(base, _)) => base.call().cloned(),
            _ => None,
        };
        let templated = val.call().filter(|call| call.last() == "get_chat_template");
        let given = templated.and_then(|call| call.argument("tokenizer", Some(0)));
        let val = given.map_or(val, |argument| &argument.item.val);
        let Some(load) = load(val).filter(|call| call.last() == "from_pretrained") else { return false };
        let models = if self.made.loads.is_empty() { &self.loads } else { &self.made.loads };
        if models.iter().any(|model| Rc::ptr_eq(model, &load)) {
            return true;
        }
        let named = |call: &Call| call.arguments.first().map(|argument| argument.item.val.clone());
        let own = named(&load);
        let is_same = |other: &Val| own.as_ref().is_some_and(|own| own.same(other));
        models.iter().filter_map(|model| named(model)).any(|name| is_same(&name))
            || self.made.name.as_ref().is_some_and(is_same)
    }

    /// Notes that it is not certain what `whom` (the trainer, a function) is given, and that the calls in the text are taken instead.
    fn note_uncertain(&self, collector: &mut Collector<'_>, whom: &str, name: &str, argument: &Argument) {
        let shown = settings::source_of(self.text, &argument.item.span);
        let message = format!(
            "{whom} is given {shown}, which is not certain: what else the text has for {name} is taken"
        );
        collector.note(name, argument.at, message);
    }

    /// Notes that a call which is taken may not run.
    fn note_branch(&self, collector: &mut Collector<'_>, calls: &[Rc<Call>]) {
        if let [one] = calls
            && !one.certain
        {
            let message = format!(
                "{} stands in a branch, or in a function that nothing here calls, and is taken as if it ran",
                one.last()
            );
            collector.note(one.last(), one.at, message);
        }
    }
}

/// Returns the calls among `all` of which one makes a value.
fn candidates(val: &Val, all: &[Rc<Call>]) -> Vec<Rc<Call>> {
    let is_one = |call: &&Rc<Call>| all.iter().any(|known| Rc::ptr_eq(known, call));
    match &val.what {
        What::Either(vals) => vals.iter().filter_map(Val::call).filter(is_one).cloned().collect(),
        _ => val.call().filter(is_one).cloned().into_iter().collect(),
    }
}

/// Imports a script. Returns `None` if it describes no run.
///
/// # Errors
/// If it trains in a way that Lorelei does not have, or is nested too deeply to be read.
pub(super) fn import(source: &Source<'_>) -> Result<Option<Imported>, RecipeError> {
    script(source, std::slice::from_ref(&(0..source.text.len())), &[])
}

/// Imports a notebook. Places are cells and lines in them.
///
/// # Errors
/// The errors of [`import`].
pub(super) fn import_notebook(file: &str, notebook: &Notebook) -> Result<Option<Imported>, RecipeError> {
    let source = Source::new(file, &notebook.text);
    let place = |line: usize| {
        let (cell, line) = notebook.place(line);
        format!("{file}, cell {cell}, line {line}")
    };
    let mut imported = match script(&source, &notebook.ranges, &notebook.passed_over) {
        Ok(Some(imported)) => imported,
        Ok(None) => return Ok(None),
        Err(error) if error.line == 0 => return Err(error),
        Err(error) => {
            return Err(RecipeError { file: place(error.line), line: 0, column: 0, ..error });
        }
    };
    let locate = |warning: &mut Warning| {
        if warning.line > 0 {
            warning.file = place(warning.line);
            (warning.line, warning.column) = (0, 0);
        }
    };
    imported.left_out.iter_mut().for_each(locate);
    imported.warnings.iter_mut().for_each(locate);
    Ok(Some(imported))
}

fn script(
    source: &Source<'_>,
    cells: &[std::ops::Range<usize>],
    passed_over: &[(usize, String)],
) -> Result<Option<Imported>, RecipeError> {
    if !names::may_be_run(source.text) {
        return Ok(None);
    }
    let mut script = python::read(source.text, cells).map_err(|at| {
        let message = "a bracket is not closed, or the nesting is too deep to be read";
        source.locate(Some(at), RecipeError::new("", message))
    })?;
    if !script.calls.iter().any(|call| names::is_run(call.last())) {
        return Ok(None);
    }
    let more = script.calls.len() > MAX_CALLS;
    script.calls.truncate(MAX_CALLS);
    let trainers: Vec<&Rc<Call>> =
        script.calls.iter().filter(|call| names::trainer(call.last()).is_some()).collect();
    refuse(source, &script.calls, &trainers)?;
    let trainer = trainers.iter().find(|call| call.certain).or(trainers.first()).map(|call| (*call).clone());
    let mut collector = Collector::new(source);
    let found = find(source.text, &script.calls, trainer);
    // A piece that is pasted with its indentation is Python for that.
    let is_indented = source.text.trim_start_matches(['\n', '\r']).starts_with([' ', '\t']);
    let errors =
        script.errors.iter().filter(|(_, error)| !(is_indented && error == "Unexpected indentation"));
    for (at, error) in errors.take(3) {
        let message = format!("this is not valid Python ({error}): what stands here may be missing or wrong");
        collector.note("syntax", *at, message);
    }
    if more {
        let message = format!("only the first {MAX_CALLS} calls that describe a run were read");
        collector.remark("calls", message);
    }
    for (cell, magic) in passed_over {
        let message = format!("cell {cell} begins with %%{magic} and is not Python: it was passed over");
        collector.remark("notebook", message);
    }
    take(&mut collector, &found);
    leave_others(&mut collector, &found, &trainers);
    if found.trainer.is_some() || !found.arguments.is_empty() {
        collector.accept();
    }
    let mut imported = collector.finish(ImportFormat::Python)?;
    for all in [&mut imported.left_out, &mut imported.warnings] {
        all.sort_by_key(|warning| (warning.line, warning.column));
        all.dedup();
    }
    Ok(Some(imported))
}

/// Refuses a script that trains in a way that Lorelei does not have, and in no other.
fn refuse(source: &Source<'_>, calls: &[Rc<Call>], trainers: &[&Rc<Call>]) -> Result<(), RecipeError> {
    let is_adapter = |call: &Call| {
        call.last() == "LoraConfig" || call.last() == "get_peft_model" && adapter::is_unsloth(call)
    };
    let has_adapter = calls.iter().any(|call| is_adapter(call));
    for call in calls {
        let Some(refused) = names::refused(call.last()) else { continue };
        let is_method = matches!(refused, Refused::Method(_));
        // Beside a trainer that is known, it is another stage of the script; beside a LoraConfig, another choice.
        if is_method && trainers.is_empty() || !is_method && !has_adapter {
            let message = format!("{} cannot be imported: {refused}", call.last());
            let error = RecipeError::new("", message).with_help(match is_method {
                true => "to learn the good answers alone, give them as completions and use SFTTrainer",
                false => "use LoraConfig",
            });
            return Err(source.locate(Some(call.at), error));
        }
    }
    Ok(())
}

/// Finds what the trainer is given.
fn find<'a>(text: &'a str, calls: &'a [Rc<Call>], trainer: Option<Rc<Call>>) -> Found<'a> {
    let made = trainer.as_ref().and_then(|trainer| trainer.argument("model", Some(0)));
    let made = made.map(|argument| model::made(&argument.item.val)).unwrap_or_default();
    let loads = calls.iter().filter(|call| model::is_model(call)).cloned().collect();
    let mut found = Found {
        text,
        calls,
        tool: Tool::Transformers,
        trainer,
        arguments: Vec::new(),
        arguments_are_known: true,
        unused_arguments: Vec::new(),
        wrapped: made.wrapped.clone(),
        made,
        loads,
    };
    training::arguments_of(&mut found);
    let is_trl = match &found.trainer {
        Some(trainer) => names::trainer(trainer.last()) == Some(true),
        None => found.arguments.iter().any(|call| names::SFT.contains(&call.last())),
    };
    let is_unsloth =
        calls.iter().any(|call| call.name.starts_with("unsloth") || call.name.starts_with("Fast"));
    found.tool = match (is_trl, is_unsloth) {
        (true, true) => Tool::Unsloth,
        (true, false) => Tool::Trl,
        _ => Tool::Transformers,
    };
    found
}

/// Reads the parts of the run.
fn take(collector: &mut Collector<'_>, found: &Found<'_>) {
    if let Some(trainer) = &found.trainer {
        found.note_branch(collector, std::slice::from_ref(trainer));
    }
    if found.trainer.as_ref().is_none_or(|trainer| trainer.certain) {
        found.note_branch(collector, &found.arguments);
    }
    training::functions(collector, found);
    training::import(collector, found);
    training::early_stopping(collector, found);
    let adapter = adapter::find(found);
    adapter::import(collector, found, &adapter);
    model::import(collector, found);
    model::quantization(collector, found);
    rows::import(collector, found);
    for call in found.arguments.iter().filter(|call| call.is_parsed.get()) {
        let message = format!(
            "{} is made from the script's command line: what is not in the file has its default",
            call.last()
        );
        collector.note(call.last(), call.at, message);
    }
    if !found.arguments_are_known {
        let argument = found.trainer.as_ref().and_then(|trainer| trainer.argument("args", Some(1)));
        if let Some(argument) = argument {
            found.note_uncertain(collector, "the trainer", "args", argument);
        }
    }
}

/// Lists the calls that are not the run's.
fn leave_others(collector: &mut Collector<'_>, found: &Found<'_>, trainers: &[&Rc<Call>]) {
    const ANOTHER: &str = "another one is that of the run, and a recipe has one";
    let is_run = |call: &Rc<Call>| found.trainer.as_ref().is_some_and(|trainer| Rc::ptr_eq(trainer, call));
    let others = trainers.iter().filter(|call| !is_run(call)).map(|call| (call.last(), call.at));
    for (name, at) in others.chain(found.unused_arguments.iter().map(|call| (call.last(), call.at))).take(50)
    {
        collector.leave(name, at, ANOTHER);
    }
    let refused = found.calls.iter().filter_map(|call| Some((call, names::refused(call.last())?)));
    for (call, reason) in refused.take(50) {
        collector.leave(call.last(), call.at, reason.to_string());
    }
    for call in found.calls.iter().filter(|call| names::SETTERS.contains(&call.last())).take(50) {
        collector.leave(
            call.last(),
            call.at,
            "it sets several settings at once, which are not certain for that; write them under [training]",
        );
    }
}
