//! The decision: pure functions from a pod, its namespace, the configuration and a clock to what happens and why.
//!
//! Nothing here does I/O, reads a clock, or knows of a client or a runtime. The webhook, the offline commands and the
//! controller all call [`decide`].

pub mod endpoint;
pub mod expand;
pub mod legal;
pub mod owner;
pub mod plan;
pub mod reason;
pub mod view;

pub use owner::Workload;
pub use plan::{Action, ContainerPlan, Decision, Entry, Namespace, Note, Operation, Plan, Subject};
pub use reason::{Reason, Scope};
pub use view::Pod;

use jiff::Timestamp;

use crate::config::Configuration;

/// What happens to a pod, and why.
#[must_use]
pub fn decide<'a>(
    pod: &'a Pod<'a>,
    namespace: &'a Namespace<'a>,
    configuration: &'a Configuration,
    now: Timestamp,
) -> Decision<'a> {
    let _ = (pod, namespace, configuration, now);
    Decision::Skip { reason: Reason::NotOptedIn, notes: Vec::new() }
}
