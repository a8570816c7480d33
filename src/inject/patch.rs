//! A plan as a patch of RFC 6902.
//!
//! Operations touch what otelgate owns and nothing else: re-encoding a pod would strip fields that are newer than this
//! program. They are serialised straight from the plan; offline and in tests `json_patch` reads the same bytes.

use std::fmt;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer};

use super::containers::Slot;
use super::plan::{ContainerPlan, Edit, Entry, MapState, Plan, Stripped, Value};
use super::status::Was;
use super::view::Presence;

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

const LABELS: &str = "labels";
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
                        Was::Null | Was::Text(_) => Operation::Replace(path, Node::Text(text)),
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

fn added<'e, 'a>(entries: &'e [Entry<'a>]) -> impl Iterator<Item = &'e Entry<'a>> {
    entries.iter().filter(|entry| entry.edit == Edit::Add)
}

// === impl Operation ===

impl Serialize for Operation<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (op, path, value) = match self {
            Self::Add(path, value) => ("add", path, Some(value)),
            Self::Replace(path, value) => ("replace", path, Some(value)),
            Self::Remove(path) => ("remove", path, None),
        };
        let mut operation = serializer.serialize_struct("Operation", 3)?;
        operation.serialize_field("op", op)?;
        operation.serialize_field("path", path)?;
        if let Some(value) = value {
            operation.serialize_field("value", value)?;
        }
        operation.end()
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

impl Serialize for Path<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

// === impl Node ===

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Variable(entry) => Variable(entry).serialize(serializer),
            Self::Variables(entries) => {
                let mut list = serializer.serialize_seq(None)?;
                for entry in added(entries) {
                    list.serialize_element(&Variable(entry))?;
                }
                list.end()
            }
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(None)?;
                for entry in added(entries) {
                    if let Some(Value::Text(text)) = &entry.value {
                        map.serialize_entry(&entry.key, text)?;
                    }
                }
                map.end()
            }
            Self::Metadata { labels, annotations } => {
                let mut map = serializer.serialize_map(None)?;
                for (name, entries) in [(LABELS, labels), (ANNOTATIONS, annotations)] {
                    if added(entries).next().is_some() {
                        map.serialize_entry(name, &Node::Map(entries))?;
                    }
                }
                map.end()
            }
        }
    }
}

struct Variable<'a>(&'a Entry<'a>);

impl Serialize for Variable<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        #[serde(rename_all = "camelCase")]
        struct FieldRef<'a> {
            field_path: &'a str,
        }
        #[derive(serde::Serialize)]
        #[serde(rename_all = "camelCase")]
        struct ValueFrom<'a> {
            field_ref: FieldRef<'a>,
        }

        let mut variable = serializer.serialize_struct("Variable", 2)?;
        variable.serialize_field("name", &self.0.key)?;
        match &self.0.value {
            Some(Value::Text(text)) => variable.serialize_field("value", text)?,
            Some(Value::Field(path)) => {
                variable.serialize_field("valueFrom", &ValueFrom { field_ref: FieldRef { field_path: path } })?;
            }
            None => {}
        }
        variable.end()
    }
}
