//! Tests of the readers' memory: files and texts that are damaged at random, or that give wrong sizes, must not make a reader allocate more than four
//! times their own length (and the memory that a parser needs in any case).

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use lorelei_data::read_rows;
use lorelei_formats::{SafetensorsFile, gguf::Gguf};
use lorelei_recipe::{DataSection, Imported, Recipe, decode_link, encode_link};

/// Bytes that a parser may need for an input of any length: tables, buffers, messages.
const IN_ANY_CASE: usize = 256 << 10;

/// The system's allocator, which also records the most memory that was held.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(NOW.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns the largest number of bytes that `read` held.
fn held(read: impl FnOnce()) -> usize {
    let before = NOW.load(Relaxed);
    MOST.store(before, Relaxed);
    read();
    MOST.load(Relaxed) - before
}

/// Returns a GGUF file of one text and one tensor.
fn gguf() -> Vec<u8> {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    let mut put = |number: u64| bytes.extend(number.to_le_bytes());
    put(1);
    put(1);
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    text(&mut bytes, "general.architecture");
    bytes.extend(8u32.to_le_bytes());
    text(&mut bytes, "llama");
    text(&mut bytes, "output.weight");
    bytes.extend(2u32.to_le_bytes());
    bytes.extend(8u64.to_le_bytes());
    bytes.extend(4u64.to_le_bytes());
    bytes.extend(0u32.to_le_bytes());
    bytes.extend(0u64.to_le_bytes());
    bytes.resize(bytes.len().next_multiple_of(32) + 8 * 4 * 4, 0);
    bytes
}

fn safetensors() -> Vec<u8> {
    let header = r#"{"a":{"dtype":"F32","shape":[4,8],"data_offsets":[0,128]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + 128, 0);
    bytes
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn read_gguf(bytes: &[u8]) {
    let _ = Gguf::open(bytes, "x.gguf");
}

fn read_safetensors(bytes: &[u8]) {
    if let Ok(file) = SafetensorsFile::open(bytes, "x.safetensors") {
        let _ = lorelei_formats::TensorSource::read_f32(&file, "a");
    }
}

fn read_recipe(bytes: &[u8]) {
    let _ = Recipe::from_toml(&text(bytes), "x.toml");
}

fn read_python(bytes: &[u8]) {
    let _ = Imported::from_text(&text(bytes), "x.py");
}

fn read_link(bytes: &[u8]) {
    let _ = decode_link(&text(bytes));
}

fn read_json(bytes: &[u8]) {
    read_rows(bytes, "x.json", &DataSection::default()).for_each(drop);
}

#[test]
fn nothing_is_reserved_for_what_is_not_there() {
    let recipe = Recipe::default().to_toml();
    let mut shared = Recipe::default();
    shared.set("lora.r=64").unwrap();
    let python =
        "LoraConfig(r=8, target_modules=[\"q_proj\"])\nTrainingArguments(\"out\", learning_rate=5e-4)\n";
    type Reader = fn(&[u8]);
    let readers: [(&str, Vec<u8>, Reader); 6] = [
        ("gguf", gguf(), read_gguf),
        ("safetensors", safetensors(), read_safetensors),
        ("recipe", recipe.into_bytes(), read_recipe),
        ("python", python.as_bytes().to_vec(), read_python),
        ("link", encode_link(&shared).into_bytes(), read_link),
        ("rows", b"[{\"text\": \"one\"}, {\"input_ids\": [1, 2, 3]}]".to_vec(), read_json),
    ];
    let seed = lorelei_tests::seed();
    let mut state = seed | 1;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for (name, whole, read) in &readers {
        // Memory that is allocated once for all reads is not counted.
        read(whole);
        for _ in 0..2000 {
            let mut bytes = whole.clone();
            for _ in 0..1 + draw(4) {
                let at = draw(bytes.len());
                match draw(4) {
                    // An arbitrary length of eight bytes.
                    0 => bytes[at..].iter_mut().take(8).for_each(|byte| *byte = [0xff, 0x7f, 0, 1][draw(4)]),
                    1 => bytes.truncate(at + 1),
                    _ => bytes[at] = draw(256) as u8,
                }
            }
            let most = held(|| read(&bytes));
            let limit = 4 * bytes.len() + IN_ANY_CASE;
            let again = format!("LORELEI_SEED={seed} damages them alike");
            assert!(most <= limit, "{name}: {most} bytes for {} of {bytes:?} ({again})", bytes.len());
        }
    }
}
