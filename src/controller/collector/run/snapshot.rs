//! What a decision about the controller's own Collectors is made from: what was listed, and what was asked for beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::carried::carries;
use super::super::compare::Fares;
use super::super::node::Node;
use super::super::objects;
use super::super::observe::Set;
use super::super::pod::{Pod, Rollout};
use super::super::revision::{Revision, Stored};
use super::super::trial::{Deployed, Mark, Plan};
use crate::api::stack::Placement;
use crate::collector::Rendered;
use crate::controller::objects::Outcome;
use crate::watch::Objects;

pub type Sets = Objects<Option<Set>>;

/// All that was listed.
pub struct Snapshot {
    pub stored: Vec<Stored>,
    pub sets: Sets,
    pub pods: Vec<Arc<Pod>>,
    pub nodes: Objects<Node>,
}

/// What was asked for, for a revision of the spec.
pub struct Answers<'r> {
    /// What may be begun: nothing new beside what is somebody else's.
    pub wanted: Option<&'r Revision>,
    /// An object of somebody else's, of a name that is due.
    pub foreign: Option<Outcome>,
    /// How the trial's Collector fares.
    pub fares: Fares,
    /// Why the API server makes no pods.
    pub no_pod: Option<String>,
    /// Why it wouldn't take the trial.
    pub refused: Option<String>,
    /// Why it didn't take it.
    pub not_written: Option<String>,
    /// Whether nobody tells when one of these is otherwise.
    pub changes_unseen: bool,
}

// === impl Snapshot ===

impl Snapshot {
    pub fn set(&self, rollout: Rollout) -> Option<&Set> {
        set(&self.sets, rollout)
    }

    pub fn deployed(&self, rollout: Rollout) -> Option<Deployed> {
        self.set(rollout).map(|set| set.deployed.clone())
    }

    /// The revision that runs on every node.
    pub fn runs(&self) -> Option<&str> {
        self.set(Rollout::Stable).map(|set| set.deployed.revision.as_str())
    }

    pub fn lacking_pods(&self) -> Option<&Set> {
        Rollout::ALL.into_iter().find_map(|rollout| self.set(rollout).filter(|set| set.lacks_pods))
    }

    /// Nothing of ours is there.
    pub fn is_empty(&self) -> bool {
        self.sets.values().all(Option::is_none) && self.stored.is_empty()
    }

    pub fn mark(&self, revision: &str) -> Option<&Mark> {
        self.stored.iter().find(|one| one.revision.hash == *revision).map(|one| &one.mark)
    }

    pub fn last_passed(&self) -> Option<&str> {
        let passed = self.stored.iter().filter(|one| one.mark.has_passed());
        passed.max_by_key(|one| &one.created).map(|one| one.revision.hash.as_str())
    }

    /// Why the metrics of what goes to every node couldn't be read in its trial.
    pub fn unmeasured(&self, plan: &Plan) -> Option<&str> {
        match self.mark(&plan.stable.as_ref()?.revision)? {
            Mark::Unmeasured(why) => Some(why),
            _ => None,
        }
    }

    /// What is wanted in the place of what runs, and comes to its trial only now.
    pub fn untried<'w>(&self, wanted: Option<&'w Revision>) -> Option<&'w Revision> {
        let (wanted, runs) = (wanted?, self.runs()?);
        let known = self.mark(&wanted.hash).is_some_and(|mark| *mark != Mark::Untried);
        let on_trial = self.set(Rollout::Trial).is_some_and(|set| set.deployed.revision == wanted.hash);
        (runs != wanted.hash && !on_trial && !known).then_some(wanted)
    }

    /// Revisions that run somewhere, or will after a plan.
    fn running<'s>(&'s self, plan: &'s Plan) -> BTreeSet<&'s str> {
        // Somebody else's has none.
        let of_pods = self.pods.iter().map(|pod| &*pod.revision).filter(|revision| !revision.is_empty());
        let mut runs: BTreeSet<_> = of_pods.collect();
        runs.extend(plan.stable.as_ref().map(|stable| stable.revision.as_str()));
        runs.extend(plan.trial.as_ref().map(|trial| trial.revision.as_str()));
        runs
    }

    /// Whether a Collector has to be chosen, now or soon. One whose record was deleted may be it.
    pub fn needs_lease(&self, candidate: Option<&(Revision, Rendered)>, plan: &Plan) -> bool {
        let reads = |revision: &str| match candidate {
            Some((candidate, rendered)) if candidate.hash == *revision => rendered.lease.is_some(),
            _ => carries(&self.stored, revision).is_none_or(|carries| carries.cluster_state),
        };
        candidate.is_some_and(|(candidate, _)| reads(&candidate.hash)) || self.running(plan).into_iter().any(reads)
    }

    /// Revisions that are kept, as their records are to say after a plan.
    pub fn kept<'s>(&'s self, candidate: Option<&'s Revision>, plan: &Plan) -> Vec<(&'s Revision, Mark)> {
        let runs: Vec<_> = self.running(plan).into_iter().collect();
        let mut kept = objects::kept(candidate, &self.stored, &runs);
        if let (Some(mark), Some(candidate)) = (&plan.mark, candidate) {
            for (_, marked) in kept.iter_mut().filter(|(revision, _)| revision.hash == candidate.hash) {
                *marked = mark.clone();
            }
        }
        // What runs on every node has passed, whatever became of the record.
        if let Some(stable) = &plan.stable {
            let untold =
                |(revision, mark): &&mut (&Revision, Mark)| revision.hash == stable.revision && *mark == Mark::Untried;
            for (_, marked) in kept.iter_mut().filter(untold) {
                *marked = Mark::Passed;
            }
        }
        kept
    }

    /// Nodes that should run a Collector, and whether each is ready.
    pub fn should_run(&self, placement: &Placement) -> BTreeMap<&str, bool> {
        let should = self.staying().filter(|(_, node)| node.should_run(placement).is_ok());
        should.map(|(name, node)| (name.as_str(), node.ready)).collect()
    }

    /// Those that shouldn't.
    pub fn excluded(&self, placement: &Placement) -> BTreeSet<String> {
        let excluded = self.staying().filter(|(_, node)| node.should_run(placement).is_err());
        excluded.map(|(name, _)| name.clone()).collect()
    }

    fn staying(&self) -> impl Iterator<Item = (&String, &Node)> {
        self.nodes.iter().filter(|(_, node)| !node.leaving)
    }
}

pub fn set(sets: &Sets, rollout: Rollout) -> Option<&Set> {
    sets.get(rollout.daemon_set())?.as_ref()
}

/// Why the trial's `DaemonSet` can't be written, where the API server has said so.
pub fn not_written(outcome: Option<&Outcome>) -> Option<String> {
    let (object, why) = match outcome? {
        Outcome::Refused { object, why, answered: true, .. } => (object, why.clone()),
        Outcome::Foreign { object, .. } => (object, format!("{object} isn't otelgate's")),
        _ => return None,
    };
    (*object == format!("DaemonSet {}", Rollout::Trial.daemon_set())).then_some(why)
}

#[cfg(test)]
mod tests {
    use super::super::super::observe::tests::set;
    use super::super::super::pod::pod;
    use super::super::super::trial::{Phase, Stable, Trial};
    use super::*;
    use crate::collector::tests::Spec;
    use serde_json::{Value, json};

    fn rendered(collector: &Value) -> Rendered {
        let collector = serde_json::from_value(collector.clone()).expect("spec.collector");
        Spec { collector, ..Spec::default() }.rendered()
    }

    fn revision(spec: &Value) -> Revision {
        Revision::new(rendered(spec).text, &Value::Null)
    }

    /// As the spec makes it.
    fn candidate(spec: &Value) -> (Revision, Rendered) {
        (revision(spec), rendered(spec))
    }

    fn snapshot(
        known: &[&Revision],
        stable: Option<&Revision>,
        trial: Option<&Revision>,
        pods: &[&Revision],
    ) -> Snapshot {
        let stored = known.iter().map(|revision| Stored {
            revision: (*revision).clone(),
            mark: Mark::Passed,
            created: String::new(),
        });
        let sets = [(Rollout::Stable, stable), (Rollout::Trial, trial)];
        let sets =
            sets.map(|(rollout, revision)| (rollout.daemon_set().to_owned(), revision.map(|one| set(&one.hash))));
        let pods = pods.iter().map(|revision| Arc::new(pod("a", Rollout::Stable, &revision.hash, &json!({}))));
        Snapshot { stored: stored.collect(), sets: sets.into(), pods: pods.collect(), nodes: Objects::new() }
    }

    fn plan(stable: Option<&Revision>, trial: Option<&Revision>) -> Plan {
        Plan {
            stable: stable.map(|one| Stable { revision: one.hash.clone(), spares: None }),
            trial: trial.map(|one| Trial { revision: one.hash.clone(), node: "a".to_owned() }),
            mark: None,
            unfit: None,
            phase: Phase::RolledOut,
            again: None,
        }
    }

    /// Whoever runs with an elector ends at once where it may not look at its Lease.
    #[test]
    fn the_lease_stays_as_long_as_anybody_needs_it() {
        let (with, without) = (json!({}), json!({"metrics": {"cluster": false}}));
        let (old, new) = (revision(&with), revision(&without));
        let known = [&old, &new];
        let (old, new) = (Some(&old), Some(&new));
        let (asked, not_asked) = (candidate(&with), candidate(&without));
        for (what, candidate, stable, trial, pods, needed) in [
            ("first rollout", Some(&asked), None, None, vec![], true),
            ("first rollout", Some(&not_asked), None, None, vec![], false),
            ("trial", Some(&not_asked), old, new, vec![known[0], known[1]], true),
            ("taken back", Some(&not_asked), old, None, vec![known[0]], true),
            ("rolling out", Some(&not_asked), new, None, vec![known[0], known[1]], true),
            ("rolled out", Some(&not_asked), new, None, vec![known[1]], false),
            ("the first trial of one that needs it", Some(&not_asked), None, old, vec![], true),
            ("a fault in the spec", None, old, None, vec![known[0]], true),
            ("a fault in the spec", None, new, None, vec![known[0], known[1]], true),
            ("a fault in the spec, and nobody needs it", None, new, None, vec![known[1]], false),
            ("a fault in the first spec", None, None, None, vec![], false),
            ("a fault in the spec during the first trial", None, None, old, vec![], true),
        ] {
            let found = snapshot(&known, stable, trial, &pods).needs_lease(candidate, &plan(stable, trial));
            assert_eq!(found, needed, "{what}");
        }
    }

    /// Of what runs, somebody has deleted the record; and what is tried first has none yet.
    #[test]
    fn one_of_which_nothing_is_known_may_need_the_lease() {
        let (with, without) = (json!({}), json!({"metrics": {"cluster": false}}));
        let (old, not_asked) = (revision(&with), candidate(&without));
        let new = not_asked.0.clone();
        let theirs = Revision { hash: String::new(), ..old.clone() };
        for (what, known, stable, trial, pods, needed) in [
            ("rolling out", &[&new][..], Some(&new), None, vec![&old, &new], true),
            ("rolled out", &[&new], Some(&new), None, vec![&new], false),
            ("the first trial", &[], None, Some(&new), vec![], false),
            ("beside somebody else's", &[], None, Some(&new), vec![&theirs], false),
        ] {
            let found = snapshot(known, stable, trial, &pods).needs_lease(Some(&not_asked), &plan(stable, trial));
            assert_eq!(found, needed, "{what}");
        }
    }
}
