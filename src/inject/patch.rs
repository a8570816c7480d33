//! A plan as a patch of RFC 6902.
//!
//! Operations touch what otelgate owns and nothing else: re-encoding a pod would strip fields that are newer than this
//! program. They are written straight from the plan; offline and in tests `json_patch` reads the same bytes.

use std::fmt;
use std::fmt::Write as _;

use super::containers::Slot;
use super::plan::{ContainerPlan, Edit, Entry, MapState, Plan, Stripped, Value};
use super::status::Was;
use super::view::Presence;
use crate::json;

/// One operation.
#[derive(Clone, Debug)]
pub enum Operation<'a> {
    Add(Path<'a>, Node<'a>),
    Replace(Path<'a>, Node<'a>),
    Remove(Path<'a>),
}

/// A JSON pointer into the pod.
#[derive(Clone, Copy, Debug)]
pub enum Path<'a> {
    Metadata,
    /// `/metadata/<map>`
    Map(&'static str),
    /// `/metadata/<map>/<key>`
    Key(&'static str, &'a str),
    /// `/spec/<list>/<index>/env`
    Env(Slot),
    Variable(Slot, usize),
    VariableValue(Slot, usize),
}

/// What is added.
#[derive(Clone, Debug)]
pub enum Node<'a> {
    Null,
    Text(&'a str),
    Variable(&'a Entry<'a>),
    /// The entries of a list or map that have to be added.
    Variables(&'a [Entry<'a>]),
    Map(&'a [Entry<'a>]),
    Metadata {
        labels: &'a [Entry<'a>],
        annotations: &'a [Entry<'a>],
    },
}

pub(super) const LABELS: &str = "labels";
const ANNOTATIONS: &str = "annotations";

impl<'a> Plan<'a> {
    /// The patch, in the order in which it applies; empty when the pod is already as it should be.
    #[must_use]
    pub fn operations(&'a self) -> Vec<Operation<'a>> {
        let entries = self.containers.iter().map(|container| container.env.len() + 1).sum::<usize>();
        let mut operations = Vec::with_capacity(entries + self.annotations.len() + self.labels.len());
        for container in &self.containers {
            container.operations(&mut operations);
        }
        if matches!(self.metadata.now, Presence::Filled | Presence::Empty) {
            map_operations(ANNOTATIONS, &self.metadata.annotations, &self.annotations, &mut operations);
            map_operations(LABELS, &self.metadata.labels, &self.labels, &mut operations);
        } else if added(&self.annotations).chain(added(&self.labels)).next().is_some() {
            let metadata = Node::Metadata { labels: &self.labels, annotations: &self.annotations };
            operations.push(Operation::Add(Path::Metadata, metadata));
        }
        operations
    }
}

impl<'a> ContainerPlan<'a> {
    /// First what changes in place, then what goes, from the end; then what is new.
    fn operations(&'a self, operations: &mut Vec<Operation<'a>>) {
        let slot = self.slot;
        if !matches!(self.state.now, Presence::Filled | Presence::Empty) {
            if added(&self.env).next().is_some() {
                operations.push(Operation::Add(Path::Env(slot), Node::Variables(&self.env)));
            }
            return;
        }
        if let Some((index, stripped)) = &self.state.stripped {
            let path = Path::VariableValue(slot, *index);
            operations.push(match stripped {
                Stripped::Absent => Operation::Remove(path),
                Stripped::Null => Operation::Replace(path, Node::Null),
                Stripped::Text(text) => Operation::Replace(path, Node::Text(text)),
            });
        }
        for entry in &self.env {
            match &entry.edit {
                Edit::Replace(index) => {
                    operations.push(Operation::Replace(Path::Variable(slot, *index), Node::Variable(entry)));
                }
                Edit::Append { index, was, text, changed: true } => {
                    let path = Path::VariableValue(slot, *index);
                    operations.push(match was {
                        Was::Absent => Operation::Add(path, Node::Text(text)),
                        Was::None | Was::Null | Was::Text(_) => Operation::Replace(path, Node::Text(text)),
                    });
                }
                Edit::Append { changed: false, .. } | Edit::None | Edit::Add => {}
            }
        }
        for index in self.state.removed.iter().rev() {
            operations.push(Operation::Remove(Path::Variable(slot, *index)));
        }
        let first =
            self.state.insert_at - self.state.removed.iter().filter(|index| **index < self.state.insert_at).count();
        for (index, entry) in added(&self.env).enumerate() {
            operations.push(Operation::Add(Path::Variable(slot, first + index), Node::Variable(entry)));
        }
    }
}

fn map_operations<'a>(
    map: &'static str,
    state: &'a MapState<'a>,
    entries: &'a [Entry<'a>],
    operations: &mut Vec<Operation<'a>>,
) {
    if !matches!(state.now, Presence::Filled | Presence::Empty) {
        if added(entries).next().is_some() {
            operations.push(Operation::Add(Path::Map(map), Node::Map(entries)));
        }
        return;
    }
    operations.extend(state.removed.iter().map(|key| Operation::Remove(Path::Key(map, key))));
    for entry in entries {
        let Some(Value::Text(text)) = &entry.value else { continue };
        let path = Path::Key(map, &entry.key);
        match entry.edit {
            Edit::Add => operations.push(Operation::Add(path, Node::Text(text))),
            Edit::Replace(_) => operations.push(Operation::Replace(path, Node::Text(text))),
            Edit::None | Edit::Append { .. } => {}
        }
    }
}

pub(super) fn added<'e, 'a>(entries: &'e [Entry<'a>]) -> impl Iterator<Item = &'e Entry<'a>> {
    entries.iter().filter(|entry| entry.edit == Edit::Add)
}

/// The patch as JSON.
#[must_use]
pub fn to_json(operations: &[Operation<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8192);
    push_all(&mut out, *b"[]", operations, |out, operation| operation.push(out));
    out
}

/// A list or an object, by its brackets and what stands between the commas.
fn push_all<T>(
    out: &mut Vec<u8>,
    [open, close]: [u8; 2],
    items: impl IntoIterator<Item = T>,
    push: impl Fn(&mut Vec<u8>, T),
) {
    out.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(close);
}

// === impl Operation ===

impl Operation<'_> {
    fn push(&self, out: &mut Vec<u8>) {
        let (start, path, value) = match self {
            Self::Add(path, value) => (br#"{"op":"add","path":""#.as_slice(), path, Some(value)),
            Self::Replace(path, value) => (br#"{"op":"replace","path":""#.as_slice(), path, Some(value)),
            Self::Remove(path) => (br#"{"op":"remove","path":""#.as_slice(), path, None),
        };
        out.extend_from_slice(start);
        write!(json::Inside(out), "{path}").expect("memory takes everything");
        out.push(b'"');
        if let Some(value) = value {
            out.extend_from_slice(br#","value":"#);
            value.push(out);
        }
        out.push(b'}');
    }
}

// === impl Path ===

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata => f.write_str("/metadata"),
            Self::Map(map) => write!(f, "/metadata/{map}"),
            Self::Key(map, key) => {
                write!(f, "/metadata/{map}/")?;
                // RFC 6901, 3. By pieces, because each write costs a call.
                let mut rest = *key;
                while let Some(at) = rest.find(['~', '/']) {
                    let escape = if rest.as_bytes()[at] == b'~' { "~0" } else { "~1" };
                    f.write_str(&rest[..at])?;
                    f.write_str(escape)?;
                    rest = &rest[at + 1..];
                }
                f.write_str(rest)
            }
            Self::Env(slot) => write!(f, "/spec/{}/{}/env", slot.list(), slot.index),
            Self::Variable(slot, index) => write!(f, "/spec/{}/{}/env/{index}", slot.list(), slot.index),
            Self::VariableValue(slot, index) => write!(f, "/spec/{}/{}/env/{index}/value", slot.list(), slot.index),
        }
    }
}

// === impl Node ===

impl Node<'_> {
    pub(super) fn push(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Text(text) => json::push_string(out, text),
            Self::Variable(entry) => push_variable(out, entry),
            Self::Variables(entries) => push_all(out, *b"[]", added(entries), push_variable),
            Self::Map(entries) => push_map(out, entries),
            Self::Metadata { labels, annotations } => {
                let maps = [(LABELS, labels), (ANNOTATIONS, annotations)];
                let filled = maps.into_iter().filter(|(_, entries)| added(entries).next().is_some());
                push_all(out, *b"{}", filled, |out, (name, entries)| {
                    push_key(out, name);
                    push_map(out, entries);
                });
            }
        }
    }
}

fn push_map(out: &mut Vec<u8>, entries: &[Entry<'_>]) {
    let texts = added(entries).filter_map(|entry| match &entry.value {
        Some(Value::Text(text)) => Some((&entry.key, text)),
        _ => None,
    });
    push_all(out, *b"{}", texts, |out, (key, text)| {
        push_key(out, key);
        json::push_string(out, text);
    });
}

fn push_variable(out: &mut Vec<u8>, entry: &Entry<'_>) {
    out.extend_from_slice(br#"{"name":"#);
    json::push_string(out, &entry.key);
    match &entry.value {
        Some(Value::Text(text)) => {
            out.extend_from_slice(br#","value":"#);
            json::push_string(out, text);
        }
        Some(Value::Field(path)) => {
            out.extend_from_slice(br#","valueFrom":{"fieldRef":{"fieldPath":"#);
            json::push_string(out, path);
            out.extend_from_slice(b"}}");
        }
        None => {}
    }
    out.push(b'}');
}

fn push_key(out: &mut Vec<u8>, key: &str) {
    json::push_string(out, key);
    out.push(b':');
}
