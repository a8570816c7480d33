//! A workload and its pods, cut to what a repair goes by.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::{OptIn, label};
use crate::config::Selector;
use crate::controller::pods::look;
use crate::controller::pods::record::{Around, InForce, Name, OwnLabel};
use crate::coverage::{self, Carried, Coverage};
use crate::inject::owner::kind;
use crate::inject::{Pod, Workload};

/// A kind whose objects own pods, and say how a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerKind {
    Deployment,
    StatefulSet,
    DaemonSet,
    ReplicaSet,
    Rollout,
}

/// A workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    pub uid: String,
    pub desired: i64,
    /// By which its pods are found.
    pub selector: String,
    pub paused: bool,
    pub rolling: bool,
    /// How long it gives its pods to become Ready.
    pub patience: Option<Duration>,
    /// How long one has to be Ready before it counts.
    pub pause: Duration,
}

/// What a pod lacks that may be repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    Missed,
    Outdated,
}

/// One pod of it.
#[expect(clippy::struct_excessive_bools, reason = "they are independent: each is its own observation")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    pub name: String,
    pub uid: String,
    /// In seconds.
    pub created: i64,
    pub ready: bool,
    pub leaving: bool,
    /// How long it may take to go.
    pub grace: Duration,
    /// A container doesn't get going.
    pub crashing: bool,
    /// One was started again.
    pub restarted: bool,
    /// `None` for what should be left as it is, too.
    pub lacks: Option<Lack>,
}

/// A workload and its pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub owner: Owner,
    pub pods: Vec<PodFacts>,
}

// === impl OwnerKind ===

impl OwnerKind {
    const ALL: [Self; 5] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet, Self::ReplicaSet, Self::Rollout];

    #[must_use]
    pub fn of(name: &Name) -> Option<Self> {
        Self::ALL.into_iter().find(|one| *one.kind() == *name.kind)
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Deployment => kind::DEPLOYMENT,
            Self::StatefulSet => kind::STATEFUL_SET,
            Self::DaemonSet => kind::DAEMON_SET,
            Self::ReplicaSet => kind::REPLICA_SET,
            Self::Rollout => kind::ROLLOUT,
        }
    }

    /// Of its objects, after `/apis/`.
    #[must_use]
    pub const fn group_version(self) -> &'static str {
        match self {
            Self::Deployment | Self::StatefulSet | Self::DaemonSet | Self::ReplicaSet => "apps/v1",
            Self::Rollout => "argoproj.io/v1alpha1",
        }
    }

    const fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
            Self::ReplicaSet => "replicasets",
            Self::Rollout => "rollouts",
        }
    }

    /// The path of its objects in a namespace.
    #[must_use]
    pub fn path(self, namespace: &str) -> String {
        format!("/apis/{}/namespaces/{namespace}/{}", self.group_version(), self.plural())
    }
}

// === impl Owner ===

impl Owner {
    /// `None` for one that is on its way out, or doesn't say which pods are its own.
    #[must_use]
    pub fn of(object: &Value, kind: OwnerKind) -> Option<Self> {
        let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
        if !metadata["deletionTimestamp"].is_null() {
            return None;
        }
        let number = |value: &Value| value.as_i64().unwrap_or_default();
        let desired = if kind == OwnerKind::DaemonSet {
            number(&status["desiredNumberScheduled"])
        } else {
            spec["replicas"].as_i64().unwrap_or(1)
        };
        // A Rollout writes it as text.
        let observed = &status["observedGeneration"];
        let observed = observed.as_i64().or_else(|| observed.as_str()?.parse().ok());
        let unseen = observed.is_some_and(|observed| observed < number(&metadata["generation"]));
        // What is short of pods isn't rolling out: that shows in which of them are Ready.
        let older = |all: &str, updated: &str| number(&status[all]) > number(&status[updated]);
        let differ = |one: &str, other: &str| status[one] != status[other];
        let rolling = match kind {
            OwnerKind::Deployment => older("replicas", "updatedReplicas"),
            OwnerKind::Rollout => older("replicas", "updatedReplicas") || differ("currentPodHash", "stableRS"),
            // With OnDelete, Kubernetes has only lately moved the current revision when all pods are updated.
            OwnerKind::StatefulSet if spec["updateStrategy"]["type"] == "OnDelete" => {
                differ("currentRevision", "updateRevision") && older("replicas", "updatedReplicas")
            }
            OwnerKind::StatefulSet => differ("currentRevision", "updateRevision"),
            OwnerKind::DaemonSet => older("currentNumberScheduled", "updatedNumberScheduled"),
            OwnerKind::ReplicaSet => false,
        };
        let waits = status["pauseConditions"].as_array().is_some_and(|conditions| !conditions.is_empty());
        let selector = query(&spec["selector"]).or_else(|| Some(status["selector"].as_str()?.to_owned()))?;
        Some(Self {
            uid: metadata["uid"].as_str()?.to_owned(),
            desired,
            selector,
            paused: spec["paused"] == true || waits || status["abort"] == true,
            rolling: unseen || rolling,
            patience: spec["progressDeadlineSeconds"].as_u64().map(Duration::from_secs),
            pause: Duration::from_secs(spec["minReadySeconds"].as_u64().unwrap_or_default()),
        })
    }
}

/// A label selector as in a query; `None` for one that is empty, or that can't be told.
fn query(selector: &Value) -> Option<String> {
    Some(Selector::read(selector)?.query()).filter(|query| !query.is_empty())
}

// === impl PodFacts ===

impl PodFacts {
    /// `None` for a pod of somebody else's.
    #[must_use]
    pub fn of(json: &str, of: &Name, around: &Around, in_force: &InForce) -> Option<Self> {
        let object: Value = serde_json::from_str(json).ok()?;
        let pod = Pod::from_json(json).ok()?;
        let metadata = &object["metadata"];
        let created: Timestamp = metadata["creationTimestamp"].as_str()?.parse().ok()?;
        let workload = Workload::of(&pod, created);
        if workload.kind() != *of.kind || workload.name() != Some(&of.name) {
            return None;
        }
        let status = &object["status"];
        let mut conditions = status["conditions"].as_array().into_iter().flatten();
        let containers = ["initContainerStatuses", "containerStatuses"];
        let containers = || containers.iter().flat_map(|list| status[*list].as_array().into_iter().flatten());
        let grace = metadata["deletionGracePeriodSeconds"].as_u64();
        let grace = grace.or_else(|| object["spec"]["terminationGracePeriodSeconds"].as_u64());
        Some(Self {
            name: metadata["name"].as_str()?.to_owned(),
            uid: metadata["uid"].as_str()?.to_owned(),
            created: created.as_second(),
            ready: conditions.any(|one| one["type"] == "Ready" && one["status"] == "True"),
            leaving: !metadata["deletionTimestamp"].is_null(),
            grace: Duration::from_secs(grace.unwrap_or_default()),
            crashing: containers().any(doesnt_get_going),
            restarted: containers().any(|one| one["restartCount"].as_i64().is_some_and(|times| times > 0)),
            lacks: lack(&pod, coverage::label_written(&object), of, around, in_force, created),
        })
    }
}

/// Those in which kubelet waits for something that time alone won't bring.
fn doesnt_get_going(container: &Value) -> bool {
    let reason = container["state"]["waiting"]["reason"].as_str().unwrap_or_default();
    reason.ends_with("BackOff") || reason.ends_with("Error") || ["ErrImagePull", "InvalidImageName"].contains(&reason)
}

/// `labelled` is when its own label was written.
fn lack(
    pod: &Pod<'_>,
    labelled: Option<Timestamp>,
    of: &Name,
    around: &Around,
    in_force: &InForce,
    created: Timestamp,
) -> Option<Lack> {
    let InForce { configuration, enabled_since } = in_force;
    let seconds = created.as_second();
    let injects =
        configuration.mode() == OptIn::Enabled && look::injects(pod, configuration, &of.namespace, around, seconds);
    let own = OwnLabel::of(pod.label(label::INJECT)).opt_in();
    let older = if labelled.is_some_and(|at| coverage::is_later(at, created)) {
        coverage::is_older_unlabelled(seconds, around.own.opt_in(), around.opted_in, *enabled_since)
    } else {
        coverage::is_older(seconds, own, around.opted_in, *enabled_since)
    };
    // Whatever its own label says of when it was opted in.
    let older = older || around.left_alone.is_some_and(|until| seconds <= until);
    match Coverage::judge(injects, Carried::of(pod, configuration.hash()), older) {
        Coverage::Missed => Some(Lack::Missed),
        Coverage::Outdated => Some(Lack::Outdated),
        Coverage::Injected | Coverage::RestartPending | Coverage::LeftOver | Coverage::NotExpected => None,
    }
}

/// What a repair needs of a target, beside its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub workload: Arc<Name>,
    pub around: Around,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Configuration;
    use crate::controller::pods::metadata::PodSeen;
    use serde_json::json;

    fn owner(kind: OwnerKind, change: impl FnOnce(&mut Value)) -> Option<Owner> {
        let mut object = json!({
            "metadata": {"uid": "u", "generation": 3},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}},
            "status": {"observedGeneration": 3, "replicas": 3, "updatedReplicas": 3, "currentRevision": "a", "updateRevision": "a",
                "currentPodHash": "h", "stableRS": "h",
                "desiredNumberScheduled": 3, "currentNumberScheduled": 3, "updatedNumberScheduled": 3},
        });
        change(&mut object);
        Owner::of(&object, kind)
    }

    #[test]
    fn a_rollout_of_each_kind_is_seen_and_so_is_a_pause() {
        use OwnerKind::{DaemonSet, Deployment, ReplicaSet, Rollout, StatefulSet};
        type Change = fn(&mut Value);
        fn on_delete(one: &mut Value, updated: i64) {
            one["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
            one["status"]["updateRevision"] = json!("b");
            one["status"]["updatedReplicas"] = json!(updated);
        }
        let cases: [(OwnerKind, Change, bool, bool); 16] = [
            (Deployment, |_| {}, false, false),
            (Deployment, |one| one["metadata"]["generation"] = json!(4), true, false),
            (Deployment, |one| one["status"]["updatedReplicas"] = json!(2), true, false),
            (Deployment, |one| one["status"]["replicas"] = json!(4), true, false),
            (Deployment, |one| one["spec"]["paused"] = json!(true), false, true),
            (StatefulSet, |_| {}, false, false),
            (StatefulSet, |one| one["status"]["updateRevision"] = json!("b"), true, false),
            (StatefulSet, |one| on_delete(one, 2), true, false),
            (StatefulSet, |one| on_delete(one, 3), false, false),
            (DaemonSet, |_| {}, false, false),
            (DaemonSet, |one| one["status"]["updatedNumberScheduled"] = json!(2), true, false),
            (ReplicaSet, |_| {}, false, false),
            (Rollout, |one| one["status"]["observedGeneration"] = json!("3"), false, false),
            (Rollout, |one| one["status"]["observedGeneration"] = json!("2"), true, false),
            (Rollout, |one| one["status"]["currentPodHash"] = json!("i"), true, false),
            (Rollout, |one| one["status"]["pauseConditions"] = json!([{"reason": "CanaryPauseStep"}]), false, true),
        ];
        for (kind, change, rolling, paused) in cases {
            let owner = owner(kind, change).expect("an owner");
            assert_eq!((owner.rolling, owner.paused, owner.desired), (rolling, paused, 3), "{kind:?} {owner:?}");
        }
        assert_eq!(owner(Deployment, |one| one["metadata"]["deletionTimestamp"] = json!("now")), None);
    }

    #[test]
    fn an_owner_of_another_group_is_another_one() {
        let name = |kind: &str| Name { namespace: "shop".into(), kind: kind.into(), name: "web".into() };
        let of = |api_version: &str, kind: &str| {
            let object = json!({"metadata": {"name": "web-0", "namespace": "shop", "uid": "u",
                "creationTimestamp": "2026-11-02T12:00:00Z",
                "ownerReferences": [{"apiVersion": api_version, "kind": kind, "name": "web", "uid": "r", "controller": true}]}});
            let seen = PodSeen::read(&object.to_string()).expect("a pod").workload;
            let in_force = InForce { configuration: Arc::new(Configuration::default()), enabled_since: None };
            let own = PodFacts::of(&object.to_string(), &name(kind), &Around::default(), &in_force);
            (OwnerKind::of(&name(&seen.0)), own.is_some())
        };
        for (kind, owner) in [("StatefulSet", OwnerKind::StatefulSet), ("DaemonSet", OwnerKind::DaemonSet)] {
            assert_eq!(of("apps/v1", kind), (Some(owner), true));
            assert_eq!(of("apps.kruise.io/v1beta1", kind), (None, false), "OpenKruise's");
        }
    }

    #[test]
    fn pods_are_found_by_the_selector() {
        let selector = json!({"matchLabels": {"app": "web"}, "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["a", "b"]}, {"key": "old", "operator": "DoesNotExist"},
            {"key": "x", "operator": "NotIn", "values": ["y"]}, {"key": "z", "operator": "Exists"}]});
        assert_eq!(query(&selector).as_deref(), Some("app=web,tier in (a,b),!old,x notin (y),z"));
        assert_eq!(query(&json!({})), None, "all pods of the namespace are nobody's");
        assert_eq!(query(&json!({"matchExpressions": [{"key": "a", "operator": "Gt"}]})), None);
        let by_status = owner(OwnerKind::Rollout, |one| {
            one["spec"]["selector"] = Value::Null;
            one["status"]["selector"] = json!("app=web");
        });
        assert_eq!(by_status.expect("an owner").selector, "app=web");
    }

    fn pod(change: impl FnOnce(&mut Value)) -> Option<PodFacts> {
        pod_in(&InForce { configuration: Arc::new(Configuration::default()), enabled_since: Some(1_000) }, change)
    }

    fn pod_in(in_force: &InForce, change: impl FnOnce(&mut Value)) -> Option<PodFacts> {
        let around = Around { own: OwnLabel::Says(OptIn::Enabled), opted_in: Some(1_000), ..Around::default() };
        pod_around(&around, in_force, change)
    }

    fn pod_around(around: &Around, in_force: &InForce, change: impl FnOnce(&mut Value)) -> Option<PodFacts> {
        let mut pod = json!({
            "metadata": {"name": "web-5d9-x", "namespace": "shop", "uid": "u", "creationTimestamp": "2026-11-02T12:00:00Z",
                "labels": {"pod-template-hash": "5d9"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d9", "uid": "r", "controller": true}]},
            "spec": {"containers": [{"name": "app", "image": "app:1"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"state": {"running": {}}}]},
        });
        change(&mut pod);
        let of = Name { namespace: "shop".into(), kind: "Deployment".into(), name: "web".into() };
        PodFacts::of(&pod.to_string(), &of, around, in_force)
    }

    #[test]
    fn a_pod_that_was_left_alone_wasnt_missed_whatever_its_own_label_says() {
        let in_force = InForce { configuration: Arc::new(Configuration::default()), enabled_since: Some(1) };
        let lacks = |left_alone| {
            let around = Around { left_alone, ..Around::default() };
            let own = |pod: &mut Value| {
                pod["metadata"]["creationTimestamp"] = json!("1970-01-01T00:10:00Z");
                pod["metadata"]["labels"][label::INJECT] = json!("enabled");
            };
            pod_around(&around, &in_force, own).expect("its own").lacks
        };
        assert_eq!([lacks(None), lacks(Some(599)), lacks(Some(600))], [Some(Lack::Missed), Some(Lack::Missed), None]);
    }

    #[test]
    fn a_pod_may_take_as_long_to_go_as_it_was_told_or_else_as_its_spec_says() {
        let grace = |change: fn(&mut Value)| pod(change).expect("its own").grace;
        assert_eq!(grace(|_| {}), Duration::ZERO);
        assert_eq!(grace(|pod| pod["spec"]["terminationGracePeriodSeconds"] = json!(45)), Duration::from_secs(45));
        let told = grace(|pod| {
            pod["spec"]["terminationGracePeriodSeconds"] = json!(45);
            pod["metadata"]["deletionGracePeriodSeconds"] = json!(5);
        });
        assert_eq!(told, Duration::from_secs(5));
    }

    #[test]
    fn a_pod_is_what_its_status_and_its_mark_say() {
        let facts = pod(|_| {}).expect("its own");
        assert_eq!((facts.ready, facts.leaving, facts.crashing, facts.lacks), (true, false, false, Some(Lack::Missed)));
        let mark = |hash: &str| json!({"otelgate.dev/status": json!({"version": "1", "config": hash}).to_string()});
        let own = Configuration::default().hash().to_owned();
        let lacks = |change: &dyn Fn(&mut Value)| pod(|pod| change(pod)).expect("its own").lacks;
        assert_eq!(lacks(&|pod| pod["metadata"]["annotations"] = mark(&own)), None);
        assert_eq!(lacks(&|pod| pod["metadata"]["annotations"] = mark("other")), Some(Lack::Outdated));
        assert_eq!(lacks(&|pod| pod["metadata"]["creationTimestamp"] = json!("1970-01-01T00:10:00Z")), None, "older");
        let at_ten_past = |pod: &mut Value| pod["metadata"]["creationTimestamp"] = json!("1970-01-01T00:10:00Z");
        let labelled = |opt_in: &str, at: &str| {
            let fields = json!({"f:metadata": {"f:labels": {format!("f:{}", label::INJECT): {}}}});
            let configured = InForce { configuration: Arc::new(Configuration::default()), enabled_since: Some(1) };
            pod_in(&configured, |pod| {
                at_ten_past(pod);
                pod["metadata"]["labels"][label::INJECT] = json!(opt_in);
                pod["metadata"]["managedFields"] =
                    json!([{"manager": "kubectl-label", "operation": "Update", "time": at, "fieldsV1": fields}]);
            })
            .expect("its own")
            .lacks
        };
        let [then, later] = ["1970-01-01T00:10:00Z", "1970-01-01T00:12:00Z"];
        assert_eq!(
            (labelled("enabled", then), labelled("yes", then)),
            (Some(Lack::Missed), None),
            "that opts nothing in"
        );
        assert_eq!(labelled("enabled", later), None, "it was none of those that are asked about");
        assert_eq!(lacks(&|pod| pod["spec"]["os"] = json!({"name": "windows"})), None, "skipped");
        assert_eq!(pod(|pod| pod["metadata"]["labels"] = json!({})), None, "of a ReplicaSet of its own");
        for reason in ["CrashLoopBackOff", "ImagePullBackOff", "CreateContainerConfigError", "ErrImagePull"] {
            let waiting = json!([{"state": {"waiting": {"reason": reason}}}]);
            assert!(pod(|pod| pod["status"]["initContainerStatuses"] = waiting).expect("its own").crashing, "{reason}");
        }
        assert!(
            !pod(|pod| pod["status"]["containerStatuses"] =
                json!([{"state": {"waiting": {"reason": "ContainerCreating"}}}]))
            .expect("its own")
            .crashing
        );
    }
}
