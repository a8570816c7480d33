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
}

/// So many repairs within [`WINDOW`] are a fight.
const MOST_REPAIRS: usize = 5;
const WINDOW: Duration = Duration::from_mins(1);

// === impl Memory ===

impl Memory {
    /// Whether the object has to be applied.
    #[must_use]
    pub fn differs(&self, key: &Key, wanted: &Value, found: Option<&DynamicObject>) -> bool {
        match (self.0.get(key), found) {
            (_, None) | (None, _) => true,
            (Some(applied), Some(found)) => applied.sent != *wanted || within(wanted, &whole(found)) != applied.kept,
        }
    }

    /// What the API server answered.
    pub fn applied(&mut self, key: Key, sent: Value, answer: &DynamicObject, now: Instant) {
        let kept = within(&sent, &whole(answer));
        let before = self.0.remove(&key);
        let mut repairs = before.as_ref().map(|before| before.repairs.clone()).unwrap_or_default();
        repairs.retain(|at| now.saturating_duration_since(*at) < WINDOW);
        if before.is_some_and(|before| before.sent == sent) {
            repairs.push(now);
        }
        self.0.insert(key, Applied { sent, kept, repairs });
    }

    /// Who changes it again and again, and until when it is left to them.
    #[must_use]
    pub fn contest(
        &self,
        key: &Key,
        wanted: &Value,
        found: Option<&DynamicObject>,
        now: Instant,
    ) -> Option<(String, Instant)> {
        let applied = self.0.get(key).filter(|applied| applied.sent == *wanted)?;
        let recent = applied.repairs.iter().filter(|at| now.saturating_duration_since(**at) < WINDOW);
        let first = recent.clone().next().copied()?;
        (recent.count() >= MOST_REPAIRS).then(|| (other_manager(found), first + WINDOW))
    }

    pub fn forget(&mut self, key: &Key) {
        self.0.remove(key);
    }
}

/// Who wrote it last, beside us.
fn other_manager(found: Option<&DynamicObject>) -> String {
    let managers = found.into_iter().flat_map(|found| found.metadata.managed_fields.iter().flatten());
    let others = managers.filter(|entry| entry.manager.as_deref() != Some(object::FIELD_MANAGER));
    let last = others.max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
    last.and_then(|entry| entry.manager.clone()).unwrap_or_else(|| "somebody who deletes it".to_owned())
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

    #[test]
    fn what_the_api_server_makes_of_it_is_no_drift_and_an_edit_is() {
        let mut memory = Memory::default();
        let now = Instant::now();
        assert!(memory.differs(&key(), &wanted(), None));
        assert!(memory.differs(&key(), &wanted(), Some(&stored(|_| {}))), "nobody knows yet what it was made from");
        memory.applied(key(), wanted(), &stored(|_| {}), now);
        type Change = fn(&mut Value);
        let harmless: [Change; 3] = [
            |one| one["status"]["ready"] = json!(3),
            |one| one["metadata"]["labels"]["also"] = json!("theirs"),
            |one| one["spec"]["replicas"] = json!(5),
        ];
        for change in harmless {
            assert!(!memory.differs(&key(), &wanted(), Some(&stored(change))));
        }
        let edits: [Change; 3] = [
            |one| one["spec"]["cpu"] = json!("2"),
            |one| one["spec"]["list"] = json!([]),
            |one| one["spec"]["off"] = json!(true),
        ];
        for change in edits {
            assert!(memory.differs(&key(), &wanted(), Some(&stored(change))));
        }
        let mut other = wanted();
        other["spec"]["cpu"] = json!("3");
        assert!(memory.differs(&key(), &other, Some(&stored(|_| {}))), "something else is wanted now");
        memory.forget(&key());
        assert!(memory.differs(&key(), &wanted(), Some(&stored(|_| {}))));
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
            memory.applied(key(), wanted(), &stored(|_| {}), start + Duration::from_secs(second));
        }
        let now = start + Duration::from_secs(6);
        let contest = memory.contest(&key(), &wanted(), Some(&theirs), now);
        assert_eq!(contest, Some(("tug".to_owned(), start + Duration::from_secs(1) + WINDOW)));
        let mut other = wanted();
        other["spec"]["cpu"] = json!("3");
        assert_eq!(memory.contest(&key(), &other, Some(&theirs), now), None, "a new wish is tried at once");
        assert_eq!(memory.contest(&key(), &wanted(), Some(&theirs), start + WINDOW + Duration::from_secs(2)), None);
    }
}
