//! TensorBoard's event files: `report_to = "tensorboard"`, with the tags of Transformers' `TensorBoardCallback`.
//!
//! A file is a sequence of TFRecords (length, its checksum, content, its checksum). A content is a protocol buffer `Event`: `wall_time = 1`,
//! `step = 2`, `file_version = 3`, `summary = 5` of `value = 1`, each `tag = 1` and `simple_value = 2`. Nothing else is written, so these few
//! fields need no code generator.

use std::{
    borrow::Cow,
    io,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use lorelei_train::Event;

use crate::appended_file::AppendedFile;

/// An event file that is being written.
pub struct EventFile(AppendedFile);

impl EventFile {
    /// Creates a file in `folder`, under a name that TensorBoard finds.
    ///
    /// # Errors
    ///
    /// If the folder or the file cannot be created.
    pub fn create(folder: &Path) -> io::Result<Self> {
        let name = format!("events.out.tfevents.{}.lorelei.{}.0", now() as u64, std::process::id());
        let mut file = Self(AppendedFile::create(folder.join(name), &[])?);
        let mut event = double(1, now());
        event.extend(bytes(3, b"brain.Event:2"));
        file.record(&event)?;
        Ok(file)
    }

    /// Writes the numbers of a trainer's event.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn write(&mut self, event: &Event) -> io::Result<()> {
        let (step, values): (usize, Vec<(Cow<'_, str>, f64)>) = match event {
            Event::Step(log) => (
                log.step,
                vec![
                    ("train/loss".into(), log.loss),
                    ("train/grad_norm".into(), log.grad_norm),
                    ("train/learning_rate".into(), log.learning_rate),
                    ("train/epoch".into(), log.epoch),
                    ("train/tokens_per_second".into(), log.tokens_per_second),
                ],
            ),
            Event::Evaluated(evaluation) => (
                evaluation.step,
                [
                    ("eval/loss".into(), evaluation.loss()),
                    ("eval/runtime".into(), evaluation.eval_runtime),
                    ("eval/samples_per_second".into(), evaluation.eval_samples_per_second),
                ]
                .into_iter()
                .chain(evaluation.other_metrics().map(|(name, value)| (format!("eval/{name}").into(), value)))
                .collect(),
            ),
            Event::Finished(finished) => (
                finished.steps,
                vec![
                    ("train/train_loss".into(), finished.train_loss),
                    ("train/train_runtime".into(), finished.train_runtime),
                ],
            ),
            _ => return Ok(()),
        };
        let summary: Vec<u8> = values
            .iter()
            .flat_map(|(tag, value)| {
                let mut one = bytes(1, tag.as_bytes());
                one.push(2 << 3 | 5);
                one.extend((*value as f32).to_le_bytes());
                bytes(1, &one)
            })
            .collect();
        let mut event = double(1, now());
        event.push(2 << 3);
        event.extend(varint(step as u64));
        event.extend(bytes(5, &summary));
        self.record(&event)
    }

    fn record(&mut self, content: &[u8]) -> io::Result<()> {
        let length = (content.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked(&length).to_le_bytes());
        record.extend(content);
        record.extend(masked(content).to_le_bytes());
        self.0.append(&record)
    }
}

/// Returns TFRecord's masked checksum: a CRC-32C, rotated and offset so that a record within a record has another checksum.
fn masked(content: &[u8]) -> u32 {
    crc32c::crc32c(content).rotate_right(15).wrapping_add(0xA282_EAD8)
}

/// Returns the seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn double(field: u8, value: f64) -> Vec<u8> {
    let mut out = vec![field << 3 | 1];
    out.extend(value.to_le_bytes());
    out
}

fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    out.extend(varint(content.len() as u64));
    out.extend(content);
    out
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_checksums_are_those_of_the_formats() {
        assert_eq!(varint(300), [0xAC, 0x02]);
        // RFC 3720, B.4: 32 bytes of zeros.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(masked(&[0; 32]), 0x8A91_36AA_u32.rotate_right(15).wrapping_add(0xA282_EAD8));
    }
}
