//! `otelgate completions`: what a shell needs to complete a command line.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, output};

/// Print completions for a shell.
///
/// For bash: `source <(otelgate completions bash)`. For zsh: `otelgate completions zsh > "${fpath[1]}/_otelgate"`. For
/// fish: `otelgate completions fish | source`. For PowerShell:
/// `otelgate completions powershell | Out-String | Invoke-Expression`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(value_enum, value_name = "SHELL")]
    shell: Offered,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Offered {
    Bash,
    Zsh,
    Fish,
    #[value(name = "powershell")]
    PowerShell,
}

pub fn run(args: &Args) -> ExitCode {
    let shell = match args.shell {
        Offered::Bash => Shell::Bash,
        Offered::Zsh => Shell::Zsh,
        Offered::Fish => Shell::Fish,
        Offered::PowerShell => Shell::PowerShell,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "otelgate", &mut script);
    match output::print(&String::from_utf8_lossy(&script), false) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::failed(&error),
    }
}
