//! Events: what `kubectl describe` and `kubectl get events` show of an object. Only changes become one, and none is
//! repeated.
//!
//! Whoever has something to tell hands it over and goes on: a queue of limited length is written by a task of its own,
//! and what doesn't fit is counted and lost, unless whoever tells it keeps it for later. Events are for people, the status
//! is what counts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::sleep;

use super::metrics::Write;
use super::{Context, State};
use crate::k8s::{self, Api, MicroTime, Note, ObjectMeta, ObjectReference, PostParams};

/// Where to hand them over.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Happening>,
    state: Arc<State>,
}

/// Those that were handed over, and who writes them.
pub struct Happenings {
    queue: mpsc::Receiver<Happening>,
    /// The pod's name.
    instance: String,
}

/// What happened to an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// With its namespace, if it has one, and its `uid`.
    pub regarding: ObjectReference,
    pub weight: Weight,
    /// A stable code.
    pub reason: String,
    /// What was done or looked at: a stable code too.
    pub action: String,
    /// In words, with the next step.
    pub note: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    Normal,
    Warning,
}

/// What was written lately, so that flapping doesn't fill the cluster with the same.
#[derive(Debug, Default)]
struct Lately(VecDeque<(Digest, Instant)>);

type Digest = [u8; 32];

const REPORTER: &str = "otelgate.dev/controller";
/// Of objects that are in no namespace.
const NAMESPACE: &str = "default";
const QUEUE: usize = 256;
/// As long as the API takes it.
const MAX_NOTE: usize = 1024;
/// How long the same isn't told again, and of how many that is known.
const QUIET: Duration = Duration::from_mins(10);
const REMEMBERED: usize = 512;
const TRIES: u32 = 3;
const RETRY: Duration = Duration::from_secs(1);

// === impl Recorder ===

impl Recorder {
    #[must_use]
    pub fn new(instance: &str, state: Arc<State>) -> (Self, Happenings) {
        let (sender, queue) = mpsc::channel(QUEUE);
        (Self { queue: sender, state }, Happenings { queue, instance: instance.to_owned() })
    }

    /// Never waits: what doesn't fit is lost.
    pub fn record(&self, happening: Happening) {
        if self.offer(happening).is_some() {
            self.state.measured.events_lost.add(1);
        }
    }

    /// Never waits either, and gives back what doesn't fit yet.
    #[must_use]
    pub fn offer(&self, happening: Happening) -> Option<Happening> {
        match self.queue.try_send(happening) {
            Ok(()) => None,
            Err(TrySendError::Full(happening)) => Some(happening),
            Err(TrySendError::Closed(_)) => {
                self.state.measured.events_lost.add(1);
                None
            }
        }
    }
}

// === impl Happenings ===

#[cfg(test)]
impl Happenings {
    /// Whether nothing was handed over since this was last asked.
    pub fn none(&mut self) -> bool {
        self.queue.try_recv().is_err()
    }
}

// === impl Happening ===

impl Happening {
    fn digest(&self) -> Digest {
        let Self { regarding, reason, note, .. } = self;
        let mut digest = Sha256::new();
        for part in [regarding.uid.as_deref(), regarding.name.as_deref(), Some(reason), Some(note)] {
            digest.update(part.unwrap_or_default());
            digest.update([0]);
        }
        digest.finalize().into()
    }

    /// As it is written. The name is the same however often this is tried.
    fn note(&self, instance: &str, now: Timestamp) -> Note {
        let object = self.regarding.name.as_deref().unwrap_or_default();
        let object = object.get(..object.len().min(200)).unwrap_or_default();
        let unique =
            Sha256::new().chain_update(self.digest()).chain_update(now.as_nanosecond().to_be_bytes()).finalize();
        let unique = u64::from_be_bytes(std::array::from_fn(|at| unique[at]));
        Note {
            metadata: ObjectMeta {
                name: Some(format!("{object}.{unique:016x}")),
                namespace: Some(self.regarding.namespace.clone().unwrap_or_else(|| NAMESPACE.to_owned())),
                ..ObjectMeta::default()
            },
            action: Some(self.action.clone()),
            event_time: Some(MicroTime(now)),
            note: Some(cut(&self.note, MAX_NOTE).to_owned()),
            reason: Some(self.reason.clone()),
            regarding: Some(self.regarding.clone()),
            reporting_controller: Some(REPORTER.to_owned()),
            reporting_instance: Some(cut(instance, 128).to_owned()),
            type_: Some(self.weight.as_str().to_owned()),
            ..Note::default()
        }
    }
}

/// At most so many bytes, and whole characters.
fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or_default()]
}

impl Weight {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

// === impl Lately ===

impl Lately {
    /// Whether this wasn't told lately; then it counts as told now.
    fn is_news(&mut self, digest: Digest, now: Instant) -> bool {
        self.0.retain(|(_, at)| now.saturating_duration_since(*at) < QUIET);
        if self.0.iter().any(|(known, _)| *known == digest) {
            return false;
        }
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((digest, now));
        true
    }
}

/// Writes one after the other. Never returns.
pub async fn send(context: Context, mut happenings: Happenings) {
    let mut lately = Lately::default();
    // The context has a sender: there is always one.
    while let Some(happening) = happenings.queue.recv().await {
        if lately.is_news(happening.digest(), Instant::now()) {
            write(&context, &happening.note(&happenings.instance, Timestamp::now())).await;
        }
    }
}

async fn write(context: &Context, note: &Note) {
    let namespace = note.metadata.namespace.as_deref().unwrap_or(NAMESPACE);
    let api = Api::<Note>::namespaced(context.client.clone(), namespace);
    for attempt in 0..TRIES {
        match k8s::in_time(api.create(&PostParams::default(), note)).await {
            Ok(_) => {
                context.state.events.answered();
                context.state.writes.add(Write::Event);
                return;
            }
            // An earlier attempt had no answer, and came through.
            Err(k8s::Error::Api(status)) if status.is_already_exists() => return,
            Err(error) => {
                context.state.events.failed(&error);
                if is_final(&error) {
                    break;
                }
            }
        }
        sleep(RETRY * 4_u32.pow(attempt)).await;
    }
    context.state.measured.events_lost.add(1);
}

/// Whether the same would be answered again.
fn is_final(error: &k8s::Error) -> bool {
    matches!(error, k8s::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happening(note: &str) -> Happening {
        Happening {
            regarding: ObjectReference {
                name: Some("default".to_owned()),
                uid: Some("u".to_owned()),
                ..ObjectReference::default()
            },
            weight: Weight::Warning,
            reason: "NotDelivered".to_owned(),
            action: "CollectorDelivering".to_owned(),
            note: note.to_owned(),
        }
    }

    #[test]
    fn the_same_is_told_once() {
        let (mut lately, start) = (Lately::default(), Instant::now());
        let [one, other] = ["one", "other"].map(|note| happening(note).digest());
        assert!(lately.is_news(one, start) && lately.is_news(other, start));
        assert!(!lately.is_news(one, start + QUIET / 2));
        assert!(lately.is_news(one, start + QUIET), "after a while it is news again");
        for n in 0..2 * REMEMBERED {
            lately.is_news(happening(&n.to_string()).digest(), start + QUIET);
        }
        assert_eq!(lately.0.len(), REMEMBERED);
    }

    #[test]
    fn an_event_keeps_to_the_limits_of_the_api() {
        let long = happening(&"ü".repeat(MAX_NOTE));
        let at = Timestamp::from_second(1).expect("in range");
        let note = long.note(&"x".repeat(200), at);
        assert_eq!(note.note.as_ref().map(String::len), Some(MAX_NOTE));
        assert_eq!(note.reporting_instance.map(|name| name.len()), Some(128));
        assert_eq!(note.metadata.namespace.as_deref(), Some("default"), "of what is in no namespace");
        assert_eq!(long.note("", at).metadata.name, long.note("", at).metadata.name, "tried again, it is the same");
        assert_ne!(long.note("", at).metadata.name, happening("y").note("", at).metadata.name);
        assert_eq!(cut("aüb", 2), "a");
    }
}
