//! The command line: one file a command.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub mod check;
mod cleanup;
pub mod cluster;
mod completions;
pub mod controller;
mod deploy;
mod diagnose;
mod explain;
mod fetch;
mod inject;
mod input;
mod logs;
mod man;
mod offline;
pub mod output;
mod process;
mod report;
mod status;
pub mod table;
mod telemetry;
pub mod webhook;

use crate::inject::legal;
use output::Complaint;

/// Makes pods observable by a label.
#[derive(Debug, Parser)]
#[command(name = "otelgate", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Inject(inject::Args),
    Explain(explain::Args),
    Check(check::Args),
    Status(status::Args),
    Logs(logs::Args),
    Diagnose(diagnose::Args),
    Webhook(webhook::Args),
    Controller(controller::Args),
    Completions(completions::Args),
    Man(man::Args),
    Deploy(deploy::Args),
    Update(deploy::UpdateArgs),
    Cleanup(cleanup::Args),
}

/// As in `sysexits.h`: the command line or a file that it names is wrong, and nothing was done.
pub const USAGE: u8 = 64;
/// `inject --check` found something that would change, or a check failed.
const CHANGES: u8 = 1;
/// An input can't be read, or isn't what it should be.
const UNREADABLE: u8 = 2;
/// As in `sysexits.h`: standard output, or a file to write, can't be written.
const UNWRITABLE: u8 = 74;

/// The names under which kubectl finds it as a plugin.
const PLUGINS: [&str; 2] = ["kubectl-otelgate", "kubectl_otelgate"];

impl Cli {
    /// Reads a command line, the program's own name first: kubectl calls plugins by theirs, and help and errors show
    /// what the user typed.
    pub fn of(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let arguments: Vec<_> = arguments.into_iter().collect();
        let command = match arguments.first() {
            Some(name) if is_plugin(Path::new(name)) => Self::command().bin_name("kubectl otelgate"),
            _ => Self::command(),
        };
        Self::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }

    #[must_use]
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Inject(args) => concluded(inject::run(&args)),
            Command::Explain(args) => explain::run(&args),
            Command::Check(args) => check::run(&args),
            Command::Status(args) => status::run(&args),
            Command::Logs(args) => logs::run(&args),
            Command::Diagnose(args) => diagnose::run(&args),
            Command::Webhook(args) => webhook::run(args),
            Command::Controller(args) => controller::run(args),
            Command::Completions(args) => completions::run(&args),
            Command::Man(args) => man::run(&args),
            Command::Deploy(args) => deploy::run(&args),
            Command::Update(args) => deploy::update(&args),
            Command::Cleanup(args) => cleanup::run(&args),
        }
    }
}

/// A namespace's name, as a flag has it.
///
/// # Errors
/// When no namespace can have that name.
fn namespace_name(text: &str) -> Result<String, String> {
    if legal::is_dns_label(text) { Ok(text.to_owned()) } else { Err(format!("{text:?} is no name of a namespace")) }
}

/// How a command over manifests ends.
fn concluded(run: Result<ExitCode, Vec<Complaint>>) -> ExitCode {
    run.unwrap_or_else(|complaints| {
        output::complain(&complaints);
        ExitCode::from(UNREADABLE)
    })
}

fn is_plugin(program: &Path) -> bool {
    program.file_stem().and_then(|name| name.to_str()).is_some_and(|name| PLUGINS.contains(&name))
}
