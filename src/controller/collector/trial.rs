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
use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::compare::Fares;
use super::pod::{Ended, Pod, Rollout, State};
use super::words;

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
    /// Those on which a first trial had its time and no container.
    pub unfit: &'o BTreeSet<String>,
    /// How the trial's Collector fares with the data that it is given.
    pub fares: Fares,
    /// Nodes of which it is known what their Collector did lately.
    pub measured: BTreeSet<Box<str>>,
    /// Why the API server wouldn't take the candidate's trial, as it says before anything is done for it.
    pub refused: Option<String>,
    /// Since when it doesn't take it, though it was to be there.
    pub refused_since: Option<Timestamp>,
    /// Why no pod of the trial is made.
    pub no_pod: Option<String>,
    pub now: Timestamp,
}

/// A `DaemonSet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    pub revision: String,
    /// The one that it spares, or the only one.
    pub node: Option<String>,
    /// Its controller has seen it as it is.
    pub settled: bool,
    pub created: Timestamp,
}

/// How a revision's trial ended, as its `ConfigMap` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mark {
    #[default]
    Untried,
    Passed,
    Failed(Fault),
}

/// Why a trial failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// Where it was tried; empty where it came to no trial.
    pub node: String,
    #[serde(default)]
    pub cause: Cause,
    /// The Collector's own, where it has any.
    pub words: String,
    /// Of the configuration, where the words name one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What a failed trial lies in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// It ended, refused data, or didn't become ready.
    #[default]
    Collector,
    /// The API server takes no pod, or not even the `DaemonSet`.
    Refused,
    Unschedulable,
    Image,
    /// A Secret or a `ConfigMap` isn't there.
    Unconfigured,
}

/// What should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub stable: Option<Stable>,
    pub trial: Option<Trial>,
    /// What has shown of the candidate.
    pub mark: Option<Mark>,
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
    /// It loses data, and not by its own fault: nothing can be told of it yet.
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
/// So long it has to become so; and so long one that loses data as others do is held.
pub const DEADLINE: SignedDuration = SignedDuration::from_mins(5);

/// What should run, from what is there.
#[must_use]
pub fn plan(seen: &Observed<'_>) -> Plan {
    let runs = seen.stable.as_ref().map(|stable| stable.revision.as_str());
    // What is wanted can be written again; what is neither known nor wanted can't, and the last good one stands in for it.
    let is_known = |revision: &&str| seen.known.contains_key(*revision) || seen.candidate == Some(*revision);
    let good = runs.filter(is_known).or(seen.passed);
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
        (Some(Mark::Passed), good) => seen.settle(good, Some(candidate), Phase::RolledOut),
        (_, good) => seen.try_out(good, candidate),
    }
}

impl Observed<'_> {
    fn of(&self, rollout: Rollout) -> impl Iterator<Item = &Pod> {
        self.pods.iter().copied().filter(move |pod| pod.rollout == Some(rollout))
    }

    /// Without a trial: `target`, once the trial's pod has ended, and until then what runs now.
    fn settle(&self, good: Option<&str>, target: Option<&str>, phase: Phase) -> Plan {
        let stable = |revision: &str, spares| Stable { revision: revision.to_owned(), spares };
        let (stable, phase) = match self.left() {
            None => (target.map(|target| stable(target, None)), phase),
            Some(node) => (good.map(|good| stable(good, Some(self.spared_or(node)))), Phase::Clearing),
        };
        Plan { stable, trial: None, mark: None, phase, again: None }
    }

    /// Where a trial is, or is about to end. What is about to end on a node that isn't ready isn't waited for: whoever
    /// could tell that it has ended may never come back.
    fn left(&self) -> Option<&str> {
        let set = self.trial.as_ref().map(|trial| trial.node.as_deref().unwrap_or_default());
        set.or_else(|| {
            let ends = |pod: &&Pod| !pod.leaving || self.nodes.get(&*pod.node) == Some(&true);
            self.of(Rollout::Trial).find(ends).map(|pod| &*pod.node)
        })
    }

    fn spared_or(&self, node: &str) -> String {
        self.stable.as_ref().and_then(|stable| stable.node.clone()).unwrap_or_else(|| node.to_owned())
    }

    /// A first trial goes on while the spec has a fault: nothing else is known to run.
    fn leave(&self, trial: &Deployed) -> Plan {
        let known = self.known.contains_key(trial.revision.as_str());
        let trial = trial.node.clone().filter(|_| known).map(|node| Trial { revision: trial.revision.clone(), node });
        Plan { stable: None, trial, mark: None, phase: Phase::NothingToRun, again: None }
    }

    fn try_out(&self, good: Option<&str>, candidate: &str) -> Plan {
        let stable = |spares| good.map(|good| Stable { revision: good.to_owned(), spares });
        let Some(node) = self.choose(good) else {
            return Plan { stable: stable(None), trial: None, mark: None, phase: Phase::NoNode, again: None };
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
        let left = self.left().filter(|_| there.is_none());
        // What a Collector does can't be told any more once it has gone.
        if there.is_none() && left.is_none() && !self.is_measured(node) {
            let phase = Phase::Vacating { node: node.to_owned() };
            return Plan { stable: stable(None), trial: None, mark: None, phase, again: None };
        }
        let stable = stable(Some(left.map_or_else(|| node.to_owned(), |left| self.spared_or(left))));
        if there.is_none() && (left.is_some() || !self.is_vacated(node)) {
            let phase = Phase::Vacating { node: node.to_owned() };
            return Plan { stable, trial: None, mark: None, phase, again: None };
        }
        let trial = Some(Trial { revision: candidate.to_owned(), node: node.to_owned() });
        let (mark, phase, again) = match self.judge(node, candidate, there, good.is_some()) {
            Judgement::Waits { again } => (None, Phase::Trying { node: node.to_owned() }, again),
            Judgement::Held { why, again } => (None, Phase::Held { node: node.to_owned(), why }, again),
            Judgement::Passed => (Some(Mark::Passed), Phase::Trying { node: node.to_owned() }, None),
            Judgement::Failed(fault) if good.is_some() => {
                (Some(Mark::Failed(fault)), Phase::Trying { node: node.to_owned() }, None)
            }
            Judgement::Failed(fault) => (None, Phase::Failing(fault), None),
        };
        Plan { stable, trial, mark, phase, again }
    }

    /// The node that the trial is on, or is to be on, as long as it's fit; else the first that is. Where nothing runs yet,
    /// a node that can't run one mustn't keep all others waiting.
    fn choose(&self, good: Option<&str>) -> Option<&str> {
        let ready = |node: &str| Some(*self.nodes.get(node)? && !(good.is_none() && self.unfit.contains(node)));
        let chosen = self.trial.as_ref().and_then(|trial| trial.node.as_deref());
        let chosen = chosen.or_else(|| self.stable.as_ref()?.node.as_deref());
        let chosen = chosen.and_then(|chosen| self.nodes.get_key_value(chosen).map(|(node, _)| *node));
        if let Some(chosen) = chosen.filter(|chosen| ready(chosen) == Some(true)) {
            return Some(chosen);
        }
        let fit = || self.nodes.keys().copied().filter(|node| ready(node) == Some(true));
        // Where the last good one runs well, the next one's faults are its own.
        let well = self.of(Rollout::Stable).filter(|pod| good.is_some() && pod.is_ready());
        let well: BTreeSet<_> = well.map(|pod| &*pod.node).collect();
        let runs_well = |node: &&str| well.contains(*node);
        fit().find(runs_well).or_else(|| fit().next()).or(chosen.filter(|_| self.trial.is_some()))
    }

    /// Whether nothing runs there any more, and nothing will.
    fn is_vacated(&self, node: &str) -> bool {
        let spared = self.stable.as_ref().is_none_or(|one| one.node.as_deref() == Some(node) && one.settled);
        spared && self.of(Rollout::Stable).all(|pod| *pod.node != *node)
    }

    /// Whether there is something to compare a trial there with: other Collectors, or else what its own did.
    fn is_measured(&self, node: &str) -> bool {
        let asked = |pod: &&Pod| pod.is_ready() && pod.address.is_some();
        let mut ready = self.of(Rollout::Stable).filter(asked).map(|pod| &*pod.node);
        let is_alone = ready.next() == Some(node) && ready.next().is_none();
        !is_alone || self.measured.contains(node)
    }

    /// What the trial has shown so far.
    fn judge(&self, node: &str, candidate: &str, there: Option<&Deployed>, may_go_back: bool) -> Judgement {
        let failed_by = |cause: Cause, words: String| {
            Judgement::Failed(Fault { node: node.to_owned(), cause, key: words::key(&words), words })
        };
        let failed = |words: String| failed_by(Cause::Collector, words);
        let waits = |until: Timestamp| {
            let left = until.duration_since(self.now);
            Judgement::Waits { again: Duration::try_from(left).ok().filter(|left| !left.is_zero()) }
        };
        let in_time = |since: Timestamp, cause: Cause, why: &str| {
            let until = since.saturating_add(DEADLINE).unwrap_or(since);
            if self.now < until {
                waits(until)
            } else {
                failed_by(cause, format!("not ready in {} minutes: {why}", DEADLINE.as_mins()))
            }
        };
        let mut pods =
            self.of(Rollout::Trial).filter(|pod| *pod.revision == *candidate && *pod.node == *node && !pod.leaving);
        let Some(pod) = pods.next() else {
            let why = self.no_pod.as_deref().unwrap_or("no pod was made");
            let since = there.map(|there| there.created).or(self.refused_since);
            return since.map_or(Judgement::Waits { again: None }, |since| in_time(since, Cause::Refused, why));
        };
        let ended = pod.ended.as_deref().filter(|ended| is_a_fault(ended));
        match (&pod.state, ended) {
            // Where there is nothing to go back to, one that ended and then stays is good.
            (State::Ready { since }, None) => self.judge_ready(*since, failed, waits),
            (State::Ready { since }, Some(_)) if !may_go_back => self.judge_ready(*since, failed, waits),
            (_, Some(ended)) => failed(ended.to_string()),
            // Another configuration wouldn't start either.
            (State::Down(ended), None) if !is_a_fault(ended) => Judgement::Waits { again: None },
            (state, None) => in_time(pod.created, Cause::of(state), &state.to_string()),
        }
    }

    fn judge_ready(
        &self,
        since: Timestamp,
        failed: impl FnOnce(String) -> Judgement,
        waits: impl FnOnce(Timestamp) -> Judgement,
    ) -> Judgement {
        let after = |time: SignedDuration| since.saturating_add(time).unwrap_or(since);
        match &self.fares {
            Fares::Worse { lost, beside: "" } => failed(lost.clone()),
            Fares::Worse { lost, beside } => failed(format!("{lost}; {beside}")),
            Fares::Undecided { until } => waits(*until),
            // No worse than what runs: what it may be to mend, memory that is short, say, doesn't wait for Datadog.
            Fares::Alike(why) if self.now < after(DEADLINE) => match waits(after(DEADLINE)) {
                Judgement::Waits { again } => Judgement::Held { why: why.clone(), again },
                other => other,
            },
            Fares::Well if self.now < after(SETTLE) => waits(after(SETTLE)),
            Fares::Alike(_) | Fares::Well => Judgement::Passed,
        }
    }
}

impl Phase {
    /// Whether something is to be looked at that nobody tells of by himself.
    #[must_use]
    pub fn is_looked_at(&self) -> bool {
        matches!(self, Self::Vacating { .. } | Self::Trying { .. } | Self::Held { .. })
    }
}

enum Judgement {
    Waits { again: Option<Duration> },
    Held { why: String, again: Option<Duration> },
    Passed,
    Failed(Fault),
}

/// A start that fails since the API server didn't tell of pods in time is no fault of the configuration.
fn is_a_fault(ended: &Ended) -> bool {
    !words::waited_for_metadata(&ended.words)
}

// === impl Cause ===

impl Cause {
    fn of(state: &State) -> Self {
        match state {
            State::Unschedulable(_) => Self::Unschedulable,
            State::ImageNotPulled(_) => Self::Image,
            State::Unconfigured(_) => Self::Unconfigured,
            State::Ready { .. } | State::Starting | State::Down(_) => Self::Collector,
        }
    }

    /// Whether it may go well on another node.
    #[must_use]
    pub fn is_of_the_node(self) -> bool {
        matches!(self, Self::Unschedulable | Self::Image)
    }
}

// === impl Fault ===

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, words, key, .. } = self;
        if node.is_empty() {
            f.write_str("before its trial")?;
        } else {
            write!(f, "on node {node}")?;
        }
        if let Some(key) = key {
            write!(f, ", by {key}")?;
        }
        write!(f, ": {words}")
    }
}

#[cfg(test)]
mod tests;
