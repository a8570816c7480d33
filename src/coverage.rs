//! What became of a pod that runs: whether it carries what it should, and if not, why it most likely doesn't.
//!
//! Pure: from the pod, the decision as it would be now, and the times that the cluster remembers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::api::{OptIn, annotation, label};
use crate::inject::endpoint::{Dns, Host, Url};
use crate::inject::rules::{self, Case};
use crate::inject::status::Status;
use crate::inject::{Decision, Pod, legal};

/// What a running pod carries, against what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Coverage {
    /// What the configuration in force puts into pods.
    Injected,
    /// What an earlier configuration put into pods.
    Outdated,
    /// Nothing, because it is older than what opts it in, or than the mode `enabled`.
    RestartPending,
    /// Nothing, though it was opted in when it was created.
    Missed,
    /// Something, though a pod that is created now would be left alone.
    LeftOver,
    /// Nothing, as it should be.
    NotExpected,
}

/// What a pod carries of otelgate's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    Nothing,
    /// What the configuration in force puts into pods.
    Current,
    /// What another one did.
    Earlier,
}

/// When the cluster last wrote what a pod's injection depends on; each is the latest that it can have been.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes {
    /// The opt-in label of the pod's namespace, and what it says.
    pub opt_in: Option<Timestamp>,
    pub namespace: Option<OptIn>,
    /// The pod's own.
    pub own: Option<Timestamp>,
    pub configuration: Option<Timestamp>,
    /// Until when something kept pods of its namespace from being injected: none created until then was missed.
    pub left_alone: Option<Timestamp>,
}

/// Reads what otelgate wrote about a pod into it; `None` where it wrote nothing that can be read.
#[must_use]
pub fn status(pod: &Pod<'_>) -> Option<Status> {
    pod.annotation(annotation::STATUS).and_then(|text| serde_json::from_str(text).ok())
}

// === impl Carried ===

impl Carried {
    /// `hash`: of the configuration in force.
    #[must_use]
    pub fn of(pod: &Pod<'_>, hash: &str) -> Self {
        match status(pod) {
            None => Self::Nothing,
            Some(status) if status.config == hash => Self::Current,
            Some(_) => Self::Earlier,
        }
    }
}

// === impl Coverage ===

impl Coverage {
    pub const ALL: [Self; 6] =
        [Self::Injected, Self::Outdated, Self::RestartPending, Self::Missed, Self::LeftOver, Self::NotExpected];

    /// `decision` is for the pod as it runs, `hash` that of the configuration in force.
    #[must_use]
    pub fn of(
        pod: &Pod<'_>,
        decision: &Decision<'_>,
        hash: &str,
        created: Option<Timestamp>,
        changes: Changes,
    ) -> Self {
        let Changes { opt_in, namespace, own, configuration, left_alone } = changes;
        let older = created.is_some_and(|created| {
            if left_alone.is_some_and(|until| created <= until) {
                return true;
            }
            if own.is_some_and(|at| is_later(at, created)) {
                is_older_unlabelled(created, namespace, opt_in, configuration)
            } else {
                is_older(created, pod.label(label::INJECT).and_then(OptIn::parse), opt_in, configuration)
            }
        });
        Self::judge(matches!(decision, Decision::Inject(_)), Carried::of(pod, hash), older)
    }

    /// `injects`: whether a pod like it would be injected now. `older`: whether it was there before what opts it in.
    #[must_use]
    pub const fn judge(injects: bool, carried: Carried, older: bool) -> Self {
        match (injects, carried) {
            (true, Carried::Current) => Self::Injected,
            (true, Carried::Earlier) => Self::Outdated,
            (true, Carried::Nothing) if older => Self::RestartPending,
            (true, Carried::Nothing) => Self::Missed,
            (false, Carried::Nothing) => Self::NotExpected,
            (false, _) => Self::LeftOver,
        }
    }

    /// The same from metadata alone, for a pod that has a mark; `None` for one without, whose spec counts.
    #[must_use]
    pub fn of_marked(case: Case<'_>) -> Option<Self> {
        let carried = Carried::of(case.pod, case.configuration.hash());
        let observed = case.configuration.mode() == OptIn::Observe
            || rules::opt_in(case.pod, case.namespace) == Some(OptIn::Observe);
        let injects = !observed && rules::objection(case).is_none();
        (carried != Carried::Nothing).then(|| Self::judge(injects, carried, false))
    }

    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Injected => "Injected",
            Self::Outdated => "Outdated",
            Self::RestartPending => "RestartPending",
            Self::Missed => "Missed",
            Self::LeftOver => "LeftOver",
            Self::NotExpected => "NotExpected",
        }
    }

    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Injected => "carries what the configuration in force puts into pods",
            Self::Outdated => "carries what an earlier configuration put into pods",
            Self::RestartPending => "was created before it was opted in, or before mode was enabled",
            Self::Missed => "was opted in when it was created, and the webhook didn't change it",
            Self::LeftOver => "carries values of otelgate's, and would be left alone if it were created now",
            Self::NotExpected => "carries nothing of otelgate's, as it should be",
        }
    }

    #[must_use]
    pub const fn next_step(self) -> &'static str {
        match self {
            Self::Injected | Self::NotExpected => "nothing",
            Self::Outdated => "restart its workload when it suits you: what it has goes on working",
            Self::RestartPending => "restart its workload: kubectl rollout restart",
            Self::Missed => "see otelgate check and otelgate logs for why, then restart its workload",
            Self::LeftOver => "restart its workload to be rid of them",
        }
    }
}

/// Whether a pod was there before what opts it in: its own label, where that has been one of the three words from its
/// creation on, or else its namespace's; or before the configuration in force.
#[must_use]
pub fn is_older<T: Copy + PartialOrd>(
    created: T,
    own: Option<OptIn>,
    opted_in: Option<T>,
    configured: Option<T>,
) -> bool {
    let is_older = |change: Option<T>| change.is_some_and(|at| created <= at);
    is_older(opted_in.filter(|_| own.is_none())) || is_older(configured)
}

/// The same of a pod whose own label was written later: until then, its namespace's counted.
#[must_use]
pub fn is_older_unlabelled<T: Copy + PartialOrd>(
    created: T,
    namespace: Option<OptIn>,
    opted_in: Option<T>,
    configured: Option<T>,
) -> bool {
    namespace != Some(OptIn::Enabled) || is_older(created, None, opted_in, configured)
}

/// When a field of an object was last written, at the latest: by the earliest of its managers' times, since each of
/// them has the value that stands there now. `path` is that of `managedFields`, such as `["f:metadata", "f:labels"]`.
#[must_use]
pub fn written(object: &Value, path: &[&str]) -> Option<Timestamp> {
    let managers = object.pointer("/metadata/managedFields")?.as_array()?;
    let owns = |manager: &&Value| {
        let fields = manager.get("fieldsV1");
        path.iter().fold(fields, |fields, step| fields.and_then(|fields| fields.get(step))).is_some()
    };
    managers.iter().filter(owns).filter_map(|manager| manager.get("time")?.as_str()?.parse().ok()).min()
}

/// Whether a pod's own label that was written then is younger than the pod. One that it was created with has the time of
/// the same second, or one before: the API server notes who writes which field before it asks webhooks, and creates it
/// thereafter.
#[must_use]
pub fn is_later(written: Timestamp, created: Timestamp) -> bool {
    written > created
}

/// When an object's opt-in label was last written, at the latest.
#[must_use]
pub fn label_written(object: &Value) -> Option<Timestamp> {
    written(object, &["f:metadata", "f:labels", &format!("f:{}", label::INJECT)])
}

/// [`Changes::left_alone`] by namespace, as the controller remembers it in the status of the `TelemetryStack`.
#[must_use]
pub fn left_alone(stack: &Value) -> BTreeMap<String, Timestamp> {
    let told = stack["status"]["injection"]["leftAloneUntil"].as_object().into_iter().flatten();
    told.filter_map(|(name, until)| Some((name.clone(), until.as_str()?.parse::<Timestamp>().ok()?))).collect()
}

/// Whether a pod is told an endpoint that isn't the Collector's: by its own annotation, else its namespace's, else the
/// configuration. An annotation that can't be used counts as absent, as it does for the decision.
#[must_use]
pub fn sends_elsewhere(case: Case<'_>) -> bool {
    let Case { pod, namespace, configuration } = case;
    let mut defaults = namespace.annotations.into_iter().flatten();
    let default = defaults.find(|(key, _)| **key == *annotation::ENDPOINT).map(|(_, url)| &**url);
    let is_legal = |url: &&str| Url::parse(url).is_some() && legal::is_value(url).is_ok();
    let named = [pod.annotation(annotation::ENDPOINT), default].into_iter().flatten().find(is_legal);
    let endpoint = named.or(configuration.document().otlp.endpoint.as_deref());
    let dns = Dns { cluster_domain: configuration.cluster_domain(), namespace: namespace.name };
    let is_collector = |url: &str| Host::of(url, dns).is_some_and(|host| configuration.is_collector(&host));
    endpoint.is_some_and(|url| !is_collector(url))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::{self, Configuration};
    use crate::inject::{Namespace, decide};

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    /// What is said of a pod that was created at noon.
    fn said(pod: &Value, opt_in: Option<&str>, hash: &str, changes: Changes) -> Coverage {
        let (json, configuration, noon) = (pod.to_string(), Configuration::default(), time("2026-11-02T12:00:00Z"));
        let pod = Pod::from_json(&json).expect("a pod");
        let namespace = Namespace { name: Some("shop"), opt_in, left_out: None, annotations: Some(&[]) };
        let decision = decide(&pod, &namespace, &configuration, noon);
        Coverage::of(&pod, &decision, hash, Some(noon), changes)
    }

    #[test]
    fn every_case_has_its_word() {
        const EARLIER: &str = "2026-11-02T11:00:00Z";
        const NOON: &str = "2026-11-02T12:00:00Z";
        const LATER: &str = "2026-11-02T13:00:00Z";
        let hash = Configuration::default().hash().to_owned();
        let pod = |metadata: Value| json!({"metadata": metadata, "spec": {"containers": [{"name": "a"}]}});
        let status = json!({"version": "0.1.0", "config": hash, "containers": {}}).to_string();
        let marked = pod(json!({"annotations": {annotation::STATUS: status}}));
        let labelled = |opt_in: &str| pod(json!({"labels": {label::INJECT: opt_in}}));
        let (bare, own, invalid) = (pod(json!({})), labelled("enabled"), labelled("yes"));
        let at = |opt_in: &str, configuration: &str| Changes {
            opt_in: Some(time(opt_in)),
            configuration: Some(time(configuration)),
            ..Changes::default()
        };
        let labelled = |at: &str, changes: Changes| Changes { own: Some(time(at)), ..changes };
        let enabled = |changes: Changes| Changes { namespace: Some(OptIn::Enabled), ..changes };
        let left_alone = |until: &str| Changes { left_alone: Some(time(until)), ..at(EARLIER, EARLIER) };
        for (pod, opt_in, hash, changes, expected) in [
            (&marked, Some("enabled"), hash.as_str(), Changes::default(), Coverage::Injected),
            (&marked, Some("enabled"), "another", Changes::default(), Coverage::Outdated),
            (&marked, None, &hash, Changes::default(), Coverage::LeftOver),
            (&marked, Some("observe"), &hash, Changes::default(), Coverage::LeftOver),
            (&bare, None, &hash, Changes::default(), Coverage::NotExpected),
            (&bare, Some("observe"), &hash, Changes::default(), Coverage::NotExpected),
            (&bare, Some("enabled"), &hash, Changes::default(), Coverage::Missed),
            (&bare, Some("enabled"), &hash, at(EARLIER, EARLIER), Coverage::Missed),
            (&bare, Some("enabled"), &hash, at(LATER, EARLIER), Coverage::RestartPending),
            (&bare, Some("enabled"), &hash, at(EARLIER, LATER), Coverage::RestartPending),
            (&own, None, &hash, at(LATER, EARLIER), Coverage::Missed),
            // What can't be read opts nothing in: its namespace does.
            (&invalid, Some("enabled"), &hash, at(LATER, EARLIER), Coverage::RestartPending),
            (&invalid, Some("enabled"), &hash, at(EARLIER, EARLIER), Coverage::Missed),
            (&own, None, &hash, at(LATER, LATER), Coverage::RestartPending),
            (&own, None, &hash, labelled(EARLIER, at(EARLIER, EARLIER)), Coverage::Missed),
            (&own, None, &hash, labelled(LATER, at(EARLIER, EARLIER)), Coverage::RestartPending),
            (&own, Some("enabled"), &hash, labelled(LATER, enabled(at(EARLIER, EARLIER))), Coverage::Missed),
            (&own, Some("enabled"), &hash, labelled(LATER, enabled(at(LATER, EARLIER))), Coverage::RestartPending),
            (&bare, Some("enabled"), &hash, left_alone(NOON), Coverage::RestartPending),
            (&bare, Some("enabled"), &hash, left_alone(EARLIER), Coverage::Missed),
            // Its own label doesn't tell what kept it from being injected.
            (&own, None, &hash, left_alone(NOON), Coverage::RestartPending),
            (&own, None, &hash, left_alone(EARLIER), Coverage::Missed),
            (&marked, Some("enabled"), &hash, left_alone(NOON), Coverage::Injected),
            (&bare, None, &hash, left_alone(NOON), Coverage::NotExpected),
        ] {
            assert_eq!(said(pod, opt_in, hash, changes), expected, "{pod} {opt_in:?} {changes:?}");
        }
    }

    #[test]
    fn the_earliest_of_a_fields_managers_counts() {
        let manager = |time: &str, fields: Value| json!({"manager": "m", "time": time, "fieldsV1": fields});
        let labels = json!({"f:metadata": {"f:labels": {"f:otelgate.dev/inject": {}}}});
        let object = json!({"metadata": {"managedFields": [
            manager("2026-11-02T10:00:00Z", json!({"f:metadata": {"f:labels": {"f:other": {}}}})),
            manager("2026-11-02T13:00:00Z", labels.clone()),
            manager("2026-11-02T12:00:00Z", labels),
        ]}});
        let path = ["f:metadata", "f:labels", "f:otelgate.dev/inject"];
        assert_eq!(written(&object, &path), Some(time("2026-11-02T12:00:00Z")));
        assert_eq!(written(&object, &["f:data"]), None);
        assert_eq!(written(&json!({}), &path), None);
    }

    #[test]
    fn what_the_controller_remembers_of_namespaces_is_read() {
        let stack = |told: Value| json!({"status": {"injection": {"leftAloneUntil": told}}});
        let told = left_alone(&stack(json!({"shop": "2026-11-02T12:00:00Z", "bank": "soon", "tools": 7})));
        assert_eq!(told, BTreeMap::from([("shop".to_owned(), time("2026-11-02T12:00:00Z"))]));
        for stack in [json!({}), stack(json!(null)), stack(json!("shop"))] {
            assert_eq!(left_alone(&stack), BTreeMap::new(), "{stack}");
        }
    }

    /// The pod's annotation, its namespace's, and the configuration's endpoint.
    #[test]
    fn the_first_endpoint_that_can_be_used_says_where_a_pod_sends() {
        const ELSEWHERE: Option<&str> = Some("https://gateway.example:4318");
        const COLLECTOR: Option<&str> = Some("http://otel-collector.datadog.svc:4317");
        const UNUSABLE: Option<&str> = Some("gateway.example");
        for (own, default, configured, expected) in [
            (None, None, None, false),
            (ELSEWHERE, None, None, true),
            (None, ELSEWHERE, None, true),
            (None, None, ELSEWHERE, true),
            (COLLECTOR, ELSEWHERE, ELSEWHERE, false),
            (None, COLLECTOR, ELSEWHERE, false),
            (None, None, COLLECTOR, false),
            (ELSEWHERE, COLLECTOR, None, true),
            (UNUSABLE, None, None, false),
            (UNUSABLE, ELSEWHERE, None, true),
            (UNUSABLE, UNUSABLE, ELSEWHERE, true),
        ] {
            let annotations = own.map_or(json!({}), |url| json!({annotation::ENDPOINT: url}));
            let json = json!({"metadata": {"annotations": annotations}}).to_string();
            let pod = Pod::from_json(&json).expect("a pod");
            let defaults: Vec<(Box<str>, Box<str>)> =
                default.into_iter().map(|url: &str| (annotation::ENDPOINT.into(), url.into())).collect();
            let namespace = Namespace { name: Some("shop"), annotations: Some(&defaults), ..Namespace::default() };
            let otlp = configured.map_or(json!({}), |url: &str| json!({"endpoint": url}));
            let document =
                json!({"apiVersion": "otelgate.dev/v1alpha1", "kind": "InjectionConfiguration", "otlp": otlp});
            let configuration = config::parse(&document.to_string()).expect("a configuration");
            let case = Case { pod: &pod, namespace: &namespace, configuration: &configuration };
            assert_eq!(sends_elsewhere(case), expected, "{own:?} {default:?} {configured:?}");
        }
    }

    /// What is told from metadata is what is told from the whole pod.
    #[test]
    fn metadata_is_enough_for_a_pod_with_a_mark() {
        let own = Configuration::default();
        let status = |hash: &str| json!({"version": "0.1.0", "config": hash, "containers": {}}).to_string();
        for hash in [own.hash(), "another"] {
            for opt_in in [None, Some("enabled"), Some("observe"), Some("disabled")] {
                let metadata = json!({"name": "p", "annotations": {annotation::STATUS: status(hash)}});
                let whole = json!({"metadata": metadata, "spec": {"containers": [{"name": "a"}]}});
                let json = json!({"metadata": metadata}).to_string();
                let pod = Pod::from_json(&json).expect("a pod");
                let namespace = Namespace { name: Some("shop"), opt_in, left_out: None, annotations: None };
                let case = Case { pod: &pod, namespace: &namespace, configuration: &own };
                let expected = said(&whole, opt_in, own.hash(), Changes::default());
                assert_eq!(Coverage::of_marked(case), Some(expected), "{hash} {opt_in:?}");
            }
        }
        let bare = Pod::default();
        let case = Case { pod: &bare, namespace: &Namespace::default(), configuration: &own };
        assert_eq!(Coverage::of_marked(case), None);
    }
}
