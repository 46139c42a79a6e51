//! Weights that are NaN or infinite.

use crate::ModelError;

/// Bits of the exponent, which are all set in NaN and infinity alone.
const EXPONENT: u32 = 0x7f80_0000;

/// Refuses values of a tensor that are not finite. `first` is the index of the first of `values` in the tensor.
///
/// # Errors
///
/// If one is not.
pub(crate) fn check_finite(name: &str, first: usize, values: &[f32]) -> Result<(), ModelError> {
    // Without a branch in it, the loop over a piece is vectorized.
    let is_finite =
        |piece: &[f32]| piece.iter().fold(true, |all, value| all & (value.to_bits() & EXPONENT != EXPONENT));
    if values.chunks(4096).all(is_finite) {
        return Ok(());
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => {
            Err(ModelError::NotFinite { name: name.to_owned(), index: first + at, value: values[at] })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_that_is_not_finite_is_named() {
        let mut values = vec![f32::MAX; 10_000];
        values[3] = f32::MIN_POSITIVE / 2.0;
        assert!(check_finite("w", 0, &values).is_ok());
        for (at, value) in [(9_999, f32::NAN), (5_000, f32::NEG_INFINITY), (0, f32::INFINITY)] {
            values[at] = value;
            let error = check_finite("w", 100, &values).unwrap_err().to_string();
            assert!(error.contains(&format!("tensor w has {value} at index {}", 100 + at)), "{error}");
        }
    }
}
