//! Owns what is known of pods, and says what follows from it.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::announced::{self, Announced};
use super::index::{Index, ToLookAt};
use super::look::{self, Looked};
use super::metadata::{NamespaceSeen, PodSeen};
use super::record::{Count, InForce, Name};
use super::repair::Targets;
use super::stream::Told;
use super::verdict::Picture;
use crate::api::OptIn;
use crate::api::condition::{ConditionType, Reason};
use crate::api::stack::{InjectionStatus, RepairStatus};
use crate::config::{self, CONFIG_MAP_KEY};
use crate::controller::Context;
use crate::controller::events::{Happening, Weight};
use crate::controller::status::{NUMBERS_EVERY, Verdict, takes};
use crate::coverage::{self, Coverage};
use crate::k8s::{self, Client, ConfigMap, ObjectReference};
use crate::watch::Health;

/// Looks at whole pods at a time.
const LOOKS: usize = 4;
/// After a look that failed.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Before something new is told; what comes together is told together.
const SOON: Duration = Duration::from_secs(1);

/// Owns what is known.
pub struct Keeper {
    context: Context,
    index: Index,
    targets: watch::Sender<Arc<Targets>>,
    repair: Option<RepairStatus>,
    enabled_since: Option<Timestamp>,
    announced: Announced,
    /// Missed pods of whom there is no room yet to tell.
    unannounced: VecDeque<(Arc<Name>, Looked)>,
    started: Instant,
    pods_listed: bool,
    namespaces_listed: bool,
    looking: HashSet<(Arc<str>, Option<Box<str>>)>,
    look_after: Instant,
    /// Of looks: that watches are answered says nothing of them.
    looks: Health,
    /// Why pods can't be seen, as it was looked at last.
    unseen: Option<String>,
    /// When to report.
    due: Option<Instant>,
    reported: Option<(Reason, Instant)>,
}

/// What came of a look, and what it was for.
pub type LookResult = (ToLookAt, k8s::Result<Vec<Looked>>);

// === impl Keeper ===

impl Keeper {
    pub fn new(context: Context, before: &InjectionStatus, targets: watch::Sender<Arc<Targets>>) -> Self {
        let time = |text: &str| text.parse::<Timestamp>().ok();
        let told_until = before.told_until.as_deref().and_then(time).map_or(0, Timestamp::as_second);
        let looks = context.state.pods.of_one("Pod");
        let mut index = Index::default();
        let left_alone = before.left_alone_until.iter().map(|(name, until)| (name.clone(), time(until.as_str())));
        index.remember_left_alone(left_alone.filter_map(|(name, until)| Some((name, until?.as_second()))));
        // The status is written anew as a whole: what it remembers stays until there is something newer.
        if *before != InjectionStatus::default() {
            context.status.report(|reports| reports.injection = Some(before.clone()));
        }
        Self {
            context,
            index,
            targets,
            repair: None,
            enabled_since: before.enabled_since.as_deref().and_then(time),
            announced: Announced::until(told_until),
            unannounced: VecDeque::new(),
            started: Instant::now(),
            pods_listed: false,
            namespaces_listed: false,
            looking: HashSet::new(),
            look_after: Instant::now(),
            looks,
            unseen: None,
            due: Some(Instant::now()),
            reported: None,
        }
    }

    /// Something is to be told that isn't known here.
    pub fn changed(&mut self) {
        self.tell_within(SOON);
    }

    pub fn repaired(&mut self, repair: Option<RepairStatus>) {
        let told = |repair: &Option<RepairStatus>| repair.as_ref().map(|one| (one.phase, one.message.clone()));
        let is_news = told(&self.repair) != told(&repair);
        self.repair = repair;
        // How many are left changes every two seconds, while it looks at them.
        self.tell_within(if is_news { SOON } else { self.numbers_due() });
    }

    fn tell_within(&mut self, within: Duration) {
        let at = Instant::now() + within;
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// When to report or to look; again and again until everything was listed once.
    pub fn due(&self) -> Option<Instant> {
        let retry = (!self.looking.is_empty() || self.index.totals().get(Count::Unseen) > 0).then_some(self.look_after);
        let listing = (!self.is_listed()).then(|| Instant::now() + LOOK_AGAIN);
        self.due.into_iter().chain(retry.filter(|at| *at > Instant::now())).chain(listing).min()
    }

    fn is_listed(&self) -> bool {
        self.pods_listed && self.namespaces_listed
    }

    /// Which right is missing, say; that of looks, as long as there is something to look at. What else keeps a list from
    /// coming to its end may pass, as long as what the leader before has said stands.
    fn why_unseen(&self) -> Option<String> {
        let state = &self.context.state;
        let told = |health: &Health, fault: String| format!("{}: {fault}", health.what());
        let is_late = self.started.elapsed() >= takes(ConditionType::InjectionComplete);
        let of_watch = |health: &Health| {
            let fault = if is_late { health.unseen() } else { health.forbidden() };
            fault.map(|fault| told(health, fault))
        };
        let of_looks = || self.looks.forbidden().filter(|_| self.index.totals().get(Count::Unseen) > 0);
        of_watch(&state.pods)
            .or_else(|| of_watch(&state.namespaces))
            .or_else(|| of_looks().map(|fault| told(&self.looks, fault)))
    }

    /// Until pods can't be seen any more, or can be again.
    pub async fn until_seen_otherwise(&self) {
        while self.why_unseen() == self.unseen {
            sleep(LOOK_AGAIN).await;
        }
    }

    pub fn seen_otherwise(&mut self) {
        self.unseen = self.why_unseen();
        self.changed();
    }

    /// Takes what the `ConfigMap` says. Tells whether pods have to be listed, or listed again, for it.
    pub fn configure(&mut self, map: Option<&Arc<ConfigMap>>) -> bool {
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
            self.announced.begin_anew();
        }
        let relist = self.index.put_in_force(InForce { configuration: Arc::new(configuration), enabled_since });
        self.tell_within(SOON);
        first || relist
    }

    pub fn pod(&mut self, told: Told<PodSeen>) {
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

    pub fn namespace(&mut self, told: Told<NamespaceSeen>) {
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
            Some((reason, _)) if (reason == Reason::Complete) == (self.index.totals().lacking() == 0) => {
                self.numbers_due()
            }
            _ => SOON,
        };
        self.tell_within(within);
    }

    /// When numbers alone may be written again.
    fn numbers_due(&self) -> Duration {
        self.reported.map_or(SOON, |(_, at)| NUMBERS_EVERY.saturating_sub(at.elapsed()).max(SOON))
    }

    /// Starts looks at whole pods, a few at a time.
    pub fn look(&mut self, looks: &mut JoinSet<LookResult>) {
        let free = LOOKS.saturating_sub(looks.len());
        if free == 0 || !self.is_listed() || self.look_after > Instant::now() {
            return;
        }
        let to_look_at = self.index.to_look_at(free + self.looking.len());
        for one in
            to_look_at.into_iter().filter(|one| !self.looking.contains(&one.key())).take(free).collect::<Vec<_>>()
        {
            self.looking.insert(one.key());
            looks.spawn(look_at(self.context.client.clone(), one));
        }
    }

    pub fn looked(&mut self, result: Result<LookResult, JoinError>) {
        let Ok((asked, answer)) = result else {
            // Which one it was isn't told: all are looked at again. Decisions are guarded, so that no pod's defect comes back
            // for ever.
            self.looking.clear();
            self.look_after = Instant::now() + LOOK_AGAIN;
            return;
        };
        self.looking.remove(&asked.key());
        let looked = match answer {
            Ok(looked) => {
                self.looks.answered();
                looked
            }
            Err(error) => {
                self.looks.failed(&error);
                self.look_after = Instant::now() + LOOK_AGAIN;
                return;
            }
        };
        // Something has changed since it was asked: what follows from that has to be looked at again.
        if !self.index.is_current(&asked) {
            return;
        }
        // It has gone; that is seen in a moment.
        if let (Some((name, uid)), true) = (&asked.only, looked.is_empty()) {
            self.index.looked_at(&asked.namespace, name, *uid, false);
        }
        for one in looked {
            let coverage = self.index.looked_at(&asked.namespace, &one.name, one.uid, one.injects);
            if let Some((Coverage::Missed, workload, created)) = coverage {
                self.note(workload, created, one);
            }
        }
        if asked.only.is_none() {
            self.index.listed(&asked.namespace);
        }
        self.tell();
        self.counted();
    }

    /// Notes the first of a workload's missed pods.
    fn note(&mut self, workload: Arc<Name>, created: i64, looked: Looked) {
        if self.announced.is_news(&workload, created) {
            warn!(
                k8s.namespace.name = &*workload.namespace,
                k8s.pod.name = &*looked.name,
                otelgate.workload = %workload,
                "a pod was opted in when it was created, and the webhook didn't change it"
            );
            self.unannounced.push_back((workload, looked));
        }
    }

    /// Tells of as many as there is room for; the rest comes with the next reports.
    fn tell(&mut self) {
        while let Some((workload, looked)) = self.unannounced.front() {
            if self.context.events.offer(happening(workload, looked)).is_some() {
                self.tell_within(SOON);
                return;
            }
            self.unannounced.pop_front();
        }
    }

    pub fn report(&mut self) {
        self.due = None;
        self.tell();
        self.unseen = self.why_unseen();
        self.publish_targets();
        let Some(stack) = self.context.stack.borrow().clone() else {
            self.context.status.report(|reports| {
                reports.take_back(ConditionType::InjectionComplete);
                reports.injection = None;
            });
            self.context.state.coverage.set(None);
            self.reported = None;
            return;
        };
        self.remember();
        // What was seen before may be long past. The numbers of then stay, for the sake of what is remembered with them.
        if let Some(fault) = &self.unseen {
            let verdict = Verdict::new(Reason::PodsUnseen, fault.clone(), stack.generation);
            self.context.state.coverage.set(None);
            self.reported = Some((verdict.reason, Instant::now()));
            self.context.status.report(|reports| reports.say(ConditionType::InjectionComplete, verdict));
            return;
        }
        if !self.is_listed() {
            return;
        }
        let picture = Picture::of(&self.index);
        let unseen = self.index.totals().get(Count::Unseen);
        // That nothing was missed can't be said of what wasn't looked at.
        if unseen > 0 && self.index.totals().lacking() == 0 {
            return;
        }
        self.announced.forget_mended(&self.index);
        let told_until = self.announced.settle(unseen == 0 && self.unannounced.is_empty(), Instant::now());
        if self.announced.is_settling() {
            self.tell_within(announced::LATE);
        }
        let verdict = picture.verdict(self.repair.as_ref(), stack.generation);
        let in_words = |second: i64| Timestamp::from_second(second).ok().map(|time| time.to_string());
        let left_alone = self.index.left_alone().into_iter();
        let status = InjectionStatus {
            enabled_since: self.enabled_since.map(|since| since.to_string()),
            told_until: told_until.and_then(in_words),
            left_alone_until: left_alone
                .filter_map(|(name, until)| Some((name.to_string(), in_words(until)?)))
                .collect(),
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

    /// Since when pods are injected, whether or not they can be seen.
    fn remember(&self) {
        let since = self.enabled_since.map(|since| since.to_string());
        self.context.status.report(|reports| {
            if let Some(known) = &mut reports.injection {
                known.enabled_since = since;
            }
        });
    }

    /// What the repair goes by. Nothing, while it is switched off, and while pods can't be seen.
    fn publish_targets(&self) {
        let asked =
            self.context.stack.borrow().as_ref().and_then(|stack| stack.repair.clone().ok()).unwrap_or_default();
        let sees = self.is_listed() && self.unseen.is_none();
        let targets = if sees { Targets::of(&self.index, &asked) } else { Targets::default() };
        self.targets.send_if_modified(|known| {
            let changed = **known != targets;
            if changed {
                *known = Arc::new(targets);
            }
            changed
        });
    }
}

/// Of the first of a workload's missed pods, for its owner.
fn happening(workload: &Name, looked: &Looked) -> Happening {
    let look::Reference { api_version, kind, name, uid } = looked.owner.clone();
    Happening {
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
    }
}

async fn look_at(client: Client, asked: ToLookAt) -> LookResult {
    let ToLookAt { namespace, around, in_force, .. } = &asked;
    let answer = look::look(&client, &in_force.configuration, namespace, around, asked.name()).await;
    if answer.is_err() {
        sleep(LOOK_AGAIN).await;
    }
    (asked, answer)
}

#[cfg(test)]
mod tests;
