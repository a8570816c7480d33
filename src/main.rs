use std::process::ExitCode;

use otelgate::cli::{Cli, USAGE};

fn main() -> ExitCode {
    match Cli::of(std::env::args_os()) {
        Ok(cli) => cli.run(),
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = error.print();
            if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
        }
    }
}
