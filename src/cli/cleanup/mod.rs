//! `otelgate cleanup`: takes away everything that otelgate ever made in a cluster, after showing it.

mod remove;
mod scan;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::cluster::{self, Cluster, Connection};
use super::deploy::helm::{Absent, Helm};
use super::deploy::wait::Channel;
use super::deploy::{Stop, interruptible, observe};
use super::output::{ATTENTION, BOLD, Complaint, GOOD, wrapped};
use super::table::{self, Format};
use super::{CHANGES, UNREADABLE, USAGE};
use crate::api::label;
use crate::deploy::inventory::{Found, Installation, Inventory, Stage, inventory, release_of};
use crate::deploy::plan::Right;
use remove::Removal;
use scan::{Depth, Scanner};

/// Remove otelgate from a cluster.
///
/// Shows everything that otelgate ever made there, asks, and takes it away: the registration first, so that no pod is
/// delayed, then the Helm release, then what the controller made and the definition of its objects, then what `otelgate
/// deploy` made. A namespace goes only if `deploy` made it and nothing foreign is in it. Works on what is half installed
/// or half removed as well, and without Helm.
///
/// Pods and their templates stay as they are: what otelgate wrote into them belongs to their owners.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Args {
    /// Don't ask.
    #[arg(short, long)]
    yes: bool,
    /// Only show what would be removed.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// How long to wait until all of it is gone.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = super::webhook::duration)]
    timeout: Duration,
    /// The Helm to use; otherwise the one in the search path, if there is one.
    #[arg(long, value_name = "FILE")]
    helm: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
    /// For programs instead of people; progress then goes to standard error.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0   all of it is gone, or there was nothing
  1   something is still there after the time, or the answer was no
  2   the cluster can't be reached, or refuses something
  64  wrong usage, such as no --yes where nobody can be asked
  74  standard output can't be written";

pub fn run(args: &Args) -> ExitCode {
    cluster::run(interruptible(cleanup(args)))
}

async fn cleanup(args: &Args) -> Result<ExitCode, Stop> {
    let Args { yes, dry_run, timeout, helm, connection, output: format } = args;
    let channel = if format.is_some() { Channel::Stderr } else { Channel::Stdout };
    let cluster = connection.open().await?;
    let mut namespace = cluster.otelgate_namespace().await?;
    let helm = Helm::find(helm.as_deref(), connection);
    let mut scanner = Scanner::new(&cluster, &namespace).await?;
    let mut scan = scanner.scan(Depth::Everything).await?;
    let release = release_of(&scan.seen, &namespace);
    if let Some((_, actual)) = release.as_ref().filter(|(_, actual)| *actual != namespace) {
        // Without its Deployment it was looked for in the wrong place.
        namespace.clone_from(actual);
        scanner = Scanner::new(&cluster, &namespace).await?;
        scan = scanner.scan(Depth::Everything).await?;
    }
    let of = Installation { namespace: &namespace, release };
    let mut inventory = inventory(&scan.seen, &of);
    if !scan.unseen.is_empty() {
        inventory.keep_namespaces();
    }
    let end = |gone: &[Found], code: u8| {
        let report = report(&inventory, &scan.unseen, gone, *dry_run);
        table::end(&report, *format, ExitCode::from(code), |_| String::new())
    };
    if format.is_none() || !dry_run {
        channel.say(&told(&inventory, &of, &scan.unseen, helm.as_ref().err(), channel.width()));
    }
    if *dry_run || inventory.is_empty() {
        let code = if inventory.is_empty() && !scan.unseen.is_empty() { UNREADABLE } else { 0 };
        return Ok(if format.is_some() { end(&[], code) } else { ExitCode::from(code) });
    }
    check_rights(&cluster, &inventory).await?;
    if !yes && !confirmed(channel)? {
        channel.say("Nothing was removed.\n");
        return Ok(ExitCode::from(CHANGES));
    }
    let deadline = Instant::now() + *timeout;
    let removal =
        Removal { cluster: &cluster, scanner: &scanner, helm: helm.as_ref().ok(), of: of.clone(), channel, deadline };
    let left = removal.perform(&inventory).await?;
    channel.say(&ending(&left, *timeout, channel.width()));
    let code = match (left.is_empty(), scan.unseen.is_empty()) {
        (true, true) => 0,
        (true, false) => UNREADABLE,
        (false, _) => CHANGES,
    };
    Ok(if format.is_some() { end(&left, code) } else { ExitCode::from(code) })
}

/// A right that turns out to be missing in the middle would leave half of it.
async fn check_rights(cluster: &Cluster, inventory: &Inventory) -> Result<(), Complaint> {
    let rights = inventory.removals.iter().map(|removal| Right {
        verb: "delete",
        group: removal.found.kind.group.clone(),
        resource: removal.found.kind.plural.clone(),
        namespace: removal.found.namespace.clone(),
    });
    let rights: BTreeSet<Right> = rights.collect();
    let missing = observe::missing(cluster, rights.into_iter().collect()).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = missing.iter().map(Right::told).collect();
    Err(Complaint {
        place: cluster.url.clone(),
        message: format!("not allowed to {}", told.join("; ")),
        next: "ask whoever runs the cluster for these rights, or to run this command; nothing was removed".to_owned(),
    })
}

fn confirmed(channel: Channel) -> Result<bool, Stop> {
    if !io::stdin().is_terminal() {
        return Err(Stop {
            complaint: Complaint {
                place: "otelgate cleanup".to_owned(),
                message: "nobody can be asked here whether to remove this".to_owned(),
                next: "give --yes".to_owned(),
            },
            code: USAGE,
        });
    }
    channel.say("Remove all of this? [y/N] ");
    let mut answer = String::new();
    // No answer is a no.
    let _ = io::stdin().lock().read_line(&mut answer);
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

// What is told.

fn told(
    inventory: &Inventory,
    of: &Installation<'_>,
    unseen: &BTreeSet<String>,
    helm: Option<&Absent>,
    width: Option<usize>,
) -> String {
    let mut text = String::new();
    if inventory.is_empty() {
        let among = if unseen.is_empty() { "in this cluster" } else { "among what could be listed" };
        writeln!(text, "Nothing of otelgate is {among}.").expect("writing to a String can't fail");
    }
    for stage in Stage::ALL {
        let objects: Vec<String> = inventory.of_stage(stage).map(Found::told).collect();
        if !objects.is_empty() {
            writeln!(text, "{BOLD}{}{BOLD:#}", stage.title()).expect("writing to a String can't fail");
            text.extend(objects.iter().map(|object| format!("  {object}\n")));
        }
    }
    if !inventory.left.is_empty() {
        writeln!(text, "{BOLD}stays{BOLD:#}").expect("writing to a String can't fail");
        for left in &inventory.left {
            text.push_str(&wrapped(&format!("{}: {}", left.object, left.why), 2, width));
        }
    }
    let mut note = |note: String| text.push_str(&wrapped(&format!("{ATTENTION}note{ATTENTION:#}: {note}"), 0, width));
    if let (Some(absent), Some((name, _))) = (helm, &of.release) {
        note(format!(
            "helm: {}; the objects of release {name} and its records in Secrets and ConfigMaps are deleted without it; \
             records in a database (HELM_DRIVER=sql) would stay",
            absent.message
        ));
    }
    for what in unseen {
        note(format!("{what} couldn't be listed: what is otelgate's among them isn't shown, and stays"));
    }
    text
}

fn ending(left: &[Found], timeout: Duration, width: Option<usize>) -> String {
    if left.is_empty() {
        let (config, inject) = (label::CONFIG, label::INJECT);
        return format!("{GOOD}otelgate is removed.{GOOD:#}\n")
            + &wrapped(
                "What it wrote into pods stays until they are made anew, and labels that opt in stay where they are:",
                0,
                width,
            )
            + &format!("  kubectl get pods --all-namespaces -l {config}\n  kubectl get namespaces -l {inject}\n");
    }
    let held = left.iter().map(|found| match found.finalizers.as_slice() {
        [] => found.told(),
        finalizers => format!("{} (held by finalizer {})", found.told(), finalizers.join(", ")),
    });
    let held = held.collect::<Vec<_>>().join(", ");
    let text = format!("still there after {} s: {held}; next: otelgate cleanup again", timeout.as_secs());
    wrapped(&text, 0, width)
}

fn report(inventory: &Inventory, unseen: &BTreeSet<String>, left: &[Found], dry_run: bool) -> Value {
    let mut report = inventory.to_json();
    report["notListed"] = json!(unseen);
    report["dryRun"] = json!(dry_run);
    if !dry_run {
        report["stillThere"] = json!(left.iter().map(Found::told).collect::<Vec<_>>());
    }
    report
}
