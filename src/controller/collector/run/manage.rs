//! Of a Collector that is the controller's own: what should run where, from all that is known of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use super::super::compare::Fares;
use super::super::observe::{self, Asked, Place, Set};
use super::super::pod::{Pod, Rollout, State};
use super::super::revision::{Revision, Stored};
use super::super::spec::Spec;
use super::super::trial::{self, Mark, Observed, Plan};
use super::super::verdict::{self, Managed};
use super::super::{objects, taken};
use super::{LOOK_AGAIN, Look, Memory, Task, seen_for_verdict};
use crate::api::stack::Exporter;
use crate::collector::Rendered;
use crate::controller::health::Secrets;
use crate::controller::objects::{Outcome, relabel};
use crate::k8s;
use crate::watch::Objects;

type Sets = Objects<Option<Set>>;

impl Task<'_> {
    /// Nothing before everything was listed.
    pub(super) async fn manage(
        &self,
        look: Look<'_>,
        secrets: &Secrets,
        outcome: Option<&Outcome>,
        asked: &mut Asked,
        memory: &mut Memory,
    ) -> Option<Duration> {
        let Look { stack, spec, pods, left, busy } = look;
        let mut stored = self.seen.stored()?;
        memory.forgive(&mut stored);
        let sets = self.seen.sets.lock().clone()?;
        if let Err(error) = self.relabel(&sets, |_| true).await {
            self.context.state.collector.failed(&error);
            return Some(LOOK_AGAIN);
        }
        if !self.knows(secrets, spec) {
            return None;
        }
        let secret = secrets.as_ref().and_then(Option::as_ref).map(|secret| secret.resource_version.clone());
        let mut pods = pods?;
        if let Some(left) = memory.waits(sets.values().flatten(), &pods, Instant::now()) {
            return Some(left);
        }
        let nodes = self.seen.nodes.lock().clone()?;
        let runs = set(&sets, Rollout::Stable).map(|set| set.deployed.revision.as_str());
        let (fault, candidate) = match spec.revision(secret, &stored, runs) {
            Ok((candidate, rendered)) => (None, Some((candidate, rendered))),
            Err(fault) => (Some(fault), None),
        };
        let revision = candidate.as_ref().map(|(revision, _)| revision);

        let fares = self.ask_the_trial(&mut pods, revision, asked).await;
        let lacking = Rollout::ALL.into_iter().find_map(|rollout| set(&sets, rollout).filter(|set| set.lacks_pods));
        let no_pod = asked.why_no_pod(self.context, self.place, lacking).await;
        let mark = revision.and_then(|one| stored.iter().find(|known| known.revision.hash == one.hash));
        let due = taken::due(&sets, revision, mark.map(|known| &known.mark));
        let foreign = memory.taken.look(self.context, self.place, stack, &due).await;
        // What runs goes on, and nothing new is begun.
        let wanted = revision.filter(|_| foreign.is_none());
        let untried = untried(wanted, &stored, &sets);
        let refused = match untried {
            Some(untried) => asked.why_refused(self.context, self.place, &self.trial_of(spec, untried), untried).await,
            None => None,
        };
        let not_written = untried.and_then(|_| not_written(outcome));
        let now = Timestamp::now();
        let made = set(&sets, Rollout::Stable).map_or(now, |set| set.created);
        let joining = memory.joining.among(&nodes, made, now, Instant::now());
        self.tell_joining(joining.clone());
        let (excluded, should): (Vec<_>, Vec<_>) = nodes
            .iter()
            .filter(|(_, node)| !node.leaving)
            .partition(|(_, node)| node.should_run(&spec.collector.placement).is_err());
        self.busy.ask(excluded.into_iter().map(|(name, _)| name.clone()).collect(), &spec.configuration);

        let deployed = |rollout| set(&sets, rollout).map(|set| set.deployed.clone());
        let (trial, pods_seen) = (deployed(Rollout::Trial), pods.iter().map(AsRef::as_ref).collect::<Vec<_>>());
        let not_taken = untried.filter(|_| not_written.is_some()).map(|revision| revision.hash.as_str());
        let times = memory.clocks.read(trial.as_ref(), &pods_seen, not_taken, Instant::now());
        let plan = trial::plan(&Observed {
            candidate: wanted.map(|revision| revision.hash.as_str()),
            stable: deployed(Rollout::Stable),
            trial,
            known: stored.iter().map(|one| (one.revision.hash.as_str(), one.mark.clone())).collect(),
            passed: last_passed(&stored),
            pods: pods_seen,
            nodes: should.iter().map(|(name, node)| (name.as_str(), node.ready)).collect(),
            unfit: &memory.unfit,
            fares,
            measured: self.sample.lock().measured(now),
            refused,
            no_pod: not_written.or_else(|| no_pod.clone()),
            times,
        });
        let ready = should.iter().filter(|(_, node)| node.ready).map(|(name, _)| name.as_str());
        memory.unfit.learn(wanted.map(|revision| revision.hash.as_str()), &plan, ready);
        let unmeasured = unmeasured(&stored, &plan);
        memory.tell(&plan, revision, unmeasured);
        if foreign.is_some() && sets.values().all(Option::is_none) && stored.is_empty() {
            self.want_as_it_is();
        } else {
            self.want(stack, self.objects(spec, candidate.as_ref(), &stored, &plan, &pods));
        }

        let seen = seen_for_verdict(stack, spec, &nodes, &pods, &busy, left.as_ref(), &joining);
        let managed = Managed {
            fault: fault.as_deref(),
            candidate: revision.map(|revision| revision.hash.as_str()),
            plan: &plan,
            outcome: foreign.as_ref().or(outcome),
            no_pod: no_pod.as_deref(),
            unmeasured,
        };
        let said = verdict::managed(&seen, &managed);
        let otherwise = said.again;
        let patient = memory.has_patience_with(&said, Instant::now());
        if patient.is_none() {
            self.report(said);
        }
        let looks_again = lacking.is_some() || !due.is_empty() || plan.phase.is_looked_at();
        let joined = memory.joining.again(Instant::now());
        let times = [plan.again, looks_again.then_some(LOOK_AGAIN), joined, patient, otherwise];
        times.into_iter().flatten().min()
    }

    /// Of ours whose label somebody has taken away.
    pub(super) async fn relabel(&self, sets: &Sets, counts: impl Fn(&Set) -> bool) -> k8s::Result<()> {
        let (part, namespace) = (objects::PART, &self.place.namespace);
        let is_stripped = |set: &Set| set.stripped && counts(set);
        for rollout in Rollout::ALL.into_iter().filter(|rollout| set(sets, *rollout).is_some_and(is_stripped)) {
            relabel(self.context, part, "DaemonSet", namespace, rollout.daemon_set()).await?;
        }
        Ok(())
    }

    /// Whether it is known what is to be known of the Secret with the key. That it can't be looked at is told as a
    /// condition of its own, and holds nothing up.
    fn knows(&self, secrets: &Secrets, spec: &Spec) -> bool {
        let is_needed = spec.collector.exporter != Exporter::Agent;
        secrets.is_some() || !is_needed || self.context.state.credentials.failure().is_some()
    }

    /// The words of a trial's Collector that ended, and how one that runs fares with the data that it is given.
    async fn ask_the_trial(&self, pods: &mut [Arc<Pod>], candidate: Option<&Revision>, asked: &Asked) -> Fares {
        let mut fares = Fares::default();
        let Some(candidate) = candidate else { return fares };
        let of_trial = |pod: &&mut Arc<Pod>| {
            pod.rollout == Some(Rollout::Trial) && *pod.revision == *candidate.hash && !pod.leaving
        };
        for pod in pods.iter_mut().filter(of_trial) {
            if pod.ended.is_some()
                && let Some(words) = asked.last_words(self.context, self.place, pod).await
            {
                let pod = Arc::make_mut(pod);
                if let Some(ended) = &mut pod.ended {
                    ended.words.clone_from(&words);
                }
                // One that couldn't be made has a reason of its own.
                if let State::Down(ended) = &mut pod.state
                    && ended.has_run()
                {
                    ended.words = words;
                }
            }
            if pod.is_ready() {
                fares = self.sample.lock().fares(&pod.uid);
                if let Fares::Worse { lost, .. } | Fares::Stuck { lost, .. } = &mut fares {
                    *lost = observe::in_its_words(self.context, self.place, pod, lost).await;
                }
            }
        }
        fares
    }

    fn input<'a>(&'a self, spec: &'a Spec, lease: bool) -> objects::Input<'a> {
        let Place { namespace, service, .. } = self.place;
        objects::Input { namespace, service, max_unavailable: &spec.collector.placement.max_unavailable, lease }
    }

    /// Its `DaemonSet`, wherever it will be.
    fn trial_of(&self, spec: &Spec, revision: &Revision) -> Value {
        objects::trial(&self.input(spec, false), revision, "a")
    }

    fn objects(
        &self,
        spec: &Spec,
        candidate: Option<&(Revision, Rendered)>,
        stored: &[Stored],
        plan: &Plan,
        pods: &[Arc<Pod>],
    ) -> Vec<Value> {
        // With a fault, what was needed before is still.
        let input = self.input(spec, candidate.is_none_or(|(_, rendered)| rendered.lease.is_some()));
        let mut runs: Vec<_> = pods.iter().map(|pod| &*pod.revision).collect();
        runs.extend(plan.stable.as_ref().map(|stable| stable.revision.as_str()));
        runs.extend(plan.trial.as_ref().map(|trial| trial.revision.as_str()));
        runs.sort_unstable();
        runs.dedup();
        let candidate = candidate.map(|(revision, _)| revision);
        let mut kept = objects::kept(candidate, stored, &runs);
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
        let mut all = objects::surroundings(&input);
        all.extend(objects::rollouts(&input, plan, &kept));
        all
    }
}

fn set(sets: &Sets, rollout: Rollout) -> Option<&Set> {
    sets.get(rollout.daemon_set())?.as_ref()
}

/// What is wanted in the place of what runs, and comes to its trial only now.
fn untried<'w>(wanted: Option<&'w Revision>, stored: &[Stored], sets: &Sets) -> Option<&'w Revision> {
    let (wanted, runs) = (wanted?, set(sets, Rollout::Stable)?);
    let known = stored.iter().any(|known| known.revision.hash == wanted.hash && known.mark != Mark::Untried);
    let on_trial = set(sets, Rollout::Trial).is_some_and(|set| set.deployed.revision == wanted.hash);
    (runs.deployed.revision != wanted.hash && !on_trial && !known).then_some(wanted)
}

/// Why the trial's `DaemonSet` can't be written, where the API server has said so.
fn not_written(outcome: Option<&Outcome>) -> Option<String> {
    let (object, why) = match outcome? {
        Outcome::Refused { object, why, answered: true, .. } => (object, why.clone()),
        Outcome::Foreign { object, .. } => (object, format!("{object} isn't otelgate's")),
        _ => return None,
    };
    (*object == format!("DaemonSet {}", Rollout::Trial.daemon_set())).then_some(why)
}

fn last_passed(stored: &[Stored]) -> Option<&str> {
    let passed = stored.iter().filter(|one| one.mark.has_passed());
    passed.max_by_key(|one| &one.created).map(|one| one.revision.hash.as_str())
}

/// Why the metrics of what goes to every node couldn't be read in its trial.
fn unmeasured<'s>(stored: &'s [Stored], plan: &Plan) -> Option<&'s str> {
    let stable = plan.stable.as_ref()?;
    match &stored.iter().find(|one| one.revision.hash == stable.revision)?.mark {
        Mark::Unmeasured(why) => Some(why),
        _ => None,
    }
}
