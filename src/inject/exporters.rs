//! Where a container's telemetry goes: endpoint and protocol, in general and for each signal, which only make sense as pairs.

use std::borrow::Cow;

use super::endpoint::{Destination, Dns, Host, Signal};
use super::existing::Known;
use super::plan::{Entry, Value};
use super::variables::{CONTAINER, NODE_IP_FIELD, Variables};
use super::{Context, Reason, legal};
use crate::api::otel::var;
use crate::config::{ExtraSource, Protocol};

/// What a container says where or how one kind of telemetry goes.
struct Exporter {
    endpoint: Said<()>,
    protocol: Said<Protocol>,
}

/// What a container says by one variable.
enum Said<T> {
    Nothing,
    /// The variable is there and empty, which counts as unset; but its name is taken.
    Empty,
    Value(T),
    /// It can't be used or known, for this reason.
    Hidden(Reason),
}

/// How a protocol comes about.
#[derive(Clone, Copy)]
enum Chosen {
    /// By otelgate, which then says so.
    Free,
    /// By the container, in this variable or in one that is in force for it.
    Given(Protocol),
}

// === impl Said ===

impl<T> Said<T> {
    fn of(known: Known<'_>, read: impl FnOnce(&str) -> Result<T, Reason>) -> Self {
        match known {
            Known::Absent => Self::Nothing,
            Known::Literal(text) if text.is_empty() => Self::Empty,
            Known::Literal(text) => read(&text).map_or_else(Self::Hidden, Self::Value),
            Known::Hidden(reason) => Self::Hidden(reason),
        }
    }

    fn is_set(&self) -> bool {
        matches!(self, Self::Value(_) | Self::Hidden(_))
    }

    fn is_there(&self) -> bool {
        !matches!(self, Self::Nothing)
    }
}

impl Said<Protocol> {
    /// The specification's default holds where the name is taken and empty.
    fn chosen(&self) -> Result<Chosen, Reason> {
        match self {
            Self::Nothing => Ok(Chosen::Free),
            Self::Empty => Ok(Chosen::Given(Protocol::HttpProtobuf)),
            Self::Value(protocol) => Ok(Chosen::Given(*protocol)),
            Self::Hidden(reason) => Err(*reason),
        }
    }

    /// As a signal's, where the general one is in force unless it has its own.
    fn chosen_under(&self, general: &Self) -> Result<Chosen, Reason> {
        match (self, general) {
            (Self::Nothing | Self::Empty, Self::Value(_) | Self::Hidden(_)) => general.chosen(),
            _ => self.chosen(),
        }
    }
}

// === impl Variables ===

impl<'a> Variables<'a, '_> {
    pub(super) fn exporters(&mut self) {
        let general = self.exporter(var::ENDPOINT, var::PROTOCOL);
        let signals =
            Signal::ALL.map(|signal| (signal, self.exporter(signal.endpoint_variable(), signal.protocol_variable())));
        if general.endpoint.is_set() {
            self.entries.push(Entry::kept(var::ENDPOINT, CONTAINER));
            self.entries.push(match general.protocol {
                Said::Nothing => Entry::left(var::PROTOCOL, Reason::PairIsUsers),
                _ => Entry::kept(var::PROTOCOL, CONTAINER),
            });
            return;
        }
        let no_signal = signals.iter().all(|(_, own)| !own.endpoint.is_set() && !own.protocol.is_set());
        if no_signal && !general.endpoint.is_there() {
            let chosen = general.protocol.chosen();
            self.pair(var::ENDPOINT, var::PROTOCOL, None, chosen, general.protocol.is_there());
            return;
        }
        for (signal, own) in signals {
            let (endpoint, protocol) = (signal.endpoint_variable(), signal.protocol_variable());
            if own.endpoint.is_there() {
                self.entries.push(Entry::kept(endpoint, CONTAINER));
            } else {
                let chosen = own.protocol.chosen_under(&general.protocol);
                self.pair(endpoint, protocol, Some(signal), chosen, own.protocol.is_there());
            }
        }
    }

    /// Whether the endpoint in force for a signal is the container's own, and leads neither to the Collector nor where
    /// the pod would send without it. One that is skipped counts as hidden in `envFrom`: so it is given back.
    pub(super) fn sends_elsewhere(&self, signal: Signal) -> bool {
        let skips = |name| self.context.options.skips(name);
        // With the general protocol its endpoint is left out, too.
        let own = [(signal.endpoint_variable(), false), (var::ENDPOINT, skips(var::PROTOCOL))];
        for (endpoint, is_left) in own {
            if Said::of(self.existing.value(endpoint), |_| Ok(())).is_set() {
                return !self.is_known_host(endpoint);
            }
            if is_left || skips(endpoint) {
                return true;
            }
        }
        false
    }

    fn is_known_host(&self, endpoint: &str) -> bool {
        let Context { configuration, namespace, options, .. } = self.context;
        let dns = Dns { cluster_domain: configuration.cluster_domain(), namespace: namespace.name };
        let url = self.existing.url(endpoint, &self.node_addresses());
        let Some(host) = url.and_then(|url| Host::of(&url, dns)) else { return false };
        let to = options.destination.as_ref().and_then(|destination| destination.host(dns));
        configuration.is_collector(&host) || to.as_ref() == Some(&host)
    }

    /// The variables that get the node's address, whether or not they stand there already, and from which place of the
    /// user's list on they are found.
    fn node_addresses(&self) -> Vec<(&'a str, usize)> {
        let reference = self.is_referred(var::NODE_IP).then_some(var::NODE_IP);
        let extra = self.context.configuration.extra().iter().filter(|variable| {
            matches!(&variable.source, ExtraSource::FieldPath(path) if path == NODE_IP_FIELD)
                && !self.context.options.skips(&variable.name)
        });
        let all = reference.into_iter().chain(extra.map(|variable| variable.name.as_str()));
        all.filter(|name| self.existing.last(name).is_none()).map(|name| (name, self.found_from(name))).collect()
    }

    fn exporter(&self, endpoint: &str, protocol: &str) -> Exporter {
        Exporter {
            endpoint: Said::of(self.existing.value(endpoint), |_| Ok(())),
            protocol: Said::of(self.existing.value(protocol), |text| {
                Protocol::parse(text).ok_or(Reason::NoEndpointForProtocol)
            }),
        }
    }

    /// An endpoint that the container doesn't have, with the protocol that goes with it: both or neither.
    fn pair(
        &mut self,
        endpoint: &'static str,
        protocol: &'static str,
        signal: Option<Signal>,
        chosen: Result<Chosen, Reason>,
        has_protocol: bool,
    ) {
        // A signal's pair stands for the general one, which somebody may have in envFrom.
        let skipped = [endpoint, protocol, var::ENDPOINT, var::PROTOCOL].map(|name| self.context.options.skips(name));
        let given = matches!(chosen, Ok(Chosen::Given(_)) | Err(_));
        let found = match chosen {
            _ if skipped.contains(&true) => Err(Reason::SkippedByAnnotation),
            Ok(Chosen::Free) => self.endpoint(signal, None),
            Ok(Chosen::Given(protocol)) => self.endpoint(signal, Some(protocol)),
            Err(reason) => Err(reason),
        };
        let source = self.context.options.endpoint_source;
        let speaks = found.as_ref().map(|(_, speaks)| *speaks).map_err(|reason| *reason);
        match found {
            Ok((url, _)) => self.offer(endpoint, Value::Text(url), source),
            Err(reason) => self.entries.push(Entry::left(endpoint, reason)),
        }
        match speaks {
            _ if has_protocol => self.entries.push(Entry::kept(protocol, CONTAINER)),
            Ok(speaks) if !given => self.offer(protocol, Value::text(speaks.as_str()), source),
            Ok(_) => {}
            Err(reason) => self.entries.push(Entry::left(protocol, reason)),
        }
    }

    /// Where to send, as it will stand in the variable, and how.
    fn endpoint(
        &mut self,
        signal: Option<Signal>,
        chosen: Option<Protocol>,
    ) -> Result<(Cow<'a, str>, Protocol), Reason> {
        let destination = self.context.options.destination.as_ref().ok_or(Reason::NoEndpoint)?;
        let protocol = chosen.unwrap_or(destination.protocol);
        let url = match destination {
            Cow::Borrowed(destination) => url(destination, signal, protocol),
            Cow::Owned(destination) => url(destination, signal, protocol).map(|url| Cow::Owned(url.into_owned())),
        };
        let url = url.ok_or(Reason::NoEndpointForProtocol)?;
        legal::is_value(&url)?;
        if destination.on_node {
            self.refer(var::NODE_IP, None)?;
        }
        Ok((url, protocol))
    }
}

fn url(destination: &Destination, signal: Option<Signal>, protocol: Protocol) -> Option<Cow<'_, str>> {
    match signal {
        None => destination.url(protocol).map(Cow::Borrowed),
        Some(signal) => destination.signal_url(signal, protocol),
    }
}
