//! What is asked for, checked.

use std::time::Duration;

use jiff::SignedDuration;
use thiserror::Error;

use crate::api::object;
use crate::api::stack::{Certificates, Provider};

/// Who makes the certificate, for which names, and how long it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub provider: Provider,
    /// The Secret of `certManager` and `provided`.
    pub secret: String,
    pub authority_lifetime: Duration,
    pub leaf_lifetime: Duration,
    /// DNS names of the webhook's Service; the first is the one that API servers ask for.
    pub names: Vec<String>,
}

/// `spec.certificates` can't be followed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidSettings {
    #[error("certificates.{field} is no duration from {MIN_SECONDS}s to 876000h: write one such as 336h")]
    Lifetime { field: &'static str },
    #[error("certificates.authorityLifetime is shorter than certificates.leafLifetime: make it several times as long")]
    Order,
    #[error(
        "certificates.secretName is {name}, which the controller itself writes: name the Secret that the certificate \
         comes from"
    )]
    OwnSecret { name: String },
}

/// Below, whole seconds are too coarse to tell a third.
const MIN_SECONDS: u64 = 6;
/// A hundred years.
const MAX: Duration = Duration::from_hours(876_000);
/// How long API servers may take to see a change of the registration.
const SETTLE: Duration = Duration::from_secs(10);

impl Settings {
    /// For the webhook in that namespace of a cluster of that domain.
    ///
    /// # Errors
    /// Names the field and what would be right.
    pub fn new(spec: &Certificates, namespace: &str, cluster_domain: &str) -> Result<Self, InvalidSettings> {
        let Certificates { provider, secret_name, authority_lifetime, leaf_lifetime } = spec;
        let authority_lifetime = lifetime("authorityLifetime", authority_lifetime)?;
        let leaf_lifetime = lifetime("leafLifetime", leaf_lifetime)?;
        if *provider == Provider::Otelgate && authority_lifetime < leaf_lifetime {
            return Err(InvalidSettings::Order);
        }
        if *provider != Provider::Otelgate && [object::SERVING, object::AUTHORITY].contains(&secret_name.as_str()) {
            return Err(InvalidSettings::OwnSecret { name: secret_name.clone() });
        }
        let service = format!("{}.{namespace}.svc", object::WEBHOOK);
        let names = vec![service.clone(), format!("{service}.{cluster_domain}")];
        Ok(Self { provider: *provider, secret: secret_name.clone(), authority_lifetime, leaf_lifetime, names })
    }

    /// The name that API servers verify.
    #[must_use]
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// How long the registration has trusted an authority before it is relied on.
    #[must_use]
    pub fn settle(&self) -> Duration {
        SETTLE.min(self.leaf_lifetime / 10)
    }

    /// How often replicas that are late are looked at.
    #[must_use]
    pub fn poll(&self) -> Duration {
        self.settle() / 5
    }
}

fn lifetime(field: &'static str, text: &str) -> Result<Duration, InvalidSettings> {
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|lifetime| Duration::try_from(lifetime).ok())
        .filter(|lifetime| (Duration::from_secs(MIN_SECONDS)..=MAX).contains(lifetime))
        .ok_or(InvalidSettings::Lifetime { field })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(authority: &str, leaf: &str) -> Result<Settings, InvalidSettings> {
        let spec = Certificates {
            authority_lifetime: authority.to_owned(),
            leaf_lifetime: leaf.to_owned(),
            ..Certificates::default()
        };
        Settings::new(&spec, "ops", "example.org")
    }

    #[test]
    fn the_defaults_are_a_year_and_two_weeks() {
        let settings = Settings::new(&Certificates::default(), "otelgate", "cluster.local").expect("valid");
        assert_eq!(settings.authority_lifetime, Duration::from_hours(8760));
        assert_eq!(settings.leaf_lifetime, Duration::from_hours(336));
        assert_eq!(settings.settle(), Duration::from_secs(10));
        let names = ["otelgate-webhook.otelgate.svc", "otelgate-webhook.otelgate.svc.cluster.local"];
        assert_eq!(settings.names, names);
    }

    #[test]
    fn a_short_life_settles_sooner() {
        assert_eq!(settings("60s", "20s").expect("valid").settle(), Duration::from_secs(2));
    }

    #[test]
    fn faults_name_the_field() {
        assert_eq!(settings("1h", "x"), Err(InvalidSettings::Lifetime { field: "leafLifetime" }));
        assert_eq!(settings("5s", "1m"), Err(InvalidSettings::Lifetime { field: "authorityLifetime" }));
        assert_eq!(settings("-9h", "1m"), Err(InvalidSettings::Lifetime { field: "authorityLifetime" }));
        assert_eq!(settings("1h", "2h"), Err(InvalidSettings::Order));
        let own = Certificates {
            provider: Provider::Provided,
            secret_name: object::SERVING.to_owned(),
            ..Certificates::default()
        };
        assert!(matches!(Settings::new(&own, "otelgate", "x"), Err(InvalidSettings::OwnSecret { .. })));
    }

    /// As the definition's own rule has it.
    #[test]
    fn lives_of_what_others_make_may_be_of_any_order() {
        let provided = Certificates {
            provider: Provider::Provided,
            authority_lifetime: "1h".to_owned(),
            ..Certificates::default()
        };
        assert!(Settings::new(&provided, "otelgate", "x").is_ok());
    }
}
