//! A few Collectors whose metrics are read all the time, so that a trial's can be compared with them, and with what its
//! node's did before: never more, however many nodes there are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use super::compare::{Before, Comparison, Fares, Others};
use super::observe::Place;
use super::pod::{Pod, Rollout};
use super::refusal::{Reading, Ways};
use super::trial::SETTLE;
use crate::api::stack::CollectorMode;
use crate::collector::port;
use crate::controller::Context;
use crate::controller::health::delivery::scrape;

/// What is known of them.
#[derive(Debug, Default)]
pub struct Sample(Mutex<Known>);

#[derive(Debug, Default)]
pub struct Known {
    /// By the uid of the pod.
    tracked: BTreeMap<Box<str>, Tracked>,
    trial: Option<Tried>,
}

/// The trial's.
#[derive(Debug)]
struct Tried {
    uid: Box<str>,
    /// Why it couldn't be read when it was asked last.
    fault: Option<String>,
    /// Once it was.
    comparison: Option<Comparison>,
}

/// One that isn't on trial.
#[derive(Debug)]
struct Tracked {
    node: Box<str>,
    /// Since when it is looked at.
    since: Timestamp,
    /// When it was there last.
    seen: Timestamp,
    marks: Option<Marks>,
    /// What others did until it was there last.
    beside: Option<Vec<Ways>>,
}

/// Its newest reading, one that is at least [`SETTLE`] older where there is any, and one in between.
#[derive(Debug)]
struct Marks {
    older: Option<Reading>,
    newer: (Timestamp, Reading),
    last: Reading,
}

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    uid: Box<str>,
    node: Box<str>,
    rollout: Rollout,
    address: IpAddr,
}

/// Beside the trial's.
const SIZE: usize = 10;
/// Between two rounds while there is a trial; otherwise each third takes place.
const ROUND: Duration = Duration::from_secs(5);
const SELDOM: u32 = 3;
/// So long it is known what the Collector of a node did before a trial there: longer than one takes.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(15);

/// Reads, as long as the Collectors are the controller's own. Never returns.
pub async fn run(context: &Context, place: &Place, sample: &Sample) {
    if place.mode != CollectorMode::Managed {
        return std::future::pending().await;
    }
    for round in (0..SELDOM).cycle() {
        let targets = {
            let pods = context.collector_pods.borrow();
            let pods: Vec<&Pod> =
                pods.of(&place.pods).into_iter().flat_map(|pods| pods.values().map(Arc::as_ref)).collect();
            let on_trial = pods.iter().any(|pod| pod.rollout == Some(Rollout::Trial));
            (on_trial || round == 0).then(|| sample.lock().targets(&pods))
        };
        if let Some(targets) = targets {
            let at_once = targets.len().max(1);
            let read: Vec<_> = stream::iter(targets).map(read).buffer_unordered(at_once).collect().await;
            sample.lock().note(Timestamp::now(), read);
        }
        sleep(ROUND).await;
    }
}

/// Or why it can't be read.
async fn read(target: Target) -> (Target, Result<Reading, String>) {
    let mut reading = Reading::default();
    let address = SocketAddr::new(target.address, port::METRICS.number);
    let told = scrape::samples(address, |sample| reading.take(sample)).await;
    (target, told.map(|()| reading))
}

// === impl Sample ===

impl Sample {
    pub fn lock(&self) -> MutexGuard<'_, Known> {
        // No code under the lock leaves it half-written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Known ===

impl Known {
    /// How the trial's Collector in that pod fares.
    #[must_use]
    pub fn fares(&self, uid: &str) -> Fares {
        match self.trial.as_ref().filter(|tried| *tried.uid == *uid) {
            Some(Tried { fault: None, comparison: Some(comparison), .. }) => comparison.fares(),
            Some(Tried { fault: Some(fault), .. }) => Fares::Unread(fault.clone()),
            _ => Fares::Unread("it wasn't asked yet".to_owned()),
        }
    }

    /// Nodes of which it is known what their Collector did lately, or that it can't be asked.
    #[must_use]
    pub fn measured(&self, now: Timestamp) -> BTreeSet<Box<str>> {
        let long = |tracked: &&Tracked| now.duration_since(tracked.since) >= SETTLE;
        self.tracked.values().filter(long).map(|tracked| tracked.node.clone()).collect()
    }

    /// All on trial; of the others the first, which has the next trial, those that were asked before, and then some from
    /// everywhere in the order of their nodes.
    fn targets(&self, pods: &[&Pod]) -> Vec<Target> {
        let of = |rollout: Rollout| {
            let ready = pods.iter().filter(move |pod| pod.rollout == Some(rollout) && pod.is_ready());
            ready.filter_map(move |pod| {
                Some(Target { uid: pod.uid.clone(), node: pod.node.clone(), rollout, address: pod.address? })
            })
        };
        let mut all: Vec<_> = of(Rollout::Stable).collect();
        all.sort_by(|one, other| one.node.cmp(&other.node));
        let mut rest = all.into_iter();
        let mut chosen: Vec<_> = rest.next().into_iter().collect();
        let (known, new): (Vec<_>, Vec<_>) = rest.partition(|target| self.tracked.contains_key(&target.uid));
        chosen.extend(known.into_iter().take(SIZE - 1));
        let free = SIZE - chosen.len().min(SIZE);
        let step = new.len().div_ceil(free.max(1)).max(1);
        chosen.extend(new.into_iter().step_by(step).take(free));
        chosen.extend(of(Rollout::Trial));
        chosen
    }

    /// What came of asking them.
    fn note(&mut self, now: Timestamp, round: Vec<(Target, Result<Reading, String>)>) {
        let (trials, others): (Vec<_>, Vec<_>) =
            round.into_iter().partition(|(target, _)| target.rollout == Rollout::Trial);
        // As they were a little earlier, for a trial that began since.
        let earlier = self.others(|marks| marks.older.as_ref().unwrap_or(&marks.newer.1));
        for (target, reading) in others {
            let new = || Tracked { node: target.node, since: now, seen: now, marks: None, beside: None };
            let tracked = self.tracked.entry(target.uid).or_insert_with(new);
            (tracked.seen, tracked.beside) = (now, None);
            if let Ok(reading) = reading {
                tracked.note(now, reading);
            }
        }
        self.tracked.retain(|_, tracked| now.duration_since(tracked.seen) < REMEMBERED);
        let there = self.tracked.values().filter(|one| one.seen == now).filter_map(|one| one.marks.as_ref());
        let there: Vec<_> = there.map(Marks::lately).collect();
        for gone in self.tracked.values_mut().filter(|one| one.seen != now) {
            gone.beside.get_or_insert_with(|| there.clone());
        }
        let on_trial = |uid: &str| trials.iter().any(|(target, _)| *target.uid == *uid);
        self.trial.take_if(|tried| !on_trial(&tried.uid));
        for (target, reading) in trials {
            let known = self.trial.take().filter(|tried| tried.uid == target.uid);
            let mut tried = known.unwrap_or(Tried { uid: target.uid, fault: None, comparison: None });
            match reading {
                Ok(reading) => {
                    let (others, before) = (self.others_now(now), || self.before(&target.node));
                    let first = || Comparison::new(now, earlier.clone(), before());
                    tried.comparison.get_or_insert_with(first).look(now, &reading, &others);
                    tried.fault = None;
                }
                Err(fault) => tried.fault = Some(fault),
            }
            self.trial = Some(tried);
        }
    }

    fn others(&self, which: impl Fn(&Marks) -> &Reading) -> Others {
        let readings =
            self.tracked.iter().filter_map(|(uid, one)| Some((uid.clone(), which(one.marks.as_ref()?).clone())));
        readings.collect()
    }

    /// What was read in this round.
    fn others_now(&self, now: Timestamp) -> Others {
        let fresh = self.tracked.iter().filter(|(_, one)| one.seen == now);
        fresh.filter_map(|(uid, one)| Some((uid.clone(), one.marks.as_ref()?.last.clone()))).collect()
    }

    /// What the Collector of a node that isn't on trial did, when it was looked at last, and others then.
    fn before(&self, node: &str) -> Option<Before> {
        let on = self.tracked.values().filter(|one| *one.node == *node);
        let one = on.max_by_key(|one| one.seen)?;
        let own = one.marks.as_ref()?.lately();
        Some(Before { own, others: one.beside.clone().unwrap_or_default() })
    }
}

// === impl Tracked ===

impl Tracked {
    fn note(&mut self, now: Timestamp, reading: Reading) {
        let Some(marks) = &mut self.marks else {
            self.marks = Some(Marks { older: None, newer: (now, reading.clone()), last: reading });
            return;
        };
        if now.duration_since(marks.newer.0) >= SETTLE {
            let newer = std::mem::replace(&mut marks.newer, (now, reading.clone()));
            marks.older = Some(newer.1);
        }
        marks.last = reading;
    }
}

// === impl Marks ===

impl Marks {
    /// In the last half minute, or up to twice as long; all that it did where it was only read once.
    fn lately(&self) -> Ways {
        match &self.older {
            Some(older) => self.last.since(Some(older)),
            None if self.newer.1 == self.last => self.last.since(None),
            None => self.last.since(Some(&self.newer.1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pod::pod;
    use super::super::refusal::tests::reading;
    use super::*;
    use serde_json::json;

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
    }

    fn ready(node: &str, rollout: Rollout) -> Pod {
        let status = json!({"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]});
        pod(node, rollout, rollout.as_str(), &status)
    }

    fn logs(sent: u32, failed: u32) -> Reading {
        reading(&format!(
            "otelcol_exporter_sent_log_records{{exporter=\"x\"}} {sent}\n\
             otelcol_exporter_send_failed_log_records{{exporter=\"x\"}} {failed}\n"
        ))
    }

    /// Asks all that are to be asked, and has them answer.
    fn round(known: &mut Known, second: i64, pods: &[Pod], tells: impl Fn(&Target) -> Option<Reading>) {
        let targets = known.targets(&pods.iter().collect::<Vec<_>>());
        let told = |target: Target| (target.clone(), tells(&target).ok_or_else(|| "no answer".to_owned()));
        known.note(at(second), targets.into_iter().map(told).collect());
    }

    #[test]
    fn a_few_from_everywhere_are_asked_and_the_same_ones_again() {
        let mut known = Known::default();
        let mut pods: Vec<_> = (0..1000).map(|n| ready(&format!("node-{n:04}"), Rollout::Stable)).collect();
        let nodes = |known: &Known, pods: &[Pod]| -> Vec<String> {
            let targets = known.targets(&pods.iter().collect::<Vec<_>>());
            targets.into_iter().map(|target| target.node.into()).collect()
        };
        let first = nodes(&known, &pods);
        assert_eq!(first.len(), SIZE);
        assert!(first[0] == "node-0000" && first[SIZE - 1].as_str() > "node-0850", "{first:?}");
        round(&mut known, 0, &pods, |_| Some(logs(1, 0)));
        pods.insert(0, ready("node-", Rollout::Stable));
        pods.push(ready("node-0500", Rollout::Trial));
        let second = nodes(&known, &pods);
        assert_eq!(second.len(), SIZE + 1, "the trial's beside them");
        assert_eq!((second[0].as_str(), &second[1..SIZE]), ("node-", &first[..SIZE - 1]));
        // One that isn't ready has nothing to say.
        let few = [ready("a", Rollout::Stable), pod("b", Rollout::Stable, "r", &json!({"podIP": "10.0.0.2"}))];
        assert_eq!(nodes(&Known::default(), &few), ["a"]);
        assert_eq!(nodes(&Known::default(), &[]), Vec::<String>::new());
    }

    #[test]
    fn a_single_node_is_compared_with_what_it_did_before() {
        type Case = (fn(u32) -> Reading, &'static str);
        let others: [Case; 3] = [
            (|n| logs(0, n * 10), "exporter x fails to send logs, as its node's did before"),
            (|n| logs(n * 10, 0), "exporter x failed to send 7 log_records"),
            // Days ago.
            (|n| logs(n * 10, 9000), "exporter x failed to send 7 log_records"),
        ];
        for (tells, expected) in others {
            let mut known = Known::default();
            for n in 0..6 {
                assert_eq!(known.measured(at(i64::from(n) * 15)).is_empty(), n < 2, "{n}");
                round(&mut known, i64::from(n) * 15, &[ready("a", Rollout::Stable)], |_| Some(tells(n)));
            }
            let trial = [ready("a", Rollout::Trial)];
            round(&mut known, 95, &trial, |_| Some(logs(0, 5)));
            assert_eq!(known.fares(&trial[0].uid), Fares::Undecided { until: at(125) });
            round(&mut known, 125, &trial, |_| Some(logs(0, 7)));
            let fares = known.fares(&trial[0].uid);
            assert!(
                matches!(&fares, Fares::Alike(told) | Fares::Worse { lost: told, .. } if told == expected),
                "{fares:?}"
            );
            assert!(matches!(known.fares("another"), Fares::Unread(_)));
            round(&mut known, 130, &[], |_| None);
            assert!(matches!(known.fares(&trial[0].uid), Fares::Unread(_)), "it has gone");
        }
    }

    /// Its way out may be broken, so that each revision would fail there.
    #[test]
    fn a_fault_of_the_trials_node_is_no_fault_of_the_revision() {
        let begins = 6;
        let sends = |second: i64| logs(u32::try_from(second).expect("small"), 0);
        let fails = |second: i64| logs(0, u32::try_from(second).expect("small"));
        // Whether others failed as long as its node's own did, and left that behind when it ended.
        for outage in [false, true] {
            let mut known = Known::default();
            for n in 0..begins {
                let pods = [ready("a", Rollout::Stable), ready("b", Rollout::Stable)];
                let tells =
                    |target: &Target| Some(if &*target.node == "a" || outage { fails(n * 15) } else { sends(n * 15) });
                round(&mut known, n * 15, &pods, tells);
            }
            let failed = if outage { u32::try_from((begins - 1) * 15).expect("small") } else { 0 };
            let pods = [ready("a", Rollout::Trial), ready("b", Rollout::Stable)];
            round(&mut known, 80, &pods[1..], |_| Some(logs(80, failed)));
            for second in [95, 125] {
                let other = || logs(u32::try_from(second).expect("small"), failed);
                round(&mut known, second, &pods, |target| {
                    Some(if &*target.node == "a" { fails(second) } else { other() })
                });
            }
            let fares = known.fares(&pods[0].uid);
            if outage {
                assert!(matches!(fares, Fares::Worse { .. }), "{fares:?}");
            } else {
                assert_eq!(fares, Fares::Alike("exporter x fails to send logs, as its node's did before".to_owned()));
            }
        }
    }

    #[test]
    fn others_are_compared_from_before_the_trial_started() {
        let mut known = Known::default();
        let stable = || [ready("a", Rollout::Stable), ready("b", Rollout::Stable)];
        for n in 0..4 {
            round(&mut known, i64::from(n) * 15, &stable(), |_| Some(logs(n * 10, 0)));
        }
        // Datadog goes away before anybody looks at the trial's, which lost all at once and was given nothing since.
        let pods = [ready("a", Rollout::Trial), ready("b", Rollout::Stable)];
        let tells = |target: &Target| Some(if &*target.node == "a" { logs(0, 9) } else { logs(30, 40) });
        round(&mut known, 60, &pods, tells);
        round(&mut known, 90, &pods, tells);
        assert_eq!(
            known.fares(&pods[0].uid),
            Fares::Alike("exporter x fails to send logs, as on other nodes".to_owned())
        );
    }

    #[test]
    fn who_cannot_be_asked_is_measured_in_vain() {
        let mut known = Known::default();
        for second in [0, 15, 30] {
            round(&mut known, second, &[ready("a", Rollout::Stable)], |_| None);
        }
        assert!(known.measured(at(30)).contains("a"));
        round(&mut known, 35, &[ready("a", Rollout::Trial)], |_| None);
        let unread = |why: &str| Fares::Unread(why.to_owned());
        assert_eq!(known.fares("a-trial"), unread("no answer"), "nobody knows what it has refused");
        assert_eq!(known.fares("another"), unread("it wasn't asked yet"));
        // What it says counts, and only as long as it says something.
        round(&mut known, 40, &[ready("a", Rollout::Trial)], |_| Some(logs(9, 0)));
        assert_eq!(known.fares("a-trial"), Fares::Well);
        round(&mut known, 45, &[ready("a", Rollout::Trial)], |_| None);
        assert_eq!(known.fares("a-trial"), unread("no answer"));
        // In the end nothing of those that went is kept.
        round(&mut known, 1000, &[], |_| None);
        assert!(known.tracked.is_empty() && known.trial.is_none());
    }
}
