//! What Kubernetes accepts as a name, a key or a value, and the sizes that otelgate keeps to.
//!
//! A patch that breaks one of these makes the API server refuse the pod, whatever the failure policy.

use super::Reason;

/// A value of ours, in bytes.
pub const MAX_VALUE: usize = 4 * 1024;
/// A variable after merging, in bytes; Linux refuses 128 KiB.
pub const MAX_VARIABLE: usize = 32 * 1024;
/// The object after patching, in bytes; etcd refuses 1.5 MiB.
pub const MAX_OBJECT: usize = 1024 * 1024;
/// Keys and values of all annotations together, in bytes: the API server's own limit.
pub const MAX_ANNOTATIONS: usize = 256 * 1024;
/// Of a pod, those that run first included. Each that is selected costs memory, whatever is written into it.
pub const MAX_CONTAINERS: usize = 1000;
/// The name part of a key, and a label's value.
const MAX_NAME: usize = 63;

/// Whether a value of ours may be written at all.
///
/// # Errors
/// [`Reason::ValueTooLarge`] or [`Reason::ControlCharacter`].
pub fn is_value(value: &str) -> Result<(), Reason> {
    if value.len() > MAX_VALUE {
        return Err(Reason::ValueTooLarge);
    }
    if value.chars().any(char::is_control) {
        return Err(Reason::ControlCharacter);
    }
    Ok(())
}

/// At most 63 of `[A-Za-z0-9_.-]`, alphanumeric at both ends; empty is legal too.
#[must_use]
pub fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_name(value)
}

/// `[prefix/]name`: a label's or an annotation's key.
#[must_use]
pub fn is_qualified_name(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_dns_subdomain(prefix) && is_name(name),
        None => is_name(key),
    }
}

/// RFC 1123: labels of `[a-z0-9-]` joined by dots, 253 at most.
#[must_use]
pub fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_part)
}

/// RFC 1123: `[a-z0-9-]`, alphanumeric at both ends, 63 at most.
#[must_use]
pub fn is_dns_label(name: &str) -> bool {
    name.len() <= 63 && is_dns_part(name)
}

/// The C identifiers among the names that Kubernetes allows, which every shell can read too.
#[must_use]
pub fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_dns_part(part: &str) -> bool {
    let bytes = part.as_bytes();
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
}

fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() <= MAX_NAME
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}
