//! What a trial has shown so far: pure.

use std::time::Duration;

use super::super::compare::Fares;
use super::super::pod::{Ended, Pod, State};
use super::super::words;
use super::{Cause, DEADLINE, Deployed, Fault, Observed, SETTLE, unfit};

#[derive(Debug)]
pub(super) enum Judgement {
    Waits {
        again: Option<Duration>,
    },
    Held {
        why: String,
        again: Option<Duration>,
    },
    /// Without its metrics having been read, where it says why.
    Passed {
        unmeasured: Option<String>,
    },
    /// Its container doesn't start there, and may elsewhere.
    Unfit(Fault),
    Failed(Fault),
}

/// So long a container has to start where there are other nodes.
const START: Duration = Duration::from_mins(2);
/// So long the metrics of one that is ready have to be read.
const MEASURED: Duration = Duration::from_mins(1);

impl Observed<'_> {
    pub(super) fn judge(&self, node: &str, candidate: &str, there: Option<&Deployed>, good: Option<&str>) -> Judgement {
        let failed = |words: String| Judgement::Failed(fault(node, Cause::Collector, words));
        let tried = self.times.tried.filter(|_| there.is_some()).unwrap_or_default();
        let in_time = |so_far: Duration, cause: Cause, why: &str| {
            waits(so_far, DEADLINE.unsigned_abs()).unwrap_or_else(|| {
                let words = format!("not ready in {} minutes: {why}", DEADLINE.as_mins());
                Judgement::Failed(fault(node, cause, words))
            })
        };
        let Some(pod) = self.pod(candidate, node) else {
            return match (&self.no_pod, there) {
                (None, Some(_)) => self.judge_start(node, good, Cause::NotStarted, "no pod was made"),
                (Some(why), Some(_)) => in_time(tried, Cause::Refused, why),
                (why, None) => self.times.refused.map_or(Judgement::Waits { again: None }, |so_far| {
                    in_time(so_far, Cause::Refused, why.as_deref().unwrap_or("no pod was made"))
                }),
            };
        };
        let ended = pod.ended.as_deref().filter(|ended| is_a_fault(ended));
        match (&pod.state, ended) {
            // Where there is nothing to go back to, one that ended and then stays is good.
            (State::Ready { .. }, ended) if ended.is_none() || good.is_none() => self.judge_ready(good, failed),
            (_, Some(ended)) => failed(ended.to_string()),
            (State::Down(ended), None) if !is_a_fault(ended) => self.judge_not_told(node, good, ended),
            (state, None) => match Cause::of(state) {
                cause if cause.is_of_the_node() => self.judge_start(node, good, cause, &state.to_string()),
                cause => in_time(tried, cause, &state.to_string()),
            },
        }
    }

    /// One whose container hasn't started.
    fn judge_start(&self, node: &str, good: Option<&str>, cause: Cause, why: &str) -> Judgement {
        let goes_on = self.goes_on(node, good);
        let patience = if goes_on { START } else { DEADLINE.unsigned_abs() };
        waits(self.times.tried.unwrap_or_default(), patience).unwrap_or_else(|| {
            let minutes = patience.as_secs() / 60;
            let words = format!("its container didn't start in {minutes} minutes{}: {why}", self.unfit.told());
            let fault = fault(node, cause, words);
            if goes_on { Judgement::Unfit(fault) } else { Judgement::Failed(fault) }
        })
    }

    /// One that ends since the API server doesn't tell it of pods: as soon as it does, it may be good. Where another one ran,
    /// its node isn't without a Collector for longer than that.
    fn judge_not_told(&self, node: &str, good: Option<&str>, ended: &Ended) -> Judgement {
        if good.is_none() {
            return Judgement::Waits { again: None };
        }
        waits(self.times.tried.unwrap_or_default(), DEADLINE.unsigned_abs()).unwrap_or_else(|| {
            let words = format!("not ready in {} minutes{}: {ended}", DEADLINE.as_mins(), self.unfit.told());
            let fault = fault(node, Cause::Collector, words);
            if self.goes_on(node, good) { Judgement::Unfit(fault) } else { Judgement::Failed(fault) }
        })
    }

    /// Whether another node has its turn.
    fn goes_on(&self, node: &str, good: Option<&str>) -> bool {
        self.others(node).next().is_some() && (good.is_none() || self.unfit.len() + 1 < unfit::MOST)
    }

    fn judge_ready(&self, good: Option<&str>, failed: impl FnOnce(String) -> Judgement) -> Judgement {
        let ready = self.times.ready.unwrap_or_default();
        let settle = || waits(ready, SETTLE.unsigned_abs());
        match &self.fares {
            Fares::Worse { lost, beside } => failed(told(lost, beside)),
            // Where it sends to may be on its way up, too. Where nothing ran before, nothing can be worse.
            Fares::Stuck { fails, lost, beside } if good.is_some() => match waits(ready, DEADLINE.unsigned_abs()) {
                Some(Judgement::Waits { again }) => Judgement::Held { why: fails.clone(), again },
                _ => failed(told(lost, beside)),
            },
            Fares::Undecided { .. } => Judgement::Waits { again: None },
            // No worse than what runs: what it may be to mend, memory that is short, say, doesn't wait for Datadog.
            Fares::Alike(why) => match waits(ready, DEADLINE.unsigned_abs()) {
                Some(Judgement::Waits { again }) => Judgement::Held { why: why.clone(), again },
                _ => Judgement::Passed { unmeasured: None },
            },
            Fares::Well | Fares::Stuck { .. } => settle().unwrap_or(Judgement::Passed { unmeasured: None }),
            // A policy that keeps the controller from it, say, would otherwise hold every change.
            Fares::Unread(why) => {
                waits(ready, MEASURED).unwrap_or_else(|| Judgement::Passed { unmeasured: Some(why.clone()) })
            }
        }
    }

    /// The pod of that trial, if there is one.
    fn pod(&self, candidate: &str, node: &str) -> Option<&Pod> {
        super::pod_of(&self.pods, candidate, node)
    }
}

fn told(lost: &str, beside: &str) -> String {
    if beside.is_empty() { lost.to_owned() } else { format!("{lost}; {beside}") }
}

/// Until it has been so for as long.
fn waits(so_far: Duration, patience: Duration) -> Option<Judgement> {
    let left = patience.saturating_sub(so_far);
    (!left.is_zero()).then_some(Judgement::Waits { again: Some(left) })
}

fn fault(node: &str, cause: Cause, words: String) -> Fault {
    Fault { node: node.to_owned(), cause, key: words::key(&words), words }
}

/// A start that fails since the API server didn't tell of pods in time is no fault of the configuration.
fn is_a_fault(ended: &Ended) -> bool {
    !words::waited_for_metadata(&ended.words)
}
