//! What the Collectors do that run, whatever the spec asks for by now: the Agent's share is what they leave.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::observe::Set;
use super::pod::{Pod, Rollout};
use super::revision::Stored;
use crate::collector::Carries;
use crate::watch::Objects;

/// Of Collectors that are the controller's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// What any has that isn't on trial: until a rollout has reached every node, some have what they had before. Nothing
    /// before the first rollout, when the spec says what they will.
    pub everywhere: Option<Carries>,
    /// One of any node sends to the Agent.
    pub to_agent: bool,
}

// === impl Carried ===

impl Carried {
    #[must_use]
    pub fn of(stored: &[Stored], sets: &Objects<Option<Set>>, pods: &[Arc<Pod>]) -> Self {
        // Thousands of pods have the same.
        let mut all: BTreeSet<_> =
            pods.iter().filter(|pod| !pod.over).map(|pod| (pod.rollout, &*pod.revision)).collect();
        all.extend(Rollout::ALL.into_iter().filter_map(|rollout| {
            let set = sets.get(rollout.daemon_set())?.as_ref()?;
            Some((Some(rollout), &*set.deployed.revision))
        }));
        let carried = |(rollout, revision)| Some((rollout, carries(stored, revision)?));
        let all: Vec<(Option<Rollout>, Carries)> = all.into_iter().filter_map(carried).collect();
        let stable = all.iter().filter(|(rollout, _)| *rollout == Some(Rollout::Stable));
        Self {
            everywhere: stable.map(|(_, carries)| *carries).reduce(Carries::or),
            to_agent: all.iter().any(|(_, carries)| carries.to_agent),
        }
    }
}

/// What a revision does, as long as it stands in the cluster.
pub fn carries(stored: &[Stored], revision: &str) -> Option<Carries> {
    let known = stored.iter().find(|known| *known.revision.hash == *revision)?;
    Carries::of(&known.revision.configuration)
}

#[cfg(test)]
mod tests {
    use super::super::pod::pod;
    use super::super::revision::Revision;
    use super::super::trial::{Deployed, Mark};
    use super::*;
    use crate::collector::tests::Spec;
    use crate::config::LogOwner;
    use jiff::Timestamp;
    use serde_json::{Value, json};

    fn revision(spec: &Spec) -> Revision {
        Revision::new(spec.rendered().text, &Value::Null)
    }

    fn set(revision: &Revision) -> Set {
        Set {
            deployed: Deployed { revision: revision.hash.clone(), node: None, settled: true },
            uid: "u".to_owned(),
            created: Timestamp::UNIX_EPOCH,
            lacks_pods: false,
            stripped: false,
            owned: true,
        }
    }

    fn sets(stable: Option<&Revision>, trial: Option<&Revision>) -> Objects<Option<Set>> {
        let sets = [(Rollout::Stable, stable), (Rollout::Trial, trial)];
        sets.map(|(rollout, revision)| (rollout.daemon_set().to_owned(), revision.map(set))).into()
    }

    fn of(revision: &Revision, rollout: Rollout) -> Pod {
        pod("a", rollout, &revision.hash, &json!({}))
    }

    fn carried(
        known: &[&Revision],
        stable: Option<&Revision>,
        trial: Option<&Revision>,
        pods: &[Pod],
    ) -> (Option<Carries>, bool) {
        let stored = known.iter().map(|revision| Stored {
            revision: (*revision).clone(),
            mark: Mark::Passed,
            created: String::new(),
        });
        let pods: Vec<_> = pods.iter().cloned().map(Arc::new).collect();
        let Carried { everywhere, to_agent } = Carried::of(&stored.collect::<Vec<_>>(), &sets(stable, trial), &pods);
        (everywhere, to_agent)
    }

    #[test]
    fn what_has_come_to_an_end_on_every_node_is_carried_no_more() {
        let collector = serde_json::from_value(json!({"exporter": "agent"})).expect("spec.collector");
        let (usual, to_agent) = (Spec::default(), Spec { collector, ..Spec::default() });
        let (usual, to_agent) = (revision(&usual), revision(&to_agent));
        let stable = |one: &Revision| of(one, Rollout::Stable);
        let trial = |one: &Revision| of(one, Rollout::Trial);
        for (what, set, tried, pods, expected) in [
            ("nothing yet", None, None, vec![], (None, false)),
            ("the first trial", None, Some(&to_agent), vec![trial(&to_agent)], (None, true)),
            (
                "a trial of another",
                Some(&to_agent),
                Some(&usual),
                vec![stable(&to_agent), trial(&usual)],
                (Some(true), true),
            ),
            ("taken back", Some(&to_agent), None, vec![stable(&to_agent)], (Some(true), true)),
            (
                "a trial of one that sends there",
                Some(&usual),
                Some(&to_agent),
                vec![stable(&usual), trial(&to_agent)],
                (Some(false), true),
            ),
            ("rolling out", Some(&usual), None, vec![stable(&usual), stable(&to_agent)], (Some(true), true)),
            (
                "the last one ends",
                Some(&usual),
                None,
                vec![stable(&usual), Pod { leaving: true, ..stable(&to_agent) }],
                (Some(true), true),
            ),
            (
                "it stays as a record",
                Some(&usual),
                None,
                vec![stable(&usual), Pod { over: true, ..stable(&to_agent) }],
                (Some(false), false),
            ),
            ("rolled out", Some(&usual), None, vec![stable(&usual)], (Some(false), false)),
            ("its DaemonSet has gone, and its pods haven't", None, None, vec![stable(&to_agent)], (Some(true), true)),
        ] {
            let (everywhere, sends) = carried(&[&usual, &to_agent], set, tried, &pods);
            assert_eq!((everywhere.map(|carries| carries.to_agent), sends), expected, "{what}");
        }
        let unknown = Revision::new("a: 1".to_owned(), &Value::Null);
        assert_eq!(carried(&[&usual], Some(&unknown), None, &[stable(&unknown)]), (None, false), "it stands nowhere");
        let (known, _) = carried(&[&usual], Some(&unknown), None, &[stable(&usual)]);
        assert!(known.is_some(), "what is known of others counts");
    }

    /// Each kind of data goes over by itself, to the Collectors at the rollout's begin, and from them at its end.
    #[test]
    fn a_rollout_gives_away_last_what_it_takes_first() {
        let mut logs_of_agent = Spec::default();
        logs_of_agent.injection.logs.owner = LogOwner::Agent;
        let mut without_cluster = Spec::default();
        without_cluster.collector.metrics.cluster = false;
        let (lines, state) = (revision(&without_cluster), revision(&logs_of_agent));
        let stable = |one: &Revision| of(one, Rollout::Stable);
        for (what, set, trial, pods, expected) in [
            ("tried", &lines, Some(&state), vec![stable(&lines), of(&state, Rollout::Trial)], (true, false)),
            ("passed", &state, None, vec![stable(&lines), stable(&lines)], (true, true)),
            ("rolling out", &state, None, vec![stable(&lines), stable(&state)], (true, true)),
            ("a pod in between", &state, None, vec![stable(&lines)], (true, true)),
            ("rolled out", &state, None, vec![stable(&state), stable(&state)], (false, true)),
            ("no pod", &state, None, vec![], (false, true)),
        ] {
            let (everywhere, _) = carried(&[&lines, &state], Some(set), trial, &pods);
            let found = everywhere.map(|one| (one.container_logs, one.cluster_state));
            assert_eq!(found, Some(expected), "{what}");
        }
    }
}
