//! Whose fault it is that a trial's Collector loses data: pure.
//!
//! Datadog may be away for everybody, or the key revoked, and no configuration would mend that. What the trial's
//! Collector loses counts against its configuration only where others, that run the last good one, don't lose as much
//! by the same component in the same time; where none of them tried, where the node's own Collector didn't before. One
//! node may have a fault of its own, such as its way out: there the node's own Collector lost as much before, while
//! others didn't.
//!
//! Time goes by in windows. One in which nothing is lost is good. Once something is, the window stays open for as long
//! again, so that whatever befell everybody has befallen the others too, and is judged at its end; then the next begins,
//! in which one that others left behind shows.
//!
//! What can't be sent isn't lost for minutes: it waits, and is tried again and again. As long as nothing at all gets
//! through, that counts too, from when it was first seen. Unlike a loss it may mend itself, so that it is held against a
//! configuration at once only where others send meanwhile.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::refusal::{Amounts, Reading, Way, Ways};
use super::trial::SETTLE;

/// How a trial's Collector fares with the data that it is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fares {
    /// It lost none, as far as is known.
    #[default]
    Well,
    /// Nobody knows: why its metrics can't be read.
    Unread(String),
    /// It lost some, and whether others do isn't known before.
    Undecided { until: Timestamp },
    /// It loses some, and so do others, or its node's Collector did before: in words that stay the same.
    Alike(String),
    /// It loses, or doesn't get rid of, what others do: what, and how that is known.
    Worse { lost: String, beside: &'static str },
    /// It doesn't get rid of what it was given, nobody else tries, and it may yet go: in words that stay the same, in
    /// those of its end, and what is known of before.
    Stuck { fails: String, lost: String, beside: &'static str },
}

/// With what it was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum With {
    Others,
    Before,
    Nobody,
}

/// What was done in as long before a trial.
#[derive(Clone, Debug, Default)]
pub struct Before {
    /// By its node's Collector.
    pub own: Ways,
    /// By those of other nodes, until it ended.
    pub others: Vec<Ways>,
}

/// One trial's Collector beside others.
#[derive(Debug)]
pub struct Comparison {
    window: Window,
    before: Option<Before>,
    judged: Option<Fares>,
}

#[derive(Debug)]
struct Window {
    from: Timestamp,
    /// Since it started, at first.
    trial: Option<Reading>,
    others: Others,
    failing: Option<Failing>,
}

/// When something was first seen lost, or waiting in vain, and what was read then.
#[derive(Debug)]
struct Failing {
    since: Timestamp,
    trial: Reading,
    others: Others,
}

/// What went wrong in a window, by way.
struct Failures {
    lost: Ways,
    /// Nothing was sent of what waits.
    stuck: Ways,
}

/// What others did: since the window began, and since something is wrong.
struct Beside {
    whole: Vec<Ways>,
    failing: Vec<Ways>,
    before: Option<Before>,
}

/// Readings of other Collectors, by the uid of the pod.
pub type Others = BTreeMap<Box<str>, Reading>;

/// Of others, or of before, that fail as a trial does, the share of what they tried may be that many times less.
const MUCH_LESS: f64 = 2.0;
/// Others that lose no larger part of what one loses have no part in its trouble.
const HARDLY: f64 = 0.1;

// === impl With ===

impl With {
    const fn acquits(self) -> &'static str {
        match self {
            Self::Others => "Collectors of other nodes don't",
            Self::Before => "its node's Collector didn't before",
            Self::Nobody => "",
        }
    }

    const fn is_who(self) -> &'static str {
        match self {
            Self::Others | Self::Nobody => "on other nodes",
            Self::Before => "its node's did before",
        }
    }
}

// === impl Comparison ===

impl Comparison {
    /// Others as they were when it started, or a little before.
    #[must_use]
    pub fn new(now: Timestamp, others: Others, before: Option<Before>) -> Self {
        Self { window: Window { from: now, trial: None, others, failing: None }, before, judged: None }
    }

    /// What all of them tell now.
    pub fn look(&mut self, now: Timestamp, trial: &Reading, others: &Others) {
        let settled = |since: Timestamp| now >= since.saturating_add(SETTLE).unwrap_or(since);
        let Window { from, trial: base, others: bases, failing } = &mut self.window;
        // What one did before it was looked at is the past.
        for (uid, one) in others {
            bases.entry(uid.clone()).or_insert_with(|| one.clone());
        }
        let failures = Failures::between(base.as_ref(), failing.as_ref().map(|failing| &failing.trial), trial);
        if failures.are_none() {
            *failing = None;
            // What waited has gone.
            self.judged.take_if(|judged| matches!(judged, Fares::Stuck { .. }));
            if !settled(*from) {
                return;
            }
            self.judged = None;
        } else {
            let first = || Failing { since: now, trial: trial.clone(), others: others.clone() };
            let failing = failing.get_or_insert_with(first);
            if !settled(failing.since) {
                return;
            }
            let whole = others.iter().filter_map(|(uid, one)| Some(one.since(Some(bases.get(uid)?))));
            // What waits there now may be what waits here.
            let tried = others.iter().filter_map(|(uid, one)| Some(one.tried_since(failing.others.get(uid)?)));
            let beside = Beside { whole: whole.collect(), failing: tried.collect(), before: self.before.clone() };
            self.judged = Some(judge(&failures, &beside));
        }
        self.window = Window { from: now, trial: Some(trial.clone()), others: others.clone(), failing: None };
    }

    #[must_use]
    pub fn fares(&self) -> Fares {
        match (&self.judged, &self.window.failing) {
            (Some(judged), _) => judged.clone(),
            (None, Some(Failing { since, .. })) => {
                Fares::Undecided { until: since.saturating_add(SETTLE).unwrap_or(*since) }
            }
            (None, None) => Fares::Well,
        }
    }
}

// === impl Failures ===

impl Failures {
    /// Since the window began; and of what waits, since it was first seen.
    fn between(began: Option<&Reading>, failing: Option<&Reading>, now: &Reading) -> Self {
        let mut lost = now.since(began);
        lost.retain(|_, amounts| amounts.failed() > 0.0);
        let mut stuck = now.since(failing.or(began));
        stuck.retain(|way, amounts| amounts.is_stuck() && !lost.contains_key(way) && !way.leads_to_the_agent());
        Self { lost, stuck }
    }

    fn are_none(&self) -> bool {
        self.lost.is_empty() && self.stuck.is_empty()
    }
}

/// Of one window in which the trial's Collector lost something, or got rid of nothing. What others do better is told
/// first.
fn judge(failures: &Failures, beside: &Beside) -> Fares {
    let mut alike = None;
    let as_others = |way: &Way, with: With| format!("{}, as {}", way.fails(), with.is_who());
    for (way, amounts) in &failures.lost {
        let (as_much, with) = compared(way, amounts, &beside.whole, beside.before.as_ref());
        if !as_much {
            return Fares::Worse { lost: way.failed(amounts), beside: with.acquits() };
        }
        alike.get_or_insert_with(|| as_others(way, with));
    }
    let mut stuck = None;
    for (way, amounts) in &failures.stuck {
        let (as_much, with) = compared(way, amounts, &beside.failing, beside.before.as_ref());
        match (as_much, with) {
            (true, with) => drop(alike.get_or_insert_with(|| as_others(way, with))),
            (false, With::Others) => return Fares::Worse { lost: way.fails(), beside: with.acquits() },
            (false, With::Before | With::Nobody) => {
                let is_so = || Fares::Stuck { fails: way.fails(), lost: way.fails(), beside: with.acquits() };
                stuck.get_or_insert_with(is_so);
            }
        }
    }
    stuck.or(alike.map(Fares::Alike)).unwrap_or(Fares::Well)
}

/// Whether others fail as much, or it did before. That others did before, too, is no excuse once they don't.
fn compared(way: &Way, amounts: &Amounts, others: &[Ways], before: Option<&Before>) -> (bool, With) {
    let share = |ways: &Ways| ways.get(way).and_then(Amounts::share);
    let as_much = |share: f64, than: f64| share > 0.0 && share * MUCH_LESS >= than;
    let most_do = |ways: &[Ways], than: f64| {
        let tried: Vec<_> = ways.iter().filter_map(share).collect();
        let do_so = tried.iter().filter(|share| as_much(**share, than)).count();
        (!tried.is_empty()).then(|| do_so * 2 >= tried.len())
    };
    let mine = amounts.share().unwrap_or_default();
    let own = before.and_then(|before| Some((share(&before.own)?, &before.others)));
    let did = own.map(|(own, _)| as_much(own, mine));
    let was_alone = || own.is_some_and(|(own, others)| most_do(others, own * HARDLY) == Some(false));
    match (most_do(others, mine), did) {
        (Some(false), Some(true)) if was_alone() => (true, With::Before),
        (Some(do_so), _) => (do_so, With::Others),
        (None, Some(did)) => (did, With::Before),
        (None, None) => (false, With::Nobody),
    }
}

#[cfg(test)]
mod tests;
