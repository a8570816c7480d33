//! Reads the metrics of Collectors, a few at a time.

use std::net::SocketAddr;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use tokio::time::timeout;

use super::exposition::{Lines, Sample};
use super::totals::{Reader, Reading};
use super::track::Target;
use crate::controller::plain;

/// How long one has for its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// At a time: where hundreds give no answer, the others' turn comes soon all the same.
const AT_ONCE: usize = 64;
const PATH: &str = "/metrics";

/// Each as soon as it has answered.
pub fn all(targets: Vec<Target>, port: u16) -> impl Stream<Item = (Target, Result<Reading, String>)> {
    let scrapes = targets.into_iter().map(move |target| async move {
        let seen = match target.address {
            None => Err("it has no address yet".to_owned()),
            Some(address) => one(SocketAddr::new(address, port)).await,
        };
        (target, seen)
    });
    stream::iter(scrapes).buffer_unordered(AT_ONCE)
}

async fn one(address: SocketAddr) -> Result<Reading, String> {
    let mut reader = Reader::default();
    samples(address, |sample| reader.take(sample)).await?;
    reader.finish().ok_or_else(|| format!("what answers on port {} is no Collector", address.port()))
}

/// Every sample that a program tells, one after the other.
///
/// # Errors
/// Why it can't be asked, for people. Some may have been handed over by then.
pub async fn samples(address: SocketAddr, mut take: impl FnMut(&Sample<'_>)) -> Result<(), String> {
    let mut lines = Lines::default();
    let mut each = |line: &str| {
        if let Some(sample) = Sample::read(line) {
            take(&sample);
        }
    };
    let too_long = |_| format!("answers {PATH} with more than can be read");
    let answer = plain::get(address, PATH, |piece| lines.push(piece, &mut each).map_err(too_long));
    timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(plain::silence(address.port())))?;
    lines.end(&mut each);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::collector::Pod;
    use crate::controller::health::delivery::track::Fleet;
    use crate::watch::Objects;
    use serde_json::json;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::time::Instant;

    /// A server that answers once with these bytes, and the port of it.
    fn server(answer: String) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let _ = stream.read(&mut [0; 4096]).expect("a request");
            stream.write_all(answer.as_bytes()).expect("somebody reads");
        });
        port
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    async fn scraped(address: Option<&str>, port: u16) -> Result<Reading, String> {
        let pod = Pod::of(&serde_json::from_value(json!({"status": {"podIP": address}})).expect("a pod"));
        let mut fleet = Fleet::default();
        fleet.follow(&Objects::from([("c".to_owned(), pod.into())]), Instant::now());
        let targets = fleet.next(1, Duration::ZERO, Instant::now());
        all(targets, port).next().await.expect("it is asked").1
    }

    #[tokio::test]
    async fn what_answers_is_read_and_what_doesnt_is_said() {
        let body = "# TYPE x counter\notelcol_receiver_accepted_spans_total{receiver=\"otlp\"} 3\n";
        let reading = scraped(Some("127.0.0.1"), server(ok(body))).await.expect("a Collector");
        assert!((reading.counts.flows[0].accepted - 3.0).abs() < f64::EPSILON);
        for (address, port, fault) in [
            (None, 1, "it has no address yet".to_owned()),
            (Some("127.0.0.1"), 1, "nothing listens on port 1".to_owned()),
            (
                Some("127.0.0.1"),
                server("HTTP/1.1 404 Not Found\r\n\r\n".to_owned()),
                "answers /metrics with status 404".to_owned(),
            ),
        ] {
            assert_eq!(scraped(address, port).await, Err(fault));
        }
        let port = server(ok("go_goroutines 5\n"));
        assert_eq!(scraped(Some("127.0.0.1"), port).await, Err(format!("what answers on port {port} is no Collector")));
        let port = server("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\notelcol_x 1\n".to_owned());
        assert_eq!(scraped(Some("127.0.0.1"), port).await, Err(format!("no answer on port {port}")), "cut short");
        let port = server(ok(&"x".repeat(100 << 10)));
        assert_eq!(
            scraped(Some("127.0.0.1"), port).await,
            Err("answers /metrics with more than can be read".to_owned())
        );
    }
}
