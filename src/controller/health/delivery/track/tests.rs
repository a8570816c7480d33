//! What is remembered of a few Collectors, of thousands, and of one over time.

use super::super::totals::{Flow, Queue, Writer};
use super::super::verdict::Tally;
use super::*;
use crate::api::condition::Reason;

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
    let seldom =
        (0_u32..=9).map(|n| (u64::from(n) * 300, reading(f64::from(n) * 300.0, f64::from(n) * 300.0, f64::from(n))));
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
        (Reading { uptime: None, ..reading(100.0, 100.0, 0.0) }, Reading { uptime: None, ..reading(7.0, 5.0, 0.0) }),
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
    assert_eq!(fleet.standings(&BTreeSet::new()).next(), Some(("node-b", Standing::Fresh)));
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
        for target in &turn {
            // A tenth never answers.
            let seen = if target.pod.ends_with('0') { Err("no answer".to_owned()) } else { Ok(reading(1.0, 1.0, 1.0)) };
            fleet.note(target, seen, now);
            *looked_at.entry(target.pod.clone()).or_default() += 1;
        }
    }
    assert_eq!(looked_at.len(), 5000, "each");
    let (least, most) = (looked_at.values().min(), looked_at.values().max());
    assert!(least >= Some(&2) && most <= Some(&5), "{least:?} {most:?}");
}

#[test]
fn of_thousands_a_few_are_measured_after_two_rounds_and_all_in_their_turn() {
    let (mut fleet, mut now) = (Fleet::default(), Instant::now());
    fleet.follow(&pods(5000), now);
    let mut measured = Vec::new();
    for _ in 0..42 {
        for target in &fleet.next(250, Duration::from_secs(12), now) {
            fleet.note(target, Ok(reading(1.0, 1.0, 1.0)), now);
        }
        let has_window = |(_, standing): &(_, Standing)| matches!(standing, Standing::Measured { window: Some(_), .. });
        measured.push(fleet.standings(&BTreeSet::new()).filter(has_window).count());
        assert_eq!(fleet.is_partial(), measured.last() != Some(&5000));
        now += Duration::from_secs(15);
    }
    assert_eq!(measured[..3], [0, SAMPLE, SAMPLE]);
    assert_eq!((measured[19], measured[40]), (SAMPLE, 5000), "each has its second turn after the first of all");
    // Those that come later are another matter.
    fleet.follow(&pods(5001), now);
    assert!(!fleet.is_partial());
}

/// A network policy may drop every packet to them, from the first on.
#[test]
fn of_thousands_that_never_answer_a_few_are_told_once_they_had_their_minute() {
    let (mut fleet, start) = (Fleet::default(), Instant::now());
    fleet.follow(&pods(5000), start);
    let mut verdicts = Vec::new();
    let mut tried = BTreeSet::new();
    for round in 0..24 {
        let now = start + Duration::from_secs(15 * round);
        for target in fleet.next(250, Duration::from_secs(12), now) {
            fleet.note(&target, Err("no answer".to_owned()), now);
            tried.insert(target.pod);
        }
        let verdict = Tally::of(fleet.standings(&BTreeSet::new())).verdict(None, 1);
        verdicts.push(verdict.map(|verdict| verdict.reason));
    }
    assert_eq!(verdicts[..4], [None; 4]);
    assert_eq!(verdicts[4..], [Some(Reason::NotScraped); 20]);
    assert_eq!(tried.len(), 5000, "the others have their turn");
    // Those that come to answer are measured beside them.
    for round in 24..26 {
        let now = start + Duration::from_secs(15 * round);
        for target in fleet.next(250, Duration::from_secs(12), now) {
            fleet.note(&target, Ok(reading(1.0, 1.0, 1.0)), now);
        }
    }
    let has_window = |(_, standing): &(_, Standing)| matches!(standing, Standing::Measured { window: Some(_), .. });
    assert_eq!(fleet.standings(&BTreeSet::new()).filter(has_window).count(), SAMPLE);
}

#[test]
fn on_a_node_that_has_just_joined_one_may_take_its_time() {
    let (mut fleet, start) = (Fleet::default(), Instant::now());
    fleet.follow(&pods(2), start);
    let now = start + Duration::from_mins(2);
    for _ in 0..2 {
        for target in fleet.next(2, Duration::ZERO, now) {
            fleet.note(&target, Err("it has no address yet".to_owned()), now);
        }
    }
    let silent = |joining: &BTreeSet<String>| -> Vec<_> {
        let standings = fleet.standings(joining);
        standings.filter(|(_, one)| matches!(one, Standing::Silent(_))).map(|(node, _)| node.to_owned()).collect()
    };
    assert_eq!(silent(&BTreeSet::new()), ["node-0000", "node-0001"]);
    assert_eq!(silent(&["node-0001".to_owned()].into()), ["node-0000"]);
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
        one.standing()
    };
    assert_eq!(at(1, fault()), Standing::Fresh);
    assert_eq!(at(16, fault()), Standing::Fresh, "it may still start");
    assert!(matches!(at(61, fault()), Standing::Silent(_)));
    assert!(matches!(at(76, Ok(reading(1.0, 1.0, 1.0))), Standing::Measured { .. }));
    assert!(matches!(at(91, fault()), Standing::Measured { .. }), "once says little");
    assert_eq!(at(106, fault()), Standing::Silent("nothing listens on port 8888".to_owned()));
}

/// All that is kept of one is in its description: it has nothing hidden.
#[test]
fn the_memory_of_each_is_bounded() {
    let queue = Queue { exporter: "datadog".to_owned(), size: 1.0, capacity: 2.0 };
    let kept_of = |readings: u32| {
        let readings =
            (0..readings).map(|n| (u64::from(n), Reading { queue: Some(queue.clone()), ..reading(1.0, 1.0, 1.0) }));
        let mut one = tracked(readings);
        let kept = format!("{one:?}").len();
        for _ in 0..100 {
            one.note(Err("nothing listens on port 8888".to_owned()), Instant::now());
        }
        (kept, format!("{one:?}").len())
    };
    let (few, many) = (kept_of(200), kept_of(10_000));
    assert!(many.0 < 2 * few.0 && many.1 < 2 * few.0, "{few:?} {many:?}");
    assert!(size_of::<Tracked>() < 900, "{}", size_of::<Tracked>());
}
