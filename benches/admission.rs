//! Admissions a second and core, against an echo server on the same stack: axum on hyper and tokio-rustls, nothing of
//! ours but the TLS settings, the same bytes in and out. Bursts alternate between the two within one run.
//!
//! `cargo bench --bench admission`

#![allow(clippy::print_stdout, clippy::panic, reason = "a bench prints its table, and has nobody to tell but its user")]

use std::convert::Infallible;
use std::path::Path;
use std::{env, fs};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;

#[path = "../tests/support/review.rs"]
mod review;
mod support;

use support::load::{Load, request};
use support::process::Process;
use support::serve::serve;
use support::{Certificate, free_port, median, quantile};

const PATH: &str = "/mutate/enabled";
const CONNECTIONS: usize = 8;
const ROUNDS: usize = 12;
const REQUESTS: usize = 4000;
const BUDGET: f64 = 0.70;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let [_, mode, port, certificate, key, answer] = &arguments[..]
        && mode == "echo"
    {
        return echo(port.parse().expect("a port"), certificate, key, answer);
    }
    if support::is_asked_for() {
        compare();
    }
}

/// One server's bursts.
struct Server {
    name: &'static str,
    process: Process,
    load: Load,
    /// Requests per second of its processor time, a burst each.
    per_core: Vec<f64>,
    /// Requests per second of the clock's time.
    per_second: Vec<f64>,
    latencies: Vec<f64>,
}

fn compare() {
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Certificate::write_to(folder.path());
    let body = review::review(review::USUAL);
    let request = request(PATH, &body);
    let (port, admin) = (free_port(), free_port());
    let arguments = [
        "webhook".to_owned(),
        "--no-namespaces".to_owned(),
        format!("--listen=127.0.0.1:{port}"),
        format!("--admin-listen=127.0.0.1:{admin}"),
        format!("--tls-cert={}", certificate.chain.display()),
        format!("--tls-key={}", certificate.key.display()),
        "--worker-threads=1".to_owned(),
    ];
    let log = folder.path().join("otelgate.log");
    let mut process = Process::start(Path::new(env!("CARGO_BIN_EXE_otelgate")), arguments, &log);
    process.wait_for(admin, "/readyz");
    let mut otelgate = Server::new("otelgate", process, Load::connect(port, CONNECTIONS, &certificate.client()));
    let answer = otelgate.load.ask(&request);
    assert!(review::patch(&answer).is_some(), "the review has to be injected");

    let (port, file) = (free_port(), folder.path().join("answer.json"));
    fs::write(&file, &answer).expect("the answer's file");
    let paths = [&certificate.chain, &certificate.key, &file].map(|path| path.display().to_string());
    let arguments = ["echo".to_owned(), port.to_string()].into_iter().chain(paths);
    let this = env::current_exe().expect("this program");
    let mut process = Process::start(&this, arguments, &folder.path().join("echo.log"));
    process.wait_for_port(port);
    let mut echo = Server::new("echo", process, Load::connect(port, CONNECTIONS, &certificate.client()));
    assert_eq!(echo.load.ask(&request), answer);

    println!(
        "{} bytes to the server, {} bytes back, {CONNECTIONS} connections over TLS, {ROUNDS} bursts of {REQUESTS} each",
        body.len(),
        answer.len()
    );
    for server in [&mut echo, &mut otelgate] {
        server.load.send(&request, REQUESTS);
    }
    for _ in 0..ROUNDS {
        for server in [&mut echo, &mut otelgate] {
            server.burst(&request);
        }
    }
    println!("{:<10} {:>16} {:>14} {:>12} {:>12}", "", "a second and core", "CPU each", "p50", "p99");
    let rates = [&mut echo, &mut otelgate].map(Server::print);
    println!(
        "otelgate reaches {:.0}% of the echo server's rate; the budget is {:.0}%",
        100.0 * rates[1] / rates[0],
        100.0 * BUDGET
    );
}

impl Server {
    fn new(name: &'static str, process: Process, load: Load) -> Self {
        Self { name, process, load, per_core: Vec::new(), per_second: Vec::new(), latencies: Vec::new() }
    }

    fn burst(&mut self, request: &std::sync::Arc<[u8]>) {
        let before = self.process.cpu();
        let burst = self.load.send(request, REQUESTS);
        let spent = self.process.cpu().saturating_sub(before);
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let count = burst.latencies.len() as f64;
        self.per_core.push(count / spent.as_secs_f64());
        self.per_second.push(count / burst.took.as_secs_f64());
        self.latencies.extend(burst.latencies);
    }

    /// Prints a line; the rate per core.
    fn print(&mut self) -> f64 {
        let per_core = median(&mut self.per_core);
        let (half, most) = (quantile(&mut self.latencies, 0.5), quantile(&mut self.latencies, 0.99));
        println!(
            "{:<10} {per_core:>17.0} {:>11.1} µs {:>9.0} µs {:>9.0} µs   ({:.0} a second by the clock)",
            self.name,
            1e6 / per_core,
            1e6 * half,
            1e6 * most,
            median(&mut self.per_second),
        );
        per_core
    }
}

/// Reads each request whole and answers with the same bytes.
fn echo(port: u16, certificate: &str, key: &str, answer: &str) {
    let answer = Bytes::from(fs::read(answer).unwrap_or_else(|error| panic!("{answer}: {error}")));
    let router = Router::new().route(PATH, post(move |request: Request| respond(request, answer.clone())));
    serve(("127.0.0.1", port), Path::new(certificate), Path::new(key), &router);
}

async fn respond(request: Request, answer: Bytes) -> Result<Response, Infallible> {
    let body = to_bytes(request.into_body(), 8 << 20).await;
    assert!(body.is_ok_and(|body| !body.is_empty()));
    let mut response = Response::new(Body::from(answer));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
