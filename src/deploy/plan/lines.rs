//! A plan in words.

use serde::Serialize;

use super::{Advice, CredentialsChange, ENFORCE, NamespaceChange, Plan, Step};
use crate::api::object;
use crate::deploy::credentials::VARIABLE;
use crate::deploy::definition::Change;
use crate::deploy::release::Installed;

/// A step in words, for people and programs alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    pub action: &'static str,
    pub object: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<Advice>,
}

// === impl Plan ===

impl Plan {
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.steps.iter().map(|step| self.line(step)).collect()
    }

    #[must_use]
    pub fn line(&self, step: &Step) -> Line {
        let (action, object, detail) = match step {
            Step::Namespace { name, change } => (change.action(), format!("Namespace {name}"), change.detail()),
            Step::Credentials { secret, change } => {
                (change.action(), format!("Secret {}/{}", secret.namespace, secret.name), change.detail(&secret.key))
            }
            Step::Definition(change) => {
                let (action, detail) = definition(change);
                (action, format!("CustomResourceDefinition {}", object::DEFINITION), detail)
            }
            Step::Release { objects } => {
                let objects = objects.len();
                let (action, detail) = match &self.installed {
                    None => ("install", format!("otelgate {}, {objects} objects", self.version)),
                    Some(Installed { app_version, .. }) if *app_version == self.version.to_string() => {
                        ("upgrade", format!("otelgate {}, {objects} objects, with the values it has", self.version))
                    }
                    Some(Installed { app_version, .. }) => {
                        let to = self.version;
                        (
                            "upgrade",
                            format!("otelgate {app_version} to {to}, {objects} objects, with the values it has"),
                        )
                    }
                };
                (action, format!("Helm release {}/{}", self.namespace, self.release), detail)
            }
        };
        let advice = match step {
            Step::Namespace { change: NamespaceChange::Keep(advice), .. } => advice.clone(),
            _ => None,
        };
        Line { action, object, detail, advice }
    }
}

// === impl NamespaceChange ===

impl NamespaceChange {
    const fn action(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::ByChart | Self::Keep(_) => "keep",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Create(level) => format!("{ENFORCE}={}", level.word()),
            Self::ByChart => "the chart brings it".to_owned(),
            Self::Keep(_) => String::new(),
        }
    }
}

// === impl CredentialsChange ===

impl CredentialsChange {
    const fn action(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "change",
            Self::Keep | Self::KeepForeign => "keep",
            Self::NoKey => "skip",
        }
    }

    fn detail(self, key: &str) -> String {
        match self {
            Self::Create => format!("key {key}, from {VARIABLE}"),
            Self::Update => format!("key {key} gets the one in {VARIABLE}"),
            Self::Keep => String::new(),
            Self::KeepForeign => "deploy didn't make it, and leaves it as it is".to_owned(),
            Self::NoKey => format!("{VARIABLE} isn't set; neither Collector nor Agent starts without a key"),
        }
    }
}

fn definition(change: &Change) -> (&'static str, String) {
    match change {
        Change::Create => ("create", String::new()),
        Change::Update(fields) => ("change", fields.join(", ")),
        Change::Keep => ("keep", String::new()),
    }
}
