//! Keeps objects of the cluster as they should be: applies what is missing or differs, deletes what is no longer wanted.
//!
//! A part of the controller says what it wants as a whole, the objects carry its label, and the rest follows from what
//! the watches see: drift is repaired as soon as it is seen. What the API server makes of an object (defaults, other
//! spellings of an amount) is learnt from its answer to the write, so that it isn't taken for drift; what others add is
//! theirs.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::info;

use super::Context;
use super::metrics::Write;
use crate::api::{label, object};
use crate::k8s::{
    self, Api, ApiResource, DeleteParams, DynamicObject, ListParams, OwnerReference, Patch, PatchParams, Preconditions,
    PropagationPolicy, ResourceExt,
};
use crate::unavailable::Unavailable;
use crate::watch::Health;

mod due;
mod held;
mod keeper;
mod memory;
mod ours;
mod outcome;
mod plan;

pub use held::{Held, Why};
use keeper::Keeper;
pub use memory::{Drift, Memory};
pub use ours::{has_annotated, is_taken};
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
    /// `ConfigMaps` that programs make for themselves where they find none.
    pub notes: &'static [&'static str],
    pub write: Write,
}

/// Whoever finds none makes it, and nobody owns it: a part only says to whom one belongs, and what stands in it is its
/// holder's.
pub const LEASE: Kind =
    Kind { api_version: "coordination.k8s.io/v1", kind: "Lease", plural: "leases", scope: Scope::Namespace };

const CONFIG_MAP: &str = "ConfigMap";

// === impl Key ===

impl Key {
    #[must_use]
    pub fn service(name: &str) -> Self {
        Self { kind: "Service", name: name.to_owned() }
    }
}

// === impl Part ===

impl Part {
    /// Whether one that is there already, by whomever it was made, comes to belong to the part. What stands in it stays.
    fn takes_over(&self, key: &Key) -> bool {
        key.kind == LEASE.kind || (key.kind == CONFIG_MAP && self.notes.contains(&key.name.as_str()))
    }
}

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
        let keeper = Keeper::new(context.clone(), part, &health, namespace);
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

/// One by which programs choose who leads, before any of them has looked for it.
#[must_use]
pub fn lease(name: &str) -> Value {
    json!({"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": {"name": name}})
}

/// One in which a program keeps something, before it has looked for it. It has an entry, as the Cluster Agent of some
/// releases ends where it finds one without.
#[must_use]
pub fn notes(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": CONFIG_MAP, "metadata": {"name": name}, "data": {"made-by": "otelgate"}})
}

/// What became of one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deletion {
    Done,
    Doubtful,
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
