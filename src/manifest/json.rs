//! JSON manifests: one object, or several in a row. Duplicate keys are refused, which `serde_json` alone wouldn't.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use serde::Serialize as _;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::fault::{Fault, ReadError};
use super::{Document, Format};

/// Begins the message of a duplicate key, on its way through serde's error.
const DUPLICATE: &str = "duplicate key ";

/// Reads a stream of JSON values, behind a byte-order mark if there is one.
///
/// # Errors
/// When it is no JSON, or a key stands twice in an object.
pub fn read(text: &str) -> Result<Vec<Document<'_>>, ReadError> {
    let mut documents = Vec::new();
    let unmarked = text.trim_start_matches('\u{feff}');
    let mark = text.len() - unmarked.len();
    let mut stream = serde_json::Deserializer::from_str(unmarked).into_iter::<Strict>();
    let (mut start, mut line, mut counted) = (0, 1, 0);
    while let Some(item) = stream.next() {
        let Strict(value) = item.map_err(|error| behind(text, start).unwrap_or_else(|| explain(&error)))?;
        let end = mark + stream.byte_offset();
        let body = end - text[start.max(mark)..end].trim_start().len();
        line += text[counted..body].matches('\n').count();
        counted = body;
        documents.push(Document {
            text: &text[start..end],
            body: body - start..end - start,
            line,
            value,
            format: Format::Json,
            root: OnceLock::new(),
        });
        start = end;
    }
    if let Some(last) = documents.last_mut() {
        last.text = &text[start - last.text.len()..];
    }
    Ok(documents)
}

/// As JSON in the manner of `old`: on one line, or indented by as much.
#[must_use]
pub fn write(value: &Value, old: &str) -> String {
    let Some(second) = old.lines().nth(1) else { return as_written(old, &value.to_string()) };
    let indent: String = second.chars().take_while(|c| matches!(c, ' ' | '\t')).collect();
    let indent = if indent.is_empty() { "  ".to_owned() } else { indent };
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    let mut bytes = Vec::with_capacity(old.len() * 2);
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))
        .expect("a JSON value can always be written to memory");
    let text = String::from_utf8(bytes).expect("serde_json writes UTF-8");
    let text = as_written(old, &text);
    if old.contains("\r\n") { text.replace('\n', "\r\n") } else { text }
}

/// Writes texts and numbers as they were written: `\u003c` and `1e3`.
fn as_written(old: &str, new: &str) -> String {
    let mut sources: HashMap<Cow<'_, str>, VecDeque<&str>> = HashMap::new();
    for range in scalars(old) {
        sources.entry(canonical(&old[range.clone()])).or_default().push_back(&old[range]);
    }
    let mut out = String::with_capacity(new.len());
    let mut copied = 0;
    for range in scalars(new) {
        let Some(source) = sources.get_mut(&new[range.clone()]).and_then(VecDeque::pop_front) else { continue };
        out.push_str(&new[copied..range.start]);
        out.push_str(source);
        copied = range.end;
    }
    out + &new[copied..]
}

/// A text or a number as it is written here.
fn canonical(scalar: &str) -> Cow<'_, str> {
    let is_text = scalar.starts_with('"');
    let is_so = if is_text {
        !scalar.contains('\\')
    } else {
        scalar != "-0" && scalar.len() < 19 && !scalar.contains(['.', 'e', 'E'])
    };
    let value = (!is_so).then(|| serde_json::from_str::<Value>(scalar).ok()).flatten();
    value.map_or(Cow::Borrowed(scalar), |value| Cow::Owned(value.to_string()))
}

/// Where the texts and numbers of a JSON text stand.
fn scalars(json: &str) -> Vec<Range<usize>> {
    let bytes = json.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let length = match rest[0] {
            b'"' => string_length(rest),
            b'-' | b'0'..=b'9' => {
                let is_over = |byte: &u8| !matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
                rest.iter().position(is_over).unwrap_or(rest.len())
            }
            _ => {
                at += 1;
                continue;
            }
        };
        found.push(at..at + length);
        at += length;
    }
    found
}

/// Bytes of the string with which a JSON text begins, quotes included.
fn string_length(json: &[u8]) -> usize {
    let mut escaped = false;
    let end = json.iter().skip(1).position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map_or(json.len(), |end| end + 2)
}

/// What follows an object and can't begin another.
fn behind(text: &str, end: usize) -> Option<ReadError> {
    let rest = text[end..].trim_start();
    if end == 0 || rest.starts_with(['{', '[']) {
        return None;
    }
    let before = &text[..text.len() - rest.len()];
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let fault = Fault::Json("text stands behind the object".to_owned());
    Some(ReadError { line: before.matches('\n').count() + 1, column, fault })
}

fn explain(error: &serde_json::Error) -> ReadError {
    let words = error.to_string();
    let words = words.rsplit_once(" at line ").map_or(words.as_str(), |(words, _)| words);
    let fault = match words.strip_prefix(DUPLICATE) {
        Some(key) => Fault::DuplicateKey(key.to_owned()),
        None if words.starts_with("recursion limit") => Fault::TooDeep,
        None => Fault::Json(words.to_owned()),
    };
    ReadError { line: error.line().max(1), column: error.column().max(1), fault }
}

/// A value in which no key stands twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Any.deserialize(deserializer).map(Self)
    }
}

#[derive(Clone, Copy)]
struct Any;

impl<'de> DeserializeSeed<'de> for Any {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let value = access.next_value_seed(self)?;
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("{DUPLICATE}{key}")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
