//! A key without a value counts as absent, as everywhere in Kubernetes: a template or a comment often leaves one.

use serde::{Deserialize, Deserializer};

use super::document::{self, Exclusion};
use crate::api::OptIn;

/// Reads a key whose default is its type's.
pub fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    or_else(deserializer, T::default)
}

fn or_else<'de, D, T>(deserializer: D, default: fn() -> T) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_else(default))
}

/// Readers of the keys that have a default of their own.
macro_rules! readers {
    ($($reader:ident: $type:ty, $default:path;)+) => {
        $(pub fn $reader<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
            or_else(deserializer, $default)
        })+
    };
}

readers! {
    mode: OptIn, document::default_mode;
    cluster_domain: String, document::default_cluster_domain;
    collector_namespace: String, document::default_collector_namespace;
    collector_service: String, document::default_collector_service;
    exclude: Vec<Exclusion>, document::default_exclude;
}
