//! The cluster that a command is about: which one, how to reach it, and what to say when that fails.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::UNREADABLE;
use super::output::{self, Complaint};
use crate::api::{label, object};
use crate::calls;
use crate::k8s::{self, Api, Client, Deployment, KubeconfigFault, ListParams, ResourceExt};
use crate::unavailable::Unavailable;

/// Flags of every command that talks to a cluster.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Connection {
    /// Which kubeconfig; otherwise $KUBECONFIG, ~/.kube/config, or the service account of the pod.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Which context of the kubeconfig; otherwise its current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// The namespace in which otelgate is installed; otherwise it is looked for.
    #[arg(long, value_name = "NAMESPACE", value_parser = super::namespace_name)]
    pub otelgate_namespace: Option<String>,
}

/// A cluster that can be asked. Nothing has been asked yet.
#[derive(Clone)]
pub struct Cluster {
    pub client: Client,
    /// Of the API server, for people.
    pub url: String,
    /// The context's, where `-n` doesn't say otherwise.
    pub namespace: String,
    otelgate_namespace: Option<String>,
}

/// An API server that nothing leads to should be told soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Silence in what isn't answered by the API server alone: webhooks on the way of a write have up to 30 s. Reads have less.
const READ_TIMEOUT: Duration = Duration::from_secs(45);
const USER_AGENT: &str = concat!("otelgate/", env!("CARGO_PKG_VERSION"));

// === impl Connection ===

impl Connection {
    /// Reads where the cluster is and who asks. Nothing is called.
    ///
    /// # Errors
    /// Names the kubeconfig, and what is wrong with it.
    pub async fn open(&self) -> Result<Cluster, Complaint> {
        self.open_with(Some(READ_TIMEOUT)).await
    }

    /// Like [`Connection::open`], for answers that may be silent for as long as they like, such as a log that is followed.
    ///
    /// # Errors
    /// The same.
    pub async fn open_for_streams(&self) -> Result<Cluster, Complaint> {
        self.open_with(None).await
    }

    async fn open_with(&self, read_timeout: Option<Duration>) -> Result<Cluster, Complaint> {
        let Self { kubeconfig, context, otelgate_namespace } = self;
        let mut config = k8s::connection_of_user(kubeconfig.as_deref(), context.as_deref()).await.map_err(|error| {
            let next = "give --kubeconfig FILE and --context NAME; kubectl config get-contexts lists the contexts";
            let place = place(kubeconfig.as_deref(), &error);
            Complaint { place, message: error.to_string(), next: next.to_owned() }
        })?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = read_timeout;
        k8s::name_user_agent(&mut config, USER_AGENT);
        let (url, namespace) = (told(&config.cluster_url), config.default_namespace.clone());
        // Only a second call can fail.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::try_from(config).map_err(|error| complaint(&url, &Unavailable::of(&error)))?;
        let client = calls::prompt(client);
        Ok(Cluster { client, url, namespace, otelgate_namespace: otelgate_namespace.clone() })
    }
}

/// What was read: the file, else what `$KUBECONFIG` names, unless the fault itself says where.
fn place(kubeconfig: Option<&Path>, fault: &KubeconfigFault) -> String {
    let variable = || std::env::var("KUBECONFIG").ok().filter(|paths| !paths.is_empty());
    let named = kubeconfig.map(|path| path.display().to_string()).or_else(variable);
    let says_where = matches!(fault, KubeconfigFault::Nowhere | KubeconfigFault::Unreadable { .. });
    named.filter(|_| !says_where).unwrap_or_else(|| "kubeconfig".to_owned())
}

/// Without the port where it is the usual one.
fn told(url: &impl ToString) -> String {
    url.to_string().trim_end_matches('/').to_owned()
}

// === impl Cluster ===

impl Cluster {
    /// What to tell about a call that failed.
    #[must_use]
    pub fn complaint(&self, error: &k8s::Error) -> Complaint {
        complaint(&self.url, &Unavailable::of(error))
    }

    /// The namespace in which otelgate is: the one that was named, else the one with its webhook's Deployment, else the
    /// default.
    ///
    /// # Errors
    /// When the API server can't be reached at all. A missing right to look is none: the default may well be right.
    pub async fn otelgate_namespace(&self) -> Result<String, Complaint> {
        if let Some(namespace) = &self.otelgate_namespace {
            return Ok(namespace.clone());
        }
        let params = ListParams::default()
            .labels(&format!("{}={}", label::APP_NAME, object::APP))
            .fields(&format!("metadata.name={}", object::WEBHOOK));
        match Api::<Deployment>::all(self.client.clone()).list(&params).await {
            Ok(found) => {
                let namespace = found.items.first().and_then(ResourceExt::namespace);
                Ok(namespace.unwrap_or_else(|| object::NAMESPACE.to_owned()))
            }
            Err(error) => {
                let fault = Unavailable::of(&error);
                if fault.is_of_connection() {
                    return Err(complaint(&self.url, &fault));
                }
                Ok(object::NAMESPACE.to_owned())
            }
        }
    }
}

/// What to tell about something that can't be had from the API server at this address.
#[must_use]
pub fn complaint(url: &str, fault: &Unavailable) -> Complaint {
    Complaint { place: url.to_owned(), message: fault.to_string(), next: fault.next_step() }
}

/// Runs a command that asks a cluster, and tells what stopped it.
pub fn run(command: impl Future<Output = Result<ExitCode, Complaint>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => Err(Complaint {
            place: "event loop".to_owned(),
            message: output::plain(&error),
            next: "see whether the machine lacks memory or file descriptors".to_owned(),
        }),
    };
    result.unwrap_or_else(|complaint| {
        output::complain(&[complaint]);
        ExitCode::from(UNREADABLE)
    })
}
