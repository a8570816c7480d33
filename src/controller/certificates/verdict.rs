//! How the webhook's certificate stands, in words: the condition, and the status.

use super::contests::Fight;
use super::plan::{Phase, Plan};
use super::settings::Settings;
use crate::api::condition::Reason;
use crate::api::stack::CertificatesStatus;
use crate::controller::status::Verdict;

/// Names in a message.
const MAX_NAMES: usize = 3;

/// What the condition says of a plan, of who else writes what it is about, of replicas that haven't been seen for a while,
/// and of an injector that is late.
pub(super) fn verdict(plan: &Plan, fight: Option<&Fight>, unseen: &[String], waits: bool, generation: i64) -> Verdict {
    let of = |reason, detail: String| Verdict::new(reason, detail, generation);
    if let Some(fault) = &plan.fault {
        return of(Reason::SourceUnusable, fault.clone());
    }
    if !plan.registered {
        return of(Reason::NotRegistered, String::new());
    }
    if let Some((reason, detail)) = fight.map(Fight::told) {
        return of(reason, detail);
    }
    if plan.phase == Phase::WaitingForInjector && waits {
        return of(Reason::NotInjected, String::new());
    }
    if !plan.untrusted.is_empty() {
        return of(Reason::NotTrusted, format!("no call of {} can succeed", some_of(&plan.untrusted)));
    }
    if !unseen.is_empty() {
        return of(Reason::NotSeen, format!("no TLS handshake with {}", some_of(unseen)));
    }
    match plan.phase {
        Phase::Stable => {
            let end = plan.leaf_not_after.map(|end| format!("every replica's certificate is trusted, until {end}"));
            of(Reason::Trusted, end.unwrap_or_default())
        }
        Phase::Trusting | Phase::Switching | Phase::WaitingForInjector | Phase::WaitingForSource => {
            of(Reason::Rotating, String::new())
        }
    }
}

fn some_of(names: &[String]) -> String {
    let told = names.iter().take(MAX_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMES) {
        0 => told,
        further => format!("{told} and {further} more"),
    }
}

pub(super) fn status(plan: &Plan, settings: &Settings) -> CertificatesStatus {
    CertificatesStatus {
        provider: settings.provider,
        authority_not_after: plan.authority_not_after.map(|end| end.to_string()),
        leaf_not_after: plan.leaf_not_after.map(|end| end.to_string()),
        phase: Some(plan.phase.as_str().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::contests::Over;
    use super::*;
    use crate::controller::contest::Contested;

    #[test]
    fn who_else_writes_is_told_before_what_comes_of_it() {
        let plan = Plan {
            action: None,
            phase: Phase::Stable,
            fault: None,
            untrusted: vec!["webhook-a".to_owned()],
            unseen: Vec::new(),
            registered: true,
            look_again: Duration::ZERO,
            leaf_not_after: None,
            authority_not_after: None,
        };
        let tug = |over| Fight { over, contested: Contested { by: "tug".to_owned(), until: Instant::now() } };
        let (bundle, secret) = (tug(Over::Registration), tug(Over::Secret("otelgate-ca")));
        for (fight, reason, detail) in [
            (None, Reason::NotTrusted, "no call of webhook-a can succeed"),
            (Some(&bundle), Reason::RegistrationContested, "caBundle is changed back each time by tug"),
            (Some(&secret), Reason::CertificateContested, "Secret otelgate-ca is changed back each time by tug"),
        ] {
            let verdict = verdict(&plan, fight, &[], false, 1);
            assert_eq!((verdict.reason, verdict.detail.as_str()), (reason, detail));
        }
    }
}
