//! Whose pod it is.

use std::borrow::Cow;

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
        kind: Cow<'a, str>,
        name: Cow<'a, str>,
    },
    /// A bare pod; its name may be unknown yet.
    Pod(Option<Cow<'a, str>>),
}
