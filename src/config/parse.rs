//! Reads a configuration: a YAML document, or the ConfigMap that holds one.
//!
//! Whoever edits the file meets these errors, so each names line, column and key, and says what would be right. None
//! holds a value of `env`: the webhook logs them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use granit_parser::{Event, Parser};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use serde_saphyr::{Error as YamlError, Spanned};
use thiserror::Error;

use super::compiled::{Configuration, ConfigurationError, unknown_version};
use super::document::{API_VERSION, Document, KIND, own_pods};
use crate::api::object;
use crate::inject::legal;
use crate::manifest;
use crate::nearest::nearest;

/// Key of the document in a ConfigMap.
pub const CONFIG_MAP_KEY: &str = "config.yaml";

/// Keys whose values are lists.
const LISTS: [&str; 5] = ["propagators", "env", "exclude", "matchExpressions", "values"];

/// A configuration that can't be used.
#[derive(Debug, Error)]
pub enum ParseError {
    #[error("the configuration is empty; a minimal one has the lines `apiVersion: {API_VERSION}` and `kind: {KIND}`")]
    Empty,
    #[error("line {}, column {}: {message}", .at.line, .at.column)]
    Malformed { at: Position, message: String },
    #[error(
        "kind: {kind:?} is no configuration; give one of kind {KIND}, or a ConfigMap that holds it, such as {}, which the \
         controller makes from the TelemetryStack",
        object::INJECTION
    )]
    AnotherKind { kind: String },
    #[error("{}", unknown_version(.version))]
    AnotherVersion { version: String },
    #[error("the ConfigMap has no key data.{CONFIG_MAP_KEY}; put the configuration there")]
    NotInConfigMap,
    #[error(
        "data.{CONFIG_MAP_KEY} must be a text: write `{CONFIG_MAP_KEY}: |`, and the configuration indented below it"
    )]
    NotAText,
    #[error(transparent)]
    Illegal(#[from] ConfigurationError),
}

/// Where in the text, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// What tells a ConfigMap, and all else, from a configuration of this version; and whether one key stands there whose default
/// hangs on another.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    #[serde(default)]
    api_version: Option<String>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    exclude: Option<IgnoredAny>,
}

/// What a ConfigMap holds.
#[derive(Deserialize)]
struct Held {
    #[serde(default)]
    data: Option<BTreeMap<String, Option<Spanned<String>>>>,
}

// === impl Envelope ===

impl Envelope {
    /// Nothing of a document with a fault of its own, which is reported by the stricter reading.
    fn of(text: &str) -> Self {
        read(text).unwrap_or_default()
    }
}

/// Reads a configuration and checks it.
///
/// # Errors
/// When the text is no configuration; every illegal value is named at once.
pub fn parse(text: &str) -> Result<Configuration, ParseError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if is_empty(text) {
        return Err(ParseError::Empty);
    }
    let envelope = Envelope::of(text);
    let document = match envelope.kind.as_deref() {
        Some("ConfigMap") => from_config_map(text)?,
        _ => document(text, envelope)?,
    };
    Ok(Configuration::try_from(document)?)
}

fn document(text: &str, envelope: Envelope) -> Result<Document, ParseError> {
    let Envelope { api_version, kind, exclude } = envelope;
    // Of another kind's or version's fields none is right: what is wrong is the kind, or the version.
    let mut document = read::<Document>(text).map_err(|error| match (kind, api_version) {
        (Some(kind), _) if kind != KIND => ParseError::AnotherKind { kind },
        (_, Some(version)) if version != API_VERSION => ParseError::AnotherVersion { version },
        _ => error,
    })?;
    let namespace = &document.collector.namespace;
    // One that isn't legal is told where it is written.
    if exclude.is_none() && legal::is_dns_label(namespace) {
        document.exclude = own_pods(object::NAMESPACE, namespace);
    }
    Ok(document)
}

/// Reads the fields of a document that somebody wrote elsewhere, without the envelope. Not checked beyond their types.
///
/// # Errors
/// Names the path of what is wrong, and what would be right.
pub fn fields(fields: &Map<String, Value>) -> Result<Document, String> {
    if let Some(name) = ["apiVersion", "kind"].into_iter().find(|name| fields.contains_key(*name)) {
        return Err(format!("{name}: belongs to the configuration's file; leave it out"));
    }
    let mut whole =
        Map::from_iter([("apiVersion".to_owned(), Value::from(API_VERSION)), ("kind".to_owned(), Value::from(KIND))]);
    whole.extend(fields.clone());
    // What is read from JSON is read by the same rules, with the same words, as what people write.
    let text = manifest::document(&Value::Object(whole));
    document(&text, Envelope::of(&text)).map_err(|error| match error {
        ParseError::Malformed { message, .. } => message,
        other => other.to_string(),
    })
}

fn from_config_map(text: &str) -> Result<Document, ParseError> {
    let held = read::<Held>(text).map_err(|error| match error {
        ParseError::Malformed { at, .. } if is_held_there(text, at) => ParseError::NotAText,
        other => other,
    })?;
    let inner = held.data.and_then(|mut data| data.remove(CONFIG_MAP_KEY)?).ok_or(ParseError::NotInConfigMap)?;
    if is_empty(&inner.value) {
        return Err(ParseError::Empty);
    }
    let start = usize::try_from(inner.referenced.line()).unwrap_or(1);
    document(&inner.value, Envelope::of(&inner.value)).map_err(|error| match (error, block_indent(text, start)) {
        (ParseError::Malformed { at, message }, Some(indent)) => {
            ParseError::Malformed { at: Position { line: at.line + start - 1, column: at.column + indent }, message }
        }
        (ParseError::Malformed { at, message }, None) => ParseError::Malformed {
            at: Position { line: start, column: 1 },
            message: format!("in {CONFIG_MAP_KEY}, line {}: {message}", at.line),
        },
        (other, _) => other,
    })
}

fn is_held_there(text: &str, at: Position) -> bool {
    let path = path_at(text, at, Node::Value);
    path.as_deref().and_then(|path| path.strip_prefix("data.")) == Some(CONFIG_MAP_KEY)
}

/// Columns by which the block scalar is indented whose text begins on that line; `None` for other scalars.
fn block_indent(text: &str, line: usize) -> Option<usize> {
    let mut lines = text.lines().skip(line.checked_sub(2)?);
    lines.next()?.split('#').next()?.trim_end().ends_with(['|', '-', '+']).then_some(())?;
    let first = lines.find(|line| !line.trim().is_empty())?;
    Some(first.len() - first.trim_start_matches(' ').len())
}

fn is_empty(text: &str) -> bool {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .all(|line| matches!(line, "" | "---" | "..."))
}

fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, ParseError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: 20_000, max_depth: 32 },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 10_000 },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| explain(error.without_snippet(), text))
}

fn explain(error: &YamlError, text: &str) -> ParseError {
    let at = error.location().map_or(Position { line: 1, column: 1 }, |location| Position {
        line: usize::try_from(location.line()).unwrap_or(1),
        column: usize::try_from(location.column()).unwrap_or(1),
    });
    let named = |says: String| match path_at(text, at, Node::Value) {
        Some(path) if !path.is_empty() => format!("{path}: {says}"),
        _ => says,
    };
    let message = match error {
        YamlError::SerdeUnknownField { field, expected, .. } => {
            let path = path_at(text, at, Node::Key).unwrap_or_else(|| "a key".to_owned());
            match path.strip_prefix("env[").and_then(|rest| rest.split_once(']')) {
                // Where a colon is missing, it is a value.
                Some((index, _)) => format!("env[{index}]: has an unknown key; known are {}", expected.join(", ")),
                None => format!("{path}: unknown key; {}", suggestion(field, expected)),
            }
        }
        YamlError::SerdeUnknownVariant { variant, expected, .. } => {
            let known = expected.join(", ");
            named(match variant.as_str() {
                "" | "~" | "null" => format!("has no value; write one of {known}"),
                _ => format!("{variant:?} isn't one of {known}"),
            })
        }
        YamlError::NullIntoString { .. } => named("has no value; write one".to_owned()),
        YamlError::Unexpected { expected: "mapping start", .. } => named("must be a map".to_owned()),
        YamlError::Unexpected { expected: "sequence start", .. } => named("must be a list".to_owned()),
        YamlError::Unexpected { expected: "string scalar", .. }
        | YamlError::ExternallyTaggedEnumExpectedScalarOrMapping { .. }
        | YamlError::UnexpectedValueForUnitEnumVariant { .. } => {
            named("must be a single value, and no list or map".to_owned())
        }
        YamlError::SerdeMissingField { field, .. } => named(format!("{field} is missing; write it")),
        YamlError::SerdeInvalidType { expected, .. } | YamlError::SerdeInvalidValue { expected, .. } => {
            named(format!("must be {expected}"))
        }
        YamlError::InvalidScalar { ty, .. } => named(format!("must be a {ty}")),
        YamlError::DuplicateMappingKey { .. } => {
            let path = path_at(text, at, Node::Key).unwrap_or_default();
            match path.strip_prefix("env[").and_then(|rest| rest.split_once(']')) {
                Some((index, _)) => format!("env[{index}]: a key stands twice; keep one"),
                None => format!("{path}: stands twice; keep one"),
            }
        }
        YamlError::MultipleDocuments { .. } => {
            "a second document starts here; a configuration is one document".to_owned()
        }
        YamlError::Budget { .. }
        | YamlError::AliasReplayLimitExceeded { .. }
        | YamlError::AliasExpansionLimitExceeded { .. }
        | YamlError::AliasReplayStackDepthExceeded { .. } => {
            "the document, with its aliases expanded, is too large for a configuration; write the values out".to_owned()
        }
        other => named(first_line(&other.to_string())),
    };
    ParseError::Malformed { at, message }
}

/// The parser's own words, without the place, which is told in front.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let words = line.split(" at line ").next().unwrap_or(line);
    words.trim_end_matches([',', ':']).to_owned()
}

fn suggestion(field: &str, expected: &[&'static str]) -> String {
    match nearest(field, expected.iter().copied()) {
        Some(name) => format!("did you mean {name}?"),
        None => format!("known are {}", expected.join(", ")),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    Key,
    Value,
}

enum Frame<'a> {
    /// With the key whose value comes next.
    Mapping(Option<Cow<'a, str>>),
    Sequence(usize),
}

/// The path, such as `env[2].valueFrom`, of the key or value that starts there.
fn path_at(text: &str, at: Position, node: Node) -> Option<String> {
    let mut frames: Vec<Frame<'_>> = Vec::new();
    let mut list = None;
    for item in Parser::new_from_str(text) {
        let (event, span) = item.ok()?;
        let is_key = matches!(frames.last(), Some(Frame::Mapping(None)));
        let is_there = event.is_node() && span.start.line() == at.line && span.start.col() + 1 == at.column;
        if list.is_some() && !is_there {
            return list;
        }
        if is_there {
            match (&event, node, is_key) {
                (Event::Scalar(key, ..), Node::Key, true) => {
                    let mut path = path(&frames);
                    if !path.is_empty() {
                        path.push('.');
                    }
                    return Some(path + key);
                }
                // One that isn't indented starts where its first entry does, which is what is wrong where a list may stand.
                (Event::SequenceStart(..), Node::Value, false) if is_list(&frames) => list = Some(path(&frames)),
                (_, Node::Value, _) => return Some(path(&frames)),
                _ => {}
            }
        }
        match event {
            Event::MappingStart(..) => frames.push(Frame::Mapping(None)),
            Event::SequenceStart(..) => frames.push(Frame::Sequence(0)),
            Event::MappingEnd | Event::SequenceEnd => {
                frames.pop();
                value_ended(&mut frames);
            }
            Event::Scalar(key, ..) if is_key => {
                if let Some(Frame::Mapping(current)) = frames.last_mut() {
                    *current = Some(key);
                }
            }
            Event::Scalar(..) | Event::Alias(_) => value_ended(&mut frames),
            _ => {}
        }
    }
    list
}

/// Whether what comes next is the value of a key that has a list.
fn is_list(frames: &[Frame<'_>]) -> bool {
    matches!(frames.last(), Some(Frame::Mapping(Some(key))) if LISTS.contains(&&**key))
}

fn value_ended(frames: &mut [Frame<'_>]) {
    match frames.last_mut() {
        Some(Frame::Mapping(key)) => *key = None,
        Some(Frame::Sequence(index)) => *index += 1,
        None => {}
    }
}

fn path(frames: &[Frame<'_>]) -> String {
    frames.iter().fold(String::new(), |mut path, frame| {
        match frame {
            Frame::Mapping(Some(key)) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
            }
            Frame::Mapping(None) => {}
            Frame::Sequence(index) => {
                path.push('[');
                path.push_str(&index.to_string());
                path.push(']');
            }
        }
        path
    })
}

#[cfg(test)]
mod tests;
