//! TLS of the webhook port: a certificate that is checked before it is used, and swapped while serving.

mod identity;

pub use identity::Identity;
