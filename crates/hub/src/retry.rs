//! When a request that failed is made again.

use std::time::Duration;

/// How often, and after what waits, a request is made again that a busy server or a broken connection has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Number of attempts, the first included.
    pub attempts: u32,
    /// Wait after the first attempt. It doubles with each further one.
    pub first: Duration,
    /// The longest wait that the server did not ask for.
    pub longest: Duration,
    /// The longest wait that is granted to a server that asks for one.
    pub longest_asked: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            attempts: 5,
            first: Duration::from_millis(500),
            longest: seconds(8),
            longest_asked: seconds(120),
        }
    }
}

impl Backoff {
    /// Returns the wait after the failed attempt of number `attempt` (from 1 on), or `None` where no other one is made. `asked` is the wait that the
    /// server asks for, and `jitter`, from 0 to 1, a random number that keeps many clients from coming back at once.
    pub fn wait(&self, attempt: u32, asked: Option<Duration>, jitter: f64) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let doubled = self.first.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(self.longest);
        let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 };
        match asked {
            // To come back earlier than asked is of no use.
            Some(asked) => (asked <= self.longest_asked).then(|| asked + self.first.mul_f64(jitter)),
            None => Some(doubled.mul_f64(0.75 + 0.5 * jitter)),
        }
    }
}

/// Parses what a server asks to wait: `Retry-After` in seconds, or else Hugging Face's `RateLimit` (`"api";r=0;t=55`) where nothing remains. A date is not
/// understood, as in `huggingface_hub`.
pub fn asked_wait(retry_after: Option<&str>, rate_limit: Option<&str>) -> Option<Duration> {
    let seconds = |digits: &str| digits.trim().parse().ok().map(Duration::from_secs);
    let reset = || {
        let number = |key: &str| rate_limit?.split(';').find_map(|field| field.trim().strip_prefix(key));
        (number("r=")?.trim() == "0").then(|| number("t=").and_then(seconds)).flatten()
    };
    retry_after.and_then(seconds).or_else(reset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_are_bounded_and_end() {
        let backoff = Backoff::default();
        let milliseconds =
            |attempt, asked, jitter| backoff.wait(attempt, asked, jitter).map(|wait| wait.as_millis());
        assert_eq!(
            (1..=5).map(|attempt| milliseconds(attempt, None, 0.5)).collect::<Vec<_>>(),
            [Some(500), Some(1000), Some(2000), Some(4000), None]
        );
        assert_eq!((milliseconds(1, None, 0.0), milliseconds(1, None, 1.0)), (Some(375), Some(625)));
        let long = Backoff { attempts: 100, ..backoff };
        assert!((1..100).all(|attempt| long.wait(attempt, None, f64::NAN) <= Some(Duration::from_secs(10))));
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(
            (milliseconds(1, seconds(3), 0.0), milliseconds(1, seconds(3), 1.0)),
            (Some(3000), Some(3500))
        );
        assert_eq!((milliseconds(1, seconds(121), 0.0), milliseconds(5, seconds(0), 0.0)), (None, None));
    }

    #[test]
    fn what_a_server_asks_for_is_read() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(asked_wait(Some(" 7 "), None), seconds(7));
        assert_eq!(asked_wait(None, Some("\"api\";r=0;t=55")), seconds(55));
        assert_eq!(asked_wait(None, Some("\"api\";r=3;t=55")), None);
        for unknown in ["Wed, 21 Oct 2015 07:28:00 GMT", "-1", "", "1e9", "99999999999999999999999"] {
            assert_eq!(asked_wait(Some(unknown), None), None, "{unknown}");
        }
    }
}
