//! Where the examples of a run are kept: in memory as long as they are few, then in a file that is gone with the program, so that
//! files larger than the memory can be trained on.

use std::{
    borrow::Cow,
    cell::RefCell,
    fs::File,
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
};

use lorelei_data::{DataError, DataErrorKind, Example, ExampleStore, Extent, IGNORE_INDEX};

/// Tokens that are kept in memory.
const IN_MEMORY: usize = 4 << 20;

/// See the module.
pub struct Shelf {
    extents: Vec<Extent>,
    place: Place,
    limit: usize,
}

enum Place {
    Memory { examples: Vec<Example>, tokens: usize },
    Disk { file: RefCell<BufWriter<File>>, starts: Vec<u64>, end: u64 },
}

impl Default for Shelf {
    fn default() -> Self {
        Self::with_limit(IN_MEMORY)
    }
}

impl Shelf {
    fn with_limit(limit: usize) -> Self {
        Self { extents: Vec::new(), place: Place::Memory { examples: Vec::new(), tokens: 0 }, limit }
    }

    /// Puts examples behind those that are there.
    ///
    /// # Errors
    ///
    /// If there is no room for them.
    pub fn extend(&mut self, more: Vec<Example>) -> Result<(), DataError> {
        self.extents.extend(more.iter().map(Extent::from));
        if let Place::Memory { examples, tokens } = &mut self.place {
            *tokens += more.iter().map(|example| example.input_ids.len()).sum::<usize>();
            examples.extend(more);
            if *tokens <= self.limit {
                return Ok(());
            }
            let all = std::mem::take(examples);
            let file = tempfile::tempfile().map_err(cannot("make"))?;
            self.place = Place::Disk {
                file: RefCell::new(BufWriter::with_capacity(1 << 20, file)),
                starts: Vec::new(),
                end: 0,
            };
            return self.write(&all);
        }
        self.write(&more)
    }

    fn write(&mut self, more: &[Example]) -> Result<(), DataError> {
        let Place::Disk { file, starts, end } = &mut self.place else { return Ok(()) };
        for example in more {
            starts.push(*end);
            let bytes = packed(example);
            file.get_mut().write_all(&bytes).map_err(cannot("write"))?;
            *end += bytes.len() as u64;
        }
        Ok(())
    }

    #[cfg(test)]
    fn is_on_disk(&self) -> bool {
        matches!(self.place, Place::Disk { .. })
    }
}

impl ExampleStore for Shelf {
    fn extents(&self) -> Cow<'_, [Extent]> {
        Cow::Borrowed(&self.extents)
    }

    fn example(&self, index: usize) -> Result<Cow<'_, Example>, DataError> {
        match &self.place {
            Place::Memory { examples, .. } => Ok(Cow::Borrowed(&examples[index])),
            Place::Disk { file, starts, end } => {
                let start = starts[index];
                let next = starts.get(index + 1).unwrap_or(end);
                let mut bytes = vec![0; (next - start) as usize];
                let mut file = file.borrow_mut();
                let mut read = || {
                    file.flush()?;
                    file.get_mut().seek(SeekFrom::Start(start))?;
                    file.get_mut().read_exact(&mut bytes)?;
                    // Whatever is written next stands behind the rest.
                    file.get_mut().seek(SeekFrom::End(0))
                };
                read().map_err(cannot("read"))?;
                Ok(Cow::Owned(unpacked(&bytes, self.extents[index].tokens as usize)))
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

/// Ids, then the labels as spans of what is learnt (start and end), where a label is its token's id or nothing; else each label; then what
/// classifiers have besides.
fn packed(example: &Example) -> Vec<u8> {
    let mut words: Vec<u32> = example.input_ids.clone();
    let are_ids = example
        .input_ids
        .iter()
        .zip(&example.labels)
        .all(|(id, label)| *label == IGNORE_INDEX || *label == i64::from(*id));
    if are_ids {
        let mut spans: Vec<(u32, u32)> = Vec::new();
        for (at, label) in (0..).zip(&example.labels) {
            match spans.last_mut() {
                _ if *label == IGNORE_INDEX => {}
                Some((_, end)) if *end == at => *end += 1,
                _ => spans.push((at, at + 1)),
            }
        }
        words.push(spans.len() as u32);
        words.extend(spans.into_iter().flat_map(|(start, end)| [start, end]));
    } else {
        words.push(u32::MAX);
        words.extend(example.labels.iter().map(|label| *label as i32 as u32));
    }
    words.push(example.token_type_ids.len() as u32);
    words.extend(&example.token_type_ids);
    words.extend(example.values.iter().map(|value| value.to_bits()));
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn unpacked(bytes: &[u8], tokens: usize) -> Example {
    let mut words =
        bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    let input_ids: Vec<u32> = words.by_ref().take(tokens).collect();
    let labels = match words.next() {
        Some(u32::MAX) => words.by_ref().take(tokens).map(|label| i64::from(label as i32)).collect(),
        spans => {
            let mut labels = vec![IGNORE_INDEX; tokens];
            for _ in 0..spans.unwrap_or(0) {
                let span =
                    words.next().zip(words.next()).map_or(0..0, |(start, end)| start as usize..end as usize);
                for at in span {
                    labels[at] = i64::from(input_ids[at]);
                }
            }
            labels
        }
    };
    let types = words.next().unwrap_or(0) as usize;
    let token_type_ids = words.by_ref().take(types).collect();
    Example { input_ids, labels, token_type_ids, values: words.map(f32::from_bits).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_away_comes_back() {
        let ids = |from: u32, count: u32| (from..from + count).collect::<Vec<u32>>();
        let learnt = |ids: &[u32]| ids.iter().map(|id| i64::from(*id)).collect::<Vec<i64>>();
        let plain = Example { input_ids: ids(5, 4), labels: learnt(&ids(5, 4)), ..Example::default() };
        let mut masked = plain.clone();
        masked.labels[0] = IGNORE_INDEX;
        masked.labels[2] = IGNORE_INDEX;
        let pair = Example {
            input_ids: ids(1, 3),
            labels: vec![IGNORE_INDEX, 0, 2],
            token_type_ids: vec![0, 1, 1],
            values: vec![0.5, -1.0],
        };
        let hidden = Example { labels: vec![IGNORE_INDEX; 4], ..plain.clone() };
        let long =
            Example { input_ids: ids(0, 70_000), labels: learnt(&ids(0, 70_000)), ..Example::default() };
        let all = [plain, masked, pair, hidden, long, Example::default()];
        for limit in [usize::MAX, 9, 0] {
            let mut shelf = Shelf::with_limit(limit);
            for (at, example) in all.iter().enumerate() {
                shelf.extend(vec![example.clone()]).unwrap();
                // Reading between writes moves nothing.
                assert_eq!(*shelf.example(at / 2).unwrap(), all[at / 2]);
            }
            assert_eq!(shelf.is_on_disk(), limit != usize::MAX);
            for (at, example) in all.iter().enumerate().rev() {
                assert_eq!(*shelf.example(at).unwrap(), *example, "{at} of {limit}");
                assert_eq!(shelf.extents()[at], Extent::from(example));
            }
        }
    }
}
