//! What is to be done: of what the controller finds as well, the same words.

use super::faults::{Plant, relabel, says, shaped, stack_of, unmarked};
use super::*;
use crate::api::condition::Reason;

/// Which check fails, what it says to do, and what is done to the cluster.
#[rustfmt::skip]
const STEPS: &[(&str, &str, Plant)] = &[
    ("stack", "look there; see https://github.com/otelgate/otelgate/blob/main/docs/reference/conditions.md#notwritten", |s| says(s, "ConfigurationAccepted", "NotWritten", "no right")),
    ("stack", "look there; see https://github.com/otelgate/otelgate/blob/main/docs/reference/conditions.md#notinforce", |s| says(s, "ConfigurationAccepted", "NotInForce", "not in a")),
    ("certificate-served", "look there; see https://github.com/otelgate/otelgate/blob/main/docs/reference/conditions.md#sourcenotreadable", |s| says(s, "CertificateReady", "SourceNotReadable", "no right")),
    ("credentials", "kubectl create secret generic datadog-secret -n datadog --from-file=api-key=FILE --dry-run=client -o yaml | kubectl apply -n datadog", |s| shaped(s, b"x")),
    ("credentials", "kubectl create secret generic datadog-secret -n datadog --from-file=api-key=FILE, where", |s| s.credentials = Ok(None)),
    ("credentials", "name the right one in spec.datadog.secret.key", |s| s.credentials = Ok(Some(Credentials { keys: Vec::new(), shape: None }))),
    ("probe", Reason::NotReached.next_step(), unmarked),
    ("probe", Reason::LetThrough.next_step(), |s| s.probe = Some(Ok(Probe { marked: false, warnings: vec!["otelgate: Overloaded: x".into()] }))),
    ("probe", "otelgate deploy --otelgate-namespace otelgate", |s| { unmarked(s); relabel(s, "otelgate", "kubernetes.azure.com/managedby", "aks"); }),
    ("collector", "the controller makes it: look at what collectors says", |s| s.collector = Ok(None)),
    ("collector", "install a Collector with that Service", |s| { s.collector = Ok(None); stack_of(s)["spec"]["collector"] = json!({"mode": "adopt"}); }),
    ("collector", "install a Collector with that Service", |s| { s.collector = Ok(None); s.stacks = Ok(Vec::new()); s.deployments.as_mut().unwrap().pop(); }),
];

#[test]
fn each_fault_has_its_next_step() {
    for (check, next, plant) in STEPS {
        let mut snapshot = healthy(Stage::After);
        plant(&mut snapshot);
        let line = run(&snapshot).into_iter().find(|one| one.check == *check).expect("a line");
        assert_eq!(line.result, Outcome::Fail, "{line:?}");
        assert!(line.next.contains(next), "{line:?} lacks {next:?}");
    }
}
