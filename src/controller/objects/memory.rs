//! What the API server made of what was applied: the measure of drift.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Key;
use crate::controller::contest::{Contest, Contested, WINDOW};
use crate::k8s::{DynamicObject, ResourceExt as _};

/// Of each object that was applied since this controller leads. Without an entry an object is applied once more: where
/// nothing differs the API server writes nothing.
#[derive(Debug, Default)]
pub struct Memory {
    applied: BTreeMap<Key, Applied>,
    deleted: BTreeMap<Key, Deleted>,
}

#[derive(Debug)]
struct Applied {
    /// Over what was sent.
    contest: Contest<Value>,
    /// The fields that were sent, as the answer had them.
    kept: Value,
    /// What the watch showed when it was applied: as long as that is all it shows, it is behind.
    shown: Option<String>,
    at: Instant,
    seen: bool,
    /// What was deleted since, to be made anew.
    made_way: Option<DynamicObject>,
}

#[derive(Debug)]
struct Deleted {
    /// Over that it isn't there.
    contest: Contest<()>,
    uid: String,
    at: Instant,
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

/// How long a watch may be behind a write: longer than it takes to list again where it fails.
const BEHIND: Duration = Duration::from_secs(8);

// === impl Memory ===

impl Memory {
    /// Whether the object has to be applied.
    #[must_use]
    pub fn drift(&mut self, key: &Key, wanted: &Value, found: Option<&DynamicObject>, now: Instant) -> Drift {
        let Some(applied) = self.applied.get_mut(key).filter(|applied| applied.contest.wanted() == Some(wanted)) else {
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
        let before = self.applied.remove(&key).map(|before| (before.contest, before.made_way));
        let (mut contest, made_way) = before.unwrap_or_default();
        contest.wrote(sent, found.or(made_way.as_ref()), answer, now);
        self.applied
            .insert(key, Applied { contest, kept, shown: version(found), at: now, seen: false, made_way: None });
    }

    /// It couldn't be applied to what was found, which was deleted for it.
    pub fn made_way(&mut self, key: &Key, found: &DynamicObject) {
        if let Some(applied) = self.applied.get_mut(key) {
            (applied.seen, applied.made_way) = (true, Some(found.clone()));
        }
    }

    /// Whether others change back each time what differs.
    #[must_use]
    pub fn over(&self, key: &Key, wanted: &Value, now: Instant) -> Option<Contested> {
        self.applied.get(key)?.contest.over(wanted, now)
    }

    /// Whether others change back each time what is as it should be just now.
    #[must_use]
    pub fn going_on(&mut self, key: &Key, now: Instant) -> Option<Contested> {
        self.applied.get_mut(key)?.contest.going_on(now)
    }

    /// It was deleted as it was found.
    pub fn deleted(&mut self, key: Key, found: &DynamicObject, now: Instant) {
        let mut contest = self.deleted.remove(&key).map(|before| before.contest).unwrap_or_default();
        contest.deleted(found, now);
        self.deleted.insert(key, Deleted { contest, uid: found.uid().unwrap_or_default(), at: now });
    }

    /// Until when the watch may go on showing what was deleted.
    #[must_use]
    pub fn lingers(&self, key: &Key, uid: &str, now: Instant) -> Option<Instant> {
        let deleted = self.deleted.get(key).filter(|deleted| deleted.uid == uid)?;
        Some(deleted.at + BEHIND).filter(|until| now < *until)
    }

    /// Whether others put it back each time that it is deleted.
    #[must_use]
    pub fn put_back(&self, key: &Key, now: Instant) -> Option<Contested> {
        self.deleted.get(key)?.contest.over(&(), now)
    }

    /// What others put back each time, and isn't there just now; of what isn't to go any more, nothing is known.
    pub fn going_on_without(
        &mut self,
        is_wanted: impl Fn(&Key) -> bool,
        is_there: impl Fn(&Key) -> bool,
        now: Instant,
    ) -> Vec<(Key, Contested)> {
        self.deleted.retain(|key, deleted| !is_wanted(key) && (is_there(key) || now < deleted.at + WINDOW));
        let gone = self.deleted.iter_mut().filter(|(key, _)| !is_there(key));
        gone.filter_map(|(key, deleted)| Some((key.clone(), deleted.contest.going_on(now)?))).collect()
    }

    pub fn forget(&mut self, key: &Key) {
        self.applied.remove(key);
    }
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
    use std::sync::Arc;

    use super::*;
    use crate::controller::contest::Undoing;
    use crate::controller::objects::{Action, Observed, plan};
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
    fn what_was_deleted_isnt_deleted_again_while_the_watch_is_behind() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let mut plan_of = |uid: &str, deleted: bool, now| {
            let there = stored(|found| found["metadata"]["uid"] = json!(uid));
            if deleted {
                memory.deleted(key(), &there, start);
            }
            plan(&BTreeMap::new(), &BTreeMap::from([(key(), Arc::new(there))]), &mut memory, now)
        };
        let delete = |uid: &str| vec![Action::Delete { key: key(), uid: uid.to_owned() }];
        assert_eq!(plan_of("u", false, start), delete("u"));
        assert_eq!(plan_of("u", true, start), [Action::Await { until: start + BEHIND }]);
        assert_eq!(plan_of("another", false, start), delete("another"));
        assert_eq!(plan_of("u", true, start + BEHIND), delete("u"), "it is still there");
    }

    #[test]
    fn who_undoes_each_repair_is_named_and_waited_for() {
        let mut memory = Memory::default();
        let start = Instant::now();
        let of = |version: u64| stored(|one| one["metadata"]["resourceVersion"] = json!(version.to_string()));
        let theirs = |version: u64| {
            stored(|one| {
                one["metadata"]["resourceVersion"] = json!(version.to_string());
                one["metadata"]["managedFields"] = json!([{"manager": "tug", "operation": "Update"}]);
            })
        };
        // A watch that is behind has the same applied over and over.
        for version in 10..30 {
            memory.applied(key(), wanted(), Some(&theirs(1)), &of(version), start);
        }
        for round in 3..=7 {
            assert_eq!(memory.over(&key(), &wanted(), start), None, "before {round}");
            memory.applied(key(), wanted(), Some(&theirs(10 * round)), &of(10 * round + 1), start);
        }
        let contested = memory.over(&key(), &wanted(), start).expect("a fight");
        assert_eq!(contested.by, "tug");
        assert_eq!(memory.going_on(&key(), start), Some(contested), "though it is as it should be just now");
        let mut other = wanted();
        other["spec"]["cpu"] = json!("3");
        assert_eq!(memory.over(&key(), &other, start), None, "a new wish is tried at once");
        memory.forget(&key());
        assert_eq!(memory.going_on(&key(), start), None);
    }

    /// A copy of ours that somebody applies, with our label in it.
    #[test]
    fn who_puts_back_what_is_to_go_is_named_and_waited_for() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let copy = |uid: usize| {
            stored(|one| {
                one["metadata"]["uid"] = json!(uid.to_string());
                one["metadata"]["managedFields"] = json!([{"manager": "argocd", "operation": "Apply"}]);
            })
        };
        let none = BTreeMap::new();
        let there = |uid| BTreeMap::from([(key(), Arc::new(copy(uid)))]);
        let mut now = start;
        for uid in 1..=6 {
            assert_eq!(
                plan(&none, &there(uid), &mut memory, now),
                [Action::Delete { key: key(), uid: uid.to_string() }]
            );
            memory.deleted(key(), &copy(uid), now);
            now += Duration::from_secs(1);
        }
        let until = start + Duration::from_secs(5) + WINDOW;
        let contested = |until| Contested { how: Undoing::PutBack, by: "argocd".to_owned(), until };
        let waits = |until| [Action::Wait { key: key(), contested: contested(until) }];
        assert_eq!(plan(&none, &there(7), &mut memory, now), waits(until));
        assert_eq!(plan(&none, &Observed::new(), &mut memory, now), waits(until), "though it isn't there just now");
        assert_eq!(plan(&none, &there(8), &mut memory, until), [Action::Delete { key: key(), uid: "8".to_owned() }]);
        memory.deleted(key(), &copy(8), until);
        let next = until + WINDOW;
        assert_eq!(plan(&none, &there(9), &mut memory, until), waits(next), "one try each minute");
        assert_eq!(plan(&none, &Observed::new(), &mut memory, next), [], "it stays away");
        assert_eq!(plan(&none, &there(10), &mut memory, next), [Action::Delete { key: key(), uid: "10".to_owned() }]);
        memory.deleted(key(), &copy(10), next);
        assert_eq!(plan(&none, &Observed::new(), &mut memory, next), [], "and once more is no fight");
    }

    #[test]
    fn what_is_wanted_again_is_no_fight() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let wanted = BTreeMap::from([(key(), wanted())]);
        let uid = |uid: usize| stored(|one| one["metadata"]["uid"] = json!(uid.to_string()));
        for round in 1..20 {
            let there = BTreeMap::from([(key(), Arc::new(uid(round)))]);
            let delete = plan(&BTreeMap::new(), &there, &mut memory, start);
            assert_eq!(delete, [Action::Delete { key: key(), uid: round.to_string() }]);
            memory.deleted(key(), &uid(round), start);
            assert!(matches!(&*plan(&wanted, &Observed::new(), &mut memory, start), [Action::Apply { .. }]));
        }
    }

    /// With a field that can't be changed any more.
    #[test]
    fn who_has_another_in_its_place_each_time_is_named_and_waited_for() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let wanted = || BTreeMap::from([(key(), wanted())]);
        let of = |uid: String, by: &str| {
            stored(|one| {
                one["metadata"]["resourceVersion"] = json!(uid);
                one["metadata"]["uid"] = json!(uid);
                one["metadata"]["managedFields"] = json!([{"manager": by, "operation": "Update"}]);
                one["spec"]["cpu"] = json!(by);
            })
        };
        memory.applied(key(), self::wanted(), None, &of("ours".to_owned(), "1"), start);
        for round in 0..5 {
            let theirs = of(format!("theirs-{round}"), "tug");
            let there = BTreeMap::from([(key(), Arc::new(theirs.clone()))]);
            let applies = |actions: &[Action]| matches!(actions, [Action::Apply { .. }]);
            assert!(applies(&plan(&wanted(), &there, &mut memory, start)), "{round}");
            memory.made_way(&key(), &theirs);
            assert!(applies(&plan(&wanted(), &Observed::new(), &mut memory, start)), "{round}: it has gone");
            memory.applied(key(), self::wanted(), None, &of(format!("ours-{round}"), "1"), start);
        }
        let there = BTreeMap::from([(key(), Arc::new(of("theirs".to_owned(), "tug")))]);
        let contested = Contested { how: Undoing::MadeAnew, by: "tug".to_owned(), until: start + WINDOW };
        assert_eq!(plan(&wanted(), &there, &mut memory, start), [Action::Wait { key: key(), contested }]);
    }
}
