//! What an action writes. The only place where keys are made.

use jiff::Timestamp;
use thiserror::Error;

use super::observe::{Contents, Observed};
use super::plan::{Action, Pair, Serving};
use super::settings::Settings;
use crate::tls::Authority;
use crate::tls::authority::{MakingFailed, NoAuthority};

/// An object's new contents.
pub enum Write {
    Authority(Contents),
    Serving(Contents),
    /// `caBundle` of every entry.
    Registration(Vec<u8>),
}

#[derive(Debug, Error)]
pub enum PerformError {
    #[error("no certificate could be made: {0}")]
    Making(#[from] MakingFailed),
    #[error("the authority can't be used: {0}")]
    Authority(#[from] NoAuthority),
    /// A plan was made of something else than what is given here.
    #[error("the Secret that the certificate comes from is gone")]
    Gone,
}

/// # Errors
/// When the system has no randomness.
pub fn perform(
    action: Action,
    observed: &Observed,
    settings: &Settings,
    now: Timestamp,
) -> Result<Write, PerformError> {
    match action {
        Action::MakeAuthority => {
            let authority = Authority::make(settings.authority_lifetime, now)?;
            Ok(Write::Authority(Contents {
                certificate: authority.certificate().pem().into_bytes(),
                key: authority.key().into_bytes(),
                ..Contents::default()
            }))
        }
        Action::KeepAuthority => observed.authority.clone().map(Write::Authority).ok_or(PerformError::Gone),
        Action::WriteServing(Serving { pair, authorities, previous, direct_injection }) => {
            let (certificate, key) = match pair {
                Pair::Keep => pair_of(observed.serving.as_ref()).unwrap_or_default(),
                Pair::Copy => pair_of(observed.source.as_ref()).ok_or(PerformError::Gone)?,
                Pair::Issue => {
                    let (certificate, key) = pair_of(observed.authority.as_ref()).ok_or(PerformError::Gone)?;
                    let authority = Authority::read(&certificate, &key)?;
                    let issued = authority.issue(&settings.names, settings.leaf_lifetime, now)?;
                    (issued.certificate.into_bytes(), issued.key.into_bytes())
                }
            };
            Ok(Write::Serving(Contents { certificate, key, authorities, previous, direct_injection }))
        }
        Action::WriteRegistration(bundle) => Ok(Write::Registration(bundle)),
    }
}

fn pair_of(contents: Option<&Contents>) -> Option<(Vec<u8>, Vec<u8>)> {
    contents.map(|contents| (contents.certificate.clone(), contents.key.clone()))
}
