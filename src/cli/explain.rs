//! `otelgate explain -f`: why each pod is injected or not, rule by rule and key by key.
//!
//! It shows the values that otelgate writes, because they go into the user's own file, and never one that the user wrote.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::ValueEnum;
use jiff::Timestamp;
use serde::Serialize;

use super::input::{self, FileArgs, Parsed};
use super::offline::{self, Namespaces, Place, Setting};
use super::output::{self, ATTENTION, BAD, BOLD, Complaint, DIM, GOOD, PLACE, styled, wrapped};
use super::report;
use crate::inject::rules::{self, Case, Verdict};
use crate::inject::{Action, Decision, Entry, Note, Reason, decide};
use crate::manifest::{self, Lines, kind};

/// Say why pods are injected or not, rule by rule and key by key.
///
/// Reads manifests as `otelgate inject` does and changes nothing. Shows the values that otelgate would write, and none
/// that stand in the manifest already.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Args {
    #[command(flatten)]
    files: FileArgs,
    /// For programs instead of people.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Output>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  2   an input can't be read, isn't a manifest, or isn't a valid one
  64  wrong usage";

/// Columns of a table that no terminal limits.
const PIPED: usize = 160;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Json,
    Yaml,
}

/// One object with a pod template.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    file: String,
    line: usize,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    name: String,
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Why>,
    rules: Vec<Asked>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_name: Option<String>,
    containers: Vec<Container>,
    labels: Vec<Told>,
    annotations: Vec<Told>,
    notes: Vec<Remark>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Why {
    code: &'static str,
    summary: &'static str,
    next_step: &'static str,
}

#[derive(Debug, Serialize)]
struct Asked {
    rule: &'static str,
    input: String,
    passes: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Why>,
}

#[derive(Debug, Serialize)]
struct Container {
    name: String,
    env: Vec<Told>,
    attributes: Vec<Told>,
}

#[derive(Debug, Serialize)]
struct Told {
    key: String,
    action: Action,
    #[serde(skip_serializing_if = "str::is_empty")]
    source: &'static str,
    /// What otelgate writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Why>,
}

#[derive(Debug, Serialize)]
struct Remark {
    about: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    reason: Why,
}

pub fn run(args: &Args) -> Result<ExitCode, Vec<Complaint>> {
    let Args { files, output: format } = args;
    let configuration = input::configuration(files.config.as_deref()).map_err(|complaint| vec![complaint])?;
    let inputs = input::load(files)?;
    let parsed = input::parse_all(&inputs)?;
    let setting = Setting {
        configuration: &configuration,
        namespace: files.namespace.as_deref(),
        opt_in: files.opt_in,
        now: Timestamp::now(),
    };
    let explanations = explain_all(&parsed, &setting)?;
    let json = || serde_json::to_value(&explanations).expect("explanations are plain data");
    let text = match format {
        Some(Output::Json) => format!("{:#}\n", json()),
        Some(Output::Yaml) => manifest::document(&json()),
        None => text(&explanations, output::stdout_width()),
    };
    Ok(match output::print(&text, format.is_none()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::failed(&error),
    })
}

fn explain_all(inputs: &[Parsed<'_>], setting: &Setting<'_>) -> Result<Vec<Explanation>, Vec<Complaint>> {
    let namespaces = Namespaces::of(inputs)?;
    let (mut explanations, mut complaints) = (Vec::new(), Vec::new());
    for Parsed { input, documents } in inputs {
        for document in documents {
            let lines = Lines::of(document);
            for templated in kind::templated(&document.value) {
                let place = Place::of(&input.name, &lines, &templated, setting);
                let Some(template) = document.value.pointer(&templated.template) else { continue };
                let json = template.to_string();
                match offline::pod(&json, &document.value, &templated, &place) {
                    Ok(pod) => {
                        let namespace = namespaces.view(place.namespace, setting.opt_in);
                        let case = Case { pod: &pod, namespace: &namespace, configuration: setting.configuration };
                        let decision = decide(&pod, &namespace, setting.configuration, setting.now);
                        let known = namespaces.has(place.namespace);
                        explanations.push(Explanation::new(&place, rules::verdicts(case), &decision, known));
                    }
                    Err(complaint) => complaints.push(complaint),
                }
            }
        }
    }
    if complaints.is_empty() { Ok(explanations) } else { Err(complaints) }
}

// === impl Explanation ===

impl Explanation {
    fn new(place: &Place<'_>, verdicts: Vec<Verdict<'_>>, decision: &Decision<'_>, namespace_known: bool) -> Self {
        let why = |reason| Why { next_step: report::next_step(reason, namespace_known), ..Why::of(reason) };
        let plan = decision.plan();
        let keys = |entries: &[Entry<'_>]| entries.iter().map(Told::of).collect::<Vec<_>>();
        let container = |container: &crate::inject::ContainerPlan<'_>| Container {
            name: container.name.to_owned(),
            env: keys(&container.env),
            attributes: keys(&container.attributes),
        };
        Self {
            file: place.file.to_owned(),
            line: place.line,
            kind: place.object.kind.to_owned(),
            namespace: place.namespace.map(ToOwned::to_owned),
            name: place.object.name.to_owned(),
            decision: decision.name(),
            reason: if let Decision::Skip { reason, .. } = decision { Some(why(*reason)) } else { None },
            rules: verdicts.into_iter().map(|verdict| Asked::of(verdict, why)).collect(),
            service_name: plan.and_then(|plan| plan.service_name.as_deref()).map(ToOwned::to_owned),
            containers: plan.map_or_else(Vec::new, |plan| plan.containers.iter().map(container).collect()),
            labels: plan.map_or_else(Vec::new, |plan| keys(&plan.labels)),
            annotations: plan.map_or_else(Vec::new, |plan| keys(&plan.annotations)),
            notes: decision.notes().iter().map(Remark::of).collect(),
        }
    }
}

impl Why {
    fn of(reason: Reason) -> Self {
        Self { code: reason.code(), summary: reason.summary(), next_step: reason.next_step() }
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
            about: report::subject(&note.subject),
            detail: note.detail.as_deref().map(ToOwned::to_owned),
            reason: Why::of(note.reason),
        }
    }
}

// === text ===

fn text(explanations: &[Explanation], width: Option<usize>) -> String {
    let mut out = String::new();
    for (index, explanation) in explanations.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        explanation.write(&mut out, width);
    }
    if explanations.is_empty() {
        out.push_str("no pod or pod template in the input\n");
    }
    out
}

impl Explanation {
    fn write(&self, out: &mut String, width: Option<usize>) {
        let Self { file, line, kind, namespace, name, decision, reason, rules, containers, .. } = self;
        let (style, verdict) = match *decision {
            "inject" => (GOOD, "is injected"),
            "observe" => (ATTENTION, "would be injected, and is only observed"),
            _ => (BAD, "is left alone"),
        };
        let namespace = namespace.as_deref().map_or(String::new(), |namespace| format!("{namespace}/"));
        let verdict = styled(style, verdict, 0);
        writeln!(out, "{PLACE}{file}:{line}{PLACE:#} {BOLD}{kind} {namespace}{name}{BOLD:#} {verdict}")
            .expect("a String takes all");
        if let Some(reason) = reason {
            out.push_str(&reason.told("", 2, width));
        }
        section(out, "rules");
        let columns = widths(rules.iter().map(|rule| [rule.rule, rule.input.as_str()]));
        for rule in rules {
            let (style, verdict) = if rule.passes { (GOOD, "passes") } else { (BAD, "stops here") };
            let verdict = rule.reason.as_ref().map_or(verdict, |why| why.code);
            line_of(out, &[(BOLD, rule.rule, columns[0]), (DIM, &rule.input, columns[1]), (style, verdict, 0)]);
        }
        for container in containers {
            table(out, &format!("container {}: variables", container.name), &container.env, width);
            table(out, &format!("container {}: resource attributes", container.name), &container.attributes, width);
        }
        table(out, "pod: labels", &self.labels, width);
        table(out, "pod: annotations", &self.annotations, width);
        if !self.notes.is_empty() {
            section(out, "notes");
        }
        for Remark { about, detail, reason } in &self.notes {
            let detail = detail.as_deref().map_or(String::new(), |detail| format!(" ({detail})"));
            out.push_str(&reason.told(&format!("{about}{detail}: "), 4, width));
        }
    }
}

impl Why {
    fn told(&self, about: &str, indent: usize, width: Option<usize>) -> String {
        let Self { code, summary, next_step } = self;
        wrapped(&format!("{about}{ATTENTION}{code}{ATTENTION:#}: {summary}; next: {next_step}"), indent, width)
    }
}

fn section(out: &mut String, title: &str) {
    writeln!(out, "  {title}").expect("a String takes all");
}

/// Key, action, source and value; below it why, where that isn't plain.
fn table(out: &mut String, title: &str, keys: &[Told], width: Option<usize>) {
    if keys.is_empty() {
        return;
    }
    section(out, title);
    let columns = widths(keys.iter().map(|key| [key.key.as_str(), key.source]));
    let mut reasons: Vec<(&Why, Vec<&str>)> = Vec::new();
    for Told { key, action, source, value, reason } in keys {
        let (style, verb) = match action {
            Action::Set => (GOOD, "set"),
            Action::Merged => (GOOD, "appended"),
            Action::Kept => (DIM, "kept"),
            Action::Left => (ATTENTION, "left out"),
        };
        let value = value.as_deref().unwrap_or_default();
        let before = 4 + columns[0] + 2 + 8 + 2 + columns[1] + 2;
        let value = shortened(value, width.unwrap_or(PIPED).saturating_sub(before));
        line_of(
            out,
            &[(BOLD, key, columns[0]), (style, verb, 8), (DIM, source, columns[1]), (anstyle::Style::new(), &value, 0)],
        );
        if let Some(reason) = reason {
            let keys: &mut Vec<&str> = match reasons.iter_mut().find(|(one, _)| one.code == reason.code) {
                Some((_, keys)) => keys,
                None => &mut reasons.push_mut((reason, Vec::new())).1,
            };
            keys.push(key);
        }
    }
    for (reason, keys) in reasons {
        out.push_str(&reason.told(&format!("{}: ", keys.join(", ")), 4, width));
    }
}

/// A value on one line: what doesn't fit is cut, and JSON has all of it.
fn shortened(value: &str, width: usize) -> String {
    let width = width.max(16);
    if value.chars().count() <= width {
        return value.to_owned();
    }
    value.chars().take(width - 1).chain(['…']).collect()
}

fn widths<'a>(rows: impl Iterator<Item = [&'a str; 2]>) -> [usize; 2] {
    rows.fold([0, 0], |widths, row| [0, 1].map(|column| widths[column].max(row[column].chars().count())))
}

fn line_of(out: &mut String, cells: &[(anstyle::Style, &str, usize)]) {
    // Empty cells at the end, and the last one's padding, would only be blanks.
    let filled = cells.iter().rposition(|(_, text, _)| !text.is_empty()).map_or(0, |last| last + 1);
    let width = |index, width| if index + 1 == filled { 0 } else { width };
    let cells = cells[..filled].iter().enumerate();
    let line: Vec<_> = cells.map(|(index, (style, text, wide))| styled(*style, text, width(index, *wide))).collect();
    writeln!(out, "    {}", line.join("  ")).expect("a String takes all");
}
