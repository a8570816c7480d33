//! Changes a YAML document's text in place, so that comments, order and style of everything else stay.
//!
//! It works on lines: new entries are lines of their own, removed ones take their lines along, changed scalars are
//! replaced where they stand. What is laid out in a way that isn't foreseen here is written anew, as little around it as
//! possible. It never has to be right: the caller gets `None` where that would be all of it, and where reading the edited
//! text doesn't give exactly the wanted value.

mod align;
mod braces;

use std::mem::discriminant;
use std::ops::Range;

use granit_parser::ScalarStyle;
use serde_json::{Map, Value};

use align::{align, identity};
use braces::flow;

use super::tree::{Content, Entry, Key, Node};
use super::write::{self, Layout};

/// Begins a comment behind something else on its line.
const COMMENT: &str = " #";
/// Begins a comment that keeps how a null or an empty collection was written, for the edit that takes it back.
const WAS: &str = "# was ";

/// The text of one document with that value, or `None` when it has to be written anew.
pub fn edit(text: &str, root: &Node, old: &Value, new: &Value) -> Option<String> {
    let layout = Layout { list_offset: list_offset(root) };
    let whole = super::ended(text);
    let attempts =
        if root.has_alias() { &[Aliases::Stay, Aliases::Follow, Aliases::Vanish][..] } else { &[Aliases::Stay] };
    attempts.iter().find_map(|aliases| {
        let mut editor = Editor { text: &whole, layout, aliases: *aliases, changes: Vec::new() };
        editor.node(root, None, old, new)?;
        let mut edited = editor.apply()?;
        if whole.len() > text.len() {
            cut_newline(&mut edited, super::newline(text));
        }
        (super::only(&edited)? == *new).then_some(edited)
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
    /// With a newline behind each line, the last one included.
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
        if let (Content::Scalar(style), Value::String(old), Value::String(new)) = (&node.content, old, new)
            && self.end(node, *style, old, new).is_some()
        {
            return Some(());
        }
        let in_braces = node.flow && key.is_none_or(|key| key.flow);
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
            // What stands between empty braces, such as a comment, stays.
            (Content::Mapping(_) | Content::Sequence(_), ..) if in_braces && are_alike(old, new) => {
                if is_empty(old) {
                    self.fill(node, new);
                    return Some(());
                }
                if is_empty(new) && self.drain(node).is_some() {
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
                if old.is_null() && key.is_some_and(|key| !key.flow) {
                    self.insert(node.tag.unwrap_or(node.range.start), format!("{scalar} {WAS}"));
                } else {
                    self.replace(start(node, old, new)..node.range.end, scalar);
                }
                return Some(());
            }
            (_, _, Value::Object(_) | Value::Array(_)) if !node.flow || key.is_some_and(|key| !key.flow) => {
                return if is_empty(new) { self.close(node, key?, new) } else { self.open(node, key?, old, new) };
            }
            _ if !node.flow => return self.close(node, key?, new),
            _ => {}
        }
        // What stands in `{…}` or `[…]` can always be written anew in its place.
        self.changes.truncate(known);
        (!node.range.is_empty()).then(|| self.replace(start(node, old, new)..node.range.end, flow(new)))
    }

    /// Changes a text's end alone, since what stays may have escapes or lines of its own.
    fn end(&mut self, node: &Node, style: ScalarStyle, old: &str, new: &str) -> Option<()> {
        let differs = old.char_indices().zip(new.chars()).find(|((_, old), new)| old != new);
        let common = differs.map_or(old.len().min(new.len()), |((at, _), _)| at);
        let source = &self.text[node.range.clone()];
        let body = source.strip_suffix(write::closing(style)).filter(|_| common > 0)?;
        let kept = body.strip_suffix(write::tail(old, common, style, node.flow)?.as_str())?;
        let tail = write::tail(new, common, style, node.flow)?;
        // What a block scalar's range has begins behind the first line's indentation.
        let header = match style {
            ScalarStyle::Literal => format!("|-\n{}", self.indentation(node.range.start)?),
            ScalarStyle::Folded => format!(">-\n{}", self.indentation(node.range.start)?),
            _ => String::new(),
        };
        let edited = format!("a: {header}{kept}{tail}{}", write::closing(style));
        let is_so = super::only(&edited)?["a"] == *new;
        is_so.then(|| self.replace(node.range.start + kept.len()..node.range.start + body.len(), tail))
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
        let (start, column) = (self.start(&entry.key), self.column(&entry.key));
        write::entry(&mut lines, &entry.key.name, new, column, self.layout);
        if let Some(comment) = self.comment(entry) {
            let header = lines.find('\n')?;
            lines.insert_str(header, comment);
        }
        if self.indentation(start).is_none() {
            // Behind a dash, which stays.
            let line = self.line_start(start);
            lines.replace_range(..column.min(lines.len()), &self.text[line..start]);
            self.replace(line..self.line_end(entry.end()), lines);
            return Some(());
        }
        self.rewrite(start, entry.end(), lines)
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

    /// Puts lines below a key that had nothing, null, or an empty collection.
    fn open(&mut self, node: &Node, key: &Key, old: &Value, new: &Value) -> Option<()> {
        let colon = self.colon(key)?;
        let end = node.range.end.max(colon);
        self.mark(colon..end, old)?;
        let mut lines = String::new();
        write::entry(&mut lines, "", new, key.column, self.layout);
        let below = lines.find('\n')? + 1;
        self.insert(self.line_end(end), lines.split_off(below));
        Some(())
    }

    /// Takes a null or an empty collection away; one that [`close`](Self::close) wouldn't write so becomes a comment.
    fn mark(&mut self, place: Range<usize>, old: &Value) -> Option<()> {
        let was = &self.text[place.clone()];
        let value = was.trim_start();
        if was.contains('#') || value.contains('\n') {
            return None;
        }
        if was == closed(old) {
            // A comment that looks like one of those would be taken for it.
            let looks_so = self.marked(place.end..self.text.len(), old).is_some();
            return (!looks_so).then(|| self.replace(place, String::new()));
        }
        let start = place.end - value.len();
        self.insert(start, WAS.to_owned());
        Some(())
    }

    /// Where the comment begins, if one comes first there, that says how that value was written.
    fn marked(&self, within: Range<usize>, value: &Value) -> Option<usize> {
        let comment = self.text[within.clone()].trim_start();
        let was = comment.strip_prefix(WAS)?.lines().next()?.trim_end();
        let was = was.find(COMMENT).map_or(was, |end| &was[..end]);
        let is_so = super::only(was)? == *value;
        (is_so && (value.is_null() || is_empty(value))).then_some(within.end - comment.len())
    }

    /// Puts a scalar or an empty collection where a block was; null is nothing at all.
    fn close(&mut self, node: &Node, key: &Key, new: &Value) -> Option<()> {
        let colon = self.colon(key)?;
        let end = node.range.end.max(colon);
        let text = closed(new);
        let below = self.line_start(node.range.start);
        if matches!(node.content, Content::Scalar(ScalarStyle::Literal | ScalarStyle::Folded)) {
            // The comment beside the indicator stays.
            let header = self.header(colon);
            let (bare, whole) = (header.find(COMMENT).unwrap_or(header.len()), header.len());
            self.replace(colon..colon + bare, text);
            let body = self.text[..self.line_end(end)].trim_end_matches(['\r', '\n', ' ']).len();
            self.replace(colon + whole..body, String::new());
            return Some(());
        }
        let is_block = matches!(node.content, Content::Mapping(_) | Content::Sequence(_)) && !node.flow;
        if !is_block && let Some(mark) = self.marked(end..self.line_end(end), new) {
            self.replace(node.range.start..mark + WAS.len(), String::new());
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
        if let Some(mark) = self.marked(colon..below, new) {
            self.replace(mark..mark + WAS.len(), String::new());
            self.replace(below.max(self.line_end(mark))..self.line_end(end), String::new());
            return Some(());
        }
        self.replace(colon..colon, text);
        self.replace(below..self.line_end(end), String::new());
        Some(())
    }

    /// The comment beside a block scalar's indicator.
    fn comment(&self, entry: &Entry) -> Option<&str> {
        if !matches!(entry.value.content, Content::Scalar(ScalarStyle::Literal | ScalarStyle::Folded)) {
            return None;
        }
        let header = self.header(self.colon(&entry.key)?);
        header.find(COMMENT).map(|at| &header[at..])
    }

    /// What stands behind a key's colon on its line.
    fn header(&self, colon: usize) -> &str {
        self.text[colon..self.line_end(colon)].trim_end()
    }

    /// Takes whole lines out, from the one of a key or a dash to the one on which its value ends.
    fn remove(&mut self, start: usize, end: usize) -> Option<()> {
        self.rewrite(start, end, String::new())
    }

    /// Puts lines in the place of those.
    fn rewrite(&mut self, start: usize, end: usize, lines: String) -> Option<()> {
        let line = start - self.indentation(start)?.len();
        self.replace(line..self.line_end(end), lines);
        Some(())
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

    /// What stands before that place on its line, if it is blank.
    fn indentation(&self, at: usize) -> Option<&str> {
        Some(&self.text[self.line_start(at)..at]).filter(|text| text.bytes().all(|byte| byte == b' '))
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
        let newline = super::newline(self.text);
        let mut edited = String::with_capacity(self.text.len() * 2);
        let mut copied = 0;
        for Change { range, text } in self.changes {
            edited.push_str(self.text.get(copied..range.start)?);
            edited.push_str(&if newline == "\n" { text } else { text.replace('\n', newline) });
            copied = range.end;
        }
        edited.push_str(self.text.get(copied..)?);
        Some(edited)
    }
}

/// Takes the newline off the last line, which is read the same without; but not off an empty one, which wouldn't be.
fn cut_newline(text: &mut String, newline: &str) {
    let length = text.strip_suffix(newline).filter(|rest| !rest.ends_with('\n')).map(str::len);
    text.truncate(length.unwrap_or(text.len()));
}

fn are_alike(old: &Value, new: &Value) -> bool {
    discriminant(old) == discriminant(new)
}

/// Where what is written anew in a value's place begins: a tag stays before another value of its kind only.
fn start(node: &Node, old: &Value, new: &Value) -> usize {
    let tag = node.tag.filter(|_| !are_alike(old, new));
    tag.unwrap_or(node.range.start)
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

/// How a scalar or an empty collection is written behind a key's colon.
fn closed(value: &Value) -> String {
    if value.is_null() { String::new() } else { format!(" {}", flow(value)) }
}

/// Whether nothing stands there but anchors, tags and a comment.
fn is_bare(text: &str) -> bool {
    text.split_whitespace().take_while(|word| !word.starts_with('#')).all(|word| word.starts_with(['&', '!']))
}

fn is_line(style: ScalarStyle) -> bool {
    matches!(style, ScalarStyle::Plain | ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted)
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
