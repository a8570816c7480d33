//! Keeps an OpenTelemetry Collector on every node, as `spec.collector` has it, and says whether it's there.
//!
//! From the spec comes a [`revision`]: a configuration, and the pod that runs it. [`trial`] decides which revision runs
//! where, [`objects`] says what that is in the cluster, [`verdict`] what to think of what is there. All of these are
//! pure; [`observe`] looks and [`run`] does it again and again. [`sample`] reads the metrics of a few Collectors, so that
//! [`compare`] can tell what a trial's loses by its own fault.

mod busy;
mod carried;
mod compare;
mod going;
mod joining;
mod no_pod;
mod node;
mod objects;
mod observe;
mod pod;
mod refusal;
mod revision;
mod run;
mod sample;
mod since;
mod spec;
mod taken;
mod template;
mod trial;
mod verdict;
mod words;

pub use carried::Carried;
pub use node::WINDOWS;
pub(crate) use node::real_ones;
pub(crate) use pod::{Pod, Read as ReadPod};
pub use run::run;
pub use spec::{Known, know};

use super::left::Traces;
use crate::api::label;

/// Of Collectors in a former namespace.
pub const TRACES: Traces<1> =
    Traces { of: "Collector", labels: label::ROLLOUT, marks: &[], parts: [(objects::PART, None)] };
