//! What is looked at of a Collector's pod: where it is, what it runs, and why it doesn't. There is one on every node.

use std::fmt;
use std::net::IpAddr;

use super::{trial, words};
use crate::api::{label, object};
use crate::controller::crashes;
use crate::controller::placed::Placed;
use crate::k8s::{self, ContainerStatus, PodStatus, ResourceExt as _};
use crate::lean::Lean;
use jiff::{SignedDuration, Timestamp};

/// A pod, cut to what is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub name: Box<str>,
    pub uid: Box<str>,
    /// By the API server's clock.
    pub created: Timestamp,
    /// Where it runs, or is to run; empty where nobody says.
    pub node: Box<str>,
    pub rollout: Option<Rollout>,
    /// The hash of what it runs; empty for somebody else's.
    pub revision: Box<str>,
    pub state: State,
    /// Of its container, so far.
    pub restarts: i32,
    /// Why its container ended last, if it ever did.
    pub ended: Option<Box<Ended>>,
    pub leaving: bool,
    /// The uid of the `DaemonSet` that has it; none does where its own was deleted without its pods.
    pub owner: Option<Box<str>>,
    /// All of it has ended, and it stays as a record: one that was evicted, say.
    pub over: bool,
    pub address: Option<IpAddr>,
}

/// A pod, as far as it is read.
pub type Read = Lean<k8s::Pod, Placed, PodStatus>;

/// Which of our `DaemonSet`s it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rollout {
    /// What has proved good, on every node.
    Stable,
    /// What hasn't yet, on one.
    Trial,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Ready {
        /// By the kubelet's clock.
        since: Timestamp,
    },
    /// Its container runs.
    Starting,
    /// Its container isn't made yet: its network isn't there, say, or a volume, or it waits for its image.
    Creating,
    Unschedulable(Box<str>),
    ImageNotPulled(Box<str>),
    /// A Secret or a `ConfigMap` that it refers to isn't there.
    Unconfigured(Box<str>),
    /// Its container ended, and waits to be started again.
    Down(Box<Ended>),
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    pub code: i32,
    /// `OOMKilled` and the like.
    pub reason: String,
    /// The program's own.
    pub words: String,
    /// By the kubelet's clock.
    pub at: Option<Timestamp>,
}

/// How a runtime tells that it couldn't start a container.
const NEVER_RAN: [&str; 2] = ["StartError", "ContainerCannotRun"];

/// Name of its container.
pub const CONTAINER: &str = object::COLLECTOR;

// === impl Rollout ===

impl Rollout {
    pub const ALL: [Self; 2] = [Self::Stable, Self::Trial];

    /// The value of [`label::ROLLOUT`].
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Trial => "trial",
        }
    }

    /// The name of its `DaemonSet`.
    #[must_use]
    pub const fn daemon_set(self) -> &'static str {
        match self {
            Self::Stable => object::COLLECTOR,
            Self::Trial => object::COLLECTOR_TRIAL,
        }
    }
}

// === impl Pod ===

impl Pod {
    #[must_use]
    pub fn of(pod: &Read) -> Self {
        let labels = pod.labels();
        let rollout = labels.get(label::ROLLOUT).map(String::as_str);
        let status = &pod.status;
        let containers = status.container_statuses.as_deref().unwrap_or_default();
        let container = containers.iter().find(|one| one.name == CONTAINER).or_else(|| containers.first());
        let terminated = container.and_then(|container| {
            let now = container.state.as_ref().and_then(|state| state.terminated.as_ref());
            now.or_else(|| container.last_state.as_ref().and_then(|state| state.terminated.as_ref()))
        });
        let ended = terminated.map(|ended| {
            let reason = ended.reason.clone().unwrap_or_default();
            let code = if NEVER_RAN.contains(&reason.as_str()) { Ended::NEVER_RAN } else { ended.exit_code };
            let at = ended.finished_at.as_ref().map(|time| time.0);
            Ended { code, reason, words: words::of(ended.message.as_deref().unwrap_or_default()), at }
        });
        let mut owners = pod.metadata.owner_references.iter().flatten();
        Self {
            name: pod.name_any().into(),
            uid: pod.uid().unwrap_or_default().into(),
            created: pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0),
            node: pod.spec.node().unwrap_or_default().into(),
            rollout: Rollout::ALL.into_iter().find(|one| Some(one.as_str()) == rollout),
            revision: labels.get(label::REVISION).map(String::as_str).unwrap_or_default().into(),
            state: state_of(status, container, ended.as_ref()),
            restarts: container.map_or(0, |container| container.restart_count),
            ended: ended.filter(Ended::has_run).map(Box::new),
            leaving: pod.metadata.deletion_timestamp.is_some(),
            owner: owners.find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str().into()),
            over: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            address: status.pod_ip.as_ref().and_then(|address| address.parse().ok()),
        }
    }

    /// Whether its container runs, or has.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        matches!(self.state, State::Ready { .. } | State::Starting) || self.ended.is_some()
    }

    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. }) && !self.leaving
    }

    /// How it ended last, where it does so again and again: then it crashes, though it may be ready for a moment. Clocks
    /// that differ by minutes only make that a little shorter or longer.
    #[must_use]
    pub fn crashes(&self, now: Timestamp) -> Option<&Ended> {
        self.crashes_for(now).and(self.ended.as_deref())
    }

    /// How much longer that is said, unless it ends once more.
    #[must_use]
    pub fn crashes_for(&self, now: Timestamp) -> Option<SignedDuration> {
        crashes::crashes_for(self.restarts, self.ended.as_ref()?.at, now)
    }

    /// How much longer it may take to be ready; nothing where it has had its time.
    #[must_use]
    pub fn starts_for(&self, now: Timestamp) -> Option<SignedDuration> {
        let left = trial::DEADLINE - now.duration_since(self.created);
        left.is_positive().then_some(left)
    }

    #[must_use]
    pub const fn is_orphan(&self) -> bool {
        self.owner.is_none()
    }

    /// Whether it is, or is about to be, a Collector at work.
    #[must_use]
    pub fn counts(&self) -> bool {
        !self.leaving && !self.over
    }
}

fn state_of(status: &PodStatus, container: Option<&ContainerStatus>, ended: Option<&Ended>) -> State {
    let conditions = || status.conditions.iter().flatten();
    if let Some(ready) = conditions().find(|one| one.type_ == "Ready" && one.status == "True") {
        let since = ready.last_transition_time.as_ref().map_or(Timestamp::MIN, |time| time.0);
        return State::Ready { since };
    }
    let unscheduled = conditions().find(|one| one.type_ == "PodScheduled" && one.status == "False");
    if let Some(unscheduled) = unscheduled {
        return State::Unschedulable(unscheduled.message.as_deref().unwrap_or_default().into());
    }
    let waiting = container.and_then(|container| container.state.as_ref()?.waiting.as_ref());
    if let Some(waiting) = waiting {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        let told = || {
            let message = waiting.message.as_deref().unwrap_or_default();
            Box::<str>::from(format!("{reason} {message}").trim_end().chars().take(300).collect::<String>())
        };
        match reason {
            "ErrImagePull"
            | "ImagePullBackOff"
            | "ErrImageNeverPull"
            | "InvalidImageName"
            | "ImageInspectError"
            | "RegistryUnavailable" => return State::ImageNotPulled(told()),
            "CreateContainerConfigError" => return State::Unconfigured(told()),
            "CreateContainerError" | "RunContainerError" | "PostStartHookError" => {
                return State::Down(
                    Ended {
                        code: Ended::NEVER_RAN,
                        reason: reason.to_owned(),
                        words: told().into(),
                        ..Ended::default()
                    }
                    .into(),
                );
            }
            _ => {}
        }
    }
    match ended {
        Some(ended) => State::Down(ended.clone().into()),
        None if status.phase.as_deref() == Some("Failed") => {
            let (reason, words) =
                (status.reason.clone().unwrap_or_default(), status.message.clone().unwrap_or_default());
            State::Down(Ended { code: Ended::NEVER_RAN, reason, words, at: None }.into())
        }
        None if container.and_then(|container| container.state.as_ref()?.running.as_ref()).is_some() => State::Starting,
        None => State::Creating,
    }
}

// === impl Ended ===

impl Ended {
    const NEVER_RAN: i32 = -1;

    #[must_use]
    pub fn has_run(&self) -> bool {
        self.code != Self::NEVER_RAN
    }

    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        self.reason == "OOMKilled"
    }

    /// As `net.Listen` has it.
    #[must_use]
    pub fn is_port_taken(&self) -> bool {
        self.words.contains("address already in use")
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, reason, words, at: _ } = self;
        match (words.is_empty(), *code) {
            (false, _) if !self.is_out_of_memory() => f.write_str(words),
            (_, Self::NEVER_RAN) => f.write_str(reason),
            (_, code) => write!(f, "{} with exit code {code}", if reason.is_empty() { "it ended" } else { reason }),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready { .. } => f.write_str("it is ready"),
            Self::Starting => f.write_str("it runs, and isn't ready"),
            Self::Creating => f.write_str("its container isn't there yet"),
            Self::Unschedulable(why) | Self::ImageNotPulled(why) | Self::Unconfigured(why) => f.write_str(why),
            Self::Down(ended) => ended.fmt(f),
        }
    }
}

/// A pod as a test writes it: the status of its one container, and its conditions.
#[cfg(test)]
pub(crate) fn pod(node: &str, rollout: Rollout, revision: &str, status: &serde_json::Value) -> Pod {
    let labels = serde_json::json!({label::ROLLOUT: rollout.as_str(), label::REVISION: revision});
    let owner = serde_json::json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": rollout.daemon_set(), "uid": "u",
                                   "controller": true});
    let pod = serde_json::json!({
        "metadata": {"name": format!("{node}-{revision}"), "uid": format!("{node}-{revision}"), "labels": labels,
                     "creationTimestamp": "2026-01-01T00:00:00Z", "ownerReferences": [owner]},
        "spec": {"nodeName": node, "containers": []}, "status": status,
    });
    Pod::of(&serde_json::from_value(pod).expect("a pod"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn state(status: &Value) -> State {
        pod("a", Rollout::Stable, "r", status).state
    }

    fn container(state: &Value, last: &Value) -> Value {
        json!({"phase": "Running", "containerStatuses": [{"name": CONTAINER, "image": "", "imageID": "", "ready": false,
               "restartCount": 2, "state": state, "lastState": last}]})
    }

    #[test]
    fn a_pods_status_says_why_it_isnt_ready() {
        let ready =
            json!({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:01:00Z"}]});
        assert_eq!(state(&ready), State::Ready { since: "2026-01-01T00:01:00Z".parse().expect("a time") });
        let waiting = |reason: &str| container(&json!({"waiting": {"reason": reason, "message": "m"}}), &json!(null));
        assert_eq!(state(&waiting("ImagePullBackOff")), State::ImageNotPulled("ImagePullBackOff m".into()));
        assert!(matches!(state(&waiting("CreateContainerConfigError")), State::Unconfigured(_)));
        assert_eq!(state(&waiting("ContainerCreating")), State::Creating);
        assert_eq!(state(&json!({})), State::Creating);
        let running = container(&json!({"running": {}}), &json!(null));
        assert_eq!(
            (state(&running), state(&running).to_string()),
            (State::Starting, "it runs, and isn't ready".into())
        );
        let unscheduled = json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "no ports"}]});
        assert_eq!(state(&unscheduled), State::Unschedulable("no ports".into()));
        let down = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "x\nError: no\n"}});
        let ended = Ended { code: 1, reason: "Error".to_owned(), words: "Error: no".to_owned(), at: None };
        let back_off = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}});
        for (now, last) in [(&down, &json!(null)), (&back_off, &down), (&json!({"running": {}}), &down)] {
            assert_eq!(state(&container(now, last)), State::Down(ended.clone().into()));
        }
        let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled", "message": "a line",
                                           "finishedAt": "2026-01-01T00:02:00Z"}});
        let State::Down(killed) = state(&container(&killed, &json!(null))) else { panic!("it's down") };
        assert!(killed.is_out_of_memory());
        assert_eq!(killed.at, "2026-01-01T00:02:00Z".parse().ok());
        assert_eq!(killed.to_string(), "OOMKilled with exit code 137");
        let evicted = json!({"phase": "Failed", "reason": "Evicted", "message": "the node was low on memory"});
        assert_eq!(state(&evicted).to_string(), "the node was low on memory");
        assert!(!pod("a", Rollout::Stable, "r", &evicted).counts(), "it stays as a record");
    }

    /// There are as many as nodes.
    #[test]
    fn a_pod_is_small() {
        assert!(size_of::<Pod>() <= 168, "{}", size_of::<Pod>());
    }

    #[test]
    fn a_pod_without_a_controller_is_an_orphan() {
        assert!(!pod("a", Rollout::Trial, "r", &json!({})).is_orphan());
        for owners in [json!(null), json!([]), json!([{"apiVersion": "v1", "kind": "Node", "name": "a", "uid": "u"}])] {
            let pod = json!({"metadata": {"name": "x", "ownerReferences": owners}, "spec": {"containers": []}});
            assert!(Pod::of(&serde_json::from_value(pod).expect("a pod")).is_orphan(), "{owners}");
        }
    }
}
