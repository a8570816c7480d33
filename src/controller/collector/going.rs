//! What is to go, and is still there: pure.

use std::time::{Duration, Instant};

use super::observe::Set;
use super::pod::{Pod, Rollout};
use super::since::Since;
use crate::api::condition::Reason;
use crate::api::label;
use crate::controller::objects::Outcome;
use crate::watch::Objects;
use crate::words::count;

/// Since when something was to have gone.
#[derive(Debug, Default)]
pub struct Going(Since<Late>);

/// What should have gone by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    Set(Rollout),
    /// Of no `DaemonSet` of ours: who had them was deleted without them, say. The Agent waits for them.
    Pods {
        count: usize,
        /// The one that they are of, of which nothing says that it is ours.
        of: Option<Rollout>,
    },
}

/// One may take that long to go; of many pods, the next.
pub const PATIENCE: Duration = Duration::from_secs(30);

// === impl Going ===

impl Going {
    /// What should have gone by now, of the pods that are waited for, or how long there is still to wait.
    pub fn late(&mut self, sets: &Objects<Option<Set>>, pods: &[&Pod], now: Instant) -> Result<Option<Late>, Duration> {
        let set = |rollout: &Rollout| sets.get(rollout.daemon_set()).and_then(Option::as_ref);
        let is_there = |rollout: &Rollout| set(rollout).is_some_and(Set::is_ours);
        let there = Rollout::ALL.into_iter().find(is_there).map(Late::Set).or_else(|| {
            let stay = || pods.iter().filter(|pod| pod.rollout.is_some() && !pod.leaving);
            let has = |rollout: &Rollout| {
                let uid = set(rollout).map(|set| set.uid.as_str());
                uid.is_some() && stay().any(|pod| pod.owner.as_deref() == uid)
            };
            let count = stay().count();
            (count > 0).then(|| Late::Pods { count, of: Rollout::ALL.into_iter().find(has) })
        });
        match (there, self.0.see(there, now)) {
            (Some(_), Some(since)) if since < PATIENCE => Err(PATIENCE.saturating_sub(since)),
            (there, _) => Ok(there),
        }
    }
}

// === impl Late ===

impl Late {
    /// With what to do where nobody else does anything.
    fn told(self, namespace: &str) -> String {
        match self {
            Self::Set(rollout) => format!("DaemonSet {} is to go, and is still there", rollout.daemon_set()),
            Self::Pods { count: number, of: Some(rollout) } => {
                let (pods, name) = (count(number, "pod"), rollout.daemon_set());
                format!(
                    "{pods} of DaemonSet {name}, of which neither label nor owner says that it is otelgate's: kubectl \
                     delete daemonset {name} -n {namespace}"
                )
            }
            Self::Pods { count: number, of: None } => {
                let (pods, label) = (count(number, "pod"), label::ROLLOUT);
                format!("{pods} that nobody takes away: kubectl delete pods -n {namespace} -l {label}")
            }
        }
    }
}

/// Why something stays, as whoever deletes has it of the spec of that generation.
#[must_use]
pub fn told(
    outcome: Option<&Outcome>,
    generation: i64,
    late: Option<Late>,
    namespace: &str,
) -> Option<(Reason, String)> {
    let late = || late.map(|late| late.told(namespace));
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
    use super::super::pod::pod;
    use super::*;
    use crate::controller::contest::Undoing;
    use serde_json::json;

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
        let (written, late) = (Reason::CollectorNotWritten, Some(Late::Set(Rollout::Trial)));
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
            assert_eq!(told(outcome.as_ref(), 2, late, "datadog"), expected, "{outcome:?} {late:?}");
        }
    }

    #[test]
    fn what_nobody_takes_away_is_told_with_the_command_that_does() {
        for (of, expected) in [
            (None, "2 pods that nobody takes away: kubectl delete pods -n datadog -l otelgate.dev/rollout"),
            (
                Some(Rollout::Stable),
                "2 pods of DaemonSet otel-collector, of which neither label nor owner says that it is otelgate's: kubectl \
                 delete daemonset otel-collector -n datadog",
            ),
        ] {
            assert_eq!(Late::Pods { count: 2, of }.told("datadog"), expected);
        }
    }

    #[test]
    fn one_that_goes_has_a_while_for_it() {
        let set = |stripped, owned| Some(Set { stripped, owned, ..observed::set("r") });
        let (mut going, start) = (Going::default(), Instant::now());
        let mut late = |set: Option<Set>, second: u64| {
            let sets = Objects::from([(Rollout::Stable.daemon_set().to_owned(), set)]);
            going.late(&sets, &[], start + Duration::from_secs(second)).map_err(|left| left.as_secs())
        };
        assert_eq!(late(None, 0), Ok(None));
        assert_eq!(late(set(false, true), 1), Err(30));
        assert_eq!(late(set(true, true), 21), Err(10));
        assert_eq!(late(set(false, true), 31), Ok(Some(Late::Set(Rollout::Stable))));
        assert_eq!(late(None, 32), Ok(None));
        assert_eq!(late(set(false, true), 33), Err(30));
        assert_eq!(late(set(true, false), 99), Ok(None), "nobody says that it is ours");
    }

    /// The Agent waits for them, and so must whoever reads the condition know of them.
    #[test]
    fn pods_that_stay_are_late_as_well() {
        // The uid of its owner is that of the DaemonSet.
        let runs = || pod("a", Rollout::Stable, "r", &json!({}));
        let orphan = || Pod { owner: None, ..runs() };
        let of_others = || Pod { rollout: None, ..orphan() };
        let bare = || Some(Set { stripped: true, owned: false, ..observed::set("r") });
        let ours = || Some(observed::set("r"));
        let late = |count, of| Some(Late::Pods { count, of });
        let (mut going, start) = (Going::default(), Instant::now());
        for (what, second, set, pods, expected) in [
            ("its DaemonSet first", 0, ours(), vec![runs()], Err(30)),
            ("it was deleted without them", 10, None, vec![orphan(), orphan()], Err(30)),
            ("one goes", 39, None, vec![orphan()], Err(30)),
            ("the other doesn't", 69, None, vec![orphan()], Ok(late(1, None))),
            ("it is to end", 70, None, vec![Pod { leaving: true, ..orphan() }], Ok(None)),
            ("somebody else's", 200, None, vec![of_others()], Ok(None)),
            ("nothing says that it is ours", 210, bare(), vec![runs()], Err(30)),
            ("nothing says that it is ours", 240, bare(), vec![runs()], Ok(late(1, Some(Rollout::Stable)))),
        ] {
            let sets = Objects::from([(Rollout::Stable.daemon_set().to_owned(), set)]);
            let pods: Vec<_> = pods.iter().collect();
            let found = going.late(&sets, &pods, start + Duration::from_secs(second)).map_err(|left| left.as_secs());
            assert_eq!(found, expected, "{what}");
        }
    }
}
