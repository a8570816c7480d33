//! The webhook's certificate through a real API server: made, renewed, rotated, lost and moved, while pods are created
//! all the time and none passes without a call.

mod day;
pub(super) mod load;
mod moves;
mod pages;

use std::path::Path;

use serde_json::{Value, json};

use super::OTELGATE;
use super::installed::condition;
use crate::control_plane::plane::{Parts, sum_of};
use crate::control_plane::process_nodes::ProcessNodes;
use crate::control_plane::programs::Helm;
use crate::control_plane::release::{NAMESPACE, Release};
use crate::control_plane::{ControlPlane, PATIENCE, Version, wait_for};
use load::{Load, SHOP};

const SERVING: &str = "secret/otelgate-webhook-tls";
const AUTHORITY: &str = "secret/otelgate-ca";
const REGISTRATION: &str = "mutatingwebhookconfiguration/otelgate";
const ADMIN: u16 = 8080;

/// Lives of seconds, in real time. Of each, a third is left when it is renewed: what is done by then takes seconds where
/// the machine is busy.
#[test]
fn ten_rotations_fail_no_call() {
    const ROTATIONS: u64 = 10;
    let plane = plane();
    let nodes = ProcessNodes::join(&plane, Path::new(OTELGATE));
    let lives = json!({"certificates": {"leafLifetime": "24s", "authorityLifetime": "36s"}});
    let release = Release::install(&nodes, Helm::Four, &lives);
    let cluster = Cluster { plane: &plane, release: &release };
    cluster.open_shop();
    let load = Load::start(&plane);
    let (authorities, certificates) = (cluster.writes("authority"), cluster.writes("certificate"));
    let mut done = 0;
    while done < ROTATIONS {
        let next = wait_for("the next authority", || {
            load.check();
            let now = cluster.writes("authority") - authorities;
            (now > done).then_some(now)
        });
        done = next.unwrap_or_else(|error| panic!("{error}: {}", nodes.last_words()));
    }
    load.wait_for(20);
    assert!(cluster.writes("certificate") - certificates >= ROTATIONS, "each needs a certificate of its own");
    assert!(load.made() > 500, "{} pods", load.made());
}

fn plane() -> ControlPlane {
    ControlPlane::start(Version::Newest, Parts::Whole).unwrap_or_else(|error| panic!("{error}"))
}

/// An installed otelgate, and what there is to see of its certificates.
struct Cluster<'n> {
    plane: &'n ControlPlane,
    release: &'n Release<'n>,
}

impl Cluster<'_> {
    /// A namespace that is opted in, once a pod in it is injected.
    #[track_caller]
    fn open_shop(&self) {
        self.plane.make_namespace(SHOP, &json!({"otelgate.dev/inject": "enabled"}), &json!({}));
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "first", "namespace": SHOP},
            "spec": {"containers": [{"name": "app", "image": "shop/app:1"}]},
        });
        wait_for("a pod to be injected", || {
            let arguments = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
            let made = self.plane.kubectl_with(&arguments, &pod.to_string()).json("a pod");
            made["metadata"]["annotations"]["otelgate.dev/status"].is_string().then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {}", self.words()));
    }

    fn words(&self) -> String {
        let stack = self.plane.kubectl(&["get", "telemetrystack", "default", "-o", "jsonpath={.status}"]).stdout;
        let replica = self.release.controller();
        let lines: Vec<String> = replica.log().lines().rev().take(30).map(str::to_owned).collect();
        format!("{stack}\n{}\n{}", lines.join("\n"), self.release.nodes.last_words())
    }

    /// A kind of write that the controller has counted.
    fn writes(&self, object: &str) -> u64 {
        let metrics = self.release.controller().http_get(ADMIN, "/metrics").expect("metrics");
        sum_of(&metrics, "otelgate_controller_writes_total", &[&format!("object=\"{object}\"")])
    }

    fn stack(&self) -> Value {
        self.plane.kubectl(&["get", "telemetrystack", "default", "-o", "json"]).json("the TelemetryStack")
    }

    /// A key of a Secret, as it stands there.
    fn secret(&self, name: &str, key: &str) -> Option<String> {
        let outcome = self.plane.kubectl(&["get", "-n", NAMESPACE, name, "-o", "json"]);
        let secret: Value = serde_json::from_str(&outcome.stdout).ok()?;
        secret["data"][key].as_str().filter(|value| !value.is_empty()).map(str::to_owned)
    }

    /// `caBundle` of each entry.
    fn bundles(&self) -> Vec<Value> {
        let registration = self.plane.get("", REGISTRATION);
        let entries = registration["webhooks"].as_array().expect("entries");
        entries.iter().map(|entry| entry["clientConfig"]["caBundle"].clone()).collect()
    }

    /// Until the certificate isn't `before` any more, every replica serves what stands in the Secret, and only its
    /// authority is trusted.
    #[track_caller]
    fn settles(&self, before: Option<&str>) -> String {
        wait_for("the certificates to settle", || {
            let certificate = self.secret(SERVING, "tls.crt")?;
            let stack = self.stack();
            let ready = condition(&stack, "CertificateReady")?;
            let bundle = self.secret(SERVING, "ca.crt")?;
            let settled = before != Some(&certificate)
                && ready["reason"] == "Trusted"
                && stack["status"]["certificates"]["phase"] == "Stable"
                && count(&bundle) == 1
                && self.bundles().iter().all(|trusted| is_trusted(&stack, trusted, &bundle));
            settled.then_some(certificate)
        })
        .unwrap_or_else(|error| panic!("{error}: {}", self.words()))
    }

    /// Until both authorities are trusted, the next one and the one before.
    #[track_caller]
    fn rotates(&self) {
        wait_for("two authorities to be trusted", || {
            self.bundles().iter().all(|bundle| bundle.as_str().is_some_and(|text| count(text) == 2)).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {}", self.words()));
    }

    #[track_caller]
    fn delete(&self, object: &str) {
        self.plane.kubectl(&["delete", "-n", NAMESPACE, object]).expect("kubectl delete");
    }
}

/// Whether `caBundle` is what it should be: cert-manager's injector keeps what was there until it has expired.
fn is_trusted(stack: &Value, trusted: &Value, bundle: &str) -> bool {
    if stack["status"]["certificates"]["provider"] == "certManager" {
        return trusted.as_str().is_some_and(|trusted| decode(trusted).contains(&decode(bundle)));
    }
    *trusted == json!(bundle)
}

/// Certificates in PEM in base64.
fn count(bundle: &str) -> usize {
    decode(bundle).matches("BEGIN CERTIFICATE").count()
}

fn decode(pem: &str) -> String {
    use base64::Engine as _;
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(pem).expect("base64")).expect("PEM")
}
