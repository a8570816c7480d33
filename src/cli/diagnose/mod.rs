//! `otelgate diagnose`: what somebody else needs to find a fault, and nothing that they mustn't see.

mod bundle;
mod certificate;
mod collect;
mod elsewhere;
mod redact;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;
use jiff::Timestamp;

use super::Cli;
use super::cluster::{self, Connection};
use super::output::{self, Complaint};
use bundle::Bundle;
use redact::Words;

/// Collect what a bug report needs into an archive, without secrets.
///
/// It has the objects, events and logs of otelgate's own, of Collectors and of Agents, and says in INDEX.md what is in it and what could not be read. It
/// never has the data of a Secret, values of environment variables, or annotations of others; look through it all the
/// same before you send it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Args {
    /// The archive; otherwise otelgate-diagnose-TIME.tar.gz in this directory.
    #[arg(short, long, value_name = "FILE.tar.gz")]
    output: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

const EXIT_CODES: &str = "\
Exit codes:
  0   the archive is written, though perhaps without what this user may not read
  2   the cluster can't be reached, or the archive not be written
  64  wrong usage
  74  standard output can't be written";

pub fn run(args: &Args) -> ExitCode {
    let Args { output, connection } = args;
    cluster::run(async {
        let cluster = connection.open().await?;
        let namespace = cluster.otelgate_namespace().await?;
        let now = Timestamp::now();
        let name = format!("otelgate-diagnose-{}", now.strftime("%Y%m%d-%H%M%S"));
        let path = output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.tar.gz")));
        let mut bundle = Bundle::default();
        let words = Words::of(&Cli::command());
        let collected = Box::pin(collect::all(&cluster.client, &namespace, &words, &mut bundle)).await;
        collected.map_err(|fault| cluster::complaint(&cluster.url, &fault))?;
        let title = format!("otelgate diagnose {}, {}", env!("CARGO_PKG_VERSION"), now.strftime("%Y-%m-%dT%H:%M:%SZ"));
        let files = bundle.finished(&title);
        bundle::write(&path, &name, &files, now.as_second()).map_err(|error| {
            let next = match error.kind() {
                io::ErrorKind::AlreadyExists => "name another file with -o",
                _ => "name a file that can be written with -o",
            };
            Complaint { place: path.display().to_string(), message: output::plain(&error), next: next.to_owned() }
        })?;
        let text = told(&path.display().to_string(), &bundle);
        Ok(match output::print(&text, true) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => output::failed(&error),
        })
    })
}

fn told(path: &str, bundle: &Bundle) -> String {
    let width = output::stdout_width();
    let files = bundle.len();
    let mut text = format!("{}{path}{:#}: {files} files\n", output::PLACE, output::PLACE);
    for (what, why) in bundle.gaps() {
        let line =
            format!("{}left out{:#} {what}: {why}; next: {}", output::ATTENTION, output::ATTENTION, why.next_step());
        text.push_str(&output::wrapped(&line, 2, width));
    }
    text.push_str(&output::wrapped("look through it before you send it: INDEX.md says what is in it", 0, width));
    text
}

#[cfg(test)]
mod tests {
    pub fn base64(text: &str) -> String {
        use ::base64::Engine as _;
        ::base64::engine::general_purpose::STANDARD.encode(text)
    }
}
