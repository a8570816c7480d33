//! Tries a pod and shakes hands, every minute and when something has changed.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::sleep;

use super::verdict::{Observed, Tried, verdict};
use crate::api::condition::{ConditionType, Reason};
use crate::api::object;
use crate::controller::Context;
use crate::controller::certificates::handshake;
use crate::controller::certificates::observe::Registration;
use crate::controller::certificates::{Registered, Seen, bundles};
use crate::controller::endpoints::Endpoint;
use crate::controller::health::ProbeOutcome;
use crate::k8s;
use crate::probe::{self, Probe};

const EVERY: Duration = Duration::from_mins(1);
/// While it isn't as it should be.
const AGAIN: Duration = Duration::from_secs(10);
/// After the first time that it isn't: one look says little while replicas come and go.
const TO_BE_SURE: Duration = Duration::from_secs(2);
/// Changes that come together are looked at together.
const SETTLE: Duration = Duration::from_secs(1);
/// For a handshake.
const PATIENCE: Duration = Duration::from_secs(2);
/// Who tries, in the pod's label.
const BY: &str = "probe";

/// Never returns.
pub async fn run(context: Context, mut registration: watch::Receiver<Seen<Registered>>) {
    let (mut stack, mut endpoints) = (context.stack.clone(), context.endpoints.clone());
    let mut doubted = false;
    loop {
        let now = stack.borrow_and_update().clone();
        let there = endpoints.borrow_and_update().clone();
        let registered = registration.borrow_and_update().clone();
        let mut again = None;
        match (now, there, registered) {
            (None, ..) => {
                doubted = false;
                context.status.report(|reports| reports.take_back(ConditionType::WebhookReachable));
            }
            (Some(stack), Some(there), Some(registered)) => {
                let observed = observe(&context, &there, registered.as_ref()).await;
                let verdict = verdict(&observed, Timestamp::now(), stack.generation);
                let (is_sure, pause) = weigh(verdict.reason, doubted);
                doubted = verdict.reason != Reason::Reachable;
                again = Some(pause);
                if is_sure {
                    context.status.report(|reports| reports.say(ConditionType::WebhookReachable, verdict));
                }
            }
            (Some(_), ..) => {}
        }
        tokio::select! {
            () = sleep(again.unwrap_or_default()), if again.is_some() => {}
            Ok(()) = stack.changed() => {}
            Ok(()) = endpoints.changed() => sleep(SETTLE).await,
            Ok(()) = registration.changed() => sleep(SETTLE).await,
        }
    }
}

/// Whether what was found is told, and when to look again. `doubted`: whether the look before found a fault, too.
fn weigh(reason: Reason, doubted: bool) -> (bool, Duration) {
    // That nobody is there is plain at once.
    let is_sure = doubted || matches!(reason, Reason::Reachable | Reason::NoReplica | Reason::NotRegistered);
    let pause = match reason {
        Reason::Reachable => EVERY,
        _ if is_sure => AGAIN,
        _ => TO_BE_SURE,
    };
    (is_sure, pause)
}

async fn observe(context: &Context, endpoints: &[Endpoint], registered: Option<&Registered>) -> Observed {
    let name = format!("{}.{}.svc", object::WEBHOOK, context.namespace);
    let trusted = registered
        .map(|registered| Registration { bundles: bundles(&registered.object), ..Registration::default() }.trusted());
    let could_be_called = trusted.is_some() && endpoints.iter().any(|endpoint| endpoint.ready);
    let attempt = async { if could_be_called { Some(try_it(context).await) } else { None } };
    let (tried, endpoints) = tokio::join!(attempt, handshake::look_at(endpoints, &name, PATIENCE));
    Observed { trusted, name, endpoints, tried }
}

async fn try_it(context: &Context) -> Tried {
    let answer = k8s::in_time(probe::send(&context.client, &context.namespace, BY)).await;
    let health = Arc::clone(&context.state.probe);
    match &answer {
        Ok(_) => health.answered(),
        Err(error) => health.failed(error),
    }
    let tried = Tried::of(answer);
    context.state.measured.probed(match &tried {
        Tried::Back(Probe { marked: true, .. }) => ProbeOutcome::Marked,
        Tried::Back(Probe { warnings, .. }) if !warnings.is_empty() => ProbeOutcome::LetThrough,
        Tried::Back(_) => ProbeOutcome::Unmarked,
        Tried::Refused(_) | Tried::NotAllowed(_) => ProbeOutcome::Refused,
        Tried::Unanswered(_) => ProbeOutcome::Unanswered,
    });
    tried
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_when_it_was_found_twice_and_that_nobody_is_there_at_once() {
        for (reason, doubted, expected) in [
            (Reason::Reachable, false, (true, EVERY)),
            (Reason::Reachable, true, (true, EVERY)),
            (Reason::NotReached, false, (false, TO_BE_SURE)),
            (Reason::NotReached, true, (true, AGAIN)),
            (Reason::EndpointNotTrusted, false, (false, TO_BE_SURE)),
            (Reason::ProbeUnanswered, true, (true, AGAIN)),
            (Reason::NoReplica, false, (true, AGAIN)),
            (Reason::NotRegistered, false, (true, AGAIN)),
            (Reason::NoReplica, true, (true, AGAIN)),
        ] {
            assert_eq!(weigh(reason, doubted), expected, "{reason:?}, doubted before: {doubted}");
        }
    }
}
