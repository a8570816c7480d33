//! How the webhook's certificate stands, in words: the condition, and the status.

use super::contests::Fight;
use super::plan::{Phase, Plan};
use super::settings::Settings;
use super::write::Fault;
use crate::api::condition::Reason;
use crate::api::stack::CertificatesStatus;
use crate::controller::status::Verdict;
use crate::words::some_of;

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

/// What it says where the Secret that is asked for can't be looked at.
pub(super) fn not_readable(secret: &str, fault: &str, generation: i64) -> Verdict {
    Verdict::new(Reason::SourceNotReadable, format!("Secret {secret} can't be looked at: {fault}"), generation)
}

/// What it says where the next step can't be made.
pub(super) fn not_written(fault: &Fault, generation: i64) -> Verdict {
    Verdict::new(Reason::CertificateNotWritten, fault.to_string(), generation)
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
    use super::super::perform::PerformError;
    use super::*;
    use crate::controller::contest::{Contested, Undoing};
    use crate::k8s;
    use crate::tls::authority::MakingFailed;

    /// Of a webhook that is well.
    fn plan() -> Plan {
        Plan {
            action: None,
            phase: Phase::Stable,
            fault: None,
            untrusted: Vec::new(),
            unseen: Vec::new(),
            registered: true,
            look_again: Duration::ZERO,
            leaf_not_after: Some("2027-01-15T08:00:00Z".parse().expect("a time")),
            authority_not_after: None,
        }
    }

    fn names(count: usize) -> Vec<String> {
        (1..=count).map(|number| format!("webhook-{number}")).collect()
    }

    /// What a plan says where the injector has had its time, with replicas that showed nothing.
    fn told(plan: &Plan, unseen: &[String], fight: Option<&Fight>) -> (Reason, String) {
        let verdict = verdict(plan, fight, unseen, true, 1);
        (verdict.reason, verdict.detail)
    }

    #[test]
    fn every_cause_is_told() {
        let waits = || Plan { phase: Phase::WaitingForInjector, ..plan() };
        for (plan, unseen, reason, detail) in [
            (plan(), 0, Reason::Trusted, "every replica's certificate is trusted, until 2027-01-15T08:00:00Z"),
            (Plan { leaf_not_after: None, ..plan() }, 0, Reason::Trusted, ""),
            (Plan { phase: Phase::Trusting, ..plan() }, 0, Reason::Rotating, ""),
            (Plan { phase: Phase::Switching, ..plan() }, 0, Reason::Rotating, ""),
            (Plan { phase: Phase::WaitingForSource, ..plan() }, 0, Reason::Rotating, ""),
            (
                Plan { fault: Some("Secret x: no key".to_owned()), ..plan() },
                0,
                Reason::SourceUnusable,
                "Secret x: no key",
            ),
            (Plan { registered: false, ..plan() }, 0, Reason::NotRegistered, ""),
            (waits(), 0, Reason::NotInjected, ""),
            (Plan { untrusted: names(1), ..plan() }, 1, Reason::NotTrusted, "no call of webhook-1 can succeed"),
            (
                Plan { untrusted: names(5), ..plan() },
                0,
                Reason::NotTrusted,
                "no call of webhook-1, webhook-2, webhook-3 and 2 more can succeed",
            ),
            (plan(), 2, Reason::NotSeen, "no TLS handshake with webhook-1, webhook-2"),
            // What is worse is told first.
            (Plan { fault: Some("no".to_owned()), registered: false, ..waits() }, 2, Reason::SourceUnusable, "no"),
            (Plan { registered: false, untrusted: names(1), ..waits() }, 2, Reason::NotRegistered, ""),
            (Plan { untrusted: names(1), ..waits() }, 2, Reason::NotInjected, ""),
        ] {
            assert_eq!(told(&plan, &names(unseen), None), (reason, detail.to_owned()), "{plan:?}");
        }
        assert_eq!(verdict(&waits(), None, &[], false, 1).reason, Reason::Rotating, "it has its time");
    }

    #[test]
    fn who_else_writes_is_told_before_what_comes_of_it() {
        let plan = Plan { untrusted: names(1), ..plan() };
        let how = Undoing::ChangedBack;
        let tug = |over| Fight { over, contested: Contested { how, by: "tug".to_owned(), until: Instant::now() } };
        let (bundle, secret) = (tug(Over::Registration), tug(Over::Secret("otelgate-ca")));
        for (fight, reason, detail) in [
            (&bundle, Reason::RegistrationContested, "caBundle is changed back each time by tug"),
            (&secret, Reason::CertificateContested, "Secret otelgate-ca is changed back each time by tug"),
        ] {
            assert_eq!(told(&plan, &[], Some(fight)), (reason, detail.to_owned()));
        }
    }

    /// Nothing of the Secret has to be corrected.
    #[test]
    fn a_source_that_cant_be_looked_at_is_told_with_the_right_that_is_missing() {
        let verdict = not_readable("other", "not allowed to list secrets in namespace otelgate", 3);
        let detail = "Secret other can't be looked at: not allowed to list secrets in namespace otelgate";
        assert_eq!(verdict, Verdict::new(Reason::SourceNotReadable, detail, 3));
        assert!(verdict.message().contains("; next step: give the controller the right"), "{}", verdict.message());
    }

    #[test]
    fn what_cant_be_written_is_told_in_the_api_servers_words() {
        let forbidden = r#"secrets is forbidden: User "u" cannot create resource "secrets" in API group "" in the namespace "otelgate""#;
        let refused = k8s::Error::Api(k8s::Status::failure(forbidden, "Forbidden").with_code(403).boxed());
        for (fault, detail) in [
            (Fault::Refused(refused), "not allowed to create secrets in namespace otelgate"),
            (
                Fault::Perform(PerformError::from(MakingFailed::Random)),
                "no certificate could be made: the system gives no random numbers; check that /dev/urandom can be read",
            ),
        ] {
            let verdict = not_written(&fault, 1);
            assert_eq!((verdict.reason, verdict.detail.as_str()), (Reason::CertificateNotWritten, detail));
        }
    }
}
