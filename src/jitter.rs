//! Delays of many who have failed at once, so that they don't come together again: when an API server is back, say.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// From 0 to 1, another one each time, in the same moment too.
#[must_use]
pub fn any() -> f64 {
    let bits = RandomState::new().hash_one(()) >> 32;
    f64::from(u32::try_from(bits).unwrap_or_default()) / f64::from(u32::MAX)
}

/// Up to half as long again.
#[must_use]
pub fn spread(delay: Duration, jitter: f64) -> Duration {
    delay.mul_f64(1.0 + jitter / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_in_the_same_moment_come_apart() {
        let delays: Vec<_> = (0..200).map(|_| spread(Duration::from_secs(2), any())).collect();
        let within = |from, to| delays.iter().filter(|delay| (from..to).contains(&delay.as_millis())).count();
        assert_eq!(within(2_000, 3_001), delays.len());
        for from in [2_000, 2_250, 2_500, 2_750] {
            assert!(within(from, from + 250) > 0, "{delays:?}");
        }
    }
}
