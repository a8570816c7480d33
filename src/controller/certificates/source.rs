//! Where the next certificate comes from: otelgate's own authority, or a Secret that somebody else writes.

use jiff::Timestamp;
use thiserror::Error;

use super::observe::{Contents, Observed};
use super::plan::outlasts;
use super::settings::Settings;
use crate::api::stack::Provider;
use crate::tls::authority::renewal;
use crate::tls::{Authority, Bundle, Certificate, Chain, keys_match};

pub(super) enum Source {
    Own(Box<Authority>),
    Given(Box<Given>),
}

/// What a Secret of somebody else's holds, checked.
pub(super) struct Given {
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
    chain: Chain,
    authorities: Bundle,
}

/// There is no source to go on with.
pub(super) enum Wanting {
    /// An authority has to be made first.
    Authority,
    /// The provider's Secret can't be used. If the webhook lives on otelgate's own certificate, that goes on for as long
    /// as its authority does; a new authority is made for nobody who asked for another's.
    Source { fault: String, instead: Option<Source> },
}

/// A Secret holds nothing that could be given to the webhook.
#[derive(Debug, Error)]
enum Unusable<'a> {
    #[error("Secret {0} isn't there; create it with tls.crt, tls.key and ca.crt, or wait for whoever writes it")]
    Missing(&'a str),
    #[error("Secret {0} has no certificate in PEM in tls.crt; write the chain, leaf first")]
    Certificate(&'a str),
    #[error("Secret {name}: {fault}")]
    Key { name: &'a str, fault: String },
    #[error("Secret {0} has no certificate in ca.crt; write the authority that signed tls.crt")]
    Authorities(&'a str),
    #[error("Secret {name}: tls.crt is not for {wanted}; issue it for that DNS name")]
    Name { name: &'a str, wanted: &'a str },
    #[error("Secret {name}: tls.crt expired at {end}; renew it")]
    Expired { name: &'a str, end: Timestamp },
    #[error("Secret {name}: tls.crt isn't valid before {begin}; check the clocks")]
    Early { name: &'a str, begin: Timestamp },
    #[error("Secret {0}: no valid authority in ca.crt signed tls.crt for a server; write the one that did")]
    Unsigned(&'a str),
}

/// # Errors
/// When there is none, with what goes on instead.
pub(super) fn find(
    observed: &Observed,
    settings: &Settings,
    held: Option<&Chain>,
    now: Timestamp,
) -> Result<Source, Wanting> {
    let stored = observed.authority.as_ref();
    let authority = stored.and_then(|stored| Authority::read(&stored.certificate, &stored.key).ok());
    let authority = authority.filter(|authority| is_good(authority.certificate(), settings, now));
    let own = |authority: Authority| Source::Own(Box::new(authority));
    if settings.provider == Provider::Otelgate {
        return authority.map(own).ok_or(Wanting::Authority);
    }
    given(observed.source.as_ref(), settings, now).map_err(|fault| {
        let instead = authority.filter(|own| held.is_some_and(|held| held.leads_to(own.certificate()))).map(own);
        Wanting::Source { fault: fault.to_string(), instead }
    })
}

/// Valid, and not yet to be replaced.
fn is_good(authority: &Certificate, settings: &Settings, now: Timestamp) -> bool {
    authority.not_before() <= now && now < renewal(authority) && !outlasts(authority, settings.authority_lifetime, now)
}

fn given<'a>(contents: Option<&Contents>, settings: &'a Settings, now: Timestamp) -> Result<Source, Unusable<'a>> {
    let name = settings.secret.as_str();
    let contents = contents.ok_or(Unusable::Missing(name))?;
    let Contents { certificate, key, .. } = contents;
    let chain = Chain::read(certificate).ok_or(Unusable::Certificate(name))?;
    keys_match(certificate, key).map_err(|fault| Unusable::Key { name, fault })?;
    let authorities = Bundle::read(&contents.authorities);
    if authorities.is_empty() {
        return Err(Unusable::Authorities(name));
    }
    let wanted = settings.name();
    if !chain.is_for(wanted) {
        return Err(Unusable::Name { name, wanted });
    }
    let (begin, end) = (chain.leaf().not_before(), chain.leaf().not_after());
    if end <= now {
        return Err(Unusable::Expired { name, end });
    }
    if now < begin {
        return Err(Unusable::Early { name, begin });
    }
    if !chain.is_trusted_by(&authorities, wanted, now) {
        return Err(Unusable::Unsigned(name));
    }
    Ok(Source::Given(Box::new(Given { certificate: certificate.clone(), key: key.clone(), chain, authorities })))
}

// === impl Source ===

impl Source {
    /// What has to be trusted for it.
    pub(super) fn authorities(&self) -> Bundle {
        match self {
            Self::Own(authority) => std::iter::once(authority.certificate().clone()).collect(),
            Self::Given(given) => given.authorities.clone(),
        }
    }

    /// Those of them that sign its certificate.
    pub(super) fn anchors(&self) -> Vec<Certificate> {
        match self {
            Self::Own(authority) => vec![authority.certificate().clone()],
            Self::Given(given) => {
                given.authorities.iter().filter(|authority| given.chain.leads_to(authority)).cloned().collect()
            }
        }
    }
}
