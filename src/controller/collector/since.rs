//! For how long something has been so, as this controller has seen it. Clocks of other machines may be minutes ahead or
//! behind: a time that they wrote is compared with what they wrote before, and with nothing else. Another leader begins
//! anew.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::pod::{Pod, Rollout, State};
use super::trial::{self, Deployed, Times};

/// Since when something is the same.
#[derive(Clone, Debug)]
pub struct Since<K>(Option<(K, Instant)>);

/// Of a trial.
#[derive(Clone, Debug, Default)]
pub struct Clocks {
    /// The revision, the node, and the pod once its container has run.
    tried: Since<(String, Option<String>, Option<Box<str>>)>,
    /// The pod, and what changes where it wasn't ready in between.
    ready: Since<(Box<str>, i32, Timestamp)>,
    leaving: Since<Box<str>>,
    refused: Since<String>,
}

// === impl Since ===

impl<K> Default for Since<K> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K: PartialEq> Since<K> {
    /// For how long it has been what it is now.
    pub fn see(&mut self, what: Option<K>, now: Instant) -> Option<Duration> {
        let before = self.0.take();
        let what = what?;
        let since = before.filter(|(before, _)| *before == what).map_or(now, |(_, since)| since);
        self.0 = Some((what, since));
        Some(now.saturating_duration_since(since))
    }
}

// === impl Clocks ===

impl Clocks {
    /// What they say of what is seen now; `refused` is the revision whose trial isn't taken.
    pub fn read(&mut self, set: Option<&Deployed>, pods: &[&Pod], refused: Option<&str>, now: Instant) -> Times {
        let pod = set.and_then(|set| trial::pod_of(pods, &set.revision, set.node.as_deref()?));
        let tried = set.map(|set| {
            let begun = pod.filter(|pod| pod.has_begun()).map(|pod| pod.uid.clone());
            (set.revision.clone(), set.node.clone(), begun)
        });
        let ready = pod.and_then(|pod| match pod.state {
            State::Ready { since } => Some((pod.uid.clone(), pod.restarts, since)),
            _ => None,
        });
        let leaving = pods.iter().find(|pod| pod.rollout == Some(Rollout::Trial) && pod.leaving);
        Times {
            tried: self.tried.see(tried, now),
            ready: self.ready.see(ready, now),
            leaving: self.leaving.see(leaving.map(|pod| pod.uid.clone()), now),
            refused: self.refused.see(refused.map(str::to_owned), now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pod::pod;
    use super::*;
    use serde_json::json;

    fn seconds(duration: Option<Duration>) -> Option<u64> {
        duration.map(|duration| duration.as_secs())
    }

    #[test]
    fn it_counts_from_when_it_was_first_seen() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut since = Since::default();
        for (second, what, expected) in [
            (0, None, None),
            (5, Some("a"), Some(0)),
            (9, Some("a"), Some(4)),
            (10, Some("b"), Some(0)),
            (11, Some("a"), Some(0)),
            (15, None, None),
            (16, Some("a"), Some(0)),
        ] {
            assert_eq!(seconds(since.see(what, at(second))), expected, "{what:?} at {second} s");
        }
    }

    /// The kubelet's clock may say what it likes.
    #[test]
    fn what_other_clocks_say_only_tells_that_something_has_changed() {
        let start = Instant::now();
        let set = Deployed { revision: "r".to_owned(), node: Some("a".to_owned()), settled: true };
        let mut clocks = Clocks::default();
        let mut read = |second, status: serde_json::Value| {
            let pod = pod("a", Rollout::Trial, "r", &status);
            clocks.read(Some(&set), &[&pod], None, start + Duration::from_secs(second))
        };
        let ready =
            |since: &str| json!({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": since}]});
        let running = || {
            json!({"containerStatuses": [{"name": "otel-collector", "image": "", "imageID": "",
            "ready": false, "restartCount": 0, "state": {"running": {}}}]})
        };
        for (second, status, tried, is_ready) in [
            (0, json!({}), Some(0), None),
            (50, json!({}), Some(50), None),
            (60, running(), Some(0), None),
            (70, ready("2020-01-01T00:00:00Z"), Some(10), Some(0)),
            (90, ready("2020-01-01T00:00:00Z"), Some(30), Some(20)),
            // It wasn't for a moment.
            (100, ready("2020-01-01T00:00:29Z"), Some(40), Some(0)),
            (110, ready("2020-01-01T00:00:29Z"), Some(50), Some(10)),
            (111, ready("2099-01-01T00:00:00Z"), Some(51), Some(0)),
        ] {
            let times = read(second, status);
            assert_eq!((seconds(times.tried), seconds(times.ready)), (tried, is_ready), "at {second} s");
        }
    }
}
