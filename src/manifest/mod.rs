//! Manifests: texts with Kubernetes objects in them, read as kubectl reads them and written so that every reader of
//! YAML reads the same.
//!
//! What isn't changed keeps its bytes. A document is a slice of its input, so that putting all slices together gives
//! the input back; a changed one gets a new body between the same comments and separators.

mod edit;
mod fault;
mod json;
pub mod kind;
mod parts;
mod scalar;
pub mod shape;
mod tree;
mod value;
mod write;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};
use serde_json::Value;

pub use fault::{Fault, MAX_ALIASED, MAX_DEPTH, MAX_INPUT, ReadError};
pub use parts::read_all;
pub use tree::Lines;
use tree::Node;
use value::Builder;
pub use write::document;

/// One document of an input.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    /// From where the last document ended to where this one ends: comments and separators included.
    pub text: &'a str,
    /// Where in `text` the value stands, comments and separators excluded; empty for an empty document.
    pub body: Range<usize>,
    /// The line of the input on which the value begins, counted from 1.
    pub line: usize,
    /// Null for an empty document.
    pub value: Value,
    pub format: Format,
    /// Where its values stand in `text`, known from the reading where that is likely to be asked for.
    root: OnceLock<Option<Node>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Yaml,
    Json,
}

/// The text of an input.
///
/// # Errors
/// When it is too large, or no UTF-8 text.
pub fn decode(bytes: &[u8]) -> Result<&str, ReadError> {
    let at = |line, fault| Err(ReadError { line, column: 1, fault });
    if bytes.len() > MAX_INPUT {
        return at(1, Fault::TooLarge);
    }
    let pairs_with_zero = bytes.chunks_exact(2).take(64).filter(|pair| pair[0] == 0 || pair[1] == 0).count();
    if bytes.starts_with(&[0xff, 0xfe])
        || bytes.starts_with(&[0xfe, 0xff])
        || pairs_with_zero > bytes.len().min(128) / 4
    {
        return at(1, Fault::Utf16);
    }
    let line_of = |offset: usize| bytes[..offset].split(|byte| *byte == b'\n').count();
    if let Some(offset) = bytes.iter().position(|byte| *byte == 0) {
        return at(line_of(offset), Fault::Binary);
    }
    std::str::from_utf8(bytes).or_else(|error| at(line_of(error.valid_up_to()), Fault::NotUtf8))
}

/// Reads all documents of an input.
///
/// # Errors
/// When one of them can't be read, so that nobody acts on half an input.
pub fn read(text: &str) -> Result<Vec<Document<'_>>, ReadError> {
    let Part { mut documents, .. } = read_part(text)?;
    if documents.is_empty() {
        let (body, value, root) = (0..0, Value::Null, OnceLock::new());
        documents.push(Document { text, body, line: 1, value, format: Format::Yaml, root });
    }
    Ok(documents)
}

/// What stands in a text, or in a part of one.
struct Part<'a> {
    /// None where only comments stand.
    documents: Vec<Document<'a>>,
    /// Values that aliases made.
    aliased: usize,
}

fn read_part(text: &str) -> Result<Part<'_>, ReadError> {
    if !starts_as_json(text) {
        return read_yaml(text);
    }
    // `{` begins JSON, a flow mapping, or a template.
    json::read(text).map(|documents| Part { documents, aliased: 0 }).or_else(|no_json| {
        let next = content(text)[1..].trim_start().bytes().next();
        read_yaml(text).map_err(|no_yaml| match (no_json.fault, next) {
            (fault @ Fault::DuplicateKey(_), _) => ReadError { fault, ..no_json },
            _ if matches!(no_yaml.fault, Fault::Separator | Fault::Unseparated) => no_yaml,
            (fault, Some(b'"' | b'}')) => ReadError { fault, ..no_json },
            _ => no_yaml,
        })
    })
}

fn starts_as_json(text: &str) -> bool {
    content(text).starts_with('{')
}

fn content(text: &str) -> &str {
    text.trim_start_matches('\u{feff}').trim_start()
}

/// The document with another value.
///
/// Edits the text where it can, so that comments and the style of all that stays are kept; else writes the value anew.
#[must_use]
pub fn rewrite(document: &Document<'_>, value: &Value) -> String {
    if *value == document.value {
        return document.text.to_owned();
    }
    let Document { text, body, .. } = document;
    let (before, old, after) = (&text[..body.start], &text[body.clone()], &text[body.end..]);
    if document.format == Format::Json {
        return format!("{before}{}{after}", json::write(value, old));
    }
    if let Some(edited) = document.root().and_then(|root| edit::edit(text, root, &document.value, value)) {
        return edited;
    }
    let written = write::document(value);
    let newline = newline(text);
    let written = if newline == "\n" { written } else { written.replace('\n', newline) };
    // The new body begins a line, at its first column.
    let line = before.rfind('\n').map_or(0, |newline| newline + 1);
    let (before, gap) = match before[line..].trim_matches(['\u{feff}', ' ']) {
        "" => (before.trim_end_matches(' '), ""),
        _ => (before.trim_end_matches(' '), newline),
    };
    // It ends with a newline of its own; what stood behind the old one gets its own line.
    let after = after.strip_prefix(newline).unwrap_or_else(|| after.trim_start_matches(' '));
    format!("{before}{gap}{written}{after}")
}

fn read_yaml(text: &str) -> Result<Part<'_>, ReadError> {
    check_separators(text)?;
    let whole = ended(text);
    let mut slices = Slices { text, documents: Vec::new(), start: 0, body: None, line: 1 };
    let (mut builder, mut nodes) = (Builder::default(), tree::Builder::default());
    for item in parser(&whole) {
        let (event, span) = item.map_err(|error| explain(text, &error))?;
        let (line, column) = (span.start.line(), span.start.col() + 1);
        if matches!(event, Event::DocumentStart(..)) && !slices.documents.is_empty() && !is_separated(&whole, span) {
            return Err(ReadError { line, column, fault: Fault::Unseparated });
        }
        slices.take(&event, span);
        nodes.take(&event, span, text, slices.start);
        let ended = event == Event::DocumentEnd;
        builder.take(as_written(event, span)).map_err(|fault| {
            let fault = if fault == Fault::KeyNotScalar && is_template(text, line) { Fault::Template } else { fault };
            ReadError { line, column, fault }
        })?;
        if ended {
            slices.end(builder.finish(), nodes.finish());
        }
    }
    Ok(Part { documents: slices.finish(), aliased: builder.aliased })
}

/// The value of a text that holds one document.
fn only(text: &str) -> Option<Value> {
    check_separators(text).ok()?;
    let whole = ended(text);
    let (mut builder, mut only) = (Builder::default(), None);
    for item in parser(&whole) {
        let (event, span) = item.ok()?;
        let ended = event == Event::DocumentEnd;
        builder.take(as_written(event, span)).ok()?;
        if ended && only.replace(builder.finish()).is_some() {
            return None;
        }
    }
    Some(only.unwrap_or_default())
}

/// A text as kubectl gives it to its reader of YAML: the last line ends with a newline like all others (`LineReader` of
/// Kubernetes' apimachinery), so that a block scalar on it does too.
fn ended(text: &str) -> Cow<'_, str> {
    if text.is_empty() || text.ends_with('\n') {
        return Cow::Borrowed(text);
    }
    Cow::Owned([text, newline(text)].concat())
}

/// What the lines of a text end with.
fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

fn parser(text: &str) -> Parser<'_, granit_parser::StrInput<'_>> {
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    Parser::new_from_str_with_options(text, options)
}

/// The parser tells a value that isn't there as `~`.
fn as_written(event: Event<'_>, span: Span) -> Event<'_> {
    match event {
        Event::Scalar(_, ScalarStyle::Plain, anchor, tag) if span.is_empty() => {
            Event::Scalar("".into(), ScalarStyle::Plain, anchor, tag)
        }
        other => other,
    }
}

/// As kubectl, which cuts its input at these lines before it reads YAML (`YAMLReader` of Kubernetes' apimachinery): behind
/// `---` stands nothing but a comment.
fn check_separators(text: &str) -> Result<(), ReadError> {
    for (index, line) in text.split('\n').enumerate() {
        let Some(rest) = line.strip_prefix("---") else { continue };
        let content = rest.trim_start_matches([' ', '\t', '\r']);
        let is_comment = content.starts_with('#') && content.len() < rest.len();
        if !content.is_empty() && !is_comment {
            return Err(ReadError { line: index + 1, column: 1, fault: Fault::Separator });
        }
    }
    Ok(())
}

/// Whether kubectl cuts its input where a document begins. Of what it didn't cut, it takes the first document.
fn is_separated(text: &str, start: Span) -> bool {
    let Some(range) = start.byte_range() else { return true };
    text[range.start..].starts_with("---") && (range.start == 0 || text[..range.start].ends_with('\n'))
}

fn explain(text: &str, error: &ScanError) -> ReadError {
    let marker = error.marker();
    let line = marker.line().max(1);
    let fault = match error.kind() {
        _ if is_template(text, line) => Fault::Template,
        granit_parser::ErrorKind::UnknownAnchor => Fault::UnknownAlias,
        _ => Fault::Syntax(error.info()),
    };
    ReadError { line, column: marker.col() + 1, fault }
}

/// Whether that line, or one above it in the same document, has what only a template has.
fn is_template(text: &str, line: usize) -> bool {
    let (mut start, mut quoted) = (0, Vec::new());
    for (event, span) in parser(text).map_while(Result::ok).take_while(|(_, span)| span.start.line() <= line) {
        let Some(range) = span.byte_range() else { continue };
        match event {
            Event::DocumentStart(..) | Event::DocumentEnd => {
                start = range.start;
                quoted.clear();
            }
            // Text for others, such as alerts, whose templates are none of a manifest's.
            Event::Scalar(_, style, ..) if style != ScalarStyle::Plain => quoted.push(range),
            _ => {}
        }
    }
    // They stand in the text's order.
    let is_quoted = |at: usize| {
        let next = quoted.partition_point(|range: &Range<usize>| range.end <= at);
        quoted.get(next).is_some_and(|range| range.start <= at)
    };
    let mut end = 0;
    text.split_inclusive('\n').take(line).zip(1..).any(|(one, number)| {
        let content = one.trim_start();
        end += one.len();
        let at = end - content.len();
        let begins = at >= start && content.starts_with("{{") && !is_quoted(at);
        begins || (number == line && content.contains("{{"))
    })
}

// === impl Document ===

impl Document<'_> {
    fn root(&self) -> Option<&Node> {
        self.root.get_or_init(|| tree::tree(self.text)).as_ref()
    }
}

/// Cuts a text into its documents.
struct Slices<'a> {
    text: &'a str,
    documents: Vec<Document<'a>>,
    /// Where the document at hand begins.
    start: usize,
    body: Option<Range<usize>>,
    line: usize,
}

impl<'a> Slices<'a> {
    fn take(&mut self, event: &Event<'_>, span: Span) {
        let Some(range) = span.byte_range() else { return };
        // The newline that the last line was given isn't in the text.
        let range = range.start.min(self.text.len())..range.end.min(self.text.len());
        if matches!(event, Event::DocumentStart(..)) {
            self.cut(range.start);
            self.line = span.start.line();
        }
        if !event.is_node() && !matches!(event, Event::SequenceEnd | Event::MappingEnd) {
            return;
        }
        // A tag or an anchor stands before its value.
        let start = span.tag_start().and_then(|tag| tag.byte_offset()).unwrap_or(range.start).min(range.start);
        match &mut self.body {
            Some(body) if !range.is_empty() => body.end = body.end.max(range.end),
            Some(_) => {}
            None => {
                self.body = Some(start..range.end);
                self.line = span.start.line();
            }
        }
    }

    /// Gives the document before this one everything up to where this one's own text begins.
    fn cut(&mut self, marker: usize) {
        let Some(last) = self.documents.last_mut() else { return };
        let gap = &self.text[self.start..marker];
        let directives = gap.find("\n%").map_or(gap.len(), |newline| newline + 1);
        let end = if gap.starts_with('%') { self.start } else { self.start + directives };
        let first = self.start - last.text.len();
        last.text = &self.text[first..end];
        self.start = end;
    }

    fn end(&mut self, value: Value, root: Option<Node>) {
        // Others are rarely asked, and many of them are large.
        let root = if kind::templated(&value).is_empty() { OnceLock::new() } else { OnceLock::from(root) };
        let body = self.body.take().unwrap_or(self.start..self.start);
        let end = body.end.max(self.start);
        self.documents.push(Document {
            text: &self.text[self.start..end],
            body: body.start - self.start..body.end - self.start,
            line: self.line,
            value,
            format: Format::Yaml,
            root,
        });
        self.start = end;
    }

    fn finish(mut self) -> Vec<Document<'a>> {
        if let Some(last) = self.documents.last_mut() {
            last.text = &self.text[self.start - last.text.len()..];
        }
        self.documents
    }
}

#[cfg(test)]
mod tests;
