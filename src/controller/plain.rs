//! One plain HTTP request to a pod, at its own address; a new connection each time, as requests are rare.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use futures::StreamExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Hands over the body piece by piece, so that nobody has to hold all of it. The caller says how long that may take.
///
/// # Errors
/// What went wrong, for people; or what the taker of the pieces says.
pub async fn get(
    address: SocketAddr,
    path: &str,
    mut take: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let port = address.port();
    let silent = |_| silence(port);
    let stream = TcpStream::connect(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("nothing listens on port {port}"),
        _ => format!("port {port} can't be reached"),
    })?;
    let (mut sender, connection) = http1::handshake::<_, Body>(TokioIo::new(stream)).await.map_err(silent)?;
    let request = Request::get(path).header(header::HOST, address.to_string()).body(Body::empty());
    let request = request.map_err(|error| error.to_string())?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(silent)?;
        if answer.status() != StatusCode::OK {
            return Err(format!("answers {path} with status {}", answer.status().as_u16()));
        }
        let mut pieces = Body::new(answer.into_body()).into_data_stream();
        while let Some(piece) = pieces.next().await {
            take(&piece.map_err(|_| silence(port))?)?;
        }
        Ok(())
    };
    let mut exchange = pin!(exchange);
    tokio::select! {
        biased;
        done = &mut exchange => return done,
        // The other side may close it right behind the last byte.
        _ = connection => {}
    }
    exchange.await
}

/// That there is no answer.
#[must_use]
pub fn silence(port: u16) -> String {
    format!("no answer on port {port}")
}
