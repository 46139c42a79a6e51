//! Limits of the kernels, which estimates of memory use too.

/// Largest number of logits that the cross entropy stores at once: 16 Mi, 64 MiB of `f32`.
pub const MAX_LOGITS: usize = 1 << 24;

/// Returns the number of rows of logits that the cross entropy computes at once, at least one.
pub fn logit_rows(vocab_size: usize) -> usize {
    (MAX_LOGITS / vocab_size.max(1)).clamp(1, 1024)
}
