//! The task that does it: looks, decides, hands over what is wanted, and reports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use super::busy::Busy;
use super::carried::Carried;
use super::joining;
use super::node::Node;
use super::observe::{Place, Seen};
use super::pod::Pod;
use super::sample::{self, Sample};
use super::spec::{Known, Spec};
use super::verdict::{self, Said};
use super::{TRACES, objects};
use crate::api::condition::{ConditionType, Reason};
use crate::api::stack::CollectorMode;
use crate::controller::Context;
use crate::controller::left::{self, Left};
use crate::controller::objects::{Key, Outcome, Wanted, keep};
use crate::controller::stack::Stack;
use crate::controller::status::Verdict;
use crate::watch::Health;

mod leave;
mod manage;
mod memory;
mod snapshot;

use memory::Memory;

/// Changes that come together are looked at together.
const SETTLE: Duration = Duration::from_millis(200);
/// What isn't watched is looked at that often, while it matters.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Tells which nodes have just joined, and what the Collectors do that run. Never returns.
pub async fn run(
    context: Context,
    joining: watch::Sender<Arc<BTreeSet<String>>>,
    carried: watch::Sender<Option<Carried>>,
) {
    let (wanted, wants) = watch::channel(None);
    let (outcome, outcomes) = watch::channel(None);
    let health = Arc::clone(&context.state.collector);
    let (left, lefts) = watch::channel(None);
    tokio::join!(
        keep(context.clone(), objects::PART, Arc::clone(&health), wants.clone(), outcome),
        left::run(context.clone(), TRACES, [wants], health, left),
        follow(context, wanted, joining, carried, outcomes, lefts),
    );
}

/// Looks at the place that the spec names, whichever that is just now.
async fn follow(
    context: Context,
    wanted: watch::Sender<Option<Arc<Wanted>>>,
    joining: watch::Sender<Arc<BTreeSet<String>>>,
    carried: watch::Sender<Option<Carried>>,
    mut outcomes: watch::Receiver<Option<Outcome>>,
    mut left: watch::Receiver<Option<Left>>,
) {
    let mut known = context.known.clone();
    loop {
        let now = known.borrow_and_update().clone();
        match now.as_deref().map(|now| (now, now.spec.as_deref().map(Spec::place))) {
            Some((_, Some(place))) => {
                let (seen, busy, sample) = (Seen::default(), Busy::default(), Sample::default());
                let task = Task {
                    context: &context,
                    place: &place,
                    seen: &seen,
                    busy: &busy,
                    sample: &sample,
                    wanted: &wanted,
                    joining: &joining,
                    carried: &carried,
                };
                tokio::select! {
                    () = seen.watch(&context, &place) => {}
                    () = busy.look(&context) => {}
                    () = sample::run(&context, &place, &sample) => {}
                    () = task.decide(&mut known, &mut outcomes, &mut left) => {}
                }
                continue;
            }
            Some((now, None)) => {
                joining.send_replace(Arc::default());
                context.state.measured.set_collector_nodes(None);
                context.status.report(|reports| {
                    let fault = now.fault.clone().unwrap_or_default();
                    let verdict = Verdict::new(Reason::CollectorSpecInvalid, fault, now.stack.generation);
                    reports.say(ConditionType::CollectorAvailable, verdict);
                });
            }
            None => {
                joining.send_replace(Arc::default());
                carried.send_if_modified(|carried| carried.take().is_some());
                context.state.measured.set_collector_nodes(None);
                wanted.send_if_modified(|wanted| wanted.take().is_some());
                context.status.report(|reports| {
                    reports.take_back(ConditionType::CollectorAvailable);
                    reports.collector = None;
                });
            }
        }
        if known.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What is known just now, beside what is seen at the place alone.
struct Look<'l> {
    stack: &'l Stack,
    spec: &'l Spec,
    /// Of the spec that there is now; the other is one of before.
    fault: Option<String>,
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
    carried: &'t watch::Sender<Option<Carried>>,
}

impl Task<'_> {
    /// Until the spec names another place.
    async fn decide(
        &self,
        known: &mut watch::Receiver<Option<Arc<Known>>>,
        outcomes: &mut watch::Receiver<Option<Outcome>>,
        left_behind: &mut watch::Receiver<Option<Left>>,
    ) {
        let mut memory = Memory::default();
        let mut credentials = self.context.credentials.clone();
        let mut pods = self.context.collector_pods.clone();
        let mut found_busy = self.busy.found();
        let mut agent_serves = self.context.agent_serves.clone();
        loop {
            agent_serves.mark_unchanged();
            let secrets = credentials.borrow_and_update().clone();
            let busy = found_busy.borrow_and_update().clone();
            let Some(now) = known.borrow_and_update().clone() else { return };
            let Known { stack, spec: Some(spec), fault } = &*now else { return };
            if spec.place() != *self.place {
                return;
            }
            let outcome = outcomes.borrow_and_update().clone();
            let listed = pods.borrow_and_update().of(&self.place.pods).map(|pods| pods.values().cloned().collect());
            let left = left_behind.borrow_and_update().clone();
            let look = Look { stack, spec, fault: fault.clone(), pods: listed, left, busy };
            let unseen = self.unseen();
            self.tell_what_is_known();
            let again = match (self.place.mode, &unseen) {
                (CollectorMode::Disabled, _) => self.disable(&look, outcome.as_ref(), &mut memory).await,
                // What was seen before may be long past.
                (_, Some(fault)) => {
                    self.tell_joining(BTreeSet::new());
                    self.context.state.measured.set_collector_nodes(None);
                    let verdict = Verdict::new(Reason::CollectorNotReadable, fault.clone(), stack.generation);
                    self.context.status.report(|reports| reports.say(ConditionType::CollectorAvailable, verdict));
                    None
                }
                (CollectorMode::Managed, None) => self.manage(look, &secrets, outcome.as_ref(), &mut memory).await,
                (CollectorMode::Adopt, None) => self.adopt(look, outcome.as_ref(), &mut memory).await,
            };
            let forbidden = self.is_forbidden();
            tokio::select! {
                () = sleep(again.unwrap_or_default()), if again.is_some() => {}
                () = self.seen.changed.notified() => {}
                () = self.until_seen_otherwise(unseen.as_ref(), forbidden) => {}
                Ok(()) = pods.changed() => {}
                Ok(()) = left_behind.changed() => {}
                Ok(()) = found_busy.changed() => {}
                Ok(()) = known.changed() => {}
                Ok(()) = outcomes.changed() => {}
                Ok(()) = credentials.changed() => {}
                Ok(()) = agent_serves.changed() => {}
            }
            sleep(SETTLE).await;
        }
    }

    /// Why it can't be told how things are: which right is missing, say.
    fn unseen(&self) -> Option<String> {
        self.healths().into_iter().find_map(|health| health.unseen().map(|fault| format!("{}: {fault}", health.what())))
    }

    /// Of all that has to be seen before anything is said.
    fn healths(&self) -> Vec<&Health> {
        let state = &self.context.state;
        match self.place.mode {
            CollectorMode::Managed => {
                vec![&state.collector_sets, &state.collector_maps, &state.collector_pods, &state.nodes]
            }
            CollectorMode::Adopt => vec![&state.collector_pods, &state.nodes],
            CollectorMode::Disabled => vec![&state.collector_sets, &state.collector_pods],
        }
    }

    /// Whether what ours have is never to be looked at.
    fn is_forbidden(&self) -> bool {
        let sets = self.context.state.collector_sets.as_ref();
        self.healths().into_iter().chain([sets]).any(|health| health.forbidden().is_some())
    }

    async fn until_seen_otherwise(&self, before: Option<&String>, forbidden: bool) {
        while self.unseen().as_ref() == before && self.is_forbidden() == forbidden {
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn adopt(&self, look: Look<'_>, outcome: Option<&Outcome>, memory: &mut Memory) -> Option<Duration> {
        let own = self.seen.own_pods.lock().as_ref().map(|pods| pods.values().cloned().collect::<Vec<_>>());
        let goes = self.see_off(&look, own.as_deref(), memory).await;
        let again = self.watch_over(look, goes.told(outcome), memory);
        goes.again().into_iter().chain(again).min()
    }

    /// Nothing before everything was listed.
    fn watch_over(&self, look: Look<'_>, stays: Option<(Reason, String)>, memory: &mut Memory) -> Option<Duration> {
        let Look { stack, spec, fault, pods, left, mut busy } = look;
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
        let mut said = verdict::adopted(&seen);
        let again = said.again;
        if let Some(fault) = fault {
            said.verdict = Verdict::new(Reason::CollectorSpecInvalid, fault, stack.generation);
        } else if let (None, Some((reason, detail))) = (&left, stays) {
            said.verdict = Verdict::new(reason, detail, stack.generation);
        }
        self.report(said);
        memory.joining.again(Instant::now()).into_iter().chain(again).min()
    }

    /// A spec with a fault takes nothing away that one before hasn't.
    fn want_none(&self, look: &Look<'_>) {
        if look.fault.is_none() {
            let handed_over = look.spec.hands_service_over().then(|| Key::service(&self.place.service));
            self.want(look.stack, Vec::new(), handed_over.into_iter().collect());
        }
    }

    fn want(&self, stack: &Stack, objects: Vec<Value>, spares: Vec<Key>) {
        let namespace = self.place.namespace.clone();
        let now = Wanted { namespace, objects, spares, owner: stack.owner(), generation: stack.generation };
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

    /// Of what is never to be looked at, nothing more will be known than what the spec says.
    fn tell_what_is_known(&self) {
        if self.carried.borrow().is_none() && self.is_forbidden() {
            self.tell_carried(Carried::default());
        }
    }

    /// Whoever takes what Collectors leave.
    fn tell_carried(&self, carried: Carried) {
        self.carried.send_if_modified(|before| before.replace(carried) != Some(carried));
    }

    /// Half of a Collector, beside somebody else's other half or without its configuration, is worse than none.
    fn want_as_it_is(&self) {
        self.wanted.send_if_modified(|wanted| wanted.take().is_some());
    }

    fn report(&self, said: Said) {
        let Said { verdict, status, nodes, .. } = said;
        self.context.state.measured.set_collector_nodes(Some(nodes));
        self.context.status.report(|reports| {
            reports.say(ConditionType::CollectorAvailable, verdict);
            reports.collector = Some(status);
        });
    }
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
    let now = Timestamp::now();
    verdict::Seen { generation: stack.generation, placement, nodes, pods, busy, left, joining, now }
}

#[cfg(test)]
mod tests;
