//! Any bytes as the body of a review: never a panic, and an answer is JSON that allows the pod.

#![no_main]

use std::sync::LazyLock;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use otelgate::admission::{Entry, Outline, Question, Settings, evaluate};
use otelgate::config::Configuration;
use otelgate::inject::decide;
use otelgate::namespaces::Namespaces;
use serde_json::Value;

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| Settings::from(Configuration::default()));
static NAMESPACES: LazyLock<Namespaces> = LazyLock::new(Namespaces::default);

fuzz_target!(|body: &[u8]| {
    let question = Question {
        entry: Entry::Enabled,
        settings: Some(&SETTINGS),
        namespaces: &NAMESPACES,
        own_namespace: "otelgate",
        now: Timestamp::UNIX_EPOCH,
        decide,
    };
    let Ok(answer) = evaluate(body, &question, || false, |_| ()) else {
        // What the warning is addressed by.
        let _ = Outline::of(body);
        return;
    };
    let answer: Value = serde_json::from_slice(&answer).expect("the answer is JSON");
    assert_eq!(answer["response"]["allowed"], true);
    assert!(answer["response"]["uid"].is_string());
});
