//! What the API server made of what was applied: the measure of drift.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Key;
use crate::api::object;
use crate::k8s::DynamicObject;

/// Of each object that was applied since this controller leads. Without an entry an object is applied once more: where
/// nothing differs the API server writes nothing.
#[derive(Debug, Default)]
pub struct Memory(BTreeMap<Key, Applied>);

#[derive(Debug)]
struct Applied {
    /// As it was sent.
    sent: Value,
    /// The fields that were sent, as the answer had them.
    kept: Value,
    /// When the same object had to be applied because somebody had changed it.
    repairs: Vec<Instant>,
    /// Who changes it back each time, from when that was seen until it has stayed for a whole [`WINDOW`].
    fought: Option<String>,
    /// What the watch showed when it was applied: as long as that is all it shows, it is behind.
    shown: Option<String>,
    at: Instant,
    seen: bool,
}

/// How what is there stands to what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drift {
    None,
    /// It was applied, and the watch hasn't shown it yet.
    Awaited {
        until: Instant,
    },
    Differs,
}

/// So many repairs within [`WINDOW`] are a fight.
const MOST_REPAIRS: usize = 5;
const WINDOW: Duration = Duration::from_mins(1);
/// How long a watch may be behind a write.
const BEHIND: Duration = Duration::from_secs(5);

// === impl Memory ===

impl Memory {
    /// Whether the object has to be applied.
    #[must_use]
    pub fn drift(&mut self, key: &Key, wanted: &Value, found: Option<&DynamicObject>, now: Instant) -> Drift {
        let Some(applied) = self.0.get_mut(key).filter(|applied| applied.sent == *wanted) else {
            return Drift::Differs;
        };
        if found.is_some_and(|found| within(wanted, &whole(found)) == applied.kept) {
            applied.seen = true;
            return Drift::None;
        }
        applied.seen |= version(found) != applied.shown;
        let until = applied.at + BEHIND;
        if !applied.seen && now < until { Drift::Awaited { until } } else { Drift::Differs }
    }

    /// What the API server answered, where the watch had shown `found`.
    pub fn applied(
        &mut self,
        key: Key,
        sent: Value,
        found: Option<&DynamicObject>,
        answer: &DynamicObject,
        now: Instant,
    ) {
        let kept = within(&sent, &whole(answer));
        let before = self.0.remove(&key);
        let mut repairs = before.as_ref().map(|before| before.repairs.clone()).unwrap_or_default();
        repairs.retain(|at| now.saturating_duration_since(*at) < WINDOW);
        let before = before.filter(|before| before.sent == sent);
        if before.is_some() {
            repairs.push(now);
        }
        let fought = before.and_then(|before| before.fought);
        self.0.insert(key, Applied { sent, kept, repairs, fought, shown: version(found), at: now, seen: false });
    }

    /// Who changes it again and again, and until when it is left to them.
    #[must_use]
    pub fn contest(
        &mut self,
        key: &Key,
        wanted: &Value,
        found: Option<&DynamicObject>,
        now: Instant,
    ) -> Option<(String, Instant)> {
        let applied = self.0.get_mut(key).filter(|applied| applied.sent == *wanted)?;
        let recent = applied.repairs.iter().filter(|at| now.saturating_duration_since(**at) < WINDOW);
        if applied.fought.is_some() || recent.count() >= MOST_REPAIRS {
            applied.fought = Some(other_manager(found));
        }
        let (by, until) = applied.fight()?;
        (now < until).then_some((by, until))
    }

    /// Who changed it again and again, and until when it has to stay as it is for that to be over.
    #[must_use]
    pub fn fight(&mut self, key: &Key, now: Instant) -> Option<(String, Instant)> {
        let applied = self.0.get_mut(key)?;
        let fight = applied.fight().filter(|(_, until)| now < *until);
        if fight.is_none() {
            applied.fought = None;
        }
        fight
    }

    pub fn forget(&mut self, key: &Key) {
        self.0.remove(key);
    }
}

// === impl Applied ===

impl Applied {
    fn fight(&self) -> Option<(String, Instant)> {
        Some((self.fought.clone()?, *self.repairs.last()? + WINDOW))
    }
}

/// Who wrote it last, beside us.
fn other_manager(found: Option<&DynamicObject>) -> String {
    let managers = found.into_iter().flat_map(|found| found.metadata.managed_fields.iter().flatten());
    let others = managers.filter(|entry| entry.manager.as_deref() != Some(object::FIELD_MANAGER));
    let last = others.max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
    last.and_then(|entry| entry.manager.clone()).unwrap_or_else(|| "somebody who deletes it".to_owned())
}

fn version(found: Option<&DynamicObject>) -> Option<String> {
    found.and_then(|found| found.metadata.resource_version.clone())
}

fn whole(object: &DynamicObject) -> Value {
    let mut whole = object.data.clone();
    let metadata = serde_json::to_value(&object.metadata).unwrap_or_default();
    if let Value::Object(fields) = &mut whole {
        fields.insert("metadata".to_owned(), metadata);
        if let Some(types) = &object.types {
            fields.insert("apiVersion".to_owned(), types.api_version.clone().into());
            fields.insert("kind".to_owned(), types.kind.clone().into());
        }
    }
    whole
}

/// The fields of `asked` as `found` has them. Lists count whole: an item that somebody added shows once, is learnt from
/// the answer of the next write, and stays.
fn within(asked: &Value, found: &Value) -> Value {
    match (asked, found) {
        (Value::Object(asked), Value::Object(found)) => {
            let fields = asked.iter().filter(|(name, _)| *name != "apiVersion" && *name != "kind");
            fields
                .map(|(name, asked)| (name.clone(), found.get(name).map_or(Value::Null, |found| within(asked, found))))
                .collect()
        }
        (_, found) => found.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key() -> Key {
        Key { kind: "DaemonSet", name: "a".to_owned() }
    }

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).expect("an object")
    }

    fn wanted() -> Value {
        json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "a"},
            "spec": {"cpu": "1000m", "list": [{"name": "x"}], "off": null}})
    }

    fn stored(change: impl FnOnce(&mut Value)) -> DynamicObject {
        let mut stored = json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "a", "uid": "u", "resourceVersion": "7", "labels": {"of": "others"}},
            "spec": {"cpu": "1", "list": [{"name": "x", "defaulted": true}], "replicas": 1}, "status": {"ready": 0}});
        change(&mut stored);
        object(stored)
    }

    type Change = fn(&mut Value);

    #[test]
    fn what_the_api_server_makes_of_it_is_no_drift_and_an_edit_is() {
        let mut memory = Memory::default();
        let now = Instant::now();
        let differs = |memory: &mut Memory, wanted: &Value, found: Option<&DynamicObject>| {
            memory.drift(&key(), wanted, found, now) == Drift::Differs
        };
        assert!(differs(&mut memory, &wanted(), None));
        let same = stored(|_| {});
        assert!(differs(&mut memory, &wanted(), Some(&same)), "nobody knows yet what it was made from");
        memory.applied(key(), wanted(), None, &same, now);
        let harmless: [Change; 3] = [
            |one| one["status"]["ready"] = json!(3),
            |one| one["metadata"]["labels"]["also"] = json!("theirs"),
            |one| one["spec"]["replicas"] = json!(5),
        ];
        for change in harmless {
            assert!(!differs(&mut memory, &wanted(), Some(&stored(change))));
        }
        let edits: [Change; 3] = [
            |one| one["spec"]["cpu"] = json!("2"),
            |one| one["spec"]["list"] = json!([]),
            |one| one["spec"]["off"] = json!(true),
        ];
        for change in edits {
            assert!(differs(&mut memory, &wanted(), Some(&stored(change))));
        }
        assert!(differs(&mut memory, &wanted(), None), "it was there, and is gone");
        let mut other = wanted();
        other["spec"]["cpu"] = json!("3");
        assert!(differs(&mut memory, &other, Some(&same)), "something else is wanted now");
        memory.forget(&key());
        assert!(differs(&mut memory, &wanted(), Some(&same)));
    }

    #[test]
    fn a_watch_that_is_behind_is_waited_for() {
        let mut memory = Memory::default();
        let now = Instant::now();
        let old = stored(|one| {
            one["metadata"]["resourceVersion"] = json!("6");
            one["spec"]["cpu"] = json!("2");
        });
        let awaited = Drift::Awaited { until: now + BEHIND };
        for found in [None, Some(&old)] {
            memory.applied(key(), wanted(), found, &stored(|_| {}), now);
            assert_eq!(memory.drift(&key(), &wanted(), found, now), awaited);
            assert_eq!(memory.drift(&key(), &wanted(), found, now + BEHIND), Drift::Differs, "it never came");
            assert_eq!(memory.drift(&key(), &wanted(), Some(&stored(|_| {})), now), Drift::None);
            assert_eq!(memory.drift(&key(), &wanted(), found, now), Drift::Differs, "it was shown, and went back");
            memory.forget(&key());
        }
    }

    #[test]
    fn who_undoes_each_repair_is_named_and_waited_for() {
        let mut memory = Memory::default();
        let start = Instant::now();
        let theirs = stored(|one| {
            one["metadata"]["managedFields"] = json!([
                {"manager": object::FIELD_MANAGER, "operation": "Apply", "time": "2026-01-01T00:00:02Z"},
                {"manager": "early", "operation": "Update", "time": "2026-01-01T00:00:00Z"},
                {"manager": "tug", "operation": "Update", "time": "2026-01-01T00:00:01Z"},
            ]);
        });
        for second in 0..=5 {
            assert_eq!(memory.contest(&key(), &wanted(), Some(&theirs), start), None, "after {second}");
            memory.applied(key(), wanted(), Some(&theirs), &stored(|_| {}), start + Duration::from_secs(second));
        }
        let now = start + Duration::from_secs(6);
        let contest = memory.contest(&key(), &wanted(), Some(&theirs), now);
        let over = start + Duration::from_secs(5) + WINDOW;
        assert_eq!(contest, Some(("tug".to_owned(), over)));
        let mut other = wanted();
        other["spec"]["cpu"] = json!("3");
        assert_eq!(memory.contest(&key(), &other, Some(&theirs), now), None, "a new wish is tried at once");
        assert_eq!(memory.contest(&key(), &wanted(), Some(&theirs), over), None);
    }
    /// Else what is said of it would change with each try, and nobody be told who waits for it to stay.
    #[test]
    fn a_fight_is_on_until_it_has_stayed_for_a_while() {
        let mut memory = Memory::default();
        let mut now = Instant::now();
        let repair = |memory: &mut Memory, now| memory.applied(key(), wanted(), None, &stored(|_| {}), now);
        repair(&mut memory, now);
        for _ in 0..5 {
            assert_eq!(memory.fight(&key(), now), None);
            repair(&mut memory, now);
        }
        let (_, mut until) = memory.contest(&key(), &wanted(), None, now).expect("a fight");
        // Whoever it is goes on: one try each minute, and never peace.
        for _ in 0..3 {
            assert!(memory.fight(&key(), now + WINDOW / 2).is_some());
            now = until;
            assert_eq!(memory.contest(&key(), &wanted(), None, now), None, "it is tried");
            repair(&mut memory, now);
            assert!(memory.fight(&key(), now).is_some(), "and may be undone at once");
            now += Duration::from_secs(1);
            (_, until) = memory.contest(&key(), &wanted(), None, now).expect("it was");
        }
        // They stop.
        now = until;
        repair(&mut memory, now);
        assert!(memory.fight(&key(), now + WINDOW / 2).is_some());
        assert_eq!(memory.fight(&key(), now + WINDOW), None);
        assert_eq!(memory.fight(&key(), now), None, "it is over");
    }
}
