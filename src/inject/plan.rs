//! What a decision holds: per key, what happens to it and why, and the patch that makes it so.

use std::borrow::Cow;

use serde::Serialize;

use super::owner::Workload;
use super::reason::Reason;
use crate::api::OptIn;

/// What is known of a pod's namespace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Namespace<'a> {
    /// Absent only offline, where a document may name none.
    pub name: Option<&'a str>,
    /// The opt-in label's value, as it is or as the webhook's path tells it.
    pub opt_in: Option<&'a str>,
    /// Its annotations, as far as the engine reads them; `None` while they aren't known.
    pub annotations: Option<&'a [(Box<str>, Box<str>)]>,
}

/// What happens to a pod.
#[derive(Clone, Debug)]
pub enum Decision<'a> {
    /// It is patched.
    Inject(Plan<'a>),
    /// It would be patched; it is reported only.
    Observe(Plan<'a>),
    /// It is left alone.
    Skip { reason: Reason, notes: Vec<Note<'a>> },
}

/// What is, or would be, written into a pod.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    pub workload: Workload<'a>,
    /// The service name of all selected containers, if it is one.
    pub service_name: Option<Cow<'a, str>>,
    pub containers: Vec<ContainerPlan<'a>>,
    pub annotations: Vec<Entry<'a>>,
    pub labels: Vec<Entry<'a>>,
    pub notes: Vec<Note<'a>>,
    /// RFC 6902, in the order in which they apply; empty when the pod is already as it should be.
    pub operations: Vec<Operation<'a>>,
}

/// What happens to one selected container.
#[derive(Clone, Debug)]
pub struct ContainerPlan<'a> {
    pub name: &'a str,
    /// The variables, in their order.
    pub env: Vec<Entry<'a>>,
    /// What `OTEL_RESOURCE_ATTRIBUTES` carries, in its order.
    pub attributes: Vec<Entry<'a>>,
}

/// What happens to one key.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    pub key: Cow<'a, str>,
    pub action: Action,
    /// Why, where the action alone doesn't say it.
    pub reason: Option<Reason>,
    /// Where the value comes from, for people: `Deployment`, `annotation on the namespace`.
    pub source: Cow<'a, str>,
    /// What it is set to; never logged.
    pub value: Option<Cow<'a, str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Written by otelgate.
    Set,
    /// Appended to the user's.
    Merged,
    /// The user's stays.
    Kept,
    /// Not written, for the reason given.
    Left,
}

/// Something to tell, and about what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    pub reason: Reason,
    pub subject: Subject<'a>,
    /// Names and keys only, never a value: `did you mean otelgate.dev/skip?`.
    pub detail: Option<Cow<'a, str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    Pod,
    Namespace,
    Annotation(Cow<'a, str>),
    Container(Cow<'a, str>),
    Variable { container: Cow<'a, str>, name: Cow<'a, str> },
}

/// One operation of RFC 6902.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Operation<'a> {
    Add { path: String, value: &'a str },
    Replace { path: String, value: &'a str },
    Remove { path: String },
}

impl Decision<'_> {
    /// The plan, if there is one.
    #[must_use]
    pub fn plan(&self) -> Option<&Plan<'_>> {
        match self {
            Self::Inject(plan) | Self::Observe(plan) => Some(plan),
            Self::Skip { .. } => None,
        }
    }

    /// `inject`, `observe` or `skip`: for metrics and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Inject(_) => "inject",
            Self::Observe(_) => "observe",
            Self::Skip { .. } => "skip",
        }
    }
}

const _: Option<OptIn> = None;
