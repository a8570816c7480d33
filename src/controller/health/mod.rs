//! Health, measured: the API key, the Collectors' delivery, and the way from the API server to the webhook.
//!
//! In each part, a verdict is a pure function of what was observed; observing is kept apart from it.

mod credentials;
pub mod delivery;
mod measured;
mod webhook;

pub use credentials::{Credentials, Secrets, run as watch_credentials};
pub use delivery::run as measure_delivery;
pub use delivery::totals::Signal;
pub use measured::{CollectorNodes, Items, KeyOutcome, Measured, ProbeOutcome};
pub use webhook::run as probe;
