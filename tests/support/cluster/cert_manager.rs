//! The real cert-manager: its controllers and its CA injector as a process beside the control plane.

use std::path::Path;

use super::network::Process;
use super::plane::ControlPlane;
use super::programs::built;
use super::wait_for;

/// As in `tests/programs/cert-manager/go.mod`.
const VERSION: &str = "1.21.2";

/// Serves its kinds of objects, and runs it until it's dropped.
///
/// # Errors
/// When it isn't there: says what to do.
#[track_caller]
pub fn start(plane: &ControlPlane) -> Result<Process, String> {
    let program = built("cert-manager", VERSION)?;
    let definitions = program.parent().unwrap_or(Path::new("/")).join("crds").display().to_string();
    plane.kubectl(&["apply", "--server-side", "-f", &definitions]).expect("cert-manager's definitions");
    let established = ["wait", "--for=condition=Established", "--timeout=1m", "-f", &definitions];
    // kubectl gives up on a definition that has no condition yet.
    wait_for("cert-manager's kinds to be served", || plane.kubectl(&established).success.then_some(()))?;
    let kubeconfig = plane.kubeconfig_for("cert-manager", "cert-manager", Some("system:masters"))?;
    plane.network().start("cert-manager", &program, [format!("--kubeconfig={}", kubeconfig.display())])
}
