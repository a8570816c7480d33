//! What texts have to be like that people write: Helm refuses others by a pattern, the API server with a sentence.

use schemars::{Schema, json_schema};
use serde_json::json;

/// A pattern, the longest text that is taken, and the sentence about all others.
pub struct Form<'a> {
    pub pattern: &'a str,
    pub longest: u16,
    pub message: &'a str,
}

/// A label of DNS. That it has 63 characters at most isn't part of it.
macro_rules! dns_label {
    () => {
        "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
    };
}

/// The name of most objects.
macro_rules! dns_subdomain {
    () => {
        concat!($crate::api::form::dns_label!(), "([.]", $crate::api::form::dns_label!(), ")*")
    };
}

/// The [`Form`] of a [`dns_subdomain`], or of a text that may be empty; about all others, the sentence begins with this.
macro_rules! dns_name {
    ($refusal:literal) => {
        $crate::api::form::dns_name!($refusal, "^", "$")
    };
    ($refusal:literal, or_empty) => {
        $crate::api::form::dns_name!($refusal, "^(", ")?$")
    };
    ($refusal:literal, $begin:literal, $end:literal) => {
        $crate::api::form::Form {
            pattern: concat!($begin, $crate::api::form::dns_subdomain!(), $end),
            longest: 253,
            message: concat!($refusal, ": it has a to z, 0 to 9, - and ., and begins and ends with a letter or digit"),
        }
    };
}

macro_rules! port {
    () => {
        "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
    };
}

/// Functions for `schema_with`.
macro_rules! schemas {
    ($($visibility:vis $name:ident: $schema:expr;)+) => {
        $($visibility fn $name(_: &mut SchemaGenerator) -> Schema {
            $schema
        })+
    };
}

pub(crate) use {dns_label, dns_name, dns_subdomain, port, schemas};

// === impl Form ===

impl Form<'_> {
    pub fn schema(&self) -> Schema {
        let Self { pattern, longest, message } = self;
        json_schema!({
            "type": "string",
            "maxLength": longest,
            "pattern": pattern,
            "x-kubernetes-validations": [{"rule": format!("self.matches(r'{pattern}')"), "message": message}],
        })
    }

    /// Where nothing counts as absent.
    pub fn or_null(&self) -> Schema {
        let mut schema = self.schema();
        schema.insert("type".to_owned(), json!(["string", "null"]));
        schema
    }
}
