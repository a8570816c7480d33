//! Looks at workloads, does what follows, and writes down what was done.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tracing::warn;

use self::evict::Eviction;
use super::facts::{Facts, Owner, OwnerKind, PodFacts, Target};
use super::ledger::{End, Entry, Key, Ledger};
use super::plan::{self, Left, Move, Waited};
use super::{BETWEEN, Targets};
use crate::api::condition::{ConditionType, Holds};
use crate::api::object;
use crate::api::stack::{Repair, RepairPhase, RepairStatus};
use crate::controller::Context;
use crate::controller::metrics::Write;
use crate::controller::pods::look;
use crate::controller::pods::record::{InForce, Name};
use crate::k8s::{self, Api, ConfigMap, GetParams, ListParams, Patch, PatchParams};
use crate::unavailable::Unavailable;

mod evict;
mod report;

/// Whoever evicts.
pub struct Repairer {
    context: Context,
    /// As it was read or written last.
    ledger: Option<Ledger>,
    read_at: Instant,
    /// Workloads of which a pod was evicted, until its replacement is Ready.
    running: BTreeMap<Arc<Name>, Awaited>,
    refused: HashMap<Arc<Name>, Refused>,
    visited: HashMap<Arc<Name>, Instant>,
    left: BTreeMap<Arc<Name>, Left>,
    would: BTreeMap<Arc<Name>, usize>,
    /// What all that is about.
    asked: Repair,
    revision: String,
}

/// A workload whose pod's replacement is waited for.
struct Awaited {
    target: Target,
    since: Instant,
    /// When that replacement wasn't lacking last.
    sound: Instant,
    patience: Duration,
    /// When to look at it again.
    due: Instant,
}

/// A pod whose eviction was refused, or couldn't be written down for certain.
struct Refused {
    uid: String,
    /// As it was written for that.
    entry: Entry,
}

/// What came of a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visit {
    Evicted,
    Nothing,
}

/// Workloads that are looked at in a round beside those that are waited for, and that are repaired at a time.
pub(super) const AT_ONCE: usize = 5;
/// Before one that was left is looked at again, and whether everything has stopped still.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// They hold while evicted pods come back as they should, by what this leader has found: much may have changed since the
/// one before.
pub(super) const GATES: &[ConditionType] =
    &[ConditionType::ConfigurationAccepted, ConditionType::CertificateReady, ConditionType::WebhookReachable];

// === impl Repairer ===

impl Repairer {
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self {
            context,
            ledger: None,
            read_at: Instant::now(),
            running: BTreeMap::new(),
            refused: HashMap::new(),
            visited: HashMap::new(),
            left: BTreeMap::new(),
            would: BTreeMap::new(),
            asked: Repair::default(),
            revision: String::new(),
        }
    }

    /// Whether a replacement is waited for.
    fn is_busy(&self) -> bool {
        !self.running.is_empty()
    }

    /// How long until the next round, unless the targets change before.
    #[must_use]
    pub fn pause(&self, targets: &Targets) -> Option<Duration> {
        if self.is_busy() || !targets.workloads.is_empty() {
            Some(BETWEEN)
        } else {
            self.has_stopped().then_some(LOOK_AGAIN)
        }
    }

    /// Looks at a few workloads, and evicts one pod at most.
    pub async fn round(&mut self, targets: &Targets, in_force: &InForce) -> RepairStatus {
        self.forget(targets, in_force);
        let (hash, idle) = (in_force.configuration.hash(), targets.workloads.is_empty() && !self.is_busy());
        let known = self.knows(hash);
        if idle && known {
            return self.outcome(targets);
        }
        if let Some(closed) = (!idle).then(|| self.closed_gate()).flatten() {
            // What is waited for meanwhile isn't late.
            self.running.values_mut().for_each(Awaited::start_over);
            return self
                .status(RepairPhase::Waiting, Some(format!("{closed}, so that evicted pods might be missed again")));
        }
        self.leave_ownerless(targets);
        let candidates = self.candidates(targets);
        let due = !known || !candidates.is_empty();
        if due && let Err(error) = self.read(hash).await {
            self.context.state.repair.failed(&error);
            let why = format!("ConfigMap {}: {}", object::REPAIR, Unavailable::of(&error));
            return self.status(RepairPhase::Waiting, Some(why));
        }
        for (target, kind) in candidates {
            if !self.has_place(&target.workload) || self.visit(&target, kind, in_force).await == Visit::Evicted {
                break;
            }
        }
        self.forget_mended(targets);
        self.outcome(targets)
    }

    /// Whether what is remembered of a configuration is what stands in the `ConfigMap`. Where everything has stopped,
    /// somebody may have deleted it.
    fn knows(&self, hash: &str) -> bool {
        let is_new = |ledger: &Ledger| !ledger.has_stopped() || self.read_at.elapsed() < LOOK_AGAIN;
        self.ledger.as_ref().is_some_and(|ledger| ledger.hash == hash && is_new(ledger))
    }

    /// What is about another configuration, or about workloads that need nothing any more.
    fn forget(&mut self, targets: &Targets, in_force: &InForce) {
        let revision = in_force.configuration.revision();
        if self.revision != revision || self.asked != targets.asked {
            revision.clone_into(&mut self.revision);
            self.asked = targets.asked.clone();
            self.visited.clear();
            self.left.clear();
            self.would.clear();
        }
        self.forget_mended(targets);
    }

    fn forget_mended(&mut self, targets: &Targets) {
        let is_wanted =
            |name: &Arc<Name>| targets.workloads.binary_search_by(|target| target.workload.cmp(name)).is_ok();
        // Why everything stops stays, when the pod that lacked its mark has gone.
        let counts = self.ledger.as_ref().is_some_and(Ledger::has_failures);
        self.left.retain(|name, left| (counts && left.is_fault()) || is_wanted(name));
        self.would.retain(|name, _| is_wanted(name));
        self.visited.retain(|name, _| is_wanted(name));
        self.refused.retain(|name, _| is_wanted(name));
    }

    fn has_stopped(&self) -> bool {
        self.ledger.as_ref().is_some_and(Ledger::has_stopped)
    }

    fn only_looks(&self) -> bool {
        self.asked.dry_run || self.has_stopped()
    }

    fn closed_gate(&self) -> Option<String> {
        GATES.iter().find_map(|gate| match self.context.status.holds(*gate) {
            Some(Holds::True) => None,
            Some(Holds::False | Holds::Unknown) => Some(format!("{gate} isn't true")),
            None => Some(format!("{gate} hasn't been looked at yet")),
        })
    }

    /// Those of which nothing has to be seen, so that nobody waits for them, however many they are.
    fn leave_ownerless(&mut self, targets: &Targets) {
        for Target { workload, .. } in &targets.workloads {
            if OwnerKind::of(workload).is_none() && !self.visited.contains_key(workload) {
                self.leave(workload, report::of_no_owner(&workload.kind));
            }
        }
    }

    /// Those that are waited for, then those that weren't looked at lately.
    fn candidates(&self, targets: &Targets) -> Vec<(Target, OwnerKind)> {
        let now = Instant::now();
        let owned = |target: &Target| Some((target.clone(), OwnerKind::of(&target.workload)?));
        let is_due = |target: &&Target| {
            let name = &target.workload;
            let visited = self.visited.get(name);
            OwnerKind::of(name).is_some()
                && !self.running.contains_key(name)
                && visited.is_none_or(|visited| now.saturating_duration_since(*visited) >= LOOK_AGAIN)
        };
        // Those at the end have their turn, too, however many are left.
        let mut due: Vec<_> = targets.workloads.iter().filter(is_due).collect();
        due.sort_by_key(|target| self.visited.get(&target.workload).copied());
        let running = self.running.values().filter(|awaited| awaited.due <= now).map(|awaited| &awaited.target);
        running.chain(due.into_iter().take(AT_ONCE)).filter_map(owned).collect()
    }

    /// Whether something may come of looking at it.
    fn has_place(&self, name: &Arc<Name>) -> bool {
        self.only_looks() || self.running.contains_key(name) || self.running.len() < AT_ONCE
    }

    async fn visit(&mut self, target: &Target, kind: OwnerKind, in_force: &InForce) -> Visit {
        let name = &target.workload;
        let begun = Instant::now();
        let observed = self.observe(target, kind, in_force).await;
        if let Some(awaited) = self.running.get_mut(name) {
            // A look at thousands of pods takes long, and others wait meanwhile.
            awaited.due = Instant::now() + begun.elapsed();
        }
        let facts = match observed {
            Ok(Some(facts)) => facts,
            Ok(None) => return self.leave(name, Left::OwnerGone),
            Err(error) => {
                self.context.state.repair.failed(&error);
                return self.leave_for_now(name, Left::Refused(Unavailable::of(&error).to_string()));
            }
        };
        let key = Key::of(name, &facts.owner.uid);
        let known = self.ledger.as_ref().and_then(|ledger| ledger.entries.get(&key)).copied();
        let is_there = |refused: &&Refused| facts.pods.iter().any(|pod| pod.uid == refused.uid);
        let refused = self.refused.get(name).filter(is_there).map(|refused| refused.entry);
        // An eviction that was refused is one that is left.
        let owed = u16::from(refused.is_some() && refused == known);
        let entry = known.map(|entry| Entry { left: entry.left.saturating_add(owed), ..entry });
        let lacks = entry.is_some_and(|entry| plan::lacks_replacement(&facts, entry));
        let waited = match self.running.get_mut(name) {
            Some(awaited) => Some(awaited.look(lacks)),
            None if refused.is_some() => None,
            None if self.left.contains_key(name) => Some(Waited::default()),
            // Another leader has begun it.
            None => Some(Waited { since: Some(Duration::ZERO), ..Waited::default() }),
        };
        match plan::next(&facts, entry, &self.asked, waited) {
            Move::Leave(left) if left.is_end() => self.leave(name, left),
            Move::Leave(left) => self.leave_for_now(name, left),
            Move::Wait => {
                self.left.remove(name);
                let awaited = || Awaited::new(target, &facts.owner);
                self.running.entry(Arc::clone(name)).or_insert_with(awaited);
                Visit::Nothing
            }
            Move::Evict { .. } if self.only_looks() => {
                self.left.remove(name);
                if self.asked.dry_run {
                    self.would.insert(Arc::clone(name), plan::targets(&facts, &self.asked));
                }
                self.visited.insert(Arc::clone(name), Instant::now());
                Visit::Nothing
            }
            Move::Evict { name: pod, uid, entry } => {
                let is_new = known.is_none();
                let has_room = self.ledger.as_ref().is_some_and(Ledger::has_room);
                if is_new && !has_room {
                    return self.leave(name, Left::Refused(format!("ConfigMap {} is full", object::REPAIR)));
                }
                self.evict(Eviction { target, owner: &facts.owner, key, entry, known, pod: &pod, uid: &uid }).await
            }
            Move::Done | Move::Stop(_) if self.only_looks() => {
                self.running.remove(name);
                self.visited.insert(Arc::clone(name), Instant::now());
                Visit::Nothing
            }
            Move::Done => self.end(name, key, End::Done).await,
            Move::Stop(end) => self.end(name, key, end).await,
        }
    }

    /// The owner and its pods, as they are now; `None` for one that has gone.
    async fn observe(&self, target: &Target, kind: OwnerKind, in_force: &InForce) -> k8s::Result<Option<Facts>> {
        let Name { namespace, name, .. } = &*target.workload;
        let client = &self.context.client;
        let request = k8s::Request::new(kind.path(namespace)).get(name, &GetParams::default());
        let request = request.map_err(k8s::Error::BuildRequest)?;
        let object: Value = match k8s::in_time(client.request(request)).await {
            Err(k8s::Error::Api(status)) if status.is_not_found() => return Ok(None),
            answer => answer?,
        };
        let Some(owner) = Owner::of(&object, kind) else { return Ok(None) };
        let params = ListParams::default().labels(&owner.selector).fields(look::RUNNING);
        let mut pods = Vec::new();
        look::each(client, namespace, params, |json| {
            pods.extend(PodFacts::of(json, &target.workload, &target.around, in_force));
        })
        .await?;
        Ok(Some(Facts { owner, pods }))
    }

    /// Unless it is waited for: what comes of an eviction counts, whatever else becomes of its workload meanwhile.
    fn leave_for_now(&mut self, name: &Arc<Name>, left: Left) -> Visit {
        if self.running.get(name).is_some_and(|awaited| awaited.since.elapsed() < awaited.patience) {
            return Visit::Nothing;
        }
        self.leave(name, left)
    }

    fn leave(&mut self, name: &Arc<Name>, left: Left) -> Visit {
        self.running.remove(name);
        self.would.remove(name);
        self.visited.insert(Arc::clone(name), Instant::now());
        self.left.insert(Arc::clone(name), left);
        Visit::Nothing
    }

    async fn end(&mut self, name: &Arc<Name>, key: Key, end: End) -> Visit {
        self.refused.remove(name);
        let due = self.ledger.as_mut().is_some_and(|ledger| ledger.end(key, end));
        if due && let Err(error) = self.write().await {
            // It is looked at again, and ends again.
            self.context.state.repair.failed(&error);
            return Visit::Nothing;
        }
        self.running.remove(name);
        self.left.remove(name);
        if end == End::Done {
            self.visited.insert(Arc::clone(name), Instant::now());
            return Visit::Nothing;
        }
        let left = Left::from(end);
        warn!(otelgate.workload = %name, otelgate.reason = %left, "the repair of a workload has ended");
        self.leave(name, left)
    }

    async fn read(&mut self, hash: &str) -> k8s::Result<()> {
        let api = Api::<ConfigMap>::namespaced(self.context.client.clone(), &self.context.namespace);
        let map = k8s::in_time(api.get_opt(object::REPAIR)).await?;
        self.context.state.repair.answered();
        self.read_at = Instant::now();
        let mut ledger = Ledger::read(map.as_ref(), hash);
        match &self.ledger {
            // Nobody knows any more what became of the last one's replacement.
            None => ledger.close_spent(),
            // The last eviction is written with the next change.
            Some(known) if known.version == ledger.version && known.hash == hash => ledger.evicted = known.evicted,
            Some(_) => {}
        }
        self.ledger = Some(ledger);
        Ok(())
    }

    /// Bound to the version that was read.
    async fn write(&mut self) -> k8s::Result<()> {
        let owner = self.context.stack.borrow().as_ref().map(|stack| stack.owner());
        let (Some(ledger), Some(owner)) = (&mut self.ledger, owner) else { return Ok(()) };
        let api = Api::<ConfigMap>::namespaced(self.context.client.clone(), &self.context.namespace);
        let object = ledger.config_map(&self.context.namespace, &owner);
        let params = PatchParams::apply(object::FIELD_MANAGER).force();
        let written = k8s::in_time(api.patch(object::REPAIR, &params, &Patch::Apply(&object))).await?;
        ledger.version = written.metadata.resource_version;
        self.context.state.writes.add(Write::Repair);
        Ok(())
    }
}

// === impl Awaited ===

impl Awaited {
    fn new(target: &Target, owner: &Owner) -> Self {
        let now = Instant::now();
        Self { target: target.clone(), since: now, sound: now, patience: plan::patience(owner), due: now }
    }

    fn start_over(&mut self) {
        let now = Instant::now();
        (self.since, self.sound) = (now, now);
    }

    /// How long it has been waited for, with how it is found now.
    fn look(&mut self, lacks: bool) -> Waited {
        let now = Instant::now();
        if !lacks {
            self.sound = now;
        }
        let [since, lacking] = [self.since, self.sound].map(|then| now.saturating_duration_since(then));
        Waited { since: Some(since), lacking }
    }
}
