//! TLS of the webhook port: a certificate that is checked before it is used, and swapped while serving; and otelgate's own
//! authority, which makes such certificates.

pub mod authority;
mod certificate;
mod identity;

pub use authority::Authority;
pub use certificate::{Bundle, Certificate, Chain, Fingerprint};
pub use identity::{Identity, keys_match};
