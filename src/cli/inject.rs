//! `otelgate inject`: manifests as they would run, without a cluster.

use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::Value;
use similar::TextDiff;

use super::CHANGES;
use super::input::{self, FileArgs, Parsed};
use super::offline::{self, Namespaces, Place, Setting};
use super::output::{self, BAD, Complaint, DIM, GOOD};
use super::report::{self, Outcome};
use crate::inject::patch::to_json;
use crate::inject::{Decision, Plan, Pod, Reason, UndoError, decide, undo};
use crate::manifest::kind::{self, Templated};
use crate::manifest::{self, Document, Format, Lines};
use crate::parallel;

/// Print manifests as they would run, without a cluster.
///
/// Reads manifests as kubectl does, decides for every pod and pod template as the webhook would, and writes all of them
/// to standard output; what happened and why goes to standard error. What isn't changed keeps its bytes. Namespace
/// documents in the input count as they would in a cluster. Nothing is written unless all input could be read.
#[derive(Debug, clap::Args)]
#[command(mut_arg("filename", |arg| arg.required(true)), after_help = EXIT_CODES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Args {
    #[command(flatten)]
    files: FileArgs,
    /// Take out what otelgate wrote, as the annotation otelgate.dev/status lists it.
    #[arg(long, conflicts_with = "opt_in")]
    undo: bool,
    /// Print the difference instead of the manifests.
    #[arg(long)]
    diff: bool,
    /// Print no manifests; exit with 1 if anything would change.
    #[arg(long)]
    check: bool,
    /// Print no report.
    #[arg(short, long)]
    quiet: bool,
}

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   with --check: something would change
  2   an input can't be read, isn't a manifest, or isn't a valid one; nothing was written
  64  wrong usage
  74  standard output can't be written";

/// An input, and what becomes of it.
struct Rewritten<'a> {
    name: &'a str,
    old: &'a str,
    new: String,
    /// Where in `new` the objects of a stream of JSON begin, but for the first.
    further: Vec<usize>,
    format: Format,
}

/// What all documents are decided by.
struct Rules<'a> {
    setting: Setting<'a>,
    namespaces: Namespaces,
    undo: bool,
}

pub fn run(args: &Args) -> Result<ExitCode, Vec<Complaint>> {
    let Args { files, undo, diff, check, quiet } = args;
    let configuration = input::configuration(files.config.as_deref()).map_err(|complaint| vec![complaint])?;
    let inputs = input::load(files)?;
    let parsed = input::parse_all(&inputs)?;
    let setting = Setting {
        configuration: &configuration,
        namespace: files.namespace.as_deref(),
        opt_in: files.opt_in,
        now: Timestamp::now(),
    };
    let rules = Rules { setting, namespaces: Namespaces::of(&parsed)?, undo: *undo };
    let (rewritten, outcomes) = rules.apply(&parsed, input::threads(&inputs))?;
    let printed = match (diff, check) {
        (true, _) => output::print(&differences(&rewritten), true),
        (false, true) => Ok(()),
        (false, false) => output::print(&joined(&rewritten), false),
    };
    if let Err(error) = printed {
        return Ok(output::failed(&error));
    }
    if !quiet {
        report::print(&outcomes);
    }
    let changes = rewritten.iter().any(|one| one.old != one.new);
    Ok(if *check && changes { ExitCode::from(CHANGES) } else { ExitCode::SUCCESS })
}

// === impl Rules ===

impl Rules<'_> {
    /// What becomes of all inputs, by so many threads; everything that is wrong, in the inputs' order.
    fn apply<'a>(
        &self,
        inputs: &'a [Parsed<'_>],
        threads: usize,
    ) -> Result<(Vec<Rewritten<'a>>, Vec<Outcome>), Vec<Complaint>> {
        let of_input = |one: &'a Parsed<'_>| one.documents.iter().map(|document| (one.input.name.as_str(), document));
        let documents: Vec<_> = inputs.iter().flat_map(of_input).collect();
        let mut done = parallel::map(threads, &documents, |(file, document)| self.document(file, document)).into_iter();
        let (mut all, mut outcomes, mut complaints) = (Vec::new(), Vec::new(), Vec::new());
        for Parsed { input, documents } in inputs {
            let (mut new, mut further) = (String::with_capacity(input.text.len() * 2), Vec::new());
            for (document, done) in documents.iter().zip(&mut done) {
                match done {
                    Ok((text, of_document)) => {
                        if document.format == Format::Json && !new.is_empty() {
                            further.push(new.len());
                        }
                        new.push_str(text.as_deref().unwrap_or(document.text));
                        outcomes.extend(of_document);
                    }
                    Err(complaint) => complaints.push(complaint),
                }
            }
            let format = documents.first().map_or(Format::Yaml, |document| document.format);
            all.push(Rewritten { name: &input.name, old: &input.text, new, further, format });
        }
        if complaints.is_empty() { Ok((all, outcomes)) } else { Err(complaints) }
    }

    /// The document's new text, if it gets one, and what became of its objects.
    fn document(&self, file: &str, document: &Document<'_>) -> Result<(Option<String>, Vec<Outcome>), Complaint> {
        let (mut new, mut outcomes) = (None, Vec::new());
        let lines = Lines::of(document);
        for templated in kind::templated(&document.value) {
            let place = Place::of(file, &lines, &templated, &self.setting);
            let Some(template) = document.value.pointer(&templated.template) else { continue };
            let json = template.to_string();
            let pod = offline::pod(&json, &document.value, &templated, &place)?;
            let at = self.setting.at(&templated, &document.value);
            let (changed, outcome) = if self.undo {
                undone(template, &templated, &place)?
            } else {
                self.decided(template, &pod, &templated, &place, at)?
            };
            outcomes.push(outcome);
            if let Some(changed) = changed
                && let Some(slot) = new.get_or_insert_with(|| document.value.clone()).pointer_mut(&templated.template)
            {
                *slot = changed;
            }
        }
        Ok((new.map(|value| manifest::rewrite(document, &value)), outcomes))
    }

    fn decided(
        &self,
        template: &Value,
        pod: &Pod<'_>,
        templated: &Templated<'_>,
        place: &Place<'_>,
        at: Timestamp,
    ) -> Result<(Option<Value>, Outcome), Complaint> {
        let Setting { configuration, opt_in, .. } = self.setting;
        let namespace = self.namespaces.view(place.namespace, opt_in);
        let decision = decide(pod, &namespace, configuration, at);
        // It is all that tells otelgate's keys from the user's, and the patch would replace it.
        if matches!(decision, Decision::Inject(_))
            && decision.notes().iter().any(|note| note.reason == Reason::InvalidStatus)
        {
            return Err(unreadable_status(templated, place));
        }
        let changed = match &decision {
            Decision::Inject(plan) => patched(template, plan).map_err(|()| defect(place))?,
            Decision::Observe(_) | Decision::Skip { .. } => None,
        };
        let is_known = self.namespaces.has(place.namespace);
        let outcome = Outcome::decided(place, &namespace, &decision, changed.is_some(), is_known);
        Ok((changed, outcome))
    }
}

/// The template with the plan's patch; `None` where the patch is empty.
fn patched(template: &Value, plan: &Plan<'_>) -> Result<Option<Value>, ()> {
    let operations = plan.operations();
    if operations.is_empty() {
        return Ok(None);
    }
    let patch: json_patch::Patch = serde_json::from_slice(&to_json(&operations)).map_err(drop)?;
    let mut changed = template.clone();
    json_patch::patch(&mut changed, &patch).map_err(drop)?;
    Ok(Some(changed))
}

fn undone(
    template: &Value,
    templated: &Templated<'_>,
    place: &Place<'_>,
) -> Result<(Option<Value>, Outcome), Complaint> {
    let mut changed = template.clone();
    match undo(&mut changed) {
        Ok(undone) => {
            let outcome = Outcome::undone(place, &undone);
            Ok((undone.found.then_some(changed), outcome))
        }
        Err(UndoError::Status) => Err(unreadable_status(templated, place)),
        // What was read before this is one.
        Err(UndoError::NotAPod(_)) => Err(defect(place)),
    }
}

fn unreadable_status(templated: &Templated<'_>, place: &Place<'_>) -> Complaint {
    place.complaint(
        &format!("{}/metadata/annotations/otelgate.dev~1status", templated.template),
        "the annotation otelgate.dev/status can't be read",
        "restore it from the manifest that otelgate wrote, or remove it and otelgate's keys by hand",
    )
}

fn defect(place: &Place<'_>) -> Complaint {
    Complaint {
        place: place.position(),
        message: format!("{}: a defect in otelgate: its own patch doesn't apply", place.subject()),
        next: "please report it with the manifest".to_owned(),
    }
}

/// All inputs in a row, with what has to stand between them.
fn joined(inputs: &[Rewritten<'_>]) -> String {
    let mut out = String::new();
    let inputs = || inputs.iter().filter(|input| !input.new.trim().is_empty());
    // Objects of JSON need nothing between them, as long as all are.
    let json = inputs().all(|input| input.format == Format::Json);
    for Rewritten { new, further, .. } in inputs() {
        let mut start = 0;
        for end in further.iter().copied().filter(|_| !json).chain([new.len()]) {
            let text = &new[start..end];
            append(&mut out, if start == 0 { text } else { text.trim_start() }, json);
            start = end;
        }
    }
    out
}

fn append(out: &mut String, text: &str, json: bool) {
    // A byte-order mark is one only at the beginning.
    let text = if out.is_empty() { text } else { text.trim_start_matches('\u{feff}') };
    if !out.is_empty() {
        if !out.ends_with('\n') {
            out.push('\n');
        }
        let first = first_line(text).unwrap_or_default();
        if first.starts_with('%') {
            // A directive is one only where no document is open.
            out.push_str(if first_line(out).is_some() { "...\n" } else { "" });
        } else if !json && !first.starts_with("---") {
            out.push_str("---\n");
        }
    }
    out.push_str(text);
}

/// The first line that counts.
fn first_line(text: &str) -> Option<&str> {
    text.lines().find(|line| !matches!(line.trim_matches(['\u{feff}', ' ', '\t']), "") && !line.starts_with('#'))
}

fn differences(inputs: &[Rewritten<'_>]) -> String {
    let mut out = String::new();
    for Rewritten { name, old, new, .. } in inputs.iter().filter(|input| input.old != input.new) {
        let diff = TextDiff::from_lines(*old, new.as_str());
        let text = diff.unified_diff().context_radius(3).header(name, &format!("{name} (otelgate)")).to_string();
        // The end of a line is a part of it: patch tells CRLF from LF.
        for line in text.split_inclusive('\n') {
            let style = match line.as_bytes() {
                [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => output::BOLD,
                [b'+', ..] => GOOD,
                [b'-', ..] => BAD,
                [b'@', b'@', ..] => DIM,
                _ => anstyle::Style::new(),
            };
            let (line, end) = line.split_at(line.trim_end_matches(['\r', '\n']).len());
            out.push_str(&output::styled(style, line, 0));
            out.push_str(end);
        }
    }
    out
}

#[cfg(test)]
mod tests;
