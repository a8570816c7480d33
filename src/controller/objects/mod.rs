//! Keeps objects of the cluster as they should be: applies what is missing or differs, deletes what is no longer wanted.
//!
//! A part of the controller says what it wants as a whole, the objects carry its label, and the rest follows from what
//! the watches see: drift is repaired as soon as it is seen. What the API server makes of an object (defaults, other
//! spellings of an amount) is learnt from its answer to the write, so that it isn't taken for drift; what others add is
//! theirs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{info, warn};

use super::Context;
use super::metrics::Write;
use crate::api::{label, object};
use crate::k8s::{
    self, Api, ApiResource, DeleteParams, DynamicObject, ListParams, OwnerReference, Patch, PatchParams, Preconditions,
    PropagationPolicy, ResourceExt, watcher,
};
use crate::unavailable::Unavailable;
use crate::watch::{self as watching, Health, Objects};

mod due;
mod held;
mod memory;
mod ours;
mod outcome;
mod plan;

use due::{Due, Step};
use held::{Held, Why};
pub use memory::{Drift, Memory};
pub use ours::is_taken;
use ours::{find, is_ours};
pub use outcome::{Outcome, Progress, Wanted};
pub use plan::{Action, Observed, plan};

/// A kind of objects, and where those of a part are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// As in `apiVersion`.
    pub api_version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub scope: Scope,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    Cluster,
    /// In the namespace of the part.
    Namespace,
}

/// Which object, within a part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub kind: &'static str,
    pub name: String,
}

/// What a part is called: the value of its label.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub name: &'static str,
    /// Every kind of which it may want objects; those that it stops wanting are looked for in these.
    pub kinds: &'static [Kind],
    pub write: Write,
}

/// Whether every kind can be seen is looked at that often.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// The rights in the former namespace may have gone with the move.
const PATIENCE_WHEN_MOVED: u32 = 2;

/// What the watches saw of a part's objects; `None` for a kind that hasn't been listed yet.
type Seen = BTreeMap<&'static str, Option<Arc<Objects<DynamicObject>>>>;

// === impl Kind ===

impl Kind {
    #[must_use]
    pub fn resource(&self) -> ApiResource {
        let (group, version) = self.api_version.rsplit_once('/').unwrap_or(("", self.api_version));
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: self.api_version.to_owned(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        }
    }

    fn api(&self, client: k8s::Client, namespace: &str) -> Api<DynamicObject> {
        match self.scope {
            Scope::Cluster => Api::all_with(client, &self.resource()),
            Scope::Namespace => Api::namespaced_with(client, namespace, &self.resource()),
        }
    }
}

/// Keeps what a part wants, and publishes how it stands. `None` wants nothing changed: neither made nor taken away.
/// Never returns.
pub async fn keep(
    context: Context,
    part: Part,
    health: Arc<Health>,
    mut wanted: watch::Receiver<Option<Arc<Wanted>>>,
    outcome: watch::Sender<Option<Outcome>>,
) {
    loop {
        let namespace = wanted.borrow_and_update().as_ref().map(|wanted| wanted.namespace.clone());
        let Some(namespace) = namespace else {
            if wanted.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            continue;
        };
        let keeper = Keeper {
            context: context.clone(),
            part,
            kinds: part.kinds.iter().map(|kind| (kind, Arc::new(health.of_one(kind.kind)))).collect(),
            health: Arc::clone(&health),
            namespace: namespace.clone(),
            memory: Memory::default(),
            held: Held::default(),
        };
        keeper.keep_in_namespace(&mut wanted, &outcome).await;
    }
}

/// Takes away what a part has in a namespace where it isn't any more, as far as it is the owner's.
///
/// # Errors
/// Which objects can't be looked at or deleted, and why.
pub async fn clear(context: &Context, part: Part, namespace: &str, owner: &OwnerReference) -> Result<(), String> {
    let of_part = ListParams::default().labels(&format!("{}={}", label::PART, part.name));
    let is_owned = |object: &DynamicObject| object.owner_references().iter().any(|one| one.uid == owner.uid);
    // What others need goes last.
    for kind in part.kinds.iter().rev().filter(|kind| kind.scope == Scope::Namespace) {
        let failed = |error: &k8s::Error| format!("{}: {}", kind.kind, Unavailable::of(error));
        let api = kind.api(context.client.clone(), namespace);
        let found = k8s::in_time(api.list(&of_part)).await.map_err(|error| failed(&error))?;
        for object in found.items.iter().filter(|object| is_owned(object)) {
            let (name, uid) = (object.name_any(), object.uid().unwrap_or_default());
            delete(&api, &name, &uid).await.map_err(|error| failed(&error))?;
            context.state.writes.add(part.write);
            info!(
                k8s.namespace.name = namespace,
                otelgate.object.kind = kind.kind,
                otelgate.object.name = name,
                "deleted"
            );
        }
    }
    Ok(())
}

/// Only the one that was seen.
async fn delete(api: &Api<DynamicObject>, name: &str, uid: &str) -> k8s::Result<Deletion> {
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let params = DeleteParams {
        preconditions: Some(preconditions),
        propagation_policy: Some(PropagationPolicy::Background),
        ..DeleteParams::default()
    };
    match k8s::in_time(api.delete(name, &params)).await {
        // There should be another of its name, of which the watch tells; if there isn't, this one is still there.
        Err(k8s::Error::Api(status)) if status.is_conflict() => Ok(Deletion::Doubtful),
        Err(error) if !matches!(&error, k8s::Error::Api(status) if status.is_not_found()) => Err(error),
        _ => Ok(Deletion::Done),
    }
}

/// Gives an object of a part its label back, by which it is seen: what else it lacks, or whether it is to be there at all,
/// is told then.
///
/// # Errors
/// When it can't be written; one that has gone needs no label.
pub async fn relabel(context: &Context, part: Part, kind: &str, namespace: &str, name: &str) -> k8s::Result<()> {
    let Some(kind) = part.kinds.iter().find(|one| one.kind == kind) else { return Ok(()) };
    let api = kind.api(context.client.clone(), namespace);
    let patch = json!({"metadata": {"labels": {label::PART: part.name}}});
    let params = PatchParams { field_manager: Some(object::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match k8s::in_time(api.patch_metadata(name, &params, &Patch::Merge(patch))).await {
        Err(k8s::Error::Api(status)) if status.is_not_found() => return Ok(()),
        other => other?,
    };
    info!(otelgate.object.kind = kind.kind, otelgate.object.name = name, "labelled again");
    Ok(())
}

struct Keeper {
    context: Context,
    part: Part,
    /// Of writes.
    health: Arc<Health>,
    /// Of the watches.
    kinds: Vec<(&'static Kind, Arc<Health>)>,
    namespace: String,
    memory: Memory,
    held: Held,
}

// === impl Keeper ===

impl Keeper {
    /// Until the part wants its objects in another namespace: then what is in this one goes.
    async fn keep_in_namespace(
        mut self,
        wanted: &mut watch::Receiver<Option<Arc<Wanted>>>,
        outcome: &watch::Sender<Option<Outcome>>,
    ) {
        let (publisher, mut seen) = watch::channel(Seen::new());
        let mut watches = JoinSet::new();
        for (kind, health) in &self.kinds {
            publisher.send_modify(|seen| {
                seen.insert(kind.kind, None);
            });
            watches.spawn(self.watch(kind, Arc::clone(health), publisher.clone()));
        }
        loop {
            let now = wanted.borrow_and_update().clone();
            let moved = now.as_ref().is_some_and(|now| now.namespace != self.namespace);
            let seen_now = seen.borrow_and_update().clone();
            let unseen = self.unseen();
            let mut again = None;
            if let (Some(now), Some((kind, why))) = (&now, &unseen) {
                if moved {
                    warn!(
                        k8s.namespace.name = self.namespace,
                        error.message = why,
                        "what was there before the move can't be deleted"
                    );
                    return;
                }
                // Where nothing is wanted, nobody need be allowed to look.
                if !now.objects.is_empty() {
                    tell(outcome, Outcome::Unseen { generation: now.generation, kind, why: why.clone() });
                }
            } else if let Some(now) = &now {
                let left = Wanted { objects: Vec::new(), namespace: self.namespace.clone(), ..(**now).clone() };
                match self.step(if moved { &left } else { now }, &seen_now, moved).await {
                    Step::Waiting | Step::Done(_) if moved => return,
                    Step::Again(..) if moved && self.held.most_failures() > PATIENCE_WHEN_MOVED => {
                        warn!(k8s.namespace.name = self.namespace, "what was there before the move can't be deleted");
                        return;
                    }
                    Step::Waiting => {}
                    Step::Done(told) => tell(outcome, told),
                    Step::Again(delay, told) => {
                        again = Some(delay);
                        if let Some(told) = told {
                            tell(outcome, told);
                        }
                    }
                }
            } else {
                outcome.send_if_modified(|before| before.take().is_some());
            }
            tokio::select! {
                () = sleep(again.unwrap_or_default()), if again.is_some() => {}
                () = self.until_seen_otherwise(unseen.as_ref()) => {}
                changed = wanted.changed() => if changed.is_err() { std::future::pending::<()>().await; },
                Ok(()) = seen.changed() => {}
            }
        }
    }

    /// A kind that can't be looked at, and why: which right is missing, say.
    fn unseen(&self) -> Option<(&'static str, String)> {
        self.kinds.iter().find_map(|(kind, health)| Some((kind.kind, health.unseen()?)))
    }

    async fn until_seen_otherwise(&self, before: Option<&(&'static str, String)>) {
        while self.unseen().as_ref() == before {
            sleep(LOOK_AGAIN).await;
        }
    }

    fn watch(
        &self,
        kind: &'static Kind,
        health: Arc<Health>,
        seen: watch::Sender<Seen>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let api = kind.api(self.context.client.clone(), &self.namespace);
        let config = watcher::Config::default().labels(&format!("{}={}", label::PART, self.part.name));
        async move {
            watching::objects_if_served(api, config, &health, |objects| {
                let objects = Arc::new(objects.cloned().unwrap_or_default());
                seen.send_modify(|seen| {
                    seen.insert(kind.kind, Some(objects));
                });
            })
            .await;
        }
    }

    /// Does all that is due, one call after the other. What one object is refused for doesn't keep the others waiting.
    async fn step(&mut self, wanted: &Wanted, seen: &Seen, moved: bool) -> Step {
        let Some(observed) = self.observed(seen, moved) else { return Step::Waiting };
        let wanted_objects = self.labelled(wanted);
        let mut actions = plan(&wanted_objects, &observed, &mut self.memory, Instant::now());
        actions.sort_by_key(|action| self.place(action));
        self.held.keep_only(|key| actions.iter().any(|action| action.key() == Some(key)));
        let mut due = Due::default();
        let reached = self.look_for_foreign(&actions, &observed, &wanted.owner).await;
        // Half of a part beside somebody else's other half is worse than none.
        let nothing_new = observed.is_empty() && self.held.any_foreign();
        for action in actions {
            match action {
                Action::Await { until } => due.at(until),
                Action::Wait { key, contested } => due.contested(key, contested),
                Action::Apply { key, object } => {
                    if due.is_held(&self.held, &key, &object) || !reached || nothing_new {
                        continue;
                    }
                    let done = self.apply(&key, object.clone(), observed.get(&key).map(Arc::as_ref)).await;
                    if done.is_ok()
                        && let Some(contested) = self.memory.going_on(&key, Instant::now())
                    {
                        due.contested(key.clone(), contested);
                    }
                    if !self.did(&mut due, &key, &object, done) {
                        break;
                    }
                }
                Action::Delete { key, uid } => {
                    if due.is_held(&self.held, &key, &Value::Null) || !reached {
                        continue;
                    }
                    let done = self.delete(&key, &uid).await;
                    if let Ok(Deletion::Doubtful) = done {
                        self.held.hold(key.clone(), Value::Null, Why::Doubtful, Instant::now());
                        due.is_held(&self.held, &key, &Value::Null);
                        continue;
                    }
                    if !self.did(&mut due, &key, &Value::Null, done.map(drop)) {
                        break;
                    }
                }
            }
        }
        if !due.is_refused() {
            self.health.answered();
        }
        due.step(wanted.generation)
    }

    /// Whether it makes sense to go on to the next.
    fn did(&mut self, due: &mut Due, key: &Key, sent: &Value, done: k8s::Result<()>) -> bool {
        let now = Instant::now();
        let Err(error) = done else {
            self.held.release(key);
            if let Some(soon) = self.held.answered(now) {
                due.at(soon);
            }
            return true;
        };
        self.health.failed(&error);
        self.held.hold(key.clone(), sent.clone(), Why::of(&error), now);
        due.is_held(&self.held, key, sent);
        !Unavailable::of(&error).is_of_connection()
    }

    /// The watches see only what has our label. Of what is missing, that somebody else may have made one of its name: it
    /// would be taken over by a forced write. Whether the API server could be reached.
    async fn look_for_foreign(&mut self, actions: &[Action], observed: &Observed, owner: &OwnerReference) -> bool {
        for action in actions {
            let Action::Apply { key, object } = action else { continue };
            let now = Instant::now();
            if observed.contains_key(key) || self.held.until(key, object, now).is_some() {
                continue;
            }
            let Some(api) = self.api(key) else { continue };
            match find(&api, &key.name).await {
                Ok(Some(found)) if !is_ours(&found, self.part, owner) => {
                    self.held.hold(key.clone(), object.clone(), Why::Foreign, now);
                }
                Ok(_) => self.held.is_free(key),
                Err(error) => {
                    self.health.failed(&error);
                    self.held.hold(key.clone(), object.clone(), Why::of(&error), now);
                    if Unavailable::of(&error).is_of_connection() {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// What others need comes first, and goes last.
    fn place(&self, action: &Action) -> (bool, usize) {
        let place = |key: &Key| self.part.kinds.iter().position(|kind| kind.kind == key.kind).unwrap_or_default();
        match action {
            Action::Await { .. } => (false, 0),
            Action::Apply { key, .. } | Action::Wait { key, .. } => (false, place(key)),
            Action::Delete { key, .. } => (true, self.part.kinds.len() - place(key)),
        }
    }

    /// All that the watches saw, once each has listed; of a part that has moved, only what is left behind.
    fn observed(&self, seen: &Seen, moved: bool) -> Option<Observed> {
        let mut observed = Observed::default();
        for kind in self.part.kinds.iter().filter(|kind| !moved || kind.scope == Scope::Namespace) {
            for (name, object) in seen.get(kind.kind)?.as_ref()?.iter() {
                observed.insert(Key { kind: kind.kind, name: name.clone() }, Arc::new(object.clone()));
            }
        }
        Some(observed)
    }

    fn labelled(&self, wanted: &Wanted) -> BTreeMap<Key, Value> {
        let mut all = BTreeMap::new();
        for object in &wanted.objects {
            let Some(kind) = self.part.kinds.iter().find(|kind| object["kind"] == kind.kind) else { continue };
            let mut object = object.clone();
            let metadata = &mut object["metadata"];
            metadata["labels"][label::PART] = self.part.name.into();
            metadata["ownerReferences"] = serde_json::to_value([&wanted.owner]).unwrap_or_default();
            if kind.scope == Scope::Namespace {
                metadata["namespace"] = wanted.namespace.as_str().into();
            }
            let name = metadata["name"].as_str().unwrap_or_default().to_owned();
            all.insert(Key { kind: kind.kind, name }, object);
        }
        all
    }

    fn api(&self, key: &Key) -> Option<Api<DynamicObject>> {
        let kind = self.part.kinds.iter().find(|kind| kind.kind == key.kind)?;
        Some(kind.api(self.context.client.clone(), &self.namespace))
    }

    async fn apply(&mut self, key: &Key, object: Value, found: Option<&DynamicObject>) -> k8s::Result<()> {
        let Some(api) = self.api(key) else { return Ok(()) };
        let params = PatchParams::apply(object::FIELD_MANAGER).force();
        let applied = match k8s::in_time(api.patch(&key.name, &params, &Patch::Apply(&object))).await {
            // Ours, with a field that can't be changed any more: it is made anew once it has gone.
            Err(k8s::Error::Api(status)) if status.code == 422 && status.message.contains("field is immutable") => {
                let Some(uid) = found.and_then(ResourceExt::uid) else { return Err(k8s::Error::Api(status)) };
                return self.delete(key, &uid).await.map(drop);
            }
            other => other?,
        };
        self.context.state.writes.add(self.part.write);
        info!(otelgate.object.kind = key.kind, otelgate.object.name = key.name, "applied");
        self.memory.applied(key.clone(), object, found, &applied, Instant::now());
        Ok(())
    }

    async fn delete(&mut self, key: &Key, uid: &str) -> k8s::Result<Deletion> {
        let Some(api) = self.api(key) else { return Ok(Deletion::Done) };
        self.memory.forget(key);
        if delete(&api, &key.name, uid).await? == Deletion::Doubtful {
            return Ok(Deletion::Doubtful);
        }
        self.context.state.writes.add(self.part.write);
        info!(otelgate.object.kind = key.kind, otelgate.object.name = key.name, "deleted");
        Ok(Deletion::Done)
    }
}

/// What became of one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deletion {
    Done,
    Doubtful,
}

fn tell(outcome: &watch::Sender<Option<Outcome>>, told: Outcome) {
    if outcome.borrow().as_ref() == Some(&told) {
        return;
    }
    if let Outcome::Contested { object, by, .. } = &told {
        warn!(otelgate.object = object, otelgate.other = by, "somebody changes it back each time; slowing down");
    }
    outcome.send_replace(Some(told));
}
