//! Random orders that are the same on every platform: ChaCha8 words and 64-bit arithmetic, never `usize`.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Use of a stream of random numbers, so that no two uses of one seed see the same numbers.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
    /// The order of an epoch.
    Epoch(u64),
    /// The choice of validation rows.
    Split,
}

/// Creates the generator of `stream` under `seed`.
pub(crate) fn generator(seed: u64, stream: Stream) -> ChaCha8Rng {
    let (tag, index): (u64, u64) = match stream {
        Stream::Epoch(epoch) => (1, epoch),
        Stream::Split => (2, 0),
    };
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&tag.to_le_bytes());
    key[16..24].copy_from_slice(&index.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// Draws uniformly from `0..n`, without the bias of a plain remainder: draws past the last whole multiple of `n` are refused.
fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    // The top 2^64 mod n values would favour the small remainders.
    let surplus = (u64::MAX % n + 1) % n;
    loop {
        let draw = rng.next_u64();
        if draw <= u64::MAX - surplus {
            return draw % n;
        }
    }
}

/// Shuffles `0..n` by Fisher-Yates.
pub(crate) fn permutation(n: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        let pick = below(rng, last as u64 + 1) as usize;
        order.swap(last, pick);
    }
    order
}
