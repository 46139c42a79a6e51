//! Parts of files: where a transfer that broke off may go on.

/// Size of the longest file that is accepted where no size is announced, in bytes: far more than any text file of a model has.
pub const LONGEST_UNANNOUNCED: u64 = 256 << 20;

/// The part of a file that an answer contains, from its `Content-Range`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// Its first byte.
    pub first: u64,
    /// Its last byte.
    pub last: u64,
    /// Size of the whole.
    pub total: Option<u64>,
}

impl ContentRange {
    /// Parses `bytes 0-9/100`, or `bytes 0-9/*`.
    pub fn parse(value: &str) -> Option<Self> {
        let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.trim().split_once('-')?;
        let total = if total.trim() == "*" { None } else { Some(total.trim().parse().ok()?) };
        let range = Self { first: first.parse().ok()?, last: last.parse().ok()?, total };
        let is_inside = range.first <= range.last && total.is_none_or(|total| range.last < total);
        is_inside.then_some(range)
    }

    /// Whether the part goes on where `done` bytes of a file of this size are there.
    pub fn goes_on(&self, done: u64, size: Option<u64>) -> bool {
        let is_of_size = |size: u64| self.last < size && self.total.is_none_or(|total| total == size);
        self.first == done && size.is_none_or(is_of_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_go_on_or_not() {
        let range = |first, last, total| Some(ContentRange { first, last, total });
        assert_eq!(ContentRange::parse("bytes 3-9/10"), range(3, 9, Some(10)));
        assert_eq!(ContentRange::parse("bytes 3-9/*"), range(3, 9, None));
        for bad in
            ["", "bytes */10", "bytes 3-10/10", "bytes 9-3/10", "items 0-1/2", "bytes 0-1", "bytes -1-2/3"]
        {
            assert_eq!(ContentRange::parse(bad), None, "{bad}");
        }
        let goes_on = |value, done, size| ContentRange::parse(value).unwrap().goes_on(done, size);
        assert!(
            goes_on("bytes 3-9/10", 3, Some(10))
                && goes_on("bytes 3-9/*", 3, Some(10))
                && goes_on("bytes 3-9/*", 3, None)
        );
        assert!(!goes_on("bytes 3-9/10", 4, Some(10)) && !goes_on("bytes 3-9/10", 3, Some(11)));
        assert!(
            !goes_on("bytes 3-9/9223372036854775808", 3, Some(10)) && !goes_on("bytes 3-10/*", 3, Some(10))
        );
    }
}
