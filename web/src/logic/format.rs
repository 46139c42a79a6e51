//! Formatting of numbers for people.

/// Formats a whole number: `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats a number of bytes: `1.5 GB`; a kB is 1000 bytes.
pub fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 {
            return if unit == "B" || value >= 99.95 {
                format!("{value:.0} {unit}")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// Formats a duration in seconds: `7 s`, `4:05`, `1:02:09`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "—".into();
    }
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m}:{s:02}"),
        (h, m, s) => format!("{h}:{m:02}:{s:02}"),
    }
}

/// Formats a loss or a norm: `2.3456`, or `1.20e-5` and `3.40e9` below 1e-3 and from 1e6 on.
pub fn decimal(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || !value.is_finite() || (1e-3..1e6).contains(&size) {
        format!("{value:.4}")
    } else {
        format!("{value:.2e}")
    }
}

/// Formats a learning rate: `2.00e-3`.
pub fn rate(value: f64) -> String {
    if value == 0.0 { "0".into() } else { format!("{value:.2e}") }
}

/// Formats a share: `12.3 %`, `0.0123 %`.
pub fn percent(part: f64, whole: f64) -> String {
    let share = if whole > 0.0 { 100.0 * part / whole } else { 0.0 };
    if share == 0.0 || share >= 1.0 { format!("{share:.1} %") } else { format!("{share:.4} %") }
}

/// Splits the name of a stored model, `owner/name/revision` or `owner/name@revision`, into the hub's id and the revision.
pub fn id_and_revision(name: &str) -> (&str, &str) {
    let second_slash = name.match_indices('/').nth(1).map(|(at, _)| at);
    // A revision may contain either.
    let cut = name.find('@').into_iter().chain(second_slash).min();
    cut.map_or((name, "main"), |at| (&name[..at], &name[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([grouped(0), grouped(999), grouped(1234567)], ["0", "999", "1,234,567"]);
        assert_eq!(
            [bytes(0), bytes(999), bytes(1_500), bytes(999_600), bytes(5_000_000_000_000)],
            ["0 B", "999 B", "1.5 kB", "1.0 MB", "5.0 TB"]
        );
        assert_eq!(
            [duration(7.4), duration(245.0), duration(3729.0), duration(f64::NAN)],
            ["7 s", "4:05", "1:02:09", "—"]
        );
        assert_eq!(
            [decimal(2.34567), decimal(0.00001234), decimal(0.0), rate(2e-3)],
            ["2.3457", "1.23e-5", "0.0000", "2.00e-3"]
        );
        assert_eq!(
            [percent(1.0, 8.0), percent(1.0, 10000.0), percent(1.0, 0.0)],
            ["12.5 %", "0.0100 %", "0.0 %"]
        );
    }

    #[test]
    fn a_stored_model_is_an_id_and_a_revision() {
        assert_eq!(id_and_revision("a/b@v1"), ("a/b", "v1"));
        assert_eq!(id_and_revision("a/b/refs/pr/1"), ("a/b", "refs/pr/1"));
        assert_eq!(id_and_revision("a/b@refs/pr/1"), ("a/b", "refs/pr/1"));
        assert_eq!(id_and_revision("a/b/v@1"), ("a/b", "v@1"));
        assert_eq!(id_and_revision("a/b"), ("a/b", "main"));
    }
}
