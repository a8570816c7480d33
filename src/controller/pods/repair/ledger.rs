//! What a repair remembers, in the `ConfigMap` `otelgate-repair`: which workloads were begun for the configuration in
//! force, and how many evictions each has left.
//!
//! It is written before each eviction, bound to the version that was read: a controller that ends in between evicts too
//! few, never too many, and of two that act for a moment one is refused.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::api::object;
use crate::controller::pods::record::Name;
use crate::k8s::{ConfigMap, OwnerReference};

/// Which workload, with its identity, so that one of the same name is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(u64);

/// A workload that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Evictions that it may still get.
    pub left: u16,
    /// When the newest of its pods was created as it began, in seconds: those that are newer came since.
    pub newest: i64,
    /// The same as its last eviction was decided: each that was there was Ready, and what came of it is newer.
    pub last: i64,
    pub end: Option<End>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Done,
    Unmarked,
    NotReady,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Of the configuration that it is about.
    pub hash: String,
    pub evicted: u32,
    /// Workloads that came back no better, in a row.
    pub failures: u32,
    pub entries: BTreeMap<Key, Entry>,
    /// Of the `ConfigMap`, `None` while there is none.
    pub version: Option<String>,
}

/// Workloads that fit into a `ConfigMap`.
const MOST: usize = 20_000;
/// After so many workloads that came back no better, with none in between that did, the fault isn't theirs.
const MOST_FAILURES: u32 = 3;

// === impl Key ===

impl Key {
    #[must_use]
    pub fn of(name: &Name, uid: &str) -> Self {
        let digest = Sha256::digest(format!("{name}/{uid}"));
        Self(digest.iter().take(8).fold(0, |key, byte| (key << 8) | u64::from(*byte)))
    }
}

// === impl End ===

impl End {
    const ALL: [Self; 3] = [Self::Done, Self::Unmarked, Self::NotReady];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unmarked => "unmarked",
            Self::NotReady => "notReady",
        }
    }
}

// === impl Ledger ===

impl Ledger {
    /// What stands in the `ConfigMap`, for a configuration: nothing, where it is about another.
    #[must_use]
    pub fn read(map: Option<&ConfigMap>, hash: &str) -> Self {
        let fresh = Self { hash: hash.to_owned(), ..Self::default() };
        let Some(map) = map else { return fresh };
        let version = map.metadata.resource_version.clone();
        let text = |key: &str| map.data.as_ref().and_then(|data| data.get(key)).map(String::as_str).unwrap_or_default();
        if text("hash") != hash {
            return Self { version, ..fresh };
        }
        Self {
            evicted: text("evicted").parse().unwrap_or_default(),
            failures: text("failures").parse().unwrap_or_default(),
            entries: text("workloads").lines().filter_map(entry).collect(),
            version,
            ..fresh
        }
    }

    /// As it is applied.
    #[must_use]
    pub fn config_map(&self, namespace: &str, owner: &OwnerReference) -> Value {
        let workloads = self.entries.iter().fold(String::new(), |mut text, (Key(key), entry)| {
            let Entry { left, newest, last, end } = entry;
            // Writing to a String can't fail.
            let _ = match end {
                None => writeln!(text, "{key:016x} {left} {newest} {last}"),
                // What came of the last one needs nobody to know any more, and twenty thousand have to fit.
                Some(end) => writeln!(text, "{key:016x} {left} {newest} {}", end.as_str()),
            };
            text
        });
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": object::REPAIR,
                "namespace": namespace,
                "resourceVersion": self.version,
                "ownerReferences": [owner],
            },
            "data": {
                "hash": self.hash,
                "evicted": self.evicted.to_string(),
                "failures": self.failures.to_string(),
                "workloads": workloads,
            },
        })
    }

    /// Whether another workload may be begun.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.entries.len() < MOST
    }

    /// Whether it has seen too many come back no better.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.failures >= MOST_FAILURES
    }

    /// Whether the last one came back no better.
    #[must_use]
    pub fn has_failures(&self) -> bool {
        self.failures > 0
    }

    /// Those that have no eviction left are over.
    pub fn close_spent(&mut self) {
        let spent = self.entries.values_mut().filter(|entry| entry.left == 0 && entry.end.is_none());
        spent.for_each(|entry| entry.end = Some(End::Done));
    }

    /// A workload is over. Tells whether that has to be written.
    pub fn end(&mut self, key: Key, end: End) -> bool {
        let Some(entry) = self.entries.get_mut(&key) else { return false };
        entry.end = Some(end);
        self.failures = if end == End::Done { 0 } else { self.failures + 1 };
        true
    }
}

/// A line that can't be read is one that somebody edited: the workload begins anew.
fn entry(line: &str) -> Option<(Key, Entry)> {
    let mut words = line.split_whitespace();
    let key = Key(u64::from_str_radix(words.next()?, 16).ok()?);
    let (left, newest) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let word = words.next()?;
    let (last, end) = match word.parse() {
        Ok(last) => (last, None),
        Err(_) => (newest, Some(End::ALL.into_iter().find(|end| end.as_str() == word)?)),
    };
    Some((key, Entry { left, newest, last, end }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let name = Name { namespace: "shop".into(), kind: "Deployment".into(), name: "web".into() };
        let [one, two] = ["u", "v"].map(|uid| Key::of(&name, uid));
        assert_ne!(one, two, "the next of that name is another");
        let mut ledger = Ledger { hash: "h".to_owned(), evicted: 7, ..Ledger::default() };
        ledger.entries.insert(one, Entry { left: 2, newest: 1_793_620_800, last: 1_793_620_860, end: None });
        ledger.entries.insert(two, Entry { left: 1, newest: 5, last: 5, end: None });
        assert!(ledger.end(two, End::NotReady) && !ledger.end(Key(1), End::Done));
        let mut written = ledger.config_map("otelgate", &OwnerReference::default());
        written["metadata"]["resourceVersion"] = json!("12");
        let map: ConfigMap = serde_json::from_value(written).expect("a ConfigMap");
        let read = Ledger::read(Some(&map), "h");
        assert_eq!(read, Ledger { version: Some("12".to_owned()), ..ledger });
        let other = Ledger::read(Some(&map), "i");
        assert_eq!((other.entries.len(), other.evicted, other.version.as_deref()), (0, 0, Some("12")));
        assert_eq!(Ledger::read(None, "i").version, None);
    }

    #[test]
    fn three_in_a_row_are_too_many() {
        let mut ledger = Ledger::default();
        for (key, end) in
            (0..).zip([End::Unmarked, End::NotReady, End::Done, End::Unmarked, End::NotReady, End::NotReady])
        {
            assert!(!ledger.has_stopped());
            ledger.entries.insert(Key(key), Entry { left: 0, newest: 0, last: 0, end: None });
            ledger.end(Key(key), end);
        }
        assert!(ledger.has_stopped());
    }

    #[test]
    fn twenty_thousand_workloads_fit() {
        for end in [None, Some(End::NotReady)] {
            let entry = Entry { left: u16::MAX, newest: 1_793_620_800, last: 1_793_620_860, end };
            let entries = (0..MOST as u64).map(|key| (Key(u64::MAX - key), entry)).collect();
            let ledger = Ledger { entries, ..Ledger::default() };
            let written = ledger.config_map("otelgate", &OwnerReference::default());
            assert!(written["data"]["workloads"].as_str().expect("text").len() < 1_000_000);
            assert!(!ledger.has_room());
        }
    }
}
