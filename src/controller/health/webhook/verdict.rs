//! How it stands with the way to the webhook, in words: pure, from what was tried.

use jiff::Timestamp;

use crate::api::condition::Reason;
use crate::controller::certificates::observe::Endpoint;
use crate::controller::status::Verdict;
use crate::k8s;
use crate::probe::Probe;
use crate::tls::Bundle;
use crate::unavailable::Unavailable;
use crate::words::some_of;

/// How the pod of a probe fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    Back(Probe),
    /// By a quota, or by whoever else admits pods: in the API server's words.
    Refused(String),
    /// The controller may not create it.
    NotAllowed(String),
    Unanswered(String),
}

/// What was seen at one time.
#[derive(Clone, Debug)]
pub struct Observed {
    /// What every entry of the registration trusts; `None` where there is no registration.
    pub trusted: Option<Bundle>,
    /// The name that the API server verifies.
    pub name: String,
    /// All of the webhook's Service, with what each showed in a handshake.
    pub endpoints: Vec<Endpoint>,
    /// Nothing where nobody could have been called.
    pub tried: Option<Tried>,
}

// === impl Tried ===

impl Tried {
    #[must_use]
    pub fn of(answer: k8s::Result<Probe>) -> Self {
        let error = match answer {
            Ok(probe) => return Self::Back(probe),
            Err(error) => error,
        };
        let code = if let k8s::Error::Api(status) = &error { status.code } else { 0 };
        match Unavailable::of(&error) {
            fault @ Unavailable::Forbidden { .. } => Self::NotAllowed(fault.to_string()),
            // It says that it is busy, which says nothing of the pod.
            fault if [429, 503, 504].contains(&code) => Self::Unanswered(fault.to_string()),
            Unavailable::Refused { why } => Self::Refused(why),
            fault => Self::Unanswered(fault.to_string()),
        }
    }
}

/// What the condition says.
#[must_use]
pub fn verdict(observed: &Observed, now: Timestamp, generation: i64) -> Verdict {
    let of = |reason, detail: String| Verdict::new(reason, detail, generation);
    let Observed { trusted, name, endpoints, tried } = observed;
    let Some(trusted) = trusted else { return of(Reason::NotRegistered, String::new()) };
    let ready: Vec<&Endpoint> = endpoints.iter().filter(|endpoint| endpoint.ready).collect();
    if ready.is_empty() {
        return of(Reason::NoReplica, "no replica of the webhook is ready, so that pods pass without it".to_owned());
    }
    let is_untrusted =
        |one: &&&Endpoint| one.serves.as_ref().is_some_and(|chain| !chain.is_trusted_by(trusted, name, now));
    let untrusted: Vec<_> = ready.iter().filter(is_untrusted).map(|one| one.pod.as_str()).collect();
    if !untrusted.is_empty() {
        let detail = if trusted.is_empty() {
            "the registration has no caBundle that every entry trusts".to_owned()
        } else {
            format!("caBundle doesn't verify the certificate of {}", some_of(&untrusted))
        };
        return of(Reason::EndpointNotTrusted, detail);
    }
    let unseen: Vec<_> = ready.iter().filter(|one| one.serves.is_none()).map(|one| one.pod.as_str()).collect();
    let not_reached = || of(Reason::EndpointNotReached, format!("no TLS handshake with {}", some_of(&unseen)));
    match tried {
        Some(Tried::Back(Probe { marked: true, .. })) if unseen.is_empty() => {
            let count = ready.len();
            let endpoints =
                if count == 1 { "the one endpoint".to_owned() } else { format!("each of {count} endpoints") };
            of(Reason::Reachable, format!("a pod came back with the webhook's mark, and {endpoints} is trusted"))
        }
        Some(Tried::Back(Probe { marked: true, .. })) => not_reached(),
        Some(Tried::Back(Probe { warnings, .. })) if !warnings.is_empty() => {
            of(Reason::LetThrough, format!("the webhook let a pod through unchanged: {}", warnings.join("; ")))
        }
        Some(Tried::Back(_)) if unseen.len() == ready.len() => not_reached(),
        Some(Tried::Back(_)) => of(Reason::NotReached, String::new()),
        Some(Tried::Refused(why)) => of(Reason::ProbeRefused, format!("the pod of the probe is refused: {why}")),
        Some(Tried::NotAllowed(why)) => of(Reason::ProbeNotAllowed, why.clone()),
        Some(Tried::Unanswered(why)) => of(Reason::ProbeUnanswered, why.clone()),
        None => of(Reason::NotLookedAt, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Chain;
    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::CertificateDer;

    const NAME: &str = "otelgate-webhook.otelgate.svc";

    /// A certificate that is its own authority.
    fn certificate() -> CertificateDer<'static> {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![NAME.to_owned()]).expect("a name");
        params.self_signed(&key).expect("a certificate").der().clone()
    }

    fn endpoint(pod: &str, ready: bool, shown: Option<&CertificateDer<'static>>) -> Endpoint {
        Endpoint { pod: pod.to_owned(), ready, serves: shown.and_then(|shown| Chain::new([shown.clone()])) }
    }

    fn bundle(of: &CertificateDer<'static>) -> Bundle {
        Bundle::read(Chain::new([of.clone()]).expect("a certificate").pem().as_bytes())
    }

    fn refused(code: u16, message: &str) -> Tried {
        Tried::of(Err(k8s::Error::Api(k8s::Status::failure(message, "").with_code(code).boxed())))
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn every_cause_has_its_reason() {
        let (own, other) = (certificate(), certificate());
        let back = |marked: bool, warnings: &[&str]| {
            Some(Tried::Back(Probe { marked, warnings: warnings.iter().map(|&text| text.to_owned()).collect() }))
        };
        let [a, b] = ["a", "b"].map(|pod| endpoint(pod, true, Some(&own)));
        let both = || vec![a.clone(), b.clone()];
        let quota = "pods \"otelgate-x\" is forbidden: exceeded quota: small, requested: pods=1";
        let right = r#"pods is forbidden: User "system:serviceaccount:otelgate:otelgate-controller" cannot create resource "pods" in API group "" in the namespace "otelgate""#;
        for (trusted, endpoints, tried, reason, detail) in [
            (
                Some(bundle(&own)),
                both(),
                back(true, &[]),
                Reason::Reachable,
                "a pod came back with the webhook's mark, and each of 2 endpoints is trusted",
            ),
            (
                Some(bundle(&own)),
                vec![a.clone(), endpoint("c", false, None)],
                back(true, &[]),
                Reason::Reachable,
                "a pod came back with the webhook's mark, and the one endpoint is trusted",
            ),
            (None, both(), None, Reason::NotRegistered, ""),
            (
                Some(bundle(&own)),
                vec![],
                None,
                Reason::NoReplica,
                "no replica of the webhook is ready, so that pods pass without it",
            ),
            (
                Some(bundle(&own)),
                vec![endpoint("c", false, Some(&own))],
                None,
                Reason::NoReplica,
                "no replica of the webhook is ready, so that pods pass without it",
            ),
            (
                Some(bundle(&other)),
                both(),
                back(false, &[]),
                Reason::EndpointNotTrusted,
                "caBundle doesn't verify the certificate of a, b",
            ),
            (
                Some(bundle(&own)),
                vec![a.clone(), endpoint("c", true, Some(&other))],
                back(true, &[]),
                Reason::EndpointNotTrusted,
                "caBundle doesn't verify the certificate of c",
            ),
            (
                Some(Bundle::default()),
                both(),
                back(false, &[]),
                Reason::EndpointNotTrusted,
                "the registration has no caBundle that every entry trusts",
            ),
            (
                Some(bundle(&own)),
                vec![a.clone(), endpoint("c", true, None)],
                back(true, &[]),
                Reason::EndpointNotReached,
                "no TLS handshake with c",
            ),
            (
                Some(bundle(&own)),
                vec![endpoint("c", true, None)],
                back(false, &[]),
                Reason::EndpointNotReached,
                "no TLS handshake with c",
            ),
            (Some(bundle(&own)), both(), back(false, &[]), Reason::NotReached, ""),
            (Some(bundle(&own)), vec![a.clone(), endpoint("c", true, None)], back(false, &[]), Reason::NotReached, ""),
            (
                Some(bundle(&own)),
                both(),
                back(false, &["otelgate: Overloaded: x"]),
                Reason::LetThrough,
                "the webhook let a pod through unchanged: otelgate: Overloaded: x",
            ),
            (
                Some(bundle(&own)),
                both(),
                Some(refused(403, quota)),
                Reason::ProbeRefused,
                "the pod of the probe is refused: pods \"otelgate-x\" is forbidden: exceeded quota: small, requested: pods=1",
            ),
            (
                Some(bundle(&own)),
                both(),
                Some(refused(500, "failed calling webhook \"other\"")),
                Reason::ProbeRefused,
                "the pod of the probe is refused: failed calling webhook \"other\"",
            ),
            (
                Some(bundle(&own)),
                both(),
                Some(refused(403, right)),
                Reason::ProbeNotAllowed,
                "not allowed to create pods in namespace otelgate",
            ),
            (
                Some(bundle(&own)),
                both(),
                Some(refused(429, "too many requests")),
                Reason::ProbeUnanswered,
                "the API server refused: too many requests",
            ),
            (
                Some(bundle(&own)),
                both(),
                Some(refused(401, "")),
                Reason::ProbeUnanswered,
                "the API server doesn't accept these credentials",
            ),
        ] {
            let observed = Observed { trusted, name: NAME.to_owned(), endpoints, tried: tried.clone() };
            let verdict = verdict(&observed, Timestamp::now(), 3);
            assert_eq!((verdict.reason, verdict.detail.as_str(), verdict.generation), (reason, detail, 3), "{tried:?}");
        }
    }
}
