//! `otelgate status`: the switch, the webhook, its certificate, and which pods carry what they should.

mod observe;
mod report;
mod underway;

#[cfg(test)]
mod tests;

use std::io::{IsTerminal as _, stdout};
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::cluster::{self, Cluster, Connection};
use super::output::Complaint;
use super::table::{self, Format};
use crate::k8s::Client;
use crate::unavailable::Unavailable;
use observe::observe;
use report::Report;

/// Show what otelgate does in a cluster, and which pods carry what they should.
///
/// Starts with the switch that stops everything, `mode`. Counts the pods of namespaces that are opted in, and those that
/// opt in themselves, by listing them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Args {
    #[command(flatten)]
    connection: Connection,
    /// Count the pods of this namespace only.
    #[arg(short, long, value_name = "NAMESPACE", value_parser = crate::cli::namespace_name)]
    namespace: Option<String>,
    /// Show it again every few seconds.
    #[arg(short, long)]
    watch: bool,
    /// For programs instead of people.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0   shown; whether all is well is otelgate check's to tell
  2   the cluster can't be reached
  64  wrong usage
  74  standard output can't be written";

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(5);
/// Clears a terminal, and starts at its top.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

#[must_use]
pub fn run(args: &Args) -> ExitCode {
    cluster::run(try_run(args))
}

async fn try_run(args: &Args) -> Result<ExitCode, Complaint> {
    let Args { connection, namespace, watch, output } = args;
    let cluster = connection.open().await?;
    let own = cluster.otelgate_namespace().await?;
    let clear = if *watch && output.is_none() && stdout().is_terminal() { CLEAR } else { "" };
    loop {
        let report = look(&cluster, &own, namespace.as_deref()).await?;
        let told = |width| format!("{clear}{}", report.text(width));
        let code = table::end(&report, *output, ExitCode::SUCCESS, told);
        if !watch || code != ExitCode::SUCCESS {
            return Ok(code);
        }
        tokio::time::sleep(PERIOD).await;
    }
}

async fn look(cluster: &Cluster, own: &str, namespace: Option<&str>) -> Result<Report, Complaint> {
    let observed = observe(&cluster.client, own, namespace).await;
    observed.map(|observed| Report::of(&observed)).map_err(|fault| cluster::complaint(&cluster.url, &fault))
}

/// What is shown, for a bundle.
pub async fn report(client: &Client, own: &str) -> Result<impl Serialize, Unavailable> {
    observe(client, own, None).await.map(|observed| Report::of(&observed))
}
