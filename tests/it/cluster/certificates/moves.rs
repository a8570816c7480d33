//! From one provider to another under load, as a change of the chart's values does it.

use std::path::Path;

use serde_json::{Value, json};

use super::load::Load;
use super::{Cluster, NAMESPACE, SERVING, plane};
use crate::cluster::OTELGATE;
use crate::cluster::installed::condition;
use crate::control_plane::cert_manager;
use crate::control_plane::credentials::{Authority, Subject};
use crate::control_plane::process_nodes::ProcessNodes;
use crate::control_plane::programs::Helm;
use crate::control_plane::release::Release;
use crate::control_plane::wait_for;

const PROVIDED: &str = "otelgate-webhook-provided";

#[test]
fn no_move_fails_a_call() {
    let plane = plane();
    let nodes = ProcessNodes::join(&plane, Path::new(OTELGATE));
    let release = Release::install(&nodes, Helm::Four, &json!({}));
    let cluster = Cluster { plane: &plane, release: &release };
    let cert_manager = cert_manager::start(&plane).unwrap_or_else(|error| panic!("{error}"));
    cluster.open_shop();
    let load = Load::start(&plane);
    let mut at = cluster.settles(None);
    cluster.provide(PROVIDED);
    let own = json!({"certificates": {"provider": "otelgate"}});
    let provided = json!({"certificates": {"provider": "provided", "secretName": PROVIDED}});
    let by_cert_manager = json!({"certificates": {
        "provider": "certManager", "secretName": "otelgate-webhook-cert-manager", "certManager": {"create": true},
    }});
    for values in [&provided, &own, &by_cert_manager, &provided, &own, &by_cert_manager, &own] {
        release.upgrade(values);
        at = cluster.settles(Some(&at));
        load.wait_for(5);
        let maker = &values["certificates"]["provider"];
        assert_eq!(cluster.stack()["status"]["certificates"]["provider"], *maker);
        let given = values["certificates"]["secretName"].as_str();
        if let Some(secret) = given.filter(|_| maker != "otelgate") {
            assert_eq!(cluster.secret(&format!("secret/{secret}"), "tls.crt").as_deref(), Some(at.as_str()));
        }
    }
    drop(cert_manager);
    cluster.a_certificate_that_cannot_be_used_is_told_and_changes_nothing(&provided);
    load.wait_for(20);
}

impl Cluster<'_> {
    /// A certificate of somebody else's authority.
    fn provide(&self, secret: &str) {
        let authority = Authority::new().expect("an authority");
        let host = "otelgate-webhook.otelgate.svc";
        let credentials = authority.issue(&Subject::Server { names: &[host] }).expect("a certificate");
        self.plane.apply(&[json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": secret, "namespace": NAMESPACE},
            "stringData": {"tls.crt": credentials.certificate, "tls.key": credentials.key, "ca.crt": authority.pem()},
        })]);
    }

    fn a_certificate_that_cannot_be_used_is_told_and_changes_nothing(&self, provided: &Value) {
        let own = self.settles(None);
        self.release.upgrade(provided);
        let before = self.settles(Some(&own));
        self.delete(&format!("secret/{PROVIDED}"));
        let ready = wait_for("the fault to be told", || {
            condition(&self.stack(), "CertificateReady").filter(|ready| ready["reason"] == "SourceUnusable")
        })
        .unwrap_or_else(|error| panic!("{error}: {}", self.words()));
        assert!(ready["message"].as_str().is_some_and(|text| text.contains(PROVIDED)), "{ready}");
        assert_eq!(self.secret(SERVING, "tls.crt").as_deref(), Some(before.as_str()));
        self.provide(PROVIDED);
        let now = self.settles(Some(&before));
        // Of the one that the chart's values name the controller has the right to look, and of no other.
        let patch = r#"{"spec": {"certificates": {"secretName": "another"}}}"#;
        self.plane
            .kubectl(&["patch", "telemetrystack", "default", "--type=merge", "-p", patch])
            .expect("kubectl patch");
        let ready = wait_for("the missing right to be told", || {
            condition(&self.stack(), "CertificateReady").filter(|ready| ready["reason"] == "SourceNotReadable")
        })
        .unwrap_or_else(|error| panic!("{error}: {}", self.words()));
        let says =
            "Secret another can't be looked at: not allowed to list secrets in namespace otelgate; next step: give";
        assert!(ready["message"].as_str().is_some_and(|text| text.starts_with(says)), "{ready}");
        assert_eq!(self.secret(SERVING, "tls.crt"), Some(now));
    }
}
