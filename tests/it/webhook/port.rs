//! The webhook port of this process, over real TLS on loopback.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use otelgate::admission::router;
use otelgate::config::Document;
use otelgate::metrics::Metrics;
use otelgate::server::{Lifecycle, Limits, Transport, serve};
use otelgate::source::{Files, Source};
use otelgate::tls::Identity;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::stack::admission;

pub struct Port {
    pub address: SocketAddr,
    pub metrics: Arc<Metrics>,
    pub identity: Arc<Source<Identity>>,
    pub lifecycle: Lifecycle,
    pub served: JoinHandle<()>,
}

impl Port {
    /// Serves with the certificate that the files hold, now and later.
    pub async fn start(files: Vec<PathBuf>, limits: Limits) -> Self {
        let admission = admission(Document::default());
        let metrics = Arc::clone(&admission.metrics);
        let identity = Arc::new(Source::new(Arc::clone(&metrics.certificate_reloads)));
        let files = Files::new(files);
        files.offer_to(&identity);
        tokio::spawn(files.follow(Arc::clone(&identity), Duration::from_millis(5)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (lifecycle, phases) = Lifecycle::new();
        let transport = Transport::Tls(Arc::clone(&identity));
        let router = router(&Arc::new(admission));
        let served = tokio::spawn(serve(listener, transport, router, limits, Some(Arc::clone(&metrics)), phases));
        Self { address, metrics, identity, lifecycle, served }
    }
}
