//! The phases of a server's life, and what moves it from one to the next.
//!
//! Endpoints take seconds to follow a pod's readiness, and the API server keeps connections in a pool: a server that
//! just stopped would fail requests. So it says that it isn't ready, serves on, then asks its clients to let go of their
//! connections while still accepting new ones, and only then stops.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serving,
    /// Not ready any more, and serving on.
    Leaving,
    /// Every answer closes its connection; new connections are still accepted.
    LettingGo,
    /// No new connection; open ones end with the request that they are in.
    Draining,
}

/// What every connection and the readiness look at.
#[derive(Clone, Debug)]
pub struct Phases(watch::Receiver<Phase>);

/// Moves the phases on.
#[derive(Debug)]
pub struct Lifecycle(watch::Sender<Phase>);

// === impl Lifecycle ===

impl Lifecycle {
    #[must_use]
    pub fn new() -> (Self, Phases) {
        let (sender, receiver) = watch::channel(Phase::Serving);
        (Self(sender), Phases(receiver))
    }

    /// Goes through all phases; `delay` is how long it serves on before it drains.
    pub async fn end(&self, delay: Duration) {
        self.0.send_replace(Phase::Leaving);
        sleep(delay / 2).await;
        self.0.send_replace(Phase::LettingGo);
        sleep(delay / 2).await;
        self.0.send_replace(Phase::Draining);
    }
}

// === impl Phases ===

impl Phases {
    #[must_use]
    pub fn now(&self) -> Phase {
        *self.0.borrow()
    }

    /// Until that phase, or a later one. A [`Lifecycle`] that is gone has ended.
    pub async fn reached(&mut self, phase: Phase) {
        let _ = self.0.wait_for(|now| *now >= phase).await;
    }
}
