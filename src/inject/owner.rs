//! Whose pod it is, from the pod alone: no API call happens during admission.

use std::borrow::Cow;

use jiff::{Timestamp, ToSpan};

use super::view::Pod;
use crate::api::{label, otel::attr};

/// The workload behind a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workload<'a> {
    Deployment {
        name: Cow<'a, str>,
        replica_set: Option<Cow<'a, str>>,
    },
    /// Argo's.
    Rollout {
        name: Cow<'a, str>,
        replica_set: Option<Cow<'a, str>>,
    },
    StatefulSet(Cow<'a, str>),
    DaemonSet(Cow<'a, str>),
    CronJob {
        name: Cow<'a, str>,
        job: Option<Cow<'a, str>>,
    },
    Job(Cow<'a, str>),
    ReplicaSet(Cow<'a, str>),
    /// A controller of any other kind.
    Other {
        group: Cow<'a, str>,
        kind: Cow<'a, str>,
        name: Cow<'a, str>,
    },
    /// A bare pod, with its name unless that is made from `generateName`.
    Pod(Option<Cow<'a, str>>),
}

/// Kinds whose group goes without saying.
pub mod kind {
    pub const CRON_JOB: &str = "CronJob";
    pub const DAEMON_SET: &str = "DaemonSet";
    pub const DEPLOYMENT: &str = "Deployment";
    pub const JOB: &str = "Job";
    pub const POD: &str = "Pod";
    pub const REPLICA_SET: &str = "ReplicaSet";
    /// Argo's.
    pub const ROLLOUT: &str = "Rollout";
    pub const STATEFUL_SET: &str = "StatefulSet";
}

// === impl Workload ===

impl<'a> Workload<'a> {
    /// The workload of a pod, or of the template that it is.
    #[must_use]
    pub fn of(pod: &'a Pod<'a>, now: Timestamp) -> Self {
        match &pod.template_of {
            Some(Self::Job(name)) => return Self::of_job(name, now),
            Some(Self::ReplicaSet(name)) => return Self::of_replica_set(name, pod),
            Some(workload) => return workload.clone(),
            None => {}
        }
        let metadata = &pod.metadata.value;
        let Some(owner) = metadata.controller() else {
            return Self::Pod(metadata.given_name().map(Cow::Borrowed));
        };
        let name = owner.name.as_str();
        match owner.group_kind() {
            ("apps", kind::REPLICA_SET) => Self::of_replica_set(name, pod),
            ("apps", kind::DEPLOYMENT) => Self::Deployment { name: Cow::Borrowed(name), replica_set: None },
            ("argoproj.io", kind::ROLLOUT) => Self::Rollout { name: Cow::Borrowed(name), replica_set: None },
            ("apps", kind::STATEFUL_SET) => Self::StatefulSet(Cow::Borrowed(name)),
            ("apps", kind::DAEMON_SET) => Self::DaemonSet(Cow::Borrowed(name)),
            ("batch", kind::CRON_JOB) => Self::CronJob { name: Cow::Borrowed(name), job: None },
            ("batch", kind::JOB) => Self::of_job(name, now),
            (group, kind) => {
                Self::Other { group: Cow::Borrowed(group), kind: Cow::Borrowed(kind), name: Cow::Borrowed(name) }
            }
        }
    }

    fn of_job(name: &'a str, now: Timestamp) -> Self {
        match cron_job(name, now) {
            Some(cron_job) => Self::CronJob { name: Cow::Borrowed(cron_job), job: Some(Cow::Borrowed(name)) },
            None => Self::Job(Cow::Borrowed(name)),
        }
    }

    /// A ReplicaSet's name is its owner's with the template's hash, which the pod's label tells.
    fn of_replica_set(name: &'a str, pod: &'a Pod<'a>) -> Self {
        let without =
            |key| Some(name.strip_suffix(pod.label(key)?)?.strip_suffix('-')?).filter(|name| !name.is_empty());
        let replica_set = Some(Cow::Borrowed(name));
        if let Some(name) = without(label::ROLLOUTS_POD_TEMPLATE_HASH) {
            Self::Rollout { name: Cow::Borrowed(name), replica_set }
        } else if let Some(name) = without(label::POD_TEMPLATE_HASH) {
            Self::Deployment { name: Cow::Borrowed(name), replica_set }
        } else {
            Self::ReplicaSet(Cow::Borrowed(name))
        }
    }

    /// As in `kind/name`, with the group of one that isn't known here, as kubectl writes it: there are others called
    /// `StatefulSet`. `Pod` alone while its name isn't known.
    #[must_use]
    pub fn kind(&self) -> Cow<'_, str> {
        let kind = match self {
            Self::Deployment { .. } => kind::DEPLOYMENT,
            Self::Rollout { .. } => kind::ROLLOUT,
            Self::StatefulSet(_) => kind::STATEFUL_SET,
            Self::DaemonSet(_) => kind::DAEMON_SET,
            Self::CronJob { .. } => kind::CRON_JOB,
            Self::Job(_) => kind::JOB,
            Self::ReplicaSet(_) => kind::REPLICA_SET,
            Self::Other { group, kind, .. } if !group.is_empty() => return Cow::Owned(format!("{kind}.{group}")),
            Self::Other { kind, .. } => kind,
            Self::Pod(_) => kind::POD,
        };
        Cow::Borrowed(kind)
    }

    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Deployment { name, .. }
            | Self::Rollout { name, .. }
            | Self::StatefulSet(name)
            | Self::DaemonSet(name)
            | Self::CronJob { name, .. }
            | Self::Job(name)
            | Self::ReplicaSet(name)
            | Self::Other { name, .. } => Some(name),
            Self::Pod(name) => name.as_deref(),
        }
    }

    /// The attributes that name it, and what stands between it and the pod.
    pub fn attributes(&self) -> impl Iterator<Item = (&'static str, Cow<'a, str>)> {
        let (own, between) = match self {
            Self::Deployment { name, replica_set } => {
                (Some((attr::DEPLOYMENT_NAME, name)), replica_set.as_ref().map(|name| (attr::REPLICASET_NAME, name)))
            }
            Self::Rollout { replica_set, .. } => (None, replica_set.as_ref().map(|name| (attr::REPLICASET_NAME, name))),
            Self::StatefulSet(name) => (Some((attr::STATEFULSET_NAME, name)), None),
            Self::DaemonSet(name) => (Some((attr::DAEMONSET_NAME, name)), None),
            Self::CronJob { name, job } => {
                (Some((attr::CRONJOB_NAME, name)), job.as_ref().map(|name| (attr::JOB_NAME, name)))
            }
            Self::Job(name) => (Some((attr::JOB_NAME, name)), None),
            Self::ReplicaSet(name) => (Some((attr::REPLICASET_NAME, name)), None),
            Self::Other { .. } | Self::Pod(_) => (None, None),
        };
        own.into_iter().chain(between).map(|(key, name)| (key, name.clone()))
    }
}

/// The CronJob that made a Job of this name, if its suffix is a minute at which that can have been.
///
/// The CronJob controller names a Job `<cronjob>-<scheduled time in minutes since the epoch>`. A date, a version or
/// seconds since the epoch at the end of a Job's name are no minute of the last weeks.
fn cron_job(job: &str, now: Timestamp) -> Option<&str> {
    let (name, suffix) = job.rsplit_once('-')?;
    if name.is_empty() || !suffix.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let scheduled = Timestamp::from_second(suffix.parse::<i64>().ok()?.checked_mul(60)?).ok()?;
    // A Job's pods may be made long after it: it may be suspended, or its node lost. A clock may be a day behind.
    let earliest = now.checked_sub((24 * 90).hours()).ok()?;
    let latest = now.checked_add(24.hours()).ok()?;
    (earliest..=latest).contains(&scheduled).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_job_is_a_cron_jobs_only_where_its_minute_is_plausible() {
        let minute = now().as_second() / 60;
        assert_eq!(cron_job(&format!("nightly-{minute}"), now()), Some("nightly"));
        assert_eq!(cron_job(&format!("nightly-{}", minute - 60 * 24 * 89), now()), Some("nightly"));
        for job in [
            "import-20261123".to_owned(),
            format!("workflow-{}", now().as_second()),
            format!("nightly-{}", minute - 60 * 24 * 91),
            format!("nightly-{}", minute + 60 * 25),
            format!("-{minute}"),
            "nightly-".to_owned(),
            format!("nightly-{minute}x"),
            format!("nightly-+{minute}"),
            "nightly-99999999999999999999".to_owned(),
        ] {
            assert_eq!(cron_job(&job, now()), None, "{job}");
        }
    }

    #[test]
    fn a_replica_set_tells_its_owner_by_the_hash() {
        let workload = |labels: &str, name: &str| {
            let json = format!(
                r#"{{"metadata":{{"labels":{labels},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"{name}","controller":true}}]}}}}"#
            );
            let pod = Pod::from_json(&json).unwrap();
            let workload = Workload::of(&pod, now());
            (workload.kind().into_owned(), workload.name().unwrap().to_owned())
        };
        let is = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
        assert_eq!(workload(r#"{"pod-template-hash":"5d9"}"#, "web-5d9"), is("Deployment", "web"));
        assert_eq!(workload(r#"{"rollouts-pod-template-hash":"5d9"}"#, "web-5d9"), is("Rollout", "web"));
        assert_eq!(workload(r#"{"pod-template-hash":"5d9"}"#, "web-other"), is("ReplicaSet", "web-other"));
        assert_eq!(workload(r#"{"pod-template-hash":"5d9"}"#, "-5d9"), is("ReplicaSet", "-5d9"));
        assert_eq!(workload("{}", "web"), is("ReplicaSet", "web"));
    }

    #[test]
    fn a_kind_of_another_group_is_another_kind() {
        let kind = |api_version: &str, kind: &str| {
            let json = format!(
                r#"{{"metadata":{{"ownerReferences":[{{"apiVersion":"{api_version}","kind":"{kind}","name":"web","controller":true}}]}}}}"#
            );
            Workload::of(&Pod::from_json(&json).unwrap(), now()).kind().into_owned()
        };
        assert_eq!(kind("apps/v1", "StatefulSet"), "StatefulSet");
        assert_eq!(kind("apps.kruise.io/v1beta1", "StatefulSet"), "StatefulSet.apps.kruise.io");
        assert_eq!(kind("batch.volcano.sh/v1alpha1", "Job"), "Job.batch.volcano.sh");
        assert_eq!(kind("v1", "ReplicationController"), "ReplicationController");
    }
}
