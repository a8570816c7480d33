//! One pod, cut to what its coverage is told from, and the counts that come of many.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use crate::api::OptIn;
use crate::config::Configuration;
use crate::coverage::{self, Carried, Coverage};
use crate::inject::rules::LeftOut;

/// What an opt-in label says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OwnLabel {
    #[default]
    Absent,
    Says(OptIn),
    /// None of the three words.
    Invalid,
}

/// A pod's identity, in two halves: in one, each record would have a gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uid([u64; 2]);

/// The hash of the configuration that a pod says it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(NonZeroU64);

/// A workload, or a pod that has none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    pub namespace: Arc<str>,
    pub kind: Box<str>,
    pub name: Box<str>,
}

/// What pods of a namespace depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    pub own: OwnLabel,
    /// When the label was written, in seconds.
    pub opted_in: Option<i64>,
    /// The label is written as an annotation, too.
    pub annotated: bool,
    /// The API server never asks about its pods.
    pub left_out: Option<LeftOut>,
    /// Those that are defaults for pods.
    pub annotations: Arc<[(Box<str>, Box<str>)]>,
    pub uid: Box<str>,
}

/// What pods are judged by.
#[derive(Clone, Debug)]
pub struct InForce {
    pub configuration: Arc<Configuration>,
    /// Since when its mode lets pods be injected, in seconds.
    pub enabled_since: Option<i64>,
}

/// What was found in a pod without a mark, that should have one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Look {
    #[default]
    Not,
    /// A list of its namespace's pods didn't have it.
    NotListed,
    Injects,
    Skips,
}

#[derive(Clone, Debug)]
pub struct Record {
    pub uid: Uid,
    pub created: i64,
    pub workload: Arc<Name>,
    pub mark: Option<Mark>,
    pub epoch: u32,
    pub own: OwnLabel,
    pub look: Look,
    pub annotated: bool,
    pub barred: bool,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Of all that run.
    Pods,
    Injected,
    Missed,
    RestartPending,
    Outdated,
    /// Should have a mark, unless their specs say otherwise, which nobody has looked at yet.
    Unseen,
    InvalidOptIn,
    OptInIsALabel,
}

/// How many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([u32; 8]);

// === impl InForce ===

impl PartialEq for InForce {
    fn eq(&self, other: &Self) -> bool {
        self.configuration.revision() == other.configuration.revision() && self.enabled_since == other.enabled_since
    }
}

// === impl OwnLabel ===

impl OwnLabel {
    #[must_use]
    pub fn of(value: Option<&str>) -> Self {
        match value {
            None => Self::Absent,
            Some(value) => OptIn::parse(value).map_or(Self::Invalid, Self::Says),
        }
    }

    #[must_use]
    pub const fn opt_in(self) -> Option<OptIn> {
        match self {
            Self::Says(opt_in) => Some(opt_in),
            Self::Absent | Self::Invalid => None,
        }
    }
}

// === impl Name ===

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, kind, name } = self;
        write!(f, "{namespace}/{kind}/{name}")
    }
}

// === impl Uid ===

impl From<u128> for Uid {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    fn from(number: u128) -> Self {
        Self([(number >> 64) as u64, number as u64])
    }
}

// === impl Mark ===

impl Mark {
    #[must_use]
    pub fn of(hash: &str) -> Self {
        // What is no hash of ours is that of no configuration.
        let number = u64::from_str_radix(hash, 16).ok().filter(|_| hash.len() == 16).and_then(NonZeroU64::new);
        Self(number.unwrap_or(NonZeroU64::MIN))
    }
}

// === impl Tally ===

impl Tally {
    #[must_use]
    pub const fn get(&self, count: Count) -> u32 {
        self.0[count as usize]
    }

    /// Those that lack their mark, or carry an old one.
    #[must_use]
    pub const fn lacking(&self) -> u32 {
        self.get(Count::Missed) + self.get(Count::RestartPending) + self.get(Count::Outdated)
    }

    /// Those that should be injected.
    #[must_use]
    pub const fn expected(&self) -> u32 {
        self.get(Count::Injected) + self.lacking()
    }

    pub fn one(&mut self, count: Count) {
        self.0[count as usize] += 1;
    }

    pub fn add(&mut self, other: Self) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own += other;
        }
    }

    pub fn take(&mut self, other: Self) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own = own.saturating_sub(other);
        }
    }
}

// === impl Record ===

impl Record {
    /// What the labels ask for.
    fn opt_in(&self, around: &Around) -> Option<OptIn> {
        self.own.opt_in().or(around.own.opt_in())
    }

    /// `None` where the spec has to be looked at.
    #[must_use]
    pub fn coverage(&self, around: &Around, in_force: &InForce) -> Option<Coverage> {
        let InForce { configuration, enabled_since } = in_force;
        let carried = match self.mark {
            None => Carried::Nothing,
            Some(mark) if mark == Mark::of(configuration.hash()) => Carried::Current,
            Some(_) => Carried::Earlier,
        };
        let barred = self.barred || around.left_out.is_some();
        let asked = !barred && configuration.mode() == OptIn::Enabled && self.opt_in(around) == Some(OptIn::Enabled);
        let injects = match (asked, carried, self.look) {
            (true, Carried::Nothing, Look::Not | Look::NotListed) => return None,
            (true, Carried::Nothing, Look::Skips) => false,
            (asked, ..) => asked,
        };
        let older = coverage::is_older(self.created, self.own.opt_in(), around.opted_in, *enabled_since);
        Some(Coverage::judge(injects, carried, older))
    }

    #[must_use]
    pub fn tally(&self, around: &Around, in_force: Option<&InForce>) -> Tally {
        let mut tally = Tally::default();
        tally.one(Count::Pods);
        if self.own == OwnLabel::Invalid {
            tally.one(Count::InvalidOptIn);
        }
        if self.annotated && self.opt_in(around).is_none() {
            tally.one(Count::OptInIsALabel);
        }
        if let Some(in_force) = in_force {
            match self.coverage(around, in_force) {
                None => tally.one(Count::Unseen),
                Some(Coverage::Injected) => tally.one(Count::Injected),
                Some(Coverage::Missed) => tally.one(Count::Missed),
                Some(Coverage::RestartPending) => tally.one(Count::RestartPending),
                Some(Coverage::Outdated) => tally.one(Count::Outdated),
                Some(Coverage::LeftOver | Coverage::NotExpected) => {}
            }
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There may be a hundred thousand, and one in three more is room in their map.
    #[test]
    fn a_record_is_small() {
        assert_eq!(size_of::<Record>(), 48);
    }
}
