//! What is remembered of each Collector: enough for rates over a window, and no more however many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::totals::{Counts, Reading, Signal};
use crate::controller::collector::Pod;
use crate::watch::Objects;

/// Every Collector that there is, by its pod's name.
#[derive(Debug, Default)]
pub struct Fleet {
    collectors: BTreeMap<String, Box<Tracked>>,
    /// When there was one first.
    since: Option<Instant>,
}

/// One Collector. Of what it counted three sums are kept, however often it is read.
#[derive(Debug)]
pub struct Tracked {
    pod: Arc<Pod>,
    since: Instant,
    tried: Option<Instant>,
    /// In a row.
    failures: u32,
    fault: Option<Box<str>>,
    last: Option<Reading>,
    marks: Option<Marks>,
}

/// Two times in the past, and what was counted from the one to the other and since: `None` before there are as many
/// readings.
#[derive(Debug)]
struct Marks {
    /// The newer of them.
    at: Instant,
    /// The newest reading.
    read: Instant,
    early: Option<Counts>,
    late: Option<Counts>,
}

/// What came to pass in the last minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Window {
    pub counts: Counts,
    /// Signals of which something came in early in the window, and nothing went out until its end.
    pub stuck: [bool; Signal::ALL.len()],
    pub writers_stuck: bool,
}

/// Where to look next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub pod: String,
    uid: Box<str>,
    pub address: Option<IpAddr>,
}

/// What is to be said of one Collector.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly always the large one, and one at a time")]
pub enum Standing {
    /// Not looked at yet, or not long enough there to be missed.
    Fresh,
    Silent(String),
    Measured {
        window: Option<Window>,
        queue: Option<super::totals::Queue>,
    },
}

/// At least so long is a window, where readings come as often; at most twice as long.
pub const WINDOW: Duration = Duration::from_mins(1);
/// Until a new Collector has to answer.
const START: Duration = Duration::from_mins(1);
/// So many are looked at a second time before all are once, of those that answer and of those that don't: two readings
/// make a window, two failures silence, and all of thousands take minutes.
const SAMPLE: usize = 50;
/// Attempts in vain before a Collector counts as silent: one that comes to nothing says little.
const SILENT: u32 = 2;

// === impl Fleet ===

impl Fleet {
    /// Takes in those that are new, and forgets those that have gone.
    pub fn follow(&mut self, pods: &Objects<Arc<Pod>>, now: Instant) {
        let counts = |name: &String, uid: &str| pods.get(name).is_some_and(|pod| pod.counts() && *pod.uid == *uid);
        self.collectors.retain(|name, tracked| counts(name, &tracked.pod.uid));
        for (name, pod) in pods.iter().filter(|(_, pod)| pod.counts()) {
            match self.collectors.get_mut(name) {
                Some(tracked) => tracked.pod = Arc::clone(pod),
                None => drop(self.collectors.insert(name.clone(), Box::new(Tracked::new(Arc::clone(pod), now)))),
            }
        }
        if !self.is_empty() {
            self.since.get_or_insert(now);
        }
    }

    /// At most so many, whose turn it is: a few for their second reading, those that never were looked at, those that
    /// failed a moment ago, and then whoever has waited longest. None is asked twice within `pause`.
    #[must_use]
    pub fn next(&self, limit: usize, pause: Duration, now: Instant) -> Vec<Target> {
        let due = |tracked: &Tracked| tracked.tried.is_none_or(|at| now.saturating_duration_since(at) >= pause);
        let all = self.collectors.iter().map(|(pod, tracked)| (pod, &**tracked));
        let mut due: Vec<_> = all.filter(|(_, tracked)| due(tracked)).collect();
        due.sort_by_key(|(_, tracked)| (tracked.tried.is_some(), tracked.failures != 1, tracked.tried));
        let still =
            |is: fn(&Tracked) -> bool| SAMPLE.saturating_sub(self.collectors.values().filter(|one| is(one)).count());
        let (mut to_measure, mut to_miss) = (still(Tracked::is_measured), still(Tracked::is_silent));
        let (seconds, others): (Vec<_>, Vec<_>) = due.into_iter().partition(|(_, tracked)| {
            let wanted = if tracked.is_read_once() {
                &mut to_measure
            } else if tracked.never_answered() && !tracked.is_silent() && !tracked.is_new(now) {
                &mut to_miss
            } else {
                return false;
            };
            let second = *wanted > 0;
            *wanted -= usize::from(second);
            second
        });
        let target = |(pod, tracked): (&String, &Tracked)| Target {
            pod: pod.clone(),
            uid: tracked.pod.uid.clone(),
            address: tracked.pod.address,
        };
        seconds.into_iter().chain(others).take(limit).map(target).collect()
    }

    /// What came of looking at one; tells what it counted since the last time. It may have gone meanwhile.
    pub fn note(&mut self, target: &Target, seen: Result<Reading, String>, now: Instant) -> Counts {
        match self.collectors.get_mut(&target.pod).filter(|tracked| tracked.pod.uid == target.uid) {
            Some(tracked) => tracked.note(seen, now),
            None => Counts::default(),
        }
    }

    /// Each with its node's name, else its own: what people look for. On a node that has just joined, one that never
    /// answered is on its way up.
    pub fn standings(&self, joining: &BTreeSet<String>) -> impl Iterator<Item = (&str, Standing)> {
        self.collectors.values().map(move |tracked| {
            let standing = tracked.standing();
            let starts = tracked.last.is_none() && joining.contains(&*tracked.pod.node);
            (tracked.name(), if starts { Standing::Fresh } else { standing })
        })
    }

    /// Whether some have yet to be measured of those that there were at first.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        let is_first = |tracked: &Tracked| Some(tracked.since) == self.since;
        let unmeasured =
            |tracked: &Tracked| matches!(tracked.standing(), Standing::Fresh | Standing::Measured { window: None, .. });
        self.collectors.values().any(|tracked| is_first(tracked) && unmeasured(tracked))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.collectors.is_empty()
    }
}

// === impl Tracked ===

impl Tracked {
    fn new(pod: Arc<Pod>, now: Instant) -> Self {
        Self { pod, since: now, tried: None, failures: 0, fault: None, last: None, marks: None }
    }

    fn name(&self) -> &str {
        if self.pod.node.is_empty() { &self.pod.name } else { &self.pod.node }
    }

    fn note(&mut self, seen: Result<Reading, String>, now: Instant) -> Counts {
        self.tried = Some(now);
        let reading = match seen {
            Ok(reading) => reading,
            Err(fault) => {
                self.failures = self.failures.saturating_add(1);
                self.fault = Some(fault.into());
                return Counts::default();
            }
        };
        self.failures = 0;
        self.fault = None;
        let marks = self.marks.get_or_insert(Marks { at: now, read: now, early: None, late: None });
        let counted = self.last.as_ref().map(|last| reading.since(last));
        self.last = Some(reading);
        let Some(counted) = counted else { return Counts::default() };
        marks.add(counted, now);
        counted
    }

    fn window(&self) -> Option<Window> {
        self.marks.as_ref()?.window()
    }

    /// Whether there have been two readings.
    fn is_measured(&self) -> bool {
        self.marks.as_ref().is_some_and(|marks| marks.late.is_some())
    }

    fn is_read_once(&self) -> bool {
        self.failures == 0 && self.last.is_some() && !self.is_measured()
    }

    fn never_answered(&self) -> bool {
        self.failures > 0 && self.last.is_none()
    }

    fn is_new(&self, at: Instant) -> bool {
        at.saturating_duration_since(self.since) < START
    }

    /// That one doesn't answer while it is new says little.
    fn is_silent(&self) -> bool {
        self.failures >= SILENT && (self.last.is_some() || !self.tried.is_some_and(|at| self.is_new(at)))
    }

    fn standing(&self) -> Standing {
        match (&self.last, &self.fault) {
            (_, Some(fault)) if self.is_silent() => Standing::Silent(fault.to_string()),
            (Some(last), _) => Standing::Measured { window: self.window(), queue: last.queue.clone() },
            (None, _) => Standing::Fresh,
        }
    }
}

// === impl Marks ===

impl Marks {
    fn add(&mut self, counted: Counts, now: Instant) {
        // Not before the next reading comes, so that there always is something behind the newer mark.
        if self.read.saturating_duration_since(self.at) >= WINDOW {
            (self.early, self.at) = (self.late.take(), self.read);
        }
        *self.late.get_or_insert_default() += counted;
        self.read = now;
    }

    fn window(&self) -> Option<Window> {
        let mut all = self.late?;
        let Some(early) = self.early else {
            return Some(Window { counts: all, ..Window::default() });
        };
        all += early;
        let stuck = |at: usize| early.flows[at].left_to_send() > 0.0 && all.flows[at].sent == 0.0;
        Some(Window {
            counts: all,
            stuck: std::array::from_fn(stuck),
            writers_stuck: early
                .writers
                .iter()
                .zip(&all.writers)
                .any(|(early, all)| early.retried > 0.0 && all.sent == 0.0),
        })
    }
}

#[cfg(test)]
pub(super) mod tests;
