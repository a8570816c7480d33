//! Where a container sends, and how: general and per-signal endpoints and protocols.
//!
//! Source: OpenTelemetry's "OTLP Exporter Configuration": the general endpoint gets `/v1/<signal>` appended over HTTP, a
//! signal's own is used as it is.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use super::expand::double_dollars;
use crate::api::otel::var;
use crate::config::Protocol;

/// Where a pod sends, by protocol; the texts are ready to be a variable's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// What is used where the container doesn't say otherwise.
    pub protocol: Protocol,
    grpc: Option<String>,
    http: Option<String>,
    /// The texts refer to [`var::NODE_IP`].
    pub on_node: bool,
}

/// An http or https URL, taken apart as far as a port matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Url<'a> {
    /// Scheme, user and host.
    before_port: &'a str,
    port: Option<u16>,
    /// Path and query.
    after_port: &'a str,
}

/// Where a URL leads, whatever its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// To the node that the pod runs on, by its address.
    Node,
    Address(IpAddr),
    /// In lower case; of a Service, its name and namespace alone.
    Name(String),
}

/// How the hosts of a cluster's DNS are written short.
#[derive(Clone, Copy, Debug)]
pub struct Dns<'a> {
    pub cluster_domain: &'a str,
    /// In which a name without dots is looked up.
    pub namespace: Option<&'a str>,
}

/// Stands in a text for the node's address; no variable can hold it.
pub const NODE_ADDRESS: &str = "\0";

/// A signal that has variables of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Traces,
    Metrics,
    Logs,
}

// === impl Signal ===

impl Signal {
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    #[must_use]
    pub const fn endpoint_variable(self) -> &'static str {
        match self {
            Self::Traces => var::TRACES_ENDPOINT,
            Self::Metrics => var::METRICS_ENDPOINT,
            Self::Logs => var::LOGS_ENDPOINT,
        }
    }

    #[must_use]
    pub const fn protocol_variable(self) -> &'static str {
        match self {
            Self::Traces => var::TRACES_PROTOCOL,
            Self::Metrics => var::METRICS_PROTOCOL,
            Self::Logs => var::LOGS_PROTOCOL,
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
            Self::Logs => "/v1/logs",
        }
    }
}

// === impl Url ===

impl<'a> Url<'a> {
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let scheme = ["http://", "https://"]
            .iter()
            .find(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))?;
        let rest = &text[scheme.len()..];
        let (user, host, port) = authority(rest)?;
        let split = scheme.len() + user.len() + host.len();
        let after_port = &text[split + port.len()..];
        let is_host = bracketed(host).map_or_else(|| is_of_url(host, ""), |host| host.parse::<Ipv6Addr>().is_ok());
        let is_whole = is_host
            && is_of_url(user.strip_suffix('@').unwrap_or_default(), IN_USER)
            && is_of_url(after_port, IN_PATH_AND_QUERY);
        if host.is_empty() || !is_whole {
            return None;
        }
        let port = match port {
            "" => None,
            // Rust would read `+80` too.
            port => {
                let digits = port.strip_prefix(':').filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?;
                Some(digits.parse().ok().filter(|port| *port != 0)?)
            }
        };
        Some(Self { before_port: &text[..split], port, after_port })
    }

    fn with_port(&self, port: Option<u16>) -> String {
        match port {
            Some(port) => format!("{}:{port}{}", self.before_port, self.after_port),
            None => format!("{}{}", self.before_port, self.after_port),
        }
    }
}

/// What stands behind a URL's scheme taken apart: `user@`, the host, and `:port`; two may be empty.
fn authority(rest: &str) -> Option<(&str, &str, &str)> {
    let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
    let (user, rest) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    let length = if rest.starts_with('[') { rest.find(']')? + 1 } else { rest.find(':').unwrap_or(rest.len()) };
    let (host, port) = rest.split_at(length);
    Some((user, host, port))
}

/// What stands in the brackets of an IPv6 address.
fn bracketed(host: &str) -> Option<&str> {
    host.strip_prefix('[')?.strip_suffix(']')
}

/// Punctuation that may stand in a URL's user as it is: RFC 3986, section 3.2.1.
const IN_USER: &str = "!$&'()*+,;=:";
/// In its path and query: sections 3.3 and 3.4.
const IN_PATH_AND_QUERY: &str = "!$&'()*+,;=:@/?";

/// Whether a part of a URL is written as RFC 3986 has it: unreserved characters, octets as `%` and two hexadecimal
/// digits, and this punctuation. For a host that is none, though a registered name might have some: no name of a network
/// has it, but what a shell or a template was to replace (`$(HOST_IP)`). Letters of all scripts stay; SDKs encode them.
fn is_of_url(part: &str, punctuation: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | '%') || punctuation.contains(c);
    let is_octet =
        |after: &str| after.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    part.chars().all(is_plain) && part.split('%').skip(1).all(is_octet)
}

// === impl Host ===

impl Host {
    /// Of a URL in which [`NODE_ADDRESS`] stands for that. Some SDKs take one without its scheme.
    #[must_use]
    pub fn of(url: &str, dns: Dns<'_>) -> Option<Self> {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let (_, host, _) = authority(rest)?;
        let host = bracketed(host).unwrap_or(host);
        match host.parse() {
            _ if host == NODE_ADDRESS => Some(Self::Node),
            Ok(address) => Some(Self::Address(address)),
            Err(_) if host.is_empty() => None,
            Err(_) => Some(Self::Name(dns.short(host))),
        }
    }

    #[must_use]
    pub fn of_service(name: &str, namespace: &str) -> Self {
        Self::Name(format!("{name}.{namespace}"))
    }
}

// === impl Dns ===

impl Dns<'_> {
    fn short(self, host: &str) -> String {
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        let in_cluster = || host.strip_suffix(self.cluster_domain)?.strip_suffix(".svc.");
        let short = in_cluster().or_else(|| host.strip_suffix(".svc")).unwrap_or(host);
        match self.namespace.filter(|_| !short.contains('.')) {
            Some(namespace) => format!("{short}.{namespace}"),
            None => short.to_owned(),
        }
    }
}

// === impl Destination ===

impl Destination {
    /// To a URL that somebody wrote; its protocol is the one given, else that of its port, else the configured one.
    #[must_use]
    pub fn new(url: &Url<'_>, protocol: Option<Protocol>, configured: Protocol) -> Self {
        let of_port = match url.port {
            Some(port) if port == Protocol::Grpc.port() => Some(Protocol::Grpc),
            Some(port) if port != Protocol::HttpProtobuf.port() => None,
            Some(_) if configured == Protocol::HttpJson => Some(Protocol::HttpJson),
            Some(_) => Some(Protocol::HttpProtobuf),
            None => None,
        };
        let own = protocol.or(of_port).unwrap_or(configured);
        // Only the two ports of OTLP say where the other protocol would be.
        let other = (url.port == Some(own.port())).then(|| {
            let port = if own == Protocol::Grpc { Protocol::HttpProtobuf } else { Protocol::Grpc }.port();
            double_dollars(&url.with_port(Some(port))).into_owned()
        });
        let this = Some(double_dollars(&url.with_port(url.port)).into_owned());
        let (grpc, http) = if own == Protocol::Grpc { (this, other) } else { (other, this) };
        Self { protocol: own, grpc, http, on_node: false }
    }

    /// To the node that the pod runs on, by its address.
    #[must_use]
    pub fn on_node(ipv6: bool, protocol: Protocol) -> Self {
        let host = if ipv6 { format!("[$({})]", var::NODE_IP) } else { format!("$({})", var::NODE_IP) };
        Self { on_node: true, ..Self::on_host(&host, protocol) }
    }

    /// To a host that listens on the two ports of OTLP.
    #[must_use]
    pub fn on_host(host: &str, protocol: Protocol) -> Self {
        Self {
            protocol,
            grpc: Some(format!("http://{host}:{}", Protocol::Grpc.port())),
            http: Some(format!("http://{host}:{}", Protocol::HttpProtobuf.port())),
            on_node: false,
        }
    }

    /// The general endpoint that speaks a protocol, if one is known.
    #[must_use]
    pub fn url(&self, protocol: Protocol) -> Option<&str> {
        match protocol {
            Protocol::Grpc => self.grpc.as_deref(),
            Protocol::HttpProtobuf | Protocol::HttpJson => self.http.as_deref(),
        }
    }

    /// A signal's own endpoint that speaks a protocol.
    #[must_use]
    pub fn signal_url(&self, signal: Signal, protocol: Protocol) -> Option<Cow<'_, str>> {
        let url = self.url(protocol)?;
        if protocol == Protocol::Grpc {
            return Some(Cow::Borrowed(url));
        }
        let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
        let mut own = format!("{}{}", base.trim_end_matches('/'), signal.path());
        if let Some(query) = query {
            own.push('?');
            own.push_str(query);
        }
        Some(Cow::Owned(own))
    }

    /// The host of either protocol.
    #[must_use]
    pub fn host(&self, dns: Dns<'_>) -> Option<Host> {
        if self.on_node {
            return Some(Host::Node);
        }
        self.grpc.as_deref().or(self.http.as_deref()).and_then(|url| Host::of(url, dns))
    }

    /// The same hosts, another protocol preferred.
    #[must_use]
    pub fn prefer(&self, protocol: Protocol) -> Self {
        Self { protocol, ..self.clone() }
    }
}

/// For every test of who takes which.
#[cfg(test)]
pub mod examples {
    pub const ENDPOINTS: &[&str] = &[
        "http://a",
        "HTTPS://a:4318/x?y=z",
        "http://[::1]:4317",
        "http://u:p@h/",
        "http://u:$(p)'!@h:00080",
        "http://a_b.c-d~e:65535",
        "http://b\u{fc}cher.example:4318/\u{fc}",
        "http://h%41:4318/%7Etenant/a;v=1,2/b(c)?q=$x&r=%2f/?@:!*'+",
    ];
    pub const NO_ENDPOINTS: &[&str] = &[
        "",
        "a:4317",
        "ftp://a",
        "http://",
        "http://:80",
        "http://a:",
        "http://a:0",
        "http://a:65536",
        "http://a:+80",
        "http://a b",
        "http://[::1",
        "http://[x]:1",
        "http:///path",
        "http://a\n",
        "http://{host}:4318",
        "http://${HOST_IP}:4318",
        "http://$(HOST_IP):4318",
        "http://%HOST_IP%:4318",
        "http://a^b|c:4318",
        "http://h%zz:4318",
        "http://h%4:4318",
        "http://h%",
        "http://,:4318",
        "http://a,b:4318",
        "http://a[b]:4318",
        "http://u@v@h:4318",
        "http://u{p}@h:4318",
        "http://a:4318/{tenant}",
        "http://a:4318/x|y",
        "http://a:4318/`id`",
        "http://a:4318/a^b",
        "http://a:4318/a\\b",
        "http://a:4318/<b>",
        "http://a:4318/\"b\"",
        "http://a:4318/100%",
        "http://a:4318/?q=%1",
        "http://a:4318/[b]",
        "http://a:4318/#x",
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_urls_are_endpoints() {
        for legal in examples::ENDPOINTS {
            assert!(Url::parse(legal).is_some(), "{legal}");
        }
        // The schema looks at ASCII alone.
        for illegal in examples::NO_ENDPOINTS.iter().chain(&["http://a:4318/\u{a0}"]) {
            assert!(Url::parse(illegal).is_none(), "{illegal}");
        }
    }

    #[test]
    fn an_endpoint_has_the_protocol_of_its_port() {
        let of = |text: &str| Destination::new(&Url::parse(text).unwrap(), None, Protocol::HttpJson);
        assert_eq!(of("http://a:4317").protocol, Protocol::Grpc);
        assert_eq!(of("http://a:4317").url(Protocol::HttpProtobuf), Some("http://a:4318"));
        assert_eq!(of("http://a:4318/p").protocol, Protocol::HttpJson);
        assert_eq!(of("http://a:4318/p").url(Protocol::Grpc), Some("http://a:4317/p"));
        assert_eq!(of("http://a").protocol, Protocol::HttpJson);
        assert_eq!(of("http://a").url(Protocol::Grpc), None);
    }

    #[test]
    fn a_signal_over_http_has_its_path() {
        let destination = Destination::on_host("h", Protocol::HttpProtobuf);
        assert_eq!(
            destination.signal_url(Signal::Metrics, Protocol::HttpProtobuf).as_deref(),
            Some("http://h:4318/v1/metrics")
        );
        assert_eq!(destination.signal_url(Signal::Metrics, Protocol::Grpc).as_deref(), Some("http://h:4317"));
    }
}
