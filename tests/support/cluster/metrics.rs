//! What a Collector tells of itself, told in its place.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::network::{ADDRESS, Network};

/// A server at [`ADDRESS`], until it is dropped.
pub struct Metrics {
    network: Arc<Network>,
    port: u16,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Metrics {
    /// Answers whatever it is asked with that text.
    pub fn serve(network: &Arc<Network>, port: u16, text: impl Fn() -> String + Send + 'static) -> Self {
        let listener = network.inside(|| TcpListener::bind((ADDRESS, port))).expect("the port is free");
        let ended = Arc::new(AtomicBool::new(false));
        let thread = network.spawn({
            let ended = Arc::clone(&ended);
            move || {
                for stream in listener.incoming() {
                    if ended.load(Ordering::Relaxed) {
                        return;
                    }
                    let Ok(mut stream) = stream else { continue };
                    let _ = stream.read(&mut [0; 4096]);
                    let text = text();
                    let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
                }
            }
        });
        Self { network: Arc::clone(network), port, ended, thread: Some(thread) }
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // It waits for somebody to ask.
        self.network.inside(|| drop(TcpStream::connect((ADDRESS, self.port))));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
