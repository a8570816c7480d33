//! The decision over manifests instead of a cluster: the Namespace documents of the input stand in for its namespaces.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::input::Parsed;
use super::output::Complaint;
use crate::api::{OptIn, label};
use crate::config::Configuration;
use crate::inject::{Namespace, Pod};
use crate::manifest::Lines;
use crate::manifest::kind::{self, Object, Templated};

/// What holds for every document.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    pub configuration: &'a Configuration,
    /// For documents that name none.
    pub namespace: Option<&'a str>,
    pub opt_in: bool,
    pub now: Timestamp,
}

/// The Namespace documents of the input.
#[derive(Debug, Default)]
pub struct Namespaces(BTreeMap<String, Known>);

#[derive(Debug, Default)]
struct Known {
    opt_in: Option<String>,
    annotations: Vec<(Box<str>, Box<str>)>,
}

/// Where an object stands.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub file: &'a str,
    pub line: usize,
    lines: &'a Lines<'a>,
    pub object: Object<'a>,
    /// The object's own, or the one for documents that name none.
    pub namespace: Option<&'a str>,
}

// === impl Namespaces ===

impl Namespaces {
    /// Those of all inputs; of two with one name, the later wins, as it would in a cluster.
    #[must_use]
    pub fn of(inputs: &[Parsed<'_>]) -> Self {
        let mut known = BTreeMap::new();
        for document in inputs.iter().flat_map(|parsed| &parsed.documents) {
            for (_, object) in kind::objects(&document.value) {
                if kind::is_core(object, "Namespace") {
                    known.insert(kind::object(object).name.to_owned(), Known::of(object));
                }
            }
        }
        Self(known)
    }

    /// What the engine is told of one. One that isn't in the input has neither label nor annotations.
    #[must_use]
    pub fn view<'a>(&'a self, name: Option<&'a str>, opt_in: bool) -> Namespace<'a> {
        let known = name.and_then(|name| self.0.get(name));
        let label = known.and_then(|known| known.opt_in.as_deref());
        Namespace {
            name,
            opt_in: if opt_in { Some(OptIn::Enabled.as_str()) } else { label },
            annotations: Some(known.map_or(&[][..], |known| &known.annotations)),
        }
    }

    #[must_use]
    pub fn has(&self, name: Option<&str>) -> bool {
        name.is_some_and(|name| self.0.contains_key(name))
    }
}

// === impl Known ===

impl Known {
    fn of(object: &Value) -> Self {
        let texts = |pointer| object.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
        let opt_in = texts("/metadata/labels").find(|(key, _)| *key == label::INJECT);
        Self {
            opt_in: opt_in.and_then(|(_, value)| value.as_str()).map(ToOwned::to_owned),
            annotations: texts("/metadata/annotations")
                .filter_map(|(key, value)| Some((key.as_str().into(), value.as_str()?.into())))
                .collect(),
        }
    }
}

// === impl Place ===

impl<'a> Place<'a> {
    #[must_use]
    pub fn of(file: &'a str, lines: &'a Lines<'a>, templated: &Templated<'a>, setting: &Setting<'a>) -> Self {
        let Templated { object, pointer, .. } = templated;
        let namespace = object.namespace.or(setting.namespace);
        Self { file, line: lines.at(pointer), lines, object: *object, namespace }
    }

    #[must_use]
    pub fn position(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }

    /// `Deployment shop/web`.
    #[must_use]
    pub fn subject(&self) -> String {
        let name = if self.object.name.is_empty() { "(no name)" } else { self.object.name };
        match self.namespace {
            Some(namespace) => format!("{} {namespace}/{name}", self.object.kind),
            None => format!("{} {name}", self.object.kind),
        }
    }
}

/// The pod template as the engine sees it.
///
/// # Errors
/// When a field that a decision reads is of the wrong type: the API server would refuse the object.
pub fn pod<'a>(json: &'a str, templated: &Templated<'a>, place: &Place<'_>) -> Result<Pod<'a>, Complaint> {
    let mut pod = Pod::from_json(json).map_err(|error| refused(json, &error, templated, place))?;
    pod.template_of.clone_from(&templated.workload);
    Ok(pod)
}

/// What is wrong, without the value itself.
fn refused(json: &str, error: &serde_json::Error, templated: &Templated<'_>, place: &Place<'_>) -> Complaint {
    let words = error.to_string();
    let wanted = words.split_once("expected ").map_or("something else", |(_, rest)| rest);
    let wanted = wanted.split(" at line ").next().unwrap_or(wanted);
    let found = words.strip_prefix("invalid type: ").and_then(|rest| rest.split([' ', ',']).next());
    let found = match found {
        Some("boolean") => ", and is a boolean",
        Some("integer") => ", and is an integer",
        Some("floating") => ", and is a number",
        Some("string") => ", and is a text",
        Some("sequence") => ", and is a list",
        Some("map") => ", and is a map",
        Some("null") => ", and is null",
        _ => "",
    };
    let steps = steps_to(json, error.column());
    let pointer: String = steps.iter().map(Step::pointer).collect();
    let path = steps.iter().fold(String::new(), |path, step| step.path(&path));
    let path = if path.is_empty() { "the pod template" } else { &path };
    let next = if wanted == "a string" {
        "quote it if it is meant as text: unquoted numbers, y, n, yes, no, on, off, true and false are none to kubectl"
    } else {
        "correct it; the API server refuses it too"
    };
    Complaint {
        place: format!("{}:{}", place.file, place.lines.at(&format!("{}{pointer}", templated.template))),
        message: format!("{}: {path} must be {wanted}{found}", place.subject()),
        next: next.to_owned(),
    }
}

/// A step from a value to one that it holds.
#[derive(Debug)]
enum Step<'a> {
    /// As it stands in the JSON text.
    Key(&'a str),
    Index(usize),
}

/// The way to the value in which a column of a JSON text on one line lies.
fn steps_to(json: &str, column: usize) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let (mut text, mut escaped, mut last) = (None, false, "");
    for (index, byte) in json.bytes().enumerate().take(column.saturating_sub(1)) {
        if let Some(start) = text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    last = json.get(start..index).unwrap_or_default();
                    text = None;
                }
                _ => {}
            }
            continue;
        }
        match (byte, steps.last_mut()) {
            (b'"', _) => text = Some(index + 1),
            (b'{', _) => steps.push(Step::Key("")),
            (b'[', _) => steps.push(Step::Index(0)),
            (b'}' | b']', _) => {
                steps.pop();
            }
            (b':', Some(Step::Key(key))) => *key = last,
            (b',', Some(Step::Index(index))) => *index += 1,
            _ => {}
        }
    }
    steps
}

// === impl Step ===

impl Step<'_> {
    fn pointer(&self) -> String {
        match self {
            Self::Key(key) => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Self::Index(index) => format!("/{index}"),
        }
    }

    /// Behind a path, such as `spec.containers[0].env[1].value`.
    fn path(&self, path: &str) -> String {
        match self {
            Self::Key(key) if path.is_empty() => (*key).to_owned(),
            Self::Key(key) => format!("{path}.{key}"),
            Self::Index(index) => format!("{path}[{index}]"),
        }
    }
}
