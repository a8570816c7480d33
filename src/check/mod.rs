//! Whether otelgate works in a cluster, or would: each check a pure function of what was fetched, in one table.
//!
//! [`fetch`](fetch::fetch) asks the API server for everything at once and keeps, for whatever it didn't get, why
//! ([`Snapshot`]). A check reads that and says what it found; where a part is missing it says so, and never passes.

mod agents;
mod certificates;
mod configuration;
mod crd;
mod credentials;
mod egress;
mod fetch;
mod health;
mod opting_in;
mod pods;
mod registered;
mod rights;
mod server;
mod serving;
mod snapshot;
mod versions;

#[cfg(test)]
pub(crate) mod tests;

use serde::Serialize;

use crate::unavailable::Unavailable;

pub use fetch::fetch;
pub use rights::{Asked, PROGRAMS, Right, Who};
pub use snapshot::{AdmissionApi, Credentials, Fetched, Probe, Server, Serving, Shape, Snapshot};
pub use versions::versions_of as versions;

/// What a check found in order, or its objection.
pub type Verdict = Result<String, Objection>;

/// Why a check doesn't pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// Something is wrong.
    Fail { found: String, next: String },
    /// It can't be told.
    Unknown { why: String, next: String },
}

/// When a check makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Before otelgate is installed.
    Before,
    /// Once it is.
    After,
}

/// One line of the report.
pub struct Check {
    /// Stable: programs and the documentation know it by this.
    pub name: &'static str,
    /// What is true when it passes.
    pub summary: &'static str,
    pub stages: &'static [Stage],
    /// Checks whose failure explains this one's: then this one says so, instead of failing as well.
    pub explained_by: &'static [&'static str],
    run: fn(&Snapshot) -> Verdict,
}

/// What became of one check.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    pub check: &'static str,
    pub summary: &'static str,
    pub result: Outcome,
    /// What was found, or why it can't be told.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub found: String,
    #[serde(rename = "nextStep", skip_serializing_if = "String::is_empty")]
    pub next: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Pass,
    Fail,
    Unknown,
}

const BOTH: &[Stage] = &[Stage::Before, Stage::After];
const BEFORE: &[Stage] = &[Stage::Before];
const AFTER: &[Stage] = &[Stage::After];

/// What breaks the way from the API server to the webhook.
const WAY: &[&str] = &[
    "registration",
    "registration-fields",
    "selectors",
    "service",
    "endpoints",
    "ca-bundle",
    "certificate-valid",
    "certificate-trusted",
    "certificate-name",
    "webhook-replicas",
    "pod-creation",
    "configuration",
];

/// The same, and what keeps the controller from measuring it.
const REACHABLE: &[&str] = &[
    "registration",
    "registration-fields",
    "selectors",
    "service",
    "endpoints",
    "ca-bundle",
    "certificate-valid",
    "certificate-trusted",
    "certificate-name",
    "certificate-served",
    "webhook-replicas",
    "pod-creation",
    "configuration",
    "probe",
    "crd",
    "controller-replicas",
    "controller-active",
    "program-rights",
];

/// What keeps a configuration from being in force.
const STACK: &[&str] =
    &["crd", "webhook-replicas", "controller-replicas", "controller-active", "pod-creation", "endpoints", "service"];

/// What keeps the webhook's replicas from serving a trusted certificate.
const CERTIFICATE: &[&str] = &[
    "stack",
    "ca-bundle",
    "certificate-valid",
    "certificate-trusted",
    "certificate-name",
    "webhook-replicas",
    "controller-replicas",
    "controller-active",
    "pod-creation",
    "endpoints",
    "service",
    "registration",
];

/// What keeps the controller from measuring anything.
const CONTROLLER: &[&str] = &["crd", "controller-replicas", "controller-active", "pod-creation", "program-rights"];

/// What keeps the controller from finding the key in order.
const KEY: &[&str] =
    &["credentials", "crd", "controller-replicas", "controller-active", "pod-creation", "program-rights"];

/// What keeps the controller from making the Collectors' Service.
const SERVICE: &[&str] = &[
    "configuration",
    "collectors",
    "crd",
    "controller-replicas",
    "controller-active",
    "pod-creation",
    "program-rights",
];

/// What keeps Collectors from running; where they don't, nothing is delivered either.
const COLLECTORS: &[&str] =
    &["collectors", "collector-pod-security", "credentials", "crd", "controller-replicas", "controller-active"];

/// Every check, in the order of the report: what the others stand on first.
#[rustfmt::skip]
pub const CHECKS: &[Check] = &[
    Check { name: "server-version", summary: "Kubernetes is 1.30 or later", stages: BOTH, explained_by: &[], run: server::version },
    Check { name: "admission-api", summary: "the API server serves mutating webhooks", stages: BOTH, explained_by: &[], run: server::admission_api },
    Check { name: "admission-policies", summary: "whether mutating admission policies are served; nothing depends on it", stages: BEFORE, explained_by: &[], run: server::admission_policies },
    Check { name: "clock", summary: "the clocks here and in the cluster agree", stages: BOTH, explained_by: &[], run: server::clock },
    Check { name: "install-rights", summary: "you may create all that the chart has", stages: BEFORE, explained_by: &[], run: rights::install },
    Check { name: "crd", summary: "the custom resource is of this version", stages: BOTH, explained_by: &[], run: crd::version },
    Check { name: "pod-security", summary: "otelgate's namespace admits its pods", stages: BOTH, explained_by: &[], run: pods::own_pod_security },
    Check { name: "collector-pod-security", summary: "the Collector's namespace admits pods with host paths", stages: BOTH, explained_by: &[], run: pods::collector_pod_security },
    Check { name: "quota", summary: "no quota of otelgate's namespace is used up", stages: BOTH, explained_by: &[], run: pods::quota },
    Check { name: "credentials", summary: "Datadog's API key is there and has the right shape", stages: BOTH, explained_by: &[], run: credentials::shape },
    Check { name: "other-injectors", summary: "no other product puts the same variables into pods", stages: BOTH, explained_by: &[], run: registered::other_injectors },
    Check { name: "other-agents", summary: "no Datadog Agent runs that isn't otelgate's", stages: BEFORE, explained_by: &[], run: agents::others },
    Check { name: "program-rights", summary: "webhook and controller have the rights that they always need; of the rest the TelemetryStack's conditions tell", stages: AFTER, explained_by: &[], run: rights::programs },
    Check { name: "stack", summary: "the TelemetryStack is there and accepted", stages: AFTER, explained_by: STACK, run: configuration::stack },
    Check { name: "other-stacks", summary: "there is no TelemetryStack but default", stages: AFTER, explained_by: &["crd"], run: configuration::other_stacks },
    Check { name: "configuration", summary: "the ConfigMap holds a configuration that can be read", stages: AFTER, explained_by: &[], run: configuration::readable },
    Check { name: "configuration-current", summary: "the configuration is what the TelemetryStack says", stages: AFTER, explained_by: &["configuration", "stack", "crd"], run: configuration::current },
    Check { name: "mode", summary: "injection isn't switched off", stages: AFTER, explained_by: &[], run: configuration::mode },
    Check { name: "webhook-replicas", summary: "every replica of the webhook is ready", stages: AFTER, explained_by: &["pod-creation"], run: pods::webhook_replicas },
    Check { name: "controller-replicas", summary: "every replica of the controller is ready", stages: AFTER, explained_by: &["pod-creation"], run: pods::controller_replicas },
    Check { name: "pod-creation", summary: "the cluster lets the Deployments make their pods", stages: AFTER, explained_by: &["quota", "pod-security"], run: pods::creation },
    Check { name: "spread", summary: "the webhook's replicas aren't all on one node", stages: AFTER, explained_by: &["webhook-replicas"], run: pods::spread },
    Check { name: "controller-active", summary: "a controller is at work", stages: AFTER, explained_by: &["controller-replicas", "pod-creation", "program-rights"], run: pods::controller_active },
    Check { name: "versions", summary: "webhook, controller and this program are at most one minor version apart", stages: AFTER, explained_by: &[], run: versions::versions },
    Check { name: "registration", summary: "the webhook is registered with all three entries", stages: AFTER, explained_by: &[], run: registered::entries },
    Check { name: "failure-policy", summary: "no pod is refused when the webhook can't be called", stages: AFTER, explained_by: &[], run: registered::failure_policy },
    Check { name: "webhook-timeout", summary: "no pod waits for the webhook for long", stages: AFTER, explained_by: &[], run: registered::timeout },
    Check { name: "registration-fields", summary: "the registration's other fields are those of the chart", stages: AFTER, explained_by: &[], run: registered::fields },
    Check { name: "selectors", summary: "the registration selects the pods of namespaces that are opted in", stages: AFTER, explained_by: &["registration", "registration-fields"], run: registered::selectors },
    Check { name: "service", summary: "the webhook's Service selects its pods and has the registered port", stages: AFTER, explained_by: &["pod-creation"], run: serving::service },
    Check { name: "endpoints", summary: "the webhook's Service has a ready endpoint", stages: AFTER, explained_by: &["service", "webhook-replicas", "pod-creation"], run: serving::endpoints },
    Check { name: "ca-bundle", summary: "the registration says whom to trust", stages: AFTER, explained_by: &["registration"], run: certificates::bundle },
    Check { name: "certificate-valid", summary: "the webhook's certificate is there and valid now", stages: AFTER, explained_by: &[], run: certificates::valid },
    Check { name: "certificate-trusted", summary: "the registration trusts the webhook's certificate", stages: AFTER, explained_by: &["ca-bundle"], run: certificates::trusted },
    Check { name: "certificate-name", summary: "the webhook's certificate is for its Service's name", stages: AFTER, explained_by: &[], run: certificates::name },
    Check { name: "certificate-served", summary: "the controller sees every replica serve a trusted certificate", stages: AFTER, explained_by: CERTIFICATE, run: health::certificate },
    Check { name: "probe", summary: "a pod comes back through the API server with the webhook's mark", stages: AFTER, explained_by: WAY, run: serving::probe },
    Check { name: "webhook-reachable", summary: "the controller sees pods come back with the webhook's mark, and each replica trusted", stages: AFTER, explained_by: REACHABLE, run: health::webhook_reachable },
    Check { name: "opt-in-labels", summary: "every opt-in label of a namespace has a known value", stages: AFTER, explained_by: &[], run: opting_in::labels },
    Check { name: "opt-in-annotations", summary: "no namespace has the opt-in as an annotation", stages: AFTER, explained_by: &[], run: opting_in::annotations },
    Check { name: "excluded-namespaces", summary: "no namespace is opted in that is never looked at", stages: AFTER, explained_by: &[], run: opting_in::excluded },
    Check { name: "collector", summary: "the Service that pods send to is there", stages: AFTER, explained_by: SERVICE, run: egress::collector },
    Check { name: "key", summary: "Datadog accepts the API key, where it is asked", stages: AFTER, explained_by: KEY, run: health::key },
    Check { name: "collectors", summary: "every node that should run a Collector has one that is ready", stages: AFTER, explained_by: CONTROLLER, run: health::collectors },
    Check { name: "delivery", summary: "Collectors send what they take in", stages: AFTER, explained_by: COLLECTORS, run: health::delivery },
    Check { name: "agent", summary: "the Datadog Agent runs where it should", stages: AFTER, explained_by: CONTROLLER, run: health::agent },
    Check { name: "injection", summary: "no pod lacks what it should carry", stages: AFTER, explained_by: CONTROLLER, run: health::injection },
    Check { name: "egress", summary: "no NetworkPolicy cuts pods that are opted in off the Collector", stages: AFTER, explained_by: &["configuration"], run: egress::policies },
];

/// Runs the checks of the snapshot's stage.
#[must_use]
pub fn run(snapshot: &Snapshot) -> Vec<Checked> {
    let checks = CHECKS.iter().filter(|check| check.stages.contains(&snapshot.stage));
    let verdicts: Vec<(&Check, Verdict)> = checks.map(|check| (check, (check.run)(snapshot))).collect();
    let fails = |name: &str| {
        let named = verdicts.iter().find(|(check, _)| check.name == name);
        named.is_some_and(|(_, verdict)| matches!(verdict, Err(Objection::Fail { .. })))
    };
    let explained = |check: &Check| check.explained_by.iter().copied().find(|name| fails(name));
    verdicts.iter().map(|(check, verdict)| Checked::new(check, verdict.clone(), explained(check))).collect()
}

// === impl Objection ===

impl Objection {
    fn fail(found: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Fail { found: found.into(), next: next.into() }
    }

    fn unknown(why: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Unknown { why: why.into(), next: next.into() }
    }

    /// What another check says already.
    fn see(check: &'static str) -> Self {
        Self::unknown(format!("{check} doesn't pass"), format!("see {check}"))
    }
}

impl From<&Unavailable> for Objection {
    fn from(fault: &Unavailable) -> Self {
        Self::unknown(fault.to_string(), fault.next_step())
    }
}

// === impl Checked ===

impl Checked {
    fn new(check: &Check, verdict: Verdict, explained: Option<&'static str>) -> Self {
        let (result, found, next) = match (verdict, explained) {
            (Ok(found), _) => (Outcome::Pass, found, String::new()),
            (Err(Objection::Fail { found, .. }), Some(cause)) => {
                (Outcome::Unknown, format!("{found}, as is to be expected while {cause} fails"), format!("see {cause}"))
            }
            (Err(Objection::Fail { found, next }), None) => (Outcome::Fail, found, next),
            (Err(Objection::Unknown { why, next }), _) => (Outcome::Unknown, why, next),
        };
        Self { check: check.name, summary: check.summary, result, found, next }
    }
}
