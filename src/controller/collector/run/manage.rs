//! Of a Collector that is the controller's own: what should run where, from all that is known of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use super::super::carried::Carried;
use super::super::compare::Fares;
use super::super::observe::{self, Asked, Place, Set};
use super::super::pod::{Pod, Rollout, State};
use super::super::revision::Revision;
use super::super::spec::Spec;
use super::super::trial::{self, Observed, Plan};
use super::super::verdict::{self, Managed, Said};
use super::super::{objects, taken};
use super::snapshot::{Answers, Sets, Snapshot, not_written, set};
use super::{LOOK_AGAIN, Look, Memory, Task, seen_for_verdict};
use crate::api::stack::Exporter;
use crate::collector::Rendered;
use crate::controller::health::Secrets;
use crate::controller::objects::{Key, Outcome, relabel};
use crate::k8s;

/// Nothing is decided yet: until something changes, or for that long.
struct NotYet(Option<Duration>);

impl Task<'_> {
    /// When to look again by itself.
    pub(super) async fn manage(
        &self,
        mut look: Look<'_>,
        secrets: &Secrets,
        outcome: Option<&Outcome>,
        memory: &mut Memory,
    ) -> Option<Duration> {
        let Look { stack, spec, .. } = look;
        let mut snapshot = match self.see(&mut look, secrets, memory).await {
            Ok(snapshot) => snapshot,
            Err(NotYet(again)) => return again,
        };
        let secret = secrets.as_ref().and_then(Option::as_ref).map(|secret| secret.resource_version.clone());
        let candidate = match look.fault.take() {
            Some(fault) => Err(fault),
            None => spec.revision(secret, &snapshot.stored, snapshot.runs()),
        };
        let revision = candidate.as_ref().ok().map(|(revision, _)| revision);

        let answers = self.ask(&look, &mut snapshot, revision, outcome, memory).await;
        let joining = self.tell_of_nodes(spec, &snapshot, memory);

        let plan = self.plan(spec, &snapshot, &answers, memory);
        memory.remember(revision, &plan, &snapshot.stored);
        let unmeasured = snapshot.unmeasured(&plan);
        memory.tell(&plan, revision, unmeasured);

        let begins_nothing = answers.foreign.is_some() || candidate.is_err();
        if begins_nothing && snapshot.is_empty() {
            self.want_as_it_is();
        } else {
            let serves = serves(*self.context.agent_serves.borrow(), snapshot.runs().is_some());
            let others = (!serves).then(|| Key::service(&self.place.service)).into_iter().collect();
            self.want(stack, self.objects(spec, candidate.as_ref().ok(), &snapshot, &plan, serves), others);
        }

        let Snapshot { nodes, pods, .. } = &snapshot;
        let seen = seen_for_verdict(stack, spec, nodes, pods, &look.busy, look.left.as_ref(), &joining);
        let managed = Managed {
            fault: candidate.as_ref().err().map(String::as_str),
            candidate: revision.map(|revision| revision.hash.as_str()),
            plan: &plan,
            outcome: answers.foreign.as_ref().or(outcome),
            no_pod: answers.no_pod.as_deref(),
            unmeasured,
        };
        let otherwise = self.say(verdict::managed(&seen, &managed), memory);

        let looks_again = answers.changes_unseen || plan.phase.is_looked_at();
        let joined = memory.joining.again(Instant::now());
        [plan.again, looks_again.then_some(LOOK_AGAIN), joined, otherwise].into_iter().flatten().min()
    }

    /// Nothing before everything was listed.
    async fn see(&self, look: &mut Look<'_>, secrets: &Secrets, memory: &mut Memory) -> Result<Snapshot, NotYet> {
        const UNLISTED: NotYet = NotYet(None);
        let mut stored = self.seen.stored().ok_or(UNLISTED)?;
        memory.forgive(&mut stored);
        let sets = self.seen.sets.lock().clone().ok_or(UNLISTED)?;
        let nodes = self.seen.nodes.lock().clone();
        if let (Some(pods), Some(nodes)) = (&look.pods, &nodes) {
            let waited_for = memory.given_up.waited_for(pods, Some(nodes));
            self.tell_carried(Carried::of(&stored, &sets, &waited_for));
        }
        if let Err(error) = self.relabel(&sets, |_| true).await {
            self.context.state.collector.failed(&error);
            return Err(NotYet(Some(LOOK_AGAIN)));
        }
        if !self.knows(secrets, look.spec) {
            return Err(UNLISTED);
        }
        let pods = look.pods.take().ok_or(UNLISTED)?;
        if let Some(left) = memory.waits(sets.values().flatten(), &pods, Instant::now()) {
            return Err(NotYet(Some(left)));
        }
        Ok(Snapshot { stored, sets, pods, nodes: nodes.ok_or(UNLISTED)? })
    }

    /// Puts the words of a trial's Collector that ended into its pod, too.
    async fn ask<'r>(
        &self,
        look: &Look<'_>,
        snapshot: &mut Snapshot,
        revision: Option<&'r Revision>,
        outcome: Option<&Outcome>,
        memory: &mut Memory,
    ) -> Answers<'r> {
        let Memory { asked, taken, .. } = memory;
        let fares = self.ask_the_trial(&mut snapshot.pods, revision, asked).await;
        let lacking = snapshot.lacking_pods();
        let no_pod = asked.why_no_pod(self.context, self.place, lacking).await;
        let due = taken::due(&snapshot.sets, revision, revision.and_then(|one| snapshot.mark(&one.hash)));
        let foreign = taken.look(self.context, self.place, look.stack, &due).await;
        // What runs goes on.
        let wanted = revision.filter(|_| foreign.is_none());
        let untried = snapshot.untried(wanted);
        let refused = match untried {
            Some(untried) => {
                let set = self.trial_of(look.spec, untried);
                asked.why_refused(self.context, self.place, &set, untried).await
            }
            None => None,
        };
        let not_written = untried.and_then(|_| not_written(outcome));
        let changes_unseen = lacking.is_some() || !due.is_empty();
        Answers { wanted, foreign, fares, no_pod, refused, not_written, changes_unseen }
    }

    /// Whoever else looks at nodes. Returns those that have just joined.
    fn tell_of_nodes(&self, spec: &Spec, snapshot: &Snapshot, memory: &mut Memory) -> BTreeSet<String> {
        let now = Timestamp::now();
        let made = snapshot.set(Rollout::Stable).map_or(now, |set| set.created);
        let joining = memory.joining.among(&snapshot.nodes, made, now, Instant::now());
        self.tell_joining(joining.clone());
        self.busy.ask(snapshot.excluded(&spec.collector.placement), &spec.configuration);
        joining
    }

    /// Learns from it, too.
    fn plan(&self, spec: &Spec, snapshot: &Snapshot, answers: &Answers<'_>, memory: &mut Memory) -> Plan {
        let Answers { wanted, fares, no_pod, refused, not_written, .. } = answers;
        let candidate = wanted.map(|revision| revision.hash.as_str());
        let not_taken = candidate.filter(|_| not_written.is_some());
        let pods: Vec<_> = snapshot.pods.iter().map(AsRef::as_ref).collect();
        let nodes = snapshot.should_run(&spec.collector.placement);
        let trial = snapshot.deployed(Rollout::Trial);
        let times = memory.clocks.read(trial.as_ref(), &pods, not_taken, Instant::now());
        let observed = Observed {
            candidate,
            stable: snapshot.deployed(Rollout::Stable),
            trial,
            known: snapshot.stored.iter().map(|one| (one.revision.hash.as_str(), one.mark.clone())).collect(),
            passed: snapshot.last_passed(),
            pods,
            nodes: nodes.clone(),
            unfit: &memory.unfit,
            fares: fares.clone(),
            measured: self.sample.lock().measured(Timestamp::now()),
            refused: refused.clone(),
            no_pod: not_written.clone().or_else(|| no_pod.clone()),
            times,
        };
        let plan = trial::plan(&observed);
        let ready = nodes.into_iter().filter(|(_, ready)| *ready).map(|(name, _)| name);
        memory.unfit.learn(candidate, &plan, ready);
        plan
    }

    /// Unless that there is no word yet is all that there is to say. Returns for how long it's true.
    fn say(&self, said: Said, memory: &mut Memory) -> Option<Duration> {
        let otherwise = said.again;
        let patient = memory.has_patience_with(&said, Instant::now());
        if patient.is_none() {
            self.report(said);
        }
        patient.into_iter().chain(otherwise).min()
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

    fn input<'a>(&'a self, spec: &'a Spec, lease: bool, serves: bool) -> objects::Input<'a> {
        let Place { namespace, service, .. } = self.place;
        objects::Input { namespace, service, max_unavailable: &spec.collector.placement.max_unavailable, lease, serves }
    }

    /// Its `DaemonSet`, wherever it will be.
    fn trial_of(&self, spec: &Spec, revision: &Revision) -> Value {
        objects::trial(&self.input(spec, false, false), revision, "a")
    }

    fn objects(
        &self,
        spec: &Spec,
        candidate: Option<&(Revision, Rendered)>,
        snapshot: &Snapshot,
        plan: &Plan,
        serves: bool,
    ) -> Vec<Value> {
        let input = self.input(spec, snapshot.needs_lease(candidate, plan), serves);
        let kept = snapshot.kept(candidate.map(|(revision, _)| revision), plan);
        let mut all = objects::surroundings(&input);
        all.extend(objects::rollouts(&input, plan, &kept));
        all
    }
}

/// Whether the Service is theirs: an Agent has it until it has given it away, which it does once there are Collectors on
/// every node. Before it is known whether it has, nobody takes it from it.
fn serves(agent_serves: Option<bool>, is_rolled_out: bool) -> bool {
    agent_serves.map_or(is_rolled_out, |serves| !serves)
}
