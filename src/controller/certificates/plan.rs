//! The next step towards a webhook that every API server trusts, now and later: pure.
//!
//! Whoever makes the certificate, the way is the same. First the registration trusts the authority of the new
//! certificate beside all those that a replica still serves under; then, once API servers have had the time to see it,
//! the webhook's Secret gets the certificate; then, once no replica serves under an old authority, that one goes.
//! First issue, renewal, rotation of the authority, a move from one provider to another and the repair of what somebody
//! deleted or edited are only different places to start from.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::observe::{Contents, Endpoint, Observed};
use super::settings::Settings;
use super::source::{Source, Wanting, find};
use crate::api::stack::Provider;
use crate::tls::authority::{BACKDATE, renewal};
use crate::tls::{Bundle, Certificate, Chain, keys_match};

/// What to do now, and how things stand.
#[derive(Debug)]
pub struct Plan {
    pub action: Option<Action>,
    pub phase: Phase,
    /// Why the provider's certificate isn't used, though another one may be.
    pub fault: Option<String>,
    /// Replicas whose certificate the registration doesn't trust.
    pub untrusted: Vec<String>,
    /// Replicas that the API server may call, and that showed nothing here.
    pub unseen: Vec<String>,
    /// There is a registration.
    pub registered: bool,
    /// When there is something to do or to see next, if nothing changes before.
    pub look_again: Duration,
    /// Of the certificate in the webhook's Secret.
    pub leaf_not_after: Option<Timestamp>,
    /// Of the authority that it comes from; the first to end.
    pub authority_not_after: Option<Timestamp>,
}

/// A write. After each, everything is looked at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make an authority, in place of the stored one if there is one.
    MakeAuthority,
    /// Write the stored one as it is, with its labels and its owner.
    KeepAuthority,
    WriteServing(Serving),
    /// Write this into `caBundle` of every entry.
    WriteRegistration(Vec<u8>),
}

/// What the webhook's Secret is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    pub pair: Pair,
    pub authorities: Vec<u8>,
    pub previous: Vec<u8>,
    pub direct_injection: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// What is there stays, were it nothing.
    Keep,
    /// A new one of otelgate's own authority.
    Issue,
    /// That of the source's Secret.
    Copy,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Every replica serves what it should.
    Stable,
    /// The new authority is on its way to the API servers.
    Trusting,
    /// cert-manager's injector hasn't written the new authority into the registration.
    WaitingForInjector,
    /// Replicas take up the new certificate.
    Switching,
    /// There is no usable certificate to give to the webhook, or none newer than what it has.
    WaitingForSource,
}

/// However quiet it is, everything is looked at this often.
const QUIET: Duration = Duration::from_mins(1);

/// What is observed, read.
struct View<'a> {
    observed: &'a Observed,
    settings: &'a Settings,
    now: Timestamp,
    /// The certificate of the webhook's Secret, if it fits its key.
    held: Option<Chain>,
    previous: Vec<Chain>,
    source: Option<Source>,
    fault: Option<String>,
    /// Authorities of the source under which the next certificate is trusted.
    anchors: Vec<Certificate>,
}

/// Whether the next certificate may be given to the webhook.
enum Switch {
    Now,
    /// After that time, at the latest.
    In(Duration),
    /// Once the registration trusts it.
    Untrusted,
}

/// What to do next about what is observed.
#[must_use]
pub fn plan(observed: &Observed, settings: &Settings, now: Timestamp) -> Plan {
    let held = observed.serving.as_ref().and_then(held);
    let (source, fault) = match find(observed, settings, held.as_ref(), now) {
        Ok(source) => (Some(source), None),
        Err(Wanting::Authority) => return make_authority(held.as_ref()),
        Err(Wanting::Source { fault, instead }) => (instead, Some(fault)),
    };
    let previous = observed.serving.as_ref().map_or_else(Vec::new, |serving| Chain::read_all(&serving.previous));
    let anchors = source.as_ref().map_or_else(Vec::new, Source::anchors);
    View { observed, settings, now, held, previous, source, fault, anchors }.plan()
}

fn make_authority(held: Option<&Chain>) -> Plan {
    Plan {
        action: Some(Action::MakeAuthority),
        phase: Phase::Trusting,
        fault: None,
        untrusted: Vec::new(),
        unseen: Vec::new(),
        registered: true,
        look_again: Duration::ZERO,
        leaf_not_after: held.map(|held| held.leaf().not_after()),
        authority_not_after: None,
    }
}

fn held(serving: &Contents) -> Option<Chain> {
    let chain = Chain::read(&serving.certificate)?;
    keys_match(&serving.certificate, &serving.key).is_ok().then_some(chain)
}

// === impl Phase ===

impl Phase {
    /// As in the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "Stable",
            Self::Trusting => "Trusting",
            Self::WaitingForInjector => "WaitingForInjector",
            Self::Switching => "Switching",
            Self::WaitingForSource => "WaitingForSource",
        }
    }
}

// === impl View ===

impl View<'_> {
    fn plan(self) -> Plan {
        let next = self.next_pair();
        let switch = (next != Pair::Keep).then(|| self.may_switch());
        let bundle = self.bundle();
        let pair = if matches!(switch, Some(Switch::Now)) { next } else { Pair::Keep };
        let action = self.action(pair, &bundle);
        let look_again = if action.is_some() { Duration::ZERO } else { self.look_again(switch.as_ref(), &bundle) };
        let ends = |certificates: &[Certificate]| certificates.iter().map(Certificate::not_after).min();
        Plan {
            phase: self.phase(switch.as_ref(), &bundle),
            action,
            look_again,
            untrusted: self.untrusted(),
            unseen: self.unseen().map(|endpoint| endpoint.pod.clone()).collect(),
            registered: self.observed.registration.is_some(),
            leaf_not_after: self.held.as_ref().map(|held| held.leaf().not_after()),
            authority_not_after: ends(&self.anchors),
            fault: self.fault,
        }
    }

    /// The write that is furthest behind. The Secret comes before the registration, because cert-manager's injector
    /// copies from the one to the other.
    fn action(&self, pair: Pair, bundle: &Bundle) -> Option<Action> {
        if bundle.is_empty() {
            return None;
        }
        let stripped = self.observed.stripped;
        if stripped.authority && matches!(self.source, Some(Source::Own(_))) {
            return Some(Action::KeepAuthority);
        }
        let authorities = bundle.pem().into_bytes();
        let previous = self.previous(pair).iter().map(Chain::pem).collect::<String>().into_bytes();
        let direct_injection = self.settings.provider == Provider::CertManager || self.is_injected();
        let stored = self.observed.serving.as_ref();
        let as_stored = stored.is_some_and(|stored| {
            stored.authorities == authorities
                && stored.previous == previous
                && (stored.direct_injection || !direct_injection)
                && !stripped.serving
        });
        if pair != Pair::Keep || !as_stored {
            return Some(Action::WriteServing(Serving { pair, authorities, previous, direct_injection }));
        }
        let registration = self.observed.registration.as_ref().filter(|registration| !registration.injected)?;
        let as_written = registration.bundles.iter().all(|written| *written == authorities);
        (!as_written).then_some(Action::WriteRegistration(authorities))
    }

    fn is_injected(&self) -> bool {
        self.observed.registration.as_ref().is_some_and(|registration| registration.injected)
    }

    /// Which certificate the webhook should be given, as soon as it may be.
    fn next_pair(&self) -> Pair {
        match &self.source {
            None => Pair::Keep,
            Some(Source::Given(given)) => {
                let same = |serving: &Contents| serving.certificate == given.certificate && serving.key == given.key;
                if self.observed.serving.as_ref().is_some_and(same) { Pair::Keep } else { Pair::Copy }
            }
            Some(Source::Own(authority)) => {
                let good = self.held.as_ref().is_some_and(|held| {
                    let leaf = held.leaf();
                    held.leads_to(authority.certificate())
                        && leaf.names() == self.settings.names
                        && leaf.not_before() <= self.now
                        && self.now < renewal(leaf)
                        && !outlasts(leaf, self.settings.leaf_lifetime, self.now)
                });
                if good { Pair::Keep } else { Pair::Issue }
            }
        }
    }

    /// All authorities that are known by name and certificate. None is ever taken from a handshake: whoever can answer
    /// at a replica's address would be trusted.
    fn known(&self) -> Bundle {
        let mut known = Bundle::default();
        if let Some(serving) = &self.observed.serving {
            known.extend(Bundle::read(&serving.authorities).iter().cloned());
        }
        for bundle in self.observed.registration.iter().flat_map(|registration| &registration.bundles) {
            known.extend(Bundle::read(bundle).iter().cloned());
        }
        known
    }

    /// What has to be trusted: the source's authorities, and those under which a replica serves, or may serve.
    fn bundle(&self) -> Bundle {
        let missing = self.observed.endpoints.iter().any(|endpoint| endpoint.serves.is_none());
        let unseen = self.previous.iter().filter(|chain| missing && self.now < chain.leaf().not_after());
        let served: Vec<&Chain> = self.held.iter().chain(self.served()).chain(unseen).collect();
        let wanted = self.source.as_ref().map_or_else(Bundle::default, Source::authorities);
        let mut bundle = self.known();
        bundle.retain(|known| wanted.contains(known) || served.iter().any(|chain| chain.leads_to(known)));
        bundle.extend(wanted.iter().cloned());
        bundle
    }

    fn served(&self) -> impl Iterator<Item = &Chain> {
        self.observed.endpoints.iter().filter_map(|endpoint| endpoint.serves.as_ref())
    }

    fn is_under_anchor(&self, chain: &Chain) -> bool {
        self.anchors.iter().any(|anchor| chain.leads_to(anchor))
    }

    /// Chains that API servers accept now, and that must not stop being accepted.
    fn live(&self) -> impl Iterator<Item = &Chain> {
        let bundles: Vec<Bundle> =
            self.observed.registration.iter().flat_map(|it| &it.bundles).map(|b| Bundle::read(b)).collect();
        self.held.iter().chain(self.served()).filter(move |chain| {
            bundles.iter().any(|bundle| chain.is_trusted_by(bundle, self.settings.name(), self.now))
        })
    }

    /// At once when nothing can break: what API servers accept now is under the same authority, or they accept nothing.
    fn may_switch(&self) -> Switch {
        let mut others = self.live().filter(|chain| !self.is_under_anchor(chain)).peekable();
        if others.peek().is_none() {
            return Switch::Now;
        }
        // Waiting until what is served has expired helps nobody.
        let left = others.map(|chain| self.until(chain.leaf().not_after())).min().unwrap_or_default();
        let settle = self.settings.settle().min(left / 2);
        let trusts = |anchor: &Certificate| self.observed.registration.as_ref()?.trusts(anchor.fingerprint());
        match self.anchors.iter().filter_map(trusts).max() {
            Some(since) if since >= settle => Switch::Now,
            Some(since) => Switch::In(settle.saturating_sub(since)),
            None => Switch::Untrusted,
        }
    }

    /// What the Secret held, or one replica serves, and a replica that isn't seen may still serve.
    fn previous(&self, pair: Pair) -> Vec<Chain> {
        let replaced = self.held.iter().chain(self.live()).filter(|_| pair != Pair::Keep);
        let late = pair != Pair::Keep
            || self
                .observed
                .endpoints
                .iter()
                .any(|endpoint| endpoint.serves.as_ref().is_none_or(|chain| !self.is_under_anchor(chain)));
        let mut kept: Vec<Chain> = Vec::new();
        for chain in self.previous.iter().chain(replaced) {
            let counts = late && self.now < chain.leaf().not_after() && !self.is_under_anchor(chain);
            if counts && !kept.contains(chain) {
                kept.push(chain.clone());
            }
        }
        kept
    }

    fn unseen(&self) -> impl Iterator<Item = &Endpoint> {
        self.observed.endpoints.iter().filter(|endpoint| endpoint.ready && endpoint.serves.is_none())
    }

    fn untrusted(&self) -> Vec<String> {
        let Some(registration) = &self.observed.registration else { return Vec::new() };
        let trusted = registration.trusted();
        let fails = |chain: &Chain| !chain.is_trusted_by(&trusted, self.settings.name(), self.now);
        let endpoints = self.observed.endpoints.iter();
        let untrusted = endpoints.filter(|endpoint| endpoint.serves.as_ref().is_some_and(fails));
        untrusted.map(|endpoint| endpoint.pod.clone()).collect()
    }

    fn phase(&self, switch: Option<&Switch>, bundle: &Bundle) -> Phase {
        let wanted = self.source.as_ref().map_or_else(Bundle::default, Source::authorities);
        match switch {
            _ if self.source.is_none() => Phase::WaitingForSource,
            Some(Switch::Untrusted) if self.is_injected() => Phase::WaitingForInjector,
            Some(Switch::In(_) | Switch::Untrusted) => Phase::Trusting,
            Some(Switch::Now) => Phase::Switching,
            None if bundle.len() > wanted.len() || !self.all_switched() => Phase::Switching,
            None => Phase::Stable,
        }
    }

    fn all_switched(&self) -> bool {
        self.served().all(|chain| Some(chain) == self.held.as_ref())
    }

    fn look_again(&self, switch: Option<&Switch>, bundle: &Bundle) -> Duration {
        let mut soonest = QUIET;
        match switch {
            Some(Switch::In(left)) => soonest = soonest.min(*left),
            Some(Switch::Untrusted) => soonest = soonest.min(self.settings.poll()),
            Some(Switch::Now) | None => {}
        }
        if self.phase(switch, bundle) == Phase::Switching {
            // Who isn't seen may not be seen for long.
            let late = self.served().any(|chain| Some(chain) != self.held.as_ref());
            soonest = soonest.min(if late { self.settings.poll() } else { self.settings.settle() });
        }
        if self.unseen().next().is_some() {
            soonest = soonest.min(self.settings.settle());
        }
        let own = matches!(self.source, Some(Source::Own(_)));
        let renewals = self.anchors.iter().chain(self.held.iter().map(Chain::leaf)).filter(|_| own).map(renewal);
        let ends = self.held.iter().chain(&self.previous).map(|chain| chain.leaf().not_after());
        let changes = renewals.chain(ends).map(|time| self.until(time)).filter(|left| !left.is_zero());
        changes.fold(soonest, Duration::min)
    }

    /// Zero when it has passed.
    fn until(&self, time: Timestamp) -> Duration {
        Duration::try_from(time.duration_since(self.now)).unwrap_or_default()
    }
}

/// Whether it ends later than one made now would: the wish has changed, or the clock.
pub(super) fn outlasts(certificate: &Certificate, lifetime: Duration, now: Timestamp) -> bool {
    let lifetime = SignedDuration::try_from(lifetime).unwrap_or(SignedDuration::MAX);
    certificate.not_after().duration_since(now) > lifetime.saturating_add(BACKDATE)
}
