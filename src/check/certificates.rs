//! The webhook's certificate, and whether the API server is told to trust it.
//!
//! The certificate itself stands in a Secret that not everybody may read: without it, what the controller says of it in the
//! `TelemetryStack` is taken, and where that says nothing, it isn't known.

use jiff::Timestamp;

use super::{Objection, Snapshot, Verdict};
use crate::api::object::{CONTROLLER, REGISTRATION, SERVING, WEBHOOK};
use crate::tls::{Bundle, Certificate, Chain};
use crate::words::some_of;

const CONTROLLERS_LOG: &str = "the controller writes it; look at its log: otelgate logs --component controller";

pub fn bundle(snapshot: &Snapshot) -> Verdict {
    let registration = snapshot.registration()?;
    let webhooks = registration.webhooks.as_deref().unwrap_or_default();
    let empty = webhooks.iter().filter(|one| one.client_config.ca_bundle.as_ref().is_none_or(|pem| pem.0.is_empty()));
    let empty: Vec<String> = empty.map(|one| one.name.clone()).collect();
    if !empty.is_empty() {
        return Err(Objection::fail(
            format!("caBundle is empty for {}: the API server trusts no webhook", some_of(&empty)),
            CONTROLLERS_LOG,
        ));
    }
    let bundles: Vec<&[u8]> =
        webhooks.iter().filter_map(|one| Some(one.client_config.ca_bundle.as_ref()?.0.as_slice())).collect();
    if bundles.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(Objection::fail(
            format!("the entries of {REGISTRATION} have different caBundles"),
            CONTROLLERS_LOG,
        ));
    }
    let authorities = Bundle::read(bundles.first().copied().unwrap_or_default());
    let now = snapshot.cluster_time();
    match authorities.iter().map(Certificate::not_after).max() {
        Some(until) if until <= now => Err(Objection::fail(
            format!("every authority in caBundle has expired, the last at {until}"),
            CONTROLLERS_LOG,
        )),
        Some(until) => Ok(format!("until {until}")),
        None => Err(Objection::fail("caBundle holds no certificate that can be read", CONTROLLERS_LOG)),
    }
}

pub fn valid(snapshot: &Snapshot) -> Verdict {
    let now = snapshot.cluster_time();
    let (from, until) = match chain(snapshot) {
        Ok(chain) => (chain.leaf().not_before(), chain.leaf().not_after()),
        Err(Objection::Unknown { why, next }) => {
            let told = told(snapshot, "leafNotAfter").ok_or(Objection::Unknown { why, next })?;
            (Timestamp::MIN, told)
        }
        Err(fault) => return Err(fault),
    };
    let renew = "the controller renews its own certificates: look at its log with otelgate logs --component controller; renew one that \
                 you provide, and put it into its Secret";
    if until <= now {
        return Err(Objection::fail(format!("the webhook's certificate expired at {until}"), renew));
    }
    if from > now {
        return Err(Objection::fail(
            format!("the webhook's certificate isn't valid before {from}"),
            format!("check the clocks of the cluster's nodes; {renew}"),
        ));
    }
    Ok(format!("until {until}"))
}

pub fn trusted(snapshot: &Snapshot) -> Verdict {
    let authorities = Bundle::read(bundle_of(snapshot)?);
    if authorities.is_empty() {
        return Err(Objection::see("ca-bundle"));
    }
    let wrong = |found: &str| {
        Err(Objection::fail(
            found,
            format!(
                "caBundle is the controller's to write: look at what else writes it, and at the log of {CONTROLLER}"
            ),
        ))
    };
    match chain(snapshot) {
        Ok(chain) if authorities.iter().any(|authority| chain.leads_to(authority)) => Ok(String::new()),
        Ok(_) => wrong("no authority in caBundle signed the webhook's certificate"),
        Err(Objection::Unknown { why, next }) => {
            let told = told(snapshot, "authorityNotAfter").ok_or(Objection::Unknown { why, next })?;
            if authorities.iter().any(|authority| authority.not_after() == told) {
                return Ok("as far as the TelemetryStack tells".to_owned());
            }
            wrong("caBundle lacks the authority that the controller speaks of in the TelemetryStack")
        }
        Err(Objection::Fail { .. }) => Err(Objection::see("certificate-valid")),
    }
}

pub fn name(snapshot: &Snapshot) -> Verdict {
    let chain = chain(snapshot).map_err(|fault| match fault {
        Objection::Fail { .. } => Objection::see("certificate-valid"),
        unknown @ Objection::Unknown { .. } => unknown,
    })?;
    let host = host(snapshot);
    if chain.is_for(&host) {
        return Ok(host);
    }
    Err(Objection::fail(
        format!("the webhook's certificate isn't for {host}, by which the API server calls it"),
        "have the certificate issued with that DNS name",
    ))
}

fn host(snapshot: &Snapshot) -> String {
    format!("{WEBHOOK}.{}.svc", snapshot.namespace)
}

/// What the webhook serves, or will once it has read it.
fn chain(snapshot: &Snapshot) -> Result<Chain, Objection> {
    let Some(serving) = snapshot.serving.as_ref()? else {
        return Err(Objection::fail(
            format!("there is no Secret {SERVING} in namespace {}", snapshot.namespace),
            CONTROLLERS_LOG,
        ));
    };
    Chain::read(&serving.chain).ok_or_else(|| {
        Objection::fail(format!("tls.crt of Secret {SERVING} holds no certificate that can be read"), CONTROLLERS_LOG)
    })
}

fn bundle_of(snapshot: &Snapshot) -> Result<&[u8], Objection> {
    let webhooks = snapshot.registration()?.webhooks.as_deref().unwrap_or_default();
    Ok(webhooks.iter().find_map(|one| one.client_config.ca_bundle.as_ref()).map_or(&[], |pem| pem.0.as_slice()))
}

/// A time that the controller tells of the certificates.
fn told(snapshot: &Snapshot, field: &str) -> Option<Timestamp> {
    snapshot.stack().ok()?["status"]["certificates"][field].as_str()?.parse().ok()
}
