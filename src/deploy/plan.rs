//! What an installation or an upgrade does, step by step.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use super::definition::Change;
use super::release::{Credentials, Installed, Rendered};
use super::{ApiKey, Version};
use crate::api::object;
use crate::inject::rules::never_asked_about;
use crate::k8s::{Namespace, ResourceExt as _, Secret};

mod lines;

pub use lines::Line;

/// What somebody wants.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub release: String,
    pub namespace: String,
    pub version: Version,
    pub rendered: Rendered,
    pub key: Option<ApiKey>,
}

/// What the cluster has of it.
#[derive(Clone, Debug)]
pub struct Observed {
    pub namespaces: BTreeMap<String, Namespace>,
    pub credentials: Option<Secret>,
    pub definition: Change,
    pub release: Option<Installed>,
    pub registration: Option<Registration>,
}

/// What the `MutatingWebhookConfiguration` in the cluster says of where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Of the webhook that it leads to.
    pub namespace: String,
    pub by_helm: bool,
}

/// All steps, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub release: String,
    pub namespace: String,
    pub version: Version,
    pub installed: Option<Installed>,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Namespace { name: String, change: NamespaceChange },
    Credentials { secret: Credentials, change: CredentialsChange },
    Definition(Change),
    Release { objects: Vec<String> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceChange {
    Create(PodSecurity),
    /// The chart brings it.
    ByChart,
    Keep(Option<Advice>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialsChange {
    Create,
    /// An earlier `deploy` made it, with another key.
    Update,
    /// An earlier `deploy` made it, with this key.
    Keep,
    /// Somebody else made it.
    KeepForeign,
    /// There is none, and no key to put into it.
    NoKey,
}

/// A right that the steps need.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    pub verb: &'static str,
    pub group: String,
    pub resource: String,
    pub namespace: Option<String>,
}

/// What pods of a namespace may do, from much to little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PodSecurity {
    Privileged,
    Baseline,
    Restricted,
}

/// What isn't as it should be, and is left to whoever made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    pub message: String,
    pub command: String,
}

/// Why nothing is done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    #[error(
        "the API server never calls the webhook for pods of namespace {namespace} ({why}), where otelgate tries one"
    )]
    NeverCalled { namespace: String, why: String },
    #[error("namespace {0} is being deleted")]
    Terminating(String),
    #[error("otelgate {from} is installed, and {to} is more than one minor version older")]
    TooFarBack { from: Version, to: Version },
    #[error("otelgate is installed in namespace {0} already, and there is one in a cluster")]
    Elsewhere(String),
    #[error("otelgate is installed already, and not by Helm")]
    WithoutHelm,
    #[error("another Helm operation on release {name} has begun and not ended: its status is {status}")]
    Pending { name: String, namespace: String, status: String, revision: String },
}

/// The label that pod security goes by.
pub const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// Works out the steps.
///
/// # Errors
/// When there is something in the way.
pub fn plan(wanted: &Wanted, observed: &Observed) -> Result<Plan, PlanError> {
    let Wanted { release, namespace, version, rendered, key } = wanted;
    check_namespace(namespace, observed.namespaces.get(namespace))?;
    if let Some(installed) = &observed.release {
        check_installed(installed, *version)?;
    }
    match &observed.registration {
        Some(found) if found.namespace != *namespace => return Err(PlanError::Elsewhere(found.namespace.clone())),
        Some(found) if !found.by_helm => return Err(PlanError::WithoutHelm),
        _ => {}
    }
    let collector = rendered.collector_namespace();
    let mut needed = BTreeMap::from([(namespace.as_str(), PodSecurity::Restricted)]);
    if rendered.uses_host_network() {
        needed.insert(namespace, PodSecurity::Privileged);
    }
    needed.insert(collector, PodSecurity::Privileged);
    // otelgate's own first.
    let names = [Some(namespace.as_str()), (collector != namespace).then_some(collector)];
    let mut steps = Vec::new();
    for name in names.into_iter().flatten() {
        let by_chart = rendered.has("Namespace", name);
        let change = match observed.namespaces.get(name) {
            Some(found) if found.metadata.deletion_timestamp.is_some() => {
                return Err(PlanError::Terminating(name.to_owned()));
            }
            Some(_) | None if by_chart => NamespaceChange::ByChart,
            Some(found) => NamespaceChange::Keep(advice(found, name, needed[name])),
            None => NamespaceChange::Create(needed[name]),
        };
        steps.push(Step::Namespace { name: name.to_owned(), change });
    }
    let secret = rendered.credentials();
    let change = credentials_change(observed.credentials.as_ref(), key.as_ref(), &secret.key);
    let credentials = Step::Credentials { secret, change };
    let rest = [Step::Definition(observed.definition.clone()), Step::Release { objects: rendered.names() }];
    // A namespace that the chart brings isn't there before it.
    if steps.contains(&Step::Namespace { name: collector.to_owned(), change: NamespaceChange::ByChart }) {
        steps.extend(rest);
        steps.push(credentials);
    } else {
        steps.push(credentials);
        steps.extend(rest);
    }
    let installed = observed.release.clone();
    Ok(Plan { release: release.clone(), namespace: namespace.clone(), version: *version, installed, steps })
}

/// By its name alone, where it isn't known.
///
/// # Errors
/// When it is one that the registration leaves out: the probe's pod would be unmarked for ever.
pub fn check_namespace(name: &str, namespace: Option<&Namespace>) -> Result<(), PlanError> {
    match never_asked_about(name, |key| namespace?.labels().get(key).map(String::as_str)) {
        Some(why) => Err(PlanError::NeverCalled { namespace: name.to_owned(), why }),
        None => Ok(()),
    }
}

fn check_installed(installed: &Installed, to: Version) -> Result<(), PlanError> {
    if let Some(from) = installed.version().filter(|from| from.is_too_far_above(to)) {
        return Err(PlanError::TooFarBack { from, to });
    }
    if installed.status.starts_with("pending-") || installed.status == "uninstalling" {
        let Installed { name, namespace, status, revision, .. } = installed.clone();
        return Err(PlanError::Pending { name, namespace, status, revision });
    }
    Ok(())
}

fn advice(namespace: &Namespace, name: &str, needed: PodSecurity) -> Option<Advice> {
    let label = namespace.labels().get(ENFORCE);
    let found = label.and_then(|label| PodSecurity::of(label));
    if found == Some(needed) {
        return None;
    }
    let message = match found {
        Some(found) if found > needed => {
            format!("its pod security is {}, which refuses pods that need {}", found.word(), needed.word())
        }
        Some(found) => format!("its pod security is {}, and {} is enough", found.word(), needed.word()),
        None => format!("it has no label {ENFORCE}, so that the cluster's own default counts"),
    };
    Some(Advice { message, command: format!("kubectl label namespace {name} --overwrite {ENFORCE}={}", needed.word()) })
}

fn credentials_change(found: Option<&Secret>, key: Option<&ApiKey>, entry: &str) -> CredentialsChange {
    match (found, key) {
        (None, None) => CredentialsChange::NoKey,
        (None, Some(_)) => CredentialsChange::Create,
        (Some(secret), _) if !is_made_by_deploy(secret.labels()) => CredentialsChange::KeepForeign,
        (Some(secret), Some(key)) => {
            let held = secret.data.as_ref().and_then(|data| data.get(entry));
            let same = held.is_some_and(|held| held.0 == key.reveal());
            if same { CredentialsChange::Keep } else { CredentialsChange::Update }
        }
        (Some(_), None) => CredentialsChange::Keep,
    }
}

/// Whether these are the labels of something that `deploy` made.
#[must_use]
pub fn is_made_by_deploy(labels: &BTreeMap<String, String>) -> bool {
    labels.get(object::CREATED_BY).is_some_and(|by| by == object::DEPLOY)
}

// === impl PodSecurity ===

impl PodSecurity {
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::Privileged, Self::Baseline, Self::Restricted].into_iter().find(|level| level.word() == word)
    }
}

// === impl PlanError ===

impl PlanError {
    #[must_use]
    pub fn next_step(&self) -> String {
        match self {
            Self::NeverCalled { namespace, .. } => format!(
                "name another with --otelgate-namespace, such as {}; one that is in {namespace} already, remove first: \
                 otelgate cleanup --otelgate-namespace {namespace}",
                object::NAMESPACE
            ),
            Self::Terminating(name) => format!(
                "wait until it is gone: kubectl wait --for=delete namespace/{name}; if that takes long, its conditions \
                 say what holds it: kubectl get namespace {name} -o yaml"
            ),
            Self::TooFarBack { from, .. } => format!(
                "use otelgate {}.{} or later; or remove the installed one first, with its own version: otelgate cleanup",
                from.major,
                from.minor.saturating_sub(1)
            ),
            Self::Elsewhere(namespace) => {
                format!("give --otelgate-namespace {namespace}, or remove that one first: otelgate cleanup")
            }
            Self::WithoutHelm => "update it the way it was installed, or remove it first: otelgate cleanup".to_owned(),
            Self::Pending { name, namespace, revision, .. } if revision == "1" => format!(
                "wait for it; if nobody is at it any more, take it away and deploy again: \
                 helm uninstall {name} --namespace {namespace}"
            ),
            Self::Pending { name, namespace, .. } => format!(
                "wait for it; if nobody is at it any more, go back to the last good revision: \
                 helm rollback {name} --namespace {namespace}"
            ),
        }
    }
}

// === impl Right ===

impl Right {
    fn new(verb: &'static str, group: &str, resource: &str, namespace: Option<&str>) -> Self {
        let (group, resource) = (group.to_owned(), resource.to_owned());
        Self { verb, group, resource, namespace: namespace.map(ToOwned::to_owned) }
    }

    /// As kubectl writes it.
    #[must_use]
    pub fn told(&self) -> String {
        let Self { verb, group, resource, namespace } = self;
        let dot = if group.is_empty() { "" } else { "." };
        match namespace {
            Some(namespace) => format!("{verb} {resource}{dot}{group} in namespace {namespace}"),
            None => format!("{verb} {resource}{dot}{group}"),
        }
    }
}

/// What the steps need, so that a missing right is found before anything is done.
#[must_use]
pub fn rights(plan: &Plan, rendered: &Rendered) -> Vec<Right> {
    let mut rights = BTreeSet::new();
    for step in &plan.steps {
        match step {
            Step::Namespace { change: NamespaceChange::Create(_), .. } => {
                rights.insert(Right::new("create", "", "namespaces", None));
            }
            Step::Credentials { secret, change: CredentialsChange::Create } => {
                rights.insert(Right::new("create", "", "secrets", Some(&secret.namespace)));
            }
            Step::Credentials { secret, change: CredentialsChange::Update } => {
                rights.insert(Right::new("patch", "", "secrets", Some(&secret.namespace)));
            }
            Step::Definition(Change::Create | Change::Update(_)) => {
                rights.insert(Right::new("patch", "apiextensions.k8s.io", "customresourcedefinitions", None));
            }
            Step::Release { .. } => {
                // Helm's own record.
                rights.insert(Right::new("create", "", "secrets", Some(&plan.namespace)));
                rights.extend(rendered.objects.iter().flat_map(|object| rights_of(object, plan.installed.is_some())));
            }
            _ => {}
        }
    }
    rights.into_iter().collect()
}

fn rights_of(object: &Value, upgrade: bool) -> Vec<Right> {
    let group =
        object["apiVersion"].as_str().and_then(|version| version.split_once('/')).map_or("", |(group, _)| group);
    let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
    let resource = kind.strip_suffix('y').map_or_else(|| format!("{kind}s"), |stem| format!("{stem}ies"));
    let namespace = object["metadata"]["namespace"].as_str();
    let verbs = if upgrade { &["create", "patch"][..] } else { &["create"] };
    verbs.iter().map(|verb| Right::new(verb, group, &resource, namespace)).collect()
}
