//! What becomes of one workload: from what was seen of it to the next move. Pure.
//!
//! Nothing is evicted that might not come back better, and what was evicted is waited for. However a workload behaves, it
//! ends: each eviction is paid from a number that is fixed when the first one is decided.

use std::fmt;
use std::time::Duration;

use super::facts::{Facts, Lack, Owner, PodFacts};
use super::ledger::{End, Entry};
use crate::api::stack::Repair;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Evict that pod. The entry is what has to be written down before.
    Evict {
        name: String,
        uid: String,
        entry: Entry,
    },
    /// For the last one's replacement.
    Wait,
    /// Nothing is left to be done.
    Done,
    /// What was evicted came back no better.
    Stop(End),
    Leave(Left),
}

/// Why a workload is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    BarePod,
    OfJob,
    UnknownOwner,
    OwnerGone,
    FewReplicas,
    Paused,
    RollingOut,
    Crashing,
    NotReady,
    /// It was repaired for this configuration already.
    Once,
    CameBackUnmarked,
    CameBackNotReady,
    /// The API server's words.
    Refused(String),
}

/// Unless the workload itself says.
pub const PATIENCE: Duration = Duration::from_mins(10);
/// Whatever it says: some say that they never give up.
const LONGEST: Duration = Duration::from_hours(1);
/// Between two pods of a workload: what comes back and crashes shows it by then.
pub const PAUSE: Duration = Duration::from_secs(10);
/// So many have to be Ready, so that one can be spared.
const SPARE: i64 = 2;

// === impl Left ===

impl Left {
    /// What was evicted came back no better.
    #[must_use]
    pub const fn is_fault(&self) -> bool {
        matches!(self, Self::CameBackUnmarked | Self::CameBackNotReady)
    }

    /// Its repair is over.
    #[must_use]
    pub const fn is_end(&self) -> bool {
        matches!(self, Self::Once) || self.is_fault()
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BarePod => "a pod that nobody would make again",
            Self::OfJob => "of a Job, which starts over",
            Self::UnknownOwner => "of a kind that doesn't say how its pods stand",
            Self::OwnerGone => "its owner isn't there any more",
            Self::FewReplicas => "fewer than two replicas are Ready",
            Self::Paused => "it is paused",
            Self::RollingOut => "it is in the middle of a rollout",
            Self::Crashing => "its containers don't get going",
            Self::NotReady => "not all of its pods are Ready",
            Self::Once => "it was repaired once for this configuration",
            Self::CameBackUnmarked => "its pods came back without the mark",
            Self::CameBackNotReady => "its pods came back, and didn't become Ready",
            Self::Refused(words) => words,
        })
    }
}

impl From<End> for Left {
    fn from(end: End) -> Self {
        match end {
            End::Done => Self::Once,
            End::Unmarked => Self::CameBackUnmarked,
            End::NotReady => Self::CameBackNotReady,
        }
    }
}

/// The next move. `waited`: since the last eviction; `None` where that was refused, so that nothing comes of it.
#[must_use]
pub fn next(facts: &Facts, entry: Option<Entry>, asked: &Repair, waited: Option<Duration>) -> Move {
    let Facts { owner, pods } = facts;
    if let Some(end) = entry.and_then(|entry| entry.end) {
        return Move::Leave(end.into());
    }
    let waited = entry.and(waited);
    let staying = || pods.iter().filter(|pod| !pod.leaving);
    let is_new = |pod: &PodFacts| entry.is_some_and(|entry| pod.created > entry.newest);
    if staying().any(|pod| is_new(pod) && pod.lacks.is_some()) {
        return Move::Stop(End::Unmarked);
    }
    if staying().any(|pod| is_new(pod) && (pod.crashing || pod.restarted)) {
        return Move::Stop(End::NotReady);
    }
    if let Some(left) = unfit(owner, pods, waited.is_some()) {
        return Move::Leave(left);
    }
    let settled = staying().filter(|pod| pod.ready).count() == staying().count()
        && pods.iter().all(|pod| !pod.leaving)
        && i64::try_from(staying().count()).is_ok_and(|there| there >= owner.desired);
    if !settled {
        return match waited {
            None => Move::Leave(Left::NotReady),
            Some(waited) if waited < patience(owner) => Move::Wait,
            Some(_) => Move::Stop(End::NotReady),
        };
    }
    if waited.is_some_and(|waited| waited < owner.pause.max(PAUSE)) {
        return Move::Wait;
    }
    let mut targets: Vec<_> = staying().filter(|pod| !is_new(pod) && is_asked(pod, asked)).collect();
    targets.sort_by(|one, other| (one.created, &one.name).cmp(&(other.created, &other.name)));
    let Some(first) = targets.first() else { return Move::Done };
    let newest = staying().map(|pod| pod.created).max().unwrap_or_default();
    let number = u16::try_from(targets.len()).unwrap_or(u16::MAX);
    let entry = entry.unwrap_or(Entry { left: number, newest, end: None });
    match entry.left.checked_sub(1) {
        None => Move::Stop(End::Done),
        Some(left) => Move::Evict { name: first.name.clone(), uid: first.uid.clone(), entry: Entry { left, ..entry } },
    }
}

/// How long what was evicted may take to be replaced by what is Ready.
#[must_use]
pub fn patience(owner: &Owner) -> Duration {
    owner.patience.unwrap_or(PATIENCE).min(LONGEST)
}

/// Pods that a repair would evict, of a workload that is as it should be.
#[must_use]
pub fn targets(facts: &Facts, asked: &Repair) -> usize {
    facts.pods.iter().filter(|pod| !pod.leaving && is_asked(pod, asked)).count()
}

fn is_asked(pod: &PodFacts, asked: &Repair) -> bool {
    match pod.lacks {
        Some(Lack::Missed) => asked.missed,
        Some(Lack::Outdated) => asked.outdated,
        None => false,
    }
}

/// Why nothing may be taken from it just now. `waits`: for what becomes of an eviction.
fn unfit(owner: &Owner, pods: &[PodFacts], waits: bool) -> Option<Left> {
    let ready = pods.iter().filter(|pod| pod.ready && !pod.leaving).count();
    if pods.iter().any(|pod| pod.crashing && !pod.leaving) {
        Some(Left::Crashing)
    } else if owner.paused {
        Some(Left::Paused)
    } else if owner.rolling {
        Some(Left::RollingOut)
    } else if owner.desired < SPARE || (!waits && ready < 2) {
        Some(Left::FewReplicas)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
