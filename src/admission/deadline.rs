//! How long the API server waits, which it says in the query: `?timeout=3s`.

use std::time::{Duration, Instant};

/// When an answer without a patch is due.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

/// The webhook configuration's `timeoutSeconds`, in case the query says nothing of use.
const DEFAULT: Duration = Duration::from_secs(3);
/// The API server's own maximum; beyond, and at zero, somebody else is calling.
const LONGEST: Duration = Duration::from_secs(30);

// === impl Deadline ===

impl Deadline {
    /// 80% of the timeout after the request's headers arrived.
    #[must_use]
    pub fn new(started: Instant, query: Option<&str>) -> Self {
        Self(started + timeout(query) * 4 / 5)
    }

    #[must_use]
    pub fn instant(self) -> Instant {
        self.0
    }

    #[must_use]
    pub fn is_over(self) -> bool {
        Instant::now() >= self.0
    }
}

fn timeout(query: Option<&str>) -> Duration {
    query
        .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("timeout=")))
        .and_then(parse)
        .filter(|timeout| !timeout.is_zero() && *timeout <= LONGEST)
        .unwrap_or(DEFAULT)
}

/// Go's notation of a duration: `3s`, `500ms`, `1m30s`, `1.5s`.
fn parse(text: &str) -> Option<Duration> {
    if text.is_empty() || text.len() > 32 {
        return None;
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|length| *length > 0)?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        seconds += number.parse::<f64>().ok()? * seconds_of(unit)?;
        rest = tail;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_go_durations() {
        for (text, milliseconds) in
            [("3s", 3000), ("500ms", 500), ("30s", 30_000), ("0m10s", 10_000), ("1.5s", 1500), ("10s5ms", 10_005)]
        {
            let query = format!("a=b&timeout={text}");
            assert_eq!(timeout(Some(&query)), Duration::from_millis(milliseconds), "{text}");
        }
    }

    #[test]
    fn takes_the_default_for_what_is_absent_or_absurd() {
        for query in [
            "",
            "timeout=",
            "timeout=0s",
            "timeout=-3s",
            "timeout=3",
            "timeout=1e9s",
            "timeout=30001ms",
            "timeout=99h",
            "timeout=s",
            "timeout=3s5",
            "timeout=..s",
            "timeout=NaNs",
            "timeout=99999999999999999999999999h",
            "timeoutx=1s",
        ] {
            assert_eq!(timeout(Some(query)), DEFAULT, "{query}");
        }
        assert_eq!(timeout(None), DEFAULT);
    }
}
