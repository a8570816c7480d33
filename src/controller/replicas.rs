//! Asks the webhook's replicas what they serve, and says whether that is what the spec says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::cluster_domain::ClusterDomain;
use super::configuration::{Outcome, Wanted};
use super::endpoints::{Endpoint, Endpoints};
use super::status::Verdict;
use super::{Context, plain};
use crate::api::condition::{ConditionType, Reason};
use crate::api::object;
use crate::api::replica::{self, Replica};
use crate::api::stack::WebhookStatus;
use crate::words::{count, some_of};

/// A replica, and what it says of itself.
#[derive(Clone, Debug)]
pub struct Asked {
    pub name: String,
    pub answer: Result<Replica, String>,
}

/// A domain whose names lead nowhere in this cluster.
#[derive(Clone, Copy, Debug)]
pub struct Lost<'a> {
    told: &'a str,
    own: &'a str,
}

/// How long one has for its answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// At a time.
const AT_ONCE: usize = 16;
/// While not all serve what they should.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// A replica may have started with something older since.
const ASK_EVERY: Duration = Duration::from_secs(15);
const MAX_ANSWER: usize = 64 << 10;
/// Names in a message.
const MAX_NAMES: usize = 3;

/// Asks whenever something changed, and reports. Never returns.
pub async fn run(
    context: Context,
    mut wanted: watch::Receiver<Option<Wanted>>,
    mut missing: watch::Receiver<Arc<[String]>>,
) {
    let mut endpoints = context.endpoints.clone();
    let cluster = ClusterDomain::read().await;
    loop {
        let now = wanted.borrow_and_update().clone();
        let lacking = Arc::clone(&missing.borrow_and_update());
        let there: Endpoints = endpoints.borrow_and_update().clone();
        let mut delay = ASK_EVERY;
        match (now, there) {
            (Some(now), Some(there)) => {
                let asked = ask_all(&there).await;
                let lost = now.lost(&cluster).await;
                let verdict = verdict(&now, &lacking, lost, &asked);
                if matches!(verdict.reason, Reason::NotInForce | Reason::NoReplica) {
                    delay = ASK_AGAIN;
                }
                let webhook = summary(&now, &there, &asked);
                context.status.report(|reports| {
                    reports.say(ConditionType::ConfigurationAccepted, verdict);
                    reports.webhook = Some(webhook);
                });
            }
            (None, _) => context.status.report(|reports| {
                reports.take_back(ConditionType::ConfigurationAccepted);
                reports.webhook = None;
            }),
            (Some(_), None) => {}
        }
        tokio::select! {
            () = sleep(delay) => {}
            Ok(()) = wanted.changed() => {}
            Ok(()) = missing.changed() => {}
            Ok(()) = endpoints.changed() => {}
        }
    }
}

impl Wanted {
    /// The domain of the name that pods are told, where it leads nowhere.
    async fn lost<'a>(&'a self, cluster: &'a ClusterDomain) -> Option<Lost<'a>> {
        let Outcome::Written { domain: Some(told), .. } = &self.outcome else { return None };
        Some(Lost { told, own: cluster.instead_of(told).await? })
    }
}

/// What was seen, as the condition has it.
#[must_use]
pub fn verdict(wanted: &Wanted, lacking: &[String], lost: Option<Lost<'_>>, asked: &[Asked]) -> Verdict {
    let of = |reason, detail: String| Verdict::new(reason, detail, wanted.generation);
    let revision = match &wanted.outcome {
        Outcome::Invalid(fault) => return of(Reason::InvalidSpec, fault.to_string()),
        Outcome::NotWritten(fault) => return of(Reason::NotWritten, fault.clone()),
        Outcome::Contested(by) => {
            return of(
                Reason::ConfigurationContested,
                format!("ConfigMap {} is changed back each time by {by}", object::INJECTION),
            );
        }
        Outcome::Written { revision, .. } => revision,
    };
    if !lacking.is_empty() {
        return of(Reason::SchemaOutdated, format!("the cluster's CRD lacks {}", some_of(lacking)));
    }
    if let Some(Lost { told, own }) = lost {
        return of(
            Reason::OtherClusterDomain,
            format!("pods are told a name of {told}, and this cluster's domain is {own}"),
        );
    }
    if asked.is_empty() {
        return of(Reason::NoReplica, String::new());
    }
    let behind = behind(asked, revision);
    if behind.is_empty() {
        return of(
            Reason::InForce,
            format!("revision {revision} is in force in {}", count(asked.len(), "ready replica")),
        );
    }
    of(Reason::NotInForce, format!("revision {revision} isn't in force in {}", some_of(&behind)))
}

/// The same in numbers.
#[must_use]
pub fn summary(wanted: &Wanted, endpoints: &[Endpoint], asked: &[Asked]) -> WebhookStatus {
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let (revision, hash) = match &wanted.outcome {
        Outcome::Written { revision, hash, .. } => (Some(revision.clone()), Some(hash.clone())),
        Outcome::Invalid(_) | Outcome::NotWritten(_) | Outcome::Contested(_) => (None, None),
    };
    let mut late = revision.as_ref().map_or_else(Vec::new, |revision| behind(asked, revision));
    // Without a wanted one, those that serve any count: the last good one is in force.
    let serves = |one: &Asked| {
        let serving = one.answer.as_ref().ok().and_then(|replica| replica.configuration.as_ref());
        serving.is_some_and(|serving| revision.as_ref().is_none_or(|revision| serving.revision == *revision))
    };
    let serving = asked.iter().filter(|one| serves(one)).count();
    late.truncate(MAX_NAMES);
    WebhookStatus {
        serving: format!("{serving}/{}", endpoints.len()),
        ready: number(asked.len()),
        replicas: number(endpoints.len()),
        revision,
        hash,
        behind: late,
    }
}

/// Those that don't serve it, each with what it does instead.
fn behind(asked: &[Asked], revision: &str) -> Vec<String> {
    let late = |one: &Asked| {
        let does = match &one.answer {
            Err(fault) => fault.clone(),
            Ok(Replica { configuration: None, .. }) => "serves none".to_owned(),
            Ok(Replica { configuration: Some(serving), .. }) if serving.revision == revision => return None,
            Ok(Replica { configuration: Some(serving), .. }) => format!("serves {}", serving.revision),
        };
        Some(format!("{} ({does})", one.name))
    };
    asked.iter().filter_map(late).collect()
}

/// Asks those that the API server may call, in the order of the endpoints.
async fn ask_all(endpoints: &[Endpoint]) -> Vec<Asked> {
    let ready: Vec<Endpoint> = endpoints.iter().filter(|one| one.ready).cloned().collect();
    let asking = ready.into_iter().map(|endpoint| async move {
        let name = endpoint.name();
        let Some(port) = endpoint.admin else {
            return Asked { name, answer: Err("Service otelgate-webhook has no port named admin".to_owned()) };
        };
        let asked = timeout(PATIENCE, ask(SocketAddr::new(endpoint.address, port))).await;
        let answer = asked.unwrap_or_else(|_| Err(plain::silence(port)));
        Asked { name, answer }
    });
    stream::iter(asking).buffered(AT_ONCE).collect().await
}

async fn ask(address: SocketAddr) -> Result<Replica, String> {
    let unreadable = || "says what this version can't read".to_owned();
    let mut answer = Vec::new();
    let take = |piece: &[u8]| {
        answer.extend_from_slice(piece);
        if answer.len() > MAX_ANSWER { Err(unreadable()) } else { Ok(()) }
    };
    plain::get(address, replica::PATH, take).await?;
    serde_json::from_slice(&answer).map_err(|_| unreadable())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::OptIn;
    use crate::api::replica::Configuration;
    use crate::controller::injection;

    fn asked(name: &str, revision: Option<&str>) -> Asked {
        let configuration = revision.map(|revision| Configuration {
            hash: "h".to_owned(),
            revision: revision.to_owned(),
            mode: OptIn::Enabled,
        });
        let replica = Replica { version: "1".to_owned(), configuration, certificate: None };
        Asked { name: name.to_owned(), answer: Ok(replica) }
    }

    fn silent(name: &str) -> Asked {
        Asked { name: name.to_owned(), answer: Err("no answer on port 1".to_owned()) }
    }

    fn wanted(outcome: Outcome) -> Wanted {
        Wanted { generation: 3, outcome }
    }

    fn written() -> Wanted {
        wanted(Outcome::Written { revision: "r2".to_owned(), hash: "h".to_owned(), domain: None })
    }

    #[test]
    fn the_verdicts() {
        let path = [".spec.injection.mode".to_owned()];
        let invalid = injection::document(&serde_json::json!({"mode": "off"}), "otelgate").expect_err("a fault");
        let all_old: Vec<_> = (0..5).map(|n| asked(&format!("p{n}"), Some("r1"))).collect();
        for (wanted, lacking, asked, reason, detail) in [
            (written(), &[][..], vec![], Reason::NoReplica, ""),
            (
                written(),
                &[],
                vec![asked("a", Some("r2"))],
                Reason::InForce,
                "revision r2 is in force in 1 ready replica",
            ),
            (
                written(),
                &[],
                vec![asked("a", Some("r2")), asked("b", Some("r1")), asked("c", None), silent("d")],
                Reason::NotInForce,
                "revision r2 isn't in force in b (serves r1), c (serves none), d (no answer on port 1)",
            ),
            (
                written(),
                &[],
                all_old,
                Reason::NotInForce,
                "revision r2 isn't in force in p0 (serves r1), p1 (serves r1), p2 (serves r1) and 2 more",
            ),
            (
                written(),
                &path,
                vec![asked("a", Some("r2"))],
                Reason::SchemaOutdated,
                "the cluster's CRD lacks .spec.injection.mode",
            ),
            (wanted(Outcome::NotWritten("no".to_owned())), &path, vec![], Reason::NotWritten, "no"),
            (
                wanted(Outcome::Invalid(invalid)),
                &path,
                vec![asked("a", Some("r1"))],
                Reason::InvalidSpec,
                "spec.injection.mode: \"off\" isn't one of enabled, observe, disabled",
            ),
            (
                wanted(Outcome::Contested("tug".to_owned())),
                &[],
                vec![asked("a", Some("r2"))],
                Reason::ConfigurationContested,
                "ConfigMap otelgate-injection is changed back each time by tug",
            ),
        ] {
            let verdict = verdict(&wanted, lacking, None, &asked);
            assert_eq!((verdict.reason, verdict.detail.as_str(), verdict.generation), (reason, detail, 3));
        }
        let lost = Some(Lost { told: "example.org", own: "cluster.local" });
        let verdict = verdict(&written(), &[], lost, &[asked("a", Some("r2"))]);
        let detail = "pods are told a name of example.org, and this cluster's domain is cluster.local";
        assert_eq!((verdict.reason, verdict.detail.as_str()), (Reason::OtherClusterDomain, detail));
    }

    #[test]
    fn the_numbers() {
        let endpoint = |ready: bool| Endpoint {
            address: [10, 0, 0, 1].into(),
            webhook: Some(8443),
            admin: Some(8080),
            pod: None,
            ready,
            serving: ready,
        };
        let endpoints = [endpoint(true), endpoint(true), endpoint(false)];
        let two = [asked("a", Some("r2")), asked("b", Some("r1"))];
        let told = summary(&written(), &endpoints, &two);
        assert_eq!((told.serving.as_str(), told.ready, told.replicas), ("1/3", 2, 3));
        assert_eq!((told.revision.as_deref(), told.behind.as_slice()), (Some("r2"), &["b (serves r1)".to_owned()][..]));
        let told = summary(&wanted(Outcome::NotWritten(String::new())), &endpoints, &two);
        assert_eq!((told.serving.as_str(), told.revision, told.behind.len()), ("2/3", None, 0));
    }

    #[tokio::test]
    async fn a_replica_that_isnt_there_is_no_fault_of_ours() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        drop(listener);
        let fault = ask(address).await.expect_err("nobody is there");
        assert_eq!(fault, format!("nothing listens on port {}", address.port()));
    }
}
