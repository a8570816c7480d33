//! A case decided: the pod before, what was planned, and the pod after.

use std::borrow::Cow;
use std::collections::BTreeSet;

use json_patch::Patch;
use otelgate::config::Configuration;
use otelgate::inject::{self, Action, Decision, Entry, Namespace, Note, Pod, Reason, Workload, rules};
use serde_json::Value;

use super::edits::Pair;
use super::generate::{Case, Setting};

pub struct Run {
    pub case: Case,
    pub configuration: Configuration,
    /// The pod that is decided on, and the same without what otelgate wrote earlier.
    pub pair: Pair,
    /// `None` when the pod can't be read, which the webhook answers with a warning.
    pub outcome: Option<Outcome>,
    /// The patched pod, where there is a patch to apply.
    pub after: Option<Value>,
}

/// A decision, taken apart and owned.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub decision: &'static str,
    pub skipped: Option<Reason>,
    /// What the first rule that objects says, as `explain` shows them.
    pub objection: Option<Reason>,
    pub containers: Vec<Container>,
    pub annotations: Vec<Line>,
    pub labels: Vec<Line>,
    pub notes: Vec<Reason>,
    /// As a log or a report could show them.
    pub told: String,
    pub patch: Patch,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    pub name: String,
    pub env: Vec<Line>,
    pub attributes: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub key: String,
    pub action: Action,
    pub reason: Option<Reason>,
    pub value: Option<String>,
}

// === impl Run ===

impl Run {
    pub fn new(case: Case) -> Self {
        let pair = pair(&case);
        let configuration = Configuration::try_from(case.setting.document.clone()).expect("checked when generated");
        let outcome = decide(&pair.injected, &case.setting, &configuration);
        let after = outcome.as_ref().filter(|outcome| outcome.decision == "inject").map(|outcome| {
            let mut after = pair.injected.clone();
            json_patch::patch(&mut after, &outcome.patch).expect("the patch applies to the pod that it was made for");
            after
        });
        Self { case, configuration, pair, outcome, after }
    }

    /// Decides once more, about another pod in the same place.
    pub fn again(&self, pod: &Value) -> Option<Outcome> {
        decide(pod, &self.case.setting, &self.configuration)
    }

    /// Whether what is compared may differ in the status annotation: there was one already that couldn't be read, or
    /// that was of nothing.
    pub fn had_users_status(&self) -> bool {
        self.pair.users["metadata"]["annotations"].get(otelgate::api::annotation::STATUS).is_some()
    }
}

/// The pod after its history.
fn pair(case: &Case) -> Pair {
    let mut pair = Pair {
        injected: case.original.clone(),
        users: case.original.clone(),
        touched: false,
        appended: false,
        renamed: None,
        replaced: Vec::new(),
    };
    let Some(history) = &case.history else { return pair };
    let configuration = Configuration::try_from(history.setting.document.clone()).expect("checked when generated");
    if let Some(first) = decide(&case.original, &history.setting, &configuration).filter(|one| one.decision == "inject")
    {
        json_patch::patch(&mut pair.injected, &first.patch).expect("the first patch applies");
        // What was there in the way of a status is the user's no longer.
        if case.original["metadata"]["annotations"].get(otelgate::api::annotation::STATUS).is_some() {
            pair.touched = true;
        }
    }
    for edit in &history.edits {
        pair.apply(edit);
    }
    pair.finish();
    pair
}

fn decide(pod: &Value, setting: &Setting, configuration: &Configuration) -> Option<Outcome> {
    let json = pod.to_string();
    let mut pod = Pod::from_json(&json).ok()?;
    pod.template_of = setting.template_of.as_ref().map(|(kind, name)| workload(kind, name));
    let surroundings = &setting.namespace;
    let namespace = Namespace {
        name: surroundings.name.as_deref(),
        opt_in: surroundings.opt_in.as_deref(),
        left_out: surroundings.left_out,
        annotations: surroundings.annotations.as_deref(),
    };
    let decision = inject::decide(&pod, &namespace, configuration, setting.now);
    let verdicts = rules::verdicts(rules::Case { pod: &pod, namespace: &namespace, configuration }, &decision);
    Some(Outcome::new(&decision, verdicts.iter().find_map(|verdict| verdict.reason)))
}

fn workload<'a>(kind: &str, name: &'a str) -> Workload<'a> {
    let name = Cow::Borrowed(name);
    match kind {
        "Deployment" => Workload::Deployment { name, replica_set: None },
        "Rollout" => Workload::Rollout { name, replica_set: None },
        "StatefulSet" => Workload::StatefulSet(name),
        "DaemonSet" => Workload::DaemonSet(name),
        "CronJob" => Workload::CronJob { name, job: None },
        "Job" => Workload::Job(name),
        _ => Workload::ReplicaSet(name),
    }
}

// === impl Outcome ===

impl Outcome {
    fn new(decision: &Decision<'_>, objection: Option<Reason>) -> Self {
        let (skipped, notes): (_, &[Note<'_>]) = match decision {
            Decision::Inject(plan) | Decision::Observe(plan) => (None, &plan.notes),
            Decision::Skip { reason, notes } => (Some(*reason), notes),
        };
        let plan = decision.plan();
        let lines = |entries: &[Entry<'_>]| entries.iter().map(Line::new).collect::<Vec<_>>();
        let operations = plan.map_or_else(
            || "[]".to_owned(),
            |plan| String::from_utf8(inject::patch::to_json(&plan.operations())).expect("JSON is UTF-8"),
        );
        Self {
            decision: decision.name(),
            skipped,
            objection,
            containers: plan.map_or_else(Vec::new, |plan| {
                let containers = plan.containers.iter();
                let container = |one: &inject::ContainerPlan<'_>| Container {
                    name: one.name.to_owned(),
                    env: lines(&one.env),
                    attributes: lines(&one.attributes),
                };
                containers.map(container).collect()
            }),
            annotations: plan.map_or_else(Vec::new, |plan| lines(&plan.annotations)),
            labels: plan.map_or_else(Vec::new, |plan| lines(&plan.labels)),
            notes: notes.iter().map(|note| note.reason).collect(),
            told: format!("{notes:?}"),
            patch: serde_json::from_str(&operations).expect("operations are a patch of RFC 6902"),
        }
    }

    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        let containers = self.containers.iter().flat_map(|container| container.env.iter().chain(&container.attributes));
        containers.chain(&self.annotations).chain(&self.labels)
    }

    pub fn reasons(&self) -> BTreeSet<Reason> {
        let lines = self.lines().filter_map(|line| line.reason);
        self.skipped.into_iter().chain(lines).chain(self.notes.iter().copied()).collect()
    }

    pub fn actions(&self) -> BTreeSet<Action> {
        self.lines().map(|line| line.action).collect()
    }
}

impl Line {
    fn new(entry: &Entry<'_>) -> Self {
        Self {
            key: entry.key.clone().into_owned(),
            action: entry.action,
            reason: entry.reason,
            value: entry.value.as_ref().map(|value| match value {
                inject::Value::Text(text) => text.clone().into_owned(),
                inject::Value::Field(path) => format!("field {path}"),
            }),
        }
    }
}
