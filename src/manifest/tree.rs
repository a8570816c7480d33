//! Where the nodes of a document stand in its text.

use std::cell::OnceCell;
use std::ops::Range;

use granit_parser::{Event, ScalarStyle, Span, StructureStyle};

use super::Document;

/// A node, and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Of the node's own text; of a block collection, up to the end of its last entry.
    pub range: Range<usize>,
    /// Where the tag before it begins.
    pub tag: Option<usize>,
    pub column: usize,
    /// Whether it is `{…}` or `[…]`, or stands in one.
    pub flow: bool,
    pub content: Content,
}

#[derive(Clone, Debug)]
pub enum Content {
    Scalar(ScalarStyle),
    Alias,
    Mapping(Vec<Entry>),
    Sequence(Vec<Node>),
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub key: Key,
    pub value: Node,
}

#[derive(Clone, Debug)]
pub struct Key {
    /// Whether it stands in `{…}`.
    pub flow: bool,
    pub name: String,
    pub range: Range<usize>,
    pub column: usize,
}

/// On which lines of its input a document's values stand.
pub struct Lines<'a> {
    document: &'a Document<'a>,
    /// Where in the text each line ends, worked out when somebody asks for the first time.
    ends: OnceCell<Vec<usize>>,
}

// === impl Lines ===

impl<'a> Lines<'a> {
    #[must_use]
    pub fn of(document: &'a Document<'a>) -> Self {
        Self { document, ends: OnceCell::new() }
    }

    /// The line on which the value begins that a JSON pointer names; the document's own where that can't be told.
    #[must_use]
    pub fn at(&self, pointer: &str) -> usize {
        let Document { text, body, line, .. } = self.document;
        if pointer.is_empty() {
            return *line;
        }
        let node = self.document.root().and_then(|root| root.find(pointer));
        let Some(start) = node.map(|node| node.range.start).filter(|start| *start >= body.start) else { return *line };
        let ends = self.ends.get_or_init(|| text.match_indices('\n').map(|(at, _)| at).collect());
        let before = |offset: usize| ends.partition_point(|end| *end < offset);
        line + before(start) - before(body.start)
    }
}

/// The nodes of a text that holds one document.
pub fn tree(text: &str) -> Option<Node> {
    let whole = super::ended(text);
    let mut builder = Builder::default();
    for item in super::parser(&whole) {
        let (event, span) = item.ok()?;
        builder.take(&event, span, text, 0);
    }
    builder.finish()
}

/// Builds the nodes of one document after the other.
#[derive(Default)]
pub struct Builder {
    /// The collections that are open, each with the key whose value comes next.
    open: Vec<(Node, Option<Key>)>,
    root: Option<Node>,
    /// Whether something stands there that no node can be made of, such as an alias as a key.
    lost: bool,
}

// === impl Builder ===

impl Builder {
    /// Takes the next event of a document that begins there in the text.
    pub fn take(&mut self, event: &Event<'_>, span: Span, text: &str, start: usize) {
        self.lost = self.lost || self.add(event, span, text, start).is_none();
    }

    /// The nodes of the document that ended, placed from its beginning.
    pub fn finish(&mut self) -> Option<Node> {
        let Self { root, lost, .. } = std::mem::take(self);
        root.filter(|_| !lost)
    }

    fn add(&mut self, event: &Event<'_>, span: Span, text: &str, start: usize) -> Option<()> {
        if !event.is_node() && !matches!(event, Event::SequenceEnd | Event::MappingEnd) {
            return Some(());
        }
        // The newline that the last line was given isn't in the text.
        let from_start = |at: usize| at.min(text.len()).checked_sub(start);
        let range = span.byte_range()?;
        let range = from_start(range.start)?..from_start(range.end)?;
        let column = span.start.col();
        let tag = span.tag_start().and_then(|tag| tag.byte_offset()).and_then(from_start);
        let flow = self.open.last().is_some_and(|(parent, _)| parent.flow);
        let node = |flow, content| Node { range: range.clone(), tag, column, flow, content };
        let done = match event {
            Event::MappingStart(style, ..) => {
                self.open.push((node(*style == StructureStyle::Flow, Content::Mapping(Vec::new())), None));
                return Some(());
            }
            Event::SequenceStart(style, ..) => {
                self.open.push((node(*style == StructureStyle::Flow, Content::Sequence(Vec::new())), None));
                return Some(());
            }
            Event::MappingEnd | Event::SequenceEnd => {
                let (mut node, _) = self.open.pop()?;
                if node.flow {
                    node.range.end = range.end;
                }
                node
            }
            Event::Scalar(name, style, ..) => {
                if let Some((Node { content: Content::Mapping(_), .. }, key @ None)) = self.open.last_mut() {
                    *key = Some(Key { flow, name: name.to_string(), range, column });
                    return Some(());
                }
                let mut node = node(flow, Content::Scalar(*style));
                let own = text.get(start..)?.get(node.range.clone())?;
                node.range.end = node.range.start + own.trim_end().len();
                node
            }
            Event::Alias(_) => node(flow, Content::Alias),
            _ => return Some(()),
        };
        match self.open.last_mut() {
            None => self.root = Some(done),
            Some((parent, key)) => parent.add(done, key)?,
        }
        Some(())
    }
}

// === impl Entry ===

impl Entry {
    /// Where its key or its value ends.
    pub fn end(&self) -> usize {
        self.value.range.end.max(self.key.range.end)
    }
}

// === impl Node ===

impl Node {
    pub fn has_alias(&self) -> bool {
        match &self.content {
            Content::Alias => true,
            Content::Scalar(_) => false,
            Content::Mapping(entries) => entries.iter().any(|entry| entry.value.has_alias()),
            Content::Sequence(items) => items.iter().any(Self::has_alias),
        }
    }

    /// The node that a JSON pointer names.
    fn find(&self, pointer: &str) -> Option<&Self> {
        pointer.split('/').skip(1).try_fold(self, |node, step| match &node.content {
            Content::Mapping(entries) => {
                let name = step.replace("~1", "/").replace("~0", "~");
                entries.iter().find(|entry| entry.key.name == name).map(|entry| &entry.value)
            }
            Content::Sequence(items) => items.get(step.parse::<usize>().ok()?),
            Content::Scalar(_) | Content::Alias => None,
        })
    }

    fn add(&mut self, child: Self, key: &mut Option<Key>) -> Option<()> {
        if !child.range.is_empty() {
            self.range.end = self.range.end.max(child.range.end);
        }
        match &mut self.content {
            Content::Sequence(items) => items.push(child),
            Content::Mapping(entries) => {
                let key = key.take()?;
                self.range.end = self.range.end.max(key.range.end);
                entries.push(Entry { key, value: child });
            }
            Content::Scalar(_) | Content::Alias => return None,
        }
        Some(())
    }
}
