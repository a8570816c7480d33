//! Which revision runs where: pure. What hasn't run yet runs on one node first.
//!
//! Two `DaemonSet`s make it certain that no other node starts it before: `otel-collector` has the template of the last
//! good revision until the trial has passed, so that a node that joins, or a pod that is deleted, gets that one; and
//! `otel-collector-trial` is bound to the trial's node by name. The first spares that node by an affinity, since two
//! Collectors on one node would both read its logs. Its other pods stay meanwhile (`OnDelete`): a change of affinity
//! changes the template, and when it is taken back the template is the one of before, whose pods are up to date.
//! The trial's pod starts once the other has ended, and the other way round, as in any rolling update.
//!
//! Everything that is decided from stands in the cluster: both `DaemonSet`s, their pods, and for each revision an
//! immutable `ConfigMap` that says how its trial ended. A controller that comes in the middle goes on from there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;

use super::compare::Fares;
use super::pod::{Pod, Rollout};

mod judge;
mod mark;
mod orphan;
mod place;
mod unfit;

use judge::Judgement;
pub use mark::{Cause, Fault, Mark};
pub use unfit::Unfit;

/// What is known of the cluster.
#[derive(Debug)]
pub struct Observed<'o> {
    /// What the spec asks for; nothing, where it has a fault.
    pub candidate: Option<&'o str>,
    pub stable: Option<Deployed>,
    pub trial: Option<Deployed>,
    /// How the trial of each revision ended that can be run.
    pub known: BTreeMap<&'o str, Mark>,
    /// The last that has passed, of those.
    pub passed: Option<&'o str>,
    pub pods: Vec<&'o Pod>,
    /// Those that should run a Collector, and whether each is ready.
    pub nodes: BTreeMap<&'o str, bool>,
    /// Those on which the candidate's container didn't start.
    pub unfit: &'o Unfit,
    /// How the trial's Collector fares with the data that it is given.
    pub fares: Fares,
    /// Nodes of which it is known what their Collector did lately.
    pub measured: BTreeSet<Box<str>>,
    /// Why the API server wouldn't take the candidate's trial, as it says before anything is done for it.
    pub refused: Option<String>,
    /// Why no pod of the trial is made.
    pub no_pod: Option<String>,
    pub times: Times,
}

/// For how long something has been so, as this controller has seen it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// The trial's `DaemonSet` is there, and since its pod's container has run, that.
    pub tried: Option<Duration>,
    /// The trial's pod is ready without a break.
    pub ready: Option<Duration>,
    /// A pod of a trial is about to end.
    pub leaving: Option<Duration>,
    /// The API server doesn't take the candidate's trial, though it was to be there.
    pub refused: Option<Duration>,
}

/// A `DaemonSet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    pub revision: String,
    /// The one that it spares, or the only one.
    pub node: Option<String>,
    /// Its controller has seen it as it is.
    pub settled: bool,
}

/// What should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub stable: Option<Stable>,
    pub trial: Option<Trial>,
    /// What has shown of the candidate.
    pub mark: Option<Mark>,
    /// That its container doesn't start where it is tried.
    pub unfit: Option<Fault>,
    pub phase: Phase,
    /// When to look again, though nothing has changed.
    pub again: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stable {
    pub revision: String,
    pub spares: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    pub revision: String,
    pub node: String,
}

/// Where the rollout stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The spec makes no configuration.
    NothingToRun,
    /// No node is ready that one could run on.
    NoNode,
    /// The trial's node is being made free for it.
    Vacating {
        node: String,
    },
    Trying {
        node: String,
    },
    /// It loses data, or gets rid of none, and nothing shows that it is its own fault.
    Held {
        node: String,
        why: String,
    },
    /// It doesn't start where nothing did before, so that there is nothing to go back to.
    Failing(Fault),
    /// The trial is over, and its pod still there.
    Clearing,
    /// The wanted one goes to every node, or is there.
    RolledOut,
    RolledBack(Fault),
}

/// So long the trial's Collector has to be ready without a break.
pub const SETTLE: SignedDuration = SignedDuration::from_secs(30);
/// So long one whose container has started has to become so; and so long one is held that
/// loses data as others do, or gets rid of none where nobody else tries.
pub const DEADLINE: SignedDuration = SignedDuration::from_mins(5);
/// So long one is waited for that is about to end and never began: who could end it may be what keeps it from starting.
const LINGERS: Duration = Duration::from_mins(1);

/// What should run, from what is there.
#[must_use]
pub fn plan(seen: &Observed<'_>) -> Plan {
    let runs = seen.stable.as_ref().map(|stable| stable.revision.as_str());
    // What can't be written again has the last good one stand in for it.
    let good = runs.filter(|runs| seen.can_write(runs)).or(seen.passed).or_else(|| seen.orphaned());
    let Some(candidate) = seen.candidate else {
        return match (good, &seen.trial) {
            (None, Some(trial)) => seen.leave(trial),
            _ => seen.settle(good, good, Phase::NothingToRun),
        };
    };
    match (seen.known.get(candidate), good) {
        (_, Some(good)) if good == candidate => seen.settle(Some(good), Some(good), Phase::RolledOut),
        (Some(Mark::Failed(fault)), Some(good)) => {
            seen.settle(Some(good), Some(good), Phase::RolledBack(fault.clone()))
        }
        (Some(mark), good) if mark.has_passed() => seen.settle(good, Some(candidate), Phase::RolledOut),
        (_, good) => seen.try_out(good, candidate),
    }
}

impl Observed<'_> {
    fn of(&self, rollout: Rollout) -> impl Iterator<Item = &Pod> {
        self.pods.iter().copied().filter(move |pod| pod.rollout == Some(rollout))
    }

    /// Without a trial: `target`, once the trial's pod has ended, and until then what runs now. Where nothing does yet, that
    /// is nothing: pods of a template that spares a node would be replaced as soon as it spares none.
    fn settle(&self, good: Option<&str>, target: Option<&str>, phase: Phase) -> Plan {
        let stable = |revision: &str, spares| Stable { revision: revision.to_owned(), spares };
        let Some(node) = self.left() else {
            return Plan { stable: target.map(|target| stable(target, None)), ..Plan::of(phase) };
        };
        let runs = good.filter(|_| self.stable.is_some());
        let stable = runs.map(|runs| stable(runs, Some(self.spared_or(node))));
        Plan { stable, trial: self.adopting(good), ..Plan::of(Phase::Clearing) }
    }

    /// Its configuration is known, or comes from the spec.
    fn can_write(&self, revision: &str) -> bool {
        self.known.contains_key(revision) || self.candidate == Some(revision)
    }

    /// Where a trial is, or is about to end. What is about to end on a node that isn't ready isn't waited for: whoever
    /// could tell that it has ended may never come back.
    fn left(&self) -> Option<&str> {
        let set = self.trial.as_ref().map(|trial| trial.node.as_deref().unwrap_or_default());
        set.or_else(|| {
            let lingers = |pod: &Pod| !pod.has_begun() && self.times.leaving >= Some(LINGERS);
            let ends = |pod: &&Pod| !pod.leaving || (self.nodes.get(&*pod.node) == Some(&true) && !lingers(pod));
            self.of(Rollout::Trial).find(ends).map(|pod| &*pod.node)
        })
    }

    fn spared_or(&self, node: &str) -> String {
        self.stable.as_ref().and_then(|stable| stable.node.clone()).unwrap_or_else(|| node.to_owned())
    }

    /// A first trial goes on while the spec has a fault: nothing else is known to run.
    fn leave(&self, trial: &Deployed) -> Plan {
        let known = self.can_write(&trial.revision);
        let trial = trial.node.clone().filter(|_| known).map(|node| Trial { revision: trial.revision.clone(), node });
        Plan { trial, ..Plan::of(Phase::NothingToRun) }
    }

    fn try_out(&self, good: Option<&str>, candidate: &str) -> Plan {
        let stable = |spares| good.map(|good| Stable { revision: good.to_owned(), spares });
        let Some(node) = self.choose(good) else {
            return Plan { stable: stable(None), ..Plan::of(Phase::NoNode) };
        };
        let is_it = |trial: &&Deployed| trial.node.as_deref() == Some(node) && trial.revision == candidate;
        let there = self.trial.as_ref().filter(is_it);
        // No node is without a Collector for what wouldn't be taken.
        if let (Some(words), Some(good), None) = (&self.refused, good, there) {
            let fault = Fault { node: String::new(), cause: Cause::Refused, words: words.clone(), key: None };
            let back = self.settle(Some(good), Some(good), Phase::RolledBack(fault.clone()));
            return Plan { mark: Some(Mark::Failed(fault)), ..back };
        }
        // Another trial ends first, on its own node.
        let left = self.left().filter(|_| there.is_none() && !self.adopts(candidate, node));
        // What a Collector does can't be told any more once it has gone.
        if there.is_none() && left.is_none() && !self.is_measured(node) {
            return Plan { stable: stable(None), ..Plan::of(Phase::Vacating { node: node.to_owned() }) };
        }
        let stable = stable(Some(left.map_or_else(|| node.to_owned(), |left| self.spared_or(left))));
        if there.is_none() && (left.is_some() || !self.is_vacated(node)) {
            let phase = self.told(Phase::Vacating { node: node.to_owned() }, good);
            return Plan { stable, trial: left.and_then(|_| self.adopting(good)), ..Plan::of(phase) };
        }
        let trial = Some(Trial { revision: candidate.to_owned(), node: node.to_owned() });
        let tried = || Plan::of(self.told(Phase::Trying { node: node.to_owned() }, good));
        let marked = |mark| Plan { mark: Some(mark), ..tried() };
        let unfit = |fault: &Fault| Some(fault.clone()).filter(|fault| fault.cause.is_of_the_node());
        let shown = match self.judge(node, candidate, there, good) {
            Judgement::Waits { again } => Plan { again, ..tried() },
            Judgement::Held { why, again } => Plan { again, ..Plan::of(Phase::Held { node: node.to_owned(), why }) },
            Judgement::Passed { unmeasured } => marked(unmeasured.map_or(Mark::Passed, Mark::Unmeasured)),
            Judgement::Unfit(fault) => Plan { unfit: Some(fault), again: Some(Duration::ZERO), ..tried() },
            Judgement::Failed(fault) if good.is_some() => marked(Mark::Failed(fault)),
            Judgement::Failed(fault) => {
                Plan { unfit: unfit(&fault), ..Plan::of(self.told(Phase::Failing(fault), good)) }
            }
        };
        Plan { stable, trial, ..shown }
    }

    /// A first one that starts nowhere says so, while it goes from node to node.
    fn told(&self, phase: Phase, good: Option<&str>) -> Phase {
        let begun = || self.of(Rollout::Trial).any(|pod| pod.has_begun() && !pod.leaving);
        let failing = self.unfit.failing().filter(|_| good.is_none() && !begun());
        failing.map_or(phase, |fault| Phase::Failing(fault.clone()))
    }
}

impl Phase {
    /// Whether something is to be looked at that nobody tells of by himself.
    #[must_use]
    pub fn is_looked_at(&self) -> bool {
        !matches!(self, Self::NothingToRun | Self::NoNode | Self::RolledOut | Self::RolledBack(_))
    }
}

/// The pod of a trial, if there is one that isn't about to end; rather than one that stays as a record, the next.
#[must_use]
pub fn pod_of<'p>(pods: &[&'p Pod], revision: &str, node: &str) -> Option<&'p Pod> {
    let is_it = |pod: &&Pod| pod.rollout == Some(Rollout::Trial) && *pod.revision == *revision && *pod.node == *node;
    pods.iter().copied().filter(|pod| is_it(pod) && !pod.leaving).min_by_key(|pod| pod.over)
}

// === impl Plan ===

impl Plan {
    fn of(phase: Phase) -> Self {
        Self { stable: None, trial: None, mark: None, unfit: None, phase, again: None }
    }
}

#[cfg(test)]
mod tests;
