//! What can't be written for now, and when it is tried again: an object by itself, so that whatever else changes meanwhile
//! neither hurries it nor is held up by it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Key;
use crate::jitter;
use crate::k8s;
use crate::unavailable::{self, Unavailable};

#[derive(Debug, Default)]
pub struct Held(BTreeMap<Key, Hold>);

#[derive(Debug)]
struct Hold {
    /// What was asked for; nothing, where it was to be deleted.
    sent: Value,
    why: Why,
    /// In a row.
    failures: u32,
    since: Instant,
    until: Instant,
}

/// Why it isn't written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It has the same answer each time, until somebody mends the cause.
    Refused(Unavailable),
    /// Another time it would have been taken, as far as the answer tells.
    Unwell(Unavailable),
    /// There is one of its name that isn't ours.
    Foreign,
    /// It couldn't be told whether it was deleted, or another one is there: the watch tells, soon or late.
    Doubtful,
}

/// After a call that failed: short at first.
pub const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_mins(1);
/// An API server that isn't well, or can't be reached, refuses nothing, and is soon back.
const LAST_RETRY_UNWELL: Duration = Duration::from_secs(5);
/// Nobody tells when what isn't ours has gone.
const LOOK_FOR_FOREIGN_EVERY: Duration = Duration::from_secs(10);

// === impl Why ===

impl Why {
    #[must_use]
    pub fn of(error: &k8s::Error) -> Self {
        let why = Unavailable::of(error);
        if unavailable::passes(error) { Self::Unwell(why) } else { Self::Refused(why) }
    }

    /// How a call was answered, where one was.
    #[must_use]
    pub const fn answer(&self) -> Option<&Unavailable> {
        match self {
            Self::Refused(why) | Self::Unwell(why) => Some(why),
            Self::Foreign | Self::Doubtful => None,
        }
    }
}

// === impl Held ===

impl Held {
    /// Why this isn't tried yet, and when it is. Something else is tried at once.
    #[must_use]
    pub fn until(&self, key: &Key, sent: &Value, now: Instant) -> Option<(&Why, Instant)> {
        let hold = self.0.get(key).filter(|hold| hold.sent == *sent && now < hold.until)?;
        Some((&hold.why, hold.until))
    }

    pub fn hold(&mut self, key: Key, sent: Value, why: Why, now: Instant) {
        self.hold_with(key, sent, why, now, jitter::any());
    }

    fn hold_with(&mut self, key: Key, sent: Value, why: Why, now: Instant, jitter: f64) {
        let before = self.0.remove(&key).filter(|hold| hold.sent == sent).map_or(0, |hold| hold.failures);
        let failures = before.saturating_add(1);
        let until = now + retry_after(&why, failures, jitter);
        self.0.insert(key, Hold { sent, why, failures, since: now, until });
    }

    /// The API server has taken a write: what it was too unwell for is tried again, and no sooner than after a first
    /// failure. Tells when the first of these is due.
    #[must_use]
    pub fn answered(&mut self, now: Instant) -> Option<Instant> {
        let unwell = self.0.values_mut().filter(|hold| matches!(hold.why, Why::Unwell(_)) && now < hold.until);
        let due = unwell.map(|hold| {
            hold.until = hold.until.min(hold.since + FIRST_RETRY);
            hold.until
        });
        due.min()
    }

    pub fn release(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// Nobody else has that name any more. What was refused keeps its count.
    pub fn is_free(&mut self, key: &Key) {
        if self.0.get(key).is_some_and(|hold| hold.why == Why::Foreign) {
            self.release(key);
        }
    }

    /// All others are forgotten.
    pub fn keep_only(&mut self, is_due: impl Fn(&Key) -> bool) {
        self.0.retain(|key, _| is_due(key));
    }

    #[must_use]
    pub fn any_foreign(&self) -> bool {
        self.0.values().any(|hold| hold.why == Why::Foreign)
    }

    /// How often in a row a call failed.
    #[must_use]
    pub fn most_failures(&self) -> u32 {
        self.0.values().map(|hold| hold.failures).max().unwrap_or_default()
    }
}

/// Twice as long after each failure in a row.
fn retry_after(why: &Why, failures: u32, jitter: f64) -> Duration {
    let last = match why {
        Why::Foreign => return LOOK_FOR_FOREIGN_EVERY,
        Why::Doubtful | Why::Unwell(_) => LAST_RETRY_UNWELL,
        Why::Refused(_) => LAST_RETRY,
    };
    let delay = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(8))).min(last);
    jitter::spread(delay, jitter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::io;

    fn answer(code: u16) -> k8s::Error {
        k8s::Error::Api(k8s::Status::failure("no", "").with_code(code).boxed())
    }

    fn key(name: &str) -> Key {
        Key { kind: "Service", name: name.to_owned() }
    }

    fn refused() -> Why {
        Why::Refused(Unavailable::Refused { why: "no".to_owned() })
    }

    #[test]
    fn what_was_refused_waits_longer_each_time_and_alone() {
        let mut held = Held::default();
        let start = Instant::now();
        let sent = json!({"a": 1});
        let mut now = start;
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(held.until(&key("a"), &sent, now), None, "it is due");
            held.hold_with(key("a"), sent.clone(), refused(), now, 0.0);
            let (why, until) = held.until(&key("a"), &sent, now).expect("a hold");
            assert_eq!((why, until), (&refused(), now + Duration::from_secs(seconds)));
            now = until;
        }
        held.hold_with(key("a"), sent.clone(), refused(), now, 0.0);
        assert_eq!(held.until(&key("b"), &sent, now), None, "another object isn't held up");
        assert_eq!(held.until(&key("a"), &json!({"a": 2}), now), None, "nor is another wish");
        assert_eq!(held.most_failures(), 9);
        held.hold_with(key("a"), json!({"a": 2}), refused(), now, 0.0);
        assert_eq!(held.most_failures(), 1);
        held.release(&key("a"));
        assert_eq!(held.most_failures(), 0);
    }

    #[test]
    fn what_isnt_ours_is_told_until_its_name_is_free() {
        let mut held = Held::default();
        let (sent, now) = (json!({}), Instant::now());
        held.hold(key("a"), sent.clone(), Why::Foreign, now);
        held.hold(key("b"), sent.clone(), refused(), now);
        let later = now + LOOK_FOR_FOREIGN_EVERY;
        assert_eq!(held.until(&key("a"), &sent, later), None, "it is looked for again");
        assert!(held.any_foreign());
        held.is_free(&key("a"));
        held.is_free(&key("b"));
        assert!(!held.any_foreign());
        assert_eq!(held.most_failures(), 1, "of the other");
    }

    #[test]
    fn an_api_server_that_is_away_and_what_isnt_ours_are_looked_for_often() {
        for code in [409, 429, 500, 503] {
            let unwell = Why::of(&answer(code));
            assert!(matches!(unwell, Why::Unwell(_)), "{code}");
            assert_eq!(retry_after(&unwell, 20, 0.0), LAST_RETRY_UNWELL);
        }
        let away = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(retry_after(&Why::of(&k8s::Error::Service(away.into())), 20, 0.0), LAST_RETRY_UNWELL);
        assert_eq!(retry_after(&Why::Foreign, 20, 0.0), LOOK_FOR_FOREIGN_EVERY);
        for code in [400, 403, 404, 413, 422] {
            let refused = Why::of(&answer(code));
            assert!(matches!(refused, Why::Refused(_)), "{code}");
            assert_eq!(retry_after(&refused, 20, 0.0), LAST_RETRY);
        }
    }

    /// Each with a time of its own, that may be the longest.
    #[test]
    fn an_api_server_that_takes_one_is_asked_for_the_others_at_once() {
        let mut held = Held::default();
        let (sent, start) = (json!({}), Instant::now());
        let mut now = start;
        for _ in 0..8 {
            held.hold_with(key("a"), sent.clone(), Why::of(&answer(503)), now, 1.0);
            held.hold_with(key("b"), sent.clone(), refused(), now, 1.0);
            now += Duration::from_mins(2);
        }
        held.hold_with(key("a"), sent.clone(), Why::of(&answer(503)), now, 1.0);
        held.hold_with(key("b"), sent.clone(), refused(), now, 1.0);
        assert_eq!(held.answered(now), Some(now + FIRST_RETRY), "not in the same moment");
        assert!(held.until(&key("a"), &sent, now).is_some());
        assert_eq!(held.until(&key("a"), &sent, now + FIRST_RETRY), None);
        assert!(held.until(&key("b"), &sent, now + FIRST_RETRY).is_some(), "that one lies in the object");
        assert_eq!(held.answered(now + FIRST_RETRY), None, "it is due");
        held.hold_with(key("a"), sent.clone(), Why::of(&answer(503)), now, 0.0);
        let (_, until) = held.until(&key("a"), &sent, now).expect("a hold");
        assert_eq!(until, now + LAST_RETRY_UNWELL, "one that is never taken isn't tried more often");
    }
}
