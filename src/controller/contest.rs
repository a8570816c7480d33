//! Who undoes what the controller writes: so that two who disagree about an object don't run hot, and are told of.

use std::time::{Duration, Instant};

use crate::api::object;
use crate::k8s::ResourceExt;

/// What is remembered of one object: how often the same had to be written again.
#[derive(Debug)]
pub struct Contest<W> {
    wanted: Option<W>,
    /// The object's version as the last answer had it: as long as it is that one, nobody else has written.
    version: Option<String>,
    repairs: Vec<Instant>,
    by: String,
}

/// Somebody else writes it too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contested {
    pub by: String,
    /// Until then it is left to them.
    pub until: Instant,
}

/// So many repairs within [`WINDOW`] are a fight.
const MOST_REPAIRS: usize = 5;
const WINDOW: Duration = Duration::from_mins(1);

// === impl Contested ===

impl Contested {
    /// How much longer it is left to them.
    #[must_use]
    pub fn wait(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

// === impl Contest ===

impl<W> Default for Contest<W> {
    fn default() -> Self {
        Self { wanted: None, version: None, repairs: Vec::new(), by: String::new() }
    }
}

impl<W: PartialEq> Contest<W> {
    /// It was written, where `found` had been there, and `answer` is there now.
    pub fn wrote<K: ResourceExt>(&mut self, wanted: W, found: Option<&K>, answer: &K, now: Instant) {
        let version = answer.resource_version();
        self.repairs.retain(|at| now.saturating_duration_since(*at) < WINDOW);
        if self.wanted.as_ref() != Some(&wanted) {
            self.repairs.clear();
        } else if self.version != version {
            self.repairs.push(now);
            self.by = other_manager(found);
        }
        (self.wanted, self.version) = (Some(wanted), version);
    }

    /// Whether others change it back each time. A new wish is tried at once.
    #[must_use]
    pub fn over(&self, wanted: &W, now: Instant) -> Option<Contested> {
        (self.wanted.as_ref() == Some(wanted)).then(|| self.going_on(now))?
    }

    /// Whether others change back what was written last, were it as it should be just now.
    #[must_use]
    pub fn going_on(&self, now: Instant) -> Option<Contested> {
        let mut recent = self.repairs.iter().filter(|at| now.saturating_duration_since(**at) < WINDOW);
        let until = *recent.clone().next()? + WINDOW;
        recent.nth(MOST_REPAIRS - 1).map(|_| Contested { by: self.by.clone(), until })
    }
}

/// Who wrote it last, beside us.
fn other_manager<K: ResourceExt>(found: Option<&K>) -> String {
    let managers = found.into_iter().flat_map(ResourceExt::managed_fields);
    let others = managers.filter(|entry| entry.manager.as_deref() != Some(object::FIELD_MANAGER));
    let last = others.max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
    last.and_then(|entry| entry.manager.clone()).unwrap_or_else(|| "somebody who deletes it".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::ConfigMap;
    use serde_json::json;

    fn stored(version: u64, by: &[(&str, &str)]) -> ConfigMap {
        let managers: Vec<_> = by.iter().map(|(manager, time)| json!({"manager": manager, "time": time})).collect();
        let map = json!({"metadata": {"name": "a", "resourceVersion": version.to_string(), "managedFields": managers}});
        serde_json::from_value(map).expect("a ConfigMap")
    }

    /// After so many writes of the same, one a second, each of which somebody had made necessary.
    fn after(writes: u64, found: Option<&ConfigMap>, start: Instant) -> Contest<&'static str> {
        let mut contest = Contest::default();
        for write in 0..writes {
            contest.wrote("a", found, &stored(write, &[]), start + Duration::from_secs(write));
        }
        contest
    }

    #[test]
    fn who_undoes_each_write_is_named_and_waited_for() {
        let start = Instant::now();
        let now = start + Duration::from_secs(6);
        let theirs = stored(
            0,
            &[
                (object::FIELD_MANAGER, "2026-01-01T00:00:02Z"),
                ("early", "2026-01-01T00:00:00Z"),
                ("tug", "2026-01-01T00:00:01Z"),
            ],
        );
        assert_eq!(after(5, Some(&theirs), start).over(&"a", now), None, "the first write is no repair");
        let contest = after(6, Some(&theirs), start);
        let until = start + Duration::from_secs(1) + WINDOW;
        assert_eq!(contest.over(&"a", now), Some(Contested { by: "tug".to_owned(), until }));
        assert_eq!(contest.over(&"a", until), None);
        assert_eq!(contest.over(&"b", now), None, "a new wish is tried at once");
        let deleted = after(6, None, start).over(&"a", now).expect("a fight");
        assert_eq!(deleted.by, "somebody who deletes it");
    }

    #[test]
    fn a_write_that_changed_nothing_is_no_repair() {
        let start = Instant::now();
        let mut contest = Contest::default();
        for _ in 0..20 {
            contest.wrote("a", None, &stored(7, &[]), start);
        }
        assert_eq!(contest.over(&"a", start), None, "the watch was behind");
    }

    #[test]
    fn wishes_that_take_turns_are_no_fight() {
        let start = Instant::now();
        let mut contest = Contest::default();
        for version in 0..20 {
            contest.wrote(if version % 2 == 0 { "a" } else { "b" }, None, &stored(version, &[]), start);
        }
        assert_eq!((contest.over(&"a", start), contest.over(&"b", start)), (None, None));
    }
}
