//! When a container crashes that may run just now.

use jiff::{SignedDuration, Timestamp};

/// One that was started anew so often, and ended so lately, crashes.
const RESTARTS: i32 = 3;
const LATELY: SignedDuration = SignedDuration::from_mins(10);

/// For how long that is still said of one that ended then, unless it ends once more.
#[must_use]
pub fn crashes_for(restarts: i32, ended: Option<Timestamp>, now: Timestamp) -> Option<SignedDuration> {
    let ended = ended.filter(|_| restarts >= RESTARTS)?;
    Some(LATELY - now.duration_since(ended)).filter(SignedDuration::is_positive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_ends_again_and_again_crashes_for_a_while() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().expect("a time");
        let crashes = |restarts, minutes: i64| {
            let ended = now - SignedDuration::from_mins(minutes);
            crashes_for(restarts, Some(ended), now).map(|left| left.as_mins())
        };
        assert_eq!(crashes(2, 0), None);
        assert_eq!(crashes(3, 0), Some(10));
        assert_eq!(crashes(3, 9), Some(1));
        assert_eq!(crashes(3, 10), None);
        assert_eq!(crashes_for(3, None, now), None);
    }
}
