//! What is measured of health, in numbers: for metrics and alerts.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::delivery::totals::Signal;
use super::delivery::verdict::{State, Tally};
use crate::metrics::Counter;

/// One per process; the leader's.
#[derive(Debug, Default)]
pub struct Measured {
    scrapes: [Counter; 2],
    items: [[Fraction; Items::ALL.len()]; Signal::ALL.len()],
    /// `None` while nobody looks.
    collectors: Mutex<Option<Tally>>,
    nodes: Mutex<Nodes>,
    probes: [Counter; ProbeOutcome::ALL.len()],
    validations: [Counter; KeyOutcome::ALL.len()],
    pub events_lost: Counter,
}

/// How many nodes there are of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    /// `None` while nobody looks.
    pub collector: Option<CollectorNodes>,
    /// Those that wait for a rollout of the Agent; `None` while none goes on, or something else is wrong.
    pub agents_waiting: Option<u64>,
}

/// Of the Collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectorNodes {
    /// Those that wait for a rollout; `None` while none goes on, or something else is wrong.
    pub waiting: Option<u64>,
    /// Those that should have one, and have none that is ready.
    pub missing: u64,
}

/// What became of spans, metric points and log records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Items {
    Accepted,
    Refused,
    Sent,
    Failed,
}

/// How a probe's pod came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    Marked,
    Unmarked,
    LetThrough,
    Refused,
    Unanswered,
}

/// What Datadog said of the API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOutcome {
    Accepted,
    Refused,
    Unanswered,
}

/// A counter to which less than one may be added.
#[derive(Debug, Default)]
struct Fraction {
    whole: Counter,
    rest: Mutex<f64>,
}

// === impl Measured ===

impl Measured {
    /// What a leader knew counts no more.
    pub fn stand_by(&self) {
        self.set_collectors(None);
        *self.of_nodes() = Nodes::default();
    }

    pub fn set_collector_nodes(&self, nodes: Option<CollectorNodes>) {
        self.of_nodes().collector = nodes;
    }

    pub fn set_agents_waiting(&self, nodes: Option<u64>) {
        self.of_nodes().agents_waiting = nodes;
    }

    #[must_use]
    pub fn nodes(&self) -> Nodes {
        *self.of_nodes()
    }

    fn of_nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn scraped(&self, answered: bool) {
        self.scrapes[usize::from(!answered)].add(1);
    }

    /// Those with an answer, and those without.
    #[must_use]
    pub fn scrapes(&self) -> [(&'static str, &Counter); 2] {
        [("success", &self.scrapes[0]), ("failure", &self.scrapes[1])]
    }

    pub fn items(&self, signal: Signal, items: Items, amount: f64) {
        self.items[signal as usize][items as usize].add(amount);
    }

    #[must_use]
    pub fn items_of(&self, signal: Signal, items: Items) -> &Counter {
        &self.items[signal as usize][items as usize].whole
    }

    pub fn set_collectors(&self, tally: Option<&Tally>) {
        *self.collectors.lock().unwrap_or_else(PoisonError::into_inner) = tally.cloned();
    }

    /// How many in each state, while somebody looks.
    #[must_use]
    pub fn collectors(&self) -> Option<[(State, usize); State::ALL.len()]> {
        let tally = self.collectors.lock().unwrap_or_else(PoisonError::into_inner);
        tally.as_ref().map(|tally| State::ALL.map(|state| (state, tally.count(state))))
    }

    pub fn probed(&self, outcome: ProbeOutcome) {
        self.probes[outcome as usize].add(1);
    }

    #[must_use]
    pub fn probes(&self, outcome: ProbeOutcome) -> &Counter {
        &self.probes[outcome as usize]
    }

    pub fn validated(&self, outcome: KeyOutcome) {
        self.validations[outcome as usize].add(1);
    }

    #[must_use]
    pub fn validations(&self, outcome: KeyOutcome) -> &Counter {
        &self.validations[outcome as usize]
    }
}

// === impl Items, ProbeOutcome, KeyOutcome ===

impl Items {
    pub const ALL: [Self; 4] = [Self::Accepted, Self::Refused, Self::Sent, Self::Failed];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Sent => "sent",
            Self::Failed => "failed",
        }
    }
}

impl ProbeOutcome {
    pub const ALL: [Self; 5] = [Self::Marked, Self::Unmarked, Self::LetThrough, Self::Refused, Self::Unanswered];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Marked => "marked",
            Self::Unmarked => "unmarked",
            Self::LetThrough => "let_through",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
        }
    }
}

impl KeyOutcome {
    pub const ALL: [Self; 3] = [Self::Accepted, Self::Refused, Self::Unanswered];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
        }
    }
}

// === impl Fraction ===

impl Fraction {
    fn add(&self, amount: f64) {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = *rest + amount.max(0.0);
        *rest = sum.fract();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and not below zero")]
        self.whole.add(sum.trunc() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_one_are_kept_until_they_make_a_whole() {
        let fraction = Fraction::default();
        let mut counted = Vec::new();
        for amount in [0.5, 0.25, 0.5, -3.0, f64::NAN, 2.75, 1e6] {
            fraction.add(amount);
            counted.push(fraction.whole.get());
        }
        // What a Collector takes back, or can't tell, takes nothing back here.
        assert_eq!(counted, [0, 0, 1, 1, 1, 4, 1_000_004]);
    }
}
