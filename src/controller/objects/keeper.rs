//! One namespace's keeper: what its watches see, and the calls that follow from it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{info, warn};

use super::due::{Due, Step};
use super::held::{Held, Why};
use super::ours::{find, is_ours};
use super::{Action, Context, Deletion, Key, Kind, Memory, Observed, Outcome, Part, Scope, Wanted, delete, plan};
use crate::api::{label, object};
use crate::k8s::{self, Api, DynamicObject, OwnerReference, Patch, PatchParams, ResourceExt, watcher};
use crate::unavailable::Unavailable;
use crate::watch::{self as watching, Health, Objects};

pub(super) struct Keeper {
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

/// Whether every kind can be seen is looked at that often.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// The rights in the former namespace may have gone with the move.
const PATIENCE_WHEN_MOVED: u32 = 2;

/// What the watches saw of a part's objects; `None` for a kind that hasn't been listed yet.
type Seen = BTreeMap<&'static str, Option<Arc<Objects<DynamicObject>>>>;

// === impl Keeper ===

impl Keeper {
    pub(super) fn new(context: Context, part: Part, health: &Arc<Health>, namespace: String) -> Self {
        Self {
            context,
            part,
            kinds: part.kinds.iter().map(|kind| (kind, Arc::new(health.of_one(kind.kind)))).collect(),
            health: Arc::clone(health),
            namespace,
            memory: Memory::default(),
            held: Held::default(),
        }
    }

    /// Until the part wants its objects in another namespace: then what is in this one goes.
    pub(super) async fn keep_in_namespace(
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
            let seen_now = seen.borrow_and_update().clone();
            let unseen = self.unseen();
            let ControlFlow::Continue(again) = self.turn(now.as_deref(), &seen_now, unseen.as_ref(), outcome).await
            else {
                return;
            };
            tokio::select! {
                () = sleep(again.unwrap_or_default()), if again.is_some() => {}
                () = self.until_seen_otherwise(unseen.as_ref()) => {}
                changed = wanted.changed() => if changed.is_err() { std::future::pending::<()>().await; },
                Ok(()) = seen.changed() => {}
            }
        }
    }

    /// One look at everything, and what follows from it: when to look again by itself, or that nothing is left to do in
    /// this namespace.
    async fn turn(
        &mut self,
        wanted: Option<&Wanted>,
        seen: &Seen,
        unseen: Option<&(&'static str, String)>,
        outcome: &watch::Sender<Option<Outcome>>,
    ) -> ControlFlow<(), Option<Duration>> {
        let Some(wanted) = wanted else {
            outcome.send_if_modified(|before| before.take().is_some());
            return ControlFlow::Continue(None);
        };
        let moved = wanted.namespace != self.namespace;
        if let Some((kind, why)) = unseen {
            if moved {
                self.leave_behind(why);
                return ControlFlow::Break(());
            }
            tell(outcome, Outcome::Unseen { generation: wanted.generation, kind, why: why.clone() });
            return ControlFlow::Continue(None);
        }
        if moved {
            let namespace = self.namespace.clone();
            let left = Wanted { objects: Vec::new(), spares: Vec::new(), namespace, ..wanted.clone() };
            return match self.step(&left, seen, true, Instant::now()).await {
                Step::Waiting | Step::Done(_) => ControlFlow::Break(()),
                Step::Again(..) if self.held.most_failures() > PATIENCE_WHEN_MOVED => {
                    self.leave_behind("it was refused several times");
                    ControlFlow::Break(())
                }
                Step::Again(_, Some(Outcome::Contested { by, .. })) => {
                    self.leave_behind(&format!("{by} puts it back each time"));
                    ControlFlow::Break(())
                }
                Step::Again(delay, told) => {
                    if let Some(told) = told {
                        tell(outcome, told);
                    }
                    ControlFlow::Continue(Some(delay))
                }
            };
        }
        let (again, told) = match self.step(wanted, seen, false, Instant::now()).await {
            Step::Waiting => (None, None),
            Step::Done(told) => (None, Some(told)),
            Step::Again(delay, told) => (Some(delay), told),
        };
        if let Some(told) = told {
            tell(outcome, told);
        }
        ControlFlow::Continue(again)
    }

    fn leave_behind(&self, why: &str) {
        warn!(
            k8s.namespace.name = self.namespace,
            error.message = why,
            "what was there before the move can't be deleted"
        );
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
    /// What is held when it begins is until its end.
    async fn step(&mut self, wanted: &Wanted, seen: &Seen, moved: bool, began: Instant) -> Step {
        let Some(mut observed) = self.observed(seen, moved) else { return Step::Waiting };
        let wanted_objects = self.labelled(wanted);
        observed.retain(|key, _| wanted_objects.contains_key(key) || !wanted.spares.contains(key));
        let mut actions = plan(&wanted_objects, &observed, &mut self.memory, began);
        actions.sort_by_key(|action| self.place(action));
        self.held.keep_only(|key| actions.iter().any(|action| action.key() == Some(key)));
        let mut due = Due::default();
        let reached = self.look_for_foreign(&actions, &observed, &wanted.owner, began).await;
        // Half of a part beside somebody else's other half is worse than none.
        let nothing_new = observed.is_empty() && self.held.any_foreign();
        for action in actions {
            match action {
                Action::Await { until } => due.at(until),
                Action::Wait { key, contested } => due.contested(key, contested),
                Action::Apply { key, object } => {
                    if due.is_held(&self.held, &key, &object, began) || !reached || nothing_new {
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
                    if due.is_held(&self.held, &key, &Value::Null, began) || !reached {
                        continue;
                    }
                    let done = self.delete(&key, &uid, observed.get(&key).map(Arc::as_ref)).await;
                    if let Ok(Deletion::Doubtful) = done {
                        self.held.hold(key.clone(), Value::Null, Why::Doubtful, Instant::now());
                        due.is_held(&self.held, &key, &Value::Null, began);
                        continue;
                    }
                    if done.is_ok()
                        && let Some(contested) = self.memory.put_back(&key, Instant::now())
                    {
                        due.contested(key.clone(), contested);
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
        due.is_held(&self.held, key, sent, now);
        !Unavailable::of(&error).is_of_connection()
    }

    /// The watches see only what has our label. Of what is missing, that somebody else may have made one of its name: it
    /// would be taken over by a forced write. Whether the API server could be reached.
    async fn look_for_foreign(
        &mut self,
        actions: &[Action],
        observed: &Observed,
        owner: &OwnerReference,
        began: Instant,
    ) -> bool {
        for action in actions {
            let Action::Apply { key, object } = action else { continue };
            let now = Instant::now();
            if observed.contains_key(key) || self.held.until(key, object, began).is_some() {
                continue;
            }
            let Some(api) = self.api(key) else { continue };
            match find(&api, &key.name).await {
                Ok(Some(found)) if !self.part.takes_over(key) && !is_ours(&found, self.part, owner) => {
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
                let Some(found) = found else { return Err(k8s::Error::Api(status)) };
                return self.make_way(key, found).await;
            }
            other => other?,
        };
        self.context.state.writes.add(self.part.write);
        info!(otelgate.object.kind = key.kind, otelgate.object.name = key.name, "applied");
        self.memory.applied(key.clone(), object, found, &applied, Instant::now());
        Ok(())
    }

    /// What comes in its place goes on from it: whoever has it back each time disagrees with what is wanted.
    async fn make_way(&mut self, key: &Key, found: &DynamicObject) -> k8s::Result<()> {
        if self.take_away(key, &found.uid().unwrap_or_default()).await? == Deletion::Done {
            self.memory.made_way(key, found);
        }
        Ok(())
    }

    async fn delete(&mut self, key: &Key, uid: &str, found: Option<&DynamicObject>) -> k8s::Result<Deletion> {
        self.memory.forget(key);
        let done = self.take_away(key, uid).await?;
        if let (Deletion::Done, Some(found)) = (done, found) {
            self.memory.deleted(key.clone(), found, Instant::now());
        }
        Ok(done)
    }

    async fn take_away(&self, key: &Key, uid: &str) -> k8s::Result<Deletion> {
        let Some(api) = self.api(key) else { return Ok(Deletion::Done) };
        let done = delete(&api, &key.name, uid).await?;
        if done == Deletion::Done {
            self.context.state.writes.add(self.part.write);
            info!(otelgate.object.kind = key.kind, otelgate.object.name = key.name, "deleted");
        }
        Ok(done)
    }
}

fn tell(outcome: &watch::Sender<Option<Outcome>>, told: Outcome) {
    if outcome.borrow().as_ref() == Some(&told) {
        return;
    }
    if let Outcome::Contested { object, by, .. } = &told {
        warn!(otelgate.object = object, otelgate.other = by, "somebody undoes it each time; slowing down");
    }
    outcome.send_replace(Some(told));
}

#[cfg(test)]
mod tests;
