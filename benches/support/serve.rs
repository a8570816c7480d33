//! A router over TLS with the webhook's TLS settings, and nothing else of otelgate's: one thread, no limits.

use std::fs;
use std::path::Path;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use otelgate::source::Reload as _;
use otelgate::tls::Identity;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

/// Serves until the process or the thread's runtime ends.
pub fn serve(address: (&str, u16), chain: &Path, key: &Path, router: &Router) {
    let read = |path: &Path| fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let identity = Identity::read(&[read(chain), read(key)]).expect("a certificate");
    let acceptor = TlsAcceptor::from(identity.config());
    Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
        let listener = TcpListener::bind(address).await.expect("the port is free");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("a TCP option");
            let (acceptor, router) = (acceptor.clone(), router.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
                    router.clone().call(request.map(Body::new))
                });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}
