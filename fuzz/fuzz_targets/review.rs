//! Any bytes as the body of a review: there is an answer that allows, or none, and never a panic. A patch applies, and
//! the patched pod needs no other.

#![no_main]

use std::fmt;

use base64::Engine as _;
use libfuzzer_sys::fuzz_target;
use otelgate::admission::{Entry, Outline, Question, Settings, evaluate};
use otelgate::config::Configuration;
use otelgate::inject;
use otelgate::namespaces::Namespaces;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

fuzz_target!(|body: &[u8]| {
    let settings = Settings::from(Configuration::default());
    let namespaces = Namespaces::default();
    for entry in Entry::ALL {
        let question = Question {
            entry,
            settings: Some(&settings),
            namespaces: Some(&namespaces),
            own_namespace: "otelgate",
            now: jiff::Timestamp::UNIX_EPOCH,
            decide: inject::decide,
        };
        let ask = |body: &[u8]| {
            let answer = evaluate(body, &question, || false, |_| {}).ok();
            if answer.is_none() {
                // What a refusal is addressed by.
                let _ = Outline::of(body);
            }
            answer
        };
        let Some(patch) = ask(body).and_then(|answer| patch(&answer)) else { continue };
        // Keys that stand twice are read differently by every reader; the API server sends none.
        let Ok(Unique(mut review)) = serde_json::from_slice(body) else { continue };
        json_patch::patch(&mut review["request"]["object"], &patch).expect("the patch applies");
        let again = ask(review.to_string().as_bytes()).expect("the patched review is answered");
        assert!(self::patch(&again).is_none_or(|patch| patch.0.is_empty()), "a second call changes something");
    }
});

/// Checks an answer; its patch.
fn patch(answer: &[u8]) -> Option<json_patch::Patch> {
    let answer: Value = serde_json::from_slice(answer).expect("an answer is JSON");
    assert_eq!(answer["response"]["allowed"], true, "nothing is ever denied");
    assert!(answer["response"]["uid"].is_string(), "an answer says to whom");
    let patch = answer["response"]["patch"].as_str()?;
    let patch = base64::engine::general_purpose::STANDARD.decode(patch).expect("a patch is base64");
    Some(serde_json::from_slice(&patch).expect("and then of RFC 6902"))
}

/// JSON without a key that stands twice.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any).map(Unique)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Unique(value))) = access.next_entry()? {
            if map.insert(key, value).is_some() {
                return Err(A::Error::custom("a key stands twice"));
            }
        }
        Ok(Value::Object(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(value)) = access.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}
