//! Takes part in the election: reads and writes the Lease by the rules of [`super::lease`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::lease::{self, Action, Seen};
use crate::api::object;
use crate::k8s::{self, Api, Client, Lease, PostParams};
use crate::watch::Health;

/// One candidate.
pub struct Election {
    leases: Api<Lease>,
    identity: String,
    seen: Option<Seen>,
    /// Whether `seen` is what our own last write made, so that it needn't be read again before the next.
    fresh: bool,
    health: Arc<Health>,
}

/// For a last word to an API server that may be gone.
const RELEASE_WITHIN: Duration = Duration::from_secs(5);

// === impl Election ===

impl Election {
    #[must_use]
    pub fn new(client: Client, namespace: &str, identity: String, health: Arc<Health>) -> Self {
        Self { leases: Api::namespaced(client, namespace), identity, seen: None, fresh: false, health }
    }

    /// Until the Lease is ours.
    pub async fn win(&mut self) {
        let mut told = None;
        loop {
            match self.attempt_within(lease::RENEW_WITHIN).await {
                Ok(Action::Wait) => {
                    let leader = self.seen.as_ref().and_then(Seen::holder).map(str::to_owned);
                    if told != leader {
                        info!(otelgate.leader = leader, "standing by");
                        told = leader;
                    }
                }
                Ok(_) => {
                    info!(otelgate.identity = self.identity, "leading");
                    return;
                }
                Err(()) => {}
            }
            sleep(lease::RETRY).await;
        }
    }

    /// Until it isn't ours any more, or we can't be sure that it is.
    pub async fn hold(&mut self) {
        let mut renewed = Instant::now();
        loop {
            sleep(lease::RETRY).await;
            let started = Instant::now();
            match self.attempt_within(lease::RENEW_WITHIN.saturating_sub(renewed.elapsed())).await {
                Ok(Action::Wait) => {
                    let leader = self.seen.as_ref().and_then(Seen::holder);
                    warn!(otelgate.leader = leader, "another controller leads; standing by");
                    return;
                }
                Ok(_) => renewed = started,
                Err(()) if renewed.elapsed() < lease::RENEW_WITHIN => {}
                Err(()) => {
                    warn!("the Lease couldn't be renewed in time; another controller may lead from now on");
                    return;
                }
            }
        }
    }

    /// Lets the next one lead at once, if the Lease is ours.
    pub async fn release(&mut self) {
        let released = async {
            // A write that was cut short may have come through.
            let Some(seen) = self.leases.get_opt(object::CONTROLLER).await?.map(|one| Seen::new(one, Instant::now()))
            else {
                return Ok(());
            };
            if seen.holder() == Some(&self.identity) {
                let free = lease::released(&seen, Timestamp::now());
                self.leases.replace(object::CONTROLLER, &PostParams::default(), &free).await?;
                info!("the Lease is released");
            }
            Ok::<_, k8s::Error>(())
        };
        match timeout(RELEASE_WITHIN, released).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.health.failed(&error),
            Err(_) => self.health.failed_because("no answer".to_owned()),
        }
    }

    async fn attempt_within(&mut self, limit: Duration) -> Result<Action, ()> {
        let attempt = timeout(limit, self.attempt()).await;
        let health = &self.health;
        match attempt {
            Ok(Ok(action)) => {
                health.answered();
                Ok(action)
            }
            Ok(Err(error)) => {
                self.fresh = false;
                health.failed(&error);
                Err(())
            }
            Err(_) => {
                self.fresh = false;
                health.failed_because("the API server didn't answer in time".to_owned());
                Err(())
            }
        }
    }

    /// Looks, does what follows, and tells what that was: the Lease is ours unless it is [`Action::Wait`].
    async fn attempt(&mut self) -> k8s::Result<Action> {
        loop {
            if !self.fresh {
                let read = self.leases.get_opt(object::CONTROLLER).await?;
                self.seen = read.map(|lease| Seen::new(lease, Instant::now()).after(self.seen.as_ref()));
            }
            let action = lease::step(self.seen.as_ref(), &self.identity, Instant::now());
            let lease = lease::held(self.seen.as_ref(), object::CONTROLLER, &self.identity, Timestamp::now());
            let params = PostParams::default();
            let written = match action {
                Action::Wait => return Ok(action),
                Action::Create => self.leases.create(&params, &lease).await,
                Action::Take | Action::Renew => self.leases.replace(object::CONTROLLER, &params, &lease).await,
            };
            match written {
                Ok(lease) => {
                    self.seen = Some(Seen::new(lease, Instant::now()));
                    self.fresh = true;
                    return Ok(action);
                }
                // Somebody wrote since we read: look again before anything is said.
                Err(k8s::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                    self.fresh = false;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
