//! Opted-in pods: which of them lack their mark or carry an old one, and how they are repaired.
//!
//! The metadata of every pod and namespace is watched and cut to a record; only pods without a mark, that should have
//! one, are looked at as a whole. One task owns what is known, another evicts.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::Context;
use super::configuration::Seen;
use super::events::{Happening, Weight};
use super::stack::Written;
use super::status::Verdict;
use crate::api::OptIn;
use crate::api::condition::{ConditionType, Reason};
use crate::api::object;
use crate::api::stack::{InjectionStatus, RepairStatus, TelemetryStackStatus};
use crate::config::{self, CONFIG_MAP_KEY, Configuration};
use crate::coverage::{self, Coverage};
use crate::k8s::{ConfigMap, ObjectReference};

pub mod index;
pub mod look;
pub mod metadata;
pub mod record;
pub mod repair;
pub mod stream;
pub mod verdict;

use index::{Index, ToLookAt};
use look::Looked;
use metadata::{NamespaceSeen, PodSeen};
use record::{Count, InForce, Name, Tally};
use repair::Targets;
use stream::{Source, Told};
use verdict::Picture;

/// The newest counts, for `/metrics`.
#[derive(Debug, Default)]
pub struct Measured(Mutex<Option<Tally>>);

/// Objects on their way to who keeps them.
const QUEUE: usize = 512;
/// Looks at whole pods at a time.
const LOOKS: usize = 4;
/// After a look that failed.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Before something new is told; what comes together is told together.
const SOON: Duration = Duration::from_secs(1);
/// Between two writes of the status in which only numbers differ.
const NUMBERS_EVERY: Duration = Duration::from_secs(15);

// === impl Measured ===

impl Measured {
    /// By the name of their coverage; nothing where this isn't the one that counts.
    #[must_use]
    pub fn counts(&self) -> Option<[(&'static str, u64); 4]> {
        let tally = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let of = |coverage: Coverage, count: Count| (coverage.code(), u64::from(tally.get(count)));
        Some([
            of(Coverage::Injected, Count::Injected),
            of(Coverage::Missed, Count::Missed),
            of(Coverage::RestartPending, Count::RestartPending),
            of(Coverage::Outdated, Count::Outdated),
        ])
    }

    pub fn set(&self, tally: Option<Tally>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = tally;
    }
}

/// Finds, reports, and has repaired. Never returns, unless a part of it ends.
pub async fn run(context: Context, mut maps: watch::Receiver<Seen>, mut statuses: watch::Receiver<Arc<Written>>) {
    let before = known_status(&mut statuses).await;
    let (targets, wanted) = watch::channel(Arc::default());
    let (repaired, mut repairs) = watch::channel(None);
    let mut tasks = JoinSet::new();
    tasks.spawn(repair::run(context.clone(), wanted, repaired));
    let mut keeper = Keeper::new(context.clone(), &before, targets);
    while !keeper.configure(maps.borrow_and_update().as_ref().and_then(Option::as_ref)) {
        if maps.changed().await.is_err() {
            return;
        }
    }
    let (again, relist) = watch::channel(0_u32);
    let (namespaces_told, mut namespaces) = mpsc::channel(QUEUE);
    let (pods_told, mut pods) = mpsc::channel(QUEUE);
    let never = watch::channel(0_u32);
    let state = &context.state;
    let source = Source { path: "/api/v1/namespaces", fields: None, read: NamespaceSeen::read };
    tasks.spawn(stream::follow(
        context.client.clone(),
        source,
        Arc::clone(&state.namespaces),
        never.1,
        namespaces_told,
    ));
    let source = Source { path: "/api/v1/pods", fields: Some(look::RUNNING), read: PodSeen::read };
    tasks.spawn(stream::follow(context.client.clone(), source, Arc::clone(&state.pods), relist, pods_told));
    let mut looks = JoinSet::new();
    let mut stack = context.stack.clone();
    loop {
        let due = keeper.due();
        tokio::select! {
            Some(told) = pods.recv() => {
                keeper.pod(told);
                while let Ok(told) = pods.try_recv() {
                    keeper.pod(told);
                }
            }
            Some(told) = namespaces.recv() => keeper.namespace(told),
            Some(looked) = looks.join_next() => keeper.looked(looked),
            Ok(()) = maps.changed() => {
                let relist = keeper.configure(maps.borrow_and_update().as_ref().and_then(Option::as_ref));
                if relist {
                    again.send_modify(|times| *times = times.wrapping_add(1));
                }
            }
            Ok(()) = stack.changed() => keeper.changed(SOON),
            Ok(()) = repairs.changed() => {
                keeper.repair = repairs.borrow_and_update().clone();
                keeper.changed(SOON);
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => keeper.report(),
            // Its absence is for whoever supervises this task.
            _ = tasks.join_next() => return,
        }
        keeper.look(&mut looks);
    }
}

/// What the leader before has written, once there is a `TelemetryStack` to write to.
async fn known_status(statuses: &mut watch::Receiver<Arc<Written>>) -> InjectionStatus {
    let written = statuses.wait_for(|written| written.contains_key(object::STACK)).await.ok();
    let status = written.map(|written| written.get(object::STACK).map(|one| one.status.clone()).unwrap_or_default());
    let Some(status) = status else {
        return std::future::pending().await;
    };
    let status: TelemetryStackStatus = serde_json::from_value(status).unwrap_or_default();
    status.injection.unwrap_or_default()
}

/// Owns what is known.
struct Keeper {
    context: Context,
    index: Index,
    targets: watch::Sender<Arc<Targets>>,
    repair: Option<RepairStatus>,
    enabled_since: Option<Timestamp>,
    /// Created until then: those that were missed have been told of.
    told_until: i64,
    newest_told: i64,
    told: HashSet<Arc<Name>>,
    pods_listed: bool,
    namespaces_listed: bool,
    looking: HashSet<(Arc<str>, Option<Box<str>>)>,
    look_after: Instant,
    /// When to report.
    due: Option<Instant>,
    reported: Option<(Reason, Instant)>,
}

/// What came of a look, and what it was for.
type LookResult = (ToLookAt, Result<Vec<Looked>, crate::k8s::Error>);

// === impl Keeper ===

impl Keeper {
    fn new(context: Context, before: &InjectionStatus, targets: watch::Sender<Arc<Targets>>) -> Self {
        let time = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
        let told_until = time(&before.told_until).map_or(0, Timestamp::as_second);
        Self {
            context,
            index: Index::default(),
            targets,
            repair: None,
            enabled_since: time(&before.enabled_since),
            told_until,
            newest_told: told_until,
            told: HashSet::new(),
            pods_listed: false,
            namespaces_listed: false,
            looking: HashSet::new(),
            look_after: Instant::now(),
            due: Some(Instant::now()),
            reported: None,
        }
    }

    /// Something is to be told, within that time.
    fn changed(&mut self, within: Duration) {
        let at = Instant::now() + within;
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// When to report or to look; again and again until everything was listed once.
    fn due(&self) -> Option<Instant> {
        let retry = (!self.looking.is_empty() || self.index.totals().get(Count::Unseen) > 0).then_some(self.look_after);
        let listing = (!self.is_listed()).then(|| Instant::now() + LOOK_AGAIN);
        self.due.into_iter().chain(retry.filter(|at| *at > Instant::now())).chain(listing).min()
    }

    fn is_listed(&self) -> bool {
        self.pods_listed && self.namespaces_listed
    }

    /// Takes what the `ConfigMap` says. Tells whether pods have to be listed, or listed again, for it.
    fn configure(&mut self, map: Option<&Arc<ConfigMap>>) -> bool {
        let Some(map) = map else { return false };
        let text = map.data.as_ref().and_then(|data| data.get(CONFIG_MAP_KEY)).map(String::as_str).unwrap_or_default();
        // What can't be read isn't in force either: the last good one is.
        let Ok(configuration) = config::parse(text) else { return false };
        self.enabled_since = match (configuration.mode(), self.enabled_since) {
            (OptIn::Enabled, Some(since)) => Some(since),
            (OptIn::Enabled, None) => {
                let written = serde_json::to_value(&**map).unwrap_or(Value::Null);
                coverage::written(&written, &["f:data"])
            }
            (OptIn::Observe | OptIn::Disabled, _) => None,
        };
        let known = self
            .index
            .in_force()
            .map(|in_force| (in_force.configuration.revision().to_owned(), in_force.enabled_since));
        let enabled_since = self.enabled_since.map(Timestamp::as_second);
        if known == Some((configuration.revision().to_owned(), enabled_since)) {
            return false;
        }
        let first = known.is_none();
        if known.is_none_or(|(revision, _)| revision != configuration.revision()) {
            self.told.clear();
        }
        let relist = self.index.put_in_force(InForce { configuration: Arc::new(configuration), enabled_since });
        self.changed(SOON);
        first || relist
    }

    fn pod(&mut self, told: Told<PodSeen>) {
        match told {
            Told::Begin => self.index.begin_pods(),
            Told::Is(pod) => self.index.pod(pod),
            Told::Gone(pod) => self.index.pod_gone(&pod),
            Told::End => {
                self.index.end_pods();
                self.pods_listed = true;
                info!(otelgate.pods = self.index.totals().get(Count::Pods), "pods listed");
            }
        }
        self.counted();
    }

    fn namespace(&mut self, told: Told<NamespaceSeen>) {
        match told {
            Told::Begin => self.index.begin_namespaces(),
            Told::Is(namespace) => self.index.namespace_seen(namespace),
            Told::Gone(namespace) => self.index.namespace_gone(&namespace.name),
            Told::End => {
                self.index.end_namespaces();
                self.namespaces_listed = true;
            }
        }
        self.counted();
    }

    /// Another reason is told soon, other numbers at their time.
    fn counted(&mut self) {
        if !self.is_listed() {
            return;
        }
        let within = match self.reported {
            None => SOON,
            Some((reason, _)) if (reason == Reason::Complete) != (self.index.totals().lacking() == 0) => SOON,
            Some((_, at)) => NUMBERS_EVERY.saturating_sub(at.elapsed()).max(SOON),
        };
        self.changed(within);
    }

    /// Starts looks at whole pods, a few at a time.
    fn look(&mut self, looks: &mut JoinSet<LookResult>) {
        let free = LOOKS.saturating_sub(looks.len());
        let Some(in_force) = self.index.in_force().filter(|_| self.is_listed() && free > 0) else { return };
        if self.index.totals().get(Count::Unseen) == 0 || self.look_after > Instant::now() {
            return;
        }
        let configuration = Arc::clone(&in_force.configuration);
        let to_look_at = self.index.to_look_at(free + self.looking.len());
        for one in
            to_look_at.into_iter().filter(|one| !self.looking.contains(&one.key())).take(free).collect::<Vec<_>>()
        {
            self.looking.insert(one.key());
            looks.spawn(look_at(self.context.client.clone(), Arc::clone(&configuration), one));
        }
    }

    fn looked(&mut self, result: Result<LookResult, tokio::task::JoinError>) {
        let Ok((asked, answer)) = result else {
            // A defect in the decision, of which the panic's line tells: no reason to look at the same for ever.
            self.looking.clear();
            self.look_after = Instant::now() + LOOK_AGAIN;
            return;
        };
        self.looking.remove(&asked.key());
        let looked = match answer {
            Ok(looked) => looked,
            Err(error) => {
                self.context.state.pods.failed(&error);
                self.look_after = Instant::now() + LOOK_AGAIN;
                return;
            }
        };
        for one in &looked {
            let coverage = self.index.looked_at(&asked.namespace, &one.name, one.uid, one.injects);
            if let Some((Coverage::Missed, workload, created)) = coverage {
                self.tell(&workload, created, one);
            }
        }
        match &asked.only {
            None => self.index.listed(&asked.namespace),
            // It has gone; that is seen in a moment.
            Some(name) if looked.is_empty() => self.index.not_found(&asked.namespace, name),
            Some(_) => {}
        }
        self.counted();
    }

    /// Tells of a workload's missed pods, once.
    fn tell(&mut self, workload: &Arc<Name>, created: i64, looked: &Looked) {
        if created <= self.told_until || !self.told.insert(Arc::clone(workload)) {
            return;
        }
        self.newest_told = self.newest_told.max(created);
        warn!(
            k8s.namespace.name = &*workload.namespace,
            k8s.pod.name = &*looked.name,
            otelgate.workload = %workload,
            "a pod was opted in when it was created, and the webhook didn't change it"
        );
        let look::Reference { api_version, kind, name, uid } = looked.owner.clone();
        self.context.events.record(Happening {
            regarding: ObjectReference {
                api_version: Some(api_version),
                kind: Some(kind),
                namespace: Some(workload.namespace.to_string()),
                name: Some(name),
                uid: Some(uid),
                ..ObjectReference::default()
            },
            weight: Weight::Warning,
            reason: Reason::Missed.code().to_owned(),
            action: ConditionType::InjectionComplete.as_str().to_owned(),
            note: format!(
                "pod {} of {workload} was opted in when it was created, and the webhook didn't change it; next step: {}",
                looked.name,
                Reason::Missed.next_step()
            ),
        });
    }

    fn report(&mut self) {
        self.due = None;
        let Some(stack) = self.context.stack.borrow().clone() else {
            self.context.status.report(|reports| {
                reports.take_back(ConditionType::InjectionComplete);
                reports.injection = None;
            });
            self.reported = None;
            return;
        };
        self.publish_targets();
        if !self.is_listed() {
            let healths = [&self.context.state.pods, &self.context.state.namespaces];
            if let Some(fault) =
                healths.iter().find_map(|health| health.failure().map(|fault| format!("{}: {fault}", health.what())))
            {
                let verdict = Verdict::new(Reason::PodsUnseen, fault, stack.generation);
                self.context.status.report(|reports| reports.say(ConditionType::InjectionComplete, verdict));
            }
            return;
        }
        let picture = Picture::of(&self.index);
        let unseen = self.index.totals().get(Count::Unseen);
        // That nothing was missed can't be said of what wasn't looked at.
        if unseen > 0 && self.index.totals().lacking() == 0 {
            return;
        }
        if unseen == 0 {
            self.told_until = self.newest_told;
        }
        let verdict = picture.verdict(self.repair.as_ref(), stack.generation);
        let since = self.enabled_since.map(|since| since.to_string());
        let told_until = Timestamp::from_second(self.told_until).ok().filter(|_| self.told_until > 0);
        let status = InjectionStatus {
            enabled_since: since,
            told_until: told_until.map(|until| until.to_string()),
            repair: self.repair.clone(),
            ..picture.status()
        };
        self.context.state.coverage.set(Some(self.index.totals()));
        self.reported = Some((verdict.reason, Instant::now()));
        self.context.status.report(|reports| {
            reports.say(ConditionType::InjectionComplete, verdict);
            reports.injection = Some(status);
        });
    }

    /// What the repair goes by. Nothing, while it is switched off.
    fn publish_targets(&self) {
        let asked =
            self.context.stack.borrow().as_ref().and_then(|stack| stack.repair.clone().ok()).unwrap_or_default();
        let targets = if self.is_listed() { Targets::of(&self.index, &asked) } else { Targets::default() };
        self.targets.send_if_modified(|known| {
            let changed = **known != targets;
            if changed {
                *known = Arc::new(targets);
            }
            changed
        });
    }
}

async fn look_at(client: crate::k8s::Client, configuration: Arc<Configuration>, asked: ToLookAt) -> LookResult {
    let ToLookAt { namespace, around, only } = &asked;
    let answer = look::look(&client, &configuration, namespace, around, only.as_deref()).await;
    if answer.is_err() {
        sleep(LOOK_AGAIN).await;
    }
    (asked, answer)
}
