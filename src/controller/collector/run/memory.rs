//! What doesn't stand in the cluster. Another leader does without.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{info, warn};

use super::super::carried::{GivenUp, Leaving};
use super::super::going::Going;
use super::super::joining::Joining;
use super::super::observe::{Asked, Set};
use super::super::pod::Pod;
use super::super::revision::{Revision, Stored};
use super::super::since::{Clocks, Since};
use super::super::taken::Taken;
use super::super::trial::{Mark, Phase, Plan, Unfit};
use super::super::verdict::Said;

#[derive(Debug, Default)]
pub struct Memory {
    told: Option<Phase>,
    pub asked: Asked,
    pub unfit: Unfit,
    pub clocks: Clocks,
    /// When the record of each revision that failed was made.
    failed: BTreeMap<String, String>,
    /// The uids of `DaemonSet`s that were there.
    sets: BTreeSet<String>,
    unseen: Since<Box<str>>,
    /// Names that somebody else may have.
    pub taken: Taken,
    pub joining: Joining,
    pub going: Going,
    pub leaving: Leaving,
    pub given_up: GivenUp,
    /// Nobody says since when somebody else's is to be on every node: nodes that are there first aren't new.
    pub adopting: Option<Timestamp>,
    /// Since when there is no word of what was handed over.
    unwritten: Option<Instant>,
}

/// How long that may take before it is told. What was said before stands until then.
const PATIENCE: Duration = Duration::from_secs(30);

/// So long the watch of `DaemonSet`s may be behind that of pods.
const BEHIND: Duration = Duration::from_secs(5);

impl Memory {
    /// How much longer to wait for the `DaemonSet` that a pod is of and that wasn't shown yet: without it, the trial that has
    /// just begun would be taken for what is left of another.
    pub fn waits<'s>(
        &mut self,
        sets: impl Iterator<Item = &'s Set>,
        pods: &[Arc<Pod>],
        now: Instant,
    ) -> Option<Duration> {
        let of =
            || pods.iter().filter(|pod| pod.rollout.is_some() && !pod.leaving).filter_map(|pod| pod.owner.as_ref());
        self.sets.retain(|uid| of().any(|owner| **owner == **uid));
        self.sets.extend(sets.map(|set| set.uid.clone()));
        let unseen = of().find(|owner| !self.sets.contains(&***owner)).cloned();
        let left = BEHIND.saturating_sub(self.unseen.see(unseen, now)?);
        (!left.is_zero()).then_some(left)
    }

    /// A record that was deleted is written again as it was before anybody can have seen that it had gone. That it is
    /// another one says so: its revision is to be tried again.
    pub fn forgive(&mut self, stored: &mut [Stored]) {
        for one in stored {
            if !matches!(one.mark, Mark::Failed(_)) {
                self.failed.remove(&one.revision.hash);
            } else if *self.failed.entry(one.revision.hash.clone()).or_insert_with(|| one.created.clone())
                != one.created
            {
                one.mark = Mark::Untried;
            }
        }
    }

    /// What a plan shows of the candidate: where it fails as before, no record of it has to be forgiven but the next.
    pub fn remember(&mut self, candidate: Option<&Revision>, plan: &Plan, stored: &[Stored]) {
        let candidate = candidate.map(|candidate| candidate.hash.as_str());
        let record = |hash: &str| stored.iter().find(|one| one.revision.hash == *hash);
        // The candidate's may be about to come back.
        self.failed.retain(|hash, _| Some(hash.as_str()) == candidate || record(hash).is_some());
        if let (Some(candidate), Some(Mark::Failed(_))) = (candidate, &plan.mark) {
            match record(candidate) {
                Some(one) => self.failed.insert(candidate.to_owned(), one.created.clone()),
                None => self.failed.remove(candidate),
            };
        }
    }

    /// For how long what is said is kept back: as long as it is nothing but that there is no word yet.
    pub fn has_patience_with(&mut self, said: &Said, now: Instant) -> Option<Duration> {
        if !said.unwritten {
            self.unwritten = None;
            return None;
        }
        let since = *self.unwritten.get_or_insert(now);
        Some(PATIENCE.saturating_sub(now.saturating_duration_since(since))).filter(|left| !left.is_zero())
    }

    /// Logs where the rollout stands, once for each change.
    pub fn tell(&mut self, plan: &Plan, revision: Option<&Revision>, unmeasured: Option<&str>) {
        if self.told.as_ref() == Some(&plan.phase) {
            return;
        }
        let revision = revision.map(|revision| revision.hash.as_str());
        match &plan.phase {
            Phase::RolledBack(fault) | Phase::Failing(fault) => {
                warn!(otelgate.revision = revision, error.message = %fault, "the Collector's trial has failed");
            }
            Phase::Trying { node } => {
                info!(otelgate.revision = revision, k8s.node.name = node, "the Collector is tried");
            }
            Phase::Held { node, why } => {
                info!(
                    otelgate.revision = revision,
                    k8s.node.name = node,
                    error.message = why,
                    "the Collector's trial is held: nothing shows that it is its own fault"
                );
            }
            Phase::RolledOut if unmeasured.is_some() => {
                warn!(
                    otelgate.revision = revision,
                    error.message = unmeasured,
                    "the Collector goes to every node, and its metrics couldn't be read in its trial"
                );
            }
            Phase::RolledOut => info!(otelgate.revision = revision, "the Collector goes to every node"),
            Phase::NothingToRun | Phase::NoNode | Phase::Vacating { .. } | Phase::Clearing => {}
        }
        self.told = Some(plan.phase.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::pod::{Rollout, pod};
    use super::super::super::trial::{Cause, Deployed, Fault};
    use super::*;
    use crate::api::condition::Reason;
    use crate::api::stack::CollectorStatus;
    use crate::controller::health::CollectorNodes;
    use crate::controller::status::Verdict;
    use serde_json::Value;

    fn failed(created: &str) -> Stored {
        let fault = Fault { node: "a".to_owned(), cause: Cause::Unschedulable, words: "no".to_owned(), key: None };
        Stored {
            revision: Revision::new("text".to_owned(), &Value::Null),
            mark: Mark::Failed(fault),
            created: created.to_owned(),
        }
    }

    #[test]
    fn a_set_that_was_not_shown_yet_is_waited_for_and_one_that_has_gone_is_not() {
        let set = |uid: &str| Set {
            deployed: Deployed { revision: "r".to_owned(), node: None, settled: true },
            uid: uid.to_owned(),
            created: Timestamp::UNIX_EPOCH,
            lacks_pods: false,
            stripped: false,
            owned: true,
        };
        // Its owner's uid is u.
        let of_trial = || pod("a", Rollout::Trial, "r", &serde_json::json!({}));
        let (mut memory, start) = (Memory::default(), Instant::now());
        let mut waits = |sets: &[Set], pods: &[Pod], second: u64| {
            let pods: Vec<_> = pods.iter().cloned().map(Arc::new).collect();
            memory.waits(sets.iter(), &pods, start + Duration::from_secs(second)).map(|left| left.as_secs())
        };
        assert_eq!(waits(&[set("v")], &[], 0), None);
        assert_eq!(waits(&[set("v")], &[of_trial()], 1), Some(5));
        assert_eq!(waits(&[set("v")], &[of_trial()], 3), Some(3));
        assert_eq!(waits(&[set("v"), set("u")], &[of_trial()], 4), None);
        assert_eq!(waits(&[set("v")], &[of_trial()], 5), None, "it has gone");
        let gone = Pod { leaving: true, ..of_trial() };
        assert_eq!(waits(&[], &[gone], 6), None);
        assert_eq!(waits(&[], &[of_trial()], 7), Some(5), "nobody knows that it was there");
        assert_eq!(waits(&[], &[of_trial()], 12), None, "it never comes");
        let orphan = Pod { owner: None, ..of_trial() };
        assert_eq!(waits(&[], &[orphan], 13), None);
    }

    #[test]
    fn a_record_that_was_deleted_is_forgiven_though_it_is_back() {
        let mut memory = Memory::default();
        let mut look = |created: &str| {
            let mut stored = [failed(created)];
            memory.forgive(&mut stored);
            let [one] = stored;
            one.mark
        };
        assert!(matches!(look("2026-01-01T00:00:00Z"), Mark::Failed(_)));
        assert!(matches!(look("2026-01-01T00:00:00Z"), Mark::Failed(_)));
        assert_eq!(look("2026-01-01T00:09:00Z"), Mark::Untried);
        // Until it is written that it is tried anew; then a failure is one again.
        assert_eq!(look("2026-01-01T00:09:00Z"), Mark::Untried);
        memory.forgive(&mut [Stored { mark: Mark::Untried, ..failed("2026-01-01T00:09:00Z") }]);
        let mut again = [failed("2026-01-01T00:09:00Z")];
        memory.forgive(&mut again);
        assert!(matches!(again[0].mark, Mark::Failed(_)));
    }

    /// As the look after has it, that finds such a record.
    fn mark_of(memory: &mut Memory, created: &str) -> Mark {
        let mut stored = [failed(created)];
        memory.forgive(&mut stored);
        let [one] = stored;
        one.mark
    }

    fn plan(mark: Option<Mark>) -> Plan {
        Plan { stable: None, trial: None, mark, unfit: None, phase: Phase::NothingToRun, again: None }
    }

    /// Nothing is written then that would tell: its record says already that it failed.
    #[test]
    fn one_that_fails_again_before_its_trial_is_forgiven_once() {
        let mut memory = Memory::default();
        let Stored { revision, mark: fails, .. } = failed("");
        let is_forgiven = |memory: &mut Memory, created: &str| mark_of(memory, created) == Mark::Untried;
        assert!(!is_forgiven(&mut memory, "1"));
        for created in ["2", "3"] {
            assert!(is_forgiven(&mut memory, created), "it was deleted");
            let forgiven = [Stored { mark: Mark::Untried, ..failed(created) }];
            memory.remember(Some(&revision), &plan(None), &forgiven);
            assert!(is_forgiven(&mut memory, created), "nothing has shown yet");
            memory.remember(Some(&revision), &plan(Some(fails.clone())), &forgiven);
            assert!(!is_forgiven(&mut memory, created), "it is refused as before");
        }
        // Its record isn't back yet.
        memory.remember(Some(&revision), &plan(None), &[]);
        assert!(is_forgiven(&mut memory, "4"), "as it was before anybody has looked again");
        memory.remember(Some(&revision), &plan(Some(fails)), &[]);
        assert!(!is_forgiven(&mut memory, "5"), "it was refused meanwhile");
    }

    #[test]
    fn of_what_is_neither_there_nor_wanted_nothing_is_kept() {
        let mut memory = Memory::default();
        assert!(matches!(mark_of(&mut memory, "1"), Mark::Failed(_)));
        let other = Revision::new("other".to_owned(), &Value::Null);
        memory.remember(Some(&other), &plan(None), &[failed("1")]);
        assert_eq!(memory.failed.len(), 1);
        memory.remember(Some(&other), &plan(None), &[]);
        assert_eq!(memory.failed.len(), 0);
        assert!(matches!(mark_of(&mut memory, "2"), Mark::Failed(_)), "wanted again, and refused again");
    }

    #[test]
    fn what_has_no_word_yet_is_kept_back_for_a_while() {
        let said = |unwritten| Said {
            verdict: Verdict::new(Reason::CollectorRollingOut, "", 1),
            status: CollectorStatus::default(),
            nodes: CollectorNodes { waiting: None, missing: 0 },
            unwritten,
            again: None,
        };
        let (mut memory, start) = (Memory::default(), Instant::now());
        assert_eq!(memory.has_patience_with(&said(true), start), Some(PATIENCE));
        assert_eq!(memory.has_patience_with(&said(true), start + PATIENCE), None);
        assert_eq!(memory.has_patience_with(&said(false), start + PATIENCE), None);
        assert_eq!(memory.has_patience_with(&said(true), start + 2 * PATIENCE), Some(PATIENCE), "of another spec");
    }
}
