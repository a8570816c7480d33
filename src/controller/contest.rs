//! Who undoes what the controller writes or deletes: so that two who disagree about an object don't run hot, and are told of.

use std::fmt;
use std::time::{Duration, Instant};

use crate::api::object;
use crate::k8s::ResourceExt;

/// What is remembered of one object: how often the same had to be written again.
#[derive(Debug)]
pub struct Contest<W> {
    wanted: Option<W>,
    /// The object as the last answer had it: as long as its version is that one, nobody else has written.
    answered: Sign,
    /// The version that was seen before: as long as it is that one, the watch is behind.
    shown: Option<String>,
    repairs: Vec<Instant>,
    /// What made the last of them necessary, and whose doing it was.
    how: Undoing,
    by: String,
    /// From when they were too many until it has stayed as it should be for a whole [`WINDOW`]: else what is said of it
    /// would change with each try.
    fought: bool,
}

/// Somebody else writes it too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contested {
    pub how: Undoing,
    pub by: String,
    /// Until then it is left to them.
    pub until: Instant,
}

/// What others do about what was written or deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Undoing {
    #[default]
    ChangedBack,
    /// They have another in its place.
    MadeAnew,
    /// It was to be gone.
    PutBack,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Sign {
    /// Of one that was deleted and made anew, another.
    uid: Option<String>,
    version: Option<String>,
}

/// So many repairs within [`WINDOW`] are a fight.
const MOST_REPAIRS: usize = 5;
pub const WINDOW: Duration = Duration::from_mins(1);

// === impl Contested ===

impl Contested {
    /// How much longer it is left to them.
    #[must_use]
    pub fn wait(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

// === impl Undoing ===

impl fmt::Display for Undoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ChangedBack => "changed back",
            Self::MadeAnew => "made anew",
            Self::PutBack => "put back",
        })
    }
}

// === impl Contest ===

impl<W> Default for Contest<W> {
    fn default() -> Self {
        Self {
            wanted: None,
            answered: Sign::default(),
            shown: None,
            repairs: Vec::new(),
            how: Undoing::default(),
            by: String::new(),
            fought: false,
        }
    }
}

impl<W: PartialEq> Contest<W> {
    /// What was written last.
    #[must_use]
    pub const fn wanted(&self) -> Option<&W> {
        self.wanted.as_ref()
    }

    /// It was written, where `found` had been there, and `answer` is there now.
    pub fn wrote<K: ResourceExt>(&mut self, wanted: W, found: Option<&K>, answer: &K, now: Instant) {
        let answered = Sign { uid: answer.uid(), version: answer.resource_version() };
        let shown = found.and_then(ResourceExt::resource_version);
        let is_ours = shown == self.answered.version || answered.version == self.answered.version;
        // What has a status has another version soon, though nobody undid anything.
        let is_behind = shown == self.shown && answered.uid == self.answered.uid;
        if self.wanted.as_ref() != Some(&wanted) {
            self.repairs.clear();
            self.fought = false;
        } else if !is_ours && !is_behind {
            let is_another = found.is_some_and(|found| found.uid() != self.answered.uid);
            let how = if is_another { Undoing::MadeAnew } else { Undoing::ChangedBack };
            self.repaired(how, found, "somebody who deletes it", now);
        }
        (self.wanted, self.answered, self.shown) = (Some(wanted), answered, shown);
    }

    fn repaired<K: ResourceExt>(&mut self, how: Undoing, found: Option<&K>, or_by: &str, now: Instant) {
        self.repairs.retain(|at| now.saturating_duration_since(*at) < WINDOW);
        self.repairs.push(now);
        self.how = how;
        self.by = other_manager(found).unwrap_or_else(|| or_by.to_owned());
        self.fought |= self.repairs.len() >= MOST_REPAIRS;
    }

    /// Whether others change it back each time, of one that isn't as it should be. It is tried again when the time has
    /// come, and a new wish at once.
    #[must_use]
    pub fn over(&self, wanted: &W, now: Instant) -> Option<Contested> {
        self.wanted.as_ref().filter(|before| *before == wanted)?;
        self.last(now)
    }

    /// Whether others change it back each time, of one that is as it should be just now. Once it has stayed so, they have
    /// given up.
    #[must_use]
    pub fn going_on(&mut self, now: Instant) -> Option<Contested> {
        let last = self.last(now);
        self.fought &= last.is_some();
        last
    }

    fn last(&self, now: Instant) -> Option<Contested> {
        let until = *self.repairs.last().filter(|_| self.fought)? + WINDOW;
        (now < until).then(|| Contested { how: self.how, by: self.by.clone(), until })
    }
}

impl Contest<()> {
    /// `found` was deleted: by another uid than the one before, somebody has put it back meanwhile.
    pub fn deleted<K: ResourceExt>(&mut self, found: &K, now: Instant) {
        let deleted = Sign { uid: found.uid(), version: None };
        if self.wanted.is_some() && self.answered != deleted {
            self.repaired(Undoing::PutBack, Some(found), "somebody", now);
        }
        (self.wanted, self.answered) = (Some(()), deleted);
    }
}

/// Who wrote it last, beside us, and beside whoever only says how it is.
fn other_manager<K: ResourceExt>(found: Option<&K>) -> Option<String> {
    let managers = found.into_iter().flat_map(ResourceExt::managed_fields);
    let others = managers.filter(|entry| {
        entry.manager.as_deref() != Some(object::FIELD_MANAGER) && entry.subresource.as_deref() != Some("status")
    });
    let last = others.max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
    last.and_then(|entry| entry.manager.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::ConfigMap;
    use serde_json::json;

    fn stored(uid: u64, version: u64, by: &[(&str, &str)]) -> ConfigMap {
        let managers: Vec<_> = by.iter().map(|(manager, time)| json!({"manager": manager, "time": time})).collect();
        let metadata = json!({"name": "a", "uid": uid.to_string(), "resourceVersion": version.to_string(),
                              "managedFields": managers});
        serde_json::from_value(json!({"metadata": metadata})).expect("a ConfigMap")
    }

    /// By somebody who edits it before each write.
    fn edited(version: u64) -> ConfigMap {
        let early = ("early", "2026-01-01T00:00:00Z");
        stored(1, version, &[(object::FIELD_MANAGER, "2026-01-01T00:00:02Z"), early, ("tug", "2026-01-01T00:00:01Z")])
    }

    /// After so many writes of the same, one a second, each of which somebody had made necessary.
    fn after(writes: u64, deletes: bool, start: Instant) -> Contest<&'static str> {
        let mut contest = Contest::default();
        for write in 1..=writes {
            let found = (!deletes).then(|| edited(10 * write));
            let answer = stored(if deletes { write } else { 1 }, 10 * write + 1, &[]);
            contest.wrote("a", found.as_ref(), &answer, start + Duration::from_secs(write - 1));
        }
        contest
    }

    #[test]
    fn who_undoes_each_write_is_named_and_waited_for() {
        let start = Instant::now();
        let now = start + Duration::from_secs(6);
        assert_eq!(after(5, false, start).over(&"a", now), None, "the first write is no repair");
        let contest = after(6, false, start);
        let until = start + Duration::from_secs(5) + WINDOW;
        assert_eq!(contest.over(&"a", now), Some(Contested { how: Undoing::ChangedBack, by: "tug".to_owned(), until }));
        assert_eq!(contest.over(&"a", until), None);
        assert_eq!(contest.over(&"b", now), None, "a new wish is tried at once");
        let deleted = after(6, true, start).over(&"a", now).expect("a fight");
        assert_eq!(deleted.by, "somebody who deletes it");
    }

    #[test]
    fn a_fight_is_on_until_it_has_stayed_for_a_while() {
        let mut now = Instant::now();
        let mut contest = after(6, true, now);
        let mut next = 7;
        now += Duration::from_secs(5);
        // Whoever it is goes on: one try each minute, and never peace.
        for _ in 0..3 {
            let until = contest.over(&"a", now + WINDOW / 2).expect("a fight").until;
            now = until;
            assert_eq!(contest.over(&"a", now), None, "it is tried");
            contest.wrote("a", None, &stored(next, 10 * next, &[]), now);
            next += 1;
            assert!(contest.going_on(now).is_some(), "and may be undone at once");
        }
        // They stop.
        assert!(contest.going_on(now + WINDOW / 2).is_some());
        assert_eq!(contest.going_on(now + WINDOW), None);
        assert_eq!(contest.over(&"a", now + WINDOW / 2), None, "it is over");
        contest.wrote("a", None, &stored(next, 10 * next, &[]), now + WINDOW);
        assert_eq!(contest.over(&"a", now + WINDOW), None, "and once more is no fight");
    }

    #[test]
    fn a_write_that_changed_nothing_is_no_repair() {
        let start = Instant::now();
        let mut contest = Contest::default();
        for _ in 0..20 {
            contest.wrote("a", None, &stored(1, 7, &[]), start);
        }
        assert_eq!(contest.over(&"a", start), None, "the watch was behind");
    }

    /// One whose pods are made meanwhile, say.
    #[test]
    fn a_watch_that_is_behind_shows_no_repairs_though_the_version_changes() {
        let start = Instant::now();
        let mut contest = Contest::default();
        let theirs = edited(5);
        for found in [None, Some(&theirs)] {
            for version in 10..30 {
                contest.wrote("a", found, &stored(1, version, &[]), start);
            }
            assert_eq!(contest.over(&"a", start), None);
        }
    }

    #[test]
    fn a_write_that_nobody_made_necessary_is_no_repair() {
        let start = Instant::now();
        let mut contest = Contest::default();
        for version in 1..20 {
            contest.wrote("a", Some(&stored(1, version, &[])), &stored(1, version + 1, &[]), start);
        }
        assert_eq!(contest.over(&"a", start), None, "each went on from ours");
    }

    #[test]
    fn wishes_that_take_turns_are_no_fight() {
        let start = Instant::now();
        let mut contest = Contest::default();
        for version in 0..20 {
            contest.wrote(if version % 2 == 0 { "a" } else { "b" }, None, &stored(version, version, &[]), start);
        }
        assert_eq!((contest.over(&"a", start), contest.over(&"b", start)), (None, None));
    }

    /// Of a DaemonSet, its controller writes the status as soon as there is one, in the same second mostly.
    #[test]
    fn whoever_only_says_how_it_is_undoes_nothing() {
        let (mut contest, now) = (Contest::<()>::default(), Instant::now());
        let put_back = |uid: u64| {
            let mut found = stored(uid, uid, &[("argocd", "2026-01-01T00:00:00Z")]);
            let status = json!({"manager": "kube-controller-manager", "operation": "Update", "subresource": "status",
                                "time": "2026-01-01T00:00:00Z"});
            let entry = serde_json::from_value(status).expect("an entry");
            found.metadata.managed_fields.get_or_insert_default().push(entry);
            found
        };
        for uid in 1..=6 {
            contest.deleted(&put_back(uid), now);
        }
        let contested = contest.over(&(), now).expect("a fight");
        assert_eq!((contested.by.as_str(), contested.how), ("argocd", Undoing::PutBack));
    }

    #[test]
    fn another_in_its_place_is_told_of_as_one() {
        let (mut contest, now) = (Contest::default(), Instant::now());
        for round in 1..=6 {
            let theirs = stored(100 + round, 10 * round, &[("tug", "2026-01-01T00:00:00Z")]);
            contest.wrote("a", Some(&theirs), &stored(round, 10 * round + 1, &[]), now);
        }
        let contested = contest.over(&"a", now).expect("a fight");
        assert_eq!((contested.by.as_str(), contested.how), ("tug", Undoing::MadeAnew));
    }
}
