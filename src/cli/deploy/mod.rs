//! `otelgate deploy` and `otelgate update`: the chart in this program, installed by the `helm` program, and what a chart
//! can't do: namespaces, the Secret with Datadog's key, an upgrade of the `CustomResourceDefinition`.

mod apply;
mod chart;
pub mod helm;
pub mod observe;
pub mod wait;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::cluster::{self, Cluster, Connection};
use super::output::{self, ATTENTION, BOLD, Complaint, DIM, GOOD, wrapped};
use super::table::{self, Cell, Column, Format, Table};
use super::{CHANGES, USAGE};
use crate::deploy::plan::{self, Line, PlanError, Wanted};
use crate::deploy::progress;
use crate::deploy::release::{self, Installed, Rendered};
use crate::deploy::{ApiKey, Plan, Version, credentials};
use apply::Tools;
use chart::{ValueArgs, Workspace};
use helm::Helm;
use wait::Channel;

/// Install otelgate into a cluster, or bring what is installed to this version.
///
/// Makes and labels the namespaces, writes Datadog's API key from the environment variable `DD_API_KEY` into a Secret,
/// applies the `CustomResourceDefinition`, has Helm install the chart that is in this program, and waits until all of it
/// works. Values of an earlier installation are kept, and the given ones put over them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Args {
    #[command(flatten)]
    values: ValueArgs,
    /// Say what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// How long to wait until all of it works.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = super::webhook::duration)]
    timeout: Duration,
    /// The Helm to use; otherwise the one in the search path. 3.14 or later.
    #[arg(long, value_name = "FILE")]
    helm: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
    /// For programs instead of people; progress then goes to standard error.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
}

/// Bring an installed otelgate to this version.
///
/// Applies the `CustomResourceDefinition` first, which Helm never upgrades, then does as `otelgate deploy` does: values
/// are kept, the given ones are put over them, and the chart's new defaults come in.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct UpdateArgs {
    #[command(flatten)]
    args: Args,
}

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   not all of it works within the time
  2   the cluster can't be reached, or refuses something, or Helm does
  64  wrong usage
  74  standard output can't be written";

/// What was planned, and what became of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    version: String,
    namespace: &'a str,
    release: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    installed: Option<&'a Installed>,
    dry_run: bool,
    steps: Vec<Line>,
    /// The chart's objects.
    objects: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    progress: Vec<progress::Line>,
}

/// Which of the two commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Deploy,
    Update,
}

/// What stopped a command, and how it ends.
pub struct Stop {
    pub complaint: Complaint,
    pub code: u8,
}

pub fn run(args: &Args) -> ExitCode {
    cluster::run(interruptible(deploy(args, Verb::Deploy)))
}

pub fn update(args: &UpdateArgs) -> ExitCode {
    cluster::run(interruptible(deploy(&args.args, Verb::Update)))
}

/// Ends a command on Ctrl-C so that it tidies up behind itself.
///
/// # Errors
/// As the command.
pub async fn interruptible(command: impl Future<Output = Result<ExitCode, Stop>>) -> Result<ExitCode, Complaint> {
    let stop = tokio::select! {
        result = command => match result {
            Ok(code) => return Ok(code),
            Err(stop) => stop,
        },
        _ = tokio::signal::ctrl_c() => Stop {
            complaint: Complaint {
                place: "interrupted".to_owned(),
                message: "what was begun isn't finished".to_owned(),
                next: "run the same command again: it goes on from where it is".to_owned(),
            },
            code: INTERRUPTED,
        },
    };
    output::complain(&[stop.complaint]);
    Ok(ExitCode::from(stop.code))
}

/// As a shell has it for SIGINT.
const INTERRUPTED: u8 = 130;

impl From<Complaint> for Stop {
    fn from(complaint: Complaint) -> Self {
        Self { complaint, code: super::UNREADABLE }
    }
}

async fn deploy(args: &Args, verb: Verb) -> Result<ExitCode, Stop> {
    let Args { values, dry_run, timeout, helm, connection, output: format } = args;
    let channel = if format.is_some() { Channel::Stderr } else { Channel::Stdout };
    let key = api_key()?;
    let cluster = connection.open().await?;
    let server = observe::version(&cluster).await?;
    let namespace = cluster.otelgate_namespace().await?;
    // Helm would only say that the chart refuses it.
    plan::check_namespace(&namespace, None).map_err(|error| in_the_way(&namespace, &error))?;
    let helm = Helm::find(helm.as_deref(), connection).map_err(|absent| absent.complaint(&namespace))?;
    let mut workspace = Workspace::new(values)?;
    let installed = helm.installed(&namespace).await?;
    if verb == Verb::Update && installed.is_none() {
        return Err(nothing_to_update(&namespace).into());
    }
    if let Some(installed) = &installed {
        workspace.start_from(&kept_values(&helm, installed).await?)?;
    }
    let release = installed.as_ref().map_or(release::NAME, |installed| &installed.name).to_owned();
    let rendered = workspace.render(&helm, &release, &namespace, server).await?;
    let observed = observe::observe(&cluster, &namespace, &rendered, installed).await?;
    let wanted = Wanted { release, namespace, version: Version::own(), rendered, key };
    let plan = plan::plan(&wanted, &observed).map_err(|error| in_the_way(&wanted.namespace, &error))?;
    let missing = observe::missing(&cluster, plan::rights(&plan, &wanted.rendered)).await?;
    if !missing.is_empty() {
        return Err(not_allowed(&cluster, &missing).into());
    }
    if format.is_none() || !dry_run {
        channel.say(&told(&plan, *dry_run, channel.width()));
    }
    if *dry_run {
        let report = report(&plan, &wanted.rendered, true, Vec::new());
        return Ok(table::end(&report, *format, ExitCode::SUCCESS, |_| String::new()));
    }
    let tools = Tools { cluster: &cluster, helm: &helm, workspace: &workspace, key: wanted.key.as_ref() };
    for step in &plan.steps {
        tools.perform(&plan, step).await?;
        let line = plan.line(step);
        if !matches!(line.action, "keep" | "skip") {
            channel.say(&format!("{GOOD}done{GOOD:#}     {}: {}\n", line.object, past(line.action)));
        }
    }
    let progress = await_all(&cluster, &wanted, *timeout, channel).await?;
    let ready = progress::is_done(&progress);
    channel.say(&ending(&wanted, &progress, *timeout, channel.width()));
    let report = report(&plan, &wanted.rendered, false, progress);
    let code = if ready { ExitCode::SUCCESS } else { ExitCode::from(CHANGES) };
    Ok(if format.is_some() { table::end(&report, *format, code, |_| String::new()) } else { code })
}

/// Datadog's key, from the environment. A key that isn't one is worth stopping for before anything is done.
fn api_key() -> Result<Option<ApiKey>, Stop> {
    let variable = credentials::VARIABLE;
    let Some(text) = std::env::var_os(variable) else { return Ok(None) };
    let text = text.to_str().unwrap_or_default();
    match ApiKey::parse(text) {
        Ok((key, trimmed)) => {
            if trimmed {
                Channel::Stderr.say(&format!(
                    "{ATTENTION}note{ATTENTION:#}: blanks or a line end around the key in {variable} are taken away\n"
                ));
            }
            Ok(Some(key))
        }
        Err(fault) => Err(Stop {
            complaint: Complaint {
                place: format!("${variable}"),
                message: format!("isn't a Datadog API key: {fault}"),
                next: format!("set it to an API key, or do without: env -u {variable} otelgate …"),
            },
            code: USAGE,
        }),
    }
}

/// What somebody set when the release was made or changed, without the chart's defaults.
async fn kept_values(helm: &Helm, installed: &Installed) -> Result<String, Complaint> {
    let text = helm.run(["get", "values", &installed.name, "--namespace", &installed.namespace, "-o", "json"]).await?;
    // Nothing at all is told as null.
    Ok(if text.trim() == "null" { "{}".to_owned() } else { text })
}

async fn await_all(
    cluster: &Cluster,
    wanted: &Wanted,
    limit: Duration,
    channel: Channel,
) -> Result<Vec<progress::Line>, Complaint> {
    // Without the controller nobody makes what the webhook waits for.
    if !wanted.rendered.objects.iter().any(|object| object["kind"] == "TelemetryStack") {
        return Ok(Vec::new());
    }
    let deployments = wanted.rendered.objects.iter().filter(|object| object["kind"] == "Deployment");
    let names: Vec<String> =
        deployments.filter_map(|object| object["metadata"]["name"].as_str()).map(Into::into).collect();
    wait::wait(cluster, &wanted.namespace, &names, limit, channel).await
}

fn report<'a>(plan: &'a Plan, rendered: &Rendered, dry_run: bool, progress: Vec<progress::Line>) -> Report<'a> {
    Report {
        version: plan.version.to_string(),
        namespace: &plan.namespace,
        release: &plan.release,
        installed: plan.installed.as_ref(),
        dry_run,
        steps: plan.lines(),
        objects: rendered.names(),
        ready: (!dry_run).then(|| progress::is_done(&progress)),
        progress,
    }
}

// What is told.

fn told(plan: &Plan, dry_run: bool, width: Option<usize>) -> String {
    let Plan { version, namespace, .. } = plan;
    let mut text = format!("{BOLD}otelgate {version} in namespace {namespace}{BOLD:#}\n");
    if let Some(installed) = &plan.installed
        && installed.app_version != version.to_string()
    {
        let from = &installed.app_version;
        text.push_str(&wrapped(&format!("{from} is installed; this program is {version}"), 2, width));
    }
    let mut table = Table::new([Column::fixed("ACTION"), Column::fixed("OBJECT"), Column::flexible("")]);
    let lines = plan.lines();
    for line in &lines {
        let style = if matches!(line.action, "keep" | "skip") { DIM } else { GOOD };
        table.push([Cell::new(style, line.action), line.object.clone().into(), line.detail.clone().into()]);
    }
    text.push_str(&table.render(2, width));
    for line in &lines {
        let Some(advice) = &line.advice else { continue };
        let message = format!("{ATTENTION}note{ATTENTION:#}: {}: {}; to change that:", line.object, advice.message);
        text.push_str(&wrapped(&message, 2, width));
        writeln!(text, "    {}", advice.command).expect("writing to a String can't fail");
    }
    if dry_run {
        text.push_str("Nothing was changed.\n");
    }
    text
}

fn past(action: &str) -> &'static str {
    match action {
        "create" => "created",
        "install" => "installed",
        "upgrade" => "upgraded",
        _ => "changed",
    }
}

fn ending(wanted: &Wanted, progress: &[progress::Line], limit: Duration, width: Option<usize>) -> String {
    let held: Vec<&str> = progress.iter().filter(|line| !line.ready).map(|line| line.object.as_str()).collect();
    let version = wanted.version;
    if progress.is_empty() {
        let webhook = crate::api::object::WEBHOOK;
        let text = format!(
            "otelgate {version} is installed without its controller; next: write its configuration and certificate, then \
             kubectl get deployment {webhook} --namespace {}",
            wanted.namespace
        );
        return wrapped(&text, 0, width);
    }
    if held.is_empty() {
        let text = format!("otelgate {version} is ready; next: otelgate check; then opt a namespace in:");
        let label = crate::api::label::INJECT;
        return wrapped(&text, 0, width) + &format!("  kubectl label namespace NAMESPACE {label}=enabled\n");
    }
    let text = format!("not ready within {} s: {}; next: otelgate check", limit.as_secs(), held.join(", "));
    wrapped(&text, 0, width)
}

fn nothing_to_update(namespace: &str) -> Complaint {
    Complaint {
        place: format!("namespace {namespace}"),
        message: "no release of otelgate is in it".to_owned(),
        next: "install it: otelgate deploy; or name its namespace: --otelgate-namespace NAMESPACE".to_owned(),
    }
}

fn in_the_way(namespace: &str, error: &PlanError) -> Complaint {
    Complaint { place: format!("namespace {namespace}"), message: error.to_string(), next: error.next_step() }
}

fn not_allowed(cluster: &Cluster, missing: &[plan::Right]) -> Complaint {
    let told: Vec<String> = missing.iter().map(plan::Right::told).collect();
    Complaint {
        place: cluster.url.clone(),
        message: format!("not allowed to {}", told.join("; ")),
        next: "ask whoever runs the cluster for these rights, or to run this command; nothing was changed".to_owned(),
    }
}
