//! What is planned, told while waiting, and taken away, for clusters that are written down.

mod inventory;
mod plan;
mod progress;

use serde::de::DeserializeOwned;
use serde_json::Value;

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object of that kind")
}
