//! Taking out what the status lists, and nothing else.

use serde_json::Value;
use thiserror::Error;

use super::containers;
use super::existing::Existing;
use super::expand::{Piece, Pieces};
use super::plan::Stripped;
use super::prior::{Ownership, Prior, without};
use super::status::Written;
use super::variables::is_reference;
use super::view::{Pod, Presence};
use crate::api::{annotation, label};

/// What was taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    /// Whether there was a status at all.
    pub found: bool,
    /// Keys that otelgate wrote and somebody edited since: they stay.
    pub kept: Vec<String>,
    /// Containers with values as they were written into another: they stay.
    pub unclaimed: Vec<String>,
}

/// Why nothing was taken out.
#[derive(Debug, Error)]
pub enum UndoError {
    #[error("the annotation otelgate.dev/status can't be read; restore it, or remove otelgate's keys by hand")]
    Status,
    #[error("not a pod or a pod template: {0}")]
    NotAPod(String),
}

/// Restores a pod or a pod template to what it was before otelgate wrote into it.
///
/// # Errors
/// When it is none, or its status can't be read; then it is as it was.
pub fn undo(pod: &mut Value) -> Result<Undone, UndoError> {
    let text = pod.to_string();
    let view = Pod::from_json(&text).map_err(|error| UndoError::NotAPod(error.to_string()))?;
    let prior = Prior::read(&view);
    if prior.unreadable {
        return Err(UndoError::Status);
    }
    let Some(status) = &prior.status else { return Ok(Undone::default()) };
    let mut undone = Undone { found: true, ..Undone::default() };
    for (slot, container) in containers::all(&view) {
        let existing = Existing::new(container, &prior);
        if !existing.unclaimed(&prior).is_empty() {
            undone.unclaimed.push(container.name.as_str().to_owned());
        }
        if let Some(written) = prior.container(container.name.as_str()) {
            let list = pod.pointer_mut(&format!("/spec/{}/{}", slot.list(), slot.index)).and_then(Value::as_object_mut);
            if let Some(container) = list {
                undo_container(container, &existing, &prior, written, &mut undone);
            }
        }
    }
    let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) else { return Ok(undone) };
    undo_map(metadata, "labels", &status.labels, label::CONFIG, &mut undone);
    undo_map(metadata, "annotations", &status.annotations, annotation::STATUS, &mut undone);
    let is_empty = metadata.is_empty();
    if let Some(object) = pod.as_object_mut().filter(|_| is_empty) {
        restore(object, "metadata", status.metadata);
    }
    Ok(undone)
}

type Object = serde_json::Map<String, Value>;

fn undo_container(
    container: &mut Object,
    existing: &Existing<'_>,
    prior: &Prior,
    written: &Written,
    undone: &mut Undone,
) {
    let Some(list) = container.get_mut("env").and_then(Value::as_array_mut) else { return };
    for (index, own) in existing.ownership.iter().enumerate() {
        if let Ownership::Suffix(range) = own
            && let Some(variable) = list.get_mut(index).and_then(Value::as_object_mut)
        {
            let value = existing.container.env.items[index].value.value.as_str();
            strip(variable, prior.stripped(existing.container, value, range));
        }
    }
    let edited = existing.edited(prior);
    let gone: Vec<usize> = existing.own_entries().filter(|index| !is_needed(existing, &edited, *index)).collect();
    for index in gone.iter().rev() {
        list.remove(*index);
    }
    undone.kept.extend(edited.iter().map(|name| format!("{name} of container {}", existing.container.name.as_str())));
    if list.is_empty() {
        restore(container, "env", written.was);
    }
}

/// The user's own value, as it was before anything was appended to it.
fn strip(variable: &mut Object, stripped: Stripped) {
    match stripped {
        Stripped::Absent => {
            variable.shift_remove("value");
        }
        Stripped::Null => {
            variable.insert("value".to_owned(), Value::Null);
        }
        Stripped::Text(text) => {
            variable.insert("value".to_owned(), Value::String(text));
        }
    }
}

/// Whether somebody edited a value of ours that refers to this entry: what was the user's before never needed it.
fn is_needed(existing: &Existing<'_>, edited: &[&str], own: usize) -> bool {
    let name = existing.container.env.items[own].name.as_str();
    let refers = |text: &str| Pieces::of(text).any(|piece| piece == Piece::Reference(name));
    is_reference(name)
        && existing.entries().any(|(index, variable)| {
            let value = variable.value.value.as_str();
            let is_edited = edited.contains(&variable.name.as_str());
            match existing.ownership.get(index) {
                Some(Ownership::Suffix(range)) if is_edited => refers(&without(value, range)),
                Some(Ownership::Suffix(range)) => refers(&value[range.end..]),
                _ => is_edited && refers(value),
            }
        })
}

fn undo_map(metadata: &mut Object, name: &str, written: &Written, always: &str, undone: &mut Undone) {
    let Some(map) = metadata.get_mut(name).and_then(Value::as_object_mut) else { return };
    map.shift_remove(always);
    undone.kept.extend(written.edited.iter().filter(|key| map.contains_key(*key)).cloned());
    for (key, mark) in &written.set {
        match map.get(key).and_then(Value::as_str) {
            Some(value) if mark.is_whole(value) => {
                map.shift_remove(key);
            }
            Some(_) if key != always => undone.kept.push(key.clone()),
            Some(_) | None => {}
        }
    }
    if map.is_empty() {
        restore(metadata, name, written.was);
    }
}

/// Puts an empty list or map back to what it was.
fn restore(object: &mut Object, key: &str, was: Presence) {
    match was {
        Presence::Absent => {
            object.shift_remove(key);
        }
        Presence::Null => {
            object.insert(key.to_owned(), Value::Null);
        }
        Presence::Empty | Presence::Filled => {}
    }
}
