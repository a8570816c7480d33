//! `otelgate diagnose`: what is in the archive, and what is in no byte of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use super::command::{API_KEY, WRITTEN, installed};
use crate::control_plane::plane::base64;

/// The files of an archive, without its root.
fn files(archive: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(archive).expect("an archive")));
    let entries = archive.entries().expect("entries");
    let mut files = BTreeMap::new();
    for entry in entries {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").display().to_string();
        let mut content = String::new();
        entry.read_to_string(&mut content).expect("text");
        files.insert(path.split_once('/').expect("a root").1.to_owned(), content);
    }
    files
}

#[test]
fn the_bundle_has_what_is_needed_and_no_secret() {
    let installed = installed();
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("bundle.tar.gz");
    let path = archive.display().to_string();
    let said = installed.otelgate(&["diagnose", "-o", &path]).expect("otelgate diagnose");
    assert!(said.contains(&path) && said.contains("look through it"), "{said}");
    assert_eq!(fs::metadata(&archive).expect("an archive").permissions().mode() & 0o777, 0o600);
    let files = files(&archive);
    for (path, content) in &files {
        for secret in [API_KEY, &base64(API_KEY), WRITTEN, &base64(WRITTEN), "MIGHAgEAMBMGByqGSM49"] {
            assert!(!content.contains(secret) && !path.contains(secret), "{path} has a secret: {content}");
        }
    }
    let has = |path: &str, part: &str| {
        let content = files.get(path).unwrap_or_else(|| panic!("there is no {path}: {:?}", files.keys()));
        assert!(content.contains(part), "{part:?} isn't in {path}: {content}");
    };
    has("INDEX.md", "- `pods.yaml`: otelgate's pods");
    has("INDEX.md", "- `telemetry/datadogagents.yaml`: DatadogAgent, which the API server doesn't serve: none");
    has("versions.yaml", "gitVersion: v1.");
    has("registration.yaml", "name: enabled.otelgate.dev");
    has("registration.yaml", "notAfter: ");
    has("telemetrystacks.yaml", "clusterName: east");
    has("telemetrystacks.yaml", "https://<redacted>@example.com:4318");
    has("configuration.yaml", "environment: testing");
    has("definition.yaml", "name: v1alpha1");
    has("deployments.yaml", "--log-format=json");
    has("deployments.yaml", "name: DD_API_KEY");
    has("pods.yaml", "nodeName: node-1");
    has("endpointslices.yaml", "ready: true");
    has("events.yaml", "reason: Failed");
    has("secrets.yaml", "of-datadog: []");
    has("secrets.yaml", "tls.key: []");
    has("secrets.yaml", "CN=cluster tests");
    has("namespaces.yaml", "name: datadog");
    has("telemetry/daemonsets.yaml", "name: otel-collector-trial");
    has("telemetry/daemonsets.yaml", "name: INTAKE_KEY");
    has("telemetry/collectors.yaml", "nodeName: node-1");
    has("telemetry/agents.yaml", "name: trace-agent");
    has("telemetry/revisions.yaml", "name: otel-collector-config-0123456789");
    has("telemetry/revisions.yaml", "node-2");
    has("telemetry/revisions.yaml", "pod.json: <redacted>");
    has("telemetry/events.yaml", "reason: FailedCreate");
    has("logs/otel-collector-x1.log", "info\tready <redacted>");
    has("logs/datadog-agent-y1.trace-agent.log", "CORE | INFO | up");
    has("telemetrystacks.yaml", "INTAKE_KEY: <redacted>");
    has("check.yaml", "result: ");
    has("status.yaml", "mode: enabled");
    let log = files.iter().find(|(path, _)| path.starts_with("logs/otelgate-webhook-")).expect("a log").1;
    assert!(log.contains("\"message\":\"listening\",\"key\":\"<redacted>\""), "{log}");
    // A bundle of an earlier time isn't overwritten.
    let again = installed.otelgate(&["diagnose", "-o", &path]);
    assert!(!again.success && again.stderr.contains("name another file with -o"), "{}", again.stderr);
}

#[test]
fn what_may_not_be_read_is_in_the_index() {
    let installed = installed();
    installed.plane.make_namespace("powerless", &json!({}), &json!({}));
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("bundle.tar.gz");
    let path = archive.display().to_string();
    let said = installed.otelgate_as("powerless", "default", &["diagnose", "-o", &path]).expect("otelgate diagnose");
    assert!(said.contains("left out pods.yaml: not allowed to list pods in namespace otelgate; next: "), "{said}");
    let files = files(&archive);
    let index = &files["INDEX.md"];
    for part in [
        "- events.yaml: not allowed to list events in namespace otelgate\n",
        "- telemetry/collectors.yaml: not allowed to list pods in namespace datadog\n",
        "- telemetry/datadogagents.yaml: not allowed to list datadogagents.datadoghq.com in namespace datadog\n",
        "- Secret datadog/datadog-secret: not allowed to get secrets in namespace datadog\n",
        "- registration.yaml: not allowed to list mutatingwebhookconfigurations.admissionregistration.k8s.io in the whole",
    ] {
        assert!(index.contains(part), "{part:?} isn't in {index}");
    }
    let versions: Value = serde_saphyr::from_str(&files["versions.yaml"]).expect("YAML");
    assert_eq!(versions["otelgate"], env!("CARGO_PKG_VERSION"));
}
