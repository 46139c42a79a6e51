//! The date that `strftime_now` gives to a chat template: UTC, from seconds since 1970.

use std::fmt::Write as _;

use chrono::{
    DateTime, Utc,
    format::{Item, Numeric, StrftimeItems},
};

/// Returns the seconds since 1970 by this machine's clock, `None` where there is no clock to read (wasm32 without a host).
pub(crate) fn now() -> Option<i64> {
    #[cfg(target_arch = "wasm32")]
    return None;
    #[cfg(not(target_arch = "wasm32"))]
    {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_secs()).ok()
    }
}

/// Formats seconds since 1970 as Python's `strftime` does in the C locale.
///
/// # Errors
///
/// If the format has a directive that is not known, or that means another thing in Python.
pub(crate) fn strftime(seconds: i64, format: &str) -> Result<String, String> {
    let unknown = || format!("strftime_now does not know each directive of {format:?}");
    // Both limits are far beyond any date that a calendar is asked for.
    let seconds = seconds.clamp(DateTime::<Utc>::MIN_UTC.timestamp(), DateTime::<Utc>::MAX_UTC.timestamp());
    let when = DateTime::from_timestamp(seconds, 0).ok_or_else(unknown)?;
    let items = StrftimeItems::new(format).parse().map_err(|_| unknown())?;
    // Python's %f means microseconds.
    if items.iter().any(|item| matches!(item, Item::Numeric(Numeric::Nanosecond, _))) {
        return Err(unknown());
    }
    let mut text = String::new();
    write!(text, "{}", when.format_with_items(items.iter())).map_err(|_| unknown())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_python() {
        // datetime.fromtimestamp(n, timezone.utc).strftime("%Y-%m-%d %a %j %H:%M:%S")
        let cases = [
            (0, "1970-01-01 Thu 001 00:00:00"),
            (951_782_400, "2000-02-29 Tue 060 00:00:00"),
            (1_078_012_799, "2004-02-28 Sat 059 23:59:59"),
            (1_735_603_200, "2024-12-31 Tue 366 00:00:00"),
            (1_740_787_200, "2025-03-01 Sat 060 00:00:00"),
            (-1, "1969-12-31 Wed 365 23:59:59"),
            (4_107_542_400, "2100-03-01 Mon 060 00:00:00"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(strftime(seconds, "%Y-%m-%d %a %j %H:%M:%S").unwrap(), expected);
        }
    }

    #[test]
    fn directives() {
        let noon = 1_721_995_509; // 2024-07-26 12:05:09
        assert_eq!(strftime(noon, "%d %b %Y").unwrap(), "26 Jul 2024");
        assert_eq!(strftime(noon, "%A, %B %-d, %-I:%M %p %%").unwrap(), "Friday, July 26, 12:05 PM %");
        assert_eq!(strftime(noon, "%D %T %F %y").unwrap(), "07/26/24 12:05:09 2024-07-26 24");
        assert!(strftime(noon, "%Q").unwrap_err().contains("%Q"));
        assert!(strftime(noon, "100%").is_err());
        assert_eq!(strftime(noon, "%c %U %W %V").unwrap(), "Fri Jul 26 12:05:09 2024 29 30 30");
        assert_eq!(strftime(noon, "%H:%M %Z%z %e %h").unwrap(), "12:05 UTC+0000 26 Jul");
        assert!(strftime(noon, "%S.%f").unwrap_err().contains("%f"));
        assert!(strftime(i64::MAX, "%Y").is_ok() && strftime(i64::MIN, "%Q").is_err());
    }
}
