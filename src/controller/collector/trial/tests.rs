mod failed;
mod good;
mod not_started;
mod orphans;
mod shown;

use std::cell::RefCell;
use std::time::Instant;

use super::super::pod::{Ended, State, pod};
use super::super::since::Clocks;
use super::super::words;
use super::*;
use jiff::Timestamp;
use serde_json::{Value, json};

/// By the clock of a kubelet, which isn't the controller's.
fn at(second: i64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().expect("a time") + SignedDuration::from_secs(second)
}

/// A cluster with what acts in it beside the controller.
#[derive(Clone, Debug)]
struct Cluster {
    candidate: Option<&'static str>,
    nodes: BTreeMap<&'static str, bool>,
    stable: Option<Deployed>,
    trial: Option<Deployed>,
    known: BTreeMap<String, Mark>,
    pods: Vec<Pod>,
    /// Revisions whose Collectors end as soon as they have started, with these words.
    bad: BTreeMap<&'static str, &'static str>,
    fares: Fares,
    measured: BTreeSet<Box<str>>,
    /// Of the trial's `DaemonSet`, by the API server.
    refused: Option<&'static str>,
    not_taken: bool,
    passed: Option<&'static str>,
    /// On these no container starts: so their pods stay.
    sick: BTreeMap<&'static str, State>,
    /// And of these, what is told to end doesn't.
    stuck: BTreeSet<&'static str>,
    unfit: Unfit,
    clocks: RefCell<Clocks>,
    /// Pods so far.
    made: usize,
    start: Instant,
    now: i64,
}

impl Cluster {
    fn new(candidate: &'static str, nodes: &[&'static str]) -> Self {
        Self {
            candidate: Some(candidate),
            nodes: nodes.iter().map(|node| (*node, true)).collect(),
            stable: None,
            trial: None,
            known: BTreeMap::new(),
            pods: Vec::new(),
            bad: BTreeMap::new(),
            fares: Fares::Well,
            measured: nodes.iter().map(|node| (*node).into()).collect(),
            refused: None,
            not_taken: false,
            passed: None,
            sick: BTreeMap::new(),
            stuck: BTreeSet::new(),
            unfit: Unfit::default(),
            clocks: RefCell::default(),
            made: 0,
            start: Instant::now(),
            now: 0,
        }
    }

    /// One where `good` runs everywhere.
    fn running(good: &'static str, nodes: &[&'static str]) -> Self {
        let mut cluster = Self::new(good, nodes);
        cluster.settle();
        assert_eq!(cluster.stable.as_ref().map(|stable| stable.revision.as_str()), Some(good));
        cluster
    }

    fn plan(&self) -> Plan {
        let pods: Vec<_> = self.pods.iter().collect();
        let not_taken = self.candidate.filter(|_| self.not_taken);
        let now = self.start + Duration::from_secs(self.now.unsigned_abs());
        let times = self.clocks.borrow_mut().read(self.trial.as_ref(), &pods, not_taken, now);
        // The candidate's ConfigMap is written together with its trial.
        plan(&Observed {
            candidate: self.candidate,
            stable: self.stable.clone(),
            trial: self.trial.clone(),
            known: self.known.iter().map(|(hash, mark)| (hash.as_str(), mark.clone())).collect(),
            pods,
            passed: self.passed,
            nodes: self.nodes.clone(),
            unfit: &self.unfit,
            fares: self.fares.clone(),
            measured: self.measured.clone(),
            refused: self.refused.map(str::to_owned),
            no_pod: None,
            times,
        })
    }

    /// What the controller makes of it; what stays in the controller is which nodes are unfit, and for how long things are
    /// as they are.
    fn control(&mut self) -> Plan {
        let plan = self.plan();
        let ready = self.nodes.iter().filter(|(_, ready)| **ready).map(|(node, _)| *node);
        self.unfit.learn(self.candidate, &plan, ready);
        if let Some(candidate) = self.candidate {
            self.known.entry(candidate.to_owned()).or_default();
        }
        if let (Some(mark), Some(candidate)) = (&plan.mark, self.candidate) {
            self.known.insert(candidate.to_owned(), mark.clone());
        }
        let set = |before: &Option<Deployed>, revision: &str, node: Option<&str>| {
            let now = Deployed { revision: revision.to_owned(), node: node.map(str::to_owned), settled: false };
            let same = before.as_ref().filter(|one| one.revision == now.revision && one.node == now.node);
            Some(same.cloned().unwrap_or(now))
        };
        self.stable = match &plan.stable {
            None => None,
            Some(stable) => set(&self.stable, &stable.revision, stable.spares.as_deref()),
        };
        self.trial = match &plan.trial {
            None => None,
            Some(trial) => set(&self.trial, &trial.revision, Some(&trial.node)),
        };
        plan
    }

    /// The `DaemonSet` controller: what must not be there goes, what is missing comes, one at a time is replaced.
    fn daemon_sets(&mut self) {
        for (rollout, set) in [(Rollout::Stable, &mut self.stable), (Rollout::Trial, &mut self.trial)] {
            let runs_on = |node: &str| match (rollout, &*set) {
                (_, None) => false,
                (Rollout::Stable, Some(set)) => set.node.as_deref() != Some(node),
                (Rollout::Trial, Some(set)) => set.node.as_deref() == Some(node),
            };
            for pod in self.pods.iter_mut().filter(|pod| pod.rollout == Some(rollout)) {
                if pod.is_orphan() && set.is_some() && !pod.leaving {
                    pod.owner = Some("u".into());
                }
                if pod.is_orphan() {
                    continue;
                }
                pod.leaving |= !self.nodes.contains_key(&*pod.node) || !runs_on(&pod.node);
            }
            let replaces = set.as_ref().is_some_and(|set| rollout == Rollout::Trial || set.node.is_none());
            let revision = set.as_ref().map(|set| set.revision.clone()).unwrap_or_default();
            let mut own = self.pods.iter_mut().filter(|pod| pod.rollout == Some(rollout));
            if replaces && own.by_ref().all(|pod| !pod.leaving) {
                let mut own = self.pods.iter_mut().filter(|pod| pod.rollout == Some(rollout));
                if let Some(old) = own.find(|pod| *pod.revision != *revision) {
                    old.leaving = true;
                }
            }
            for node in self.nodes.keys().filter(|node| runs_on(node)) {
                if !self.pods.iter().any(|pod| pod.rollout == Some(rollout) && *pod.node == **node) {
                    let mut new = pod(node, rollout, &revision, &json!({}));
                    self.made += 1;
                    new.uid = self.made.to_string().into();
                    self.pods.push(new);
                }
            }
            if let Some(set) = set {
                set.settled = true;
            }
        }
    }

    /// Somebody deletes a `DaemonSet` without its pods.
    fn orphan(&mut self, rollout: Rollout) {
        match rollout {
            Rollout::Stable => self.stable = None,
            Rollout::Trial => self.trial = None,
        }
        for pod in self.pods.iter_mut().filter(|pod| pod.rollout == Some(rollout)) {
            pod.owner = None;
        }
    }

    /// What is told to end has ended, and what was made runs.
    fn kubelets(&mut self) {
        // A node that isn't ready has nobody who could.
        let works = |node: &str| self.nodes.get(node).is_none_or(|ready| *ready);
        self.pods.retain(|pod| !pod.leaving || !works(&pod.node) || self.stuck.contains(&*pod.node));
        for pod in self.pods.iter_mut().filter(|pod| works(&pod.node)) {
            if let Some(state) = self.sick.get(&*pod.node) {
                pod.state = state.clone();
                continue;
            }
            if pod.state == State::Creating {
                match self.bad.get(&*pod.revision) {
                    None => pod.state = State::Ready { since: at(self.now) },
                    Some(last) => {
                        let ended = Box::new(Ended {
                            code: 1,
                            reason: "Error".to_owned(),
                            words: (*last).to_owned(),
                            at: None,
                        });
                        pod.ended = Some(ended.clone());
                        pod.state = State::Down(ended);
                    }
                }
            }
        }
    }

    /// What has to hold whenever somebody looks.
    fn check(&self) {
        for pod in self.pods.iter().filter(|pod| pod.rollout == Some(Rollout::Stable)) {
            assert_eq!(self.known.get(&*pod.revision), Some(&Mark::Passed), "untried on {}: {self:#?}", pod.node);
        }
        for (node, _) in self.nodes.iter().filter(|(_, ready)| **ready) {
            let runs = |pod: &&Pod| !pod.leaving || pod.has_begun();
            let on = self.pods.iter().filter(|pod| *pod.node == **node).filter(runs).count();
            assert!(on <= 1, "{on} Collectors on {node}: {self:#?}");
        }
        let on_trial = |pod: &&Pod| {
            let lingers = pod.leaving && !pod.has_begun();
            pod.rollout == Some(Rollout::Trial) && self.nodes.get(&*pod.node) != Some(&false) && !lingers
        };
        let tried = self.pods.iter().filter(on_trial).count();
        assert!(tried <= 1, "a trial is on one node: {self:#?}");
    }

    fn round(&mut self, order: u64) {
        for turn in 0..3 {
            match ((order >> (2 * turn)) & 3) % 3 {
                0 => drop(self.control()),
                1 => self.daemon_sets(),
                _ => self.kubelets(),
            }
            self.check();
        }
        self.now += 5;
    }

    /// Until nothing changes any more.
    fn settle(&mut self) {
        for _ in 0..120 {
            self.control();
            self.check();
            self.daemon_sets();
            self.check();
            self.kubelets();
            self.check();
            self.now += 5;
        }
    }

    #[track_caller]
    fn runs(&self, revision: &str) {
        let on: Vec<_> = self.pods.iter().map(|pod| (&*pod.node, &*pod.revision)).collect();
        let mut on = on;
        on.sort_unstable();
        let expected: Vec<_> = self.nodes.keys().map(|node| (*node, revision)).collect();
        assert_eq!(on, expected, "{self:#?}");
        assert_eq!(self.trial, None);
        assert_eq!(self.stable.as_ref().and_then(|stable| stable.node.clone()), None);
    }
}

const WORDS: &str = "Error: invalid configuration: processors::batch: no";

fn fault(node: &str) -> Fault {
    Fault {
        node: node.to_owned(),
        cause: Cause::Collector,
        words: WORDS.to_owned(),
        key: Some("processors.batch".to_owned()),
    }
}

#[test]
fn the_first_is_tried_on_one_node_and_then_goes_to_all() {
    let mut cluster = Cluster::new("one", &["a", "b", "c"]);
    let plan = cluster.control();
    assert_eq!(plan.stable, None);
    assert_eq!(plan.trial, Some(Trial { revision: "one".to_owned(), node: "a".to_owned() }));
    cluster.daemon_sets();
    cluster.kubelets();
    assert_eq!(cluster.control().again, Some(Duration::from_secs(30)));
    cluster.now = 29;
    assert_eq!(cluster.control().mark, None);
    cluster.now = 30;
    assert_eq!(cluster.control().mark, Some(Mark::Passed));
    // Not before the trial's has ended: pods that are made while a node is spared are replaced when none is any more.
    cluster.passed = Some("one");
    let plan = cluster.control();
    assert_eq!((plan.phase, plan.stable, plan.trial), (Phase::Clearing, None, None));
    cluster.settle();
    cluster.runs("one");
}

#[test]
fn a_next_one_waits_until_its_node_is_free_and_the_others_until_it_has_passed() {
    let mut cluster = Cluster::running("one", &["a", "b"]);
    cluster.candidate = Some("two");
    let plan = cluster.control();
    assert_eq!(plan.phase, Phase::Vacating { node: "a".to_owned() });
    assert_eq!(plan.stable, Some(Stable { revision: "one".to_owned(), spares: Some("a".to_owned()) }));
    assert_eq!(plan.trial, None);
    // Nobody has told that its pod is to go: one might still be made.
    cluster.pods.retain(|pod| *pod.node != *"a");
    assert_eq!(cluster.control().trial, None);
    cluster.daemon_sets();
    assert!(cluster.control().trial.is_some());
    // A node joins in the middle, and a pod is deleted.
    cluster.nodes.insert("c", true);
    cluster.pods.retain(|pod| *pod.node != *"b");
    for order in [0b01_10_00, 0b10_01_00] {
        cluster.round(order);
    }
    assert!(cluster.pods.iter().all(|pod| *pod.node == *"a" || *pod.revision == *"one"), "{cluster:#?}");
    cluster.settle();
    cluster.runs("two");
}

#[test]
fn another_node_takes_over_when_the_trials_goes() {
    type Change = fn(&mut Cluster);
    let changes: [Change; 2] = [
        |cluster| {
            cluster.nodes.remove("a");
        },
        |cluster| {
            cluster.nodes.insert("a", false);
        },
    ];
    for change in changes {
        let mut cluster = Cluster::running("one", &["a", "b", "c"]);
        cluster.candidate = Some("two");
        for order in [0b10_01_00, 0b10_01_00] {
            cluster.round(order);
        }
        assert_eq!(cluster.trial.as_ref().and_then(|trial| trial.node.as_deref()), Some("a"));
        change(&mut cluster);
        cluster.settle();
        assert_eq!(cluster.stable.as_ref().map(|stable| stable.revision.as_str()), Some("two"), "{cluster:#?}");
        // A kubelet that comes back ends first what it was told to end meanwhile.
        cluster.nodes.insert("a", true);
        cluster.kubelets();
        cluster.settle();
        cluster.runs("two");
    }
}

#[test]
fn without_a_node_there_is_no_trial() {
    let mut cluster = Cluster::new("one", &[]);
    assert_eq!(cluster.control().phase, Phase::NoNode);
    cluster.nodes.insert("a", false);
    assert_eq!(cluster.control().phase, Phase::NoNode);
    cluster.nodes.insert("a", true);
    cluster.settle();
    cluster.runs("one");
    cluster.nodes.insert("a", false);
    cluster.candidate = Some("two");
    let plan = cluster.control();
    assert_eq!((plan.phase, plan.trial), (Phase::NoNode, None));
    assert_eq!(plan.stable, Some(Stable { revision: "one".to_owned(), spares: None }));
}

/// Every order of who acts when, with nodes that come and go, pods that are deleted and specs that change: nothing
/// untried runs anywhere but on one node, and in the end every node runs what it should.
#[test]
fn whatever_happens_in_whatever_order() {
    for seed in 1..150_u64 {
        let mut random = seed;
        let mut next = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        let mut cluster = Cluster::running("one", &["a", "b", "c"]);
        cluster.bad.insert("bad", WORDS);
        for _ in 0..60 {
            match next(12) {
                0 => cluster.candidate = Some(["one", "two", "three", "bad"][usize::try_from(next(4)).expect("small")]),
                1 => cluster.candidate = None,
                2 => {
                    cluster.nodes.insert(["d", "e"][usize::try_from(next(2)).expect("small")], true);
                }
                3 => {
                    // Its pods go with it.
                    let gone = ["a", "d"][usize::try_from(next(2)).expect("small")];
                    cluster.nodes.remove(gone);
                    cluster.pods.retain(|pod| *pod.node != *gone);
                }
                5 => cluster.orphan(Rollout::Trial),
                4 if !cluster.pods.is_empty() => {
                    let index = usize::try_from(next(cluster.pods.len() as u64)).expect("small");
                    cluster.pods[index].leaving = true;
                }
                _ => {}
            }
            let order = next(64);
            cluster.round(order);
        }
        cluster.candidate = Some("two");
        cluster.settle();
        cluster.runs("two");
        cluster.candidate = Some("bad");
        cluster.settle();
        cluster.runs("two");
    }
}

#[test]
fn a_mark_is_read_as_it_was_written() {
    for mark in [Mark::Untried, Mark::Passed, Mark::Unmeasured("no answer".to_owned()), Mark::Failed(fault("a"))] {
        let written: Value = serde_json::to_value(&mark).expect("plain data");
        assert_eq!(serde_json::from_value::<Mark>(written).expect("a mark"), mark);
    }
}
