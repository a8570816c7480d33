//! Explanations for people.

use std::fmt::Write as _;

use anstyle::Style;

use super::calls::{Calls, Other};
use super::explanation::{Asked, Configured, Explanation, Gap, Remark, Told, Why};
use super::running::{Record, Replicas, Running};
use crate::cli::output::{self, ATTENTION, BAD, BOLD, DIM, GOOD, PLACE, printable, styled, wrapped};
use crate::cli::table::{Cell, Column, Table};
use crate::coverage::Coverage;
use crate::inject::Action;

/// Columns of a table that no terminal limits.
const PIPED: usize = 160;
/// Of lines below a title, between columns, and of the longest word for an action.
const INDENT: usize = 4;
const GAP: usize = 2;
const VERB: usize = 8;
/// What is left of a text that is cut.
const NARROWEST: usize = 16;
/// Pods of a workload that are named.
const MOST_PODS: usize = 20;

pub fn text(explanations: &[Explanation], width: Option<usize>) -> String {
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
        self.write_heading(out, width);
        if let Some(calls) = &self.calls {
            calls.write(out, width);
        }
        if let Some(Configured { source, hash }) = &self.configuration {
            section(out, "configuration");
            out.push_str(&wrapped(&format!("{source}, hash {hash}"), 4, width));
        }
        section(out, "rules");
        let rules: Vec<_> = self.rules.iter().map(|rule| (rule, printable(&rule.input))).collect();
        let [names, inputs] = widths(rules.iter().map(|(rule, input)| [rule.rule, input]));
        let verdict = |rule: &Asked| rule.reason.as_ref().map_or("passes", |why| why.code);
        let verdicts = self.rules.iter().map(|rule| verdict(rule).len()).max().unwrap_or_default();
        let room = width.map_or(inputs, |width| width.saturating_sub(INDENT + names + GAP + GAP + verdicts));
        let inputs = inputs.min(room.max(NARROWEST));
        for (rule, input) in &rules {
            let style = if rule.passes { GOOD } else { BAD };
            let input = shortened(input, inputs);
            line_of(out, INDENT, &[(BOLD, rule.rule, names), (DIM, &input, inputs), (style, verdict(rule), 0)]);
        }
        for container in &self.containers {
            let name = printable(&container.name);
            table(out, &format!("container {name}: variables"), &container.env, width);
            table(out, &format!("container {name}: resource attributes"), &container.attributes, width);
            if !container.taken_out.is_empty() {
                section(out, &format!("container {name}: taken out, as otelgate's own from before"));
                out.push_str(&wrapped(&printable(&container.taken_out.join(", ")), 4, width));
            }
        }
        table(out, "pod: labels", &self.labels, width);
        table(out, "pod: annotations", &self.annotations, width);
        if !self.notes.is_empty() {
            section(out, "notes");
        }
        for Remark { about, detail, reason } in &self.notes {
            let detail = detail.as_deref().map_or(String::new(), |detail| format!(" ({detail})"));
            out.push_str(&reason.told(&printable(&format!("{about}{detail}: ")), 4, width));
        }
        if let Some(running) = &self.running {
            running.write(out, width);
        }
        if let Some(pods) = &self.pods {
            pods.write(out, width);
        }
        if !self.unknown.is_empty() {
            section(out, "unknown");
        }
        for Gap { what, next_step, instead } in &self.unknown {
            let line = format!("{ATTENTION}{what}{ATTENTION:#}: {instead}; next: {next_step}");
            out.push_str(&wrapped(&line, 4, width));
        }
    }

    /// Where and what, the verdict, and why.
    fn write_heading(&self, out: &mut String, width: Option<usize>) {
        let Self { file, line, kind, namespace, name, generate_name, reason, .. } = self;
        let (style, verdict) = self.verdict();
        let place = file.as_deref().zip(*line).map_or(String::new(), |(file, line)| {
            let file = printable(file);
            format!("{PLACE}{file}:{line}{PLACE:#} ")
        });
        let object = output::object(kind, namespace.as_deref(), name, generate_name);
        let verdict = styled(style, verdict, 0);
        writeln!(out, "{place}{BOLD}{object}{BOLD:#} {verdict}").expect("a String takes all");
        if let Some(reason) = reason {
            out.push_str(&reason.told("", 2, width));
        }
    }

    /// Of a pod that runs, what became of it; of all else, what would.
    fn verdict(&self) -> (Style, &'static str) {
        match self.running.as_ref().map(|running| running.replica.coverage) {
            Some(Coverage::Injected) => return (GOOD, "is injected"),
            Some(Coverage::Outdated) => return (ATTENTION, "is injected, by an earlier configuration"),
            Some(Coverage::RestartPending | Coverage::Missed) => return (BAD, "isn't injected, and should be"),
            Some(Coverage::LeftOver) => return (ATTENTION, "is injected, and wouldn't be if it were created now"),
            Some(Coverage::NotExpected) | None => {}
        }
        let is_called = self.calls.as_ref().is_none_or(|calls| calls.called != "no");
        match self.decision {
            "inject" | "observe" if !is_called => (BAD, "isn't injected: the API server doesn't call the webhook"),
            "inject" => (GOOD, "is injected"),
            "observe" => (ATTENTION, "would be injected, and is only observed"),
            _ => (BAD, "is left alone"),
        }
    }
}

impl Calls {
    fn write(&self, out: &mut String, width: Option<usize>) {
        let (style, answer) = match self.called {
            "yes" => (GOOD, "calls the webhook"),
            "no" => (BAD, "doesn't call the webhook"),
            _ => (ATTENTION, "may call the webhook: not all is known"),
        };
        section(out, &format!("the API server {style}{answer}{style:#}"));
        for entry in &self.entries {
            let (style, word) = match entry.called {
                "yes" => (GOOD, "called"),
                "no" => (DIM, "not called"),
                _ => (ATTENTION, "unknown"),
            };
            let why = entry.decisive().map_or(String::new(), |step| {
                format!(": {}: {}", step.step, step.detail.as_deref().unwrap_or_default())
            });
            out.push_str(&wrapped(&format!("{BOLD}{}{BOLD:#} {style}{word}{style:#}{why}", entry.name), 4, width));
        }
        for entry in self.entries.iter().filter(|entry| entry.called == "yes") {
            let service = entry.service.as_deref().unwrap_or("a URL");
            let ready = entry.ready_endpoints.map_or_else(|| "unknown".to_owned(), |ready| ready.to_string());
            let line = format!("Service {service}: endpoints ready: {ready}; failurePolicy {}", entry.failure_policy);
            out.push_str(&wrapped(&line, 4, width));
        }
        for obstacle in &self.obstacles {
            let line = format!("{BAD}{}{BAD:#}; next: {}", obstacle.what, obstacle.next_step);
            out.push_str(&wrapped(&line, 4, width));
        }
        if !self.others.is_empty() {
            section(out, "other webhooks for this pod");
        }
        for other in &self.others {
            out.push_str(&wrapped(&other.told(), 4, width));
        }
    }
}

impl Other {
    fn told(&self) -> String {
        let Self { registration, name, called, order, injector } = self;
        let perhaps = if *called == "yes" { "called" } else { "may be called" };
        let injects = injector.map_or(String::new(), |injector| {
            format!("; {ATTENTION}{injector}{ATTENTION:#} may set the same variables, and what it set first stays")
        });
        format!("{BOLD}{name}{BOLD:#} of {registration} {perhaps} {order} otelgate's{injects}")
    }
}

impl Running {
    fn write(&self, out: &mut String, width: Option<usize>) {
        let Self { replica, written, collector, opted_in, enabled_since, left_alone_until } = self;
        section(out, "this pod");
        out.push_str(&replica.coverage.told(width));
        if let Some(why) = collector {
            out.push_str(&why.told("", 4, width));
        }
        let created = replica.created.as_deref().unwrap_or("at an unknown time");
        let node = replica.node.as_deref().map_or("on no node yet".to_owned(), |node| format!("on node {node}"));
        let mut line = format!("created {created}, {node}");
        for (what, time) in [("namespace opted in", opted_in), ("mode enabled", enabled_since)] {
            if let Some(time) = time {
                write!(line, "; {what} {time} at the latest").expect("a String takes all");
            }
        }
        if let Some(until) = left_alone_until {
            write!(line, "; pods of the namespace left alone until {until}").expect("a String takes all");
        }
        out.push_str(&wrapped(&line, 4, width));
        if let Some(written) = written {
            // Anybody who may create the pod may have written this.
            out.push_str(&wrapped(&printable(&written.told()), 4, width));
        }
    }
}

impl Record {
    fn told(&self) -> String {
        let Self { version, configuration, containers, labels, annotations, edited } = self;
        let mut line = format!("otelgate {version} wrote, with configuration {configuration}: ");
        for (name, variables) in containers {
            write!(line, "{} into container {name}, ", counted(variables.len(), "variable"))
                .expect("a String takes all");
        }
        write!(line, "{}, {}", counted(labels.len(), "label"), counted(annotations.len(), "annotation"))
            .expect("a String takes all");
        if !edited.is_empty() {
            write!(line, "; edited since: {}", edited.join(", ")).expect("a String takes all");
        }
        line
    }
}

impl Replicas {
    fn write(&self, out: &mut String, width: Option<usize>) {
        let counts: Vec<_> = self.counts.iter().map(|(code, count)| format!("{count} {code}")).collect();
        let counts = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
        section(out, &format!("{}{counts}", counted(self.total, "running pod")));
        let mut table = Table::new([
            Column::flexible("POD"),
            Column::flexible("NODE"),
            Column::fixed("CREATED"),
            Column::fixed("STATE"),
        ]);
        // Those that need somebody come first.
        let mut items: Vec<_> = self.items.iter().collect();
        items.sort_by_key(|item| !item.coverage.needs_attention());
        for item in items.iter().take(MOST_PODS) {
            let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
            let state = Cell::new(item.coverage.style(), item.coverage.code());
            table.push([item.name.clone().into(), text(&item.node).into(), text(&item.created).into(), state]);
        }
        if !table.is_empty() {
            out.push_str(&table.render(4, width));
        }
        if let Some(more) = items.len().checked_sub(MOST_PODS).filter(|more| *more > 0) {
            writeln!(out, "    and {more} more").expect("a String takes all");
        }
        let present = Coverage::ALL.into_iter().filter(|one| self.counts.contains_key(one.code()));
        for coverage in present.filter(|coverage| coverage.needs_attention()) {
            out.push_str(&coverage.told(width));
        }
    }
}

impl Coverage {
    const fn needs_attention(self) -> bool {
        !matches!(self, Self::Injected | Self::NotExpected)
    }

    const fn style(self) -> Style {
        match self {
            Self::Injected => GOOD,
            Self::NotExpected => DIM,
            Self::Missed => BAD,
            Self::Outdated | Self::RestartPending | Self::LeftOver => ATTENTION,
        }
    }

    fn told(self, width: Option<usize>) -> String {
        let style = self.style();
        let next = if self.needs_attention() { format!("; next: {}", self.next_step()) } else { String::new() };
        wrapped(&format!("{style}{}{style:#}: {}{next}", self.code(), self.summary()), 4, width)
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
    let names: Vec<_> = keys.iter().map(|key| printable(&key.key)).collect();
    let columns = widths(names.iter().zip(keys).map(|(name, key)| [&**name, key.source]));
    let mut reasons: Vec<(&Why, Vec<&str>)> = Vec::new();
    let before = INDENT + columns[0] + GAP + VERB + GAP + columns[1] + GAP;
    // On a narrow terminal, source and value have a line of their own.
    let is_narrow = width.is_some_and(|width| before + NARROWEST > width);
    let room = width.unwrap_or(PIPED).saturating_sub(if is_narrow { INDENT + GAP + columns[1] + GAP } else { before });
    for (key, Told { action, source, value, reason, .. }) in names.iter().zip(keys) {
        let (style, verb) = match action {
            Action::Set => (GOOD, "set"),
            Action::Merged => (GOOD, "appended"),
            Action::Kept => (DIM, "kept"),
            Action::Left => (ATTENTION, "left out"),
        };
        let value = shortened(&printable(value.as_deref().unwrap_or_default()), room);
        let what = [(BOLD, &**key, columns[0]), (style, verb, VERB)];
        let whence = [(DIM, *source, columns[1]), (Style::new(), value.as_str(), 0)];
        if is_narrow {
            line_of(out, INDENT, &what);
            if whence.iter().any(|(_, text, _)| !text.is_empty()) {
                line_of(out, INDENT + GAP, &whence);
            }
        } else {
            line_of(out, INDENT, &[what, whence].concat());
        }
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
    let width = width.max(NARROWEST);
    if value.chars().count() <= width {
        return value.to_owned();
    }
    value.chars().take(width - 1).chain(['…']).collect()
}

fn widths<'a>(rows: impl Iterator<Item = [&'a str; 2]>) -> [usize; 2] {
    rows.fold([0, 0], |widths, row| [0, 1].map(|column| widths[column].max(row[column].chars().count())))
}

fn line_of(out: &mut String, indent: usize, cells: &[(Style, &str, usize)]) {
    // Empty cells at the end, and the last one's padding, would only be blanks.
    let filled = cells.iter().rposition(|(_, text, _)| !text.is_empty()).map_or(0, |last| last + 1);
    let width = |index, width| if index + 1 == filled { 0 } else { width };
    let cells = cells[..filled].iter().enumerate();
    let line: Vec<_> = cells.map(|(index, (style, text, wide))| styled(*style, text, width(index, *wide))).collect();
    writeln!(out, "{}{}", " ".repeat(indent), line.join("  ")).expect("a String takes all");
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::super::running::Replica;
    use super::*;

    #[test]
    fn a_pod_that_sends_for_nothing_is_said_to() {
        let why = Why { code: "NodeWithoutCollector", summary: "what it sends is lost".into(), next_step: "look" };
        let (name, node) = ("web".to_owned(), Some("node-7".to_owned()));
        let running = Running {
            replica: Replica { name, node, created: None, coverage: Coverage::Injected },
            written: None,
            collector: Some(why),
            opted_in: None,
            enabled_since: None,
            left_alone_until: Some("2026-11-02T13:00:00Z".to_owned()),
        };
        let mut out = String::new();
        running.write(&mut out, None);
        let told = anstream::adapter::strip_str(&out).to_string();
        assert!(told.contains("\n    NodeWithoutCollector: what it sends is lost; next: look\n"), "{told}");
        let left_alone = "on node node-7; pods of the namespace left alone until 2026-11-02T13:00:00Z\n";
        assert!(told.contains(left_alone), "{told}");
    }
}
