//! What a decision holds: per key, what happens to it and why.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use super::containers::Slot;
use super::owner::Workload;
use super::reason::Reason;
use super::rules::LeftOut;
use super::status::{Digests, Mark, Was};
use super::view::Presence;
use crate::api::otel::var;

/// What is known of a pod's namespace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Namespace<'a> {
    /// Absent only offline, where a document may name none.
    pub name: Option<&'a str>,
    /// The opt-in label's value, as it is or as the webhook's path tells it.
    pub opt_in: Option<&'a str>,
    /// What keeps the API server from asking about its pods.
    pub left_out: Option<LeftOut>,
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
    /// The service name of all selected containers, if they have the same.
    pub service_name: Option<Cow<'a, str>>,
    pub containers: Vec<ContainerPlan<'a>>,
    pub annotations: Vec<Entry<'a>>,
    pub labels: Vec<Entry<'a>>,
    pub notes: Vec<Note<'a>>,
    pub(super) metadata: MetadataState<'a>,
}

/// What happens to one container.
#[derive(Clone, Debug)]
pub struct ContainerPlan<'a> {
    pub name: &'a str,
    /// The variables, in their order.
    pub env: Vec<Entry<'a>>,
    /// What `OTEL_RESOURCE_ATTRIBUTES` carries, in its order.
    pub attributes: Vec<Entry<'a>>,
    pub(super) slot: Slot,
    pub(super) state: ListState<'a>,
}

/// How a container's `env` stands, and what of otelgate's earlier entries goes.
#[derive(Clone, Debug)]
pub(super) struct ListState<'a> {
    /// Now.
    pub now: Presence,
    /// Before otelgate first wrote into it.
    pub was: Presence,
    /// Where new entries go.
    pub insert_at: usize,
    /// Earlier entries that are no longer wanted here, in ascending order.
    pub removed: Vec<usize>,
    /// Of those, the variables that otelgate writes no more.
    pub gone: Vec<&'a str>,
    /// What otelgate wrote and somebody edited: still listed, so that undo knows.
    pub edited: Vec<&'a str>,
    /// What may be otelgate's or the user's: listed as long as it stands.
    pub unclaimed: Vec<(&'a str, Mark)>,
    /// A user's value that loses otelgate's earlier suffix, with its place.
    pub stripped: Option<(usize, Stripped)>,
}

/// What a value is without the suffix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stripped {
    Absent,
    Null,
    Text(String),
}

/// How the metadata stands, and what of otelgate's earlier keys goes.
#[derive(Clone, Debug)]
pub(super) struct MetadataState<'a> {
    pub now: Presence,
    pub was: Presence,
    pub labels: MapState<'a>,
    pub annotations: MapState<'a>,
}

#[derive(Clone, Debug)]
pub(super) struct MapState<'a> {
    pub now: Presence,
    pub was: Presence,
    pub removed: Vec<&'a str>,
    /// As in [`ListState`].
    pub edited: Vec<&'a str>,
}

/// What happens to one key.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    pub key: Cow<'a, str>,
    pub action: Action,
    /// Why, where the action alone doesn't say it.
    pub reason: Option<Reason>,
    /// Where the value comes from, for people; empty where there is nothing to say.
    pub source: &'static str,
    /// What is written, for a merged variable the suffix; never logged.
    pub value: Option<Value<'a>>,
    pub(super) edit: Edit,
}

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Text(Cow<'a, str>),
    /// A reference to a field of the pod.
    Field(Cow<'a, str>),
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

/// What has to change in the pod for an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// Nothing: it isn't written, or stands there already.
    None,
    Add,
    /// An earlier value of otelgate's, at this place of a list.
    Replace(usize),
    /// A user's literal at this place becomes `text`.
    Append {
        index: usize,
        was: Was,
        text: String,
        changed: bool,
    },
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
    Label(Cow<'a, str>),
    Container(Cow<'a, str>),
    Variable { container: Cow<'a, str>, name: Cow<'a, str> },
}

// === impl Decision ===

impl<'a> Decision<'a> {
    /// The plan, if there is one.
    #[must_use]
    pub fn plan(&self) -> Option<&Plan<'a>> {
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

    #[must_use]
    pub fn notes(&self) -> &[Note<'a>] {
        match self {
            Self::Inject(plan) | Self::Observe(plan) => &plan.notes,
            Self::Skip { notes, .. } => notes,
        }
    }
}

// === impl Plan ===

impl<'a> Plan<'a> {
    /// Every entry, pod-wide ones last.
    pub fn entries(&self) -> impl Iterator<Item = &Entry<'a>> {
        let containers = self.containers.iter().flat_map(|container| container.env.iter().chain(&container.attributes));
        containers.chain(&self.annotations).chain(&self.labels)
    }
}

// === impl ContainerPlan ===

impl<'a> ContainerPlan<'a> {
    /// Variables that otelgate wrote before, and writes no more.
    #[must_use]
    pub fn gone(&self) -> &[&'a str] {
        &self.state.gone
    }
}

// === impl Edit ===

impl Edit {
    pub(super) fn is_a_change(&self) -> bool {
        !matches!(self, Self::None | Self::Append { changed: false, .. })
    }
}

// === impl Entry ===

impl<'a> Entry<'a> {
    /// The place of the user's variable that it is appended to.
    pub(super) fn appended_to(&self) -> Option<usize> {
        match self.edit {
            Edit::Append { index, .. } => Some(index),
            Edit::None | Edit::Add | Edit::Replace(_) => None,
        }
    }

    pub(super) fn set(key: impl Into<Cow<'a, str>>, value: Value<'a>, source: &'static str) -> Self {
        Self { key: key.into(), action: Action::Set, reason: None, source, value: Some(value), edit: Edit::Add }
    }

    pub(super) fn kept(key: impl Into<Cow<'a, str>>, source: &'static str) -> Self {
        Self { key: key.into(), action: Action::Kept, reason: None, source, value: None, edit: Edit::None }
    }

    pub(super) fn left(key: impl Into<Cow<'a, str>>, reason: Reason) -> Self {
        Self { key: key.into(), action: Action::Left, reason: Some(reason), source: "", value: None, edit: Edit::None }
    }

    /// Whether otelgate writes it.
    #[must_use]
    pub fn is_written(&self) -> bool {
        matches!(self.action, Action::Set | Action::Merged)
    }

    /// How the status lists it; `None` when it isn't written.
    pub(super) fn mark<'e>(&'e self, digests: &mut Digests<'e>) -> Option<Mark> {
        let value = self.value.as_ref().filter(|_| self.is_written())?;
        Some(match (&self.edit, value) {
            (Edit::Append { was, .. }, Value::Text(suffix)) => {
                Mark::Suffix { digest: digests.of(suffix), was: *was, length: suffix.len() }
            }
            // What others append to this one.
            (_, Value::Text(text)) if self.key == var::RESOURCE_ATTRIBUTES => {
                Mark::Suffix { digest: digests.of(text), was: Was::None, length: text.len() }
            }
            (_, Value::Text(text)) => Mark::Whole(digests.of(text)),
            (_, Value::Field(path)) => Mark::Whole(digests.of_field(path)),
        })
    }
}

// === impl Value ===

impl Value<'_> {
    pub(super) fn text(text: &str) -> Value<'_> {
        Value::Text(Cow::Borrowed(text))
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Field(path) => write!(f, "field {path}"),
        }
    }
}

// === impl Action ===

impl Action {
    pub const ALL: [Self; 4] = [Self::Set, Self::Merged, Self::Kept, Self::Left];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Merged => "merged",
            Self::Kept => "kept",
            Self::Left => "left",
        }
    }
}

// === impl Subject ===

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod => f.write_str("pod"),
            Self::Namespace => f.write_str("namespace"),
            Self::Annotation(key) => write!(f, "annotation {key}"),
            Self::Label(key) => write!(f, "label {key}"),
            Self::Container(name) => write!(f, "container {name}"),
            Self::Variable { container, name } => write!(f, "{name} of container {container}"),
        }
    }
}
