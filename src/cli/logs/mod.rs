//! `otelgate logs`: the logs of webhook, controller, Collectors and Agents as one.
//!
//! Nothing is collected: of each pod, one line waits for its turn. So a log of any length is read with the same memory.

mod follow;
mod line;
mod read;
mod sources;

use std::io::{self, Write as _};
use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;

use super::cluster::{self, Connection};
use super::output::{self, ATTENTION, Complaint};
use super::{UNREADABLE, webhook};
use crate::k8s::{Api, Client, LogParams, Pod};
use crate::unavailable::Unavailable;
pub use line::{Line, Origin};
pub use read::{Lines, Merged};
use sources::{Component, Found};
pub use sources::{OWN, Source};

/// Show the logs of webhook, controller, Collectors and Agents, merged by time.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Args {
    /// Go on with what is logged from now on, in pods that start later as well; then lines come as they arrive.
    #[arg(short, long)]
    follow: bool,
    /// Only what is newer than that, such as 10m.
    #[arg(long, value_name = "DURATION", value_parser = webhook::duration)]
    since: Option<Duration>,
    /// Only so many lines of each pod, the last ones.
    #[arg(long, value_name = "N")]
    tail: Option<NonZeroU32>,
    /// Only the pods of this component; the Cluster Agent is one of the Agents.
    #[arg(long, value_enum, value_name = "COMPONENT")]
    component: Option<Component>,
    /// Only the pods of this node.
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    #[command(flatten)]
    connection: Connection,
    /// For programs instead of people: a JSON object per line.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  2   the cluster, or the log of a pod, can't be read
  64  wrong usage
  74  standard output can't be written";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Json,
}

/// Which lines of each pod.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extent {
    pub since: Option<Duration>,
    pub tail: Option<NonZeroU32>,
}

/// Lines on their way to standard output.
struct Printer {
    format: Option<Format>,
    /// Columns that the longest pod's name with its node has taken so far.
    width: usize,
}

pub fn run(args: &Args) -> ExitCode {
    let Args { follow, since, tail, component, node, connection, output: format } = args;
    let extent = Extent { since: *since, tail: *tail };
    cluster::run(async {
        let cluster = connection.open().await?;
        let namespace = cluster.otelgate_namespace().await?;
        let complaint = |fault: &Unavailable| cluster::complaint(&cluster.url, fault);
        let sources = sources::of(&cluster.client, &namespace, *component, node.as_deref()).await;
        let (sources, fault) = sources.map_err(|fault| complaint(&fault))?;
        let mut printer = Printer { format: *format, width: 0 };
        if *follow {
            let (sources, faults) = readable(&cluster.client, sources).await;
            let complaints = distinct(fault.iter().chain(&faults).map(complaint));
            output::complain(&complaints);
            if sources.is_empty() {
                return Ok(ExitCode::from(UNREADABLE));
            }
            let client = connection.open_for_streams().await?.client;
            return Ok(follow::run(&client, &sources, extent, &mut printer).await);
        }
        let (found, faults) = sources::find(&cluster.client, &sources).await;
        let mut complaints = distinct(fault.iter().chain(&faults).map(complaint));
        let is_missed = sources.iter().any(|source| source.is_missed(&found));
        if complaints.is_empty() && (is_missed || found.origins.is_empty()) {
            complaints.push(sources::nothing(&sources));
        }
        once(&cluster.client, found, complaints, extent, &mut printer).await
    })
}

/// Those whose pods may be listed, and why others may not. Faults of the first lists, silence among them, are told; later
/// ones are waited out.
async fn readable(client: &Client, sources: Vec<Source>) -> (Vec<Source>, Vec<Unavailable>) {
    let (mut readable, mut faults) = (Vec::new(), Vec::new());
    for source in sources {
        let pods = Api::<Pod>::namespaced(client.clone(), &source.namespace);
        match pods.list_metadata(&source.params().limit(1)).await {
            Ok(_) => readable.push(source),
            Err(error) => faults.push(Unavailable::of(&error)),
        }
    }
    (readable, faults)
}

/// Several calls may fail by the same.
fn distinct(complaints: impl Iterator<Item = Complaint>) -> Vec<Complaint> {
    let mut told = Vec::new();
    for complaint in complaints {
        if !told.contains(&complaint) {
            told.push(complaint);
        }
    }
    told
}

/// What there is now, in the order of time.
async fn once(
    client: &Client,
    found: Found,
    mut complaints: Vec<Complaint>,
    extent: Extent,
    printer: &mut Printer,
) -> Result<ExitCode, Complaint> {
    let mut merged = Merged::default();
    let not_all = sources::not_all(&found);
    for origin in found.origins {
        printer.fit(&origin);
        let pods = Api::<Pod>::namespaced(client.clone(), &origin.namespace);
        match pods.log_stream(&origin.pod, &extent.params(&origin)).await {
            Ok(stream) => merged.add(origin, Lines::of(stream)),
            Err(error) => complaints.push(cut_off(&origin, &Unavailable::of(&error))),
        }
    }
    loop {
        match merged.next().await {
            Some((origin, Ok(line))) => {
                if let ControlFlow::Break(code) = printer.print(&origin, &line) {
                    return Ok(code);
                }
            }
            Some((origin, Err(error))) => {
                complaints.push(cut_off(&origin, &Unavailable::Unreachable { why: output::plain(&error) }));
            }
            None => break,
        }
    }
    output::complain(&complaints);
    if let Some(not_all) = not_all {
        note(&not_all);
    }
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(UNREADABLE) })
}

/// What is no fault, and yet to be known.
fn note(text: &str) {
    let line = output::wrapped(&format!("{ATTENTION}note{ATTENTION:#}: {text}"), 0, output::stderr_width());
    // Nobody is left to tell when standard error is closed.
    let _ = anstream::stderr().lock().write_all(line.as_bytes());
}

/// That a pod's log can't be read, or not to its end.
fn cut_off(origin: &Origin, fault: &Unavailable) -> Complaint {
    let container =
        if origin.is_one_of_several { format!("container {} of ", origin.container) } else { String::new() };
    Complaint {
        place: format!("log of {container}pod {}", origin.pod),
        message: fault.to_string(),
        next: fault.next_step(),
    }
}

// === impl Extent ===

impl Extent {
    pub fn params(self, origin: &Origin) -> LogParams {
        LogParams {
            container: Some(origin.container.clone()),
            since_seconds: self.since.map(|since| i64::try_from(since.as_secs().max(1)).unwrap_or(i64::MAX)),
            tail_lines: self.tail.map(|tail| i64::from(tail.get())),
            timestamps: true,
            ..LogParams::default()
        }
    }
}

// === impl Printer ===

impl Printer {
    fn fit(&mut self, origin: &Origin) {
        self.width = self.width.max(origin.prefix().chars().count());
    }

    /// Breaks when the line can't be written, which is no error when nobody reads any more.
    fn print(&mut self, origin: &Origin, line: &Line) -> ControlFlow<ExitCode> {
        let written = match self.format {
            Some(Format::Json) => {
                let mut out = io::stdout().lock();
                writeln!(out, "{}", line.json(origin)).and_then(|()| out.flush())
            }
            None => {
                let mut out = anstream::stdout().lock();
                writeln!(out, "{}", line.text(origin, self.width)).and_then(|()| out.flush())
            }
        };
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ControlFlow::Break(ExitCode::SUCCESS),
            Err(error) => ControlFlow::Break(output::failed(&output::unwritten(&error))),
        }
    }
}
