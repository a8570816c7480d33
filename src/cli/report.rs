//! What `inject` tells people on standard error: per object what happened, what deserves a look, and a sum.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use super::offline::Place;
use super::output::{self, ATTENTION, BOLD, DIM, GOOD, PLACE, printable, styled, wrapped};
use crate::inject::{Action, ContainerPlan, Decision, Entry, Namespace, Plan, Reason, Undone};

/// What became of one object.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    place: String,
    subject: String,
    result: What,
    service_name: Option<String>,
    /// With their indentation.
    details: Vec<(usize, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Injected,
    /// Already as it should be.
    Unchanged,
    Observed,
    LeftAlone,
    Undone,
    NothingToUndo,
}

// === impl Outcome ===

impl Outcome {
    /// `namespace_known`: whether the input has the object's Namespace.
    #[must_use]
    pub fn decided(
        place: &Place<'_>,
        namespace: &Namespace<'_>,
        decision: &Decision<'_>,
        changed: bool,
        namespace_known: bool,
    ) -> Self {
        let mut details = Vec::new();
        let result = match decision {
            Decision::Inject(_) if changed => What::Injected,
            Decision::Inject(_) => What::Unchanged,
            Decision::Observe(_) => What::Observed,
            Decision::Skip { .. } => What::LeftAlone,
        };
        match decision {
            Decision::Inject(plan) => describe(plan, &DONE, &mut details),
            Decision::Observe(plan) => describe(plan, &OBSERVED, &mut details),
            Decision::Skip { reason, .. } => {
                let next = next_step(*reason, place.namespace, namespace_known);
                let summary = summary(*reason, namespace);
                details.push((2, format!("{DIM}{}{DIM:#}: {summary}; next: {next}", reason.code())));
            }
        }
        for note in decision.notes() {
            let about = note.subject.to_string();
            let detail = note.detail.as_deref().map_or(String::new(), |detail| format!(" ({detail})"));
            details.push((2, explained(note.reason, &format!("{about}{detail}"))));
        }
        let service_name = decision.plan().and_then(|plan| plan.service_name.as_deref());
        let service_name = service_name.map(|name| printable(name).into_owned());
        Self { place: place.position(), subject: place.subject(), result, service_name, details }
    }

    #[must_use]
    pub fn undone(place: &Place<'_>, undone: &Undone) -> Self {
        let kept = undone.kept.iter().map(|key| (2, explained(Reason::EditedByUser, key)));
        let unclaimed = undone.unclaimed.iter().map(|name| format!("container {name}"));
        let unclaimed = unclaimed.map(|about| (2, explained(Reason::UnclaimedValues, &about)));
        Self {
            place: place.position(),
            subject: place.subject(),
            result: if undone.found { What::Undone } else { What::NothingToUndo },
            service_name: None,
            details: kept.chain(unclaimed).collect(),
        }
    }
}

/// What a reason means, of this namespace.
#[must_use]
pub fn summary(reason: Reason, namespace: &Namespace<'_>) -> Cow<'static, str> {
    match (reason, namespace.left_out) {
        (Reason::LeftOutNamespace, Some(left_out)) => {
            // It ends with every label that does so.
            let says = reason.summary();
            let says = says.split_once(" label ").map_or(says, |(says, _)| says);
            format!("{says} {left_out}").into()
        }
        _ => reason.summary().into(),
    }
}

/// What to do about a reason, where the input may lack the namespace's name, or the Namespace.
#[must_use]
pub fn next_step(reason: Reason, namespace: Option<&str>, namespace_known: bool) -> &'static str {
    match reason {
        Reason::NotOptedIn if namespace.is_none() => {
            "give -n NAMESPACE, and its Namespace in the input; or label the pod template otelgate.dev/inject=enabled, or \
             use --opt-in"
        }
        Reason::NotOptedIn if !namespace_known => {
            "give its Namespace as well, label the pod template otelgate.dev/inject=enabled, or use --opt-in"
        }
        _ => reason.next_step(),
    }
}

fn explained(reason: Reason, about: &str) -> String {
    let about = printable(about);
    format!("{ATTENTION}{}{ATTENTION:#} {about}: {}; next: {}", reason.code(), reason.summary(), reason.next_step())
}

/// What is done with a key.
struct Words {
    set: &'static str,
    append: &'static str,
    take_out: &'static str,
}

const DONE: Words = Words { set: "set", append: "appended", take_out: "took out" };
const OBSERVED: Words = Words { set: "would set", append: "would append", take_out: "would take out" };

fn describe(plan: &Plan<'_>, words: &Words, details: &mut Vec<(usize, String)>) {
    for container in &plan.containers {
        let ContainerPlan { name, env, attributes, .. } = container;
        let names = names(env, Action::Set);
        let set =
            if names.is_empty() { "no variable set".to_owned() } else { format!("{} {}", words.set, names.join(", ")) };
        details.push((2, format!("container {BOLD}{}{BOLD:#}: {set}", printable(name))));
        for key in self::names(env, Action::Merged) {
            let count = attributes.iter().filter(|entry| entry.is_written()).count();
            details.push((4, format!("{} {} to {key}", words.append, counted(count, "attribute"))));
        }
        if !container.gone().is_empty() {
            let gone = printable(&container.gone().join(", ")).into_owned();
            details.push((4, format!("{} otelgate's own {gone}", words.take_out)));
        }
        exceptions(env.iter().chain(attributes), details);
    }
    let written = |entries: &[Entry<'_>]| entries.iter().filter(|entry| entry.is_written()).count();
    let labels = counted(written(&plan.labels), "label");
    let annotations = counted(written(&plan.annotations), "annotation");
    details.push((2, format!("pod: {} {labels}, {annotations}", words.set)));
    exceptions(plan.labels.iter().chain(&plan.annotations), details);
}

fn names<'a>(entries: &'a [Entry<'_>], action: Action) -> Vec<&'a str> {
    entries.iter().filter(|entry| entry.action == action).map(|entry| &*entry.key).collect()
}

/// What was kept, and what deserves a look, all keys of one reason together.
fn exceptions<'a>(entries: impl Iterator<Item = &'a Entry<'a>>, details: &mut Vec<(usize, String)>) {
    let (mut kept, mut explained) = (Vec::new(), BTreeMap::<Reason, Vec<&str>>::new());
    for entry in entries {
        match entry.reason {
            Some(reason) => explained.entry(reason).or_default().push(&entry.key),
            None if entry.action == Action::Kept => kept.push(&*entry.key),
            None => {}
        }
    }
    if !kept.is_empty() {
        details.push((4, format!("kept the user's {}", printable(&kept.join(", ")))));
    }
    for (reason, keys) in explained {
        details.push((4, self::explained(reason, &keys.join(", "))));
    }
}

/// Tells all of it on standard error.
pub fn print(outcomes: &[Outcome]) {
    let width = output::stderr_width();
    let mut text = String::new();
    for Outcome { place, subject, result, service_name, details } in outcomes {
        let (style, words) = match result {
            What::Injected => (GOOD, "injected"),
            What::Unchanged => (DIM, "already as it should be"),
            What::Observed => (ATTENTION, "observed only, so unchanged"),
            What::LeftAlone => (DIM, "left alone"),
            What::Undone => (GOOD, "taken out"),
            What::NothingToUndo => (DIM, "nothing to take out"),
        };
        let service = service_name.as_deref().map_or(String::new(), |name| format!(", service {BOLD}{name}{BOLD:#}"));
        let line = format!("{PLACE}{place}{PLACE:#} {subject}: {}{service}", styled(style, words, 0));
        text.push_str(&wrapped(&line, 0, width));
        for (indent, detail) in details {
            text.push_str(&wrapped(detail, *indent, width));
        }
    }
    text.push_str(&sum(outcomes));
    // Nobody is left to tell when standard error is closed.
    let _ = anstream::stderr().write_all(text.as_bytes());
}

fn sum(outcomes: &[Outcome]) -> String {
    if outcomes.is_empty() {
        return "no pod or pod template in the input\n".to_owned();
    }
    let mut text = format!("{} with pods:", counted(outcomes.len(), "object"));
    let kinds = [
        ("injected", What::Injected),
        ("as it should be", What::Unchanged),
        ("observed", What::Observed),
        ("left alone", What::LeftAlone),
        ("taken out", What::Undone),
        ("nothing to take out", What::NothingToUndo),
    ];
    let mut separator = "";
    for (name, kind) in kinds {
        let count = outcomes.iter().filter(|outcome| outcome.result == kind).count();
        if count > 0 {
            write!(text, "{separator} {count} {name}").expect("a String takes all");
            separator = ",";
        }
    }
    text + "\n"
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
