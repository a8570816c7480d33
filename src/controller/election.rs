//! Takes part in the election: reads and writes the Lease by the rules of [`super::lease`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::lease::{self, Action, Seen};
use crate::api::object;
use crate::calls::Fence;
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
    /// Beyond which nothing is written for as long as we don't lead.
    fence: Arc<Fence>,
}

/// For a last word to an API server that may be gone.
const RELEASE_WITHIN: Duration = Duration::from_secs(5);
/// So often it is looked again at once, when somebody else was faster: with an API server that says so each time, there
/// would be no end.
const LOOKS: usize = 2;

// === impl Election ===

impl Election {
    #[must_use]
    pub fn new(client: Client, namespace: &str, identity: String, health: Arc<Health>) -> Self {
        let leases = Api::namespaced(client, namespace);
        Self { leases, identity, seen: None, fresh: false, health, fence: Arc::default() }
    }

    /// Open as long as the Lease is ours for sure.
    #[must_use]
    pub fn fence(&self) -> Arc<Fence> {
        Arc::clone(&self.fence)
    }

    /// Until the Lease is ours.
    pub async fn win(&mut self) {
        let mut told = None;
        loop {
            let started = Instant::now();
            match self.attempt_within(lease::RENEW_WITHIN).await {
                Ok(Action::Wait) => {
                    let leader = self.seen.as_ref().and_then(Seen::holder).map(str::to_owned);
                    if told != leader {
                        info!(otelgate.leader = leader, "standing by");
                        told = leader;
                    }
                }
                Ok(_) => {
                    self.fence.open_until(started + lease::RENEW_WITHIN);
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
                Ok(_) => {
                    renewed = started;
                    self.fence.open_until(started + lease::RENEW_WITHIN);
                }
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
        let mut looks = 0;
        loop {
            looks += 1;
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
                Err(k8s::Error::Api(status))
                    if looks < LOOKS && (status.is_conflict() || status.is_already_exists()) =>
                {
                    self.fresh = false;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::{Body, Error};
    use axum::http::{Method, Request, Response};
    use std::sync::Mutex;

    #[tokio::test]
    async fn an_api_server_that_has_a_conflict_each_time_isnt_asked_without_end() {
        let calls = Arc::<Mutex<Vec<Method>>>::default();
        let asked = Arc::clone(&calls);
        let service = tower::service_fn(move |request: Request<Body>| {
            asked.lock().expect("nobody panics with it").push(request.method().clone());
            let (status, body) = match *request.method() {
                Method::GET => (200, r#"{"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "me"}}"#),
                _ => (409, r#"{"status": "Failure", "message": "", "reason": "Conflict", "code": 409}"#),
            };
            let body = Body::from(body.as_bytes().to_vec());
            async move { Ok::<_, Error>(Response::builder().status(status).body(body).expect("an answer")) }
        });
        let client = Client::new(service, "default");
        let mut election = Election::new(client, "otelgate", "me".to_owned(), Arc::new(Health::new("Lease")));
        election.attempt().await.expect_err("it is told that it isn't known who leads");
        let calls = calls.lock().expect("nobody panics with it").clone();
        assert_eq!(calls, [Method::GET, Method::PUT, Method::GET, Method::PUT]);
    }
}
