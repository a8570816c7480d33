//! What a real Collector makes of the configurations that are rendered for it.
//!
//! It is of 0.149, and lacks the connectors that count spans: `forward`, which takes data from one pipeline to another
//! one as it is, stands in their place, so that the wiring is checked.

mod addresses;
mod lines;
mod scope;
mod validate;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use otelgate::api::stack::{Agent, Collector, Datadog, Egress, TelemetryStackSpec};
use otelgate::collector::{Fault, Input, Rendered, Source, render};
use otelgate::config::Document;
use serde_json::{Value, json};

use crate::control_plane::programs::built;

/// As in `tests/programs/otelcol/builder.yaml`.
const VERSION: &str = "0.149.0";

/// What an [`Input`] refers to.
#[derive(Clone, Debug)]
struct Spec {
    collector: Collector,
    datadog: Datadog,
    egress: Egress,
    agent: Agent,
    injection: Document,
}

impl Default for Spec {
    fn default() -> Self {
        let mut collector = Collector::default();
        VERSION.clone_into(&mut collector.image.tag);
        Self {
            collector,
            datadog: Datadog::default(),
            egress: Egress::default(),
            agent: Agent::default(),
            injection: Document::default(),
        }
    }
}

impl Spec {
    /// Of a `TelemetryStack`, with the Collector of this version.
    fn of(spec: TelemetryStackSpec) -> Self {
        let TelemetryStackSpec { mut collector, datadog, egress, agent, injection, .. } = spec;
        VERSION.clone_into(&mut collector.image.tag);
        let mut document = Value::Object(injection.0);
        document["apiVersion"] = json!("otelgate.dev/v1alpha1");
        document["kind"] = json!("InjectionConfiguration");
        let injection = serde_json::from_value(document).expect("a configuration");
        Self { collector, datadog, egress, agent, injection }
    }

    fn render(&self) -> Result<Rendered, Fault> {
        render(&Input {
            collector: &self.collector,
            datadog: &self.datadog,
            egress: &self.egress,
            agent: &self.agent,
            injection: &self.injection,
        })
    }

    fn rendered(&self) -> Rendered {
        self.render().unwrap_or_else(|fault| panic!("{fault}: {self:?}"))
    }
}

/// The connectors that this Collector hasn't, and what stands for both.
const MISSING: [&str; 2] = ["datadog/connector", "spanmetrics"];
const STANDS_FOR_THEM: &str = "forward/counts";

/// The document with `forward` in the place of what is missing. It makes no metrics of traces, so that metrics have to
/// come to it too, where traces did; and where traces go on by another way, none come to it.
fn with_forward(text: &str) -> Value {
    let mut document: Value = serde_saphyr::from_str(text).expect("YAML");
    let missing = |connectors: &Value| MISSING.into_iter().find(|id| connectors.get(id).is_some());
    let Some(missing) = missing(&document["connectors"]) else { return document };
    let connectors = document["connectors"].as_object_mut().expect("a map");
    connectors.remove(missing);
    connectors.insert(STANDS_FOR_THEM.to_owned(), json!({}));
    let pipelines = document["service"]["pipelines"].as_object_mut().expect("a map");
    for (_, pipeline) in pipelines.iter_mut() {
        for list in ["receivers", "exporters"] {
            let list = pipeline[list].as_array_mut().expect("a list");
            list.iter_mut().filter(|id| **id == missing).for_each(|id| *id = json!(STANDS_FOR_THEM));
        }
    }
    pipelines["metrics"]["exporters"].as_array_mut().expect("a list").push(json!(STANDS_FOR_THEM));
    if missing == "spanmetrics" {
        let exporters = pipelines["traces"]["exporters"].as_array_mut().expect("a list");
        exporters.retain(|id| id != STANDS_FOR_THEM);
    }
    document
}

/// In a mount namespace of its own.
const AS_IN_A_POD: &str = r#"
account=/run/secrets/kubernetes.io/serviceaccount
mount -t tmpfs none /run && mkdir -p $account
for file in token ca.crt namespace; do echo datadog >$account/$file; done
exec "$0" "$@"
"#;

/// A configuration in a file, for the real Collector, with the variables that its pod would have.
struct Candidate {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Candidate {
    fn new(document: &Value, rendered: &Rendered) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("collector.yaml"), document.to_string()).expect("a file");
        let value = |source: &Source| match source {
            Source::Value(value) => value.replace("$$", "$"),
            Source::Field("status.podIP") => "127.0.0.1".to_owned(),
            Source::Field(_) => "node-1".to_owned(),
            Source::Secret(_) => "0".repeat(32),
        };
        let environment = rendered.environment.iter().map(|one| (one.name.clone(), value(&one.source))).collect();
        Self { folder, environment }
    }

    /// With what a pod has of its account: some parts want to have read that before they are made.
    fn command(&self, arguments: &[&str]) -> Command {
        let program: PathBuf = built("otelcol", VERSION).unwrap_or_else(|error| panic!("{error}"));
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", AS_IN_A_POD]).arg(program);
        command.args(arguments).arg("--config").arg(self.folder.path().join("collector.yaml"));
        command.env_clear().envs(self.environment.iter().cloned()).stdin(Stdio::null());
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs([("KUBERNETES_SERVICE_HOST", "127.0.0.1"), ("KUBERNETES_SERVICE_PORT", "1")]);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the Collector can be started")
    }

    fn start(self) -> Running {
        let log = fs::File::create(self.folder.path().join("log")).expect("a file");
        let child = self.command(&[]).stdout(Stdio::null()).stderr(log).spawn().expect("it can be started");
        Running { child, candidate: self }
    }
}

/// A Collector that is gone with its value.
struct Running {
    child: Child,
    candidate: Candidate,
}

impl Running {
    fn log(&self) -> String {
        fs::read_to_string(self.candidate.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
