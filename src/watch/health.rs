//! How it stands with what has to be asked for, told once for each change.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{info, warn};

use crate::k8s::{self, watcher};
use crate::metrics::Counter;
use crate::unavailable::Unavailable;

/// How it stands with something that has to be asked for.
#[derive(Debug)]
pub struct Health {
    what: &'static str,
    /// What to do when the API server doesn't know the kind.
    unknown_kind: Option<&'static str>,
    state: Mutex<State>,
    failures: Arc<Counter>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    NotAsked,
    Failing { fault: String, answered_before: bool, forbidden: bool },
    Answered,
}

/// The status of an answer that a right is missing.
pub const FORBIDDEN: u16 = 403;

// === impl Health ===

impl Health {
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        Self { what, unknown_kind: None, state: Mutex::new(State::NotAsked), failures: Arc::default() }
    }

    /// Of a kind that may not be there yet.
    #[must_use]
    pub fn of_kind(what: &'static str, unknown_kind: &'static str) -> Self {
        Self { unknown_kind: Some(unknown_kind), ..Self::new(what) }
    }

    /// Of a kind among those that this one is of: that another answers says nothing of it. Failures are counted together.
    #[must_use]
    pub fn of_one(&self, kind: &'static str) -> Self {
        Self { failures: Arc::clone(&self.failures), ..Self::new(kind) }
    }

    #[must_use]
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// Why there never was an answer; an answer that is old is still one.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        match &*self.lock() {
            State::NotAsked => Some("not asked yet".to_owned()),
            State::Failing { fault, answered_before: false, .. } => Some(fault.clone()),
            State::Failing { answered_before: true, .. } | State::Answered => None,
        }
    }

    /// Why there never was an answer, once it was asked for one.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        match &*self.lock() {
            State::Failing { fault, answered_before: false, .. } => Some(fault.clone()),
            State::NotAsked | State::Failing { .. } | State::Answered => None,
        }
    }

    /// Why what it is about can't be seen: there never was an answer, or the right to ask has gone.
    #[must_use]
    pub fn unseen(&self) -> Option<String> {
        match &*self.lock() {
            State::Failing { fault, forbidden: true, .. } | State::Failing { fault, answered_before: false, .. } => {
                Some(fault.clone())
            }
            State::NotAsked | State::Failing { .. } | State::Answered => None,
        }
    }

    /// Which right is missing, whether or not there was one before.
    #[must_use]
    pub fn forbidden(&self) -> Option<String> {
        match &*self.lock() {
            State::Failing { fault, forbidden: true, .. } => Some(fault.clone()),
            State::NotAsked | State::Failing { .. } | State::Answered => None,
        }
    }

    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.get()
    }

    pub fn answered(&self) {
        let before = std::mem::replace(&mut *self.lock(), State::Answered);
        if before != State::Answered {
            info!(otelgate.object = self.what, "the API server answers");
        }
    }

    /// The same fault is told once, however often it is met.
    pub fn failed(&self, error: &k8s::Error) {
        let fault = match (error, self.unknown_kind) {
            (k8s::Error::Api(status), Some(next)) if status.code == 404 => next.to_owned(),
            _ => Unavailable::of(error).to_string(),
        };
        self.fails(fault, matches!(error, k8s::Error::Api(status) if status.code == FORBIDDEN));
    }

    /// Of a watch, whichever of its calls failed.
    pub fn watch_failed(&self, error: watcher::Error) {
        match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => self.failed(&error),
            watcher::Error::WatchError(status) => self.failed(&k8s::Error::Api(status)),
            watcher::Error::NoResourceVersion => self.failed_because(error.to_string()),
        }
    }

    pub fn failed_because(&self, fault: String) {
        self.fails(fault, false);
    }

    fn fails(&self, fault: String, forbidden: bool) {
        self.failures.add(1);
        let mut state = self.lock();
        let (told, answered_before) = match &*state {
            State::NotAsked => (false, false),
            State::Answered => (false, true),
            State::Failing { fault: before, answered_before, .. } => (*before == fault, *answered_before),
        };
        if !told {
            warn!(otelgate.object = self.what, error.message = fault, "no answer from the API server; trying again");
        }
        *state = State::Failing { fault, answered_before, forbidden };
    }

    /// As if it had never been asked.
    pub fn forget(&self) {
        *self.lock() = State::NotAsked;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under the lock leaves the state half-written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_kinds_one_that_answers_hides_none_that_doesnt() {
        let all = Health::new("Widgets");
        let (one, other) = (all.of_one("Nut"), all.of_one("Bolt"));
        one.failed_because("no".to_owned());
        other.answered();
        assert_eq!((one.unseen().as_deref(), other.unseen(), all.failures()), (Some("no"), None, 1));
    }

    #[test]
    fn an_unknown_kind_is_told_with_the_next_step() {
        let health = Health::of_kind("Widget", "install Widget");
        // The answer for a path that doesn't exist isn't even JSON.
        let missing = k8s::Status::failure("404 page not found", "Failed to parse error data");
        health.failed(&k8s::Error::Api(missing.with_code(404).boxed()));
        assert_eq!(health.fault().as_deref(), Some("install Widget"));
    }
}
