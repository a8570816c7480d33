//! What `inject` tells people on standard error: per object what happened, what deserves a look, and a sum.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write as _;

use super::offline::Place;
use super::output::{self, ATTENTION, BOLD, DIM, GOOD, PLACE, styled, wrapped};
use crate::inject::{Action, Decision, Entry, Plan, Reason, Subject, Undone};

/// What became of one object.
#[derive(Debug)]
pub struct Outcome {
    place: String,
    subject: String,
    result: What,
    /// With their indentation.
    details: Vec<(usize, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Injected,
    /// Already as it should be.
    Unchanged,
    Observed,
    Skipped(Reason),
    Undone,
    NothingToUndo,
}

// === impl Outcome ===

impl Outcome {
    /// `namespace_known`: whether the input has the object's Namespace.
    #[must_use]
    pub fn decided(place: &Place<'_>, decision: &Decision<'_>, changed: bool, namespace_known: bool) -> Self {
        let mut details = Vec::new();
        let result = match decision {
            Decision::Inject(_) if changed => What::Injected,
            Decision::Inject(_) => What::Unchanged,
            Decision::Observe(_) => What::Observed,
            Decision::Skip { reason, .. } => What::Skipped(*reason),
        };
        match decision {
            Decision::Inject(plan) | Decision::Observe(plan) => describe(plan, &mut details),
            Decision::Skip { reason: Reason::NotOptedIn, .. } if !namespace_known => {
                let next = "next: give its Namespace as well, label the pod template otelgate.dev/inject=enabled, or use --opt-in";
                details.push((2, next.to_owned()));
            }
            Decision::Skip { reason, .. } => details.push((2, format!("next: {}", reason.next_step()))),
        }
        for note in decision.notes() {
            let about = subject(&note.subject);
            let detail = note.detail.as_deref().map_or(String::new(), |detail| format!(" ({detail})"));
            details.push((2, explained(note.reason, &format!("{about}{detail}"))));
        }
        Self { place: place.position(), subject: place.subject(), result, details }
    }

    #[must_use]
    pub fn undone(place: &Place<'_>, undone: &Undone) -> Self {
        let kept = undone.kept.iter().map(|key| (2, explained(Reason::EditedByUser, key)));
        Self {
            place: place.position(),
            subject: place.subject(),
            result: if undone.found { What::Undone } else { What::NothingToUndo },
            details: kept.collect(),
        }
    }
}

/// What `explain` and the report call what a note is about.
#[must_use]
pub fn subject(subject: &Subject<'_>) -> String {
    match subject {
        Subject::Pod => "pod".to_owned(),
        Subject::Namespace => "namespace".to_owned(),
        Subject::Annotation(key) => format!("annotation {key}"),
        Subject::Label(key) => format!("label {key}"),
        Subject::Container(name) => format!("container {name}"),
        Subject::Variable { container, name } => format!("{name} of container {container}"),
    }
}

fn explained(reason: Reason, about: &str) -> String {
    format!("{ATTENTION}{}{ATTENTION:#} {about}: {}; next: {}", reason.code(), reason.summary(), reason.next_step())
}

fn describe(plan: &Plan<'_>, details: &mut Vec<(usize, String)>) {
    for container in &plan.containers {
        details.push((2, format!("container {BOLD}{}{BOLD:#}", container.name)));
        group(4, "variables", &container.env, details);
        group(4, "attributes", &container.attributes, details);
    }
    if plan.annotations.iter().chain(&plan.labels).next().is_some() {
        details.push((2, "pod".to_owned()));
    }
    group(4, "labels", &plan.labels, details);
    group(4, "annotations", &plan.annotations, details);
}

/// What was set in one line; what was not, and why, in a line each.
fn group(indent: usize, what: &str, entries: &[Entry<'_>], details: &mut Vec<(usize, String)>) {
    for (action, verb) in [(Action::Set, "set"), (Action::Merged, "appended to"), (Action::Kept, "kept, already there")]
    {
        let keys: Vec<&str> = entries.iter().filter(|entry| entry.action == action).map(|entry| &*entry.key).collect();
        if !keys.is_empty() {
            details.push((indent, format!("{DIM}{what} {verb}:{DIM:#} {}", keys.join(", "))));
        }
    }
    for entry in entries {
        if let Some(reason) = entry.reason {
            details.push((indent, explained(reason, &entry.key)));
        }
    }
}

/// Tells all of it on standard error.
pub fn print(outcomes: &[Outcome]) {
    let width = output::stderr_width();
    let mut text = String::new();
    for Outcome { place, subject, result, details } in outcomes {
        let (style, words) = match result {
            What::Injected => (GOOD, Cow::Borrowed("injected")),
            What::Unchanged => (DIM, "already as it should be".into()),
            What::Observed => (ATTENTION, "observed only, so unchanged".into()),
            What::Skipped(reason) => (DIM, format!("left alone: {} ({})", reason.summary(), reason.code()).into()),
            What::Undone => (GOOD, "taken out".into()),
            What::NothingToUndo => (DIM, "nothing to take out".into()),
        };
        let line = format!("{PLACE}{place}{PLACE:#} {subject}: {}", styled(style, words, 0));
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
    let kinds: [(&str, fn(What) -> bool); 6] = [
        ("injected", |what| what == What::Injected),
        ("as it should be", |what| what == What::Unchanged),
        ("observed", |what| what == What::Observed),
        ("left alone", |what| matches!(what, What::Skipped(_))),
        ("taken out", |what| what == What::Undone),
        ("nothing to take out", |what| what == What::NothingToUndo),
    ];
    let mut separator = "";
    for (name, matches) in kinds {
        let count = outcomes.iter().filter(|outcome| matches(outcome.result)).count();
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
