//! Has the Agent made the way that is asked for, and reports how it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use super::mode::{self, Allowed, Served};
use super::observe::Maker;
use super::others::{self, Found, Search};
use super::present::{fill, fill_others, search};
use super::rights::Rights;
use super::settings::Settings;
use super::token::{Again, Next, Token};
use super::verdict::Sight;
use super::watches::{self, Place, Seen};
use super::{OF_OPERATOR, PART, SETTLE, TRACES, cluster_agent, discover, operator, share, token};
use crate::api::condition::{ConditionType, Holds};
use crate::api::object;
use crate::api::stack::{AgentMode, AgentWay, CollectorMode, Owners, TelemetryStackStatus};
use crate::config::Selector;
use crate::controller::left::{self, Left};
use crate::controller::objects::{self, Key, Outcome, Progress, Wanted};
use crate::controller::stack::{Stack, Written};
use crate::controller::{Context, injection};
use crate::tasks::Tasks;

mod report;

/// While not all is well, for what only time tells.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Starts everything that the Agent takes. Tells whether the Service that pods are told is the Agent's, and how the pods of
/// an adopted one are found.
pub fn start(
    tasks: &mut Tasks,
    context: &Context,
    written: watch::Receiver<Arc<Written>>,
    serves: watch::Sender<Option<bool>>,
    adopted: watch::Sender<Option<Arc<[Selector]>>>,
) {
    let (found, kinds) = watch::channel(None);
    tasks.spawn("DatadogAgent's definition", discover::run(context.clone(), found));
    let (place, places) = watch::channel(None);
    let (seen, sights) = watch::channel(Seen::default());
    tasks.spawn("Agent's objects", watches::run(context.clone(), places, seen));
    let (own, own_wanted) = watch::channel(None);
    let (own_kept, own_outcome) = watch::channel(None);
    let health = || Arc::clone(&context.state.agent);
    tasks.spawn("Agent", objects::keep(context.clone(), PART, health(), own_wanted.clone(), own_kept));
    let (of_operator, wanted) = watch::channel(None);
    let wants = [wanted.clone(), own_wanted];
    let (kept, outcome) = watch::channel(None);
    tasks.spawn("DatadogAgent", discover::keep(context.clone(), kinds.clone(), wanted, kept));
    let (search, searches) = watch::channel(None);
    let (found, others) = watch::channel(None);
    tasks.spawn("Agents of others", others::run(context.clone(), searches, found));
    let (left, lefts) = watch::channel(None);
    tasks.spawn("Agents left behind", left::run(context.clone(), TRACES, wants, health(), left));
    let part = Task {
        context: context.clone(),
        written,
        served: kinds,
        seen: sights,
        outcomes: [own_outcome, outcome],
        search,
        others,
        left: lefts,
        place,
        serves,
        adopted,
        own,
        of_operator,
        way: None,
        owners: None,
        restored: false,
        behind_since: None,
        blind_since: None,
        missing: None,
        token: token::Keeper::default(),
        key_version: None,
    };
    tasks.spawn("Agent's verdict", part.run());
}

struct Task {
    context: Context,
    written: watch::Receiver<Arc<Written>>,
    served: watch::Receiver<Option<Served>>,
    seen: watch::Receiver<Seen>,
    outcomes: [watch::Receiver<Option<Outcome>>; 2],
    /// Where to look for Agents of others, and what was found there.
    search: watch::Sender<Option<Search>>,
    others: watch::Receiver<Option<Found>>,
    /// In a namespace where it was before.
    left: watch::Receiver<Option<Left>>,
    place: watch::Sender<Option<Place>>,
    /// Whether the Service that pods are told is the Agent's.
    serves: watch::Sender<Option<bool>>,
    /// How the pods of an adopted one are found.
    adopted: watch::Sender<Option<Arc<[Selector]>>>,
    own: watch::Sender<Option<Arc<Wanted>>>,
    of_operator: watch::Sender<Option<Arc<Wanted>>>,
    /// As it was decided.
    way: Option<AgentWay>,
    /// Who had each kind of data when that was decided last.
    owners: Option<Owners>,
    /// Whether what the status says was read.
    restored: bool,
    /// Since when the operator hasn't acted on the newest `DatadogAgent`.
    behind_since: Option<Instant>,
    /// Since when there is nothing to say: another place is looked at, say.
    blind_since: Option<Instant>,
    /// The right that was.
    missing: Option<String>,
    token: token::Keeper,
    /// That Agents were last made for.
    key_version: Option<String>,
}

// === impl Task ===

impl Task {
    /// Never returns.
    async fn run(mut self) {
        let (mut stack, mut joining) = (self.context.stack.clone(), self.context.joining.clone());
        let mut carried = self.context.carried.clone();
        loop {
            let now = stack.borrow_and_update().clone();
            let again = if let Some(now) = now {
                self.step(&now).await
            } else {
                self.forget();
                None
            };
            let rights = Rights::of(&self.context.state, self.way);
            let [own, of_operator] = &mut self.outcomes;
            tokio::select! {
                () = sleep(again.unwrap_or_default()), if again.is_some() => {}
                () = rights.until_other(self.missing.as_ref()) => {}
                Ok(()) = stack.changed() => {}
                Ok(()) = self.written.changed(), if !self.restored => {}
                Ok(()) = self.served.changed() => {}
                Ok(()) = self.seen.changed() => {}
                Ok(()) = joining.changed() => {}
                Ok(()) = carried.changed() => {}
                Ok(()) = own.changed() => {}
                Ok(()) = of_operator.changed() => {}
                Ok(()) = self.others.changed() => {}
                Ok(()) = self.left.changed() => {}
            }
            sleep(SETTLE).await;
        }
    }

    /// The stack has gone: what it owned goes with it, and nothing is said of it.
    fn forget(&mut self) {
        (self.way, self.restored, self.behind_since, self.blind_since) = (None, false, None, None);
        (self.missing, self.key_version, self.owners) = (None, None, None);
        self.serves.send_if_modified(|serves| serves.take().is_some());
        self.adopted.send_if_modified(|adopted| adopted.take().is_some());
        self.own.send_if_modified(|wanted| wanted.take().is_some());
        self.of_operator.send_if_modified(|wanted| wanted.take().is_some());
        self.place.send_if_modified(|place| place.take().is_some());
        self.search.send_if_modified(|search| search.take().is_some());
        self.context.state.measured.set_agents_waiting(None);
        self.context.status.report(|reports| {
            reports.take_back(ConditionType::AgentAvailable);
            (reports.agent, reports.owners) = (None, None);
        });
    }

    /// Does what is due, reports, and says when to look again.
    async fn step(&mut self, stack: &Stack) -> Option<Duration> {
        if !self.restore() {
            return None;
        }
        let served = self.served.borrow_and_update().clone();
        let joining = Arc::clone(&self.context.joining.borrow());
        let mut sight = Sight { served: served.clone(), joining, ..Sight::default() };
        match &stack.agent {
            Ok(agent) => sight.asked = agent.mode,
            Err(fault) => sight.fault = Some(fault.clone()),
        }
        if sight.fault.is_none() {
            self.way = mode::settle(sight.asked, self.way, served.as_ref());
        }
        sight.way = self.way;
        sight.missing = Rights::of(&self.context.state, self.way).missing();
        self.missing.clone_from(&sight.missing);
        self.look(stack, &mut sight, served.as_ref());
        let seen = self.seen.borrow_and_update().clone();
        let here = *self.place.borrow() == seen.at;
        self.key_version = self.key_version_of(&seen);
        let carried = *self.context.carried.borrow();
        let (namespace, key_version) = (&self.context.namespace, self.key_version.clone());
        let settings = Settings::new(stack, namespace, key_version, carried.unwrap_or_default(), self.owners);
        let settings = match settings {
            // Not before it is known what it has to leave to Collectors that run.
            Ok(settings) => carried.map(|_| settings),
            Err(fault) => {
                sight.fault.get_or_insert(fault);
                None
            }
        };
        if let Some(settings) = &settings {
            self.owners = Some(settings.owners);
        }
        let mut soon = None;
        if let (Some(way), true) = (self.way, here) {
            // What runs is as it was, whatever is wrong with the spec.
            fill(&mut sight, &seen, way);
            self.look_for_others(&mut sight, seen.at.as_ref());
            self.tell_whom_it_adopts(&sight);
            if let Some(settings) = settings.as_ref().filter(|_| sight.looked) {
                soon = self.want(stack, settings, &seen, &mut sight).await;
            }
        }
        self.tell_whether_it_serves(&sight);
        self.read_outcomes(stack, &mut sight);
        sight.left.clone_from(&self.left.borrow_and_update());
        let holds = self.report(stack, settings.as_ref(), &sight);
        soon.into_iter().chain((holds != Holds::True).then_some(LOOK_AGAIN)).min()
    }

    fn look_for_others(&mut self, sight: &mut Sight, place: Option<&Place>) {
        // What was looked for last stands, while names are looked at anew.
        if !sight.looked {
            return;
        }
        let search = place.and_then(|place| search(sight, &place.namespace));
        self.search.send_if_modified(|before| {
            let changed = *before != search;
            before.clone_from(&search);
            changed
        });
        if let Some(search) = &search {
            fill_others(sight, search, self.others.borrow_and_update().as_ref());
        }
    }

    /// While a DaemonSet isn't there, the pods of its successor will be found as its own were.
    fn tell_whom_it_adopts(&self, sight: &Sight) {
        let Some(nodes) = sight.nodes.as_ref().filter(|_| sight.way == Some(AgentWay::Adopt)) else { return };
        let of_cluster_agent = sight.cluster_agent.as_ref().map(|replicas| &replicas.selector);
        let selectors = [Some(&nodes.selector), of_cluster_agent].into_iter().flatten();
        let adopted: Arc<[_]> = selectors.filter(|selector| !selector.is_empty()).cloned().collect();
        self.adopted.send_if_modified(|before| before.replace(Arc::clone(&adopted)) != Some(adopted));
    }

    /// Nothing before that is decided; whatever is wrong with the spec, or is there beside it, what runs is as it was.
    fn tell_whether_it_serves(&self, sight: &Sight) {
        let is_as_it_was =
            sight.fault.is_some() || matches!(sight.allowed, Some(Allowed::LeftOver | Allowed::Foreign(_)));
        let of_agent = [object::AGENT, object::CLUSTER_AGENT];
        let is_of_pods = |object: &Value| {
            object["kind"] == "Service" && of_agent.iter().all(|name| object["metadata"]["name"] != *name)
        };
        let serves = self.own.borrow().as_ref().map(|wanted| wanted.objects.iter().any(is_of_pods));
        let Some(serves) = serves.or(is_as_it_was.then_some(false)) else { return };
        self.serves.send_if_modified(|before| before.replace(serves) != Some(serves));
    }

    /// Without the Secret, it's that of what runs: there is nothing to roll to.
    fn key_version_of(&self, seen: &Seen) -> Option<String> {
        let now = seen.key_version.clone().flatten();
        now.or_else(|| self.key_version.clone()).or_else(|| seen.key_version_in_use())
    }

    /// How it stands with what the spec asks for now.
    fn read_outcomes(&mut self, stack: &Stack, sight: &mut Sight) {
        let mut progress = [Progress::Waiting; 2];
        for (at, wanted) in [&self.own, &self.of_operator].into_iter().enumerate() {
            let outcome = self.outcomes[at].borrow_and_update().clone();
            let Some(wanted) = wanted.borrow().clone() else { continue };
            sight.outcomes.extend(wanted.outcome_of(outcome.as_ref(), stack.generation).cloned());
            progress[at] = wanted.progress(outcome.as_ref(), stack.generation);
        }
        let [own, of_operator] = progress;
        sight.progress = match self.way {
            Some(AgentWay::Daemonset) => own,
            Some(AgentWay::Operator) => own.max(of_operator),
            Some(AgentWay::Adopt | AgentWay::Disabled) | None => Progress::Known,
        };
    }

    /// What a leader before has decided, and what it said: the status is written anew as a whole.
    fn restore(&mut self) -> bool {
        if self.restored {
            return true;
        }
        let written = Arc::clone(&self.written.borrow_and_update());
        let Some(status) = written.get(object::STACK) else { return false };
        // What isn't even a status has nothing to tell.
        let before: TelemetryStackStatus = serde_json::from_value(status.status.clone()).unwrap_or_default();
        (self.way, self.owners) = (before.agent.as_ref().map(|agent| agent.mode), before.owners);
        self.context.status.report(|reports| (reports.agent, reports.owners) = (before.agent, before.owners));
        self.restored = true;
        true
    }

    /// Tells the watches where to look.
    fn look(&self, stack: &Stack, sight: &mut Sight, served: Option<&Served>) {
        let (Ok(agent), Ok(datadog)) = (&stack.agent, &stack.datadog) else { return };
        let Ok(document) = injection::document(&stack.injection, &self.context.namespace) else { return };
        let adopted = agent.mode == AgentMode::Adopt;
        sight.wants_cluster_agent = !adopted || !agent.adopt.cluster_agent.is_empty();
        let Some(served) = served else { return };
        let (daemon_set, cluster_agent) = if adopted {
            (agent.adopt.daemon_set.clone(), agent.adopt.cluster_agent.clone())
        } else {
            (object::AGENT.to_owned(), object::CLUSTER_AGENT.to_owned())
        };
        let place = Some(Place {
            namespace: document.collector.namespace.clone(),
            daemon_set,
            cluster_agent,
            key: datadog.secret.name.clone(),
            service: stack.collector.as_ref().ok().and_then(|collector| {
                share::service_of(&document, collector, agent, self.context.carried.borrow().unwrap_or_default())
            }),
            served: *served == Served::Yes,
        });
        self.place.send_if_modified(|before| {
            let changed = *before != place;
            before.clone_from(&place);
            changed
        });
    }

    /// Says what there should be.
    async fn want(&mut self, stack: &Stack, settings: &Settings, seen: &Seen, sight: &mut Sight) -> Option<Duration> {
        let way = self.way?;
        let allowed = mode::allowed(way, &sight.present);
        sight.allowed = Some(allowed.clone());
        let (mut soon, mut of_token, mut behind) = (None, None, false);
        match allowed {
            Allowed::Way(AgentWay::Operator) => {
                let datadog_agent = operator::datadog_agent(settings);
                behind = sight.datadog_agent.as_ref().is_some_and(|one| !one.deleting)
                    && sight.nodes.as_ref().and_then(|nodes| nodes.revision.as_deref())
                        != operator::revision(&datadog_agent);
                send(&self.of_operator, stack, settings, vec![datadog_agent]);
                send(&self.own, stack, settings, cluster_agent::otlp_service(settings).into_iter().collect());
            }
            Allowed::Way(AgentWay::Daemonset) => {
                send(&self.of_operator, stack, settings, Vec::new());
                let found = seen.token.clone().flatten();
                match self.token.keep(&self.context, stack, &settings.namespace, found).await {
                    Next::Use(version) => {
                        send(&self.own, stack, settings, cluster_agent::objects(settings, Some(&version)));
                    }
                    // Pods stay as they are until there is one that they can read.
                    Next::Wait => {}
                    Next::Again(again) => of_token = Some(again),
                }
            }
            Allowed::Way(AgentWay::Adopt | AgentWay::Disabled) => {
                if way == AgentWay::Disabled {
                    soon = self.relabel(seen, &settings.namespace).await;
                }
                send(&self.of_operator, stack, settings, Vec::new());
                send(&self.own, stack, settings, Vec::new());
            }
            Allowed::LeftOver if way == AgentWay::Operator => send(&self.own, stack, settings, Vec::new()),
            Allowed::LeftOver => send(&self.of_operator, stack, settings, Vec::new()),
            // What runs stays as it is.
            Allowed::Foreign(_) => {}
        }
        if way != AgentWay::Daemonset && !sight.present.own {
            let ours = seen.token.iter().flatten().find_map(Token::ours);
            if let Some(uid) = ours {
                of_token = self.token.delete(&self.context, stack, &settings.namespace, uid).await;
            }
        }
        if let Some(Again { after, told }) = of_token {
            soon = soon.into_iter().chain([after]).min();
            sight.outcomes.extend(told);
        }
        self.behind_since = behind.then(|| self.behind_since.unwrap_or_else(Instant::now));
        sight.behind = self.behind_since.map(|since| since.elapsed());
        soon
    }

    /// What is to go is found by its label, which somebody may have taken away while nobody looked.
    async fn relabel(&self, seen: &Seen, namespace: &str) -> Option<Duration> {
        let nodes = seen.nodes.iter().flatten().map(|one| (one.maker, PART, "DaemonSet", &one.name));
        let replicas = seen.cluster_agent.iter().flatten().map(|one| (one.maker, PART, "Deployment", &one.name));
        let agents = seen.datadog_agents.iter().flatten();
        let agents = agents.map(|one| (one.maker, OF_OPERATOR, "DatadogAgent", &one.name));
        let stripped = nodes.chain(replicas).chain(agents).filter(|(maker, ..)| *maker == Maker::OwnedAlone);
        for (_, part, kind, name) in stripped {
            if let Err(error) = objects::relabel(&self.context, part, kind, namespace, name).await {
                self.context.state.agent.failed(&error);
                return Some(LOOK_AGAIN);
            }
        }
        None
    }
}

fn send(to: &watch::Sender<Option<Arc<Wanted>>>, stack: &Stack, settings: &Settings, objects: Vec<Value>) {
    // A Collector of ours takes it over.
    let is_managed = stack.collector.as_ref().is_ok_and(|collector| collector.mode == CollectorMode::Managed);
    let spares = is_managed.then(|| Key::service(&settings.collector_service)).into_iter().collect();
    let wanted = Wanted {
        namespace: settings.namespace.clone(),
        objects,
        spares,
        owner: stack.owner(),
        generation: stack.generation,
    };
    to.send_if_modified(|before| {
        let changed = before.as_deref() != Some(&wanted);
        if changed {
            *before = Some(Arc::new(wanted));
        }
        changed
    });
}
