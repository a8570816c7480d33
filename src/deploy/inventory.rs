//! What of otelgate is in a cluster: what a removal takes away, in which order, and what it leaves, and why.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::plan::is_made_by_deploy;
use super::release::{self, RELEASE_NAME, RELEASE_NAMESPACE};
use crate::api::{label, object};
use crate::k8s::ObjectMeta;

/// A kind of object, as discovery names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    pub group: String,
    pub kind: String,
    pub plural: String,
    pub namespaced: bool,
}

/// An object that was seen, and of it what matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub kind: Kind,
    pub namespace: Option<String>,
    pub name: String,
    pub uid: String,
    /// Of those to whom it belongs, and with whom the garbage collector takes it away.
    owners: Vec<String>,
    labelled: bool,
    made_by_deploy: bool,
    by_helm: Option<(String, String)>,
    /// The certificate that cert-manager wrote it for.
    certificate: Option<String>,
    /// The release that it is Helm's own record of.
    release_record: Option<String>,
    pub finalizers: Vec<String>,
}

/// When what is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// First, so that the API server doesn't call what is about to end.
    Registration,
    /// What the chart brought.
    Release,
    /// What the controller made, or Helm doesn't take away: once nothing runs that could make it again.
    Made,
    /// The Secret that `deploy` wrote.
    Credentials,
    /// What `deploy` made and nothing foreign is in.
    Namespaces,
}

/// One object that is taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    pub stage: Stage,
    pub found: Found,
}

/// One that is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Left {
    pub object: String,
    pub why: String,
}

/// All of it, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    pub removals: Vec<Removal>,
    pub left: Vec<Left>,
}

/// Whom things belong to.
#[derive(Clone, Debug)]
pub struct Installation<'a> {
    pub namespace: &'a str,
    /// The Helm release, by name and namespace.
    pub release: Option<(String, String)>,
}

/// Kinds whose objects come and go with others, or are in every namespace: no reason to keep one.
pub const PASSING: [&str; 3] = ["Event", "Endpoints", "EndpointSlice"];

// === impl Found ===

impl Found {
    /// Of an object nothing but its metadata is looked at.
    #[must_use]
    pub fn new(kind: &Kind, metadata: &ObjectMeta) -> Self {
        let labels = metadata.labels.clone().unwrap_or_default();
        let annotation = |key: &str| metadata.annotations.as_ref()?.get(key).cloned();
        let may_be_record = kind.kind == "Secret" || kind.kind == "ConfigMap";
        let record = labels.get("owner").filter(|owner| may_be_record && *owner == "helm").and(labels.get("name"));
        let owners = metadata.owner_references.iter().flatten();
        Self {
            kind: kind.clone(),
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            owners: owners.map(|owner| owner.uid.clone()).collect(),
            labelled: labels.get(label::APP_NAME).is_some_and(|name| name == object::APP),
            made_by_deploy: is_made_by_deploy(&labels),
            by_helm: annotation(RELEASE_NAME).zip(annotation(RELEASE_NAMESPACE)),
            certificate: annotation("cert-manager.io/certificate-name"),
            release_record: record.cloned(),
            finalizers: metadata.finalizers.clone().unwrap_or_default(),
        }
    }

    /// `Deployment otelgate/otelgate-webhook`.
    #[must_use]
    pub fn told(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.kind.kind, self.name),
            None => format!("{} {}", self.kind.kind, self.name),
        }
    }

    fn is(&self, kind: &str, name: &str) -> bool {
        self.kind.kind == kind && self.name == name
    }

    /// Where it belongs, if it is otelgate's.
    fn stage(&self, of: &Installation<'_>) -> Option<Stage> {
        let own_namespace = self.namespace.as_deref() == Some(of.namespace);
        let made = match self.kind.kind.as_str() {
            "ConfigMap" => self.name == object::INJECTION,
            "Secret" => self.name == object::SERVING || self.name == object::AUTHORITY,
            "Lease" => self.name == object::CONTROLLER,
            _ => false,
        };
        let kind = self.kind.kind.as_str();
        if kind == "MutatingWebhookConfiguration" && self.name == object::REGISTRATION {
            return Some(Stage::Registration);
        }
        if kind == "Namespace" {
            return self.made_by_deploy.then_some(Stage::Namespaces);
        }
        if self.made_by_deploy {
            return Some(Stage::Credentials);
        }
        if (own_namespace && made) || self.is("CustomResourceDefinition", object::DEFINITION) {
            return Some(Stage::Made);
        }
        if kind == "TelemetryStack" && self.kind.group == "otelgate.dev" {
            return Some(Stage::Release);
        }
        if own_namespace && self.certificate.as_ref().is_some_and(|name| name.starts_with("otelgate-")) {
            return Some(Stage::Made);
        }
        if let Some((name, namespace)) = &of.release {
            if self.is_record_of(name) && self.namespace.as_ref() == Some(namespace) {
                return Some(Stage::Made);
            }
            if self.by_helm.as_ref().is_some_and(|by| (&by.0, &by.1) == (name, namespace)) {
                return Some(Stage::Release);
            }
        }
        // A label alone is no proof for what is in another's namespace.
        let by_name = self.namespace.is_none() && self.name.starts_with(object::APP);
        let by_label = self.labelled && (own_namespace || by_name);
        by_label.then_some(Stage::Release)
    }

    /// Whether it is what Helm keeps of a release.
    #[must_use]
    pub fn is_record_of(&self, release: &str) -> bool {
        self.release_record.as_deref() == Some(release)
    }
}

// === impl Inventory ===

/// The Helm release that what was seen belongs to: as its objects say, else by the usual name, if Helm has a record of it.
#[must_use]
pub fn release_of(seen: &[Found], namespace: &str) -> Option<(String, String)> {
    let by_objects = seen.iter().filter(|found| found.labelled).find_map(|found| found.by_helm.clone());
    let usual = || {
        let in_it = |found: &&Found| found.namespace.as_deref() == Some(namespace);
        let recorded = seen.iter().filter(in_it).any(|found| found.is_record_of(release::NAME));
        recorded.then(|| (release::NAME.to_owned(), namespace.to_owned()))
    };
    by_objects.or_else(usual)
}

/// Sorts what was seen. `seen` is everything in the namespaces that might go, and elsewhere what a label brought up.
#[must_use]
pub fn inventory(seen: &[Found], of: &Installation<'_>) -> Inventory {
    let ours: BTreeSet<&str> = with_dependents(seen, |found| found.stage(of).is_some());
    let mut inventory = Inventory::default();
    for found in seen {
        // What has an owner goes with it.
        let owned = found.owners.iter().any(|owner| ours.contains(owner.as_str()));
        let Some(stage) = found.stage(of).filter(|stage| !owned || *stage == Stage::Made) else { continue };
        if stage == Stage::Namespaces {
            let foreign = foreign(seen, &ours, &found.name);
            if let Some(why) = because_of(&foreign) {
                inventory.left.push(Left { object: found.told(), why });
                continue;
            }
        }
        inventory.removals.push(Removal { stage, found: found.clone() });
    }
    inventory.removals.sort_by(|a, b| {
        let key = |removal: &Removal| (removal.stage, removal.found.kind.kind.clone(), removal.found.name.clone());
        key(a).cmp(&key(b))
    });
    inventory.removals.dedup_by(|a, b| a.found.uid == b.found.uid);
    inventory
}

/// The ids of those that `ours` is true of, and of all that belong to them.
fn with_dependents(seen: &[Found], ours: impl Fn(&Found) -> bool) -> BTreeSet<&str> {
    let mut ids: BTreeSet<&str> = seen.iter().filter(|found| ours(found)).map(|found| found.uid.as_str()).collect();
    loop {
        let before = ids.len();
        let dependents = seen.iter().filter(|found| found.owners.iter().any(|owner| ids.contains(owner.as_str())));
        let dependents: Vec<&str> = dependents.map(|found| found.uid.as_str()).collect();
        ids.extend(dependents);
        if ids.len() == before {
            return ids;
        }
    }
}

/// What is in a namespace and neither otelgate's, nor its programs', nor there in every namespace.
fn foreign<'a>(seen: &'a [Found], ours: &BTreeSet<&str>, namespace: &str) -> Vec<&'a Found> {
    let in_it = seen.iter().filter(|found| found.namespace.as_deref() == Some(namespace));
    let goes_with_it = |found: &Found| is_in_every_namespace(found) || is_of_what_ran(found);
    in_it.filter(|found| !ours.contains(found.uid.as_str()) && !goes_with_it(found)).collect()
}

fn is_in_every_namespace(found: &Found) -> bool {
    found.is("ServiceAccount", "default") || found.is("ConfigMap", "kube-root-ca.crt")
}

/// What Collectors and Cluster Agents make for themselves, which nobody owns.
fn is_of_what_ran(found: &Found) -> bool {
    match found.kind.kind.as_str() {
        "Lease" => found.name == object::CLUSTER_AGENT_LEASE || found.name.ends_with(object::COLLECTOR_LEASE_SUFFIX),
        "ConfigMap" => {
            let name = found.name.as_str();
            object::CLUSTER_AGENT_NOTES.contains(&name) || name == object::CLUSTER_AGENT_EVENTS_OF_OPERATOR
        }
        _ => false,
    }
}

fn because_of(foreign: &[&Found]) -> Option<String> {
    let (first, rest) = foreign.split_first()?;
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    Some(format!("{} {}{more} in it isn't otelgate's", first.kind.kind, first.name))
}

impl Inventory {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.removals.is_empty()
    }

    /// Leaves every namespace: of what couldn't be listed, something may be in it.
    pub fn keep_namespaces(&mut self) {
        let namespaces = self.removals.extract_if(.., |removal| removal.stage == Stage::Namespaces);
        let why = "not everything that may be in it could be listed";
        self.left.extend(namespaces.map(|removal| Left { object: removal.found.told(), why: why.to_owned() }));
    }

    pub fn of_stage(&self, stage: Stage) -> impl Iterator<Item = &Found> {
        self.removals.iter().filter(move |removal| removal.stage == stage).map(|removal| &removal.found)
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let removals = self.removals.iter().map(|Removal { stage, found }| {
            serde_json::json!({"stage": stage, "kind": found.kind.kind, "namespace": found.namespace, "name": found.name})
        });
        serde_json::json!({"remove": removals.collect::<Vec<_>>(), "leave": self.left})
    }
}

impl Stage {
    pub const ALL: [Self; 5] = [Self::Registration, Self::Release, Self::Made, Self::Credentials, Self::Namespaces];

    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Registration => "first, so that no pod is delayed",
            Self::Release => "what the chart brought",
            Self::Made => "what was made beside it",
            Self::Credentials => "what deploy wrote",
            Self::Namespaces => "namespaces that deploy made",
        }
    }
}
