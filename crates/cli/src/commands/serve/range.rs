//! A part of a file by the `Range` of a request (RFC 9110, section 14).

use std::ops::Range;

/// The part of a file that a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it: there is no `Range`, or one of a kind that is passed over, such as several ranges.
    Whole,
    /// These bytes of it.
    Bytes(Range<usize>),
    /// Bytes that the file does not have.
    Beyond,
}

/// Returns the part of a file of `length` bytes that the header `range` asks for.
pub fn part(range: Option<&str>, length: usize) -> Part {
    let Some((first, last)) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) else {
        return Part::Whole;
    };
    let number = |text: &str| text.trim().parse::<usize>().ok();
    let (start, end) = match (number(first), number(last)) {
        (Some(start), Some(end)) if start <= end => (start, length.min(end.saturating_add(1))),
        (Some(start), None) if last.trim().is_empty() => (start, length),
        (None, Some(count)) if first.trim().is_empty() => (length.saturating_sub(count), length),
        _ => return Part::Whole,
    };
    if start < end { Part::Bytes(start..end) } else { Part::Beyond }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_answered() {
        for (range, expected) in [
            ("bytes=0-9", Part::Bytes(0..10)),
            ("bytes=90-", Part::Bytes(90..100)),
            ("bytes=90-1000", Part::Bytes(90..100)),
            ("bytes=-7", Part::Bytes(93..100)),
            ("bytes=-700", Part::Bytes(0..100)),
            ("bytes=0-18446744073709551615", Part::Bytes(0..100)),
            ("bytes=100-", Part::Beyond),
            ("bytes=-0", Part::Beyond),
            ("bytes=9-2", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=-", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("", Part::Whole),
        ] {
            assert_eq!(part(Some(range), 100), expected, "{range}");
        }
        assert_eq!((part(None, 100), part(Some("bytes=0-"), 0)), (Part::Whole, Part::Beyond));
    }
}
