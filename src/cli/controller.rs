//! `otelgate controller`: keeps what the webhook reads.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::runtime::Builder;
use tracing::{info, warn};

use super::USAGE;
use super::process::{SOFTWARE, Signals, bind, failed};
use crate::api::object;
use crate::calls;
use crate::controller::metrics::Scrape;
use crate::controller::{self, End, State};
use crate::k8s::{self, Client};
use crate::metrics::{Counter, Exposition};
use crate::server::{self, Lifecycle, Limits, Readiness};
use crate::telemetry::{self, LogFormat, LogLevel};

/// Keep the webhook's configuration and certificate as the TelemetryStack says.
///
/// Several may run: one acts, the others stand by. It waits for an API server that is away, and for a
/// CustomResourceDefinition that isn't there yet, and says so on /readyz.
#[derive(Debug, clap::Args)]
#[expect(clippy::doc_markdown, reason = "it is the help, where backticks would be noise")]
pub struct Args {
    /// Address of the plain port with /livez, /readyz and /metrics.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    admin_listen: SocketAddr,
    /// How to reach the API server; in a pod, its service account.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Otelgate's own namespace.
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE", default_value = object::NAMESPACE)]
    namespace: String,
    /// A name that no other controller has; in a pod, the pod's.
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    identity: String,
    #[arg(long, value_enum, default_value = "json")]
    log_format: LogFormat,
    #[arg(long, value_enum, default_value = "info")]
    log_level: LogLevel,
}

const COMMAND: &str = "controller";
/// Few, as it mostly waits; two, so that a handshake or a key that is made never delays the Lease.
const THREADS: usize = 2;

/// Runs until a signal ends it, or a task that must not end does.
#[must_use]
pub fn run(args: Args) -> ExitCode {
    let Args { admin_listen, kubeconfig, namespace, identity, log_format, log_level } = args;
    let log_lines_dropped = Arc::new(Counter::default());
    let log = telemetry::init(log_format, log_level, Arc::clone(&log_lines_dropped));
    let _flush = match log.context("can't start the thread that logs; check the limits of the container") {
        Ok(flush) => flush,
        Err(error) => return failed(COMMAND, &error, ExitCode::FAILURE),
    };
    // For kube's client. Only a second call can fail.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let runtime = match runtime.context("can't start the threads that serve; check the limits of the container") {
        Ok(runtime) => runtime,
        Err(error) => return failed(COMMAND, &error, ExitCode::FAILURE),
    };
    let code = runtime.block_on(async {
        let connection = k8s::connection(kubeconfig.as_deref()).await.map_err(anyhow::Error::from);
        let client = match connection.and_then(|connection| Ok(calls::client(connection)?)) {
            Ok(client) => client,
            Err(error) => return failed(COMMAND, &error, ExitCode::from(USAGE)),
        };
        match serve(client, admin_listen, namespace, identity, log_lines_dropped).await {
            Ok(Some(End::Asked)) => ExitCode::SUCCESS,
            Ok(Some(End::Task)) => ExitCode::from(SOFTWARE),
            Ok(None) => ExitCode::FAILURE,
            Err(error) => failed(COMMAND, &error, ExitCode::FAILURE),
        }
    });
    runtime.shutdown_background();
    code
}

/// `None` when a second signal cut the end short.
async fn serve(
    client: Client,
    admin: SocketAddr,
    namespace: String,
    identity: String,
    log_lines_dropped: Arc<Counter>,
) -> anyhow::Result<Option<End>> {
    let mut stopping = Signals::new().context("can't listen for signals")?;
    let mut impatience = Signals::new().context("can't listen for signals")?;
    let admin = bind(admin).await?;
    info!(otelgate.admin.address = %admin.local_addr()?, otelgate.identity = identity, "listening");
    let state = Arc::new(State::default());
    let (_lifecycle, phases) = Lifecycle::new();
    let looked_at = Arc::clone(&state);
    let readiness = Readiness::new(phases.clone()).looks_at(COMMAND, move || looked_at.fault());
    let exposition = Exposition::of(Scrape { state: Arc::clone(&state), log_lines_dropped });
    let router = server::admin_router(readiness, exposition);
    let admin = server::serve_apart(admin.into_std()?, router, Limits::plain(), phases)
        .context("can't start the thread of the admin port; check the limits of the container")?;
    let stop = async {
        stopping.next().await;
        info!("shutting down");
    };
    let twice = async {
        impatience.next().await;
        impatience.next().await;
    };
    tokio::select! {
        end = controller::run(client, namespace, identity, state, stop) => {
            info!("stopped");
            Ok(Some(end))
        }
        () = admin => {
            warn!(otelgate.task = "admin port", "a background task ended; shutting down");
            Ok(Some(End::Task))
        }
        () = twice => {
            warn!("a second signal: stopped at once");
            Ok(None)
        }
    }
}
