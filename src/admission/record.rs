//! One log line per review, and its counts.
//!
//! `info` for what was injected, for what its creator is warned of and for what failed, `debug` for the rest. Names only,
//! never a value.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use tracing::{Level, debug, enabled, error, info};

use super::Entry;
use super::evaluate::{Refusal, Report};
use super::review::Outline;
use crate::inject::{Decision, Note, Reason, Workload};
use crate::metrics::Metrics;

/// Reasons, each once, joined by commas.
struct Codes<'n>(&'n [Note<'n>]);

/// What may be written of a name, in bytes: the longest legal one. Admission sees them before anybody checks them, and one
/// long line would drop many others from the queue.
const MAX_NAME: usize = 253;

pub fn decided(metrics: &Metrics, entry: Entry, took: Duration, report: &Report<'_>) {
    metrics.decided(entry, report.decision);
    let is_warned_of = matches!(report.decision, Decision::Skip { reason, .. } if reason.is_of_size());
    let matters = report.operations > 0 || is_warned_of;
    if !(matters && enabled!(Level::INFO) || enabled!(Level::DEBUG)) {
        return;
    }
    let (reason, notes) = match report.decision {
        Decision::Inject(plan) | Decision::Observe(plan) => (None, &plan.notes),
        Decision::Skip { reason, notes } => (Some(reason.code()), notes),
    };
    let plan = report.decision.plan();
    let owner = Owner::of(plan.map(|plan| &plan.workload));
    macro_rules! line {
        ($level:ident) => {
            $level!(
                k8s.namespace.name = report.request.namespace().map(short),
                k8s.pod.name = report.request.name().map(short),
                k8s.deployment.name = owner.deployment,
                k8s.statefulset.name = owner.stateful_set,
                k8s.daemonset.name = owner.daemon_set,
                k8s.cronjob.name = owner.cron_job,
                k8s.job.name = owner.job,
                otelgate.decision = report.decision.name(),
                otelgate.reason = reason,
                otelgate.notes = (!notes.is_empty()).then(|| tracing::field::display(Codes(notes))),
                otelgate.operations = report.operations,
                otelgate.path = entry.as_str(),
                otelgate.dry_run = report.request.dry_run,
                otelgate.request.uid = report.request.uid().map(short),
                otelgate.duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                "decided"
            )
        };
    }
    if matters { line!(info) } else { line!(debug) }
}

pub fn refused(metrics: &Metrics, entry: Entry, refusal: Refusal, outline: &Outline<'_>) {
    metrics.failed(entry, refusal.reason);
    macro_rules! line {
        ($level:ident) => {
            $level!(
                k8s.namespace.name = outline.namespace.as_deref().map(short),
                k8s.pod.name = outline.name.as_deref().map(short),
                otelgate.decision = "none",
                otelgate.reason = refusal.reason.code(),
                otelgate.path = entry.as_str(),
                otelgate.request.uid = outline.uid.as_deref().map(short),
                otelgate.line = refusal.place.map(|(line, _)| line),
                otelgate.column = refusal.place.map(|(_, column)| column),
                "let through undecided"
            )
        };
    }
    if refusal.reason == Reason::InternalError { line!(error) } else { line!(info) }
}

/// The owner's name, under the attribute of its kind.
#[derive(Default)]
struct Owner<'w> {
    deployment: Option<&'w str>,
    stateful_set: Option<&'w str>,
    daemon_set: Option<&'w str>,
    cron_job: Option<&'w str>,
    job: Option<&'w str>,
}

impl<'w> Owner<'w> {
    fn of(workload: Option<&'w Workload<'w>>) -> Self {
        let none = Self::default();
        match workload {
            Some(Workload::Deployment { name, .. }) => Self { deployment: Some(short(name)), ..none },
            Some(Workload::StatefulSet(name)) => Self { stateful_set: Some(short(name)), ..none },
            Some(Workload::DaemonSet(name)) => Self { daemon_set: Some(short(name)), ..none },
            Some(Workload::CronJob { name, job }) => {
                Self { cron_job: Some(short(name)), job: job.as_deref().map(short), ..none }
            }
            Some(Workload::Job(name)) => Self { job: Some(short(name)), ..none },
            _ => none,
        }
    }
}

fn short(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME)]
}

impl fmt::Display for Codes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons: BTreeSet<Reason> = self.0.iter().map(|note| note.reason).collect();
        for (index, reason) in reasons.into_iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(reason.code())?;
        }
        Ok(())
    }
}
