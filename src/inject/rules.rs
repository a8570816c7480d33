//! Whether a pod is a matter for otelgate at all: a short list of rules, each with its input and verdict.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;

use super::containers::{self, Selection};
use super::options::Options;
use super::plan::{Decision, Namespace, Note, Subject};
use super::prior::Prior;
use super::{Pod, Reason, too_large};
use crate::api::{OptIn, annotation, label};
use crate::config::{Configuration, Exclusion};

/// Namespaces of Kubernetes itself.
pub const SYSTEM_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Labels of namespaces that the registration leaves out, in every cluster: those that AKS adds to every webhook. The API
/// server never asks about their pods.
pub const LEFT_OUT: [(&str, &str); 2] = [("control-plane", "true"), ("kubernetes.azure.com/managedby", "aks")];

const WINDOWS: &str = "windows";
const OS_LABELS: [&str; 2] = ["kubernetes.io/os", "beta.kubernetes.io/os"];

/// Which of these labels a namespace has: one at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut([bool; LEFT_OUT.len()]);

/// What the rules look at.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    pub pod: &'a Pod<'a>,
    pub namespace: &'a Namespace<'a>,
    pub configuration: &'a Configuration,
}

/// One rule's answer, for `explain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    pub rule: &'static str,
    /// What the rule looked at.
    pub input: Cow<'a, str>,
    /// `None` when the rule lets the pod pass.
    pub reason: Option<Reason>,
}

type Rule = (&'static str, for<'a> fn(Case<'a>) -> Option<Reason>, for<'a> fn(Case<'a>) -> Cow<'a, str>);

/// In the order in which they are asked; the first that objects decides.
const RULES: [Rule; 6] = [
    ("opted in", not_opted_in, opt_in_input),
    ("mode", mode, |case| case.configuration.mode().as_str().into()),
    ("not a namespace of Kubernetes", system_namespace, system_input),
    ("not excluded", excluded, exclusion_input),
    ("not a mirror pod", mirror, |case| if is_mirror(case.pod) { annotation::MIRROR.into() } else { "none".into() }),
    ("not a Windows pod", windows, |case| if is_windows(case.pod) { WINDOWS.into() } else { "linux".into() }),
];

/// Every rule's verdict, also behind one that objects; of what only a plan knows, that of the decision.
#[must_use]
pub fn verdicts<'a>(case: Case<'a>, decision: &Decision<'_>) -> Vec<Verdict<'a>> {
    let of_metadata =
        RULES.iter().map(|(rule, check, input)| Verdict { rule, input: input(case), reason: check(case) });
    of_metadata.chain([size(case, decision), containers(case)]).collect()
}

/// Before the plan and behind it: a patch makes the object larger.
fn size<'a>(case: Case<'a>, decision: &Decision<'_>) -> Verdict<'a> {
    let pod = case.pod;
    let annotations = &pod.metadata.value.annotations;
    let annotations: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    let of_plan = match decision {
        Decision::Skip { reason, .. } if reason.is_of_size() => Some(*reason),
        _ => None,
    };
    Verdict {
        rule: "size",
        input: format!("{} bytes, in annotations {annotations}, containers {}", pod.size, pod.containers().count())
            .into(),
        reason: too_large(pod).err().or(of_plan),
    }
}

fn containers(case: Case<'_>) -> Verdict<'_> {
    /// That are told one by one.
    const MOST: usize = 20;
    let Case { pod, namespace, configuration } = case;
    let options = Options::read(pod, namespace, configuration, &Prior::read(pod), &mut Vec::new());
    let all: Vec<_> = containers::all(pod)
        .map(|(slot, container)| (container.name.as_str(), Selection::of(slot, container, &options)))
        .collect();
    let told: Vec<_> =
        all.iter().take(MOST).map(|(name, selection)| format!("{name}: {}", selection.as_str())).collect();
    let input = match all.len() {
        0 => "none".to_owned(),
        count if count > MOST => format!("{}, and {} more", told.join(", "), count - MOST),
        _ => told.join(", "),
    };
    let is_any_selected = all.iter().any(|(_, selection)| selection.is_selected());
    Verdict { rule: "containers", input: input.into(), reason: (!is_any_selected).then_some(Reason::NoContainers) }
}

/// The first objection.
#[must_use]
pub fn objection(case: Case<'_>) -> Option<Reason> {
    RULES.iter().find_map(|(_, check, _)| check(case))
}

/// What the labels ask for, the pod's before the namespace's; an invalid one counts as absent.
#[must_use]
pub fn opt_in(pod: &Pod<'_>, namespace: &Namespace<'_>) -> Option<OptIn> {
    pod.label(label::INJECT).and_then(OptIn::parse).or_else(|| namespace.opt_in.and_then(OptIn::parse))
}

/// Why the API server never asks about the pods of a namespace, by its name and its labels.
#[must_use]
pub fn never_asked_about<'l>(name: &str, label: impl Fn(&str) -> Option<&'l str>) -> Option<String> {
    let is_system = SYSTEM_NAMESPACES.contains(&name).then(|| "Kubernetes' own".to_owned());
    is_system.or_else(|| LeftOut::by(label).map(|left_out| left_out.to_string()))
}

/// Notes labels that can't be read.
pub(super) fn note_invalid<'a>(case: Case<'a>, notes: &mut Vec<Note<'a>>) {
    let labels = [(case.pod.label(label::INJECT), Subject::Pod), (case.namespace.opt_in, Subject::Namespace)];
    for (value, subject) in labels {
        if value.is_some_and(|value| OptIn::parse(value).is_none()) {
            notes.push(Note { reason: Reason::InvalidOptIn, subject, detail: None });
        }
    }
}

fn not_opted_in(case: Case<'_>) -> Option<Reason> {
    match opt_in(case.pod, case.namespace) {
        None => Some(Reason::NotOptedIn),
        Some(OptIn::Disabled) => Some(Reason::OptedOut),
        Some(OptIn::Enabled | OptIn::Observe) => None,
    }
}

fn opt_in_input(case: Case<'_>) -> Cow<'_, str> {
    let text = |value: Option<&str>| value.map_or_else(|| "absent".to_owned(), ToOwned::to_owned);
    format!("pod {}, namespace {}", text(case.pod.label(label::INJECT)), text(case.namespace.opt_in)).into()
}

fn namespace_input(case: Case<'_>) -> Cow<'_, str> {
    case.namespace.name.map_or("no namespace".into(), |name| format!("namespace {name}").into())
}

/// With what decided where the namespace's name didn't.
fn system_input(case: Case<'_>) -> Cow<'_, str> {
    let input = namespace_input(case);
    match case.namespace.left_out {
        Some(left_out) => format!("{input}, {left_out}").into(),
        None => input,
    }
}

/// With the entry that decided.
fn exclusion_input(case: Case<'_>) -> Cow<'_, str> {
    let input = namespace_input(case);
    let Some(Exclusion { namespace, selector }) = exclusion(case) else { return input };
    let pods = if selector.is_empty() { "every pod".to_owned() } else { selector.query() };
    let place = namespace.as_ref().map_or("any namespace".to_owned(), |name| format!("namespace {name}"));
    format!("{input}; the entry for {pods} in {place}").into()
}

fn mode(case: Case<'_>) -> Option<Reason> {
    (case.configuration.mode() == OptIn::Disabled).then_some(Reason::ModeDisabled)
}

fn system_namespace(case: Case<'_>) -> Option<Reason> {
    let is_system = case.namespace.name.is_some_and(|name| SYSTEM_NAMESPACES.contains(&name));
    let left_out = case.namespace.left_out.map(|_| Reason::LeftOutNamespace);
    is_system.then_some(Reason::SystemNamespace).or(left_out)
}

fn excluded(case: Case<'_>) -> Option<Reason> {
    exclusion(case).map(|_| Reason::Excluded)
}

/// By the labels that aren't otelgate's own.
fn exclusion(case: Case<'_>) -> Option<&Exclusion> {
    let prior = OnceCell::new();
    let is_own = |key: &str, value: &str| prior.get_or_init(|| Prior::read(case.pod)).is_own_label(key, value);
    case.configuration.exclusion(case.namespace.name, |key| case.pod.label(key).filter(|value| !is_own(key, value)))
}

fn mirror(case: Case<'_>) -> Option<Reason> {
    is_mirror(case.pod).then_some(Reason::MirrorPod)
}

fn is_mirror(pod: &Pod<'_>) -> bool {
    pod.annotation(annotation::MIRROR).is_some()
}

fn windows(case: Case<'_>) -> Option<Reason> {
    is_windows(case.pod).then_some(Reason::WindowsPod)
}

fn is_windows(pod: &Pod<'_>) -> bool {
    pod.spec.os.name.as_str() == WINDOWS || OS_LABELS.iter().any(|key| pod.spec.node_selector.get(key) == Some(WINDOWS))
}

// === impl LeftOut ===

impl LeftOut {
    /// By a namespace's labels; `None` where none of them keeps the API server from asking about its pods.
    #[must_use]
    pub fn by<'l>(label: impl Fn(&str) -> Option<&'l str>) -> Option<Self> {
        let has = LEFT_OUT.map(|(key, value)| label(key) == Some(value));
        has.contains(&true).then_some(Self(has))
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = LEFT_OUT.iter().zip(self.0).filter(|(_, has)| *has);
        let labels: Vec<_> = has.map(|((key, value), _)| format!("{key}={value}")).collect();
        write!(f, "label{} {}", if labels.len() == 1 { "" } else { "s" }, labels.join(" and "))
    }
}
