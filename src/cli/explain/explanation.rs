//! What is said of one object: plain data, the same for people and for programs.

use std::borrow::Cow;

use serde::Serialize;

use super::calls::Calls;
use super::running::{Replicas, Running};
use crate::cli::report;
use crate::inject::rules::{self, Case, Verdict};
use crate::inject::{Action, ContainerPlan, Decision, Entry, Note, Reason};
use crate::unavailable::Unavailable;

/// One object with a pod template.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Of a manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
    /// Of a manifest that leaves the name to the API server.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub generate_name: String,
    /// Whether the API server calls the webhook for it, which only a cluster knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<Calls>,
    /// Where the configuration is from, in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Configured>,
    pub decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Why>,
    pub rules: Vec<Asked>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    pub containers: Vec<Container>,
    pub labels: Vec<Told>,
    pub annotations: Vec<Told>,
    pub notes: Vec<Remark>,
    /// Of a pod of the cluster: what became of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
    /// Of a workload of the cluster: what became of its pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<Replicas>,
    /// What couldn't be read, and what was taken for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<Gap>,
}

/// What an explanation is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub kind: &'a str,
    pub namespace: Option<&'a str>,
    pub name: &'a str,
    /// Empty where there is none.
    pub generate_name: &'a str,
}

/// The configuration that decided.
#[derive(Clone, Debug, Serialize)]
pub struct Configured {
    /// `ConfigMap otelgate/otelgate-injection`, or a file.
    pub source: String,
    pub hash: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    pub code: &'static str,
    pub summary: Cow<'static, str>,
    pub next_step: &'static str,
}

#[derive(Debug, Serialize)]
pub struct Asked {
    pub rule: &'static str,
    pub input: String,
    pub passes: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Why>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    pub name: String,
    pub env: Vec<Told>,
    pub attributes: Vec<Told>,
    /// Variables that otelgate wrote before, and doesn't any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taken_out: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct Told {
    pub key: String,
    pub action: Action,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub source: &'static str,
    /// What otelgate writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Why>,
}

#[derive(Debug, Serialize)]
pub struct Remark {
    pub about: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    pub reason: Why,
}

/// Something that couldn't be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    pub what: String,
    pub next_step: String,
    /// What is taken for it.
    pub instead: &'static str,
}

// === impl Explanation ===

impl Explanation {
    /// `namespace_known`: whether what is said of the namespace is true of the cluster.
    pub fn new(subject: Subject<'_>, case: Case<'_>, decision: &Decision<'_>, namespace_known: bool) -> Self {
        let why = |reason: Reason| Why {
            code: reason.code(),
            summary: report::summary(reason, case.namespace),
            next_step: report::next_step(reason, subject.namespace, namespace_known),
        };
        let plan = decision.plan();
        let keys = |entries: &[Entry<'_>]| entries.iter().map(Told::of).collect::<Vec<_>>();
        let container = |container: &ContainerPlan<'_>| Container {
            name: container.name.to_owned(),
            env: keys(&container.env),
            attributes: keys(&container.attributes),
            taken_out: container.gone().iter().map(|name| (*name).to_owned()).collect(),
        };
        Self {
            file: None,
            line: None,
            kind: subject.kind.to_owned(),
            namespace: subject.namespace.map(ToOwned::to_owned),
            name: subject.name.to_owned(),
            generate_name: subject.generate_name.to_owned(),
            calls: None,
            configuration: None,
            decision: decision.name(),
            reason: if let Decision::Skip { reason, .. } = decision { Some(why(*reason)) } else { None },
            rules: rules::verdicts(case, decision).into_iter().map(|verdict| Asked::of(verdict, why)).collect(),
            service_name: plan.and_then(|plan| plan.service_name.as_deref()).map(ToOwned::to_owned),
            containers: plan.map_or_else(Vec::new, |plan| plan.containers.iter().map(container).collect()),
            labels: plan.map_or_else(Vec::new, |plan| keys(&plan.labels)),
            annotations: plan.map_or_else(Vec::new, |plan| keys(&plan.annotations)),
            notes: decision.notes().iter().map(Remark::of).collect(),
            running: None,
            pods: None,
            unknown: Vec::new(),
        }
    }
}

impl Why {
    fn of(reason: Reason) -> Self {
        Self { code: reason.code(), summary: reason.summary().into(), next_step: reason.next_step() }
    }
}

impl Asked {
    fn of(Verdict { rule, input, reason }: Verdict<'_>, why: impl Fn(Reason) -> Why) -> Self {
        Self { rule, input: input.into_owned(), passes: reason.is_none(), reason: reason.map(why) }
    }
}

impl Told {
    fn of(entry: &Entry<'_>) -> Self {
        Self {
            key: entry.key.to_string(),
            action: entry.action,
            source: entry.source,
            value: entry.value.as_ref().filter(|_| entry.is_written()).map(ToString::to_string),
            reason: entry.reason.map(Why::of),
        }
    }
}

impl Remark {
    fn of(note: &Note<'_>) -> Self {
        Self {
            about: note.subject.to_string(),
            detail: note.detail.as_deref().map(ToOwned::to_owned),
            reason: Why::of(note.reason),
        }
    }
}

impl Gap {
    pub fn new(fault: &Unavailable, instead: &'static str) -> Self {
        Self { what: fault.to_string(), next_step: fault.next_step(), instead }
    }
}
