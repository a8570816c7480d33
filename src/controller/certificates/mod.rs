//! The webhook's certificate: made or taken from elsewhere, trusted before it is served, and renewed in time.
//!
//! [`observe`] says what is looked at, [`plan`] what to do next about it, [`perform`] what that writes; all three are
//! pure. `keep` does it, with what `run` watches and `write` writes.

mod contests;
pub(in crate::controller) mod handshake;
mod keep;
pub(in crate::controller) mod observe;
mod perform;
mod plan;
mod run;
mod settings;
mod source;
mod stored;
#[cfg(test)]
mod tests;
mod verdict;
mod write;

pub use plan::Phase;
pub use run::{Registered, Seen, run};
pub use settings::{InvalidSettings, Settings};
pub(in crate::controller) use stored::bundles;
