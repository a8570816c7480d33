//! Whether what Collectors take in is sent: pure, from what is known of each.

use super::totals::{Flow, Queue, Signal};
use super::track::{Standing, Window};
use crate::api::condition::Reason;
use crate::controller::status::Verdict;
use crate::words::count;

/// What a Collector is counted under, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    SendFailed,
    Refused,
    Filling,
    NothingSent,
    Silent,
    Fresh,
    Idle,
    Delivering,
}

/// All of them in numbers, with the names of those at fault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    counts: [usize; State::ALL.len()],
    /// Each with what was seen, of the first few in each state.
    named: [Vec<String>; State::ALL.len()],
}

/// Of what comes in, as much may be lost before a Collector is at fault: one part in so many.
const TOLERATED: f64 = 100.0;
/// Fuller than that, a queue is filling.
const FULL: f64 = 0.8;
const COLLECTOR: &str = "Collector";
/// Names in a message, for each fault.
const MAX_NAMES: usize = 3;

// === impl State ===

impl State {
    pub const ALL: [Self; 8] = [
        Self::SendFailed,
        Self::Refused,
        Self::Filling,
        Self::NothingSent,
        Self::Silent,
        Self::Fresh,
        Self::Idle,
        Self::Delivering,
    ];

    /// As a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendFailed => "send_failed",
            Self::Refused => "refused",
            Self::Filling => "queue_filling",
            Self::NothingSent => "nothing_sent",
            Self::Silent => "not_scraped",
            Self::Fresh => "fresh",
            Self::Idle => "idle",
            Self::Delivering => "delivering",
        }
    }

    const fn fault(self) -> Option<(Reason, &'static str)> {
        match self {
            Self::SendFailed => Some((Reason::SendFailed, "lost data that couldn't be sent")),
            Self::Refused => Some((Reason::DataRefused, "refused data")),
            Self::Filling => Some((Reason::QueueFilling, "can't send as fast as data comes in")),
            Self::NothingSent => Some((Reason::NothingSent, "took in data and sent nothing of it")),
            Self::Silent => Some((Reason::NotScraped, "didn't tell their metrics")),
            Self::Fresh | Self::Idle | Self::Delivering => None,
        }
    }
}

// === impl Tally ===

impl Tally {
    #[must_use]
    pub fn of<'n>(standings: impl IntoIterator<Item = (&'n str, Standing)>) -> Self {
        let mut tally = Self::default();
        for (name, standing) in standings {
            let (state, seen) = judge(&standing);
            let at = state as usize;
            tally.counts[at] += 1;
            if tally.named[at].len() < MAX_NAMES && state.fault().is_some() {
                tally.named[at].push(if seen.is_empty() { name.to_owned() } else { format!("{name} ({seen})") });
            }
        }
        tally
    }

    #[must_use]
    pub fn count(&self, state: State) -> usize {
        self.counts[state as usize]
    }

    #[must_use]
    pub fn total(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Those that do what they should, of all: `3/3`.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{}/{}", self.count(State::Idle) + self.count(State::Delivering), self.total())
    }

    /// What the condition says; nothing while none has been measured. `opted_in` is the number of pods that are told to
    /// send, where it is known.
    #[must_use]
    pub fn verdict(&self, opted_in: Option<u64>, generation: i64) -> Option<Verdict> {
        let of = |reason, detail: String| Some(Verdict::new(reason, detail, generation));
        let total = self.total();
        if total == 0 {
            return of(Reason::NoCollector, String::new());
        }
        let faults: Vec<_> = State::ALL
            .into_iter()
            .filter(|state| self.count(*state) > 0)
            .filter_map(|state| state.fault().map(|(reason, says)| (reason, self.sentence(state, says))))
            .collect();
        if let Some((reason, _)) = faults.first() {
            let sentences: Vec<_> = faults.iter().map(|(_, sentence)| sentence.as_str()).collect();
            return of(*reason, sentences.join("; "));
        }
        let (fresh, idle, delivering) =
            (self.count(State::Fresh), self.count(State::Idle), self.count(State::Delivering));
        if fresh == total {
            return None;
        }
        let measured = match fresh {
            0 => format!("{} measured", count(total, COLLECTOR)),
            _ => format!("{} of {} measured", total - fresh, count(total, COLLECTOR)),
        };
        match (delivering, idle, opted_in) {
            (0, _, Some(pods)) if pods > 0 => {
                let plural = if pods == 1 { "pod that is" } else { "pods that are" };
                of(Reason::NothingArrives, format!("nothing arrives from {pods} {plural} opted in; {measured}"))
            }
            (0, ..) => of(Reason::NothingArrives, format!("nothing arrives; {measured}")),
            _ => of(Reason::Delivering, format!("what arrives is sent; {measured}")),
        }
    }

    fn sentence(&self, state: State, says: &str) -> String {
        let (at_fault, names) = (self.count(state), &self.named[state as usize]);
        let others =
            if at_fault > names.len() { format!(" and {} others", at_fault - names.len()) } else { String::new() };
        format!("{at_fault} of {} {says}: {}{others}", count(self.total(), COLLECTOR), names.join(", "))
    }
}

/// The worst that can be said, and what was seen of it.
fn judge(standing: &Standing) -> (State, String) {
    match standing {
        Standing::Fresh => (State::Fresh, String::new()),
        Standing::Silent(why) => (State::Silent, why.clone()),
        Standing::Measured { window: Some(window), queue } => of_window(window, queue.as_ref()),
        // One reading tells how full a queue is; what was counted before it is the past.
        Standing::Measured { window: None, queue } => {
            filling(queue.as_ref()).unwrap_or_else(|| (State::Fresh, String::new()))
        }
    }
}

fn filling(queue: Option<&Queue>) -> Option<(State, String)> {
    let queue = queue.filter(|queue| queue.fullness() >= FULL)?;
    Some((State::Filling, format!("the queue of {} is nearly full", queue.exporter)))
}

fn of_window(window: &Window, queue: Option<&Queue>) -> (State, String) {
    let Window { counts, stuck, writers_stuck } = window;
    let flows = || Signal::ALL.into_iter().zip(&counts.flows);
    let named = |is: &dyn Fn(&Flow) -> bool| -> Vec<&'static str> {
        flows().filter(|(_, flow)| is(flow)).map(|(signal, _)| signal.as_str()).collect()
    };
    let is_much = |lost: f64, of: f64| lost > 0.0 && lost * TOLERATED > of;
    let failing = named(&|flow| is_much(flow.failed, flow.sent + flow.failed));
    if !failing.is_empty() {
        return (State::SendFailed, failing.join(", "));
    }
    if counts.writers.iter().any(|writer| is_much(writer.failed, writer.sent + writer.failed)) {
        return (State::SendFailed, "traces, by the datadog exporter's own count".to_owned());
    }
    let refusing = named(&|flow| is_much(flow.turned_away(), flow.accepted + flow.turned_away()));
    if !refusing.is_empty() {
        let limited = counts.flows.iter().any(|flow| flow.limited > 0.0);
        let by = if limited { ", by the memory limiter" } else { "" };
        return (State::Refused, format!("{}{by}", refusing.join(", ")));
    }
    if let Some(filling) = filling(queue) {
        return filling;
    }
    let stuck: Vec<_> =
        Signal::ALL.into_iter().zip(stuck).filter(|(_, stuck)| **stuck).map(|(signal, _)| signal.as_str()).collect();
    if !stuck.is_empty() {
        return (State::NothingSent, stuck.join(", "));
    }
    if *writers_stuck {
        return (State::NothingSent, "traces, which the datadog exporter tries in vain".to_owned());
    }
    let arrives = counts.flows.iter().any(|flow| flow.accepted > 0.0);
    (if arrives { State::Delivering } else { State::Idle }, String::new())
}
