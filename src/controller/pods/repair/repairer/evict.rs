//! Writes an eviction down, asks for it, and takes in what came of that.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::info;

use super::{Awaited, Refused, Repairer, Visit};
use crate::controller::metrics::Write;
use crate::controller::pods::record::Name;
use crate::controller::pods::repair::facts::{Owner, Target};
use crate::controller::pods::repair::ledger::{Entry, Key};
use crate::controller::pods::repair::plan::Left;
use crate::k8s::{self, Api, Pod, PostParams};
use crate::unavailable::Unavailable;

/// One that the plan asks for.
pub(super) struct Eviction<'e> {
    pub target: &'e Target,
    pub owner: &'e Owner,
    pub key: Key,
    /// What the ledger is to have of the workload before anything is done.
    pub entry: Entry,
    /// What it has.
    pub known: Option<Entry>,
    pub pod: &'e str,
    pub uid: &'e str,
}

// === impl Eviction ===

impl Eviction<'_> {
    const fn workload(&self) -> &Arc<Name> {
        &self.target.workload
    }

    fn refused(&self) -> Refused {
        Refused { uid: self.uid.to_owned(), entry: self.entry }
    }

    /// Another pod of that name is another's.
    fn request(&self) -> Value {
        json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": self.pod, "namespace": &*self.workload().namespace},
            "deleteOptions": {"preconditions": {"uid": self.uid}},
        })
    }
}

// === impl Repairer ===

impl Repairer {
    pub(super) async fn evict(&mut self, eviction: Eviction<'_>) -> Visit {
        // Without a stack nobody asks for it any more.
        if self.context.stack.borrow().is_none() {
            return Visit::Nothing;
        }
        if let Err(error) = self.write_down(&eviction).await {
            self.refused.insert(Arc::clone(eviction.workload()), eviction.refused());
            self.context.state.repair.failed(&error);
            return self.leave(eviction.workload(), Left::Refused(Unavailable::of(&error).to_string()));
        }
        let api = Api::<Pod>::namespaced(self.context.client.clone(), &eviction.workload().namespace);
        let (params, request) = (PostParams::default(), eviction.request());
        let asked = api.create_subresource::<_, Value>("eviction", eviction.pod, &params, &request);
        match k8s::in_time(asked).await {
            Ok(_) => self.was_evicted(&eviction),
            Err(error) => self.was_not_evicted(&eviction, &error),
        }
    }

    /// Where that fails it is as it was: what is written of others next mustn't have it.
    async fn write_down(&mut self, eviction: &Eviction<'_>) -> k8s::Result<()> {
        let Eviction { key, entry, known, .. } = *eviction;
        if known == Some(entry) {
            return Ok(());
        }
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

    fn was_evicted(&mut self, eviction: &Eviction<'_>) -> Visit {
        let (name, owner) = (eviction.workload(), eviction.owner);
        self.context.state.repair.answered();
        self.context.state.writes.add(Write::Eviction);
        if let Some(ledger) = &mut self.ledger {
            ledger.evicted = ledger.evicted.saturating_add(1);
        }
        info!(
            k8s.namespace.name = &*name.namespace,
            k8s.pod.name = eviction.pod,
            otelgate.workload = %name,
            "evicted, so that it comes back as it should be"
        );
        self.tell(name, &owner.uid, eviction.pod);
        self.refused.remove(name);
        self.left.remove(name);
        self.visited.insert(Arc::clone(name), Instant::now());
        self.running.insert(Arc::clone(name), Awaited::new(eviction.target, owner));
        Visit::Evicted
    }

    fn was_not_evicted(&mut self, eviction: &Eviction<'_>, error: &k8s::Error) -> Visit {
        let before = self.refused.insert(Arc::clone(eviction.workload()), eviction.refused());
        let again = before.is_some_and(|before| before.uid == eviction.uid);
        // It went by itself, or there is another of its name: the next look shows that.
        let gone = matches!(error, k8s::Error::Api(status) if status.is_not_found() || status.is_conflict());
        if gone && !again {
            return Visit::Nothing;
        }
        // A budget is no failure of the API server's.
        if !matches!(error, k8s::Error::Api(status) if status.code == 429) {
            self.context.state.repair.failed(error);
        }
        self.leave(eviction.workload(), Left::Refused(Unavailable::of(error).to_string()))
    }
}
