//! Installing, upgrading and removing: what there is to do, worked out before anything is done.
//!
//! Everything here is pure. [`plan`] turns what a cluster has into steps, [`progress`] says what is still waited for and
//! why, [`inventory`] what a removal takes away and what it leaves. `cli::deploy` asks the cluster, runs Helm and does it.

pub mod credentials;
pub mod definition;
pub mod inventory;
pub mod plan;
pub mod progress;
pub mod release;
pub mod version;

#[cfg(test)]
mod tests;

pub use credentials::ApiKey;
pub use plan::{Plan, plan};
pub use version::Version;
