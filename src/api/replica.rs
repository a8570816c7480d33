//! What a replica of the webhook says of itself at `/status` of its second port.

use serde::{Deserialize, Serialize};

use super::OptIn;

/// Path on the plain port.
pub const PATH: &str = "/status";

/// What one replica serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    /// Of the program.
    pub version: String,
    /// `None` before there was a usable one.
    #[serde(default)]
    pub configuration: Option<Configuration>,
    /// Likewise.
    #[serde(default)]
    pub certificate: Option<Certificate>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// Of what it puts into pods.
    pub hash: String,
    /// Of all of it.
    pub revision: String,
    pub mode: OptIn,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// The first 16 hexadecimal digits of the SHA-256 of the leaf.
    pub fingerprint: String,
    /// As in RFC 3339.
    pub not_after: String,
}
