//! A server that answers as Datadog's intake does, and keeps what arrives.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::control_plane::network::ADDRESS;
use crate::control_plane::{ControlPlane, wait_for};

pub struct Intake {
    pub port: u16,
    lines: Arc<Mutex<Vec<Value>>>,
    refuses: Arc<AtomicBool>,
}

impl Intake {
    /// Serves as long as the network is there.
    pub fn start(plane: &ControlPlane) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let listener = plane.network().inside(|| TcpListener::bind((ADDRESS, 0))).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (kept, refuses) = (Arc::clone(&lines), Arc::new(AtomicBool::new(false)));
        let asked = Arc::clone(&refuses);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), kept, asked) = (stream, Arc::clone(&kept), Arc::clone(&asked)) else { continue };
                std::thread::spawn(move || serve(stream, &kept, &asked));
            }
        });
        Self { port, lines, refuses }
    }

    /// Whatever comes from now on, as Datadog does with a key that it doesn't know.
    pub fn refuse(&self) {
        self.refuses.store(true, Relaxed);
    }

    /// As at first.
    pub fn accept(&self) {
        self.refuses.store(false, Relaxed);
    }

    /// Log lines so far, as they were sent.
    pub fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Until so many lines contain that text.
    #[track_caller]
    pub fn wait_for(&self, text: &str, count: usize) -> Result<(), String> {
        wait_for(&format!("{count} lines with {text:?}"), || (self.with(text).len() >= count).then_some(()))
    }

    pub fn with(&self, text: &str) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line.to_string().contains(text)).collect()
    }
}

/// One request after the other, until the other side has had enough.
fn serve(stream: TcpStream, lines: &Mutex<Vec<Value>>, refuses: &AtomicBool) -> Option<()> {
    let mut answers = stream.try_clone().ok()?;
    let mut requests = BufReader::new(stream);
    loop {
        let (path, body) = request(&mut requests)?;
        let refuses = refuses.load(Relaxed);
        if path.starts_with("/api/v2/logs")
            && !refuses
            && let Ok(Value::Array(more)) = serde_json::from_slice(&body)
        {
            lines.lock().unwrap_or_else(PoisonError::into_inner).extend(more);
        }
        let answer = if path.starts_with("/api/v1/validate") { r#"{"valid":true}"# } else { "{}" };
        let status = match path.starts_with("/api/v1/validate") {
            _ if refuses => "403 Forbidden",
            true => "200 OK",
            false => "202 Accepted",
        };
        write!(
            answers,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        )
        .ok()?;
    }
}

fn request(from: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut line = String::new();
    from.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split_whitespace().nth(1)?.to_owned();
    let (mut length, mut chunked) = (0, false);
    loop {
        let mut header = String::new();
        from.read_line(&mut header).ok().filter(|read| *read > 0)?;
        let header = header.trim().to_ascii_lowercase();
        match header.split_once(": ") {
            None if header.is_empty() => break,
            Some(("content-length", number)) => length = number.parse().ok()?,
            Some(("transfer-encoding", "chunked")) => chunked = true,
            _ => {}
        }
    }
    let mut body = Vec::new();
    if !chunked {
        body.resize(length, 0);
        from.read_exact(&mut body).ok()?;
        return Some((path, body));
    }
    loop {
        let mut size = String::new();
        from.read_line(&mut size).ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        from.read_exact(&mut chunk).ok()?;
        if size == 0 {
            return Some((path, body));
        }
        body.extend_from_slice(&chunk[..size]);
    }
}
