//! Which service a container is, in which version and environment.

use std::borrow::Cow;

use super::existing::{Existing, Known, OwnAttributes};
use super::expand::UNRESOLVED;
use super::options::Options;
use super::owner::{Workload, kind};
use super::prior::Prior;
use super::{Pod, Reason, legal};
use crate::api::label;
use crate::api::otel::{attr, var};
use crate::config::Configuration;

/// A value as it will be in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effective<'a> {
    Known {
        value: Cow<'a, str>,
        source: &'static str,
    },
    /// There is none.
    Absent,
    /// The container has one that can't be known here.
    Unknown(Reason),
}

/// What a container is, to those who look at its telemetry.
#[derive(Clone, Debug)]
pub struct Identity<'a> {
    pub service: Effective<'a>,
    pub version: Effective<'a>,
    pub environment: Effective<'a>,
}

/// What the pod says for all its containers.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a, 'c> {
    pub pod: &'a Pod<'a>,
    pub options: &'c Options<'a>,
    pub configuration: &'a Configuration,
    pub workload: &'c Workload<'a>,
    pub prior: &'c Prior,
}

// === impl Effective ===

impl<'a> Effective<'a> {
    fn known(value: &'a str, source: &'static str) -> Option<Self> {
        (!value.is_empty()).then_some(Self::Known { value: Cow::Borrowed(value), source })
    }

    /// Of an attribute, whose value may hold a reference that can't be resolved here.
    fn expanded(value: &str, source: &'static str) -> Self {
        if value.contains(UNRESOLVED) {
            return Self::Unknown(Reason::UnresolvedReference);
        }
        // The user's key wins, also where it is empty.
        match value {
            "" => Self::Absent,
            value => Self::Known { value: Cow::Owned(value.to_owned()), source },
        }
    }

    #[must_use]
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::Absent | Self::Unknown(_) => None,
        }
    }
}

// === impl Identity ===

impl<'a> Identity<'a> {
    /// What the container has comes first, OpenTelemetry's before Datadog's; then what the pod says.
    #[must_use]
    pub fn of(existing: &Existing<'a>, own: &OwnAttributes<'a>, sources: Sources<'a, '_>) -> Self {
        let container = existing.container.name.as_str();
        let attribute = |key| {
            own.parsed.get(key).map(|value| Effective::expanded(value, "the container's OTEL_RESOURCE_ATTRIBUTES"))
        };
        // What the container's hidden or skipped variable says can't be known.
        let hidden = || {
            let skips = |name| sources.options.skips(name).then_some(Reason::SkippedByAnnotation);
            let reason = own.value_from.then_some(Reason::ValueFrom).or_else(|| skips(var::RESOURCE_ATTRIBUTES));
            reason.map(Effective::Unknown)
        };
        let skipped =
            || sources.options.skips(var::SERVICE_NAME).then_some(Effective::Unknown(Reason::SkippedByAnnotation));
        Self {
            service: variable(existing, var::SERVICE_NAME, "the container's OTEL_SERVICE_NAME")
                .or_else(|| attribute(attr::SERVICE_NAME))
                .or_else(|| variable(existing, var::DD_SERVICE, "the container's DD_SERVICE"))
                .or_else(skipped)
                .or_else(|| sources.service(container))
                .unwrap_or(Effective::Absent),
            version: attribute(attr::SERVICE_VERSION)
                .or_else(|| variable(existing, var::DD_VERSION, "the container's DD_VERSION"))
                .or_else(hidden)
                .or_else(|| sources.version(existing))
                .unwrap_or(Effective::Absent),
            environment: attribute(attr::ENVIRONMENT)
                .or_else(|| attribute(attr::ENVIRONMENT_OLD))
                .or_else(|| variable(existing, var::DD_ENV, "the container's DD_ENV"))
                .or_else(hidden)
                .or_else(|| sources.environment(container))
                .unwrap_or(Effective::Absent),
        }
    }

    /// Whether something of it has a reference that wasn't found.
    #[must_use]
    pub fn is_unresolved(&self) -> bool {
        let unresolved = Effective::Unknown(Reason::UnresolvedReference);
        [&self.service, &self.version, &self.environment].contains(&&unresolved)
    }
}

/// As [`Identity::of`], where values of the container refer to the `OTEL_SERVICE_NAME` that it doesn't have and is about to
/// get: they count as unset for what that will be, and then have to agree with it. Nothing where it may be hidden.
#[must_use]
pub fn referring<'a>(
    existing: &Existing<'a>,
    own: &OwnAttributes<'a>,
    sources: Sources<'a, '_>,
) -> Option<(Existing<'a>, OwnAttributes<'a>, Identity<'a>)> {
    let is_users = existing.last(var::SERVICE_NAME).is_some()
        || own.parsed.get(attr::SERVICE_NAME).is_some_and(|value| !value.contains(UNRESOLVED));
    let skipped = [var::SERVICE_NAME, attr::SERVICE_NAME].iter().any(|name| sources.options.skips(name));
    if is_users || skipped || existing.has_env_from() {
        return None;
    }
    let service = variable(existing, var::DD_SERVICE, "the container's DD_SERVICE")
        .filter(|service| *service != Effective::Unknown(Reason::UnresolvedReference))
        .or_else(|| sources.service(existing.container.name.as_str()))?;
    let Effective::Known { value, .. } = &service else { return None };
    legal::is_value(value).ok()?;
    let existing = existing.assuming(value.clone());
    let own = existing.attributes();
    let identity = Identity::of(&existing, &own, sources);
    (identity.service.value() == Some(value)).then_some((existing, own, Identity { service, ..identity }))
}

/// An empty variable counts as unset, as the specification asks.
fn variable<'a>(existing: &Existing<'a>, name: &str, source: &'static str) -> Option<Effective<'a>> {
    match existing.value(name) {
        Known::Absent => None,
        Known::Literal(value) if value.is_empty() => None,
        Known::Literal(value) => Some(Effective::Known { value, source }),
        Known::Hidden(reason) => Some(Effective::Unknown(reason)),
    }
}

// === impl Sources ===

impl<'a> Sources<'a, '_> {
    fn service(&self, container: &'a str) -> Option<Effective<'a>> {
        self.annotated(attr::SERVICE_NAME)
            .or_else(|| self.container_label(container, "service", "label tags.datadoghq.com/<container>.service"))
            .or_else(|| self.label(label::DATADOG_SERVICE, "label tags.datadoghq.com/service"))
            .or_else(|| self.well_known(label::APP_INSTANCE, "label app.kubernetes.io/instance"))
            .or_else(|| self.well_known(label::APP_NAME, "label app.kubernetes.io/name"))
            .or_else(|| self.workload())
            .or_else(|| Effective::known(container, "container name"))
    }

    fn version(&self, existing: &Existing<'a>) -> Option<Effective<'a>> {
        let container = existing.container;
        self.annotated(attr::SERVICE_VERSION)
            .or_else(|| {
                self.container_label(container.name.as_str(), "version", "label tags.datadoghq.com/<container>.version")
            })
            .or_else(|| self.label(label::DATADOG_VERSION, "label tags.datadoghq.com/version"))
            .or_else(|| self.well_known(label::APP_VERSION, "label app.kubernetes.io/version"))
            .or_else(|| self.inherited(attr::SERVICE_VERSION))
            .or_else(|| Effective::known(image_version(container.image.as_str())?, "image"))
    }

    fn environment(&self, container: &str) -> Option<Effective<'a>> {
        self.annotated(attr::ENVIRONMENT)
            .or_else(|| self.annotated(attr::ENVIRONMENT_OLD))
            .or_else(|| self.container_label(container, "env", "label tags.datadoghq.com/<container>.env"))
            .or_else(|| self.label(label::DATADOG_ENV, "label tags.datadoghq.com/env"))
            .or_else(|| self.inherited(attr::ENVIRONMENT))
            .or_else(|| self.inherited(attr::ENVIRONMENT_OLD))
            .or_else(|| Effective::known(self.configuration.environment()?, "configuration"))
    }

    fn annotated(&self, key: &str) -> Option<Effective<'a>> {
        let found = self.options.pod_attribute(key)?;
        Effective::known(found.value, found.source)
    }

    /// From the namespace's annotation, once the pod's was asked.
    fn inherited(&self, key: &str) -> Option<Effective<'a>> {
        let found = self.options.attribute(key)?;
        Effective::known(found.value, found.source)
    }

    fn label(&self, key: &str, source: &'static str) -> Option<Effective<'a>> {
        let value = self.pod.label(key).filter(|value| !self.prior.is_own_label(key, value))?;
        Effective::known(value, source)
    }

    /// `tags.datadoghq.com/<container>.<tag>`.
    fn container_label(&self, container: &str, tag: &str, source: &'static str) -> Option<Effective<'a>> {
        let labels = &self.pod.metadata.value.labels;
        Effective::known(labels.get_joined(&[label::DATADOG_TAGS, container, ".", tag])?, source)
    }

    fn well_known(&self, key: &str, source: &'static str) -> Option<Effective<'a>> {
        self.configuration.from_well_known_labels().then(|| self.label(key, source))?
    }

    fn workload(&self) -> Option<Effective<'a>> {
        let (name, source) = match self.workload {
            Workload::Deployment { name, .. } => (name, kind::DEPLOYMENT),
            Workload::Rollout { name, .. } => (name, kind::ROLLOUT),
            Workload::StatefulSet(name) => (name, kind::STATEFUL_SET),
            Workload::DaemonSet(name) => (name, kind::DAEMON_SET),
            Workload::CronJob { name, .. } => (name, kind::CRON_JOB),
            Workload::Job(name) => (name, kind::JOB),
            Workload::ReplicaSet(name) => (name, kind::REPLICA_SET),
            Workload::Other { name, .. } => (name, "owner"),
            Workload::Pod(name) => (name.as_ref()?, "pod name"),
        };
        // It will have one, which its pods know.
        let unnamed = name.is_empty().then_some(Effective::Unknown(Reason::NoName));
        unnamed.or_else(|| Some(Effective::Known { value: name.clone(), source }))
    }
}

/// An image's tag, else its digest: `registry:5000/a/b:1.2@sha256:…` is `1.2`.
fn image_version(image: &str) -> Option<&str> {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rfind('/').map_or(name, |slash| &name[slash + 1..]);
    last.split_once(':').map(|(_, tag)| tag).filter(|tag| !tag.is_empty()).or(digest)
}

#[cfg(test)]
mod tests {
    use super::image_version;

    #[test]
    fn an_image_has_the_version_of_its_tag_else_of_its_digest() {
        for (image, version) in [
            ("nginx", None),
            ("nginx:1.27", Some("1.27")),
            ("registry:5000/nginx", None),
            ("registry:5000/a/nginx:1", Some("1")),
            ("a/nginx:1@sha256:ab", Some("1")),
            ("a/nginx@sha256:ab", Some("sha256:ab")),
            ("", None),
        ] {
            assert_eq!(image_version(image), version, "{image}");
        }
    }
}
