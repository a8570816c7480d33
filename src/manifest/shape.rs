//! The types of the fields that a decision reads, as the API server wants them, so that a complaint names the first
//! that is wrong in Kubernetes' words. The values themselves are never named.

use serde_json::Value;

/// What stands in a field. Null stands for nothing there, except in a list.
pub enum Shape {
    /// Of no interest.
    Any,
    Text,
    /// Text that can't have braces in it: where it has them, it is a template that wasn't rendered.
    Word,
    Boolean,
    /// A map of such values.
    Map(&'static Shape),
    List(&'static Shape),
    /// A map with these fields, and others of no interest.
    Fields(&'static [(&'static str, Shape)]),
}

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct Misfit {
    /// A JSON pointer.
    pub pointer: String,
    /// As kubectl writes it: `spec.containers[0].env[1].value`.
    pub path: String,
    pub wanted: &'static str,
    pub found: &'static str,
}

use Shape::{Any, Boolean, Fields, List, Map, Text, Word};

/// Found where rendered text is wanted.
pub const TEMPLATE: &str = "a template";

const REFERENCE: Shape = Fields(&[("apiVersion", Text), ("kind", Text), ("name", Text), ("controller", Boolean)]);
const METADATA: Shape = Fields(&[
    ("name", Word),
    ("generateName", Word),
    ("namespace", Word),
    ("labels", Map(&Word)),
    ("annotations", Map(&Text)),
    ("ownerReferences", List(&REFERENCE)),
]);
const FIELD: Shape = Fields(&[("fieldRef", Fields(&[("fieldPath", Text)]))]);
const VARIABLE: Shape = Fields(&[("name", Text), ("value", Text), ("valueFrom", FIELD)]);
const CONTAINER: Shape = Fields(&[("name", Word), ("image", Word), ("env", List(&VARIABLE)), ("envFrom", List(&Any))]);
const SPEC: Shape = Fields(&[
    ("containers", List(&CONTAINER)),
    ("initContainers", List(&CONTAINER)),
    ("dnsPolicy", Text),
    ("hostNetwork", Boolean),
    ("os", Fields(&[("name", Text)])),
    ("nodeSelector", Map(&Text)),
]);

/// Any object, its metadata alone.
pub const OBJECT: Shape = Fields(&[("metadata", METADATA)]);
/// A pod, or a pod template.
pub const POD: Shape = Fields(&[("metadata", METADATA), ("spec", SPEC)]);

// === impl Shape ===

impl Shape {
    /// The first field that isn't as it should be.
    #[must_use]
    pub fn misfit(&self, value: &Value) -> Option<Misfit> {
        match (self, value) {
            (Any, _) | (_, Value::Null) | (Text, Value::String(_)) | (Boolean, Value::Bool(_)) => None,
            (Word, Value::String(text)) if !text.contains("{{") => None,
            (Map(shape), Value::Object(map)) => {
                map.iter().find_map(|(key, value)| Some(shape.misfit(value)?.below_key(key, &format!("[{key}]"))))
            }
            (Fields(fields), Value::Object(map)) => fields.iter().find_map(|(field, shape)| {
                Some(shape.misfit(map.get(*field)?)?.below_key(field, &format!(".{field}")))
            }),
            (List(shape), Value::Array(items)) => items.iter().enumerate().find_map(|(index, item)| {
                let misfit = if item.is_null() { shape.unlike(item) } else { shape.misfit(item) };
                Some(misfit?.below_key(&index.to_string(), &format!("[{index}]")))
            }),
            _ => self.unlike(value),
        }
    }

    fn unlike(&self, value: &Value) -> Option<Misfit> {
        let wanted = match self {
            Any => return None,
            Text | Word => "a string",
            Boolean => "a boolean",
            List(_) => "a list",
            Map(_) | Fields(_) => "a map",
        };
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(number) if number.is_f64() => "a number",
            Value::Number(_) => "an integer",
            Value::String(_) if matches!(self, Word) => TEMPLATE,
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "a map",
        };
        Some(Misfit { pointer: String::new(), path: String::new(), wanted, found })
    }
}

// === impl Misfit ===

impl Misfit {
    fn below_key(self, key: &str, step: &str) -> Self {
        let pointer = format!("/{}{}", key.replace('~', "~0").replace('/', "~1"), self.pointer);
        Self { pointer, path: format!("{step}{}", self.path), ..self }
    }
}
