//! Who may do what: you before the installation, webhook and controller after it.

use super::{Fetched, Objection, Snapshot, Stage, Verdict};
use crate::api::object::{AUTHORITY, CONTROLLER, DEFINITION, INJECTION, REGISTRATION, SERVING, WEBHOOK};
use crate::words::some_of;

/// Something that RBAC can grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    pub verb: &'static str,
    pub group: &'static str,
    /// With its subresource behind a slash.
    pub resource: &'static str,
    /// One object, or any.
    pub name: Option<&'static str>,
    pub scope: Scope,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Cluster,
    /// In otelgate's namespace.
    Own,
}

/// Who needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    You,
    Webhook,
    Controller,
}

/// A right that the API server was asked about.
#[derive(Clone, Debug)]
pub struct Asked {
    pub who: Who,
    pub right: Right,
    pub allowed: Fetched<bool>,
}

const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

const fn cluster(verb: &'static str, group: &'static str, resource: &'static str) -> Right {
    Right { verb, group, resource, name: None, scope: Scope::Cluster }
}

const fn own(verb: &'static str, group: &'static str, resource: &'static str) -> Right {
    Right { verb, group, resource, name: None, scope: Scope::Own }
}

const fn named(right: Right, name: &'static str) -> Right {
    Right { name: Some(name), ..right }
}

/// Whoever installs needs these, and all of [`PROGRAMS`], which nobody may grant who doesn't hold them.
pub const INSTALL: &[Right] = &[
    cluster("create", "apiextensions.k8s.io", "customresourcedefinitions"),
    cluster("create", ADMISSION, "mutatingwebhookconfigurations"),
    cluster("create", RBAC, "clusterroles"),
    cluster("create", RBAC, "clusterrolebindings"),
    cluster("create", "otelgate.dev", "telemetrystacks"),
    own("create", "apps", "deployments"),
    own("create", "", "services"),
    own("create", "", "serviceaccounts"),
    own("create", "", "secrets"),
    own("create", "policy", "poddisruptionbudgets"),
    own("create", "networking.k8s.io", "networkpolicies"),
    own("create", RBAC, "roles"),
    own("create", RBAC, "rolebindings"),
];

/// What the two programs can't do without, whatever the chart's values are: what they need besides hangs on names in those.
pub const PROGRAMS: &[(Who, Right)] = &[
    (Who::Webhook, cluster("list", "", "namespaces")),
    (Who::Webhook, cluster("watch", "", "namespaces")),
    (Who::Webhook, named(own("list", "", "configmaps"), INJECTION)),
    (Who::Webhook, named(own("watch", "", "configmaps"), INJECTION)),
    (Who::Webhook, named(own("list", "", "secrets"), SERVING)),
    (Who::Webhook, named(own("watch", "", "secrets"), SERVING)),
    (Who::Controller, cluster("list", "otelgate.dev", "telemetrystacks")),
    (Who::Controller, cluster("watch", "otelgate.dev", "telemetrystacks")),
    (Who::Controller, cluster("patch", "otelgate.dev", "telemetrystacks/status")),
    (Who::Controller, cluster("list", "", "namespaces")),
    (Who::Controller, cluster("watch", "", "namespaces")),
    (Who::Controller, cluster("list", "", "pods")),
    (Who::Controller, cluster("watch", "", "pods")),
    (Who::Controller, cluster("list", "", "nodes")),
    (Who::Controller, cluster("watch", "", "nodes")),
    (Who::Controller, named(cluster("get", "apiextensions.k8s.io", "customresourcedefinitions"), DEFINITION)),
    (Who::Controller, named(cluster("list", ADMISSION, "mutatingwebhookconfigurations"), REGISTRATION)),
    (Who::Controller, named(cluster("watch", ADMISSION, "mutatingwebhookconfigurations"), REGISTRATION)),
    (Who::Controller, named(cluster("patch", ADMISSION, "mutatingwebhookconfigurations"), REGISTRATION)),
    (Who::Controller, own("create", "", "secrets")),
    (Who::Controller, named(own("list", "", "secrets"), AUTHORITY)),
    (Who::Controller, named(own("watch", "", "secrets"), AUTHORITY)),
    (Who::Controller, named(own("update", "", "secrets"), AUTHORITY)),
    (Who::Controller, named(own("list", "", "secrets"), SERVING)),
    (Who::Controller, named(own("watch", "", "secrets"), SERVING)),
    (Who::Controller, named(own("update", "", "secrets"), SERVING)),
    (Who::Controller, named(own("list", "", "configmaps"), INJECTION)),
    (Who::Controller, named(own("watch", "", "configmaps"), INJECTION)),
    (Who::Controller, named(own("create", "", "configmaps"), INJECTION)),
    (Who::Controller, named(own("patch", "", "configmaps"), INJECTION)),
    (Who::Controller, own("create", "", "pods")),
    (Who::Controller, cluster("create", "events.k8s.io", "events")),
    (Who::Controller, own("list", "discovery.k8s.io", "endpointslices")),
    (Who::Controller, own("watch", "discovery.k8s.io", "endpointslices")),
    (Who::Controller, own("create", "coordination.k8s.io", "leases")),
    (Who::Controller, named(own("get", "coordination.k8s.io", "leases"), CONTROLLER)),
    (Who::Controller, named(own("update", "coordination.k8s.io", "leases"), CONTROLLER)),
];

/// What is asked about at a stage.
#[must_use]
pub fn wanted(stage: Stage) -> Vec<(Who, Right)> {
    match stage {
        Stage::Before => {
            let programs = PROGRAMS.iter().map(|(_, right)| *right);
            INSTALL.iter().copied().chain([ESCALATE]).chain(programs).map(|right| (Who::You, right)).collect()
        }
        Stage::After => PROGRAMS.to_vec(),
    }
}

/// With it, one may grant what one doesn't hold.
const ESCALATE: Right = cluster("escalate", RBAC, "clusterroles");

pub fn install(snapshot: &Snapshot) -> Verdict {
    let allowed = |right: Right| {
        let asked = snapshot.rights.iter().find(|asked| asked.who == Who::You && asked.right == right);
        asked.map_or(Ok(false), |asked| asked.allowed.as_ref().map(|allowed| *allowed))
    };
    let escalates = allowed(ESCALATE)?;
    let mut missing = Vec::new();
    let held = PROGRAMS.iter().map(|(_, right)| *right).filter(|_| !escalates);
    for right in INSTALL.iter().copied().chain(held) {
        if !allowed(right)? {
            missing.push(right.told(&snapshot.namespace));
        }
    }
    if missing.is_empty() {
        return Ok(String::new());
    }
    missing.dedup();
    Err(Objection::fail(
        format!("you may not {}", some_of(&missing)),
        "ask for these rights, or have it installed by somebody with the role cluster-admin",
    ))
}

pub fn programs(snapshot: &Snapshot) -> Verdict {
    let without_controller = snapshot.is_without_controller()?;
    let needed = |who: Who| who == Who::Webhook || (who == Who::Controller && !without_controller);
    let mut missing = Vec::new();
    for Asked { who, right, allowed } in snapshot.rights.iter().filter(|asked| needed(asked.who)) {
        if *allowed.as_ref()? {
            continue;
        }
        let account = who.account().unwrap_or_default();
        missing.push(format!("{account} may not {}", right.told(&snapshot.namespace)));
    }
    if missing.is_empty() {
        return Ok(String::new());
    }
    Err(Objection::fail(some_of(&missing), "otelgate update writes roles and bindings anew"))
}

// === impl Who ===

impl Who {
    /// The `ServiceAccount`.
    #[must_use]
    pub const fn account(self) -> Option<&'static str> {
        match self {
            Self::You => None,
            Self::Webhook => Some(WEBHOOK),
            Self::Controller => Some(CONTROLLER),
        }
    }
}

// === impl Right ===

impl Right {
    fn told(&self, namespace: &str) -> String {
        let Self { verb, group, resource, name, scope } = self;
        let resource = match (resource.split_once('/'), group.is_empty()) {
            (_, true) => (*resource).to_owned(),
            (None, false) => format!("{resource}.{group}"),
            (Some((resource, of_it)), false) => format!("{resource}.{group}/{of_it}"),
        };
        let name = name.map_or_else(String::new, |name| format!(" {name}"));
        match scope {
            Scope::Cluster => format!("{verb} {resource}{name}"),
            Scope::Own => format!("{verb} {resource}{name} in namespace {namespace}"),
        }
    }
}
