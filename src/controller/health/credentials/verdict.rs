//! How it stands with the API key, in words.

use super::intake::Answer;
use super::{Credentials, Secrets};
use crate::api::condition::Reason;
use crate::check::Shape;
use crate::controller::injection;
use crate::controller::stack::Stack;
use crate::controller::status::Verdict;

/// Where the key is, and what is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub namespace: String,
    pub secret: String,
    pub key: String,
    pub validate: Option<Intake>,
}

/// Whom to ask whether it accepts the key, and the way there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intake {
    pub site: String,
    pub proxy: String,
    pub no_proxy: Vec<String>,
    pub ca_config_map: String,
}

// === impl Wanted ===

impl Wanted {
    /// `None` where neither Collector nor Agent needs a key.
    ///
    /// # Errors
    /// The fault of the part of the spec that says so.
    pub fn of(stack: &Stack, namespace: &str) -> Result<Option<Self>, String> {
        if !stack.sends_with_the_key()? {
            return Ok(None);
        }
        let datadog = stack.datadog.as_ref().map_err(Clone::clone)?;
        let egress = stack.egress.as_ref().map_err(Clone::clone)?;
        let document = injection::document(&stack.injection, namespace).map_err(|fault| fault.to_string())?;
        let intake = Intake {
            site: datadog.site.clone(),
            proxy: egress.proxy.clone(),
            no_proxy: egress.no_proxy.clone(),
            ca_config_map: egress.ca_config_map.clone(),
        };
        Ok(Some(Self {
            namespace: document.collector.namespace,
            secret: datadog.secret.name.clone(),
            key: datadog.secret.key.clone(),
            validate: datadog.validate_key.then_some(intake),
        }))
    }
}

/// Nothing before the Secret was looked for, nor before Datadog was asked where that is wanted. `unseen` is why the Secret
/// can't be looked at.
pub fn verdict(
    wanted: &Wanted,
    seen: &Secrets,
    unseen: Option<String>,
    answer: Option<&Answer>,
    generation: i64,
) -> Option<Verdict> {
    let Wanted { namespace, secret, key, validate } = wanted;
    let site = validate.as_ref().map(|intake| intake.site.as_str()).unwrap_or_default();
    let names = [("NAMESPACE", namespace.as_str()), ("SECRET", secret), ("KEY", key), ("SITE", site)];
    let of = |reason, detail: String| Some(Verdict::new(reason, detail, generation).naming(&names));
    let Credentials { keys, shape, .. } = match (seen, unseen) {
        // What was seen before may be long past.
        (_, Some(fault)) => {
            return of(Reason::SecretNotReadable, format!("Secret {secret} in namespace {namespace}: {fault}"));
        }
        (None, None) => return None,
        (Some(None), None) => {
            let detail =
                format!("there is no Secret {secret} in namespace {namespace}, whose key {key} is to be the API key");
            return of(Reason::SecretMissing, detail);
        }
        (Some(Some(credentials)), None) => credentials,
    };
    let of_key = |says: &str| format!("key {key} of Secret {secret} in namespace {namespace} {says}");
    let malformed = |says: &str| of(Reason::KeyMalformed, of_key(says));
    match shape {
        None => {
            let others = if keys.is_empty() { "none".to_owned() } else { keys.join(", ") };
            return of(Reason::KeyMissing, of_key(&format!("is missing; its keys are: {others}")));
        }
        Some(Shape::Empty) => return malformed("is empty"),
        Some(Shape::Blank) => return malformed("has a newline or another blank, which Datadog refuses"),
        Some(Shape::Other) => return malformed("isn't 32 hexadecimal digits"),
        Some(Shape::Good) => {}
    }
    match (validate, answer) {
        (None, _) => of(Reason::KeyInPlace, String::new()),
        (Some(_), None) => None,
        (Some(intake), Some(Answer::Accepted)) => of(Reason::KeyAccepted, format!("{} accepts it", intake.host())),
        (Some(intake), Some(Answer::Refused)) => {
            of(Reason::KeyRefused, of_key(&format!("is refused by {}", intake.host())))
        }
        (Some(intake), Some(Answer::None(why))) => of(Reason::KeyNotChecked, format!("{}: {why}", intake.host())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn stack(spec: &Value) -> Stack {
        Stack::new("u".to_owned(), 7, spec)
    }

    fn wanted(spec: &Value) -> Wanted {
        Wanted::of(&stack(spec), "otelgate").expect("no fault").expect("somebody needs it")
    }

    #[test]
    fn a_key_is_wanted_where_somebody_sends_with_it() {
        let needs = |collector: Value, agent: &str| {
            let spec = json!({"collector": collector, "agent": {"mode": agent}});
            Wanted::of(&stack(&spec), "otelgate").expect("no fault").is_some()
        };
        for (collector, agent, expected) in [
            (json!({}), "disabled", true),
            (json!({"exporter": "otlp"}), "disabled", true),
            (json!({"exporter": "agent"}), "disabled", false),
            (json!({"exporter": "agent"}), "adopt", false),
            (json!({"exporter": "agent"}), "daemonset", true),
            (json!({"exporter": "agent"}), "operator", true),
            (json!({"mode": "adopt"}), "disabled", false),
            (json!({"mode": "adopt"}), "auto", true),
            (json!({"mode": "disabled"}), "adopt", false),
        ] {
            assert_eq!(needs(collector.clone(), agent), expected, "{collector} {agent}");
        }
        let fault = Wanted::of(&stack(&json!({"datadog": {"site": 7}})), "otelgate").expect_err("no text");
        assert!(fault.starts_with("spec.datadog: "), "{fault}");
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn every_cause_has_its_reason() {
        let (plain, asking) = (wanted(&json!({})), wanted(&json!({"datadog": {"validateKey": true}})));
        let seen = |shape: Option<Shape>| {
            let keys = vec!["api_key".to_owned(), "other".to_owned()];
            Some(Some(Credentials { resource_version: "1".to_owned(), keys, shape }))
        };
        let good = || seen(Some(Shape::Good));
        let none = Answer::None("nothing listens there".to_owned());
        for (wanted, seen, unseen, answer, expected) in [
            (&plain, None, None, None, None),
            (
                &plain,
                None,
                Some("not allowed to list secrets"),
                None,
                Some((
                    Reason::SecretNotReadable,
                    "Secret datadog-secret in namespace datadog: not allowed to list secrets",
                )),
            ),
            (
                &plain,
                Some(None),
                None,
                None,
                Some((
                    Reason::SecretMissing,
                    "there is no Secret datadog-secret in namespace datadog, whose key api-key is to be the API key",
                )),
            ),
            (
                &plain,
                seen(None),
                None,
                None,
                Some((
                    Reason::KeyMissing,
                    "key api-key of Secret datadog-secret in namespace datadog is missing; its keys are: api_key, other",
                )),
            ),
            (
                &plain,
                seen(Some(Shape::Empty)),
                None,
                None,
                Some((Reason::KeyMalformed, "key api-key of Secret datadog-secret in namespace datadog is empty")),
            ),
            (
                &plain,
                seen(Some(Shape::Blank)),
                None,
                None,
                Some((
                    Reason::KeyMalformed,
                    "key api-key of Secret datadog-secret in namespace datadog has a newline or another blank, which Datadog refuses",
                )),
            ),
            (
                &plain,
                seen(Some(Shape::Other)),
                None,
                None,
                Some((
                    Reason::KeyMalformed,
                    "key api-key of Secret datadog-secret in namespace datadog isn't 32 hexadecimal digits",
                )),
            ),
            (&plain, good(), None, None, Some((Reason::KeyInPlace, ""))),
            // It may have gone since.
            (
                &asking,
                good(),
                Some("not allowed to watch secrets"),
                Some(&Answer::Accepted),
                Some((
                    Reason::SecretNotReadable,
                    "Secret datadog-secret in namespace datadog: not allowed to watch secrets",
                )),
            ),
            (&asking, good(), None, None, None),
            (
                &asking,
                good(),
                None,
                Some(&Answer::Accepted),
                Some((Reason::KeyAccepted, "api.datadoghq.com accepts it")),
            ),
            (
                &asking,
                good(),
                None,
                Some(&Answer::Refused),
                Some((
                    Reason::KeyRefused,
                    "key api-key of Secret datadog-secret in namespace datadog is refused by api.datadoghq.com",
                )),
            ),
            (
                &asking,
                good(),
                None,
                Some(&none),
                Some((Reason::KeyNotChecked, "api.datadoghq.com: nothing listens there")),
            ),
            (
                &asking,
                seen(Some(Shape::Blank)),
                None,
                Some(&Answer::Accepted),
                Some((
                    Reason::KeyMalformed,
                    "key api-key of Secret datadog-secret in namespace datadog has a newline or another blank, which Datadog refuses",
                )),
            ),
        ] {
            let told = verdict(wanted, &seen, unseen.map(str::to_owned), answer, 7);
            let told = told.map(|told| (told.reason, told.detail));
            assert_eq!(told, expected.map(|(reason, detail)| (reason, detail.to_owned())), "{seen:?} {answer:?}");
        }
    }
}
