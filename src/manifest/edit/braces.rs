//! Changes what stands in `{…}` and `[…]`, entry by entry.

use std::ops::Range;

use serde_json::{Map, Value};

use super::align::align;
use super::{Change, Editor};
use crate::manifest::tree::{Content, Entry, Node};
use crate::manifest::write;

impl Editor<'_> {
    /// Puts entries into an empty collection that stands in another one's braces.
    pub(super) fn fill(&mut self, node: &Node, new: &Value) {
        let entries = flow(new);
        self.insert(node.range.start + 1, entries[1..entries.len() - 1].to_owned());
    }

    /// Takes all entries out of one.
    pub(super) fn drain(&mut self, node: &Node) -> Option<()> {
        let (start, end) = match &node.content {
            Content::Mapping(entries) => (entries.first()?.key.range.start, entries.last()?.end()),
            Content::Sequence(items) => (items.first()?.range.start, items.last()?.range.end),
            Content::Scalar(_) | Content::Alias => return None,
        };
        let is_blank = |line: &str| line.trim().is_empty() || line.trim().starts_with('#');
        let around = [node.range.start + 1..start, end..node.range.end - 1];
        let alone = around.into_iter().all(|range| self.text.get(range).is_some_and(|text| text.lines().all(is_blank)));
        alone.then(|| self.replace(start..end, String::new()))
    }

    pub(super) fn flow_mapping(
        &mut self,
        entries: &[Entry],
        old: &Map<String, Value>,
        new: &Map<String, Value>,
    ) -> Option<()> {
        let mut spans = Vec::with_capacity(entries.len());
        for Entry { key, value } in entries {
            // Without a value, the key's end isn't the entry's.
            let span = (!value.range.is_empty()).then_some(key.range.start..value.range.end)?;
            match (old.get(&key.name), new.get(&key.name)) {
                (Some(old), Some(new)) => self.node(value, Some(key), old, new)?,
                (Some(_), None) => {}
                (None, _) => return None,
            }
            spans.push((span, new.contains_key(&key.name)));
        }
        self.flow_remove(&spans)?;
        let end = spans.last()?.0.end;
        for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
            let entry = flow(&Value::Object(Map::from_iter([(key.clone(), value.clone())])));
            let entry = entry.strip_prefix('{')?.strip_suffix('}')?;
            self.changes.push(Change { range: end..end, text: format!(", {entry}") });
        }
        Some(())
    }

    pub(super) fn flow_sequence(&mut self, items: &[Node], old: &[Value], new: &[Value]) -> Option<()> {
        let pairs = align(old, new)?;
        let kept = |index| pairs.iter().any(|(old, _)| *old == index);
        let spans: Vec<_> = items.iter().enumerate().map(|(index, item)| (item.range.clone(), kept(index))).collect();
        self.flow_remove(&spans)?;
        let mut at_new = 0;
        for (index_old, index_new) in pairs.iter().copied().chain([(old.len(), new.len())]) {
            for value in &new[at_new..index_new] {
                let (place, text) = match items.get(index_old) {
                    Some(item) => (item.range.start, format!("{}, ", flow(value))),
                    None => (spans.last()?.0.end, format!(", {}", flow(value))),
                };
                self.changes.push(Change { range: place..place, text });
            }
            if let Some(item) = items.get(index_old) {
                self.node(item, None, &old[index_old], &new[index_new])?;
            }
            at_new = index_new + 1;
        }
        Some(())
    }

    /// Takes entries out that aren't kept, each with the comma beside it.
    fn flow_remove(&mut self, spans: &[(Range<usize>, bool)]) -> Option<()> {
        let first_kept = spans.iter().position(|(_, kept)| *kept)?;
        if first_kept > 0 {
            self.replace(spans[0].0.start..spans[first_kept].0.start, String::new());
        }
        for pair in spans[first_kept..].windows(2).filter(|pair| !pair[1].1) {
            self.replace(pair[0].0.end..pair[1].0.end, String::new());
        }
        Some(())
    }
}

/// A value on one line.
pub fn flow(value: &Value) -> String {
    let mut text = String::new();
    write::flow(&mut text, value);
    text
}
