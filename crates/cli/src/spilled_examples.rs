//! The examples of a run: kept in memory while they are few, then spilled into a file that is deleted when the program ends, so that a run can train
//! on files larger than the memory.

use std::{
    borrow::Cow,
    cell::RefCell,
    fs::File,
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
};

use lorelei_data::{DataError, DataErrorKind, Example, ExampleStore, Extent, IGNORE_INDEX, Target};
use lorelei_session::ExampleSink;

/// Number of tokens that are kept in memory.
const IN_MEMORY: usize = 4 << 20;

/// Examples that spill into a file when they exceed the limit of memory.
pub struct SpilledExamples {
    extents: Vec<Extent>,
    storage: Storage,
    limit: usize,
}

enum Storage {
    Memory { examples: Vec<Example>, tokens: usize },
    Disk { file: RefCell<BufWriter<File>>, starts: Vec<u64>, end: u64 },
}

impl Default for SpilledExamples {
    fn default() -> Self {
        Self::with_limit(IN_MEMORY)
    }
}

impl SpilledExamples {
    fn with_limit(limit: usize) -> Self {
        Self { extents: Vec::new(), storage: Storage::Memory { examples: Vec::new(), tokens: 0 }, limit }
    }

    fn store(&mut self, more: Vec<Example>) -> Result<(), DataError> {
        self.extents.extend(more.iter().map(Extent::from));
        if let Storage::Memory { examples, tokens } = &mut self.storage {
            *tokens += more.iter().map(|example| example.input_ids.len()).sum::<usize>();
            examples.extend(more);
            if *tokens <= self.limit {
                return Ok(());
            }
            let all = std::mem::take(examples);
            let file = tempfile::tempfile().map_err(cannot("make"))?;
            self.storage = Storage::Disk {
                file: RefCell::new(BufWriter::with_capacity(1 << 20, file)),
                starts: Vec::new(),
                end: 0,
            };
            return self.write(&all);
        }
        self.write(&more)
    }

    fn write(&mut self, more: &[Example]) -> Result<(), DataError> {
        let Storage::Disk { file, starts, end } = &mut self.storage else { return Ok(()) };
        for example in more {
            starts.push(*end);
            let bytes = to_bytes(example);
            file.get_mut().write_all(&bytes).map_err(cannot("write"))?;
            *end += bytes.len() as u64;
        }
        Ok(())
    }

    #[cfg(test)]
    fn is_on_disk(&self) -> bool {
        matches!(self.storage, Storage::Disk { .. })
    }
}

impl ExampleSink for SpilledExamples {
    fn push_all(&mut self, examples: Vec<Example>) -> Result<(), DataError> {
        self.store(examples)
    }
}

impl ExampleStore for SpilledExamples {
    fn extents(&self) -> Cow<'_, [Extent]> {
        Cow::Borrowed(&self.extents)
    }

    fn example(&self, index: usize) -> Result<Cow<'_, Example>, DataError> {
        match &self.storage {
            Storage::Memory { examples, .. } => Ok(Cow::Borrowed(&examples[index])),
            Storage::Disk { file, starts, end } => {
                let start = starts[index];
                let next = starts.get(index + 1).unwrap_or(end);
                let mut bytes = vec![0; (next - start) as usize];
                let mut file = file.borrow_mut();
                let mut read = || {
                    file.flush()?;
                    file.get_mut().seek(SeekFrom::Start(start))?;
                    file.get_mut().read_exact(&mut bytes)?;
                    // The next write appends to the file.
                    file.get_mut().seek(SeekFrom::End(0))
                };
                read().map_err(cannot("read"))?;
                Ok(Cow::Owned(from_bytes(&bytes, self.extents[index].tokens as usize)))
            }
        }
    }
}

fn cannot(what: &'static str) -> impl Fn(io::Error) -> DataError {
    move |error| {
        DataError::new(
            DataErrorKind::Read,
            format!(
                "cannot {what} the file that holds the tokens, in {}: {error}",
                std::env::temp_dir().display()
            ),
            "TMPDIR names a folder with more room",
        )
    }
}

/// Kinds of a target, written before its value: spans of learnt tokens, labels of tokens, tags, a class, several classes or a number.
const SPANS: u32 = 0;
const TOKENS: u32 = 1;
const TAGS: u32 = 2;
const CLASS: u32 = 3;
const CLASSES: u32 = 4;
const NUMBER: u32 = 5;

/// Encodes an example in words of 4 bytes: the ids, the count of the `token_type_ids`, these, the kind of the target and its value.
fn to_bytes(example: &Example) -> Vec<u8> {
    let mut words: Vec<u32> = example.input_ids.clone();
    words.push(example.token_type_ids.len() as u32);
    words.extend(&example.token_type_ids);
    let as_words = |labels: &[i64]| labels.iter().map(|label| *label as i32 as u32).collect::<Vec<_>>();
    match &example.target {
        Target::Tokens(labels) => match learnt_spans(&example.input_ids, labels) {
            Some(spans) => {
                words.push(SPANS);
                words.extend(spans.into_iter().flat_map(|(start, end)| [start, end]));
            }
            None => {
                words.push(TOKENS);
                words.extend(as_words(labels));
            }
        },
        Target::Tags(labels) => {
            words.push(TAGS);
            words.extend(as_words(labels));
        }
        Target::Class(class) => words.extend([CLASS, *class]),
        Target::Classes(values) => {
            words.push(CLASSES);
            words.extend(values.iter().map(|value| value.to_bits()));
        }
        Target::Number(number) => words.extend([NUMBER, number.to_bits()]),
    }
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// Returns the spans `(start, end)` of learnt tokens, or `None` where a label is neither its token's id nor ignored.
fn learnt_spans(input_ids: &[u32], labels: &[i64]) -> Option<Vec<(u32, u32)>> {
    let mut spans: Vec<(u32, u32)> = Vec::new();
    for (at, (id, label)) in (0..).zip(input_ids.iter().zip(labels)) {
        match spans.last_mut() {
            _ if *label == IGNORE_INDEX => {}
            _ if *label != i64::from(*id) => return None,
            Some((_, end)) if *end == at => *end += 1,
            _ => spans.push((at, at + 1)),
        }
    }
    Some(spans)
}

/// Decodes an example of `tokens` tokens that [`to_bytes`] encoded.
fn from_bytes(bytes: &[u8], tokens: usize) -> Example {
    let mut words =
        bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    let input_ids: Vec<u32> = words.by_ref().take(tokens).collect();
    let types = words.next().unwrap_or(0) as usize;
    let token_type_ids = words.by_ref().take(types).collect();
    let kind = words.next();
    let rest: Vec<u32> = words.collect();
    let labels = || rest.iter().map(|label| i64::from(*label as i32)).collect();
    let target = match kind {
        Some(TOKENS) => Target::Tokens(labels()),
        Some(TAGS) => Target::Tags(labels()),
        Some(CLASS) => Target::Class(rest.first().copied().unwrap_or(0)),
        Some(CLASSES) => Target::Classes(rest.iter().copied().map(f32::from_bits).collect()),
        Some(NUMBER) => Target::Number(rest.first().copied().map_or(0.0, f32::from_bits)),
        // This process wrote the file: there is no other kind.
        _ => Target::Tokens(from_spans(&input_ids, &rest)),
    };
    Example { input_ids, token_type_ids, target }
}

/// Returns the labels whose learnt spans are `spans`.
fn from_spans(input_ids: &[u32], spans: &[u32]) -> Vec<i64> {
    let mut labels = vec![IGNORE_INDEX; input_ids.len()];
    for span in spans.chunks_exact(2) {
        let span = span[0] as usize..span[1] as usize;
        let learnt = input_ids[span.clone()].iter().map(|id| i64::from(*id));
        labels[span].iter_mut().zip(learnt).for_each(|(label, id)| *label = id);
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_come_back_as_they_were() {
        let ids = |from: u32, count: u32| (from..from + count).collect::<Vec<u32>>();
        let learnt = |ids: &[u32]| ids.iter().map(|id| i64::from(*id)).collect::<Vec<i64>>();
        let plain = Example::tokens(ids(5, 4), learnt(&ids(5, 4)));
        let masked = Example::tokens(ids(5, 4), vec![IGNORE_INDEX, 6, IGNORE_INDEX, 8]);
        let other_labels = Example::tokens(ids(1, 3), vec![IGNORE_INDEX, 0, 2]);
        let hidden = Example::tokens(ids(5, 4), vec![IGNORE_INDEX; 4]);
        let long = Example::tokens(ids(0, 70_000), learnt(&ids(0, 70_000)));
        let targets = [
            Target::Tags(vec![IGNORE_INDEX, 0, 2]),
            Target::Class(7),
            Target::Classes(vec![0.0, 1.0, 1.0]),
            Target::Number(-2.5),
        ];
        let classified =
            targets.map(|target| Example { input_ids: ids(1, 3), token_type_ids: vec![0, 1, 1], target });
        let mut all = vec![plain, masked, other_labels, hidden, long, Example::default()];
        all.extend(classified);
        for limit in [usize::MAX, 9, 0] {
            let mut spilled = SpilledExamples::with_limit(limit);
            for (at, example) in all.iter().enumerate() {
                spilled.push_all(vec![example.clone()]).unwrap();
                // Reads between writes do not move the place of the next write.
                assert_eq!(*spilled.example(at / 2).unwrap(), all[at / 2]);
            }
            assert_eq!(spilled.is_on_disk(), limit != usize::MAX);
            for (at, example) in all.iter().enumerate().rev() {
                assert_eq!(*spilled.example(at).unwrap(), *example, "{at} of {limit}");
                assert_eq!(spilled.extents()[at], Extent::from(example));
            }
        }
    }
}
