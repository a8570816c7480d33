//! Which containers are selected.

use std::collections::BTreeSet;

use super::lookup::Names;
use super::options::Options;
use super::plan::{Note, Subject};
use super::view::Container;
use super::{Pod, Reason};
use crate::api::annotation;

/// Containers that other systems add, by name: never selected unless named.
pub const SIDECARS: [&str; 31] = [
    "akeyless-sidecar",
    "alloy",
    "aws-otel-collector",
    "cilium-envoy",
    "cloud-sql-proxy",
    "cloudsql-proxy",
    "config-reloader",
    "consul-dataplane",
    "consul-sidecar",
    "dapr-sidecar",
    "daprd",
    "datadog-agent",
    "datadog-agent-injected",
    "envoy",
    "envoy-sidecar",
    "filebeat",
    "fluent-bit",
    "fluentbit",
    "fluentd",
    "gke-gcsfuse-sidecar",
    "istio-proxy",
    "jaeger-agent",
    "kuma-sidecar",
    "linkerd-proxy",
    "oauth2-proxy",
    "opa-istio",
    "otc-container",
    "queue-proxy",
    "secrets-store-sync",
    "vault-agent",
    "xray-daemon",
];

/// As those, but only in pods of one controller, because elsewhere somebody's own may have that name: API group and kind of
/// the owner, and the container's name.
pub const SIDECARS_OF: [(&str, &str, &str); 1] = [("argoproj.io", "Workflow", "wait")];

/// A place in the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    pub init: bool,
    pub index: usize,
}

impl Slot {
    /// The list's name in `spec`.
    #[must_use]
    pub const fn list(self) -> &'static str {
        if self.init { "initContainers" } else { "containers" }
    }
}

/// Every container with its place: regular ones, then init containers. Of several with one name, which no API server
/// accepts, only the first: the status tells them apart by their names.
pub fn all<'a>(pod: &'a Pod<'a>) -> impl Iterator<Item = (Slot, &'a Container<'a>)> {
    let slots = |init| move |(index, container)| (Slot { init, index }, container);
    let regular = pod.spec.containers.items.iter().enumerate().map(slots(false));
    let init = pod.spec.init_containers.items.iter().enumerate().map(slots(true));
    let mut names = BTreeSet::new();
    regular.chain(init).filter(move |(_, container)| names.insert(container.name.as_str()))
}

/// The sidecar that the pod's controller adds, if it is known for that.
pub(super) fn sidecar_of(pod: &Pod<'_>) -> Option<&'static str> {
    let (group, kind) = pod.metadata.value.controller()?.group_kind();
    SIDECARS_OF.iter().find(|(of_group, of_kind, _)| (*of_group, *of_kind) == (group, kind)).map(|(.., name)| *name)
}

/// Whether a container is selected, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// As every regular one where none is named.
    Regular,
    /// In `otelgate.dev/containers`.
    Named,
    /// Others are.
    NotNamed,
    /// One of [`SIDECARS`] or [`SIDECARS_OF`].
    KnownSidecar,
    /// Runs first, as native sidecars do.
    Init,
}

// === impl Selection ===

impl Selection {
    #[must_use]
    pub fn of(slot: Slot, container: &Container<'_>, options: &Options<'_>) -> Self {
        let name = container.name.as_str();
        match &options.containers {
            Some(list) if list.has(name) => Self::Named,
            Some(_) => Self::NotNamed,
            None if slot.init => Self::Init,
            None if SIDECARS.contains(&name) || options.sidecar == Some(name) => Self::KnownSidecar,
            None => Self::Regular,
        }
    }

    #[must_use]
    pub const fn is_selected(self) -> bool {
        matches!(self, Self::Regular | Self::Named)
    }

    /// For people, behind the container's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Regular => "selected",
            Self::Named => "named",
            Self::NotNamed => "not named",
            Self::KnownSidecar => "known sidecar",
            Self::Init => "init container",
        }
    }
}

/// Notes the names in `otelgate.dev/containers` that the pod doesn't have.
pub(super) fn note_unknown<'a>(pod: &'a Pod<'a>, options: &Options<'a>, notes: &mut Vec<Note<'a>>) {
    let Some(named) = &options.containers else { return };
    let there = Names::of(pod.containers().map(|container| container.name.as_str()));
    for name in named.names() {
        if !there.contains(name) {
            notes.push(Note {
                reason: Reason::UnknownContainer,
                subject: Subject::Annotation(annotation::CONTAINERS.into()),
                detail: Some(named.detail(name)),
            });
        }
    }
}
