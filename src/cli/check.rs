//! `otelgate check`: a line for each check, with a next step for each that doesn't pass.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;

use super::cluster::{self, Connection};
use super::output::{ATTENTION, BAD, BOLD, Complaint, DIM, GOOD, styled, wrapped};
use super::table::{self, Format};
use super::{CHANGES, UNREADABLE};
use crate::check::{self, Checked, Outcome, Snapshot, Stage};

/// Check whether otelgate works in a cluster, or would.
///
/// Looks at everything that it needs, and changes nothing: the only object that it creates is a pod in a server-side dry
/// run. What may not be looked at is named with the right that is missing, and never passes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Args {
    #[command(flatten)]
    connection: Connection,
    /// Check whether it can be installed, before it is.
    #[arg(long)]
    pre: bool,
    /// For programs instead of people.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0   every check passed
  1   a check failed
  2   no check failed, but not all could be told; or the cluster can't be reached
  64  wrong usage
  74  standard output can't be written";

/// Of the results, each in front of its line.
const WORD: usize = 4;
const GAP: usize = 2;

/// What is told.
#[derive(Debug, Serialize)]
pub struct Report {
    namespace: String,
    stage: Stage,
    passed: usize,
    failed: usize,
    unknown: usize,
    checks: Vec<Checked>,
}

#[must_use]
pub fn run(args: &Args) -> ExitCode {
    cluster::run(try_run(args))
}

async fn try_run(args: &Args) -> Result<ExitCode, Complaint> {
    let Args { connection, pre, output } = args;
    let cluster = connection.open().await?;
    let namespace = cluster.otelgate_namespace().await?;
    let stage = if *pre { Stage::Before } else { Stage::After };
    // Boxed: it is large, with all that it asks for at once.
    let snapshot = Box::pin(check::fetch(&cluster.client, &namespace, stage)).await;
    if let Err(fault) = &snapshot.server
        && fault.is_of_connection()
    {
        return Err(cluster::complaint(&cluster.url, fault));
    }
    let report = Report::of(&snapshot);
    let code = report.code();
    Ok(table::end(&report, *output, code, |width| report.text(width)))
}

// === impl Report ===

impl Report {
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let checks = check::run(snapshot);
        let count = |wanted| checks.iter().filter(|one| one.result == wanted).count();
        Self {
            namespace: snapshot.namespace.clone(),
            stage: snapshot.stage,
            passed: count(Outcome::Pass),
            failed: count(Outcome::Fail),
            unknown: count(Outcome::Unknown),
            checks,
        }
    }

    fn code(&self) -> ExitCode {
        match (self.failed, self.unknown) {
            (0, 0) => ExitCode::SUCCESS,
            (0, _) => ExitCode::from(UNREADABLE),
            _ => ExitCode::from(CHANGES),
        }
    }

    fn text(&self, width: Option<usize>) -> String {
        let names = self.checks.iter().map(|one| one.check.len()).max().unwrap_or_default();
        let indent = WORD + GAP + names + GAP;
        let mut out = String::new();
        for Checked { check, summary, result, found, next } in &self.checks {
            let (style, word) = match result {
                Outcome::Pass => (GOOD, "ok"),
                Outcome::Fail => (BAD, "FAIL"),
                Outcome::Unknown => (ATTENTION, "?"),
            };
            let told = match (result, found.is_empty()) {
                (Outcome::Pass, true) => (*summary).to_owned(),
                (Outcome::Pass, false) => format!("{summary}: {DIM}{found}{DIM:#}"),
                (Outcome::Fail | Outcome::Unknown, _) => found.clone(),
            };
            let word = styled(style, word, WORD + GAP);
            let name = styled(BOLD, check, names + GAP);
            // The first line's indentation is where these stand.
            out.push_str(&word);
            out.push_str(&name);
            out.push_str(wrapped(&told, indent, width).trim_start_matches(' '));
            if !next.is_empty() {
                out.push_str(&wrapped(&format!("next: {next}"), indent, width));
            }
        }
        let Self { passed, failed, unknown, checks, namespace, .. } = self;
        let total = checks.len();
        writeln!(
            out,
            "\n{total} checks of otelgate in namespace {namespace}: {passed} passed, {failed} failed, {unknown} unknown"
        )
        .expect("a String takes all");
        out
    }
}

#[cfg(test)]
#[path = "check/tests.rs"]
mod tests;
