//! Whether the API server reaches the webhook: a pod that is tried, and a handshake with each endpoint.

mod run;
mod verdict;

pub use run::run;
