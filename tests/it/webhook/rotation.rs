//! The certificate is swapped under load, and nobody notices.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use otelgate::admission::Entry;
use otelgate::server::Limits;
use otelgate::source::Reload as _;
use otelgate::tls::Identity;
use rustls::pki_types::CertificateDer;
use tempfile::tempdir;

use super::authority::{Authority, Pair};
use super::client::{tls, wait_ready, wait_until};
use super::port::Port;
use super::process::Process;
use super::stack::recorded;

const ROTATIONS: usize = 24;

fn identity_of(pair: &Pair) -> String {
    Identity::read(&[pair.certificate.clone().into(), pair.key.clone().into()]).expect("usable").identity()
}

fn in_force(port: &Port) -> Option<String> {
    port.identity.current().as_ref().map(|identity| identity.identity())
}

/// The leaf that a client gets to see.
async fn shown(address: SocketAddr, authority: &Authority) -> CertificateDer<'static> {
    let connection = tls(address, authority.client(None)).await.expect("a handshake");
    let chain = connection.stream().get_ref().1.peer_certificates().expect("a chain");
    chain[0].clone().into_owned()
}

#[tokio::test]
async fn the_process_shows_each_new_certificate() {
    let folder = tempdir().expect("a folder");
    let authority = Authority::new("one");
    let first = authority.issue();
    first.mount(folder.path(), 0);
    let process = Process::start(folder.path(), &["--no-namespaces"]).await;
    wait_ready(process.admin, "ok").await;
    assert_eq!(shown(process.address, &authority).await, first.leaf());
    for generation in 1..=2 {
        let pair = authority.issue();
        pair.mount(folder.path(), generation);
        wait_until(|| async { shown(process.address, &authority).await == pair.leaf() }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_handshake_and_no_request_fails_while_the_certificate_rotates() {
    let folder = tempdir().expect("a folder");
    let authority = Authority::new("one");
    authority.issue().mount(folder.path(), 0);
    let (certificate, key) = Pair::paths(folder.path());
    let port = Port::start(vec![certificate, key], Limits::default()).await;

    let stop = Arc::new(AtomicBool::new(false));
    let (handshakes, requests) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let review = Arc::new(recorded("deployment-pod"));
    let clients: Vec<_> = [1, 3, 1000]
        .into_iter()
        .map(|requests_a_connection| {
            let (stop, handshakes, requests) = (Arc::clone(&stop), Arc::clone(&handshakes), Arc::clone(&requests));
            let (review, config, address) = (Arc::clone(&review), authority.client(None), port.address);
            tokio::spawn(async move {
                while !stop.load(SeqCst) {
                    let mut connection = tls(address, Arc::clone(&config)).await.expect("a handshake");
                    handshakes.fetch_add(1, SeqCst);
                    for _ in 0..requests_a_connection {
                        let answer = connection.review(Entry::Pod.path(), &review).await.expect("an answer");
                        assert!(answer.response().get("patch").is_some());
                        requests.fetch_add(1, SeqCst);
                        if stop.load(SeqCst) {
                            break;
                        }
                    }
                }
            })
        })
        .collect();

    for rotation in 1..=ROTATIONS {
        let before = (handshakes.load(SeqCst), requests.load(SeqCst));
        let pair = authority.issue();
        if rotation % 2 == 0 {
            pair.mount(folder.path(), rotation);
        } else {
            pair.write(folder.path());
        }
        let wanted = Some(identity_of(&pair));
        wait_until(|| async { in_force(&port) == wanted }).await;
        assert_eq!(shown(port.address, &authority).await, pair.leaf(), "on the wire, rotation {rotation}");
        wait_until(|| async { handshakes.load(SeqCst) > before.0 + 2 && requests.load(SeqCst) > before.1 + 4 }).await;
    }
    stop.store(true, SeqCst);
    for client in clients {
        client.await.expect("no failure");
    }
    assert_eq!(port.metrics.certificate_reloads.successes(), ROTATIONS as u64 + 1);
}

#[tokio::test]
async fn a_bad_certificate_is_refused_and_the_last_good_one_stays() {
    let folder = tempdir().expect("a folder");
    let authority = Authority::new("one");
    let good = authority.issue();
    good.write(folder.path());
    let (certificate, key) = Pair::paths(folder.path());
    let port = Port::start(vec![certificate.clone(), key.clone()], Limits::default()).await;
    let reloads = Arc::clone(&port.metrics.certificate_reloads);

    let other = authority.issue();
    let faults = [(&key, other.key.as_str()), (&certificate, "no PEM"), (&certificate, "")];
    for (failures, (file, contents)) in (1..).zip(faults) {
        good.write(folder.path());
        wait_until(|| async { reloads.is_in_order() }).await;
        fs::write(file, contents).expect("written");
        wait_until(|| async { reloads.failures() == failures }).await;
        assert!(!reloads.is_in_order());
        assert!(port.identity.fault().is_some());
        assert_eq!(in_force(&port), Some(identity_of(&good)));
        tls(port.address, authority.client(None)).await.expect("the last good certificate serves");
    }
    fs::remove_file(&certificate).expect("removed");
    wait_until(|| async { port.identity.fault().is_some_and(|fault| fault.contains("no such file")) }).await;
    tls(port.address, authority.client(None)).await.expect("the last good certificate serves");
    other.write(folder.path());
    wait_until(|| async { in_force(&port) == Some(identity_of(&other)) }).await;
    assert!(reloads.is_in_order());
}

#[tokio::test]
async fn the_client_authority_is_asked_for_and_rotates_too() {
    let folder = tempdir().expect("a folder");
    let (authority, clients, others) = (Authority::new("server"), Authority::new("clients"), Authority::new("others"));
    authority.issue().write(folder.path());
    let (certificate, key) = Pair::paths(folder.path());
    let client_ca = folder.path().join("client-ca.crt");
    fs::write(&client_ca, clients.pem()).expect("written");
    let port = Port::start(vec![certificate, key, client_ca.clone()], Limits::default()).await;

    let speaks = async |own: Option<Pair>| {
        let Ok(mut connection) = tls(port.address, authority.client(own.as_ref())).await else { return false };
        // With TLS 1.3 the client learns of its refusal only when it reads.
        connection.review(Entry::Pod.path(), &recorded("deployment-pod")).await.is_ok()
    };
    assert!(speaks(Some(clients.issue())).await);
    assert!(!speaks(None).await);
    assert!(!speaks(Some(others.issue())).await);
    fs::write(&client_ca, others.pem()).expect("written");
    wait_until(|| async { port.metrics.certificate_reloads.successes() == 2 }).await;
    assert!(speaks(Some(others.issue())).await);
    assert!(!speaks(Some(clients.issue())).await);
}
