//! Installing without Helm, by the commands in the READMEs of `webhook-config/` and `certs/`, and what `docs/webhook.md`
//! says to type afterwards, word by word.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::OTELGATE;
use super::offline::{status, variable};
use crate::control_plane::kubectl::Outcome;
use crate::control_plane::network::Process;
use crate::control_plane::plane::Parts;
use crate::control_plane::webhook::{http_get, manifests};
use crate::control_plane::{ControlPlane, Version, wait_for};

#[test]
fn the_readmes_lead_to_injected_pods_on_the_newest() {
    the_readmes_lead_to_injected_pods(Version::Newest);
}

#[test]
fn the_readmes_lead_to_injected_pods_on_the_oldest() {
    the_readmes_lead_to_injected_pods(Version::Oldest);
}

/// A control plane of its own, because the manifests are applied as they are: to the whole cluster.
fn the_readmes_lead_to_injected_pods(version: Version) {
    let plane = ControlPlane::start(version, Parts::ApiServer).unwrap_or_else(|error| panic!("{error}"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (install, opt_in) = install_and_opt_in(root);
    plane.make_namespace("shop", &json!({}), &json!({}));

    run(&plane, root, &install).expect("installing");
    let certificates = plane.network().folder().join("certificates");
    fs::create_dir(&certificates).expect("a folder");
    for block in shell_blocks(&root.join("certs/README.md")) {
        run(&plane, &certificates, &block).expect("certificates");
    }
    let _webhook = stand_in_for_the_deployment(&plane);
    run(&plane, root, &opt_in).expect("opting in");
    let made = wait_for("a pod to be injected", || {
        let made = create_pod(&plane);
        status(&made).is_some().then_some(made)
    });
    assert_eq!(variable(&made.expect("a pod"), 0, "OTEL_SERVICE_NAME"), Some("app"));

    the_webhooks_page_explains_a_pod(&plane, root);
    the_switch_works_without_a_restart(&plane);

    // Applied again, the API server still trusts the webhook.
    let before = plane.get("", "mutatingwebhookconfiguration/otelgate");
    run(&plane, root, &install).expect("installing again");
    assert_eq!(plane.get("", "mutatingwebhookconfiguration/otelgate")["webhooks"], before["webhooks"]);
    let outcome = run(&plane, root, "kubectl apply --dry-run=server --validate=strict -k webhook-config");
    assert!(outcome.warnings().is_empty(), "{outcome:?}");
    outcome.expect("strict validation");

    run(&plane, root, "kubectl delete --wait=false -k webhook-config").expect("deleting");
    wait_for("pods to be left alone", || status(&create_pod(&plane)).is_none().then_some(())).expect("no webhook");
}

fn the_webhooks_page_explains_a_pod(plane: &ControlPlane, root: &Path) {
    let folder = plane.network().folder().join("operator");
    fs::create_dir(&folder).expect("a folder");
    fs::copy(root.join("webhook-config/configuration.yaml"), folder.join("config.yaml")).expect("a file");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "namespace": "shop"},
        "spec": {"containers": [{"name": "app", "image": "shop/app:1"}]},
    });
    plane.kubectl_with(&["create", "-f", "-"], &pod.to_string()).expect("a pod");
    // What the page changes where there is a controller.
    run(plane, root, "kubectl apply --server-side -f charts/otelgate/crds").expect("a definition");
    wait_for("the resources to be served", || {
        let arguments = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"];
        plane.kubectl(&arguments).success.then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    plane.apply(&[json!({"apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack",
                         "metadata": {"name": "default"}, "spec": {}})]);
    let outputs: Vec<String> = shell_blocks(&root.join("docs/webhook.md"))
        .iter()
        .map(|block| run(plane, &folder, block).expect("a command of the page"))
        .collect();
    let explained = outputs.last().expect("the page explains a pod");
    assert!(explained.contains("Pod shop/web-0 is injected"), "{explained}");
}

fn the_switch_works_without_a_restart(plane: &ControlPlane) {
    let as_it_was = manifests("configuration.yaml").remove(0);
    let mut disabled = as_it_was.clone();
    let document = as_it_was["data"]["config.yaml"].as_str().expect("a document");
    disabled["data"]["config.yaml"] = json!(format!("{document}mode: disabled\n"));
    for (configuration, injected) in [(disabled, false), (as_it_was, true)] {
        plane.kubectl_with(&["apply", "-f", "-"], &configuration.to_string()).expect("a ConfigMap");
        wait_for("the configuration to be in force", || {
            (status(&create_pod(plane)).is_some() == injected).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    }
}

/// What the README says to apply, and how a namespace is opted in; without the image, since nothing pulls one here.
fn install_and_opt_in(root: &Path) -> (String, String) {
    let blocks = shell_blocks(&root.join("webhook-config/README.md"));
    let [image, install, opt_in] = &blocks[..] else { panic!("three commands, not {blocks:?}") };
    assert!(image.contains("set image"), "{image}");
    (install.clone(), opt_in.clone())
}

/// The contents of a Markdown file's blocks of shell commands, indented or not.
pub fn shell_blocks(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "```sh" {
            let block: Vec<&str> = lines.by_ref().take_while(|line| line.trim() != "```").collect();
            blocks.push(block.join("\n"));
        }
    }
    assert!(!blocks.is_empty(), "{} has no commands", file.display());
    blocks
}

fn run(plane: &ControlPlane, folder: &Path, script: &str) -> Outcome {
    let (kubectl, kubeconfig) = plane.kubectl_environment();
    let otelgate = Path::new(OTELGATE).parent().expect("a folder");
    let path = format!("{}:{}:{}", kubectl.display(), otelgate.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    command.args(["-euc", script]).current_dir(folder).env("PATH", path).env("KUBECONFIG", kubeconfig);
    plane.network().inside(|| Outcome::of(&mut command, ""))
}

fn create_pod(plane: &ControlPlane) -> Value {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app", "namespace": "shop"},
        "spec": {"containers": [{"name": "app", "image": "shop/app:1"}]},
    });
    plane.kubectl_with(&["create", "--dry-run=server", "-o", "json", "-f", "-"], &pod.to_string()).json("a pod")
}

/// Runs what the Deployment would: its arguments, as its `ServiceAccount`.
fn stand_in_for_the_deployment(plane: &ControlPlane) -> Process {
    let deployment = manifests("deployment.yaml").remove(0);
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_array().expect("arguments");
    let arguments = arguments.iter().map(|argument| argument.as_str().expect("text").to_owned());
    assert_eq!(container["env"][0]["name"], "POD_NAMESPACE");
    let kubeconfig = plane.kubeconfig_of("otelgate", "otelgate-webhook");
    let further = ["--namespace=otelgate".to_owned(), format!("--kubeconfig={}", kubeconfig.display())];
    let arguments = arguments.chain(further);
    let webhook = plane.network().start("by-hand", Path::new(OTELGATE), arguments).expect("otelgate webhook");
    wait_for("the webhook to be ready", || plane.network().inside(|| http_get(8080, "/readyz")))
        .unwrap_or_else(|error| panic!("{error}: {}", webhook.log()));
    // What the endpoints controller does once a pod of the Deployment is ready.
    let service = manifests("service.yaml").remove(0);
    let name = service["metadata"]["name"].as_str().expect("a name");
    plane.apply(&crate::control_plane::webhook::endpoints(name, 8443));
    webhook
}
