//! Random inputs and comparisons.

use std::time::{SystemTime, UNIX_EPOCH};

use burn::tensor::{Device, DeviceKind, Int, Tensor, TensorData};
use lorelei_kernels::{PackedForm, PackedKind};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Variable that sets the seed of a run, so that a test repeats its random numbers.
const SEED: &str = "LORELEI_SEED";

/// Random numbers that differ in every run. A test that fails while it holds them prints how to repeat them.
pub struct Random {
    generator: ChaCha8Rng,
    what: &'static str,
    seed: u64,
}

impl Random {
    /// Creates the numbers of the test `what`.
    pub fn new(what: &'static str) -> Self {
        let seed = match std::env::var(SEED) {
            Ok(seed) => seed.parse().unwrap_or_else(|_| panic!("{SEED} is {seed:?}, which is no seed")),
            Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
        };
        Self { generator: ChaCha8Rng::seed_from_u64(seed), what, seed }
    }

    fn word(&mut self) -> u32 {
        self.generator.next_u32()
    }

    pub fn float(&mut self) -> f32 {
        (self.word() >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn below(&mut self, bound: u32) -> i32 {
        (self.word() % bound) as i32
    }

    /// Draws the words of a packed matrix: any bits, with scales between 0.0625 and 2.
    pub fn packed(&mut self, form: PackedForm) -> Vec<i32> {
        let mut bytes: Vec<u8> = (0..form.bytes()).map(|_| self.word() as u8).collect();
        for block in bytes.chunks_mut(form.kind.block_bytes()) {
            let halves = if form.kind == PackedKind::Q4_1 { 2 } else { 1 };
            for half in 0..halves {
                // Exponents 11 to 15, either sign.
                let exponent = 11 + self.below(5) as u16;
                let bits = (self.word() as u16 & 0x83ff) | exponent << 10;
                block[2 * half..2 * half + 2].copy_from_slice(&bits.to_le_bytes());
            }
        }
        form.words(&bytes).unwrap()
    }

    pub fn data<const D: usize>(&mut self, shape: [usize; D]) -> TensorData {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| self.float()).collect();
        TensorData::new(values, shape)
    }

    pub fn ints<const D: usize>(&mut self, shape: [usize; D], bound: u32) -> TensorData {
        let values: Vec<i32> = (0..shape.iter().product()).map(|_| self.below(bound)).collect();
        TensorData::new(values, shape)
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: {SEED}={} draws the same numbers again", self.what, self.seed);
        }
    }
}

/// Returns the software Vulkan driver that the tests run wgpu on. Fails if there is none.
pub fn wgpu() -> Device {
    Device::wgpu(DeviceKind::DefaultDevice)
}

pub fn float<const D: usize>(data: &TensorData, device: &Device) -> Tensor<D> {
    Tensor::from_data(data.clone(), device)
}

pub fn int<const D: usize>(data: &TensorData, device: &Device) -> Tensor<D, Int> {
    Tensor::from_data(data.clone(), device)
}

pub fn host(data: TensorData) -> Vec<f32> {
    data.try_into_vec::<f32>().unwrap()
}

/// Fails unless the largest difference is at most `tolerance` times the largest value. NaN always fails.
pub fn assert_close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    let scale = want.iter().fold(1e-6f32, |max, v| max.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let close = (g - w).abs() <= tolerance * scale;
        assert!(close, "{what}[{i}]: {g} is not {w} (scale {scale}, tolerance {tolerance:e})");
    }
}
