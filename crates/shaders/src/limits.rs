//! Limits that the kernels keep to and estimates of memory count with.

/// Logits that the cross entropy holds at once, at most: 16 Mi, 64 MiB of `f32`.
pub const MAX_LOGITS: usize = 1 << 24;

/// Rows of logits that the cross entropy computes at once, at least one.
pub fn logit_rows(vocab_size: usize) -> usize {
    (MAX_LOGITS / vocab_size.max(1)).clamp(1, 1024)
}
