//! What the cluster looks like, as far as the webhook's certificate goes: the input of [`super::plan`].

use std::fmt;
use std::time::Duration;

use crate::tls::{Bundle, Chain, Fingerprint};

/// Everything that is looked at before a step.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The Secret with otelgate's own authority.
    pub authority: Option<Contents>,
    /// The Secret that the webhook reads.
    pub serving: Option<Contents>,
    /// The Secret of cert-manager, or of whoever provides the certificate.
    pub source: Option<Contents>,
    pub registration: Option<Registration>,
    pub stripped: Stripped,
    /// All of the webhook's Service, ready or not.
    pub endpoints: Vec<Endpoint>,
}

/// Which of otelgate's own Secrets lack what they go by, and go with: a label of theirs, or the owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stripped {
    pub authority: bool,
    pub serving: bool,
}

/// A Secret's data, and what counts of the rest. What is missing is empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// `tls.crt`
    pub certificate: Vec<u8>,
    /// `tls.key`
    pub key: Vec<u8>,
    /// `ca.crt`
    pub authorities: Vec<u8>,
    /// `previous.crt`: what the webhook's Secret held before, for as long as a replica may still serve it.
    pub previous: Vec<u8>,
    /// cert-manager may copy `ca.crt` from here into a registration.
    pub direct_injection: bool,
}

/// The `MutatingWebhookConfiguration`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Registration {
    /// `caBundle` of each entry, decoded.
    pub bundles: Vec<Vec<u8>>,
    /// An annotation asks cert-manager to write `caBundle`, so that nobody else should.
    pub injected: bool,
    /// For how long every entry has trusted an authority, by a clock that doesn't jump.
    pub trusted_for: Vec<(Fingerprint, Duration)>,
}

/// One replica of the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub pod: String,
    /// The API server may call it.
    pub ready: bool,
    /// What it showed in a handshake; `None` when there was none.
    pub serves: Option<Chain>,
}

// === impl Contents ===

/// Without what is in it: one field is a private key.
impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chain = Chain::read(&self.certificate);
        f.debug_struct("Contents")
            .field("certificate", &chain.as_ref().map(Chain::leaf))
            .field("authorities", &Bundle::read(&self.authorities))
            .finish_non_exhaustive()
    }
}

// === impl Registration ===

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bundles: Vec<Bundle> = self.bundles.iter().map(|bundle| Bundle::read(bundle)).collect();
        let Self { injected, trusted_for, .. } = self;
        write!(f, "{bundles:?}, injected {injected}, trusted for {trusted_for:?}")
    }
}

impl Registration {
    /// What every entry trusts.
    #[must_use]
    pub fn trusted(&self) -> Bundle {
        let mut bundles = self.bundles.iter().map(|bundle| Bundle::read(bundle));
        let mut common = bundles.next().unwrap_or_default();
        for bundle in bundles {
            common.retain(|authority| bundle.contains(authority));
        }
        common
    }

    /// For how long every entry has trusted that authority; `None` while one doesn't.
    #[must_use]
    pub fn trusts(&self, authority: Fingerprint) -> Option<Duration> {
        self.trusted_for.iter().find(|(trusted, _)| *trusted == authority).map(|(_, since)| *since)
    }
}
