//! What users add to the configuration, and how it is merged.
//!
//! Maps are merged key by key, and anything else of theirs takes the place of ours, but:
//! - a list of a pipeline of ours gets what it hasn't: receivers, exporters and extensions at its end, processors in front
//!   of `batch`. Nothing is taken out of it; nor out of the lists by which it is told whose a line is: [`GROWING`];
//! - what other pods, probes and the controller rely on can't be set: [`FIXED`]; nor can what decides whose lines are sent:
//!   [`SCOPE`]; nor what ours need to be told of pods: [`TOLD`];
//! - files of containers' lines are read by the pipeline that sorts them out, and by no other;
//! - `null` stands for a component without settings.

use serde_json::{Map, Value};

use super::Fault;
use super::names::RENAMES;
use super::processors::BATCH;
use super::{pipelines, receivers, reference};

/// Where additions are in the spec.
pub const FIELD: &str = "spec.collector.config";

/// The sections that may be added to.
const SECTIONS: [&str; 6] = ["extensions", "receivers", "processors", "connectors", "exporters", "service"];

/// What can't be set, and why. A `*` stands for any key; a type's other names count like its own: `batch/mine` is a
/// `batch`.
const FIXED: [(&str, &str); 11] = [
    ("receivers.otlp.protocols.*.endpoint", "pods send there, and its Service points there"),
    ("extensions.health_check", "the kubelet's probes go there"),
    ("extensions.k8s_leader_elector.auth_type", "one Collector in the cluster reads its objects"),
    ("extensions.k8s_leader_elector.lease_name", "one Collector in the cluster reads its objects"),
    ("extensions.k8s_leader_elector.lease_namespace", "one Collector in the cluster reads its objects"),
    ("extensions.file_storage.directory", "it is the folder that is kept across restarts"),
    ("processors.memory_limiter", "it follows spec.collector.resources.limits.memory"),
    ("processors.batch", "it follows spec.collector.batch"),
    ("exporters.datadog.hostname", "with another name than the Agent's, hosts would show twice"),
    ("exporters.datadog.host_metadata.enabled", "one alone tells what hosts are, which status.owners names"),
    ("service.telemetry.metrics", "the controller reads the Collector's own metrics there"),
];

/// Parts that decide whose lines are sent: those of ours that are there can't be changed. A component here is the one of
/// that very name, whatever the version calls its type.
pub(super) const SCOPE: [&str; 10] = [
    "receivers.file_log.include_file_path",
    "processors.k8s_attributes/files.exclude",
    "processors.k8s_attributes/files.filter",
    "processors.k8s_attributes/files.passthrough",
    "processors.k8s_attributes/files.pod_association",
    "processors.k8s_attributes/files.wait_for_metadata",
    "processors.filter/unknown_pods",
    "processors.filter/not_opted_in",
    "processors.filter/switched_off",
    "processors.transform/without_switches",
];

/// How ours are told of pods: otherwise set, they may never be, and don't start.
pub(super) const TOLD: [&str; 8] = [
    "processors.k8s_attributes.auth_type",
    "processors.k8s_attributes.context",
    "processors.k8s_attributes.filter.node_from_env_var",
    "processors.k8s_attributes.wait_for_metadata",
    "processors.k8s_attributes.wait_for_metadata_timeout",
    "processors.k8s_attributes/files.auth_type",
    "processors.k8s_attributes/files.context",
    "processors.k8s_attributes/files.wait_for_metadata_timeout",
];

/// Lists that say whose a line is, and that keep what they have; and where theirs goes.
pub(super) const GROWING: [(&str, Place); 5] = [
    ("receivers.file_log.exclude", Place::Behind),
    ("receivers.file_log.operators", Place::Behind),
    ("processors.k8s_attributes/files.extract.metadata", Place::Behind),
    // Of two that give the same attribute, the later one counts.
    ("processors.k8s_attributes/files.extract.annotations", Place::InFront),
    ("processors.k8s_attributes/files.extract.labels", Place::InFront),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    InFront,
    Behind,
}

/// Which components a pattern's second key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// A type's, whatever they are called.
    Any,
    One,
}

/// Merges them into ours. `known` are the variables that they may refer to.
///
/// # Errors
/// Names the field of what can't be added, and why.
pub fn merge(ours: &mut Map<String, Value>, theirs: &Map<String, Value>, known: &[&str]) -> Result<(), Fault> {
    let mut path = Path::new();
    for (section, added) in theirs {
        path.within(section, |path| {
            if !SECTIONS.contains(&section.as_str()) {
                return Err(path.fault(format!("is no section of a configuration; those are {}", SECTIONS.join(", "))));
            }
            if !added.is_object() {
                return Err(path.fault("has to be a map"));
            }
            refers_to(added, known, path)?;
            let place = ours.entry(section.clone()).or_insert_with(|| Value::Object(Map::new()));
            put(place, added, path)
        })?;
    }
    files_are_sorted_out(ours)
}

/// Another pipeline would send lines that are left out on purpose.
fn files_are_sorted_out(document: &Map<String, Value>) -> Result<(), Fault> {
    let all = document.get("service").and_then(|service| service["pipelines"].as_object());
    let Some(all) = all.filter(|all| all.contains_key(pipelines::FILES)) else { return Ok(()) };
    let is_ours = |id: &Value| id.as_str().is_some_and(|id| is_component(receivers::FILE_LOG, id, Names::One));
    for (id, pipeline) in all.iter().filter(|(id, _)| *id != pipelines::FILES) {
        if let Some(receiver) = pipeline["receivers"].as_array().into_iter().flatten().find(|id| is_ours(id)) {
            let fault = format!(
                "names {receiver}, whose lines go through {} alone: it leaves out those that nobody may send",
                pipelines::FILES
            );
            return Err(Fault::new(format!("{FIELD}.service.pipelines.{id}.receivers"), fault));
        }
    }
    Ok(())
}

fn put(ours: &mut Value, theirs: &Value, path: &mut Path) -> Result<(), Fault> {
    path.may_be_set()?;
    match (&mut *ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (key, value) in theirs {
                path.within(key, |path| {
                    if let Some(ours) = ours.get_mut(key) {
                        return put(ours, value, path);
                    }
                    may_all_be_set(value, path)?;
                    ours.insert(key.clone(), value.clone());
                    Ok(())
                })?;
            }
            Ok(())
        }
        (Value::Object(_), Value::Null) => Ok(()),
        (Value::Object(_), _) => Err(path.fault("has to be a map")),
        (Value::Array(ours), theirs) if path.is_of_components() => extend(ours, theirs, path),
        (ours, theirs) => {
            may_all_be_set(theirs, path)?;
            match (ours, path.grows()) {
                (Value::Array(ours), Some(place)) => return grow(ours, theirs, place, path),
                (ours, _) => *ours = theirs.clone(),
            }
            Ok(())
        }
    }
}

/// What is fixed may be further in than what is new.
fn may_all_be_set(value: &Value, path: &mut Path) -> Result<(), Fault> {
    path.may_be_set()?;
    let mut fields = value.as_object().into_iter().flatten();
    fields.try_for_each(|(key, value)| path.within(key, |path| may_all_be_set(value, path)))
}

/// Adds what isn't there yet.
fn extend(ours: &mut Vec<Value>, theirs: &Value, path: &Path) -> Result<(), Fault> {
    let theirs = theirs.as_array().ok_or_else(|| path.fault("has to be a list of components"))?;
    for id in theirs {
        if !id.is_string() {
            return Err(path.fault("has to be a list of components' names"));
        }
        if !ours.contains(id) {
            let batch = ours.iter().position(|one| one == BATCH).filter(|_| path.ends_with("processors"));
            ours.insert(batch.unwrap_or(ours.len()), id.clone());
        }
    }
    Ok(())
}

/// Adds what isn't there yet, whatever it is.
fn grow(ours: &mut Vec<Value>, theirs: &Value, place: Place, path: &Path) -> Result<(), Fault> {
    let theirs = theirs.as_array().ok_or_else(|| path.fault("has to be a list: it is added to what is there"))?;
    let new: Vec<Value> = theirs.iter().filter(|one| !ours.contains(one)).cloned().collect();
    let at = if place == Place::InFront { 0 } else { ours.len() };
    ours.splice(at..at, new);
    Ok(())
}

/// Looks through every text for references, keys included.
fn refers_to(value: &Value, known: &[&str], path: &mut Path) -> Result<(), Fault> {
    match value {
        Value::String(text) => legal(text, known, path),
        Value::Array(items) => items.iter().try_for_each(|item| refers_to(item, known, path)),
        Value::Object(fields) => fields.iter().try_for_each(|(key, value)| {
            path.within(key, |path| {
                legal(key, known, path)?;
                refers_to(value, known, path)
            })
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn legal(text: &str, known: &[&str], path: &Path) -> Result<(), Fault> {
    let found = reference::variables(text).map_err(|found| {
        path.fault(format!(
            "has {found:?}: only variables may be referred to, as ${{env:NAME}}; $$ stands for a $ that isn't a reference"
        ))
    })?;
    match found.into_iter().find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) => {
            let fault =
                format!("refers to {name}, which is no variable of the Collector's; add it to spec.collector.env");
            Err(path.fault(fault))
        }
    }
}

/// Keys, from the configuration's beginning.
struct Path(Vec<String>);

// === impl Path ===

impl Path {
    const fn new() -> Self {
        Self(Vec::new())
    }

    fn within<T>(&mut self, key: &str, then: impl FnOnce(&mut Self) -> T) -> T {
        self.0.push(key.to_owned());
        let result = then(self);
        self.0.pop();
        result
    }

    fn fault(&self, fault: impl Into<String>) -> Fault {
        Fault::new(format!("{FIELD}.{}", self.0.join(".")), fault)
    }

    fn ends_with(&self, key: &str) -> bool {
        self.0.last().is_some_and(|last| last == key)
    }

    /// Whether a list here is one of components' names: of a pipeline, or the extensions that run.
    fn is_of_components(&self) -> bool {
        let keys: Vec<&str> = self.0.iter().map(String::as_str).collect();
        matches!(
            keys[..],
            ["service", "extensions"] | ["service", "pipelines", _, "receivers" | "processors" | "exporters"]
        )
    }

    /// Where a list's new items go, if it keeps those that it has.
    fn grows(&self) -> Option<Place> {
        let found = GROWING.iter().find(|(pattern, _)| self.is_within(pattern, Names::One));
        found.map(|(_, place)| *place)
    }

    fn may_be_set(&self) -> Result<(), Fault> {
        if SCOPE.iter().any(|pattern| self.is_within(pattern, Names::One)) {
            return Err(self.fault("can't be set: it decides whose lines are sent; see spec.collector.logs.scope"));
        }
        if TOLD.iter().any(|pattern| self.is_within(pattern, Names::One)) {
            return Err(self.fault("can't be set: a Collector that isn't told of pods doesn't start"));
        }
        match FIXED.iter().find(|(pattern, _)| self.is_within(pattern, Names::Any)) {
            None => Ok(()),
            Some((_, why)) => Err(self.fault(format!("can't be set: {why}"))),
        }
    }

    /// Whether it is what the pattern names, or a part of it.
    fn is_within(&self, pattern: &str, names: Names) -> bool {
        let mut path = self.0.iter();
        pattern.split('.').enumerate().all(|(depth, key)| {
            path.next().is_some_and(|found| match depth {
                1 => is_component(key, found, names),
                _ => key == "*" || key == found,
            })
        })
    }
}

/// Whether a component's id is the one that is meant, under an older name of its type too.
pub fn is_component(meant: &str, id: &str, names: Names) -> bool {
    let (kind, name) = id.split_once('/').map_or((id, None), |(kind, name)| (kind, Some(name)));
    let kind = RENAMES.iter().find(|one| one.before == kind).map_or(kind, |one| one.now);
    let (meant, meant_name) = meant.split_once('/').map_or((meant, None), |(kind, name)| (kind, Some(name)));
    kind == meant && (names == Names::Any || name == meant_name)
}
