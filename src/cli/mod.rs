//! The command line: one file a command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod cleanup;
pub mod cluster;
mod deploy;
mod explain;
mod inject;
mod input;
mod offline;
pub mod output;
mod report;
mod shape;
pub mod table;
pub mod webhook;

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
    Webhook(webhook::Args),
    Deploy(deploy::Args),
    Update(deploy::UpdateArgs),
    Cleanup(cleanup::Args),
}

/// As in `sysexits.h`: the command line or a file that it names is wrong, and nothing was done.
pub const USAGE: u8 = 64;
/// `inject --check` found something that would change.
const CHANGES: u8 = 1;
/// An input can't be read, or isn't what it should be.
const UNREADABLE: u8 = 2;

impl Cli {
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Inject(args) => concluded(inject::run(&args)),
            Command::Explain(args) => concluded(explain::run(&args)),
            Command::Webhook(args) => webhook::run(args),
            Command::Deploy(args) => deploy::run(&args),
            Command::Update(args) => deploy::update(&args),
            Command::Cleanup(args) => cleanup::run(&args),
        }
    }
}

/// How a command over manifests ends.
fn concluded(run: Result<ExitCode, Vec<Complaint>>) -> ExitCode {
    run.unwrap_or_else(|complaints| {
        output::complain(&complaints);
        ExitCode::from(UNREADABLE)
    })
}
