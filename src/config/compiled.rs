//! A checked configuration, with everything worked out that is the same for every pod.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::document::{
    API_VERSION, Collection, Document, Exclusion, IpFamily, KIND, LogOwner, Operator, Protocol, Reach, Requirement,
    Temporality,
};
use crate::api::OptIn;
use crate::api::otel::{self, var};
use crate::inject::endpoint::{Destination, Host, Url};
use crate::inject::expand::double_dollars;
use crate::inject::legal;

/// A configuration that can be used: made from a [`Document`] by [`TryFrom`], and immutable since.
#[derive(Clone, Debug)]
pub struct Configuration {
    document: Document,
    hash: String,
    revision: String,
    endpoints: Endpoints,
    propagators: Option<String>,
    extra: Vec<ExtraVariable>,
}

/// Where pods send, worked out once.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// For pods that resolve cluster names.
    resolving: Destination,
    /// For all others; `None` while the Service's address isn't known.
    other: Option<Destination>,
    /// The Collector's, whoever else gets what pods send.
    collector: Vec<Host>,
}

/// A variable that the configuration adds.
#[derive(Clone, Debug)]
pub struct ExtraVariable {
    pub name: String,
    pub source: Source,
}

#[derive(Clone, Debug)]
pub enum Source {
    /// With every `$` doubled already.
    Literal(String),
    FieldPath(String),
}

/// A document that can't be used, with every fault found.
#[derive(Debug, Error)]
#[error("{}", .faults.join("; "))]
pub struct ConfigurationError {
    /// Each names the field, what is wrong, and what would be right.
    pub faults: Vec<String>,
}

// === impl Configuration ===

impl TryFrom<Document> for Configuration {
    type Error = ConfigurationError;

    fn try_from(document: Document) -> Result<Self, ConfigurationError> {
        let faults = faults(&document);
        if !faults.is_empty() {
            return Err(ConfigurationError { faults });
        }
        Ok(Self {
            hash: hash(&document),
            revision: digest(&document),
            endpoints: Endpoints::new(&document),
            propagators: (!document.propagators.is_empty())
                .then(|| otel::propagators(&document.propagators.join(",")).into_owned()),
            extra: document.env.iter().map(ExtraVariable::new).collect(),
            document,
        })
    }
}

impl Default for Configuration {
    fn default() -> Self {
        Self::try_from(Document::default()).expect("the documented defaults are a valid configuration")
    }
}

impl Configuration {
    #[must_use]
    pub fn mode(&self) -> OptIn {
        self.document.mode
    }

    /// The document it was made from.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Of what the configuration puts into pods: neither `mode`, `exclude` nor an address is part of it.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Of all of it: what tells whether a replica serves the newest.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    #[must_use]
    pub fn cluster_name(&self) -> Option<&str> {
        self.document.cluster_name.as_deref()
    }

    #[must_use]
    pub fn environment(&self) -> Option<&str> {
        self.document.environment.as_deref()
    }

    #[must_use]
    pub fn from_well_known_labels(&self) -> bool {
        self.document.identity.from_well_known_labels
    }

    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.document.otlp.protocol
    }

    /// As in `OTEL_PROPAGATORS`.
    #[must_use]
    pub fn propagators(&self) -> Option<&str> {
        self.propagators.as_deref()
    }

    /// Name and argument.
    #[must_use]
    pub fn sampler(&self) -> Option<(&str, Option<&str>)> {
        self.document.sampler.as_ref().map(|sampler| (sampler.name.as_str(), sampler.arg.as_deref()))
    }

    /// As in `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`.
    #[must_use]
    pub fn temporality(&self) -> Option<&'static str> {
        match self.document.otlp.metrics_temporality {
            Temporality::Delta => Some("delta"),
            Temporality::Cumulative => Some("cumulative"),
            Temporality::LowMemory => Some("lowmemory"),
            Temporality::Unset => None,
        }
    }

    #[must_use]
    pub fn collects_logs(&self) -> bool {
        self.document.logs.collection == Collection::Enabled
    }

    #[must_use]
    pub fn log_owner(&self) -> LogOwner {
        self.document.logs.owner
    }

    #[must_use]
    pub fn extra(&self) -> &[ExtraVariable] {
        &self.extra
    }

    /// Where a pod sends; `None` when it can't resolve cluster names and the address isn't known.
    #[must_use]
    pub fn destination(&self, resolves_cluster_names: bool) -> Option<&Destination> {
        if resolves_cluster_names { Some(&self.endpoints.resolving) } else { self.endpoints.other.as_ref() }
    }

    #[must_use]
    pub fn cluster_domain(&self) -> &str {
        &self.document.cluster_domain
    }

    /// The same, where pods that resolve cluster names are told one.
    #[must_use]
    pub fn told_domain(&self) -> Option<&str> {
        let otlp = &self.document.otlp;
        (otlp.endpoint.is_none() && otlp.reach == Reach::Service).then_some(self.cluster_domain())
    }

    /// Whether the Collector is there.
    #[must_use]
    pub fn is_collector(&self, host: &Host) -> bool {
        self.endpoints.collector.contains(host)
    }

    /// The entry of `exclude` that names this pod. `label` looks a label of the pod's up.
    pub fn exclusion<'l>(
        &self,
        namespace: Option<&str>,
        label: impl Fn(&str) -> Option<&'l str>,
    ) -> Option<&Exclusion> {
        self.document.exclude.iter().find(|exclusion| {
            exclusion.namespace.as_deref().is_none_or(|wanted| namespace == Some(wanted))
                && exclusion.selector.match_labels.iter().all(|(key, value)| label(key) == Some(value))
                && exclusion
                    .selector
                    .match_expressions
                    .iter()
                    .all(|requirement| holds(requirement, label(&requirement.key)))
        })
    }
}

/// `NotIn` holds for a label that isn't there, as in every Kubernetes selector.
fn holds(requirement: &Requirement, value: Option<&str>) -> bool {
    let listed = || value.is_some_and(|value| requirement.values.iter().any(|one| one == value));
    match requirement.operator {
        Operator::In => listed(),
        Operator::NotIn => !listed(),
        Operator::Exists => value.is_some(),
        Operator::DoesNotExist => value.is_none(),
    }
}

// === impl Endpoints ===

impl Endpoints {
    fn new(document: &Document) -> Self {
        let otlp = &document.otlp;
        let collector = &document.collector;
        let address = collector.address.as_deref().and_then(|address| address.parse::<IpAddr>().ok());
        let on_node = otlp.reach == Reach::Node;
        let hosts = || -> Vec<Host> {
            let service = Host::of_service(&collector.service, &collector.namespace);
            [service].into_iter().chain(address.map(Host::Address)).chain(on_node.then_some(Host::Node)).collect()
        };
        let same = |destination: Destination| Self {
            resolving: destination.clone(),
            other: Some(destination),
            collector: hosts(),
        };
        if let Some(url) = otlp.endpoint.as_deref().and_then(Url::parse) {
            return same(Destination::new(&url, None, otlp.protocol));
        }
        if on_node {
            return same(Destination::on_node(otlp.ip_family == IpFamily::IPv6, otlp.protocol));
        }
        let name = format!("{}.{}.svc.{}", collector.service, collector.namespace, document.cluster_domain);
        Self {
            resolving: Destination::on_host(&name, otlp.protocol),
            other: address.map(|address| match address {
                IpAddr::V4(v4) => Destination::on_host(&v4.to_string(), otlp.protocol),
                IpAddr::V6(v6) => Destination::on_host(&format!("[{v6}]"), otlp.protocol),
            }),
            collector: hosts(),
        }
    }
}

// === impl ExtraVariable ===

impl ExtraVariable {
    fn new(variable: &super::document::Variable) -> Self {
        let source = match (&variable.value, &variable.value_from) {
            (_, Some(from)) => Source::FieldPath(from.field_ref.field_path.clone()),
            (value, None) => Source::Literal(double_dollars(value.as_deref().unwrap_or_default()).into_owned()),
        };
        Self { name: variable.name.clone(), source }
    }
}

fn hash(document: &Document) -> String {
    let mut injected = document.clone();
    injected.mode = OptIn::Enabled;
    injected.exclude.clear();
    injected.collector.address = None;
    digest(&injected)
}

/// The first 16 hexadecimal digits of the SHA-256 of a document, however it was written.
fn digest(document: &Document) -> String {
    let json = serde_json::to_vec(document).expect("a document is plain data");
    Sha256::digest(json).iter().take(8).fold(String::with_capacity(16), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a String can't fail");
        hex
    })
}

/// Every fault at once: who corrects a file wants to correct it once.
fn faults(document: &Document) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |right: bool, fault: &dyn Fn() -> String| {
        if !right {
            faults.push(fault());
        }
    };
    check(document.api_version == API_VERSION, &|| unknown_version(&document.api_version));
    check(document.kind == KIND, &|| format!("kind: {:?} isn't known; write {KIND}", document.kind));
    let domain = &document.cluster_domain;
    check(legal::is_dns_subdomain(domain) && domain.split('.').all(legal::is_dns_label), &|| {
        format!("clusterDomain: {domain:?} is no DNS name")
    });
    for (field, name) in
        [("collector.namespace", &document.collector.namespace), ("collector.service", &document.collector.service)]
    {
        check(legal::is_dns_label(name), &|| format!("{field}: {name:?} is no name of a Kubernetes object"));
    }
    for (field, value) in [("clusterName", &document.cluster_name), ("environment", &document.environment)] {
        if let Some(value) = value {
            check(!value.is_empty() && legal::is_value(value).is_ok(), &|| {
                format!("{field}: must not be empty, over 4 KiB or have control characters")
            });
        }
    }
    if let Some(address) = &document.collector.address {
        check(address.parse::<IpAddr>().is_ok(), &|| format!("collector.address: {address:?} is no IP address"));
    }
    if let Some(endpoint) = &document.otlp.endpoint {
        check(Url::parse(endpoint).is_some() && legal::is_value(endpoint).is_ok(), &|| {
            "otlp.endpoint: must be an http or https URL of 4 KiB at most".to_owned()
        });
    }
    let propagators = document.propagators.join(",");
    check(document.propagators.is_empty() || otel::are_propagators(&propagators), &|| {
        format!("propagators: {propagators:?} must be some of {}; none stands alone", otel::PROPAGATORS.join(", "))
    });
    if let Some(sampler) = &document.sampler {
        let arg = sampler.arg.as_deref();
        let is_value = arg.is_none_or(|arg| legal::is_value(arg).is_ok());
        check(is_value && otel::is_sampler(&sampler.name, arg), &|| {
            format!(
                "sampler: {:?} with its argument isn't legal; names are {}; a ratio is between 0 and 1, and \
                 jaeger_remote and xray take key=value pairs",
                sampler.name,
                otel::SAMPLERS.join(", ")
            )
        });
    }
    variable_faults(document, &mut faults);
    exclusion_faults(document, &mut faults);
    faults
}

pub(super) fn unknown_version(version: &str) -> String {
    format!("apiVersion: {version:?} isn't known; this version reads {API_VERSION}")
}

/// Fields that the downward API serves to variables.
pub(super) const FIELD_PATHS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

fn variable_faults(document: &Document, faults: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for variable in &document.env {
        let name = &variable.name;
        if !legal::is_variable_name(name) {
            faults.push(format!("env: {name:?} is no name of a variable"));
        }
        if let Some(option) = datadogs(name) {
            faults.push(format!(
                "env: {name} would tell the Agent another value than OpenTelemetry's variables; {option}"
            ));
        }
        if is_own_variable(name) {
            faults.push(format!("env: {name} is computed by otelgate; use the option or annotation for it"));
        }
        if !seen.insert(name) {
            faults.push(format!("env: {name} stands twice; keep one"));
        }
        match (&variable.value, &variable.value_from) {
            (Some(value), None) => {
                if legal::is_value(value).is_err() {
                    faults.push(format!("env: the value of {name} is over 4 KiB or has control characters"));
                }
            }
            (None, Some(from)) => {
                let path = from.field_ref.field_path.as_str();
                let key = |prefix| path.strip_prefix(prefix).and_then(|rest: &str| rest.strip_suffix("']"));
                let subscripted = key("metadata.labels['").is_some_and(legal::is_qualified_name)
                    || key("metadata.annotations['").is_some_and(|key| legal::is_qualified_name(&key.to_lowercase()));
                if !subscripted && !FIELD_PATHS.contains(&path) {
                    faults.push(format!(
                        "env: the fieldPath of {name} must be one of {}, metadata.labels['KEY'], metadata.annotations['KEY']",
                        FIELD_PATHS.join(", ")
                    ));
                }
            }
            _ => faults.push(format!("env: {name} must have either value or valueFrom")),
        }
    }
}

/// What stands for a variable of Datadog's libraries that must not differ from ours.
fn datadogs(name: &str) -> Option<&'static str> {
    match name {
        var::DD_SERVICE => Some("each workload's name is its service, or what its annotations say"),
        var::DD_ENV => Some("set environment"),
        var::DD_VERSION => Some("each container's version is its image's, or what its annotations say"),
        _ => None,
    }
}

fn is_own_variable(name: &str) -> bool {
    otel::VARIABLES.iter().any(|known| known.name == name) || name.starts_with("OTELGATE_")
}

fn exclusion_faults(document: &Document, faults: &mut Vec<String>) {
    for (index, exclusion) in document.exclude.iter().enumerate() {
        faults.extend(exclusion.faults().into_iter().map(|fault| format!("exclude[{index}]: {fault}")));
    }
}
