//! From the parser's events to JSON values, as kubectl makes them.

use std::collections::HashMap;

use granit_parser::{Event, ScalarStyle, Tag};
use serde_json::{Map, Value};

use super::fault::{Fault, MAX_ALIASED, MAX_DEPTH};
use super::scalar::{Scalar, resolve};

/// Builds the value of one document after the other.
#[derive(Default)]
pub struct Builder {
    frames: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    /// Values that aliases made so far.
    pub(super) aliased: usize,
    root: Option<Value>,
}

struct Frame {
    anchor: usize,
    collection: Collection,
}

enum Collection {
    Sequence(Vec<Value>),
    Mapping {
        map: Map<String, Value>,
        key: Key,
        /// Keys that only a merge brought: they may be written again.
        merged: Vec<String>,
    },
}

enum Key {
    Awaited,
    Named(String),
    Merge,
}

/// What an alias stands for, with its size, so that it is known before the copy is made.
struct Anchored {
    value: Value,
    values: usize,
    depth: usize,
}

// === impl Builder ===

impl Builder {
    /// Takes the next event of a document.
    ///
    /// # Errors
    /// When kubectl would refuse what the event stands for, or silently take it for something else.
    pub fn take(&mut self, event: Event<'_>) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag.as_deref()),
            Event::Alias(id) => self.alias(id),
            Event::SequenceStart(_, anchor, _) => self.open(anchor, Collection::Sequence(Vec::new())),
            Event::MappingStart(_, anchor, _) => {
                self.open(anchor, Collection::Mapping { map: Map::new(), key: Key::Awaited, merged: Vec::new() })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => Ok(()),
        }
    }

    /// The value of the document that ended; null for an empty one.
    pub fn finish(&mut self) -> Value {
        self.anchors.clear();
        self.root.take().unwrap_or_default()
    }

    fn awaits_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame { collection: Collection::Mapping { key: Key::Awaited, .. }, .. }))
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, anchor: usize, tag: Option<&Tag>) -> Result<(), Fault> {
        let scalar = tagged(text, style, tag)?;
        if self.awaits_key() {
            let merges = text == "<<" && style == ScalarStyle::Plain && tag.is_none_or(|tag| tag.suffix() == "merge");
            let key = if merges { Key::Merge } else { Key::Named(scalar.to_key(text).ok_or(Fault::NullKey)?) };
            if let (Key::Named(name), true) = (&key, anchor != 0) {
                self.anchors.insert(anchor, Anchored { value: Value::String(name.clone()), values: 1, depth: 0 });
            }
            return self.key(key);
        }
        let value = if tag.is_some_and(|tag| core(tag) == Some("binary")) {
            Value::String(decode(text)?)
        } else {
            scalar.to_json(text).ok_or_else(|| Fault::NotFinite(text.to_owned()))?
        };
        self.value(value, anchor)
    }

    fn key(&mut self, next: Key) -> Result<(), Fault> {
        let Some(Frame { collection: Collection::Mapping { map, key, merged }, .. }) = self.frames.last_mut() else {
            return Ok(());
        };
        if let Key::Named(name) = &next
            && map.contains_key(name)
        {
            let Some(index) = merged.iter().position(|one| one == name) else {
                return Err(Fault::DuplicateKey(name.clone()));
            };
            merged.swap_remove(index);
        }
        *key = next;
        Ok(())
    }

    fn alias(&mut self, id: usize) -> Result<(), Fault> {
        let anchored = self.anchors.get(&id).ok_or(Fault::AliasOfItself)?;
        self.aliased += anchored.values;
        if self.aliased > MAX_ALIASED {
            return Err(Fault::AliasBomb);
        }
        if self.frames.len() + anchored.depth > MAX_DEPTH {
            return Err(Fault::TooDeep);
        }
        let value = anchored.value.clone();
        if !self.awaits_key() {
            return self.value(value, 0);
        }
        match value {
            Value::String(text) => self.key(Key::Named(text)),
            Value::Number(number) => self.key(Key::Named(number.to_string())),
            Value::Bool(value) => self.key(Key::Named(value.to_string())),
            Value::Null => Err(Fault::NullKey),
            Value::Array(_) | Value::Object(_) => Err(Fault::KeyNotScalar),
        }
    }

    fn open(&mut self, anchor: usize, collection: Collection) -> Result<(), Fault> {
        if self.awaits_key() {
            return Err(Fault::KeyNotScalar);
        }
        if self.frames.len() >= MAX_DEPTH {
            return Err(Fault::TooDeep);
        }
        self.frames.push(Frame { anchor, collection });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        let Some(Frame { anchor, collection }) = self.frames.pop() else { return Ok(()) };
        let value = match collection {
            Collection::Sequence(items) => Value::Array(items),
            Collection::Mapping { map, .. } => Value::Object(map),
        };
        self.value(value, anchor)
    }

    fn value(&mut self, value: Value, anchor: usize) -> Result<(), Fault> {
        if anchor != 0 {
            let (values, depth) = size(&value);
            self.anchors.insert(anchor, Anchored { value: value.clone(), values, depth });
        }
        match self.frames.last_mut() {
            None => self.root = Some(value),
            Some(Frame { collection: Collection::Sequence(items), .. }) => items.push(value),
            Some(Frame { collection: Collection::Mapping { map, key, merged }, .. }) => {
                match std::mem::replace(key, Key::Awaited) {
                    Key::Named(name) => {
                        map.insert(name, value);
                    }
                    Key::Merge => merge(map, merged, value)?,
                    Key::Awaited => {}
                }
            }
        }
        Ok(())
    }
}

/// What is merged wins over what stands above it, and loses to what stands below; of a list, the first wins.
fn merge(map: &mut Map<String, Value>, merged: &mut Vec<String>, value: Value) -> Result<(), Fault> {
    let maps = match value {
        Value::Array(items) => items,
        one => vec![one],
    };
    for one in maps.into_iter().rev() {
        let Value::Object(entries) = one else { return Err(Fault::MergeNotMap) };
        for (key, value) in entries {
            if !map.contains_key(&key) {
                merged.push(key.clone());
            }
            map.insert(key, value);
        }
    }
    Ok(())
}

/// How many values it is, and how deep.
fn size(value: &Value) -> (usize, usize) {
    let sizes = |children: &mut dyn Iterator<Item = &Value>| {
        children.map(size).fold((1, 1), |(values, depth), (more, below)| (values + more, depth.max(below + 1)))
    };
    match value {
        Value::Array(items) => sizes(&mut items.iter()),
        Value::Object(map) => sizes(&mut map.values()),
        _ => (1, 0),
    }
}

const CORE: &str = "tag:yaml.org,2002:";

fn core(tag: &Tag) -> Option<&str> {
    (tag.handle() == CORE).then(|| tag.suffix())
}

/// The scalar, with its tag. A quoted one is text unless a tag says otherwise; tags of other makers say nothing.
fn tagged(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Scalar, Fault> {
    let Some(tag) = tag else {
        return Ok(if style == ScalarStyle::Plain { resolve(text) } else { Scalar::Text });
    };
    let resolved = || resolve(text);
    let scalar = match core(tag) {
        Some("bool") => Some(resolved()).filter(|scalar| matches!(scalar, Scalar::Bool(_))),
        Some("int") => Some(resolved()).filter(|scalar| matches!(scalar, Scalar::Int(_) | Scalar::Uint(_))),
        Some("float") => {
            Some(resolved()).filter(|scalar| matches!(scalar, Scalar::Int(_) | Scalar::Uint(_) | Scalar::Float(_)))
        }
        Some("null") => Some(resolved()).filter(|scalar| matches!(scalar, Scalar::Null)),
        _ => Some(Scalar::Text),
    };
    scalar.ok_or_else(|| Fault::WrongTag(tag.suffix().to_owned()))
}

fn decode(text: &str) -> Result<String, Fault> {
    use base64::Engine as _;

    let wrong = || Fault::WrongTag("binary".to_owned());
    let compact: String = text.split_ascii_whitespace().collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(compact).map_err(|_| wrong())?;
    String::from_utf8(bytes).map_err(|_| wrong())
}
