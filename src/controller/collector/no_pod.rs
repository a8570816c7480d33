//! Why the API server makes no pods for a `DaemonSet`, by its Events: pure. Which of them are of now is told by what was
//! seen before, and not by their clock.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::k8s::{CoreEvent, ResourceExt as _};

/// What was said of the one that lacks pods.
#[derive(Debug, Default)]
pub struct NoPod {
    lack: Option<Lack>,
    /// The last of a lack that has been mended.
    mended: Option<Said>,
}

#[derive(Debug)]
struct Lack {
    /// The uid of the `DaemonSet`.
    of: String,
    since: Instant,
    asked: Option<Instant>,
    said: Option<Said>,
}

/// An Event, as it is told apart from the next of the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    uid: Option<String>,
    count: Option<i32>,
    at: Option<Timestamp>,
    message: String,
}

/// Events are listed, not watched.
const LIST_EVERY: Duration = Duration::from_secs(5);
/// Pods that are about to be made are missing for a moment, whatever was said an hour ago.
const LASTS: Duration = Duration::from_secs(5);

// === impl NoPod ===

impl NoPod {
    /// Which one lacks pods, if any. Tells whether its Events are to be listed.
    pub fn see(&mut self, lacks: Option<&str>, now: Instant) -> bool {
        let Some(uid) = lacks else {
            self.mended = self.lack.take().and_then(|lack| lack.said).or(self.mended.take());
            return false;
        };
        if self.lack.as_ref().is_none_or(|lack| lack.of != *uid) {
            self.lack = Some(Lack { of: uid.to_owned(), since: now, asked: None, said: None });
        }
        let Some(lack) = &mut self.lack else { return false };
        let due = lack.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= LIST_EVERY);
        if due {
            lack.asked = Some(now);
        }
        due
    }

    /// What they are: the last counts.
    pub fn listed(&mut self, events: Vec<CoreEvent>) {
        let last = events.into_iter().filter_map(Said::of).max_by_key(|said| said.at);
        if let Some(lack) = &mut self.lack {
            lack.said = last.or(lack.said.take());
        }
    }

    #[must_use]
    pub fn why(&self, now: Instant) -> Option<String> {
        let lack = self.lack.as_ref().filter(|lack| now.saturating_duration_since(lack.since) >= LASTS)?;
        let said = lack.said.as_ref().filter(|said| self.mended.as_ref() != Some(said))?;
        Some(said.message.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(400).collect())
    }
}

// === impl Said ===

impl Said {
    fn of(event: CoreEvent) -> Option<Self> {
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        let at = last.or_else(|| event.event_time.as_ref().map(|time| time.0));
        Some(Self { uid: event.uid(), count: event.count, at, message: event.message? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(uid: &str, count: i32, last: Option<&str>, exact: Option<&str>) -> CoreEvent {
        serde_json::from_value(json!({
            "metadata": {"name": "x", "namespace": "x", "uid": uid}, "involvedObject": {}, "count": count,
            "message": format!("{uid}\n  {count}"), "lastTimestamp": last, "eventTime": exact,
        }))
        .expect("an event")
    }

    fn at(start: Instant, second: u64) -> Instant {
        start + Duration::from_secs(second)
    }

    #[test]
    fn the_last_one_counts_once_the_lack_has_lasted_a_moment() {
        let start = Instant::now();
        let mut no_pod = NoPod::default();
        assert!(no_pod.see(Some("set"), start));
        // Whenever that was, by whichever clock.
        no_pod.listed(vec![
            event("later", 2, Some("2020-01-01T00:10:00Z"), None),
            event("earlier", 3, Some("2020-01-01T00:00:00Z"), None),
            event("never", 4, None, None),
        ]);
        assert_eq!(no_pod.why(start), None);
        assert!(!no_pod.see(Some("set"), at(start, 4)), "they were listed just now");
        assert!(no_pod.see(Some("set"), at(start, 5)));
        assert_eq!(no_pod.why(at(start, 5)).as_deref(), Some("later 2"));
        no_pod.listed(vec![event("exact", 1, None, Some("2099-01-01T00:12:00.000000Z"))]);
        assert_eq!(no_pod.why(at(start, 6)).as_deref(), Some("exact 1"));
        // A list that fails leaves what is known.
        no_pod.listed(Vec::new());
        assert_eq!(no_pod.why(at(start, 6)).as_deref(), Some("exact 1"));
        assert!(no_pod.see(Some("another"), at(start, 7)), "another lacks them");
        assert_eq!(no_pod.why(at(start, 70)), None);
    }

    #[test]
    fn what_was_said_of_a_lack_that_was_mended_is_no_cause_of_the_next() {
        let start = Instant::now();
        let mut no_pod = NoPod::default();
        let quota = |count| vec![event("quota", count, Some("2020-01-01T00:10:00Z"), None)];
        no_pod.see(Some("set"), start);
        no_pod.listed(quota(1));
        assert_eq!(no_pod.why(at(start, 9)).as_deref(), Some("quota 1"));
        for second in [10, 20] {
            assert!(!no_pod.see(None, at(start, second)));
        }
        assert_eq!(no_pod.why(at(start, 21)), None);
        no_pod.see(Some("set"), at(start, 30));
        no_pod.listed(quota(1));
        assert_eq!(no_pod.why(at(start, 40)), None);
        no_pod.listed(quota(2));
        assert_eq!(no_pod.why(at(start, 41)).as_deref(), Some("quota 2"), "it is said again");
    }
}
