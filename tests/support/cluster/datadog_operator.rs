//! The real Datadog Operator: a process beside the control plane.

use std::path::{Path, PathBuf};

use super::network::Process;
use super::plane::ControlPlane;
use super::programs::built;

/// As in `tests/programs/datadog-operator/go.mod`.
const VERSION: &str = "1.31.0";
/// Of the kinds that an Agent takes.
const KINDS: [&str; 3] = ["datadogagents", "datadogagentinternals", "datadogagentprofiles"];

/// # Errors
/// When it isn't there: says what to do.
fn program() -> Result<PathBuf, String> {
    built("datadog-operator", VERSION)
}

/// File with the definition of a kind.
///
/// # Errors
/// When it isn't there: says what to do.
pub fn definition(plural: &str) -> Result<PathBuf, String> {
    let folder = program()?.parent().unwrap_or(Path::new("/")).join("crds");
    Ok(folder.join(format!("datadoghq.com_{plural}.yaml")))
}

/// Serves the kinds of objects that an Agent takes.
///
/// # Errors
/// When it isn't there: says what to do.
#[track_caller]
pub fn define(plane: &ControlPlane) -> Result<(), String> {
    define_kinds(plane, &KINDS)
}

/// Serves some of its kinds of objects.
///
/// # Errors
/// When it isn't there: says what to do.
#[track_caller]
pub fn define_kinds(plane: &ControlPlane, kinds: &[&str]) -> Result<(), String> {
    for kind in kinds {
        let file = definition(kind)?.display().to_string();
        plane
            .kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &file])
            .expect("the operator's definitions");
        plane.wait_until_served(&format!("{kind}.datadoghq.com"));
    }
    Ok(())
}

/// Runs it for one namespace until it's dropped. It asks Datadog nothing that a test needs an answer to.
///
/// # Errors
/// When it isn't there: says what to do.
pub fn start(plane: &ControlPlane, namespace: &str) -> Result<Process, String> {
    start_with(plane, namespace, "http://127.0.0.1:9", &[])
}

/// Runs it for one namespace until it's dropped, with further arguments, and something at a URL that answers for Datadog.
///
/// # Errors
/// When it isn't there: says what to do.
pub fn start_with(plane: &ControlPlane, namespace: &str, url: &str, further: &[&str]) -> Result<Process, String> {
    let program = program()?;
    let kubeconfig = plane.kubeconfig_for("datadog-operator", "datadog-operator", Some("system:masters"))?;
    let arguments = [
        format!("KUBECONFIG={}", kubeconfig.display()),
        format!("WATCH_NAMESPACE={namespace}"),
        "POD_NAME=datadog-operator".to_owned(),
        format!("POD_NAMESPACE={namespace}"),
        format!("DD_API_KEY={}", "0".repeat(32)),
        format!("DD_APP_KEY={}", "0".repeat(40)),
        format!("DD_URL={url}"),
        format!("DD_DD_URL={url}"),
        program.display().to_string(),
        "--enable-leader-election=false".to_owned(),
        "--metrics-addr=127.0.0.1:0".to_owned(),
        "--logEncoder=console".to_owned(),
        "--operatorMetricsEnabled=false".to_owned(),
    ];
    let further = further.iter().map(|argument| (*argument).to_owned());
    plane.network().start("datadog-operator", Path::new("env"), arguments.into_iter().chain(further))
}
