//! Opted-in pods: which of them lack their mark or carry an old one, and how they are repaired.
//!
//! The metadata of every pod and namespace is watched and cut to a record; only pods without a mark, that should have
//! one, are looked at as a whole. One task owns what is known, another evicts.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::Context;
use super::configuration::Seen;
use super::stack::Written;
use crate::api::object;
use crate::api::stack::{InjectionStatus, TelemetryStackStatus};
use crate::coverage::Coverage;

mod announced;
pub mod index;
mod keeper;
pub mod look;
pub mod metadata;
pub mod record;
pub mod repair;
pub mod stream;
pub mod verdict;

use keeper::Keeper;
use metadata::{NamespaceSeen, PodSeen};
use record::{Count, Tally};
use stream::Source;

/// The newest counts, for `/metrics`.
#[derive(Debug, Default)]
pub struct Measured(Mutex<Option<Tally>>);

/// Objects on their way to who keeps them.
const QUEUE: usize = 512;
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
                for told in std::iter::from_fn(|| pods.try_recv().ok()).take(QUEUE) {
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
            Ok(()) = stack.changed() => keeper.changed(),
            () = keeper.until_seen_otherwise() => keeper.seen_otherwise(),
            Ok(()) = repairs.changed() => {
                keeper.repaired(repairs.borrow_and_update().clone());
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => keeper.report(),
            // Whoever supervises this task ends the rest of it.
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
