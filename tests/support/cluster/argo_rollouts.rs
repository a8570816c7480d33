//! The real controller of Argo Rollouts: a process beside the control plane.

use std::path::Path;

use super::network::Process;
use super::plane::ControlPlane;
use super::programs::built;

/// As in `tests/programs/argo-rollouts/go.mod`.
const VERSION: &str = "1.8.5";
/// Without all of them it doesn't begin.
const KINDS: [(&str, &str); 5] = [
    ("rollout", "rollouts"),
    ("experiment", "experiments"),
    ("analysis-run", "analysisruns"),
    ("analysis-template", "analysistemplates"),
    ("cluster-analysis-template", "clusteranalysistemplates"),
];

/// Serves its kinds of objects, and runs it for every namespace until it's dropped.
///
/// # Errors
/// When it isn't there: says what to do.
#[track_caller]
pub fn start(plane: &ControlPlane) -> Result<Process, String> {
    let program = built("argo-rollouts", VERSION)?;
    define(plane, &program.with_file_name("crds"));
    let kubeconfig = plane.kubeconfig_for("argo-rollouts", "argo-rollouts", Some("system:masters"))?;
    let arguments = [
        format!("--kubeconfig={}", kubeconfig.display()),
        "--leader-elect=false".to_owned(),
        // Its own ports, at every address, are those of pods.
        "--healthzPort=0".to_owned(),
        "--metricsport=0".to_owned(),
    ];
    plane.network().start("argo-rollouts", &program, arguments)
}

#[track_caller]
fn define(plane: &ControlPlane, folder: &Path) {
    for (file, plural) in KINDS {
        let file = folder.join(format!("{file}-crd.yaml")).display().to_string();
        plane
            .kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &file])
            .expect("the definitions of Argo Rollouts");
        plane.wait_until_served(&format!("{plural}.argoproj.io"));
    }
}
