//! Which of several controllers leads: the rules of the Lease, without any I/O.
//!
//! As everybody's leader election has it, a candidate never compares another machine's clock with its own: it takes a
//! Lease over once the record hasn't changed for as long as it says that it counts.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::k8s::{Lease, LeaseSpec, MicroTime, ObjectMeta};

/// How long a record counts that nobody renews.
pub const DURATION: Duration = Duration::from_secs(15);
/// A leader that couldn't renew for so long stops, well before anybody else starts.
pub const RENEW_WITHIN: Duration = Duration::from_secs(10);
/// How often a leader renews, and a candidate looks.
pub const RETRY: Duration = Duration::from_secs(2);

/// A Lease as it was read, and since when it has read so.
#[derive(Clone, Debug)]
pub struct Seen {
    pub lease: Lease,
    since: Instant,
}

/// What a candidate does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// There is no Lease.
    Create,
    /// Nobody holds it, or nobody has renewed it in time.
    Take,
    /// It is ours.
    Renew,
    /// Somebody else leads.
    Wait,
}

// === impl Seen ===

impl Seen {
    #[must_use]
    pub fn new(lease: Lease, now: Instant) -> Self {
        Self { lease, since: now }
    }

    /// What was read now, after what was read before.
    #[must_use]
    pub fn after(self, before: Option<&Self>) -> Self {
        match before {
            Some(before) if before.lease.spec == self.lease.spec => Self { since: before.since, ..self },
            _ => self,
        }
    }

    /// Who leads, by what was read.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        self.lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
    }

    fn has_run_out(&self, now: Instant) -> bool {
        let seconds = self.lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
        let counts = seconds.and_then(|seconds| u64::try_from(seconds).ok()).map_or(DURATION, Duration::from_secs);
        now.saturating_duration_since(self.since) >= counts
    }
}

/// What follows from what was seen.
#[must_use]
pub fn step(seen: Option<&Seen>, identity: &str, now: Instant) -> Action {
    let Some(seen) = seen else { return Action::Create };
    match seen.holder() {
        Some(holder) if holder == identity => Action::Renew,
        Some(_) if !seen.has_run_out(now) => Action::Wait,
        _ => Action::Take,
    }
}

/// The Lease with this candidate as its holder. It keeps the version that was seen, so that of two who write at once
/// one is refused.
#[must_use]
pub fn held(seen: Option<&Seen>, name: &str, identity: &str, now: Timestamp) -> Lease {
    let mut lease = seen.map_or_else(
        || Lease { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, spec: None },
        |seen| seen.lease.clone(),
    );
    let renewed = seen.and_then(Seen::holder) == Some(identity);
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    if !renewed {
        spec.acquire_time = Some(MicroTime(now));
        spec.lease_transitions =
            Some(if seen.is_some() { spec.lease_transitions.unwrap_or(0).saturating_add(1) } else { 0 });
    }
    spec.holder_identity = Some(identity.to_owned());
    spec.lease_duration_seconds = Some(i32::try_from(DURATION.as_secs()).unwrap_or(i32::MAX));
    spec.renew_time = Some(MicroTime(now));
    lease
}

/// The Lease with nobody as its holder, so that the next needn't wait.
#[must_use]
pub fn released(seen: &Seen, now: Timestamp) -> Lease {
    let mut lease = seen.lease.clone();
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    spec.holder_identity = Some(String::new());
    spec.lease_duration_seconds = Some(1);
    spec.renew_time = Some(MicroTime(now));
    lease
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: Option<&str>, seconds: Option<i32>) -> Lease {
        let spec = LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: seconds,
            ..LeaseSpec::default()
        };
        Lease { spec: Some(spec), ..Lease::default() }
    }

    #[test]
    fn the_rules() {
        let then = Instant::now();
        let other = || Some(lease(Some("other"), Some(15)));
        for (lease, seconds_later, expected) in [
            (None, 0, Action::Create),
            (Some(lease(None, None)), 0, Action::Take),
            (Some(lease(Some(""), Some(15))), 0, Action::Take),
            (Some(lease(Some("me"), Some(15))), 0, Action::Renew),
            (Some(lease(Some("me"), Some(15))), 1000, Action::Renew),
            (other(), 0, Action::Wait),
            (other(), 14, Action::Wait),
            (other(), 15, Action::Take),
            (Some(lease(Some("other"), Some(60))), 59, Action::Wait),
            (Some(lease(Some("other"), None)), 14, Action::Wait),
            (Some(lease(Some("other"), Some(-1))), 14, Action::Wait),
            (Some(Lease::default()), 0, Action::Take),
        ] {
            let seen = lease.map(|lease| Seen::new(lease, then));
            let action = step(seen.as_ref(), "me", then + Duration::from_secs(seconds_later));
            assert_eq!(action, expected, "{seen:?} after {seconds_later} s");
        }
    }

    #[test]
    fn a_record_that_changes_is_not_taken_over() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut renewed = lease(Some("other"), Some(15));
        let first = Seen::new(renewed.clone(), at(0));
        let same = Seen::new(renewed.clone(), at(10)).after(Some(&first));
        assert_eq!(step(Some(&same), "me", at(15)), Action::Take, "reading it again is no renewal");
        renewed.spec.as_mut().expect("it has one").renew_time = Some(MicroTime(Timestamp::UNIX_EPOCH));
        let second = Seen::new(renewed, at(10)).after(Some(&first));
        assert_eq!(step(Some(&second), "me", at(15)), Action::Wait);
        assert_eq!(step(Some(&second), "me", at(25)), Action::Take);
    }

    #[test]
    fn taking_over_counts_and_keeps_the_version() {
        let now = Timestamp::from_second(1_800_000_000).expect("in range");
        let mut others = lease(Some("other"), Some(15));
        others.metadata.resource_version = Some("7".to_owned());
        others.spec.as_mut().expect("it has one").lease_transitions = Some(3);
        let taken = held(Some(&Seen::new(others, Instant::now())), "lease", "me", now);
        assert_eq!(taken.metadata.resource_version.as_deref(), Some("7"));
        let spec = taken.spec.clone().expect("it has one");
        assert_eq!((spec.lease_transitions, spec.acquire_time), (Some(4), Some(MicroTime(now))));
        let later = now + jiff::SignedDuration::from_secs(2);
        let renewed = held(Some(&Seen::new(taken, Instant::now())), "lease", "me", later).spec.expect("it has one");
        assert_eq!((renewed.lease_transitions, renewed.acquire_time), (Some(4), Some(MicroTime(now))));
        assert_eq!(renewed.renew_time, Some(MicroTime(later)));
    }

    #[test]
    fn a_released_lease_is_anybodys_at_once() {
        let mine = Seen::new(lease(Some("me"), Some(15)), Instant::now());
        let free = Seen::new(released(&mine, Timestamp::UNIX_EPOCH), Instant::now());
        assert_eq!(step(Some(&free), "other", Instant::now()), Action::Take);
    }
}
