//! The webhook's way from a review's bytes to its answer's, without a network around it.

#![allow(clippy::panic, reason = "a test fails by panicking")]

use jiff::Timestamp;
use otelgate::admission::{Entry, Question, Settings, evaluate};
use otelgate::config::Configuration;
use otelgate::inject;
use otelgate::namespaces::Namespaces;

pub struct Webhook {
    settings: Settings,
    namespaces: Namespaces,
    now: Timestamp,
}

impl Webhook {
    /// With the documented defaults, and a namespace that has no annotations.
    pub fn new() -> Self {
        let namespaces = Namespaces::default();
        namespaces.insert(kube::api::ObjectMeta {
            name: Some(super::review::NAMESPACE.to_owned()),
            ..kube::api::ObjectMeta::default()
        });
        let now = "2026-11-02T09:14:33Z".parse().expect("a time");
        Self { settings: Settings::from(Configuration::default()), namespaces, now }
    }

    /// # Panics
    /// When there is no decision.
    pub fn answer(&self, review: &[u8]) -> Vec<u8> {
        let question = Question {
            entry: Entry::Enabled,
            settings: Some(&self.settings),
            namespaces: Some(&self.namespaces),
            own_namespace: "otelgate",
            now: self.now,
            decide: inject::decide,
        };
        let answer = evaluate(review, &question, || false, |_| {});
        answer.unwrap_or_else(|refusal| panic!("refused: {:?}", refusal.reason))
    }
}
