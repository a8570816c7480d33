//! `otelgate logs`: the logs of otelgate's own pods as one.
//!
//! Nothing is collected: of each pod, one line waits for its turn. So a log of any length is read with the same memory.

mod follow;
mod line;
mod read;

use std::io::{self, Write as _};
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;

use super::cluster::{self, Cluster, Connection};
use super::output::{self, Complaint};
use super::{UNREADABLE, webhook};
use crate::api::{label, object};
use crate::k8s::{Api, ListParams, LogParams, Pod};
use crate::unavailable::Unavailable;
pub use line::{Line, Origin};
pub use read::{Lines, Merged};

/// Show the logs of otelgate's webhook and controller, merged by time.
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
    /// Only the pods of this component.
    #[arg(long, value_enum, value_name = "COMPONENT")]
    component: Option<Component>,
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
  64  wrong usage";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Component {
    Webhook,
    Controller,
}

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
    let Args { follow, since, tail, component, connection, output: format } = args;
    let extent = Extent { since: *since, tail: *tail };
    cluster::run(async {
        let cluster = connection.open().await?;
        let namespace = cluster.otelgate_namespace().await?;
        let params = ListParams::default().labels(&selector(*component));
        let pods = Api::<Pod>::namespaced(cluster.client.clone(), &namespace);
        let mut printer = Printer { format: *format, width: 0 };
        if *follow {
            // A fault of the first list, silence among them, ends it; later ones are waited out.
            pods.list_metadata(&params.clone().limit(1)).await.map_err(|error| cluster.complaint(&error))?;
            let pods = Api::namespaced(connection.open_for_streams().await?.client, &namespace);
            return follow::run(&pods, &params, extent, &mut printer).await;
        }
        let found = origins(&cluster, &pods, &params).await?;
        if found.is_empty() {
            return Err(Complaint {
                place: format!("namespace {namespace}"),
                message: "no pod of otelgate is there".to_owned(),
                next: "give --otelgate-namespace, if it is installed elsewhere; else otelgate deploy installs it"
                    .to_owned(),
            });
        }
        once(&pods, found, extent, &mut printer).await
    })
}

fn selector(component: Option<Component>) -> String {
    let components = match component {
        None => "webhook,controller",
        Some(Component::Webhook) => "webhook",
        Some(Component::Controller) => "controller",
    };
    format!("{}={},{} in ({components})", label::APP_NAME, object::APP, label::APP_COMPONENT)
}

/// Otelgate's pods, in the order of their names.
async fn origins(cluster: &Cluster, pods: &Api<Pod>, params: &ListParams) -> Result<Vec<Origin>, Complaint> {
    let found = pods.list(params).await.map_err(|error| cluster.complaint(&error))?;
    let mut origins: Vec<_> = found.items.iter().filter_map(Origin::of).collect();
    origins.sort_by(|one, other| one.pod.cmp(&other.pod));
    Ok(origins)
}

/// What there is now, in the order of time.
async fn once(
    pods: &Api<Pod>,
    origins: Vec<Origin>,
    extent: Extent,
    printer: &mut Printer,
) -> Result<ExitCode, Complaint> {
    let mut complaints = Vec::new();
    let mut merged = Merged::default();
    for origin in origins {
        printer.fit(&origin);
        match pods.log_stream(&origin.pod, &extent.params(&origin)).await {
            Ok(stream) => merged.add(origin, Lines::of(stream)),
            Err(error) => complaints.push(cut_off(&origin, &Unavailable::of(&error))),
        }
    }
    loop {
        match merged.next().await {
            Some((origin, Ok(line))) => {
                if !printer.print(&origin, &line)? {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            Some((origin, Err(error))) => {
                complaints.push(cut_off(&origin, &Unavailable::Unreachable { why: output::plain(&error) }));
            }
            None => break,
        }
    }
    output::complain(&complaints);
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(UNREADABLE) })
}

/// That a pod's log can't be read, or not to its end.
fn cut_off(origin: &Origin, fault: &Unavailable) -> Complaint {
    Complaint { place: format!("log of pod {}", origin.pod), message: fault.to_string(), next: fault.next_step() }
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

    /// `false` when nobody reads any more.
    fn print(&mut self, origin: &Origin, line: &Line) -> Result<bool, Complaint> {
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
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Complaint {
                place: "standard output".to_owned(),
                message: output::plain(&error),
                next: "see whether there is room for it".to_owned(),
            }),
        }
    }
}
