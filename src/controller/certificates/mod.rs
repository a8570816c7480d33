//! The webhook's certificate: made or taken from elsewhere, trusted before it is served, and renewed in time.
//!
//! [`observe`] says what is looked at, [`plan`] what to do next about it, [`perform`] what that writes; all three are
//! pure.

mod observe;
mod perform;
mod plan;
mod settings;
mod source;
#[cfg(test)]
mod tests;

pub use plan::Phase;
pub use settings::{InvalidSettings, Settings};
