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
    /// Until when something kept its pods from being injected, in seconds; known to whoever repairs them.
    pub left_alone: Option<i64>,
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

/// Whether something has kept a pod from being injected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kept {
    /// Not since it was created, as far as is known.
    #[default]
    Never,
    /// It had no label of its own when it was created: its namespace's counted then.
    Unlabelled,
    /// Until it was changed, or something that it depends on.
    Before,
    /// It is none of otelgate's business, whatever the labels say.
    Now,
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
    pub kept: Kept,
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

    /// Whether it should be injected, unless its spec or the mode says otherwise.
    fn is_wanted(&self, around: &Around) -> bool {
        self.kept != Kept::Now && around.left_out.is_none() && self.opt_in(around) == Some(OptIn::Enabled)
    }

    /// Takes over what is known of the same pod as it was before.
    pub fn follow(&mut self, before: &Self, around: &Around) {
        if self.uid != before.uid {
            return;
        }
        let (was_barred, is_barred) = (before.kept == Kept::Now, self.kept == Kept::Now);
        let is_as_before = self.own == before.own && was_barred == is_barred;
        // What was skipped may have been so for its labels.
        if is_as_before || before.look != Look::Skips {
            self.look = before.look;
        }
        if is_barred {
            return;
        }
        let was_unlabelled = before.own.opt_in().is_none();
        let is_freed = was_barred || (!was_unlabelled && self.look != Look::Injects);
        self.kept = match before.kept {
            Kept::Before => Kept::Before,
            // Whoever wrote the label has a newer time with each other field that they write.
            kept if is_as_before => kept,
            _ if is_freed && !before.is_wanted(around) && self.is_wanted(around) => Kept::Before,
            Kept::Never | Kept::Unlabelled if was_unlabelled => Kept::Unlabelled,
            _ => self.kept,
        };
    }

    /// Takes what another state of its namespace makes of it; the namespace is the same.
    pub fn follow_namespace(&mut self, before: &Around, now: &Around) {
        let is_called_again = before.left_out.is_some() && self.is_wanted(now) && self.look != Look::Injects;
        let has_other_defaults = before.annotations != now.annotations && self.look == Look::Skips;
        if is_called_again || has_other_defaults {
            self.free();
        }
    }

    /// What has kept it from being injected may do so no more.
    pub fn free(&mut self) {
        if self.kept != Kept::Now {
            self.kept = Kept::Before;
        }
    }

    /// Whether it was there before it was to be injected.
    fn is_older(&self, around: &Around, in_force: &InForce) -> bool {
        let (opted_in, configured) = (around.opted_in, in_force.enabled_since);
        match self.kept {
            Kept::Before => true,
            Kept::Unlabelled => coverage::is_older_unlabelled(self.created, around.own.opt_in(), opted_in, configured),
            Kept::Never | Kept::Now => coverage::is_older(self.created, self.own.opt_in(), opted_in, configured),
        }
    }

    /// `None` where the spec has to be looked at.
    #[must_use]
    pub fn coverage(&self, around: &Around, in_force: &InForce) -> Option<Coverage> {
        let configuration = &in_force.configuration;
        let carried = match self.mark {
            None => Carried::Nothing,
            Some(mark) if mark == Mark::of(configuration.hash()) => Carried::Current,
            Some(_) => Carried::Earlier,
        };
        let asked = configuration.mode() == OptIn::Enabled && self.is_wanted(around);
        let injects = match (asked, carried, self.look) {
            (true, Carried::Nothing, Look::Not | Look::NotListed) => return None,
            (true, Carried::Nothing, Look::Skips) => false,
            (asked, ..) => asked,
        };
        Some(Coverage::judge(injects, carried, self.is_older(around, in_force)))
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
