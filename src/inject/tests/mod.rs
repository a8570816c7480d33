//! The engine's rules, one by one: what goes in as JSON, what comes out as the patched JSON.

#![expect(clippy::needless_pass_by_value, reason = "json!() makes values, and cases are made of them")]

mod committed;
mod endpoint;
mod environment;
mod linear;
mod opting_in;
mod pod_keys;
mod renamed;
mod ruled;
mod service_name;
mod tracing;
mod twice;
mod undoing;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::patch::to_json;
use super::rules::LeftOut;
use super::{Action, Decision, Namespace, Plan, Pod, Reason, Workload, decide};
use crate::config::{Configuration, Document};
use crate::growth;

/// A case in the making.
struct Case {
    pod: Value,
    opt_in: Option<&'static str>,
    left_out: Option<LeftOut>,
    namespace: Option<&'static str>,
    annotations: Option<Vec<(Box<str>, Box<str>)>>,
    document: Document,
    /// Offline: whose template it is.
    template_of: Option<Workload<'static>>,
}

/// What came of it.
struct Outcome {
    name: &'static str,
    skipped: Option<Reason>,
    /// As it comes back.
    pod: Value,
    notes: Vec<(Reason, String)>,
    /// Key, action, reason.
    entries: Vec<(String, Action, Option<Reason>)>,
    operations: Vec<Value>,
}

/// A pod with one container.
fn pod(container: Value) -> Value {
    json!({"metadata": {"name": "web", "labels": {}}, "spec": {"containers": [container]}})
}

fn app() -> Value {
    json!({"name": "app", "image": "shop/web:1.2"})
}

fn with_env(env: Value) -> Value {
    json!({"name": "app", "image": "shop/web:1.2", "env": env})
}

fn case(pod: Value) -> Case {
    Case {
        pod,
        opt_in: Some("enabled"),
        left_out: None,
        namespace: Some("shop"),
        annotations: Some(Vec::new()),
        document: Document::default(),
        template_of: None,
    }
}

fn assert_linear(pod: impl Fn(usize) -> String, small: usize) {
    growth::assert_linear([pod(small), pod(small * 16)], duration);
}

fn duration(pod: &str) -> Duration {
    let pod = Pod::from_json(pod).expect("a pod");
    let namespace = Namespace { name: Some("shop"), opt_in: Some("enabled"), left_out: None, annotations: None };
    let configuration = Configuration::default();
    let started = Instant::now();
    let decision = decide(&pod, &namespace, &configuration, jiff::Timestamp::UNIX_EPOCH);
    let took = started.elapsed();
    assert!(matches!(decision, Decision::Inject(_)), "{}", decision.name());
    took
}

impl Case {
    fn opt_in(self, opt_in: Option<&'static str>) -> Self {
        Self { opt_in, ..self }
    }

    fn namespace(self, namespace: Option<&'static str>) -> Self {
        Self { namespace, ..self }
    }

    fn on_namespace(mut self, key: &str, value: &str) -> Self {
        self.annotations.get_or_insert_default().push((key.into(), value.into()));
        self
    }

    fn annotate(mut self, key: &str, value: &str) -> Self {
        self.pod["metadata"]["annotations"][key] = value.into();
        self
    }

    fn label(mut self, key: &str, value: &str) -> Self {
        self.pod["metadata"]["labels"][key] = value.into();
        self
    }

    fn configure(mut self, change: impl FnOnce(&mut Document)) -> Self {
        change(&mut self.document);
        self
    }

    fn in_namespace(&self) -> Namespace<'_> {
        Namespace {
            name: self.namespace,
            opt_in: self.opt_in,
            left_out: self.left_out,
            annotations: self.annotations.as_deref(),
        }
    }

    fn decide(&self) -> Outcome {
        let json = self.pod.to_string();
        let mut pod = Pod::from_json(&json).unwrap();
        pod.template_of.clone_from(&self.template_of);
        let namespace = self.in_namespace();
        let configuration = Configuration::try_from(self.document.clone()).unwrap();
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        let decision = decide(&pod, &namespace, &configuration, now);
        let operations = match &decision {
            Decision::Inject(plan) => serde_json::from_slice(&to_json(&plan.operations())).unwrap(),
            Decision::Observe(_) | Decision::Skip { .. } => json!([]),
        };
        let mut patched = self.pod.clone();
        let patch: json_patch::Patch = serde_json::from_value(operations.clone()).unwrap();
        json_patch::patch(&mut patched, &patch).unwrap();
        Outcome {
            name: decision.name(),
            skipped: match &decision {
                Decision::Skip { reason, .. } => Some(*reason),
                _ => None,
            },
            pod: patched,
            notes: decision.notes().iter().map(|note| (note.reason, note.subject.to_string())).collect(),
            entries: decision
                .plan()
                .into_iter()
                .flat_map(Plan::entries)
                .map(|entry| (entry.key.to_string(), entry.action, entry.reason))
                .collect(),
            operations: operations.as_array().unwrap().clone(),
        }
    }
}

impl Outcome {
    /// A variable of the first container: its value, or its field.
    fn variable(&self, name: &str) -> Option<&str> {
        let env = self.pod["spec"]["containers"][0]["env"].as_array()?;
        let variable = env.iter().rev().find(|variable| variable["name"] == name)?;
        variable["value"].as_str().or(variable["valueFrom"]["fieldRef"]["fieldPath"].as_str())
    }

    fn names(&self) -> Vec<&str> {
        let env = self.pod["spec"]["containers"][0]["env"].as_array();
        env.into_iter().flatten().filter_map(|variable| variable["name"].as_str()).collect()
    }

    /// An attribute as written in the first container's `OTEL_RESOURCE_ATTRIBUTES`.
    fn attribute(&self, key: &str) -> Option<&str> {
        let text = self.variable("OTEL_RESOURCE_ATTRIBUTES")?;
        text.split(',')
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.pod["metadata"]["annotations"][key].as_str()
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.pod["metadata"]["labels"][key].as_str()
    }

    fn has_note(&self, reason: Reason) -> bool {
        self.notes.iter().any(|(noted, _)| *noted == reason)
    }

    /// Whether a key ended so.
    fn is(&self, key: &str, action: Action, reason: Option<Reason>) -> bool {
        self.entries.iter().any(|entry| *entry == (key.to_owned(), action, reason))
    }
}
