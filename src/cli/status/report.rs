//! A status, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::Style;
use serde::{Deserialize as _, Serialize};
use serde_json::{Value, json};

use super::observe::{Gap, Observed, Owner, Tally};
use super::underway::Underway;
use crate::api::condition::ConditionType;
use crate::api::stack::{self, Owners};
use crate::api::{OptIn, object};
use crate::check;
use crate::cli::output::{ATTENTION, BAD, BOLD, DIM, GOOD, styled, wrapped};
use crate::cli::table::{Cell, Column, Table};
use crate::coverage::Coverage;
use crate::unavailable::Unavailable;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// First, because it is the switch for everything.
    mode: Option<OptIn>,
    /// Otelgate's own.
    namespace: String,
    stack: Option<Stack>,
    /// The hash of what is put into pods.
    configuration: Option<String>,
    webhook: Option<Program>,
    controller: Option<Program>,
    /// The replica of the controller that is at work.
    active: Option<String>,
    /// As the controller tells them.
    certificates: Option<Value>,
    namespaces: Vec<Covered>,
    workloads: Vec<Covered>,
    /// What couldn't be looked at, or is too far apart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<Gap>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stack {
    accepted: Option<bool>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    /// `None` before a controller has looked at all parts.
    ready: Option<bool>,
    conditions: Vec<Told>,
    /// Nodes with a Collector that is ready, of those that should have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    collector: Option<String>,
    /// Collectors that send what they take in, of those that there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivering: Option<String>,
    /// Nodes with a Datadog Agent that is ready, of those that should have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    /// How the Agent comes about; with `auto`, what that was decided to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_mode: Option<String>,
    /// Replicas of the Cluster Agent that are ready, of those that there should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_agent: Option<String>,
    /// Who has each kind of data.
    #[serde(skip_serializing_if = "Value::is_null")]
    owners: Value,
    #[serde(flatten)]
    underway: Underway,
}

/// What the controller says of one part.
#[derive(Debug, Serialize)]
struct Told {
    #[serde(rename = "type")]
    of: String,
    status: String,
    reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

#[derive(Debug, Serialize)]
struct Program {
    ready: i64,
    desired: i64,
}

/// Pods of a namespace, or of a workload.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Covered {
    namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    opt_in: Option<OptIn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    pods: usize,
    /// By code; those that there are none of are left out.
    coverage: BTreeMap<&'static str, usize>,
    #[serde(skip)]
    tally: Tally,
}

/// Left of what is told.
const LABELS: usize = 15;
/// Those that deserve a look, the most urgent first.
const ATTENTIVE: [Coverage; 4] = [Coverage::Missed, Coverage::RestartPending, Coverage::Outdated, Coverage::LeftOver];
/// Workloads in a table for people.
const MOST: usize = 50;

// === impl Report ===

impl Report {
    #[must_use]
    pub fn of(observed: &Observed) -> Self {
        let Observed { namespace, stacks, deployments, lease, configuration, namespaces, tallies, gaps } = observed;
        let mut unknown = gaps.clone();
        let mut told = |what: &str, fault: &Unavailable| {
            unknown.push(Gap { what: format!("{what}: {fault}"), next_step: fault.next_step() });
        };
        let stacks = stacks.as_ref().map_err(|fault| told("TelemetryStack", fault)).ok();
        let deployments = deployments.as_ref().map_err(|fault| told("webhook and controller", fault)).ok();
        let lease = lease.as_ref().map_err(|fault| told("the active controller", fault)).ok();
        let stack = stacks.and_then(|stacks| stacks.iter().find(|stack| stack["metadata"]["name"] == object::STACK));
        let program = |name: &str| {
            let deployment = deployments?.iter().find(|one| one["metadata"]["name"] == name)?;
            let ready = deployment["status"]["readyReplicas"].as_i64().unwrap_or_default();
            Some(Program { ready, desired: deployment["spec"]["replicas"].as_i64().unwrap_or(1) })
        };
        let (webhook, controller) = (program(object::WEBHOOK), program(object::CONTROLLER));
        unknown.extend(deployments.and_then(|deployments| too_far_apart(deployments)));
        let holder = lease.and_then(|lease| lease.as_ref()?["spec"]["holderIdentity"].as_str());
        Self {
            mode: configuration.as_ref().ok().map(crate::config::Configuration::mode),
            namespace: namespace.clone(),
            stack: stack.map(Stack::of),
            configuration: configuration.as_ref().ok().map(|configuration| configuration.hash().to_owned()),
            webhook,
            controller,
            active: holder.filter(|holder| !holder.is_empty()).map(ToOwned::to_owned),
            certificates: stack.map(|stack| stack["status"]["certificates"].clone()).filter(|told| !told.is_null()),
            namespaces: of_namespaces(namespaces, tallies),
            workloads: tallies.iter().map(|(owner, tally)| Covered::of_workload(owner, *tally)).collect(),
            unknown,
        }
    }

    #[must_use]
    pub fn text(&self, width: Option<usize>) -> String {
        let mut out = String::new();
        for (label, style, told) in self.head() {
            out.push_str(&styled(BOLD, label, LABELS));
            out.push_str(wrapped(&styled(style, told, 0), LABELS, width).trim_start_matches(' '));
        }
        for told in self.stack.iter().flat_map(Stack::troubles) {
            let Told { of, reason, message, .. } = told;
            let style = if told.status == "False" { BAD } else { ATTENTION };
            out.push_str(&wrapped(&format!("{style}{of}{style:#} {reason}: {message}"), 0, width));
        }
        out.push('\n');
        if !self.namespaces.is_empty() {
            out.push_str(&self.by_namespace().render(0, width));
        } else if self.unknown.is_empty() {
            out.push_str(
                "no namespace is opted in, and no pod: kubectl label namespace NAME otelgate.dev/inject=enabled\n",
            );
        }
        out.push_str(&self.attention(width));
        for Gap { what, next_step } in &self.unknown {
            out.push_str(&wrapped(&format!("{ATTENTION}unknown{ATTENTION:#} {what}; next: {next_step}"), 0, width));
        }
        out
    }

    fn head(&self) -> Vec<(&'static str, Style, String)> {
        let mode = match self.mode {
            None => (ATTENTION, "unknown".to_owned()),
            Some(OptIn::Enabled) => (GOOD, "enabled".to_owned()),
            Some(OptIn::Observe) => (ATTENTION, "observe: pods are decided about and left as they are".to_owned()),
            Some(OptIn::Disabled) => (BAD, "disabled: no pod is injected, whatever its labels say".to_owned()),
        };
        // What couldn't be asked for isn't known not to be there.
        let absent = if self.unknown.is_empty() { "none" } else { "unknown" };
        let stack = match &self.stack {
            None => (ATTENTION, absent.to_owned()),
            Some(Stack { accepted: Some(true), ready: Some(true), .. }) => (GOOD, "ready".to_owned()),
            Some(Stack { accepted: Some(true), ready: Some(false), .. }) => {
                (BAD, "accepted, and not all of it is as it should be".to_owned())
            }
            Some(Stack { accepted: Some(true), ready: None, .. }) => (GOOD, "accepted".to_owned()),
            Some(Stack { accepted: None, .. }) => (ATTENTION, "not looked at by a controller yet".to_owned()),
            Some(Stack { reason, message, .. }) => (BAD, format!("{reason}: {message}")),
        };
        let program = |program: &Option<Program>| match program {
            None => (ATTENTION, absent.to_owned()),
            Some(Program { ready, desired }) => {
                (if ready >= desired { GOOD } else { BAD }, format!("{ready}/{desired} ready"))
            }
        };
        let mut controller = program(&self.controller);
        if let Some(active) = &self.active {
            write!(controller.1, ", {active} active").expect("a String takes all");
        }
        let text = |field: &str| self.certificates.as_ref().and_then(|told| told[field].as_str()).unwrap_or("unknown");
        let certificate = match &self.certificates {
            None => (DIM, "unknown".to_owned()),
            Some(_) => (Style::new(), {
                format!(
                    "until {}, of {}, whose authority ends at {}",
                    text("leafNotAfter"),
                    text("provider"),
                    text("authorityNotAfter")
                )
            }),
        };
        let configuration = self.configuration.clone().unwrap_or_else(|| "unknown".to_owned());
        let line = |label, (style, told): (Style, String)| (label, style, told);
        let mut lines = vec![
            line("mode", mode),
            line("stack", stack),
            line("configuration", (Style::new(), configuration)),
            line("webhook", program(&self.webhook)),
            line("controller", controller),
            line("certificate", certificate),
        ];
        lines.extend(self.stack.iter().flat_map(Stack::parts));
        lines
    }

    fn by_namespace(&self) -> Table {
        let mut table = Table::new([
            Column::flexible("NAMESPACE"),
            Column::fixed("OPT-IN"),
            Column::fixed("PODS"),
            Column::fixed("INJECTED"),
            Column::fixed("OUTDATED"),
            Column::fixed("TO RESTART"),
            Column::fixed("MISSED"),
        ]);
        for Covered { namespace, opt_in, pods, tally, .. } in &self.namespaces {
            let number = |style: Style, coverage| {
                let count = tally.get(coverage);
                Cell::new(if count == 0 { Style::new() } else { style }, count.to_string())
            };
            table.push([
                Cell::new(BOLD, namespace),
                opt_in.map_or_else(|| "by pod".into(), |opt_in| opt_in.as_str().into()),
                pods.to_string().into(),
                number(GOOD, Coverage::Injected),
                number(ATTENTION, Coverage::Outdated),
                number(ATTENTION, Coverage::RestartPending),
                number(BAD, Coverage::Missed),
            ]);
        }
        table
    }

    /// Workloads with pods that aren't as they should be, and what to do about each kind.
    fn attention(&self, width: Option<usize>) -> String {
        let mut out = String::new();
        for coverage in ATTENTIVE {
            let workloads: Vec<&Covered> = self.workloads.iter().filter(|one| one.tally.get(coverage) > 0).collect();
            if workloads.is_empty() {
                continue;
            }
            out.push('\n');
            let title = format!("{ATTENTION}{}{ATTENTION:#}: {}", coverage.code(), coverage.summary());
            out.push_str(&wrapped(&format!("{title}; next: {}", coverage.next_step()), 0, width));
            let mut table =
                Table::new([Column::flexible("NAMESPACE"), Column::flexible("WORKLOAD"), Column::fixed("PODS")]);
            for Covered { namespace, kind, name, pods, tally, .. } in workloads.iter().take(MOST) {
                let workload =
                    format!("{}/{}", kind.as_deref().unwrap_or_default(), name.as_deref().unwrap_or_default());
                let count = format!("{} of {pods}", tally.get(coverage));
                table.push([namespace.as_str().into(), workload.into(), count.into()]);
            }
            out.push_str(&table.render(2, width));
            if let Some(more) = workloads.len().checked_sub(MOST).filter(|more| *more > 0) {
                writeln!(out, "  and {more} more; -o json has all").expect("a String takes all");
            }
        }
        out
    }
}

/// By namespace: those that are opted in, with or without pods, and those with pods that have to do with otelgate.
fn of_namespaces(namespaces: &BTreeMap<String, OptIn>, tallies: &BTreeMap<Owner, Tally>) -> Vec<Covered> {
    let opted_in = namespaces.iter().filter(|(_, opt_in)| **opt_in != OptIn::Disabled);
    let mut sums: BTreeMap<&str, Tally> = opted_in.map(|(name, _)| (name.as_str(), Tally::default())).collect();
    for (owner, tally) in tallies {
        sums.entry(&owner.namespace).or_default().add(*tally);
    }
    let covered = |(name, tally): (&str, Tally)| Covered::new(name, namespaces.get(name).copied(), None, tally);
    sums.into_iter().map(covered).collect()
}

/// Each owner with what it has, by the names that the status gives both.
fn by_owner(owners: Owners) -> String {
    let owners = json!(owners);
    let named = |owner: stack::Owner| {
        let owner = json!(owner);
        let of_it = owners.as_object().into_iter().flatten().filter(|(_, one)| **one == owner);
        let data: Vec<_> = of_it.map(|(data, _)| data.as_str()).collect();
        (!data.is_empty()).then(|| format!("{}: {}", owner.as_str().unwrap_or_default(), data.join(", ")))
    };
    let all = [stack::Owner::Collector, stack::Owner::Agent, stack::Owner::Nobody];
    all.into_iter().filter_map(named).collect::<Vec<_>>().join("; ")
}

/// Programs of versions that weren't made to work together.
fn too_far_apart(deployments: &[Value]) -> Option<Gap> {
    let deployments: Vec<_> = deployments.iter().filter_map(|one| serde_json::from_value(one.clone()).ok()).collect();
    match check::versions(env!("CARGO_PKG_VERSION"), &deployments) {
        Err(check::Objection::Fail { found, next }) => {
            Some(Gap { what: format!("what newer or older versions show: {found}"), next_step: next })
        }
        Ok(_) | Err(check::Objection::Unknown { .. }) => None,
    }
}

// === impl Stack ===

impl Stack {
    fn of(stack: &Value) -> Self {
        let status = &stack["status"];
        let conditions: Vec<Told> =
            status["conditions"].as_array().map_or_else(Vec::new, |all| all.iter().map(Told::of).collect());
        let named = |name: ConditionType| conditions.iter().find(|one| one.of == name.as_str());
        let accepted = named(ConditionType::ConfigurationAccepted);
        let holds = |one: &Told| one.status == "True";
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        Self {
            accepted: accepted.map(holds),
            reason: accepted.map(|one| one.reason.clone()).unwrap_or_default(),
            message: accepted.map(|one| one.message.clone()).unwrap_or_default(),
            ready: named(ConditionType::Ready).filter(|one| one.status != "Unknown").map(holds),
            collector: text(&status["collector"]["ready"]),
            delivering: text(&status["delivery"]["delivering"]),
            agent: text(&status["agent"]["nodes"]),
            agent_mode: text(&status["agent"]["mode"]),
            cluster_agent: text(&status["agent"]["clusterAgent"]),
            owners: status["owners"].clone(),
            underway: Underway::of(status),
            conditions,
        }
    }

    /// What runs on nodes, and what is under way, as far as a controller has told.
    fn parts(&self) -> Vec<(&'static str, Style, String)> {
        let style = |number: &str| match number.split_once('/') {
            Some((some, all)) if some == all => GOOD,
            Some(_) => BAD,
            None => DIM,
        };
        let mut parts = Vec::new();
        if let Some(nodes) = &self.collector {
            let mut told = if nodes.contains('/') { format!("{nodes} ready") } else { nodes.clone() };
            if let Some(delivering) = &self.delivering {
                write!(told, ", {delivering} delivering").expect("a String takes all");
            }
            parts.push(("collector", style(nodes), told));
        }
        if let Some(nodes) = &self.agent {
            let mut told = if nodes.contains('/') { format!("{nodes} ready") } else { nodes.clone() };
            if let Some(mode) = &self.agent_mode {
                write!(told, ", mode {mode}").expect("a String takes all");
            }
            let replicas = self.cluster_agent.as_deref();
            if let Some(replicas) = replicas {
                write!(told, ", Cluster Agent {replicas} ready").expect("a String takes all");
            }
            let is_short = replicas.map(style) == Some(BAD);
            parts.push(("agent", if is_short { BAD } else { style(nodes) }, told));
        }
        // Another version may know other kinds of data.
        if let Ok(owners) = Owners::deserialize(&self.owners) {
            parts.push(("owners", Style::new(), by_owner(owners)));
        }
        parts.extend(self.underway.lines());
        parts
    }

    /// Conditions that don't hold, but for those that are told elsewhere.
    fn troubles(&self) -> impl Iterator<Item = &Told> {
        let elsewhere = [ConditionType::ConfigurationAccepted, ConditionType::InjectionComplete, ConditionType::Ready];
        let is_elsewhere = move |one: &Told| elsewhere.iter().any(|name| one.of == name.as_str());
        self.conditions.iter().filter(move |one| one.status != "True" && !is_elsewhere(one))
    }
}

// === impl Told ===

impl Told {
    fn of(condition: &Value) -> Self {
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        Self { of: text("type"), status: text("status"), reason: text("reason"), message: text("message") }
    }
}

// === impl Covered ===

impl Covered {
    fn new(namespace: &str, opt_in: Option<OptIn>, workload: Option<(&str, &str)>, tally: Tally) -> Self {
        let counts = Coverage::ALL.into_iter().map(|coverage| (coverage.code(), tally.get(coverage)));
        Self {
            namespace: namespace.to_owned(),
            opt_in,
            kind: workload.map(|(kind, _)| kind.to_owned()),
            name: workload.map(|(_, name)| name.to_owned()),
            pods: tally.total(),
            coverage: counts.filter(|(_, count)| *count > 0).collect(),
            tally,
        }
    }

    fn of_workload(owner: &Owner, tally: Tally) -> Self {
        Self::new(&owner.namespace, None, Some((&owner.kind, &owner.name)), tally)
    }
}
