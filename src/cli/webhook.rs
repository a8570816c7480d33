//! `otelgate webhook`: the server that the API server calls.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::routing::get;
use axum::{Json, Router};
use clap::builder::RangedU64ValueParser;
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tracing::{info, warn};

use super::USAGE;
use super::process::{SOFTWARE, Signals, bind, failed};
use crate::admission::{self, Admission, Settings};
use crate::api::object;
use crate::api::replica::{self, Replica};
use crate::calls;
use crate::config::{CONFIG_MAP_KEY, Configuration};
use crate::k8s::{self, Api, Client, ConfigMap, ConnectionError, Namespaced, Secret};
use crate::metrics::{Exposition, InForce, Metrics};
use crate::namespaces::{self, Namespaces};
use crate::server::{self, Lifecycle, Limits, Phases, Readiness, Transport};
use crate::source::{Contents, Files, Keys, Reload, Source};
use crate::tasks::Tasks;
use crate::telemetry::{self, LogFormat, LogLevel};
use crate::tls::Identity;
use crate::watch::Health;

/// Serve the admission webhook.
///
/// Starts without a usable certificate or configuration, says on /readyz why it isn't ready, and keeps looking. Both
/// are read again while it serves.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address of the webhook port, which speaks TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    /// Address of the plain port with /livez, /readyz, /metrics and /status.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    admin_listen: SocketAddr,
    /// The certificate chain in PEM, leaf first.
    #[arg(long, value_name = "FILE", requires = "tls_key", required_unless_present = "tls_secret")]
    tls_cert: Option<PathBuf>,
    /// Its private key in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert", required_unless_present = "tls_secret")]
    tls_key: Option<PathBuf>,
    /// The Secret in the webhook's namespace with both, instead of files; watched.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["tls_cert", "tls_key", "client_ca"])]
    tls_secret: Option<String>,
    /// Ask clients for a certificate that one of these authorities signed.
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// The configuration, or a ConfigMap that holds it; the documented defaults without it.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The ConfigMap in the webhook's namespace that holds the configuration, instead of a file; watched.
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    config_map: Option<String>,
    /// How to reach the API server, for what is watched; in a pod, its service account.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Watch no namespaces: annotations on them have no effect.
    #[arg(long)]
    no_namespaces: bool,
    /// The webhook's own namespace, in which the probe's pods are created.
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE", default_value = object::NAMESPACE)]
    namespace: String,
    /// How long to serve on after SIGTERM, as endpoints take their time to follow.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    shutdown_delay: Duration,
    /// Connections at a time; beyond, the one that was idle longest makes room.
    #[arg(long, value_name = "N", default_value = "512", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    max_connections: usize,
    /// Threads that decide; the plain port has one of its own.
    #[arg(long, value_name = "N", default_value = "2", value_parser = RangedU64ValueParser::<usize>::new().range(1..=256))]
    worker_threads: usize,
    #[arg(long, value_enum, default_value = "json")]
    log_format: LogFormat,
    #[arg(long, value_enum, default_value = "info")]
    log_level: LogLevel,
}

/// How often files are looked at.
const POLL: Duration = Duration::from_secs(1);
/// How long a start waits for the first list of namespaces. A review without their annotations would take out of a pod
/// what another replica has just put there by them.
const FIRST_LIST: Duration = Duration::from_secs(2);
const COMMAND: &str = "webhook";

/// Where something comes from that is read again and again.
enum Input {
    Files(Vec<PathBuf>),
    /// In the webhook's own namespace.
    Object(String),
}

/// Where objects are watched.
struct Objects {
    client: Client,
    namespace: String,
}

/// What is read again while it serves.
struct Sources {
    settings: Arc<Source<Settings>>,
    identity: Arc<Source<Identity>>,
    /// Whether namespaces are watched, too.
    namespaces: bool,
}

/// What the system gives, asked for before anything else is started.
struct Ports {
    webhook: TcpListener,
    admin: std::net::TcpListener,
    signals: Signals,
}

/// What the signals said, or a task.
enum End {
    Signal,
    /// A second signal, which may have cut requests short.
    Impatience,
    Task,
}

/// Serves until a signal ends it, or a task that must not end does.
#[must_use]
pub fn run(args: Args) -> ExitCode {
    let metrics = Arc::new(Metrics::default());
    let log = telemetry::init(args.log_format, args.log_level, Arc::clone(&metrics.log_lines_dropped));
    let _flush = match log.context("can't start the thread that logs; check the limits of the container") {
        Ok(flush) => flush,
        Err(error) => return failed(COMMAND, &error, ExitCode::FAILURE),
    };
    // For kube's client; the webhook's own port is given its provider explicitly. Only a second call can fail.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match runtime(args.worker_threads) {
        Ok(runtime) => runtime,
        Err(error) => return failed(COMMAND, &error, ExitCode::FAILURE),
    };
    let code = runtime.block_on(start(args, &metrics));
    // A read of a file that hangs must not keep the process.
    runtime.shutdown_background();
    code
}

/// Reads what there is to be read, and serves.
async fn start(args: Args, metrics: &Arc<Metrics>) -> ExitCode {
    let Args {
        listen,
        admin_listen,
        tls_cert,
        tls_key,
        tls_secret,
        client_ca,
        config,
        config_map,
        kubeconfig,
        no_namespaces,
        namespace,
        shutdown_delay,
        max_connections,
        ..
    } = args;
    let certificate = Input::of(tls_secret, tls_cert.into_iter().chain(tls_key).chain(client_ca).collect());
    let config = match (config, config_map) {
        (None, None) => None,
        (files, object) => Some(Input::of(object, files.into_iter().collect())),
    };
    let watches = [Some(&certificate), config.as_ref()].into_iter().flatten().any(Input::is_object);
    let client = if no_namespaces && !watches {
        None
    } else {
        let connection = k8s::connection(kubeconfig.as_deref()).await;
        let connection = connection.map_err(|error| without(error, no_namespaces, watches));
        match connection.and_then(|connection| Ok(calls::client(connection)?)) {
            Ok(client) => Some(client),
            Err(error) => return failed(COMMAND, &error, ExitCode::from(USAGE)),
        }
    };
    let ports = match Ports::bind(listen, admin_listen).await {
        Ok(ports) => ports,
        Err(error) => return failed(COMMAND, &error, ExitCode::FAILURE),
    };
    let mut tasks = Tasks::default();
    let objects = client.clone().map(|client| Objects { client, namespace: namespace.clone() });
    let mut sources = Sources::start(config, certificate, objects.as_ref(), metrics, &mut tasks);
    let namespaces = client.filter(|_| !no_namespaces).map(|client| {
        let namespaces = Arc::new(Namespaces::default());
        tasks.spawn("namespaces", namespaces::watch(client, Arc::clone(&namespaces), Arc::clone(metrics)));
        namespaces
    });
    sources.namespaces = namespaces.is_some();
    let admission = Admission::new(Arc::clone(&sources.settings), namespaces, Arc::clone(metrics), namespace);
    let limits = Limits { connections: max_connections, ..Limits::default() };
    let router = admission::router(&Arc::new(admission));
    match serve(ports, router, limits, &sources, metrics, tasks, shutdown_delay).await {
        Ok(End::Signal) => ExitCode::SUCCESS,
        Ok(End::Impatience) => ExitCode::FAILURE,
        Ok(End::Task) => ExitCode::from(SOFTWARE),
        Err(error) => failed(COMMAND, &error, ExitCode::FAILURE),
    }
}

/// Why there is no connection, and how to do without one.
fn without(error: ConnectionError, no_namespaces: bool, watches: bool) -> anyhow::Error {
    let instead = match (no_namespaces, watches) {
        (_, false) => "--no-namespaces",
        (true, true) => "files instead of --tls-secret and --config-map",
        (false, true) => "--no-namespaces and files instead of --tls-secret and --config-map",
    };
    match error {
        ConnectionError::NotInCluster => anyhow::anyhow!("{error}, or {instead} to do without the cluster"),
        ConnectionError::Kubeconfig { .. } => error.into(),
    }
}

fn runtime(worker_threads: usize) -> anyhow::Result<Runtime> {
    let mut builder = if worker_threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if worker_threads > 1 {
        builder.worker_threads(worker_threads);
    }
    builder.enable_all().build().context("can't start the threads that serve; check the limits of the container")
}

async fn serve(
    mut ports: Ports,
    router: Router,
    limits: Limits,
    sources: &Sources,
    metrics: &Arc<Metrics>,
    mut tasks: Tasks,
    shutdown_delay: Duration,
) -> anyhow::Result<End> {
    let (lifecycle, phases) = Lifecycle::new();
    // The plain port stays to the end, so that liveness doesn't fail while the other drains.
    let (_endless, always) = Lifecycle::new();
    let admin = sources.admin_router(phases.clone(), metrics);
    let admin = server::serve_apart(ports.admin, admin, Limits::plain(), always);
    tasks.spawn(
        "admin port",
        admin.context("can't start the thread of the admin port; check the limits of the container")?,
    );
    let transport = Transport::Tls(Arc::clone(&sources.identity));
    let mut webhook =
        tokio::spawn(server::serve(ports.webhook, transport, router, limits, Some(Arc::clone(metrics)), phases));

    let (end, delay) = tokio::select! {
        () = ports.signals.next() => (End::Signal, shutdown_delay),
        _ = tasks.first_exit() => (End::Task, Duration::ZERO),
        _ = &mut webhook => {
            warn!(otelgate.task = "webhook port", "a background task ended; shutting down");
            return Ok(End::Task);
        }
    };
    info!(otelgate.delay_s = delay.as_secs_f64(), "shutting down: not ready any more, serving on");
    let orderly = async {
        lifecycle.end(delay).await;
        let _ = webhook.await;
    };
    tokio::select! {
        () = orderly => {
            info!("stopped");
            Ok(end)
        }
        () = ports.signals.next() => {
            warn!("a second signal: stopped at once");
            Ok(End::Impatience)
        }
    }
}

// === impl Input ===

impl Input {
    fn of(object: Option<String>, files: Vec<PathBuf>) -> Self {
        object.map_or(Self::Files(files), Self::Object)
    }

    fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// Keeps a source as the input is, from now on.
    fn feed<K, T>(self, source: &Arc<Source<T>>, keys: Keys, objects: Option<&Objects>, tasks: &mut Tasks)
    where
        K: Contents + Namespaced,
        T: Reload,
    {
        match (self, objects) {
            (Self::Object(name), Some(Objects { client, namespace })) => {
                let api = Api::<K>::namespaced(client.clone(), namespace);
                let health = Arc::new(Health::new(K::KIND));
                tasks.spawn(K::KIND, keys.follow(api, name, health, Arc::clone(source)));
            }
            (Self::Object(name), None) => source.unreadable(format!("{name} can't be watched without a cluster")),
            (Self::Files(paths), _) => {
                let files = Files::new(paths);
                files.offer_to(source);
                tasks.spawn(T::NAME, files.follow(Arc::clone(source), POLL));
            }
        }
    }
}

// === impl Sources ===

impl Sources {
    fn start(
        config: Option<Input>,
        certificate: Input,
        objects: Option<&Objects>,
        metrics: &Metrics,
        tasks: &mut Tasks,
    ) -> Self {
        let reloads = Arc::clone(&metrics.configuration_reloads);
        let settings = match config {
            None => Arc::new(Source::fixed(Settings::from(Configuration::default()), reloads)),
            Some(input) => {
                let source = Arc::new(Source::new(reloads));
                input.feed::<ConfigMap, _>(&source, Keys(&[CONFIG_MAP_KEY]), objects, tasks);
                source
            }
        };
        let identity = Arc::new(Source::new(Arc::clone(&metrics.certificate_reloads)));
        certificate.feed::<Secret, _>(&identity, Keys(&["tls.crt", "tls.key"]), objects, tasks);
        Self { settings, identity, namespaces: false }
    }

    fn admin_router(&self, phases: Phases, metrics: &Arc<Metrics>) -> Router {
        let (settings, identity) = (Arc::clone(&self.settings), Arc::clone(&self.identity));
        let mut readiness = Readiness::new(phases).requires(Arc::clone(&identity)).requires(Arc::clone(&settings));
        if self.namespaces {
            readiness = readiness.looks_at("namespaces", unlisted(Arc::clone(metrics)));
        }
        let in_force = InForce { settings: Arc::clone(&settings), identity: Arc::clone(&identity) };
        let exposition = Exposition::new(Arc::clone(metrics), in_force);
        let status = get(async move || Json(in_force_now(&settings, &identity)));
        server::admin_router(readiness, exposition).route(replica::PATH, status)
    }
}

/// Whether the namespaces still have to be listed. A replica that can't list them decides without their annotations.
fn unlisted(metrics: Arc<Metrics>) -> impl Fn() -> Option<String> {
    let started = Instant::now();
    move || {
        let waits = metrics.namespaces_synced.get() == 0 && started.elapsed() < FIRST_LIST;
        waits.then(|| "not listed yet".to_owned())
    }
}

/// What `/status` answers.
fn in_force_now(settings: &Source<Settings>, identity: &Source<Identity>) -> Replica {
    Replica {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        configuration: settings.current().as_ref().map(|settings| {
            let configuration = settings.configuration();
            replica::Configuration {
                hash: configuration.hash().to_owned(),
                revision: configuration.revision().to_owned(),
                mode: configuration.mode(),
            }
        }),
        certificate: identity.current().as_ref().map(|identity| {
            let seconds = i64::try_from(identity.not_after().as_secs()).unwrap_or(i64::MAX);
            let not_after = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
            replica::Certificate { fingerprint: identity.identity(), not_after: not_after.to_string() }
        }),
    }
}

// === impl Ports ===

impl Ports {
    async fn bind(webhook: SocketAddr, admin: SocketAddr) -> anyhow::Result<Self> {
        // Before the line that says that it listens: whoever reads that may signal at once.
        let signals = Signals::new().context("can't listen for signals")?;
        let ports = Self { webhook: bind(webhook).await?, admin: bind(admin).await?.into_std()?, signals };
        let address = ports.webhook.local_addr()?;
        info!(
            server.address = %address.ip(),
            server.port = address.port(),
            otelgate.admin.address = %ports.admin.local_addr()?,
            "listening"
        );
        Ok(ports)
    }
}

/// `5s`, `1m 30s`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "must be a duration such as 5s or 1m30s".to_owned())
}
