//! The decision over manifests instead of a cluster: the Namespace documents of the input stand in for its namespaces.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::input::Parsed;
use super::output::{self, Complaint};
use crate::api::{OptIn, label};
use crate::config::Configuration;
use crate::inject::rules::LeftOut;
use crate::inject::{Namespace, Pod};
use crate::manifest::kind::{self, Object, Templated};
use crate::manifest::shape::{self, Misfit, Shape};
use crate::manifest::{Fault, Lines};

/// What holds for every document.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    pub configuration: &'a Configuration,
    /// For documents that name none.
    pub namespace: Option<&'a str>,
    pub opt_in: bool,
    /// For what doesn't tell its own time.
    pub now: Timestamp,
}

/// The Namespace documents of the input.
#[derive(Debug, Default)]
pub struct Namespaces(BTreeMap<String, Known>);

#[derive(Debug, Default)]
struct Known {
    opt_in: Option<String>,
    left_out: Option<LeftOut>,
    annotations: Vec<(Box<str>, Box<str>)>,
}

/// Where an object stands.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub file: &'a str,
    pub line: usize,
    lines: &'a Lines<'a>,
    /// JSON pointer of the object in its document.
    pointer: &'a str,
    pub object: Object<'a>,
    /// The object's own, or the one for documents that name none.
    pub namespace: Option<&'a str>,
}

/// When an object was created, by the API server's clock.
#[must_use]
pub fn created(object: &Value) -> Option<Timestamp> {
    object.pointer("/metadata/creationTimestamp")?.as_str()?.parse().ok()
}

// === impl Setting ===

impl Setting<'_> {
    /// When an object is decided: one that a cluster had is decided as it was then, on whatever day.
    #[must_use]
    pub fn at(&self, templated: &Templated<'_>, document: &Value) -> Timestamp {
        document.pointer(&templated.pointer).and_then(created).unwrap_or(self.now)
    }
}

// === impl Namespaces ===

impl Namespaces {
    /// Those of all inputs; of two with one name, the later wins, as it would in a cluster.
    ///
    /// # Errors
    /// When the API server would refuse one for its metadata.
    pub fn of(inputs: &[Parsed<'_>]) -> Result<Self, Vec<Complaint>> {
        let (mut known, mut complaints) = (BTreeMap::new(), Vec::new());
        for Parsed { input, documents } in inputs {
            for document in documents {
                let lines = Lines::of(document);
                for found in kind::objects(&document.value).iter().filter(|found| found.is_core("Namespace")) {
                    let (object, value, pointer) = (found.object(), found.value, &found.pointer);
                    let place = Place {
                        file: &input.name,
                        line: lines.at(pointer),
                        lines: &lines,
                        pointer,
                        object,
                        namespace: None,
                    };
                    match place.check(&shape::OBJECT, value, pointer) {
                        Ok(()) => drop(known.insert(object.name.to_owned(), Known::of(value))),
                        Err(complaint) => complaints.push(complaint),
                    }
                }
            }
        }
        if complaints.is_empty() { Ok(Self(known)) } else { Err(complaints) }
    }

    /// What the engine is told of one. One that isn't in the input has neither label nor annotations.
    #[must_use]
    pub fn view<'a>(&'a self, name: Option<&'a str>, opt_in: bool) -> Namespace<'a> {
        let known = name.and_then(|name| self.0.get(name));
        let label = known.and_then(|known| known.opt_in.as_deref());
        Namespace {
            name,
            left_out: known.and_then(|known| known.left_out),
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
        // Null is an empty text to the API server.
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let opt_in = texts("/metadata/labels").find(|(key, _)| *key == label::INJECT);
        Self {
            left_out: LeftOut::by(|key| object.pointer("/metadata/labels")?.get(key)?.as_str()),
            opt_in: opt_in.map(|(_, value)| text(value)),
            annotations: texts("/metadata/annotations")
                .map(|(key, value)| (key.as_str().into(), text(value).into()))
                .collect(),
        }
    }
}

// === impl Place ===

impl<'a> Place<'a> {
    #[must_use]
    pub fn of(file: &'a str, lines: &'a Lines<'a>, templated: &'a Templated<'a>, setting: &Setting<'a>) -> Self {
        let Templated { object, pointer, .. } = templated;
        let namespace = object.namespace.or(setting.namespace);
        Self { file, line: lines.at(pointer), lines, pointer, object: *object, namespace }
    }

    #[must_use]
    pub fn position(&self) -> String {
        output::printable(&format!("{}:{}", self.file, self.line)).into_owned()
    }

    /// `Deployment shop/web`.
    #[must_use]
    pub fn subject(&self) -> String {
        let Object { kind, name, generate_name, .. } = self.object;
        output::object(kind, self.namespace, name, generate_name)
    }

    /// That something is wrong in the object, on the line of the value that a JSON pointer of the document names.
    #[must_use]
    pub fn complaint(&self, pointer: &str, message: &str, next: &str) -> Complaint {
        Complaint {
            place: format!("{}:{}", self.file, self.lines.at(pointer)),
            message: format!("{}: {message}", self.subject()),
            next: next.to_owned(),
        }
    }

    /// The path of a field of a pod template in its object, such as `spec.template.spec.containers[0]`.
    fn path(&self, pointer: &str, path: &str) -> String {
        let within = pointer.strip_prefix(self.pointer).unwrap_or_default().replace('/', ".");
        format!("{within}{path}").trim_start_matches('.').to_owned()
    }

    /// Whether a value of the object has the types that the API server wants.
    fn check(&self, shape: &Shape, value: &Value, pointer: &str) -> Result<(), Complaint> {
        let Some(Misfit { pointer: below, path, wanted, found }) = shape.misfit(value) else { return Ok(()) };
        let next = if wanted == "a string" && matches!(found, "a boolean" | "an integer" | "a number") {
            "quote it if it is meant as text: unquoted numbers, y, n, yes, no, on, off, true and false are none to \
             kubectl"
        } else {
            "correct it; the API server refuses it too"
        };
        let path = self.path(pointer, &path);
        let (message, next) = if found == shape::TEMPLATE {
            (format!("{path} is {}", Fault::Template), Fault::Template.next_step())
        } else {
            (format!("{path} must be {wanted}, and is {found}"), next)
        };
        Err(self.complaint(&format!("{pointer}{below}"), &message, next))
    }
}

/// The pod template as the engine sees it.
///
/// # Errors
/// When the API server would refuse the object for a field that a decision reads.
pub fn pod<'a>(
    json: &'a str,
    document: &Value,
    templated: &Templated<'a>,
    place: &Place<'_>,
) -> Result<Pod<'a>, Complaint> {
    let Templated { pointer, template, .. } = templated;
    if let Some(object) = document.pointer(pointer).filter(|_| pointer != template) {
        place.check(&shape::OBJECT, object, pointer)?;
    }
    let value = document.pointer(template).unwrap_or(&Value::Null);
    place.check(&shape::POD, value, template)?;
    check_names(value, template, place)?;
    let mut pod = Pod::from_json(json).map_err(|_| {
        let message = "the pod template can't be read".to_owned();
        place.complaint(template, &message, "correct it; the API server refuses it too")
    })?;
    pod.template_of.clone_from(&templated.workload);
    Ok(pod)
}

/// Every container of a pod has a name of its own.
fn check_names(template: &Value, pointer: &str, place: &Place<'_>) -> Result<(), Complaint> {
    let mut names = BTreeMap::new();
    for list in ["containers", "initContainers"] {
        let items = template.pointer(&format!("/spec/{list}")).and_then(Value::as_array);
        for (index, container) in items.into_iter().flatten().enumerate() {
            let below = format!("/spec/{list}/{index}");
            let path = place.path(pointer, &format!(".spec.{list}[{index}]"));
            let (below, message) = match container.get("name").and_then(Value::as_str).unwrap_or_default() {
                "" => (below, format!("{path} has no name")),
                name => match names.insert(name, path.clone()) {
                    Some(first) => (format!("{below}/name"), format!("{path} has the name of {first}")),
                    None => continue,
                },
            };
            let next = "give every container of the pod a name of its own; the API server refuses it too";
            return Err(place.complaint(&format!("{pointer}{below}"), &message, next));
        }
    }
    Ok(())
}
