//! Changes a YAML document's text in place, so that comments, order and style of everything else stay.
//!
//! It works on lines: new entries are lines of their own, removed ones take their lines along, changed scalars are
//! replaced where they stand. What is laid out in a way that isn't foreseen here is written anew, as little around it as
//! possible. It never has to be right: the caller gets `None` where that would be all of it, and where reading the edited
//! text doesn't give exactly the wanted value.

use std::mem::discriminant;
use std::ops::Range;

use granit_parser::ScalarStyle;
use serde_json::{Map, Value};

use super::tree::{Content, Entry, Key, Node, tree};
use super::write::{self, Layout};

/// Pairs of list entries that are compared at most.
const MAX_COMPARED: usize = 1_000_000;

/// The text of one document with that value, or `None` when it has to be written anew.
pub fn edit(text: &str, old: &Value, new: &Value) -> Option<String> {
    let root = tree(text)?;
    let layout = Layout { list_offset: list_offset(&root) };
    let attempts =
        if root.has_alias() { &[Aliases::Stay, Aliases::Follow, Aliases::Vanish][..] } else { &[Aliases::Stay] };
    attempts.iter().find_map(|aliases| {
        let mut editor = Editor { text, layout, aliases: *aliases, changes: Vec::new() };
        editor.node(&root, None, old, new)?;
        let edited = editor.apply()?;
        let documents = super::read_yaml(&edited).ok()?;
        matches!(documents.as_slice(), [document] if document.value == *new).then_some(edited)
    })
}

/// What becomes of aliases. A change of what an anchor names changes all that are left of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aliases {
    Stay,
    /// Those whose value changes are written out.
    Follow,
    /// All of them are.
    Vanish,
}

struct Change {
    range: Range<usize>,
    text: String,
}

struct Editor<'a> {
    text: &'a str,
    layout: Layout,
    aliases: Aliases,
    changes: Vec<Change>,
}

// === impl Editor ===

impl Editor<'_> {
    /// `key` is the key whose value the node is.
    fn node(&mut self, node: &Node, key: Option<&Key>, old: &Value, new: &Value) -> Option<()> {
        if old == new && !(self.aliases == Aliases::Vanish && node.has_alias()) {
            return Some(());
        }
        let known = self.changes.len();
        match (&node.content, old, new) {
            (Content::Mapping(entries), Value::Object(old), Value::Object(new)) if is_filled(old.len(), new.len()) => {
                if !node.flow {
                    return self.mapping(entries, old, new);
                }
                if self.flow_mapping(entries, old, new).is_some() {
                    return Some(());
                }
            }
            (Content::Sequence(items), Value::Array(old), Value::Array(new)) if is_filled(old.len(), new.len()) => {
                if !node.flow {
                    return self.sequence(items, key, old, new);
                }
                if self.flow_sequence(items, old, new).is_some() {
                    return Some(());
                }
            }
            (Content::Alias, ..) => return (self.aliases == Aliases::Stay).then_some(()),
            // The caller has more room for several lines.
            (Content::Scalar(_), _, Value::String(text)) if text.contains('\n') && !node.flow => return None,
            (Content::Scalar(style), _, Value::String(text)) if is_line(*style) && !node.range.is_empty() => {
                let mut scalar = String::new();
                match style {
                    ScalarStyle::Plain if node.flow => write::flow(&mut scalar, new),
                    style => write::like(&mut scalar, text, *style),
                }
                self.replace(start(node, old, new)..node.range.end, scalar);
                return Some(());
            }
            (_, _, Value::Object(_) | Value::Array(_)) if !node.flow || key.is_some_and(|key| !key.flow) => {
                return if is_empty(new) { self.close(node, key?, new) } else { self.open(node, key?, new) };
            }
            _ if !node.flow => return self.close(node, key?, new),
            _ => {}
        }
        // What stands in `{…}` or `[…]` can always be written anew in its place.
        self.changes.truncate(known);
        (!node.range.is_empty()).then(|| self.replace(start(node, old, new)..node.range.end, flow(new)))
    }

    fn mapping(&mut self, entries: &[Entry], old: &Map<String, Value>, new: &Map<String, Value>) -> Option<()> {
        for entry in entries {
            match (old.get(&entry.key.name), new.get(&entry.key.name)) {
                (Some(old), Some(new)) => self.entry(entry, old, new)?,
                (Some(_), None) => self.remove(self.start(&entry.key), entry.end())?,
                (None, _) => {}
            }
        }
        let (first, last) = (entries.first()?, entries.last()?);
        let mut lines = String::new();
        // What only a merge brings is written below it, and wins.
        let is_here = |key: &str| entries.iter().any(|entry| entry.key.name == key);
        for (key, value) in new.iter().filter(|(key, value)| old.get(*key) != Some(*value) && !is_here(key)) {
            write::entry(&mut lines, key, value, self.column(&first.key), self.layout);
        }
        self.insert(self.line_end(last.end()), lines);
        Some(())
    }

    /// Edits an entry of a block, or writes its lines anew.
    fn entry(&mut self, entry: &Entry, old: &Value, new: &Value) -> Option<()> {
        let known = self.changes.len();
        if self.node(&entry.value, Some(&entry.key), old, new).is_some() {
            return Some(());
        }
        self.changes.truncate(known);
        let mut lines = String::new();
        write::entry(&mut lines, &entry.key.name, new, self.column(&entry.key), self.layout);
        self.rewrite(self.start(&entry.key), entry.end(), lines)
    }

    fn sequence(&mut self, items: &[Node], key: Option<&Key>, old: &[Value], new: &[Value]) -> Option<()> {
        let dash = items.iter().find_map(|item| self.dash(item));
        let column = dash.map(|dash| dash - self.line_start(dash));
        let pairs = align(old, new)?;
        // Where the next new entry goes: below the key, then below the entry before it.
        let mut place = match key {
            Some(key) if self.start(key) == key.range.start => self.line_end(key.range.end),
            _ => self.line_start(self.dash(items.first()?)?),
        };
        let (mut at_old, mut at_new) = (0, 0);
        for (index_old, index_new) in pairs.into_iter().chain([(old.len(), new.len())]) {
            // What takes the place of another stands where that stood, below the same comment.
            while at_old < index_old && at_new < index_new {
                self.item(&items[at_old], column?, &old[at_old], &new[at_new])?;
                place = self.line_end(items[at_old].range.end);
                (at_old, at_new) = (at_old + 1, at_new + 1);
            }
            let mut lines = String::new();
            for value in &new[at_new..index_new] {
                write::item(&mut lines, value, column?, self.layout);
            }
            self.insert(place, lines);
            for item in &items[at_old..index_old] {
                self.remove(self.dash(item)?, item.range.end)?;
            }
            if let Some(item) = items.get(index_old) {
                self.item(item, column?, &old[index_old], &new[index_new])?;
                place = self.line_end(item.range.end);
            }
            (at_old, at_new) = (index_old + 1, index_new + 1);
        }
        Some(())
    }

    /// Edits an entry of a block list, or writes its lines anew.
    fn item(&mut self, item: &Node, column: usize, old: &Value, new: &Value) -> Option<()> {
        let known = self.changes.len();
        if identity(old) == identity(new) && self.node(item, None, old, new).is_some() {
            return Some(());
        }
        self.changes.truncate(known);
        let mut lines = String::new();
        write::item(&mut lines, new, column, self.layout);
        self.rewrite(self.dash(item)?, item.range.end, lines)
    }

    fn flow_mapping(&mut self, entries: &[Entry], old: &Map<String, Value>, new: &Map<String, Value>) -> Option<()> {
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

    fn flow_sequence(&mut self, items: &[Node], old: &[Value], new: &[Value]) -> Option<()> {
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

    /// Puts lines below a key that had nothing, null, or an empty collection on its line.
    fn open(&mut self, node: &Node, key: &Key, new: &Value) -> Option<()> {
        let colon = self.colon(key)?;
        let end = node.range.end.max(colon);
        if self.text[colon..end].contains(['\n', '#']) {
            return None;
        }
        self.replace(colon..end, String::new());
        let mut lines = String::new();
        write::entry(&mut lines, "", new, key.column, self.layout);
        let below = lines.find('\n')? + 1;
        self.insert(self.line_end(end), lines.split_off(below));
        Some(())
    }

    /// Puts a scalar or an empty collection where a block was; null is nothing at all.
    fn close(&mut self, node: &Node, key: &Key, new: &Value) -> Option<()> {
        let colon = self.colon(key)?;
        let end = node.range.end.max(colon);
        let text = if new.is_null() { String::new() } else { format!(" {}", flow(new)) };
        let below = self.line_start(node.range.start);
        if matches!(node.content, Content::Scalar(ScalarStyle::Literal | ScalarStyle::Folded)) {
            // The comment beside the indicator stays.
            let (header, end) = (self.line_end(colon), self.line_end(end));
            let header = self.text[colon..header].trim_end();
            self.replace(colon..colon + header.find(" #").unwrap_or(header.len()), text);
            let body = self.text[..end].trim_end_matches(['\r', '\n', ' ']).len();
            self.replace(colon + header.len()..body, String::new());
            return Some(());
        }
        if below < colon {
            let between = self.text[colon..node.range.start.max(colon)].trim().is_empty();
            return between.then(|| self.replace(colon..end, text));
        }
        // A comment beside the key stays; a tag or an anchor can't.
        if self.text[colon..self.line_end(colon)].trim_start().starts_with(['&', '!']) {
            return None;
        }
        self.replace(colon..colon, text);
        self.replace(below..self.line_end(end), String::new());
        Some(())
    }

    /// Takes whole lines out, from the one of a key or a dash to the one on which its value ends.
    fn remove(&mut self, start: usize, end: usize) -> Option<()> {
        self.rewrite(start, end, String::new())
    }

    /// Puts lines in the place of those.
    fn rewrite(&mut self, start: usize, end: usize, lines: String) -> Option<()> {
        let line = self.line_start(start);
        let alone = self.text[line..start].bytes().all(|byte| byte == b' ');
        alone.then(|| self.replace(line..self.line_end(end), lines))
    }

    fn replace(&mut self, range: Range<usize>, text: String) {
        self.changes.push(Change { range, text });
    }

    fn insert(&mut self, place: usize, lines: String) {
        if !lines.is_empty() {
            self.replace(place..place, lines);
        }
    }

    /// Where an entry's dash stands, if only blanks stand before it, and nothing that counts between them.
    fn dash(&self, item: &Node) -> Option<usize> {
        let mut before = &self.text[..item.range.start];
        loop {
            let line = self.line_start(before.len());
            let content = before[line..].trim_start_matches(' ');
            match content.strip_prefix('-') {
                Some(rest) if is_bare(rest) => return Some(before.len() - content.len()),
                None if is_bare(content) => before = &before[..line.checked_sub(1)?],
                _ => return None,
            }
        }
    }

    /// Where an entry begins: at its key, or at the question mark before it.
    fn start(&self, key: &Key) -> usize {
        let before = self.text[..key.range.start].trim_end_matches([' ', '\t']);
        let is_marked = before.len() < key.range.start && before.ends_with('?');
        if is_marked { before.len() - 1 } else { key.range.start }
    }

    fn column(&self, key: &Key) -> usize {
        key.column - (key.range.start - self.start(key))
    }

    /// Behind a key's colon.
    fn colon(&self, key: &Key) -> Option<usize> {
        let rest = &self.text[key.range.end..];
        let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        rest[blank..].starts_with(':').then_some(key.range.end + blank + 1)
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// Behind the newline of the line on which a value ends.
    fn line_end(&self, at: usize) -> usize {
        if at > 0 && self.text[..at].ends_with('\n') {
            return at;
        }
        self.text[at..].find('\n').map_or(self.text.len(), |newline| at + newline + 1)
    }

    fn apply(mut self) -> Option<String> {
        self.changes.sort_by_key(|change| (change.range.start, change.range.end));
        let newline = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
        let mut edited = String::with_capacity(self.text.len() * 2);
        let mut copied = 0;
        for Change { range, text } in self.changes {
            edited.push_str(self.text.get(copied..range.start)?);
            // Lines can go below one that lacks its newline, which then is the last no more.
            if text.ends_with('\n') && !edited.is_empty() && !edited.ends_with('\n') {
                edited.push_str(newline);
            }
            edited.push_str(&if newline == "\n" { text } else { text.replace('\n', newline) });
            copied = range.end;
        }
        edited.push_str(self.text.get(copied..)?);
        // The last line of the text lacks it still.
        if !self.text.ends_with('\n') && edited.ends_with(newline) {
            edited.truncate(edited.len() - newline.len());
        }
        Some(edited)
    }
}

/// Where what is written anew in a value's place begins: a tag stays before another value of its kind only.
fn start(node: &Node, old: &Value, new: &Value) -> usize {
    let tag = node.tag.filter(|_| discriminant(old) != discriminant(new));
    tag.unwrap_or(node.range.start)
}

fn flow(value: &Value) -> String {
    let mut text = String::new();
    write::flow(&mut text, value);
    text
}

/// Whether a collection can be edited entry by entry.
fn is_filled(old: usize, new: usize) -> bool {
    old > 0 && new > 0
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Whether nothing stands there but anchors, tags and a comment.
fn is_bare(text: &str) -> bool {
    text.split_whitespace().take_while(|word| !word.starts_with('#')).all(|word| word.starts_with(['&', '!']))
}

fn is_line(style: ScalarStyle) -> bool {
    matches!(style, ScalarStyle::Plain | ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted)
}

/// Which old entries are which new ones: a longest common subsequence, where entries of one
/// name, or objects of one kind, namespace and name, are the same one.
fn align(old: &[Value], new: &[Value]) -> Option<Vec<(usize, usize)>> {
    let same = |a: &Value, b: &Value| a == b || identity(a).is_some_and(|one| Some(one) == identity(b));
    // Long lists differ in few entries.
    let head = old.iter().zip(new).take_while(|(old, new)| same(old, new)).count();
    let (length_old, length_new) = (old.len(), new.len());
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(old, new)| same(old, new)).count();
    let (old, new) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    if old.len().checked_mul(new.len())? > MAX_COMPARED {
        return None;
    }
    let width = new.len() + 1;
    let mut longest = vec![0usize; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i * width + j] = if same(&old[i], &new[j]) {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let mut pairs: Vec<_> = (0..head).map(|index| (index, index)).collect();
    let (mut i, mut j) = (0, 0);
    while i < old.len() && j < new.len() {
        if same(&old[i], &new[j]) {
            pairs.push((head + i, head + j));
            i += 1;
            j += 1;
        } else if longest[(i + 1) * width + j] >= longest[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs.extend((0..tail).map(|index| (length_old - tail + index, length_new - tail + index)));
    Some(pairs)
}

/// What tells an entry from others, whatever else of it changes.
fn identity(value: &Value) -> Option<[&str; 3]> {
    if let Some(name) = value.get("name") {
        return Some(["", "", name.as_str()?]);
    }
    let namespace = value.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    Some([value.get("kind")?.as_str()?, namespace, value.pointer("/metadata/name")?.as_str()?])
}

/// How this document indents its lists: as the first one below a key does.
fn list_offset(node: &Node) -> usize {
    fn first(node: &Node, key: Option<&Key>) -> Option<usize> {
        match &node.content {
            Content::Sequence(items) if !node.flow => {
                let dash = items.first()?.column.checked_sub(2)?;
                let own = key.and_then(|key| dash.checked_sub(key.column));
                own.or_else(|| items.iter().find_map(|item| first(item, None)))
            }
            Content::Mapping(entries) => entries.iter().find_map(|entry| first(&entry.value, Some(&entry.key))),
            _ => None,
        }
    }
    first(node, None).filter(|offset| matches!(offset, 0 | 2)).unwrap_or_default()
}
