//! The command line: one file a command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod webhook;

/// Makes pods observable by a label.
#[derive(Debug, Parser)]
#[command(name = "otelgate", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Webhook(webhook::Args),
}

/// As in `sysexits.h`: the command line or a file that it names is wrong, and nothing was done.
pub const USAGE: u8 = 64;

impl Cli {
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Webhook(args) => webhook::run(args),
        }
    }
}
