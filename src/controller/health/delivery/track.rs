//! What is remembered of each Collector: enough for rates over a window, and no more however many there are.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::totals::{Counts, Reading, Signal};
use crate::controller::collector::Pod;
use crate::watch::Objects;

/// Every Collector that there is, by its pod's name.
#[derive(Debug, Default)]
pub struct Fleet(BTreeMap<String, Box<Tracked>>);

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
/// Attempts in vain before a Collector counts as silent: one that comes to nothing says little.
const SILENT: u32 = 2;

// === impl Fleet ===

impl Fleet {
    /// Takes in those that are new, and forgets those that have gone.
    pub fn follow(&mut self, pods: &Objects<Arc<Pod>>, now: Instant) {
        let counts = |name: &String, uid: &str| pods.get(name).is_some_and(|pod| pod.counts() && *pod.uid == *uid);
        self.0.retain(|name, tracked| counts(name, &tracked.pod.uid));
        for (name, pod) in pods.iter().filter(|(_, pod)| pod.counts()) {
            match self.0.get_mut(name) {
                Some(tracked) => tracked.pod = Arc::clone(pod),
                None => drop(self.0.insert(name.clone(), Box::new(Tracked::new(Arc::clone(pod), now)))),
            }
        }
    }

    /// At most so many, whose turn it is: those that never were looked at, those that failed a moment ago, and then
    /// whoever has waited longest. None is asked twice within `pause`.
    #[must_use]
    pub fn next(&self, limit: usize, pause: Duration, now: Instant) -> Vec<Target> {
        let due = |tracked: &Tracked| tracked.tried.is_none_or(|at| now.saturating_duration_since(at) >= pause);
        let all = self.0.iter().map(|(pod, tracked)| (pod, &**tracked));
        let mut due: Vec<_> = all.filter(|(_, tracked)| due(tracked)).collect();
        due.sort_by_key(|(_, tracked)| (tracked.tried.is_some(), tracked.failures != 1, tracked.tried));
        let target = |(pod, tracked): (&String, &Tracked)| Target {
            pod: pod.clone(),
            uid: tracked.pod.uid.clone(),
            address: tracked.pod.address,
        };
        due.into_iter().take(limit).map(target).collect()
    }

    /// What came of looking at one; tells what it counted since the last time. It may have gone meanwhile.
    pub fn note(&mut self, target: &Target, seen: Result<Reading, String>, now: Instant) -> Counts {
        match self.0.get_mut(&target.pod).filter(|tracked| tracked.pod.uid == target.uid) {
            Some(tracked) => tracked.note(seen, now),
            None => Counts::default(),
        }
    }

    /// Each with its node's name, else its own: what people look for.
    pub fn standings(&self, now: Instant) -> impl Iterator<Item = (&str, Standing)> {
        self.0.values().map(move |tracked| (tracked.name(), tracked.standing(now)))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
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

    fn standing(&self, now: Instant) -> Standing {
        let is_new = now.saturating_duration_since(self.since) < START;
        match (&self.last, &self.fault) {
            (last, Some(fault)) if self.failures >= SILENT && (last.is_some() || !is_new) => {
                Standing::Silent(fault.to_string())
            }
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
pub(super) mod tests {
    use super::super::totals::{Flow, Queue, Writer};
    use super::*;

    pub fn pod(uid: &str) -> Arc<Pod> {
        let pod = serde_json::json!({
            "metadata": {"name": format!("collector-{uid}"), "uid": uid},
            "spec": {"nodeName": format!("node-{uid}")},
            "status": {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
        });
        Arc::new(Pod::of(&serde_json::from_value(pod).expect("a pod")))
    }

    pub fn pods(count: usize) -> Objects<Arc<Pod>> {
        (0..count).map(|n| (format!("collector-{n:04}"), pod(&format!("{n:04}")))).collect()
    }

    pub fn reading(accepted: f64, sent: f64, uptime: f64) -> Reading {
        let mut counts = Counts::default();
        counts.flows[0] = Flow { accepted, sent, ..Flow::default() };
        Reading { counts, queue: None, uptime: Some(uptime) }
    }

    /// One Collector's readings, one every so many seconds.
    fn tracked(readings: impl IntoIterator<Item = (u64, Reading)>) -> Tracked {
        let start = Instant::now();
        let mut one = Tracked::new(pod("a"), start);
        for (second, reading) in readings {
            one.note(Ok(reading), start + Duration::from_secs(second));
        }
        one
    }

    fn traces(tracked: &Tracked) -> Flow {
        tracked.window().expect("two readings").counts.flows[0]
    }

    #[test]
    fn a_window_is_a_minute_or_two_however_often_is_read() {
        let steady =
            (0_u32..=40).map(|n| (u64::from(n) * 15, reading(f64::from(n) * 15.0, f64::from(n) * 15.0, f64::from(n))));
        let every_15_seconds = traces(&tracked(steady)).sent;
        assert!((60.0..=120.0).contains(&every_15_seconds), "{every_15_seconds}");
        let seldom = (0_u32..=9)
            .map(|n| (u64::from(n) * 300, reading(f64::from(n) * 300.0, f64::from(n) * 300.0, f64::from(n))));
        assert!((traces(&tracked(seldom)).sent - 600.0).abs() < 0.1, "two readings behind");
    }

    #[test]
    fn what_was_counted_before_the_first_look_is_the_past() {
        let one = tracked([(0, reading(1e9, 7.0, 1e6)), (15, reading(1e9 + 4.0, 8.0, 1e6 + 15.0))]);
        assert_eq!((traces(&one).accepted, traces(&one).sent), (4.0, 1.0));
    }

    #[test]
    fn one_that_starts_again_counts_from_nothing() {
        for (before, after) in [
            (reading(100.0, 100.0, 50.0), reading(7.0, 5.0, 3.0)),
            // Nobody says when it started.
            (
                Reading { uptime: None, ..reading(100.0, 100.0, 0.0) },
                Reading { uptime: None, ..reading(7.0, 5.0, 0.0) },
            ),
            // It has counted more than before since, and only its clock tells.
            (reading(3.0, 4.0, 50.0), reading(7.0, 5.0, 3.0)),
        ] {
            let one = tracked([(0, before), (15, after)]);
            assert_eq!((traces(&one).accepted, traces(&one).sent), (7.0, 5.0));
        }
    }

    #[test]
    fn a_pod_of_the_same_name_is_another_collector() {
        let (mut fleet, start) = (Fleet::default(), Instant::now());
        fleet.follow(&pods(1), start);
        let old = fleet.next(1, Duration::ZERO, start).remove(0);
        fleet.note(&old, Ok(reading(100.0, 100.0, 9.0)), start);
        let another = Objects::from([("collector-0000".to_owned(), pod("b"))]);
        fleet.follow(&another, start);
        assert_eq!(fleet.note(&old, Ok(reading(200.0, 200.0, 10.0)), start), Counts::default(), "too late");
        assert_eq!(fleet.standings(start).next(), Some(("node-b", Standing::Fresh)));
    }

    #[test]
    fn only_what_stays_for_a_window_is_stuck() {
        let stuck = |one: &Tracked| one.window().expect("two readings").stuck[0];
        let nothing_goes_out = (0_u32..=12).map(|n| (u64::from(n) * 15, reading(f64::from(n), 0.0, f64::from(n))));
        assert!(stuck(&tracked(nothing_goes_out)));
        let seldom = (0_u32..=2).map(|n| (u64::from(n) * 300, reading(f64::from(n), 0.0, f64::from(n))));
        assert!(stuck(&tracked(seldom)));
        // One span a minute, sent five seconds after it came in: wherever the marks are, it isn't stuck.
        for offset in 0..60 {
            let now_and_then = (0..=20).map(|n| {
                let second = n * 15 + offset;
                let count = |delay: u64| f64::from(u32::try_from((second + 60 - delay) / 60).expect("small"));
                (n * 15, reading(count(0), count(5), f64::from(u32::try_from(second).expect("small"))))
            });
            assert!(!stuck(&tracked(now_and_then)), "{offset}");
        }
        // Lines that are dropped on purpose are nothing to be sent.
        let dropped = (0_u32..=12).map(|n| {
            let mut one = reading(f64::from(n), 0.0, f64::from(n));
            one.counts.flows[0].incoming = f64::from(n) * 2.0;
            one.counts.flows[0].outgoing = f64::from(n);
            (u64::from(n) * 15, one)
        });
        assert!(!stuck(&tracked(dropped)));
    }

    #[test]
    fn writers_that_only_retry_are_stuck() {
        let retries = (0_u32..=12).map(|n| {
            let mut one = reading(f64::from(n), f64::from(n), f64::from(n));
            one.counts.writers[0] = Writer { retried: f64::from(n), ..Writer::default() };
            // Statistics get through.
            one.counts.writers[1] = Writer { sent: f64::from(n), ..Writer::default() };
            (u64::from(n) * 15, one)
        });
        assert!(tracked(retries).window().expect("a window").writers_stuck);
    }

    #[test]
    fn every_collector_has_its_turn() {
        let (mut fleet, mut now) = (Fleet::default(), Instant::now());
        fleet.follow(&pods(5000), now);
        let (limit, pause) = (250, Duration::from_secs(14));
        let mut looked_at = BTreeMap::<String, u32>::new();
        for round in 0..60 {
            now += Duration::from_secs(15);
            let turn = fleet.next(limit, pause, now);
            assert_eq!(turn.len(), limit, "{round}");
            for (n, target) in turn.iter().enumerate() {
                // A tenth never answers.
                let seen = if n % 10 == 0 { Err("no answer".to_owned()) } else { Ok(reading(1.0, 1.0, 1.0)) };
                fleet.note(target, seen, now);
                *looked_at.entry(target.pod.clone()).or_default() += 1;
            }
        }
        assert_eq!(looked_at.len(), 5000, "each");
        let (least, most) = (looked_at.values().min(), looked_at.values().max());
        assert!(least >= Some(&2) && most <= Some(&5), "{least:?} {most:?}");
    }

    #[test]
    fn a_few_are_looked_at_every_round_and_never_twice_in_one() {
        let (mut fleet, start) = (Fleet::default(), Instant::now());
        fleet.follow(&pods(3), start);
        let pause = Duration::from_secs(14);
        let turn = fleet.next(250, pause, start);
        assert_eq!(turn.len(), 3);
        for target in &turn {
            fleet.note(target, Ok(reading(1.0, 1.0, 1.0)), start);
        }
        assert!(fleet.next(250, pause, start + Duration::from_secs(1)).is_empty());
        assert_eq!(fleet.next(250, pause, start + Duration::from_secs(15)).len(), 3);
    }

    #[test]
    fn one_that_cant_be_scraped_is_silent_once_that_is_sure() {
        let start = Instant::now();
        let mut one = Tracked::new(pod("a"), start);
        let fault = || Err("nothing listens on port 8888".to_owned());
        let mut at = |second: u64, seen: Result<Reading, String>| {
            let now = start + Duration::from_secs(second);
            one.note(seen, now);
            one.standing(now)
        };
        assert_eq!(at(1, fault()), Standing::Fresh);
        assert_eq!(at(16, fault()), Standing::Fresh, "it may still start");
        assert!(matches!(at(61, fault()), Standing::Silent(_)));
        assert!(matches!(at(76, Ok(reading(1.0, 1.0, 1.0))), Standing::Measured { .. }));
        assert!(matches!(at(91, fault()), Standing::Measured { .. }), "once says little");
        assert_eq!(at(106, fault()), Standing::Silent("nothing listens on port 8888".to_owned()));
    }

    #[test]
    fn the_memory_of_each_is_bounded() {
        let queue = Queue { exporter: "datadog".to_owned(), size: 1.0, capacity: 2.0 };
        let many =
            (0_u32..10_000).map(|n| (u64::from(n), Reading { queue: Some(queue.clone()), ..reading(1.0, 1.0, 1.0) }));
        drop(tracked(many));
        assert!(size_of::<Tracked>() < 900, "{}", size_of::<Tracked>());
    }
}
