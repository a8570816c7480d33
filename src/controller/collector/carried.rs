//! What the Collectors do that run, whatever the spec asks for by now: the Agent's share is what they leave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::going::PATIENCE;
use super::node::Node;
use super::observe::Set;
use super::pod::{Pod, Rollout};
use super::revision::Stored;
use super::since::Since;
use crate::api::stack::CollectorMode;
use crate::collector::Carries;
use crate::watch::Objects;

/// Of Collectors that are the controller's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// What any has that isn't on trial: until a rollout has reached every node, some have what they had before. Nothing
    /// before the first rollout.
    pub settled: Option<Carries>,
    /// The same with the trial's.
    pub anywhere: Option<Carries>,
}

/// Pods that nobody waits for: about to end on a node that wasn't ready once. Whoever could tell that they have ended may
/// never come back, and nothing else begins there either. Where the node comes back, they stay given up: they end in a
/// moment, and until then nobody is to hand anything to and fro for them.
#[derive(Debug, Default)]
pub struct GivenUp(BTreeSet<Box<str>>);

/// Collectors that are to go.
#[derive(Debug, Default)]
pub struct Leaving {
    /// Since when there are some of which it isn't known what they have.
    unknown: Since<()>,
    /// Since when all that is left are pods about to end.
    ending: Since<()>,
}

/// Kubelets that answer have ended their pods by then; of the others, nobody knows whether they ever do.
const ENDS_WITHIN: Duration = Duration::from_mins(2);

// === impl Carried ===

impl Carried {
    /// By the pods that are waited for.
    #[must_use]
    pub fn of(stored: &[Stored], sets: &Objects<Option<Set>>, pods: &[&Pod]) -> Self {
        // Thousands of pods have the same.
        let mut all: BTreeSet<_> = pods.iter().map(|pod| (pod.rollout, &*pod.revision)).collect();
        all.extend(Rollout::ALL.into_iter().filter_map(|rollout| {
            let set = sets.get(rollout.daemon_set())?.as_ref()?;
            Some((Some(rollout), &*set.deployed.revision))
        }));
        let carried = |(rollout, revision)| Some((rollout, carries(stored, revision)?));
        let all: Vec<(Option<Rollout>, Carries)> = all.into_iter().filter_map(carried).collect();
        let any = |counts: fn(Option<Rollout>) -> bool| {
            let of = all.iter().filter(|(rollout, _)| counts(*rollout));
            of.map(|(_, carries)| *carries).reduce(Carries::or)
        };
        Self { settled: any(|rollout| rollout == Some(Rollout::Stable)), anywhere: any(|_| true) }
    }

    /// One of any node sends to the Agent.
    #[must_use]
    pub fn to_agent(&self) -> bool {
        self.anywhere.is_some_and(|carries| carries.to_agent)
    }
}

// === impl GivenUp ===

impl GivenUp {
    /// The others. Without the nodes, only those are given up that were before.
    pub fn waited_for<'p>(&mut self, pods: &'p [Arc<Pod>], nodes: Option<&BTreeMap<String, Node>>) -> Vec<&'p Pod> {
        let is_lost = |pod: &Pod| nodes.is_some_and(|nodes| nodes.get(&*pod.node).is_none_or(|node| !node.ready));
        let is_given_up = |pod: &Pod| pod.leaving && (self.0.contains(&pod.uid) || is_lost(pod));
        let there = pods.iter().map(AsRef::as_ref).filter(|pod| !pod.over);
        let (given_up, waited_for): (Vec<&Pod>, Vec<&Pod>) = there.partition(|pod| is_given_up(pod));
        self.0 = given_up.into_iter().map(|pod| pod.uid.clone()).collect();
        waited_for
    }
}

// === impl Leaving ===

impl Leaving {
    /// What they still have, if that isn't left open, and when to look again: by the pods that are waited for. Their records
    /// go before they do: what was known of them stands until the last has gone. Who knows nothing of them, as another
    /// leader doesn't, has nothing begin beside them; nor does it change anything while all that is left is about to end.
    /// Where somebody else's are adopted, what stays without a `DaemonSet` of ours may be theirs by now.
    pub fn carried(
        &mut self,
        mode: CollectorMode,
        known: Option<Carried>,
        sets: &Objects<Option<Set>>,
        pods: &[&Pod],
        now: Instant,
    ) -> (Option<Carried>, Option<Duration>) {
        // Those of somebody else may have the same name.
        let ours: Vec<_> = pods.iter().filter(|pod| pod.rollout.is_some()).collect();
        let has_set = sets.values().flatten().any(Set::is_ours);
        let is_adopted = mode == CollectorMode::Adopt;
        let ending = !has_set && !ours.is_empty() && (is_adopted || ours.iter().all(|pod| pod.leaving));
        let ends = left(self.ending.see(ending.then_some(()), now), ENDS_WITHIN);
        let there = has_set || (!ours.is_empty() && ends != Some(Duration::ZERO));
        let known = if there { known.filter(|known| known.anywhere.is_some()) } else { Some(Carried::default()) };
        let open = left(self.unknown.see((known.is_none() && !ending).then_some(()), now), PATIENCE);
        let again = open.or(ends).filter(|again| !again.is_zero());
        if known.is_none() && again.is_none() {
            return (Some(Carried { settled: Some(Carries::ALL), anywhere: Some(Carries::ALL) }), None);
        }
        (known, again)
    }
}

/// Of what has gone on since then, and may last that long.
fn left(since: Option<Duration>, lasts: Duration) -> Option<Duration> {
    since.map(|since| lasts.saturating_sub(since))
}

/// What a revision does, as long as it stands in the cluster.
pub fn carries(stored: &[Stored], revision: &str) -> Option<Carries> {
    let known = stored.iter().find(|known| *known.revision.hash == *revision)?;
    known.revision.carries
}

#[cfg(test)]
mod tests {
    use super::super::observe::tests::set;
    use super::super::pod::pod;
    use super::super::revision::Revision;
    use super::super::trial::Mark;
    use super::*;
    use crate::collector::tests::Spec;
    use crate::config::LogOwner;
    use serde_json::{Value, json};

    fn revision(spec: &Spec) -> Revision {
        Revision::new(spec.rendered().text, &Value::Null)
    }

    fn sets(stable: Option<&Revision>, trial: Option<&Revision>) -> Objects<Option<Set>> {
        let sets = [(Rollout::Stable, stable), (Rollout::Trial, trial)];
        sets.map(|(rollout, revision)| (rollout.daemon_set().to_owned(), revision.map(|one| set(&one.hash)))).into()
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
        let nodes = nodes(&[("a", true), ("lost", false)]);
        let waited_for = GivenUp::default().waited_for(&pods, Some(&nodes));
        let carried = Carried::of(&stored.collect::<Vec<_>>(), &sets(stable, trial), &waited_for);
        (carried.settled, carried.to_agent())
    }

    fn nodes(ready: &[(&str, bool)]) -> BTreeMap<String, Node> {
        let node = |ready: bool| {
            let status = if ready { "True" } else { "Unknown" };
            let node = json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
            Node::of(serde_json::from_value(node).expect("a node"), &BTreeSet::new())
        };
        ready.iter().map(|(name, ready)| ((*name).to_owned(), node(*ready))).collect()
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
                "its node is lost, and nobody has ended it yet",
                Some(&usual),
                None,
                vec![stable(&usual), Pod { node: "lost".into(), ..stable(&to_agent) }],
                (Some(true), true),
            ),
            (
                "it would end, and its node is lost",
                Some(&usual),
                None,
                vec![stable(&usual), Pod { node: "lost".into(), leaving: true, ..stable(&to_agent) }],
                (Some(false), false),
            ),
            (
                "it would end, and its node has gone",
                Some(&usual),
                None,
                vec![stable(&usual), Pod { node: "gone".into(), leaving: true, ..stable(&to_agent) }],
                (Some(false), false),
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
            let (settled, sends) = carried(&[&usual, &to_agent], set, tried, &pods);
            assert_eq!((settled.map(|carries| carries.to_agent), sends), expected, "{what}");
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
            let (settled, _) = carried(&[&lines, &state], Some(set), trial, &pods);
            let found = settled.map(|one| (one.container_logs, one.cluster_state));
            assert_eq!(found, Some(expected), "{what}");
        }
    }

    /// A kubelet that comes back ends it in a moment; until then it would count once more, and every Agent be replaced for it.
    #[test]
    fn what_was_given_up_counts_no_more_when_its_node_comes_back() {
        let one = revision(&Spec::default());
        let pod = |node: &str, leaving| Arc::new(Pod { leaving, ..pod(node, Rollout::Stable, &one.hash, &json!({})) });
        let mut given_up = GivenUp::default();
        for (what, pods, nodes, expected) in [
            (
                "both run",
                vec![pod("a", false), pod("b", false)],
                Some(nodes(&[("a", true), ("b", true)])),
                vec!["a", "b"],
            ),
            ("one's node is lost", vec![pod("a", false), pod("b", false)], Some(nodes(&[("a", true)])), vec!["a", "b"]),
            ("both are to end", vec![pod("a", true), pod("b", true)], Some(nodes(&[("a", true)])), vec!["a"]),
            (
                "it comes back",
                vec![pod("a", true), pod("b", true)],
                Some(nodes(&[("a", true), ("b", true)])),
                vec!["a"],
            ),
            ("nobody looks at nodes", vec![pod("a", true), pod("b", true)], None, vec!["a"]),
            ("it has ended, and there is another", vec![pod("b", false)], Some(nodes(&[("b", true)])), vec!["b"]),
            ("which is to end as well", vec![pod("b", true)], Some(nodes(&[("b", true)])), vec!["b"]),
        ] {
            let found: Vec<_> = given_up.waited_for(&pods, nodes.as_ref()).iter().map(|pod| &*pod.node).collect();
            assert_eq!(found, expected, "{what}");
        }
    }

    #[test]
    fn what_is_to_go_has_what_it_had_until_its_last_pod_has_gone() {
        let one = revision(&Spec::default());
        let pod = || of(&one, Rollout::Stable);
        let ends = || Pod { leaving: true, ..pod() };
        let none = Some(Carried::default());
        let lines = Some(Carries { container_logs: true, ..Carries::default() });
        let known = Some(Carried { settled: lines, anywhere: lines });
        let tried = Some(Carried { settled: None, anywhere: lines });
        let all = Some(Carried { settled: Some(Carries::ALL), anywhere: Some(Carries::ALL) });
        let (mut leaving, start) = (Leaving::default(), Instant::now());
        for (what, second, before, set, pods, expected) in [
            ("its DaemonSet stays", 0, known, Some(&one), vec![], (known, None)),
            ("pods are about to end", 1, known, None, vec![ends()], (known, Some(120))),
            ("a trial's", 2, tried, None, vec![of(&one, Rollout::Trial)], (tried, None)),
            ("gone", 3, known, None, vec![], (none, None)),
            ("somebody else's", 5, None, None, vec![Pod { rollout: None, ..pod() }], (none, None)),
            ("another leader", 10, None, None, vec![pod()], (None, Some(30))),
            ("another leader", 20, None, None, vec![pod()], (None, Some(20))),
            ("it hangs", 40, None, Some(&one), vec![pod()], (all, None)),
            ("it hangs on", 50, all, Some(&one), vec![pod()], (all, None)),
            ("gone at last", 60, all, None, vec![], (none, None)),
            ("it comes back", 70, none, Some(&one), vec![], (None, Some(30))),
            ("one of two is about to end", 80, known, None, vec![pod(), ends()], (known, None)),
            ("both are", 90, known, None, vec![ends(), ends()], (known, Some(120))),
            ("one has ended", 200, known, None, vec![ends()], (known, Some(10))),
            ("nobody ends the other", 210, known, None, vec![ends()], (none, None)),
            ("nor ever does", 999, none, None, vec![ends()], (none, None)),
        ] {
            let found = leaving.look(before, &sets(set, None), &pods, start + Duration::from_secs(second));
            assert_eq!(found, expected, "{what}");
        }
    }

    impl Leaving {
        fn look(
            &mut self,
            known: Option<Carried>,
            sets: &Objects<Option<Set>>,
            pods: &[Pod],
            now: Instant,
        ) -> (Option<Carried>, Option<u64>) {
            let pods: Vec<_> = pods.iter().collect();
            let (carried, again) = self.carried(CollectorMode::Disabled, known, sets, &pods, now);
            (carried, again.map(|again| again.as_secs()))
        }
    }

    /// The Agent would give away for them what it has taken, and take it again in the end, whenever a controller starts.
    #[test]
    fn another_leader_changes_nothing_for_what_is_about_to_end() {
        let one = revision(&Spec::default());
        let ends = [Pod { leaving: true, ..of(&one, Rollout::Stable) }];
        let (mut leaving, start) = (Leaving::default(), Instant::now());
        for (second, expected) in [
            (0, (None, Some(120))),
            (40, (None, Some(80))),
            (119, (None, Some(1))),
            (120, (Some(Carried::default()), None)),
        ] {
            let found = leaving.look(None, &sets(None, None), &ends, start + Duration::from_secs(second));
            assert_eq!(found, expected, "after {second} s");
        }
    }

    /// Whoever has taken them over, and adopts them, says himself what they have.
    #[test]
    fn what_stays_without_a_daemon_set_of_ours_may_be_adopted() {
        let one = revision(&Spec::default());
        let runs = of(&one, Rollout::Stable);
        let lines = Some(Carries { container_logs: true, ..Carries::default() });
        let known = Some(Carried { settled: lines, anywhere: lines });
        let (mut leaving, start) = (Leaving::default(), Instant::now());
        for (what, second, set, expected) in [
            ("ours is to go", 0, Some(&one), (known, None)),
            ("it has gone", 10, None, (known, Some(120))),
            ("its pods stay", 130, None, (Some(Carried::default()), None)),
        ] {
            let now = start + Duration::from_secs(second);
            let found = leaving.carried(CollectorMode::Adopt, known, &sets(set, None), &[&runs], now);
            assert_eq!((found.0, found.1.map(|again| again.as_secs())), expected, "{what}");
        }
    }

    /// Nobody deletes it: its pods count as long as they run, and it doesn't.
    #[test]
    fn a_daemon_set_of_which_nothing_says_that_it_is_ours_isnt_waited_for() {
        let one = revision(&Spec::default());
        let bare = Set { stripped: true, owned: false, ..set(&one.hash) };
        let sets = Objects::from([(Rollout::Stable.daemon_set().to_owned(), Some(bare))]);
        let lines = Some(Carries { container_logs: true, ..Carries::default() });
        let known = Some(Carried { settled: lines, anywhere: lines });
        let mut leaving = Leaving::default();
        let mut look = |pods: &[Pod]| leaving.look(known, &sets, pods, Instant::now());
        assert_eq!(look(&[of(&one, Rollout::Stable)]), (known, None));
        assert_eq!(look(&[]), (Some(Carried::default()), None));
    }
}
