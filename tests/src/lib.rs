//! Fixtures and comparisons for the end-to-end tests.

use std::path::PathBuf;

/// A file or folder under `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// Fails unless the largest difference is at most `tolerance` of the largest value. NaN never passes.
pub fn assert_close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    let scale = want.iter().fold(1e-6f32, |max, v| max.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let close = (g - w).abs() <= tolerance * scale;
        assert!(close, "{what}[{i}]: {g} is not {w} (scale {scale}, tolerance {tolerance:e})");
    }
}
