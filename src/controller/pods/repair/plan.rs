//! What becomes of one workload: from what was seen of it to the next move. Pure.
//!
//! Nothing is evicted that might not come back better, and what was evicted is waited for. However a workload behaves, it
//! ends: each eviction is paid from a number that is fixed when the first one is decided. What was there before it is no
//! fault of what came of it.

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
    /// For the last one's replacement, or for what is in the way of the next one.
    Wait,
    /// Nothing is left to be done.
    Done,
    /// What was evicted came back no better.
    Stop(End),
    Leave(Left),
}

/// How long has been waited for what comes of an eviction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waited {
    /// Since that one; `None` where its workload was left meanwhile.
    pub since: Option<Duration>,
    /// For so long its replacement has been lacking, without a break.
    pub lacking: Duration,
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
    Terminating,
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
            Self::Terminating => "a pod of it is still terminating",
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

/// The next move. `waited` is `None` where the last eviction was refused, so that nothing comes of it.
#[must_use]
pub fn next(facts: &Facts, entry: Option<Entry>, asked: &Repair, waited: Option<Waited>) -> Move {
    let Facts { owner, pods } = facts;
    if let Some(end) = entry.and_then(|entry| entry.end) {
        return Move::Leave(end.into());
    }
    let begun = entry.zip(waited);
    let is_new = |pod: &PodFacts| entry.is_some_and(|entry| pod.created > entry.newest);
    if staying(pods).any(|pod| is_new(pod) && pod.lacks.is_some()) {
        return Move::Stop(End::Unmarked);
    }
    if staying(pods).any(|pod| is_new(pod) && (pod.crashing || pod.restarted)) {
        return Move::Stop(End::NotReady);
    }
    if let Some(left) = unfit(owner, pods, begun.is_some()) {
        return Move::Leave(left);
    }
    let mut targets: Vec<_> = staying(pods).filter(|pod| !is_new(pod) && is_asked(pod, asked)).collect();
    if let Some(left) = unsettled(owner, pods) {
        let Some((entry, Waited { since, lacking })) = begun else { return Move::Leave(left) };
        return if lacks_replacement(facts, entry) {
            if lacking < patience(owner) { Move::Wait } else { Move::Stop(End::NotReady) }
        } else if since.is_some_and(|since| since < patience(owner) + grace(pods)) {
            Move::Wait
        } else if targets.is_empty() {
            // None of it is evicted any more: what is missed from now on is no fault of this repair's.
            Move::Done
        } else {
            Move::Leave(left)
        };
    }
    if begun.is_some_and(|(_, waited)| waited.since.unwrap_or_default() < owner.pause.max(PAUSE)) {
        return Move::Wait;
    }
    targets.sort_by(|one, other| (one.created, &one.name).cmp(&(other.created, &other.name)));
    let Some(first) = targets.first() else { return Move::Done };
    let newest = staying(pods).map(|pod| pod.created).max().unwrap_or_default();
    let number = u16::try_from(targets.len()).unwrap_or(u16::MAX);
    let entry = entry.unwrap_or(Entry { left: number, newest, last: newest, end: None });
    match entry.left.checked_sub(1) {
        None => Move::Stop(End::Done),
        Some(left) => Move::Evict {
            name: first.name.clone(),
            uid: first.uid.clone(),
            entry: Entry { left, last: newest, ..entry },
        },
    }
}

/// Whether what came since the last eviction isn't Ready, or nothing came though no pod has to go before it does.
#[must_use]
pub fn lacks_replacement(Facts { owner, pods }: &Facts, entry: Entry) -> bool {
    staying(pods).any(|pod| pod.created > entry.last && !pod.ready) || (!has_leaving(pods) && is_short(owner, pods))
}

/// How long what was evicted may take to be replaced by what is Ready.
#[must_use]
pub fn patience(owner: &Owner) -> Duration {
    owner.patience.unwrap_or(PATIENCE).min(LONGEST)
}

/// Pods that a repair would evict, of a workload that is as it should be.
#[must_use]
pub fn targets(facts: &Facts, asked: &Repair) -> usize {
    staying(&facts.pods).filter(|pod| is_asked(pod, asked)).count()
}

fn is_asked(pod: &PodFacts, asked: &Repair) -> bool {
    match pod.lacks {
        Some(Lack::Missed) => asked.missed,
        Some(Lack::Outdated) => asked.outdated,
        None => false,
    }
}

fn staying(pods: &[PodFacts]) -> impl Iterator<Item = &PodFacts> {
    pods.iter().filter(|pod| !pod.leaving)
}

fn has_leaving(pods: &[PodFacts]) -> bool {
    pods.iter().any(|pod| pod.leaving)
}

/// Whether there are fewer pods than there should be.
fn is_short(owner: &Owner, pods: &[PodFacts]) -> bool {
    i64::try_from(staying(pods).count()).is_ok_and(|there| there < owner.desired)
}

/// How long what is leaving may take for that.
fn grace(pods: &[PodFacts]) -> Duration {
    let leaving = pods.iter().filter(|pod| pod.leaving);
    leaving.map(|pod| pod.grace).max().unwrap_or_default().min(LONGEST)
}

/// What the next eviction has to wait for; `None` where each pod is there, and Ready.
fn unsettled(owner: &Owner, pods: &[PodFacts]) -> Option<Left> {
    if staying(pods).any(|pod| !pod.ready) || (!has_leaving(pods) && is_short(owner, pods)) {
        Some(Left::NotReady)
    } else {
        has_leaving(pods).then_some(Left::Terminating)
    }
}

/// Why nothing may be taken from it just now. `waits`: for what becomes of an eviction.
fn unfit(owner: &Owner, pods: &[PodFacts], waits: bool) -> Option<Left> {
    let ready = staying(pods).filter(|pod| pod.ready).count();
    if staying(pods).any(|pod| pod.crashing) {
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
