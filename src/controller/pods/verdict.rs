//! What is said of opted-in pods: the condition `InjectionComplete`, and its numbers.

use super::index::Index;
use super::record::{Count, Name, OwnLabel, Tally};
use crate::api::OptIn;
use crate::api::condition::Reason;
use crate::api::stack::{InjectionStatus, RepairPhase, RepairStatus};
use crate::controller::status::Verdict;
use crate::inject::{self, owner::kind};

/// What there is to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    pub totals: Tally,
    /// `None` while no configuration is known.
    pub mode: Option<OptIn>,
    pub missed: Few,
    pub restart_pending: Few,
    pub outdated: Few,
    pub invalid: Few,
}

/// A few of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Few {
    pub named: Vec<String>,
    /// Beyond those.
    pub more: usize,
}

/// Names in a list of the status.
const LISTED: usize = 10;
/// Names in a message.
const NAMED: usize = 3;

// === impl Few ===

impl Few {
    pub fn note(&mut self, name: impl FnOnce() -> String) {
        if self.named.len() < LISTED {
            self.named.push(name());
        } else {
            self.more += 1;
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// For a sentence.
    #[must_use]
    pub fn in_words(&self) -> String {
        let named = self.named.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        match self.named.len().saturating_sub(NAMED) + self.more {
            0 => named,
            more => format!("{named} and {more} more"),
        }
    }

    /// For the status.
    #[must_use]
    pub fn listed(&self) -> Vec<String> {
        let more = (self.more > 0).then(|| format!("and {} more", self.more));
        self.named.iter().cloned().chain(more).collect()
    }
}

// === impl Picture ===

impl Picture {
    #[must_use]
    pub fn of(index: &Index) -> Self {
        let mut picture = Self {
            totals: index.totals(),
            mode: index.in_force().map(|in_force| in_force.configuration.mode()),
            ..Self::default()
        };
        let mut namespaces: Vec<_> = index
            .namespaces()
            .filter_map(|(name, around)| {
                let reason = match around.own {
                    OwnLabel::Invalid => inject::Reason::InvalidOptIn,
                    OwnLabel::Absent if around.annotated => inject::Reason::OptInIsALabel,
                    OwnLabel::Absent | OwnLabel::Says(_) => return None,
                };
                Some((name, reason))
            })
            .collect();
        namespaces.sort_unstable();
        for (name, reason) in namespaces {
            picture.invalid.note(|| format!("namespace {name} ({reason})"));
        }
        for (name, tally) in index.workloads() {
            let note = |few: &mut Few, count: Count| {
                let number = tally.get(count);
                if number > 0 {
                    few.note(|| of_pods(name, number));
                }
            };
            note(&mut picture.missed, Count::Missed);
            note(&mut picture.restart_pending, Count::RestartPending);
            note(&mut picture.outdated, Count::Outdated);
            for (count, reason) in [
                (Count::InvalidOptIn, inject::Reason::InvalidOptIn),
                (Count::OptInIsALabel, inject::Reason::OptInIsALabel),
            ] {
                if tally.get(count) > 0 {
                    picture.invalid.note(|| format!("{name} ({reason})"));
                }
            }
        }
        picture
    }

    #[must_use]
    pub fn verdict(&self, repair: Option<&RepairStatus>, generation: i64) -> Verdict {
        let (expected, totals) = (self.totals.expected(), &self.totals);
        let parts = [
            (Reason::Missed, Count::Missed, &self.missed, "were missed"),
            (Reason::RestartPending, Count::RestartPending, &self.restart_pending, "wait for a restart"),
            (Reason::Outdated, Count::Outdated, &self.outdated, "carry an earlier configuration"),
        ];
        let mut found = parts.iter().filter(|(_, count, ..)| totals.get(*count) > 0);
        let (reason, mut detail) = match found.next() {
            None => (Reason::Complete, self.complete()),
            Some((reason, count, some, words)) => {
                let detail = format!("{} of {expected} pods {words}: {}", totals.get(*count), some.in_words());
                (*reason, detail)
            }
        };
        for (_, count, _, words) in found {
            detail = format!("{detail}; {} {words}", totals.get(*count));
        }
        if let Some(repair) = repair.filter(|repair| repair.phase == RepairPhase::Stopped) {
            detail = format!("{detail}; the repair has stopped: {}", repair.message.as_deref().unwrap_or_default());
        }
        if !self.invalid.is_empty() {
            detail = format!("{detail}; opt-ins that count as absent: {}", self.invalid.in_words());
        }
        Verdict::new(reason, detail, generation)
    }

    fn complete(&self) -> String {
        match self.mode {
            Some(OptIn::Observe | OptIn::Disabled) => {
                format!("mode is {}: no pod is to be injected", self.mode.map_or("", OptIn::as_str))
            }
            _ => match self.totals.expected() {
                0 => "no pod is opted in".to_owned(),
                1 => "the one opted-in pod is injected".to_owned(),
                all => format!("all {all} opted-in pods are injected"),
            },
        }
    }

    /// The same in numbers.
    #[must_use]
    pub fn status(&self) -> InjectionStatus {
        let number = |count: Count| i32::try_from(self.totals.get(count)).unwrap_or(i32::MAX);
        InjectionStatus {
            injected: format!("{}/{}", self.totals.get(Count::Injected), self.totals.expected()),
            missed: number(Count::Missed),
            restart_pending: number(Count::RestartPending),
            outdated: number(Count::Outdated),
            missed_of: self.missed.listed(),
            invalid_opt_ins: self.invalid.listed(),
            ..InjectionStatus::default()
        }
    }
}

fn of_pods(name: &Name, number: u32) -> String {
    if *name.kind == *kind::POD { name.to_string() } else { format!("{name} ({number})") }
}

#[cfg(test)]
mod tests;
