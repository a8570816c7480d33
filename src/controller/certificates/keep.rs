//! Looks, plans, writes, reports; and again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use super::contests::Fight;
use super::plan::{Phase, Plan, plan};
use super::run::Watched;
use super::settings::Settings;
use super::write::Fault;
use super::{handshake, verdict};
use crate::api::condition::{ConditionType, Reason};
use crate::api::stack::Provider;
use crate::controller::endpoints::{Endpoint, Endpoints};
use crate::controller::stack::Stack;
use crate::controller::status::Verdict;
use crate::controller::{Context, injection};
use crate::jitter;

pub(super) struct Keeper {
    context: Context,
    watched: Watched,
    stack: watch::Receiver<Option<Arc<Stack>>>,
    endpoints: watch::Receiver<Endpoints>,
    /// The last that could be followed.
    good: Option<Settings>,
    /// Writes that failed one after the other.
    failures: u32,
    /// Replicas that weren't seen at the last look.
    unseen: Vec<String>,
    /// Since when cert-manager's injector has something to do.
    injector_late: Option<Instant>,
}

/// For a handshake, unless lives are short.
const PATIENCE: Duration = Duration::from_secs(2);
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(30);
/// Of an API server that isn't well, which is soon back.
const LAST_RETRY_UNWELL: Duration = Duration::from_secs(10);

// === impl Keeper ===

impl Keeper {
    pub(super) fn new(context: Context, watched: Watched) -> Self {
        let (stack, endpoints) = (context.stack.clone(), context.endpoints.clone());
        Self { context, watched, stack, endpoints, good: None, failures: 0, unseen: Vec::new(), injector_late: None }
    }

    /// Never returns.
    pub(super) async fn run(mut self) {
        loop {
            let stack = self.stack.borrow_and_update().clone();
            let endpoints = self.endpoints.borrow_and_update().clone();
            let again = match (stack, endpoints) {
                (Some(stack), Some(endpoints)) => self.step(&stack, &endpoints).await,
                (Some(_), None) => None,
                (None, _) => {
                    self.context.status.report(|reports| {
                        reports.take_back(ConditionType::CertificateReady);
                        reports.certificates = None;
                    });
                    None
                }
            };
            tokio::select! {
                () = sleep(again.unwrap_or_default()), if again.is_some() => {}
                Ok(()) = self.stack.changed() => {}
                Ok(()) = self.endpoints.changed() => {}
                () = self.watched.changed() => {}
            }
        }
    }

    /// Tells when to look again, if nothing changes before.
    async fn step(&mut self, stack: &Stack, endpoints: &[Endpoint]) -> Option<Duration> {
        let invalid = match settings(stack, &self.context.namespace, self.good.as_ref()) {
            Ok(settings) => {
                self.good = Some(settings);
                None
            }
            Err(fault) => Some(fault),
        };
        let Some(settings) = self.good.clone() else {
            let verdict = Verdict::new(Reason::InvalidSpec, invalid.unwrap_or_default(), stack.generation);
            self.context.status.report(|reports| reports.say(ConditionType::CertificateReady, verdict));
            return None;
        };
        let patience = PATIENCE.min(settings.leaf_lifetime / 10);
        // Before the rest, which is quick: nothing of what is planned with may be old.
        let endpoints = handshake::look_at(endpoints, settings.name(), patience).await;
        // A list that fails for good wakes nobody.
        let Some(look) = self.watched.look(&self.context.state.source) else { return Some(settings.poll()) };
        let observed = look.observed(endpoints, &stack.owner());
        let plan = plan(&observed, &settings, Timestamp::now());
        self.injector_late =
            (plan.phase == Phase::WaitingForInjector).then(|| self.injector_late.unwrap_or_else(Instant::now));
        let fight = self.watched.contests.fight(plan.action.as_ref(), &settings, Instant::now());
        if self.failures == 0 || plan.action.is_none() {
            self.report(stack, &settings, &plan, fight.as_ref(), invalid);
        }
        self.unseen = plan.unseen;
        let left = fight.map(|fight| fight.contested.wait());
        let Some(action) = plan.action else {
            return Some(left.map_or(plan.look_again, |left| left.min(plan.look_again)));
        };
        if left.is_some() {
            return left;
        }
        match self.watched.write(&self.context, &look, action, &observed, &settings, stack.owner()).await {
            Ok(()) => {
                self.failures = 0;
                Some(plan.look_again)
            }
            Err(fault) => Some(self.failed(stack, &fault)),
        }
    }

    fn report(&self, stack: &Stack, settings: &Settings, plan: &Plan, fight: Option<&Fight>, invalid: Option<String>) {
        let source = self.context.state.source.failure().filter(|_| settings.provider != Provider::Otelgate);
        let verdict = match (invalid, source) {
            (Some(fault), _) => Verdict::new(Reason::InvalidSpec, fault, stack.generation),
            (None, Some(fault)) => verdict::not_readable(&settings.secret, &fault, stack.generation),
            (None, None) => {
                // One look that comes to nothing says little.
                let twice: Vec<_> = plan.unseen.iter().filter(|name| self.unseen.contains(name)).cloned().collect();
                let waits = self.injector_late.is_some_and(|since| since.elapsed() >= settings.settle());
                verdict::verdict(plan, fight, &twice, waits, stack.generation)
            }
        };
        let status = verdict::status(plan, settings);
        self.context.status.report(|reports| {
            reports.say(ConditionType::CertificateReady, verdict);
            reports.certificates = Some(status);
        });
    }

    /// Later each time, and never at the same time as another controller that met the same fault.
    fn failed(&mut self, stack: &Stack, fault: &Fault) -> Duration {
        warn!(error.message = %fault, "the certificate can't be kept; trying again");
        let verdict = verdict::not_written(fault, stack.generation);
        self.context.status.report(|reports| reports.say(ConditionType::CertificateReady, verdict));
        let delay = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(self.failures));
        let delay = delay.min(if fault.passes() { LAST_RETRY_UNWELL } else { LAST_RETRY });
        self.failures = (self.failures + 1).min(16);
        jitter::spread(delay / 2, 2.0 * jitter::any())
    }
}

/// A configuration with a fault is told elsewhere; it mustn't keep the certificate from being renewed.
fn settings(stack: &Stack, namespace: &str, good: Option<&Settings>) -> Result<Settings, String> {
    let document = injection::document(&stack.injection, namespace);
    let certificates = stack.certificates.as_ref().map_err(Clone::clone)?;
    let is_faulty = document.is_err();
    let domain = document.unwrap_or_default().cluster_domain;
    let mut settings = Settings::new(certificates, namespace, &domain).map_err(|fault| format!("spec.{fault}"))?;
    if let (true, Some(good)) = (is_faulty, good) {
        settings.names.clone_from(&good.names);
    }
    Ok(settings)
}
