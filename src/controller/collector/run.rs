//! The task that does it: looks, decides, hands over what is wanted, and reports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::busy::Busy;
use super::compare::Fares;
use super::joining::{self, Joining};
use super::node::Node;
use super::observe::{self, Asked, Place, Seen, Set};
use super::pod::{Pod, Rollout, State};
use super::revision::{Revision, Stored};
use super::sample::{self, Sample};
use super::since::Clocks;
use super::spec::Spec;
use super::taken::{self, Taken};
use super::trial::{self, Mark, Observed, Phase, Plan, Unfit};
use super::verdict::{self, Managed, Said};
use super::{TRACES, objects};
use crate::api::condition::{ConditionType, Reason};
use crate::api::stack::{CollectorMode, CollectorStatus, Exporter};
use crate::collector::Rendered;
use crate::controller::Context;
use crate::controller::health::Secrets;
use crate::controller::left::{self, Left};
use crate::controller::objects::{Outcome, Wanted, keep};
use crate::controller::stack::Stack;
use crate::controller::status::Verdict;

/// Changes that come together are looked at together.
const SETTLE: Duration = Duration::from_millis(200);
/// What isn't watched is looked at that often, while it matters.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Tells which nodes have just joined, too. Never returns.
pub async fn run(context: Context, joining: watch::Sender<Arc<BTreeSet<String>>>) {
    let (wanted, wants) = watch::channel(None);
    let (outcome, outcomes) = watch::channel(None);
    let health = Arc::clone(&context.state.collector);
    let (left, lefts) = watch::channel(None);
    tokio::join!(
        keep(context.clone(), objects::PART, Arc::clone(&health), wants, outcome),
        left::run(context.clone(), TRACES, health, left),
        follow(context, wanted, joining, outcomes, lefts),
    );
}

/// Looks at the place that the spec names, whichever that is just now.
async fn follow(
    context: Context,
    wanted: watch::Sender<Option<Arc<Wanted>>>,
    joining: watch::Sender<Arc<BTreeSet<String>>>,
    mut outcomes: watch::Receiver<Option<Outcome>>,
    mut left: watch::Receiver<Option<Left>>,
) {
    let mut stack = context.stack.clone();
    loop {
        let now = stack.borrow_and_update().clone();
        let spec = now.as_ref().map(|now| Spec::of(now, &context.namespace));
        match (now, spec) {
            (Some(_), Some(Ok(spec))) => {
                let place = spec.place();
                let (seen, busy, sample) = (Seen::default(), Busy::default(), Sample::default());
                let task = Task {
                    context: &context,
                    place: &place,
                    seen: &seen,
                    busy: &busy,
                    sample: &sample,
                    wanted: &wanted,
                    joining: &joining,
                };
                tokio::select! {
                    () = seen.watch(&context, &place) => {}
                    () = busy.look(&context) => {}
                    () = sample::run(&context, &place, &sample) => {}
                    () = task.decide(&mut stack, &mut outcomes, &mut left) => {}
                }
                continue;
            }
            (Some(now), Some(Err(fault))) => {
                joining.send_replace(Arc::default());
                context.state.measured.set_rollout(None);
                context.status.report(|reports| {
                    let verdict = Verdict::new(Reason::CollectorSpecInvalid, fault, now.generation);
                    reports.say(ConditionType::CollectorAvailable, verdict);
                });
            }
            _ => {
                joining.send_replace(Arc::default());
                context.state.measured.set_rollout(None);
                wanted.send_if_modified(|wanted| wanted.take().is_some());
                context.status.report(|reports| {
                    reports.take_back(ConditionType::CollectorAvailable);
                    reports.collector = None;
                });
            }
        }
        if stack.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What is known just now, beside what is seen at the place alone.
struct Look<'l> {
    stack: &'l Stack,
    spec: &'l Spec,
    /// `None` before they were listed.
    pods: Option<Vec<Arc<Pod>>>,
    left: Option<Left>,
    /// Nodes without a Collector that have opted-in pods, as far as they were looked at.
    busy: BTreeSet<String>,
}

/// What goes on as long as the place is the same.
struct Task<'t> {
    context: &'t Context,
    place: &'t Place,
    seen: &'t Seen,
    busy: &'t Busy,
    sample: &'t Sample,
    wanted: &'t watch::Sender<Option<Arc<Wanted>>>,
    joining: &'t watch::Sender<Arc<BTreeSet<String>>>,
}

impl Task<'_> {
    /// Until the spec names another place.
    async fn decide(
        &self,
        stack: &mut watch::Receiver<Option<Arc<Stack>>>,
        outcomes: &mut watch::Receiver<Option<Outcome>>,
        left_behind: &mut watch::Receiver<Option<Left>>,
    ) {
        let mut asked = Asked::default();
        let mut memory = Memory::default();
        let mut credentials = self.context.credentials.clone();
        let mut pods = self.context.collector_pods.clone();
        let mut found_busy = self.busy.found();
        loop {
            let secrets = credentials.borrow_and_update().clone();
            let busy = found_busy.borrow_and_update().clone();
            let Some(now) = stack.borrow_and_update().clone() else { return };
            let Ok(spec) = Spec::of(&now, &self.context.namespace) else { return };
            if spec.place() != *self.place {
                return;
            }
            let outcome = outcomes.borrow_and_update().clone();
            let listed = self.place.pods.as_ref();
            let listed = listed.and_then(|place| Some(pods.borrow_and_update().of(place)?.values().cloned().collect()));
            let left = left_behind.borrow_and_update().clone();
            let look = Look { stack: &now, spec: &spec, pods: listed, left, busy };
            let unseen = self.unseen();
            let again = match (self.place.mode, &unseen) {
                (CollectorMode::Disabled, _) => {
                    self.busy.ask(BTreeSet::new(), &spec.configuration);
                    self.want(&now, Vec::new());
                    self.switch_off(&now, look.left.as_ref());
                    None
                }
                // What was seen before may be long past.
                (_, Some(fault)) => {
                    self.tell_joining(BTreeSet::new());
                    self.context.state.measured.set_rollout(None);
                    let verdict = Verdict::new(Reason::CollectorNotReadable, fault.clone(), now.generation);
                    self.context.status.report(|reports| reports.say(ConditionType::CollectorAvailable, verdict));
                    None
                }
                (CollectorMode::Managed, None) => {
                    self.manage(look, &secrets, outcome.as_ref(), &mut asked, &mut memory).await
                }
                (CollectorMode::Adopt, None) => self.adopt(look, &mut memory),
            };
            tokio::select! {
                () = sleep(again.unwrap_or_default()), if again.is_some() => {}
                () = self.seen.changed.notified() => {}
                () = self.until_seen_otherwise(unseen.as_ref()) => {}
                Ok(()) = pods.changed() => {}
                Ok(()) = left_behind.changed() => {}
                Ok(()) = found_busy.changed() => {}
                Ok(()) = stack.changed() => {}
                Ok(()) = outcomes.changed() => {}
                Ok(()) = credentials.changed() => {}
            }
            sleep(SETTLE).await;
        }
    }

    /// Why it can't be told how things are: which right is missing, say.
    fn unseen(&self) -> Option<String> {
        let state = &self.context.state;
        let healths = [&state.collector_sets, &state.collector_maps, &state.collector_pods, &state.nodes];
        healths.iter().find_map(|health| health.unseen().map(|fault| format!("{}: {fault}", health.what())))
    }

    async fn until_seen_otherwise(&self, before: Option<&String>) {
        while self.unseen().as_ref() == before {
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Nothing before everything was listed.
    async fn manage(
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
        let set = |rollout: Rollout| sets.get(rollout.daemon_set())?.as_ref();
        for rollout in Rollout::ALL.into_iter().filter(|rollout| set(*rollout).is_some_and(|set| set.stripped)) {
            if let Err(error) = observe::relabel(self.context, self.place, rollout).await {
                self.context.state.collector.failed(&error);
                return Some(LOOK_AGAIN);
            }
        }
        let secret = match secrets {
            Some(secret) => secret.as_ref().map(|secret| secret.resource_version.clone()),
            None if spec.collector.exporter == Exporter::Agent => None,
            // That it can't be looked at is told as a condition of its own, and holds nothing up.
            None if self.context.state.credentials.failure().is_some() => None,
            None => return None,
        };
        let mut pods = pods?;
        let nodes = self.seen.nodes.lock().clone()?;
        let runs = set(Rollout::Stable).map(|set| set.deployed.revision.as_str());
        let (fault, candidate) = match spec.revision(secret, &stored, runs) {
            Ok((candidate, rendered)) => (None, Some((candidate, rendered))),
            Err(fault) => (Some(fault), None),
        };
        let revision = candidate.as_ref().map(|(revision, _)| revision);

        let fares = self.ask_the_trial(&mut pods, revision, asked).await;
        let lacking = Rollout::ALL.into_iter().find_map(|rollout| set(rollout).filter(|set| set.lacks_pods));
        let no_pod = asked.why_no_pod(self.context, self.place, lacking).await;
        let mark = revision.and_then(|one| stored.iter().find(|known| known.revision.hash == one.hash));
        let due = taken::due(&sets, revision, mark.map(|known| &known.mark));
        let foreign = memory.taken.look(self.context, self.place, stack, &due).await;
        // What runs goes on, and nothing new is begun.
        let wanted = revision.filter(|_| foreign.is_none());
        let untried = wanted.filter(|one| {
            let known = || stored.iter().any(|known| known.revision.hash == one.hash && known.mark != Mark::Untried);
            let there = set(Rollout::Trial).is_some_and(|set| set.deployed.revision == one.hash);
            runs.is_some_and(|runs| *runs != *one.hash) && !there && !known()
        });
        let refused = match untried {
            Some(untried) => asked.why_refused(self.context, self.place, &self.trial_of(spec, untried), untried).await,
            None => None,
        };
        let not_written = untried.and_then(|_| not_written(outcome));
        let now = Timestamp::now();
        let made = set(Rollout::Stable).map_or(now, |set| set.created);
        let joining = memory.joining.among(&nodes, made, now, Instant::now());
        self.tell_joining(joining.clone());
        let (excluded, should): (Vec<_>, Vec<_>) = nodes
            .iter()
            .filter(|(_, node)| !node.leaving)
            .partition(|(_, node)| node.should_run(&spec.collector.placement).is_err());
        self.busy.ask(excluded.into_iter().map(|(name, _)| name.clone()).collect(), &spec.configuration);

        let deployed = |rollout| set(rollout).map(|set: &Set| set.deployed.clone());
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
        tell(&plan, revision, unmeasured, &mut memory.told);
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
        self.report(verdict::managed(&seen, &managed));
        let looks_again = lacking.is_some() || !due.is_empty() || plan.phase.is_looked_at();
        let joined = memory.joining.again(Instant::now());
        plan.again.into_iter().chain(looks_again.then_some(LOOK_AGAIN)).chain(joined).min()
    }

    /// Nothing before everything was listed.
    fn adopt(&self, look: Look<'_>, memory: &mut Memory) -> Option<Duration> {
        let Look { stack, spec, pods, left, mut busy } = look;
        self.want(stack, Vec::new());
        let pods = pods?;
        let nodes = self.seen.nodes.lock().clone()?;
        busy.retain(|node| nodes.contains_key(node));
        let with = verdict::by_node(pods.iter().map(AsRef::as_ref));
        let without = nodes.keys().filter(|name| !with.contains_key(name.as_str())).cloned().collect();
        self.busy.ask(without, &spec.configuration);
        let made = *memory.adopting.get_or_insert_with(|| joining::newest(&nodes));
        let joining = memory.joining.among(&nodes, made, Timestamp::now(), Instant::now());
        self.tell_joining(joining.clone());
        let seen = seen_for_verdict(stack, spec, &nodes, &pods, &busy, left.as_ref(), &joining);
        self.report(verdict::adopted(&seen));
        memory.joining.again(Instant::now())
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
                if let Fares::Worse { lost, .. } = &mut fares {
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

    fn want(&self, stack: &Stack, objects: Vec<Value>) {
        let namespace = self.place.namespace.clone();
        let now = Wanted { namespace, objects, owner: stack.owner(), generation: stack.generation };
        self.wanted.send_if_modified(|wanted| {
            let changed = wanted.as_deref() != Some(&now);
            if changed {
                *wanted = Some(Arc::new(now));
            }
            changed
        });
    }

    /// Whoever else looks at nodes.
    fn tell_joining(&self, joining: BTreeSet<String>) {
        self.joining.send_if_modified(|before| {
            let changed = **before != joining;
            if changed {
                *before = Arc::new(joining);
            }
            changed
        });
    }

    /// Half of a Collector beside somebody else's other half is worse than none.
    fn want_as_it_is(&self) {
        self.wanted.send_if_modified(|wanted| wanted.take().is_some());
    }

    fn report(&self, said: Said) {
        let Said { verdict, status, waiting } = said;
        self.context.state.measured.set_rollout(waiting);
        self.context.status.report(|reports| {
            reports.say(ConditionType::CollectorAvailable, verdict);
            reports.collector = Some(status);
        });
    }

    /// Nothing is said of what isn't to be there, unless it is.
    fn switch_off(&self, stack: &Stack, left: Option<&Left>) {
        self.tell_joining(BTreeSet::new());
        self.context.state.measured.set_rollout(None);
        self.context.status.report(|reports| {
            if let Some(left) = left {
                let verdict = Verdict::new(Reason::CollectorLeftBehind, left.told(), stack.generation)
                    .naming(&[("NAMESPACE", &left.namespace)]);
                reports.say(ConditionType::CollectorAvailable, verdict);
            } else {
                reports.switch_off(ConditionType::CollectorAvailable);
            }
            reports.collector = Some(CollectorStatus { ready: "off".to_owned(), ..CollectorStatus::default() });
        });
    }
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

fn seen_for_verdict<'s>(
    stack: &Stack,
    spec: &'s Spec,
    nodes: &'s BTreeMap<String, Node>,
    pods: &'s [Arc<Pod>],
    busy: &'s BTreeSet<String>,
    left: Option<&'s Left>,
    joining: &'s BTreeSet<String>,
) -> verdict::Seen<'s> {
    let placement = &spec.collector.placement;
    let pods = verdict::by_node(pods.iter().map(AsRef::as_ref));
    verdict::Seen { generation: stack.generation, placement, nodes, pods, busy, left, joining }
}

/// What doesn't stand in the cluster. Another leader does without.
#[derive(Debug, Default)]
struct Memory {
    told: Option<Phase>,
    unfit: Unfit,
    clocks: Clocks,
    /// When the record of each revision that failed was made.
    failed: BTreeMap<String, String>,
    /// Names that somebody else may have.
    taken: Taken,
    joining: Joining,
    /// Nobody says since when somebody else's is to be on every node: nodes that are there first aren't new.
    adopting: Option<Timestamp>,
}

impl Memory {
    /// A record that was deleted is written again as it was before anybody can have seen that it had gone. That it is
    /// another one says so: its revision is to be tried again.
    fn forgive(&mut self, stored: &mut [Stored]) {
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

/// Once for each change.
fn tell(plan: &Plan, revision: Option<&Revision>, unmeasured: Option<&str>, told: &mut Option<Phase>) {
    if told.as_ref() == Some(&plan.phase) {
        return;
    }
    let revision = revision.map(|revision| revision.hash.as_str());
    match &plan.phase {
        Phase::RolledBack(fault) | Phase::Failing(fault) => {
            warn!(otelgate.revision = revision, error.message = %fault, "the Collector's trial has failed");
        }
        Phase::Trying { node } => info!(otelgate.revision = revision, k8s.node.name = node, "the Collector is tried"),
        Phase::Held { node, why } => {
            info!(
                otelgate.revision = revision,
                k8s.node.name = node,
                error.message = why,
                "the Collector's trial is held: nothing of it is its own fault"
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
    *told = Some(plan.phase.clone());
}

#[cfg(test)]
mod tests {
    use super::super::trial::{Cause, Fault};
    use super::*;

    fn failed(created: &str) -> Stored {
        let fault = Fault { node: "a".to_owned(), cause: Cause::Unschedulable, words: "no".to_owned(), key: None };
        Stored {
            revision: Revision::new("text".to_owned(), &Value::Null),
            mark: Mark::Failed(fault),
            created: created.to_owned(),
        }
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
}
