//! What is to go, and is still there: pure.

use std::time::{Duration, Instant};

use super::observe::Set;
use super::pod::Rollout;
use super::since::Since;
use crate::api::condition::Reason;
use crate::controller::objects::Outcome;
use crate::watch::Objects;

/// Since when a `DaemonSet` was to have gone.
#[derive(Debug, Default)]
pub struct Going(Since<Rollout>);

/// One may take that long to go.
const PATIENCE: Duration = Duration::from_secs(30);

// === impl Going ===

impl Going {
    /// The one that should have gone by now, or how long there is still to wait.
    pub fn late(&mut self, sets: &Objects<Option<Set>>, now: Instant) -> Result<Option<Rollout>, Duration> {
        // What has neither label nor owner isn't known to be anybody's to delete.
        let is_ours = |set: &Set| set.owned || !set.stripped;
        let is_there = |rollout: &Rollout| sets.get(rollout.daemon_set()).and_then(Option::as_ref).is_some_and(is_ours);
        let there = Rollout::ALL.into_iter().find(is_there);
        match (there, self.0.see(there, now)) {
            (Some(_), Some(since)) if since < PATIENCE => Err(PATIENCE.saturating_sub(since)),
            (there, _) => Ok(there),
        }
    }
}

/// Why something stays, as whoever deletes has it of the spec of that generation.
#[must_use]
pub fn told(outcome: Option<&Outcome>, generation: i64, late: Option<Rollout>) -> Option<(Reason, String)> {
    let late = || late.map(|rollout| format!("DaemonSet {} is to go, and is still there", rollout.daemon_set()));
    match outcome.filter(|outcome| outcome.generation() == generation) {
        Some(Outcome::Refused { object, why, .. }) => {
            Some((Reason::CollectorNotWritten, format!("{object} is to go: {why}")))
        }
        Some(Outcome::Contested { object, by, .. }) => {
            Some((Reason::CollectorContested, format!("{object} is put back each time by {by}")))
        }
        // Nobody need be allowed to look at what was never there.
        Some(Outcome::Unseen { kind, why, .. }) => {
            late().map(|late| (Reason::CollectorNotWritten, format!("{late}; {kind}: {why}")))
        }
        Some(Outcome::Kept { .. } | Outcome::Foreign { .. }) | None => {
            late().map(|late| (Reason::CollectorNotWritten, late))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::observe::tests as observed;
    use super::*;
    use crate::controller::contest::Undoing;

    #[test]
    fn what_stays_is_told_in_the_words_of_the_api_server() {
        let refused = |generation| Outcome::Refused {
            generation,
            object: "DaemonSet otel-collector".to_owned(),
            why: "no".to_owned(),
            answered: true,
        };
        let contested = Outcome::Contested {
            generation: 2,
            object: "Service otel-collector".to_owned(),
            how: Undoing::PutBack,
            by: "argocd".to_owned(),
        };
        let unseen = Outcome::Unseen { generation: 2, kind: "RoleBinding", why: "forbidden".to_owned() };
        let kept = Outcome::Kept { generation: 2 };
        let (written, late) = (Reason::CollectorNotWritten, Some(Rollout::Trial));
        let still = "DaemonSet otel-collector-trial is to go, and is still there";
        for (outcome, late, expected) in [
            (None, None, None),
            (Some(refused(1)), None, None),
            (Some(refused(2)), None, Some((written, "DaemonSet otel-collector is to go: no".to_owned()))),
            (
                Some(contested),
                None,
                Some((Reason::CollectorContested, "Service otel-collector is put back each time by argocd".to_owned())),
            ),
            (Some(unseen.clone()), None, None),
            (Some(unseen), late, Some((written, format!("{still}; RoleBinding: forbidden")))),
            (Some(kept.clone()), None, None),
            (Some(kept), late, Some((written, still.to_owned()))),
            (None, late, Some((written, still.to_owned()))),
        ] {
            assert_eq!(told(outcome.as_ref(), 2, late), expected, "{outcome:?} {late:?}");
        }
    }

    #[test]
    fn one_that_goes_has_a_while_for_it() {
        let set = |stripped, owned| Some(Set { stripped, owned, ..observed::set("r") });
        let (mut going, start) = (Going::default(), Instant::now());
        let mut late = |set: Option<Set>, second: u64| {
            let sets = Objects::from([(Rollout::Stable.daemon_set().to_owned(), set)]);
            going.late(&sets, start + Duration::from_secs(second)).map_err(|left| left.as_secs())
        };
        assert_eq!(late(None, 0), Ok(None));
        assert_eq!(late(set(false, true), 1), Err(30));
        assert_eq!(late(set(true, true), 21), Err(10));
        assert_eq!(late(set(false, true), 31), Ok(Some(Rollout::Stable)));
        assert_eq!(late(None, 32), Ok(None));
        assert_eq!(late(set(false, true), 33), Err(30));
        assert_eq!(late(set(true, false), 99), Ok(None), "nobody says that it is ours");
    }
}
