//! Looks at workloads, does what follows, and writes down what was done.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::{info, warn};

use super::facts::{Facts, Owner, OwnerKind, PodFacts, Target};
use super::ledger::{End, Entry, Key, Ledger};
use super::plan::{self, Left, Move};
use super::{BETWEEN, Targets};
use crate::api::condition::{ConditionType, Holds};
use crate::api::object;
use crate::api::stack::{Repair, RepairPhase, RepairStatus};
use crate::controller::Context;
use crate::controller::metrics::Write;
use crate::controller::pods::look;
use crate::controller::pods::record::{InForce, Name};
use crate::k8s::{self, Api, ConfigMap, GetParams, ListParams, Patch, PatchParams, Pod, PostParams};
use crate::unavailable::Unavailable;

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
            self.running.values_mut().for_each(|awaited| awaited.since = Instant::now());
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
        let since = self.running.get(name).map(|awaited| awaited.since.elapsed());
        let waited = since.or_else(|| refused.is_none().then_some(Duration::ZERO));
        // An eviction that was refused is one that is left.
        let owed = u16::from(refused.is_some() && refused == known);
        let entry = known.map(|entry| Entry { left: entry.left.saturating_add(owed), ..entry });
        match plan::next(&facts, entry, &self.asked, waited) {
            Move::Leave(left) if left.is_end() => self.leave(name, left),
            Move::Leave(left) => self.leave_for_now(name, left),
            Move::Wait => {
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
                self.evict(target, (key, &facts.owner), (entry, known), (&pod, &uid)).await
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

    /// Writes it down, then does it. Of `entries`, the first is to be written, the second known.
    async fn evict(
        &mut self,
        target: &Target,
        (key, owner): (Key, &Owner),
        entries: (Entry, Option<Entry>),
        (pod, uid): (&str, &str),
    ) -> Visit {
        let name = &target.workload;
        let (entry, known) = entries;
        // Without a stack nobody asks for it any more.
        if self.context.stack.borrow().is_none() {
            return Visit::Nothing;
        }
        let refused = Refused { uid: uid.to_owned(), entry };
        if known != Some(entry)
            && let Err(error) = self.write_down(key, entry, known).await
        {
            self.refused.insert(Arc::clone(name), refused);
            self.context.state.repair.failed(&error);
            return self.leave(name, Left::Refused(Unavailable::of(&error).to_string()));
        }
        let api = Api::<Pod>::namespaced(self.context.client.clone(), &name.namespace);
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": pod, "namespace": &*name.namespace},
            "deleteOptions": {"preconditions": {"uid": uid}},
        });
        let params = PostParams::default();
        let asked = api.create_subresource::<_, Value>("eviction", pod, &params, &eviction);
        match k8s::in_time(asked).await {
            Ok(_) => {
                self.context.state.repair.answered();
                self.context.state.writes.add(Write::Eviction);
                if let Some(ledger) = &mut self.ledger {
                    ledger.evicted = ledger.evicted.saturating_add(1);
                }
                info!(
                    k8s.namespace.name = &*name.namespace,
                    k8s.pod.name = pod,
                    otelgate.workload = %name,
                    "evicted, so that it comes back as it should be"
                );
                self.tell(name, &owner.uid, pod);
                self.refused.remove(name);
                self.left.remove(name);
                self.visited.insert(Arc::clone(name), Instant::now());
                self.running.insert(Arc::clone(name), Awaited::new(target, owner));
                Visit::Evicted
            }
            Err(error) => {
                let before = self.refused.insert(Arc::clone(name), refused);
                let again = before.is_some_and(|before| before.uid == uid);
                // It went by itself, or there is another of its name: the next look shows that.
                let gone = matches!(&error, k8s::Error::Api(status) if status.is_not_found() || status.is_conflict());
                if gone && !again {
                    return Visit::Nothing;
                }
                // A budget is no failure of the API server's.
                if !matches!(&error, k8s::Error::Api(status) if status.code == 429) {
                    self.context.state.repair.failed(&error);
                }
                self.leave(name, Left::Refused(Unavailable::of(&error).to_string()))
            }
        }
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

    /// Where that fails it is as it was: what is written of others next mustn't have it.
    async fn write_down(&mut self, key: Key, entry: Entry, known: Option<Entry>) -> k8s::Result<()> {
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        ledger.entries.insert(key, entry);
        let written = self.write().await;
        if let (Err(_), Some(ledger)) = (&written, &mut self.ledger) {
            match known {
                Some(known) => ledger.entries.insert(key, known),
                None => ledger.entries.remove(&key),
            };
        }
        written
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
        Self { target: target.clone(), since: now, patience: plan::patience(owner), due: now }
    }
}
