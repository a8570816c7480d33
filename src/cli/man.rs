//! `otelgate man`: the manual pages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_mangen::Man;

use super::{Cli, output};

/// Print the manual page, or write those of all commands into a directory.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to write otelgate.1, otelgate-inject.1 and so on; made if it isn't there.
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub fn run(args: &Args) -> ExitCode {
    let result = match &args.directory {
        None => page(&Cli::command()).and_then(|page| output::print(&String::from_utf8_lossy(&page), false)),
        Some(directory) => write_all(directory),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::failed(&error),
    }
}

fn write_all(directory: &Path) -> anyhow::Result<()> {
    let because = |error: std::io::Error| anyhow::anyhow!(output::plain(&error));
    let failed = || format!("{} can't be written to", directory.display());
    fs::create_dir_all(directory).map_err(because).with_context(failed)?;
    let mut root = Cli::command();
    root.build();
    let commands = root.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help");
    for command in std::iter::once(&root).chain(commands) {
        let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
        let file = directory.join(format!("{name}.1"));
        fs::write(&file, page(command)?).map_err(because).with_context(failed)?;
    }
    Ok(())
}

fn page(command: &clap::Command) -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}
