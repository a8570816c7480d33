use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::api::crd;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// An intake behind a proxy, as they are on the way: plain or encrypted, both with certificates of the same authority.
struct Way {
    authority: String,
    proxy: String,
}

/// What it answers, and what it saw of the request.
async fn way(
    scheme: &str,
    connect_answer: &'static str,
    answer: &'static str,
) -> (Way, tokio::sync::oneshot::Receiver<String>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let authority = issuer.pem();
    let key = KeyPair::generate().expect("a key");
    let names = vec!["api.example.com".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names).expect("names").signed_by(&key, &issuer).expect("a certificate");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).expect("a key"))
        .expect("a certificate with its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("localhost:0").await.expect("a port");
    let proxy = format!("{scheme}://localhost:{}", listener.local_addr().expect("it is bound").port());
    let (saw, request) = tokio::sync::oneshot::channel();
    let encrypted = scheme == "https";
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut stream: Box<dyn Stream> = Box::new(stream);
        if encrypted {
            stream = Box::new(acceptor.accept(stream).await.expect("TLS with the proxy"));
        }
        let mut stream = BufReader::new(stream);
        let mut seen = head(&mut stream).await;
        stream.write_all(connect_answer.as_bytes()).await.expect("somebody reads");
        if let Ok(stream) = acceptor.accept(stream).await {
            let mut stream = BufReader::new(stream);
            seen += &head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.expect("somebody reads");
            let _ = saw.send(seen);
        }
    });
    (Way { authority, proxy }, request)
}

async fn head(stream: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") && stream.read_line(&mut text).await.expect("text") > 0 {}
    text
}

fn through(proxy: &str) -> Intake {
    Intake {
        site: "example.com".to_owned(),
        proxy: proxy.to_owned(),
        no_proxy: Vec::new(),
        ca_config_map: String::new(),
    }
}

const CONNECTED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";
const ACCEPTED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"valid\":true}";

#[tokio::test]
async fn it_is_asked_through_the_proxy_with_the_authorities_of_the_spec() {
    for scheme in ["http", "https"] {
        let (way, request) = way(scheme, CONNECTED, ACCEPTED).await;
        let answer = through(&way.proxy).ask(KEY.as_bytes(), way.authority.as_bytes()).await;
        assert_eq!(answer, Answer::Accepted, "{scheme}");
        let request = request.await.expect("it was asked");
        assert!(request.starts_with("CONNECT api.example.com:443 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("GET /api/v1/validate HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("dd-api-key: {KEY}\r\n")), "{request}");
    }
}

#[tokio::test]
async fn every_other_answer_says_what_it_is() {
    let none = |why: &str| Answer::None(why.to_owned());
    for (connect, answer, expected) in [
        (CONNECTED, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", Answer::Refused),
        (CONNECTED, "HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n", none("it answers with status 503")),
        (CONNECTED, "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", none("it answers with status 429")),
        (CONNECTED, "", none("no answer")),
        ("HTTP/1.1 407 Who are you\r\n\r\n", ACCEPTED, none("it answers CONNECT with status 407")),
        ("nonsense\r\n\r\n", ACCEPTED, none("it speaks no HTTP")),
    ] {
        let (way, _request) = way("http", connect, answer).await;
        let seen = through(&way.proxy).ask(KEY.as_bytes(), way.authority.as_bytes()).await;
        let expected = match expected {
            Answer::None(why) if connect != CONNECTED => Answer::None(format!("the proxy {}: {why}", way.proxy)),
            expected => expected,
        };
        assert_eq!(seen, expected, "{connect} {answer}");
    }
}

#[tokio::test]
async fn the_key_isnt_told_to_whom_nobody_trusts() {
    let (way, request) = way("http", CONNECTED, ACCEPTED).await;
    let Answer::None(why) = through(&way.proxy).ask(KEY.as_bytes(), b"").await else { panic!("it is trusted") };
    assert!(why.starts_with("its certificate can't be trusted (UnknownIssuer); spec.egress.caConfigMap"), "{why}");
    assert!(request.await.is_err(), "nothing was sent");
}

#[tokio::test]
async fn nobody_there_is_no_refusal() {
    let port = TcpListener::bind("localhost:0").await.expect("a port").local_addr().expect("it is bound").port();
    let proxy = format!("http://localhost:{port}");
    let answer = through(&proxy).ask(KEY.as_bytes(), b"").await;
    assert_eq!(answer, Answer::None(format!("the proxy {proxy}: nothing listens on port {port}")));
    let answer = through("http://nobody.invalid:1").ask(KEY.as_bytes(), b"").await;
    assert_eq!(answer, Answer::None("the proxy http://nobody.invalid:1: its name can't be resolved".to_owned()));
}

#[test]
fn proxies_as_people_write_them() {
    for (url, expected) in [
        ("http://proxy:3128", Some((false, "proxy", 3128))),
        ("http://proxy", Some((false, "proxy", 80))),
        ("https://proxy.example.com/", Some((true, "proxy.example.com", 443))),
        ("http://[fd00::1]:3128", Some((false, "fd00::1", 3128))),
        ("http://[fd00::1]", Some((false, "fd00::1", 80))),
        ("http://:3128", None),
        ("http://proxy:many", None),
        ("socks5://proxy:1080", None),
    ] {
        let expected = expected.map(|(tls, host, port)| Proxy { tls, host, port });
        assert_eq!(Proxy::read(url), expected, "{url}");
        assert_eq!(crd::tests::takes("egress.proxy", url), expected.is_some(), "{url}");
    }
}

#[test]
fn hosts_that_need_no_proxy() {
    let is = |entry: &str| is_excepted(&["other.example".to_owned(), entry.to_owned()], "api.datadoghq.com");
    for entry in ["api.datadoghq.com", "datadoghq.com", ".datadoghq.com", "*.datadoghq.com", "DatadogHQ.com"] {
        assert!(is(entry) && crd::tests::takes("egress.noProxy[]", entry), "{entry}");
    }
    for entry in ["", ".", "doghq.com", "datadoghq.eu", "10.0.0.0/8"] {
        assert!(!is(entry), "{entry}");
    }
}
