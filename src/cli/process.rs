//! What the two servers share as processes: signals, ports, and a last word.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A defect of this program's own, in `sysexits.h`.
pub const SOFTWARE: u8 = 70;

/// SIGTERM and SIGINT.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| anyhow::anyhow!("can't listen on {address}: {}; choose another address or port", error.kind()))
}

/// Tells why the command ends.
pub fn failed(command: &str, error: &anyhow::Error, code: ExitCode) -> ExitCode {
    // Many libraries repeat their source's text in their own.
    let message = error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        _ if told.contains(&cause) => told,
        _ => format!("{told}: {cause}"),
    });
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "otelgate {command}: {message}");
    code
}
