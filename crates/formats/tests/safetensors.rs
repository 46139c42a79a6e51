//! Reading and writing of safetensors: compared with the safetensors crate, with hostile headers, with damage.

mod common;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::time::Instant;

use half::{bf16, f16};
use lorelei_formats::{
    Dtype, ErrorKind, FormatError, Place, SafetensorsFile, SafetensorsWriter, ShardedSafetensors, TensorData,
    TensorSource, TensorSpec, to_bytes,
};
use proptest::prelude::*;
use safetensors::SafeTensors;

fn pt() -> BTreeMap<String, String> {
    BTreeMap::from([("format".to_owned(), "pt".to_owned())])
}

/// Returns a file with any header and `data` bytes of zeros.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn refusal(bytes: &[u8]) -> FormatError {
    SafetensorsFile::open(bytes, "m.safetensors").map(|_| ()).unwrap_err()
}

fn sample() -> Vec<u8> {
    let floats = [1.0, -2.5, 65504.0, 0.1];
    to_bytes(
        &[
            (TensorSpec::new("half", Dtype::F16, [2, 2]), TensorData::F32(&floats)),
            (TensorSpec::new("b", Dtype::F32, [4]), TensorData::F32(&floats)),
            (TensorSpec::new("brain", Dtype::BF16, [4, 1]), TensorData::F32(&floats)),
            (TensorSpec::new("a", Dtype::F32, []), TensorData::F32(&[7.0])),
            (TensorSpec::new("wide", Dtype::F64, [2]), TensorData::F32(&floats[..2])),
            (TensorSpec::new("none", Dtype::F32, [0, 3]), TensorData::F32(&[])),
            (TensorSpec::new("ids", Dtype::I64, [2]), TensorData::I64(&[-1, i64::MAX])),
            (TensorSpec::new("bytes", Dtype::U8, [3]), TensorData::I64(&[0, 128, 255])),
            (TensorSpec::new("small", Dtype::I16, [2]), TensorData::I64(&[-32768, 32767])),
            (TensorSpec::new("mask", Dtype::Bool, [3]), TensorData::I64(&[1, 0, 1])),
        ],
        &pt(),
    )
    .unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let bytes = sample();
    let file = SafetensorsFile::open(bytes, "sample").unwrap();
    assert_eq!(*file.metadata(), pt());
    let floats = [1.0, -2.5, 65504.0, 0.1];
    assert_eq!(file.read_f32("b").unwrap(), floats);
    assert_eq!(file.read_f32("a").unwrap(), [7.0]);
    assert_eq!(file.read_f32("wide").unwrap(), floats[..2]);
    assert!(file.read_f32("none").unwrap().is_empty());
    assert_eq!(file.read_f32("half").unwrap(), floats.map(|x| f16::from_f32(x).to_f32()));
    assert_eq!(file.read_f32("brain").unwrap(), floats.map(|x| bf16::from_f32(x).to_f32()));
    assert_eq!(file.read_i64("ids").unwrap(), [-1, i64::MAX]);
    assert_eq!(file.read_i64("bytes").unwrap(), [0, 128, 255]);
    assert_eq!(file.read_i64("small").unwrap(), [-32768, 32767]);
    assert_eq!(file.read_i64("mask").unwrap(), [1, 0, 1]);
    assert_eq!(file.info("brain").unwrap().shape, [4, 1]);
    assert_eq!(file.infos().len(), 10);
}

#[test]
fn the_safetensors_crate_reads_and_writes_the_same_bytes() {
    let bytes = sample();
    let theirs = SafeTensors::deserialize(&bytes).unwrap();
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let again = safetensors::serialize(theirs.iter(), Some(metadata)).unwrap();
    assert_eq!(again, bytes);
}

#[test]
fn rounding_is_to_nearest_even() {
    // Halfway between two neighbours, below and above an even one.
    let ties = [1.0 + 1.0 / 2048.0, 1.0 + 3.0 / 2048.0, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0];
    let bytes = to_bytes(
        &[
            (TensorSpec::new("half", Dtype::F16, [2]), TensorData::F32(&ties[..2])),
            (TensorSpec::new("brain", Dtype::BF16, [2]), TensorData::F32(&ties[2..])),
        ],
        &BTreeMap::new(),
    )
    .unwrap();
    let file = SafetensorsFile::open(bytes, "ties").unwrap();
    assert_eq!(file.read_f32("half").unwrap(), [1.0, 1.0 + 2.0 / 1024.0]);
    assert_eq!(file.read_f32("brain").unwrap(), [1.0, 1.0 + 2.0 / 128.0]);
    assert!(file.metadata().is_empty());
}

#[test]
fn a_tensor_larger_than_a_piece_is_whole() {
    let values: Vec<f32> = (0..1_500_000).map(|i| i as f32).collect();
    let spec = TensorSpec::new("w", Dtype::F32, [1500, 1000]);
    let mut writer = SafetensorsWriter::new(Vec::new(), &[spec], &BTreeMap::new()).unwrap();
    for part in values.chunks(1_000_001) {
        writer.write_f32("w", part).unwrap();
    }
    let file = SafetensorsFile::open(writer.finish().unwrap(), "w").unwrap();
    assert!(file.read_f32("w").unwrap() == values);
}

#[test]
fn the_wrong_question_is_an_error_that_names_the_tensor() {
    let file = SafetensorsFile::open(sample(), "sample").unwrap();
    for error in [file.read_i64("b").unwrap_err(), file.read_f32("ids").unwrap_err()] {
        assert_eq!(error.kind, ErrorKind::Misuse);
    }
    let error = file.read_f32("absent").unwrap_err();
    assert_eq!((error.kind, &error.place), (ErrorKind::Missing, &Place::Tensor("absent".to_owned())));
    assert!(error.to_string().starts_with("sample: tensor \"absent\": "), "{error}");
    let bytes =
        to_bytes(&[(TensorSpec::new("u", Dtype::U64, [1]), TensorData::I64(&[i64::MAX]))], &BTreeMap::new());
    let mut bytes = bytes.unwrap();
    *bytes.last_mut().unwrap() = 0xFF;
    let file = SafetensorsFile::open(bytes, "u").unwrap();
    assert_eq!(file.read_i64("u").unwrap_err().kind, ErrorKind::Unsupported);
}

#[test]
fn hostile_headers_are_refused() {
    const ONE: &str = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let huge = 1u64 << 60;
    for (bytes, word) in [
        (vec![], "too few"),
        (vec![1; 7], "too few"),
        (u64::MAX.to_le_bytes().to_vec(), "announced"),
        ((100_000_001u64).to_le_bytes().to_vec(), "announced"),
        (9u64.to_le_bytes().iter().chain(b"{}").copied().collect(), "announced"),
        (file("", 0), "does not start"),
        (file(" {}", 0), "does not start"),
        (file("[]", 0), "does not start"),
        (file("{\"a\":", 0), "not valid"),
        (file("{} x", 0), "not valid"),
        (file("{}", 1), "the last tensor ends here"),
        (file(&"{\"a\":".repeat(1000), 0), "not valid"),
        (file(&format!(r#"{{"a":{ONE},"a":{ONE}}}"#), 4), "there twice"),
        (file(&format!(r#"{{"a":{ONE},"\u0061":{ONE}}}"#), 4), "there twice"),
        (file(r#"{"__metadata__":{},"__metadata__":{}}"#, 0), "duplicate"),
        (file(r#"{"__metadata__":{"a":1}}"#, 0), "not valid"),
        (file(r#"{"a":{"dtype":"F32","shape":[1]}}"#, 4), "not valid"),
        (file(r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4), "not valid"),
        (file(r#"{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}"#, 4), "not valid"),
        (file(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}"#, 8), "are not the 4"),
        (file(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 3), "end at 4"),
        (file(r#"{"a":{"dtype":"F32","shape":[0],"data_offsets":[8,0]}}"#, 8), "hole"),
        (file(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8), "hole"),
        (file(&format!(r#"{{"a":{ONE},"b":{ONE}}}"#), 4), "overlap"),
        (
            file(&format!(r#"{{"a":{{"dtype":"U8","shape":[{huge},{huge}],"data_offsets":[0,1]}}}}"#), 1),
            "too large",
        ),
        (
            file(&format!(r#"{{"a":{{"dtype":"F64","shape":[{}],"data_offsets":[0,8]}}}}"#, u64::MAX), 8),
            "too large",
        ),
        (
            file(&format!(r#"{{"a":{{"dtype":"U8","shape":[{huge}],"data_offsets":[0,{huge}]}}}}"#), 1),
            "end at 1152921504606846976",
        ),
        (
            file(
                &format!(r#"{{"a":{{"dtype":"U8","shape":[{}1],"data_offsets":[0,1]}}}}"#, "1,".repeat(99)),
                1,
            ),
            "100 dimensions",
        ),
        (file(&format!(r#"{{"a":{:?}}}"#, "x".repeat(100_000)), 0), "not valid"),
        (file(r#"{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}"#, 1), "F8_E4M3"),
    ] {
        let error = refusal(&bytes);
        assert!(error.to_string().contains(word), "{word}: {error}");
        assert!(error.to_string().len() < 1000, "{word}");
    }
    let mut not_utf8 = file("{\"a\": 0}", 0);
    not_utf8[10] = 0xFF;
    assert_eq!(refusal(&not_utf8).place, Place::Byte(10));
}

#[test]
fn the_writer_takes_every_value_once_and_in_order() {
    let specs = [
        TensorSpec::new("x", Dtype::F16, [2]),
        TensorSpec::new("y", Dtype::F32, [1]),
        TensorSpec::new("n", Dtype::I8, [1]),
        TensorSpec::new("empty", Dtype::F32, [0]),
    ];
    let new = || SafetensorsWriter::new(Vec::new(), &specs, &BTreeMap::new()).unwrap();
    let order: Vec<_> = new().order().iter().map(|spec| spec.name.clone()).collect();
    assert_eq!(order, ["empty", "y", "x", "n"]);

    let mut writer = new();
    assert!(writer.write_f32("x", &[1.0]).is_err(), "out of turn");
    writer.write_f32("y", &[1.0]).unwrap();
    assert!(writer.write_f32("y", &[1.0]).is_err(), "twice");
    assert!(writer.write_f32("x", &[1.0; 3]).is_err(), "too many");
    writer.write_f32("x", &[1.0; 2]).unwrap();
    assert!(writer.write_f32("n", &[1.0]).is_err(), "floats for integers");
    assert!(writer.write_i64("n", &[128]).is_err(), "out of range");
    writer.write_i64("n", &[-128]).unwrap();
    assert!(writer.write_i64("n", &[0]).is_err(), "nothing is left");
    assert!(writer.write_f32("unknown", &[]).is_err());
    assert!(writer.finish().is_ok());

    let mut writer = new();
    writer.write_f32("y", &[1.0]).unwrap();
    writer.write_f32("x", &[1.0]).unwrap();
    let error = writer.finish().unwrap_err();
    assert_eq!(error.place, Place::Tensor("x".to_owned()));

    for names in [["a", "a"], ["a", "__metadata__"]] {
        let specs = names.map(|name| TensorSpec::new(name, Dtype::F32, [1]));
        assert!(SafetensorsWriter::new(Vec::new(), &specs, &BTreeMap::new()).is_err());
    }
    let huge = [TensorSpec::new("a", Dtype::F32, [usize::MAX, 2])];
    assert!(SafetensorsWriter::new(Vec::new(), &huge, &BTreeMap::new()).is_err());
}

#[test]
fn long_headers_take_time_in_proportion() {
    let header = |count: usize| {
        let one = |index: usize| {
            format!(r#""t{index}":{{"dtype":"U8","shape":[1],"data_offsets":[{index},{}]}}"#, index + 1)
        };
        // The last come first, so that they have to be sorted.
        let tensors: Vec<String> = (0..count).rev().map(one).collect();
        file(&format!("{{{}}}", tensors.join(",")), count)
    };
    common::assert_linear("tensors", 100_000, |count| {
        let bytes = header(count);
        let started = Instant::now();
        assert_eq!(SafetensorsFile::open(&bytes[..], "many").unwrap().infos().len(), count);
        started.elapsed()
    });
    common::assert_linear("an index", 100_000, |count| {
        let map: Vec<String> = (0..count).map(|index| format!(r#""t{index}":"x.safetensors""#)).collect();
        let (index, bytes) = (format!(r#"{{"weight_map":{{{}}}}}"#, map.join(",")), header(count));
        let started = Instant::now();
        let model = ShardedSafetensors::open(&index, "index", |_| Ok(&bytes[..])).unwrap();
        assert_eq!(model.infos().len(), count);
        started.elapsed()
    });
}

fn shard(name: &str, value: f32) -> Vec<u8> {
    let spec = TensorSpec::new(name, Dtype::F32, [1]);
    to_bytes(&[(spec, TensorData::F32(&[value]))], &pt()).unwrap()
}

fn open_shards(index: &str) -> Result<ShardedSafetensors<Vec<u8>>, FormatError> {
    ShardedSafetensors::open(index, "model.safetensors.index.json", |name| match name {
        "one.safetensors" => Ok(shard("a", 1.0)),
        "two.safetensors" => Ok(shard("b", 2.0)),
        _ => Err(io::ErrorKind::NotFound.into()),
    })
}

#[test]
fn shards_make_one_model() {
    let model = open_shards(
        r#"{"metadata":{"total_size":8},"weight_map":{"b":"two.safetensors","a":"one.safetensors"}}"#,
    )
    .unwrap();
    assert_eq!(model.read_f32("a").unwrap(), [1.0]);
    assert_eq!(model.read_f32("b").unwrap(), [2.0]);
    assert_eq!(model.infos().len(), 2);
    assert_eq!(model.info("b").unwrap().shape, [1]);
    assert_eq!(model.read_f32("c").unwrap_err().kind, ErrorKind::Missing);
}

#[test]
fn broken_indices_are_refused() {
    for (index, word) in [
        (r#"{"weight_map":{"a":"three.safetensors"}}"#, "three.safetensors"),
        (r#"{"weight_map":{"b":"one.safetensors"}}"#, "says that it is in this file"),
        (r#"{"weight_map":{"a":"one.safetensors","a":"two.safetensors"}}"#, "there twice"),
        (r#"{"weight_map":{}}"#, "empty"),
        (r#"{}"#, "weight_map"),
        ("", "not a safetensors index"),
    ] {
        let error = open_shards(index).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    for name in [
        "../x.safetensors",
        "/x.safetensors",
        "a/b.safetensors",
        "a\\\\b.safetensors",
        "C:x.safetensors",
        "..safetensors",
        ".safetensors",
        "..",
        "",
        "x.bin",
        "a\\u0000.safetensors",
    ] {
        let index = format!(r#"{{"weight_map":{{"a":"{name}"}}}}"#);
        let error = ShardedSafetensors::<Vec<u8>>::open(&index, "i", |_| panic!("{name} was opened"));
        assert!(error.map(|_| ()).unwrap_err().to_string().contains("plain name"), "{name}");
    }
}

/// Checks that a file that opens can be read without a panic, with the same result as in the safetensors crate.
fn probe(bytes: &[u8]) {
    let ours = SafetensorsFile::open(bytes, "mutant");
    if let Ok(file) = &ours {
        for info in file.infos() {
            let _ = file.read_f32(&info.name);
            let _ = file.read_i64(&info.name);
        }
        assert!(SafeTensors::deserialize(bytes).is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_truncation_is_a_file(cut in 0usize..1000) {
        let bytes = sample();
        let cut = cut % bytes.len();
        prop_assert!(SafetensorsFile::open(&bytes[..cut], "cut").is_err());
    }

    #[test]
    fn no_mutation_panics(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = sample();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        probe(&bytes);
    }

    #[test]
    fn no_bytes_panic(header in "[\\{\\}\\[\\]\",:0-9a-zA-Z_]{0,80}", data in 0usize..16) {
        probe(&file(&format!("{{{header}"), data));
    }

    #[test]
    fn any_tensors_come_back(shapes in prop::collection::vec(prop::collection::vec(0usize..5, 0..4), 1..6)) {
        let tensors: Vec<_> = shapes.iter().enumerate().map(|(i, shape)| {
            let dtype = [Dtype::F32, Dtype::F64][i % 2];
            let values: Vec<f32> = (0..shape.iter().product()).map(|v| v as f32 - 3.5).collect();
            (TensorSpec::new(format!("t\"{i}\n"), dtype, shape.clone()), values)
        }).collect();
        let borrowed: Vec<_> =
            tensors.iter().map(|(spec, values)| (spec.clone(), TensorData::F32(values))).collect();
        let bytes = to_bytes(&borrowed, &pt()).unwrap();
        prop_assert!(SafeTensors::deserialize(&bytes).is_ok());
        let file = SafetensorsFile::open(bytes, "t").unwrap();
        for (spec, values) in &tensors {
            prop_assert_eq!(&file.info(&spec.name).unwrap().shape, &spec.shape);
            prop_assert_eq!(&file.read_f32(&spec.name).unwrap(), values);
        }
    }
}
