//! A TCP proxy between the API server and a webhook, for networks that aren't well.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::network::{ADDRESS, Network};

/// What the proxy does to a connection.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    None,
    /// The bytes of a connection beyond this many reach the webhook so much later.
    SlowRequest {
        after: usize,
        delay: Duration,
    },
    /// Each thing that the webhook says reaches the API server so much later.
    SlowAnswer {
        delay: Duration,
    },
}

pub struct Proxy {
    pub port: u16,
    requests: Arc<Requests>,
}

/// How many bytes the webhook was sent, beyond what each connection's handshake takes.
#[derive(Default)]
struct Requests {
    bytes: Mutex<usize>,
    changed: Condvar,
}

/// A client's part of a TLS handshake is smaller than this, and with the smallest request it is larger.
const HANDSHAKE: usize = 1000;

// === impl Proxy ===

impl Proxy {
    /// # Errors
    /// When it can't listen.
    pub fn start(network: &Network, webhook: u16, fault: Fault) -> std::io::Result<Self> {
        let listener = network.inside(|| TcpListener::bind((ADDRESS, 0)))?;
        let port = listener.local_addr()?.port();
        let requests = Arc::new(Requests::default());
        let counted = Arc::clone(&requests);
        network.spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A webhook that isn't there shows as a connection that is closed at once.
                if let Ok(server) = TcpStream::connect((ADDRESS, webhook)) {
                    carry(&client, &server, fault, &counted);
                }
            }
        });
        Ok(Self { port, requests })
    }

    /// How many bytes of requests have gone through so far.
    pub fn requests(&self) -> usize {
        *self.requests.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until more than so many have.
    pub fn wait_for_request(&self, so_far: usize, patience: Duration) -> bool {
        let bytes = self.requests.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let (bytes, _) = self
            .requests
            .changed
            .wait_timeout_while(bytes, patience, |bytes| *bytes <= so_far)
            .unwrap_or_else(PoisonError::into_inner);
        *bytes > so_far
    }
}

fn carry(client: &TcpStream, server: &TcpStream, fault: Fault, requests: &Arc<Requests>) {
    let (Ok(from_client), Ok(to_client)) = (client.try_clone(), client.try_clone()) else { return };
    let (Ok(from_server), Ok(to_server)) = (server.try_clone(), server.try_clone()) else { return };
    let requests = Arc::clone(requests);
    thread::spawn(move || {
        copy(from_client, to_server, |so_far, next| {
            let beyond = (so_far + next).saturating_sub(HANDSHAKE.max(so_far));
            *requests.bytes.lock().unwrap_or_else(PoisonError::into_inner) += beyond;
            requests.changed.notify_all();
            if let Fault::SlowRequest { after, delay } = fault
                && so_far <= after
                && so_far + next > after
            {
                thread::sleep(delay);
            }
        });
    });
    thread::spawn(move || {
        copy(from_server, to_client, |_, _| {
            if let Fault::SlowAnswer { delay } = fault {
                thread::sleep(delay);
            }
        });
    });
}

/// Calls `before` with the bytes so far and the next ones before it passes them on.
fn copy(mut from: TcpStream, mut to: TcpStream, mut before: impl FnMut(usize, usize)) {
    let mut buffer = [0; 16 * 1024];
    let mut so_far = 0;
    while let Ok(next @ 1..) = from.read(&mut buffer) {
        before(so_far, next);
        so_far += next;
        if to.write_all(&buffer[..next]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
